/* Three nodes in one process and thread, over loopback TCP and real files with fdatasync: what a proposal
 * costs from propose to commit. One loop does the work of three nodes, so that throughput is a lower bound.
 *
 *     bench_consensus [seconds per line, default 2] */
#include "helper_cluster.h"
#include "node/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
    struct test_cluster cluster;
    struct env *env;
    struct group *leader;
    struct slice batch;
    struct histogram latency;
    uint64_t committed;
    uint64_t failed;
    bool stopping;
};

struct slot {
    struct proposal proposal;
    struct bench *bench;
    uint64_t began_ns;
    struct slice batch;
};

static void propose(struct slot *slot);

static void on_committed(struct proposal *p, int status)
{
    struct slot *slot = container_of(p, struct slot, proposal);
    struct bench *b = slot->bench;
    histogram_record(&b->latency, env_clock_ns(b->env) - slot->began_ns);
    b->committed += status == 0;
    b->failed += status != 0;
    slice_unref(&slot->batch);
    if (!b->stopping && status == 0)
        propose(slot);
}

/* Each proposal is stamped in place, so that each has a copy of its own. */
static void propose(struct slot *slot)
{
    struct bench *b = slot->bench;
    slot->batch = slice_copy(b->batch.data, b->batch.size);
    slot->began_ns = env_clock_ns(b->env);
    if (group_propose(b->leader, &slot->proposal, &slot->batch, on_committed) != 0) {
        slice_unref(&slot->batch);
        b->failed++;
    }
}

static void make_batch(struct bench *b, size_t size)
{
    struct batch_builder builder;
    struct bytes out;
    struct batch_options options = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    char *value = memory_zalloc(size);
    batch_builder_init(&builder);
    bytes_init(&out);
    batch_builder_add(&builder, 1, "benchkey", 8, value, size, NULL, 0);
    batch_builder_finish(&builder, &options, &out);
    b->batch = slice_copy(out.data, out.size);
    batch_builder_close(&builder);
    bytes_close(&out);
    free(value);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(struct bench *b, size_t size, unsigned window, double seconds)
{
    struct slot *slots = memory_zalloc(window * sizeof *slots);
    make_batch(b, size);
    memset(&b->latency, 0, sizeof b->latency);
    b->committed = b->failed = 0;
    b->stopping = false;
    double cpu = cpu_s();
    uint64_t began = env_clock_ns(b->env);
    for (unsigned i = 0; i < window; i++) {
        slots[i].bench = b;
        propose(&slots[i]);
    }
    run_for(&b->cluster, (uint64_t)(seconds * 1000));
    double elapsed = (double)(env_clock_ns(b->env) - began) / 1e9;
    uint64_t n = b->committed;
    cpu = cpu_s() - cpu;
    b->stopping = true;
    run_until(&b->cluster, nothing_in_flight, NULL, 5000);
    printf("%7zu bytes, window %4u: %9.0f batches/s %8.1f MB/s   p50 %7.2f ms  p99 %7.2f ms  %6.1f us "
           "cpu/batch%s\n",
           size, window, (double)n / elapsed, (double)n * (double)b->batch.size / elapsed / 1e6,
           (double)histogram_quantile(&b->latency, 0.5) / 1e6,
           (double)histogram_quantile(&b->latency, 0.99) / 1e6, n ? cpu * 1e6 / (double)n : 0.0,
           b->failed ? "  FAILED" : "");
    slice_unref(&b->batch);
    free(slots);
}

static bool all_down(struct test_cluster *c, void *data)
{
    (void)data;
    for (unsigned i = 0; i < c->n; i++)
        if (c->nodes[i].up)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    static struct bench b;
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    b.env = env_uv_create(0);
    cluster_init(&b.cluster, 3, 2, b.env); /* group 0 belongs to the oracle, which is not measured */
    b.cluster.heartbeat_ms = 100;
    b.cluster.election_timeout_ms = 1000;
    b.cluster.segment_bytes = 256 << 20;
    for (unsigned i = 0; i < 3; i++)
        node_start(&b.cluster.nodes[i]);
    if (!run_until(&b.cluster, all_open, NULL, 5000) || !run_until(&b.cluster, has_leader, NULL, 10000))
        return 1;
    b.leader = cluster_leader(&b.cluster, 1)->groups[1].group;
    static const struct {
        size_t size;
        unsigned window;
    } lines[] = {{100, 1}, {100, 64}, {1000, 1000}, {16 << 10, 256}, {256 << 10, 64}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        run(&b, lines[i].size, lines[i].window, seconds);
    uint64_t failed = b.failed;
    for (unsigned i = 0; i < 3; i++)
        node_stop(&b.cluster.nodes[i], true);
    run_until(&b.cluster, all_down, NULL, 10000);
    cluster_close(&b.cluster);
    env_destroy(b.env);
    return failed != 0;
}
