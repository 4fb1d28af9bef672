/* What a node needs to begin and to hold much: start-up, memory, a topic with many partitions, and the death
 * of a node that leads many of them. */
#include "client/cli/bench/bench.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 60000, POLL_MS = 10 };

static void report_memory(struct bench_report *r, double mib, const char *when, double target)
{
    struct bench_figure *f = bench_add(r, mib, "MiB", "resident memory per node, %s", when);
    bench_target_at_most(f, target);
}

static double ms_since(uint64_t began_ns)
{
    return (double)(cli_now_ns() - began_ns) / 1e6;
}

/* ---- a record into every partition ---- */

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    _Atomic unsigned *failed = data;
    *failed += d->status != 0;
}

static struct flotilla_producer *open_producer(struct bench_cluster *b, _Atomic unsigned *failed)
{
    struct flotilla_producer *producer = NULL;
    char error[512] = "";
    if (flotilla_producer_create(&producer, b->client, NULL, on_delivery, failed, error, sizeof(error)) !=
        0) {
        cli_error(b->command, "%s", error);
    }
    return producer;
}

static bool all_accept(struct flotilla_producer *producer, const char *topic, uint32_t partitions)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < partitions; i++) {
        ok = flotilla_produce(producer, topic, (int32_t)i, FLOTILLA_TIMESTAMP_NOW, NULL, 0, "scale", 5, NULL,
                              0, NULL) == 0;
    }
    return ok && flotilla_producer_flush(producer, TIMEOUT_MS) == 0;
}

/* ---- leaders ---- */

/* How many partitions have a leader, and in `led` how many of them each node leads. */
static uint32_t count_leaders(struct bench_cluster *b, const char *topic, unsigned led[LOCAL_NODES_MAX + 1])
{
    const struct flotilla_topic_info *info = NULL;
    uint32_t with_leader = 0;
    for (unsigned i = 0; i <= LOCAL_NODES_MAX; i++) {
        led[i] = 0;
    }
    if (flotilla_topic_describe(b->client, topic, TIMEOUT_MS, &info, NULL, 0) != 0) {
        return 0;
    }
    for (size_t i = 0; i < info->partition_count; i++) {
        uint32_t leader = info->partitions[i]->leader_id;
        with_leader += leader != 0;
        led[leader <= LOCAL_NODES_MAX ? leader : 0]++;
    }
    flotilla_result_free(info);
    return with_leader;
}

static bool wait_for_leaders(struct bench_cluster *b, const char *topic, uint32_t partitions)
{
    unsigned led[LOCAL_NODES_MAX + 1];
    uint64_t deadline = cli_now_ns() + TIMEOUT_MS * 1000000ull;
    while (count_leaders(b, topic, led) < partitions) {
        if (cli_now_ns() > deadline) {
            return false;
        }
        cli_sleep_ms(POLL_MS);
    }
    return true;
}

/* ---- the measurements ---- */

static bool measure_topic(struct bench_cluster *b, struct bench_report *r, struct flotilla_producer *producer,
                          uint32_t partitions, char *topic, size_t size)
{
    uint64_t began = cli_now_ns();
    if (!bench_topic(b, "scale", partitions, topic, size) || !wait_for_leaders(b, topic, partitions)) {
        return false;
    }
    bench_add(r, ms_since(began), "ms", "a topic with %u partitions until all have leaders", partitions);
    if (!all_accept(producer, topic, partitions)) {
        return false;
    }
    struct bench_figure *f =
        bench_add(r, ms_since(began), "ms", "a topic with %u partitions until all have accepted", partitions);
    bench_target_at_most(f, 1000);
    return true;
}

static bool measure_death(struct bench_cluster *b, struct bench_report *r, struct flotilla_producer *producer,
                          const char *topic, uint32_t partitions)
{
    unsigned led[LOCAL_NODES_MAX + 1], node = b->local.nodes[0].id;
    (void)count_leaders(b, topic, led);
    uint64_t began = cli_now_ns();
    if (!local_signal(&b->local, node, SIGKILL) || !all_accept(producer, topic, partitions)) {
        return false;
    }
    struct bench_figure *f = bench_add(
        r, ms_since(began), "ms", "kill -9 of a node that leads %u partitions until all accept", led[node]);
    bench_target_at_most(f, 1000);
    return true;
}

/* The node as the bench's load left it, then once more after a clean stop. */
static bool measure_restarts(struct bench_cluster *b, struct bench_report *r)
{
    unsigned node = b->local.nodes[0].id;
    double after_kill = 0, after_stop = 0;
    if (!bench_stop_and_start(b, node, 0, &after_kill) ||
        !bench_stop_and_start(b, node, SIGTERM, &after_stop)) {
        cli_error(b->command, "%s", b->local.error);
        return false;
    }
    bench_target_at_most(
        bench_add(r, after_kill, "ms", "start of that node after its kill -9 until all is ready"), 2000);
    bench_target_at_most(bench_add(r, after_stop, "ms", "the same after a clean stop"), 500);
    return true;
}

bool bench_scale(struct bench_cluster *b, struct bench_report *r, uint32_t partitions)
{
    char topic[64];
    _Atomic unsigned failed = 0;
    if (!b->scratch) {
        cli_error(b->command,
                  "this measurement kills a node, so it runs on a scratch cluster only: leave out "
                  "--bootstrap");
        return false;
    }
    bench_target_at_most(bench_add(r, b->start_ms, "ms", "three nodes from nothing until all is ready"), 500);
    report_memory(r, b->idle_mib, "idle", 12);
    struct flotilla_producer *producer = open_producer(b, &failed);
    bool ok = producer != NULL && measure_topic(b, r, producer, partitions, topic, sizeof(topic));
    if (ok) {
        report_memory(r, bench_resident_mib(b), "with these partitions", 64);
        ok = measure_death(b, r, producer, topic, partitions);
    }
    if (ok && failed > 0) {
        cli_error(b->command, "%u records failed", (unsigned)failed);
    }
    if (producer != NULL) {
        flotilla_producer_destroy(producer);
    }
    return ok && failed == 0 && measure_restarts(b, r);
}
