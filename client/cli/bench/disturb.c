/* What others pay for it: the latency of an open loop while a node catches up, while old data is read, and
 * while a large topic is created, against the same loop before. */
#include "client/cli/bench/bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum {
    POLL_MS = 50,
    QUIET_SECONDS = 5,
    AT_LEAST_MS = 2000, /* a disturbance that is over sooner is repeated */
    AT_MOST_SECONDS = 600,
    DOWN_TIMEOUT_MS = 30000,
    TOPIC_TIMEOUT_MS = 60000
};

/* One disturbance; `once` runs on a thread of its own and returns whether it did what it should. */
struct disturbance {
    struct bench_cluster *b;
    const char *filled; /* a topic with much in it */
    unsigned node;
    uint32_t partitions;
    bool (*once)(struct disturbance *d);
    const char *name;
    bool repeats;
    bool aside; /* the processors are the nodes' first */
    _Atomic bool over;
    bool failed;
    double seconds;
    uint64_t bytes;
    char error[512];
};

/* ---- the disturbances ---- */

static bool all_in_sync(struct bench_cluster *b, const char *topic)
{
    const struct flotilla_topic_info *info = NULL;
    if (flotilla_topic_describe(b->client, topic, 2000, &info, NULL, 0) != 0) {
        return false;
    }
    bool all = info->partition_count > 0;
    for (size_t i = 0; i < info->partition_count; i++) {
        all = all && info->partitions[i]->in_sync_count == info->partitions[i]->replica_count;
    }
    flotilla_result_free(info);
    return all;
}

static bool catch_up(struct disturbance *d)
{
    uint64_t deadline = cli_now_ns() + AT_MOST_SECONDS * 1000000000ull;
    while (!all_in_sync(d->b, d->filled)) {
        if (cli_now_ns() > deadline) {
            snprintf(d->error, sizeof(d->error), "the node did not catch up within %d s", AT_MOST_SECONDS);
            return false;
        }
        cli_sleep_ms(POLL_MS);
    }
    return true;
}

/* As a process of its own would: the producer's connections and thread are left alone. */
static bool read_all(struct disturbance *d)
{
    struct bench_load_result result;
    struct bench_cluster reader = *d->b;
    reader.client = cli_connect(d->b->command, &d->b->target, NULL);
    bool ok = reader.client != NULL && bench_consume(&reader, d->filled, &result);
    flotilla_client_destroy(reader.client);
    if (!ok) {
        return false;
    }
    d->bytes += (uint64_t)(result.bytes_per_s * result.seconds);
    bench_load_close(&result);
    return true;
}

static bool create_topic(struct disturbance *d)
{
    return flotilla_topic_create(d->b->client, "bench-thousand", d->partitions, 0, NULL, 0, TOPIC_TIMEOUT_MS,
                                 d->error, sizeof(d->error)) == 0;
}

/* Also for the threads that this one starts. */
static bool step_aside(struct disturbance *d)
{
    const struct sched_param none = {0};
    if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) {
        snprintf(d->error, sizeof(d->error), "cannot lower the priority: %s", strerror(errno));
        return false;
    }
    return true;
}

static void *disturb(void *argument)
{
    struct disturbance *d = argument;
    uint64_t began = cli_now_ns();
    if (d->aside && !step_aside(d)) {
        d->failed = d->over = true;
        return NULL;
    }
    do {
        d->failed = !d->once(d);
    } while (d->repeats && !d->failed && cli_now_ns() - began < AT_LEAST_MS * 1000000ull);
    d->seconds = (double)(cli_now_ns() - began) / 1e9;
    d->over = true;
    return NULL;
}

/* ---- beside the loop ---- */

/* The loop runs on until the disturbance is over. */
static bool measure_beside(struct disturbance *d, const char *probed, const struct bench_load *load,
                           struct samples *acknowledged)
{
    struct bench_load beside = *load;
    struct bench_load_result result;
    pthread_t thread;
    beside.seconds = AT_MOST_SECONDS;
    beside.until = &d->over;
    if (pthread_create(&thread, NULL, disturb, d) != 0) {
        snprintf(d->error, sizeof(d->error), "cannot start a thread");
        return false;
    }
    bool ok = bench_produce(d->b, probed, &beside, &result);
    pthread_join(thread, NULL);
    if (!ok && d->error[0] == 0) {
        snprintf(d->error, sizeof(d->error), "%s", result.error);
    }
    *acknowledged = result.acknowledged;
    samples_close(&result.received);
    return ok && !d->failed;
}

struct p99 {
    double all_ms;
    double second_ms; /* of the median second */
};

static struct p99 p99_of(struct samples *s, const struct bench_load *load)
{
    struct p99 p;
    p.second_ms = samples_windows_ms(s, (size_t)load->rate, 0.99);
    p.all_ms = samples_ms(s, 0.99);
    return p;
}

static void add_p99(struct bench_report *r, const char *name, const struct bench_load *load, double ms,
                    const char *which, double quiet_ms)
{
    struct bench_figure *f =
        bench_add(r, ms, "ms", "open loop, %llu/s, %s, p99%s", (unsigned long long)load->rate, name, which);
    char against[sizeof(f->against)];
    snprintf(against, sizeof(against), "%.2f ms when quiet, just before", quiet_ms);
    bench_against(f, quiet_ms > 0 ? ms / quiet_ms : 0, against);
    bench_target_at_most(f, 2);
}

static bool measure_quiet(struct bench_cluster *b, const char *probed, const struct bench_load *load,
                          struct p99 *p)
{
    struct bench_load quiet = *load;
    struct bench_load_result result;
    quiet.seconds = QUIET_SECONDS;
    bool ok = bench_produce(b, probed, &quiet, &result);
    if (ok) {
        *p = p99_of(&result.acknowledged, load);
    } else {
        cli_error(b->command, "open loop: %s", result.error);
    }
    bench_load_close(&result);
    return ok;
}

static bool report_beside(struct disturbance *d, struct bench_report *r, const char *probed,
                          const struct bench_load *load, const struct p99 *quiet)
{
    struct samples acknowledged = {NULL, 0, 0, false};
    fprintf(stderr, "open loop, %s\n", d->name);
    bool ok = measure_beside(d, probed, load, &acknowledged);
    if (ok) {
        struct p99 p = p99_of(&acknowledged, load);
        add_p99(r, d->name, load, p.all_ms, "", quiet->all_ms);
        add_p99(r, d->name, load, p.second_ms, " of the median second", quiet->second_ms);
    } else {
        cli_error(d->b->command, "%s: %s", d->name, d->error[0] != 0 ? d->error : "failed");
    }
    samples_close(&acknowledged);
    return ok;
}

static bool report_after_quiet(struct disturbance *d, struct bench_report *r, const char *probed,
                               const struct bench_load *load)
{
    struct p99 quiet;
    return measure_quiet(d->b, probed, load, &quiet) && report_beside(d, r, probed, load, &quiet);
}

/* Produces `bytes` while one node is away. */
static bool fill_without(struct disturbance *d, const struct bench_load *load, uint64_t bytes)
{
    struct bench_load most = *load;
    struct bench_load_result result;
    most.bytes = bytes;
    most.seconds = AT_MOST_SECONDS;
    most.rate = 0;
    fprintf(stderr, "%.1f GB while a node is away\n", (double)bytes / 1e9);
    if (!local_signal(&d->b->local, d->node, SIGKILL) ||
        !local_wait_down(&d->b->local, d->node, DOWN_TIMEOUT_MS)) {
        cli_error(d->b->command, "%s", d->b->local.error);
        return false;
    }
    bool ok = bench_produce(d->b, d->filled, &most, &result);
    if (!ok) {
        cli_error(d->b->command, "filling: %s", result.error);
    }
    bench_load_close(&result);
    return ok;
}

static bool measure_catch_up(struct disturbance *d, struct bench_report *r, const char *probed,
                             const struct bench_load *load, uint64_t bytes)
{
    struct p99 quiet;
    if (!measure_quiet(d->b, probed, load, &quiet) || !fill_without(d, load, bytes) ||
        !local_start_node(&d->b->local, d->node) || !report_beside(d, r, probed, load, &quiet)) {
        return false;
    }
    bench_add(r, (double)bytes / 1e6 / d->seconds, "MB/s",
              "catching up after %.1f GB, from the start of the process", (double)bytes / 1e9);
    return true;
}

static bool measure_reading(struct disturbance *d, struct bench_report *r, const char *probed,
                            const struct bench_load *load)
{
    if (!report_after_quiet(d, r, probed, load)) {
        return false;
    }
    bench_add(r, (double)d->bytes / 1e6 / d->seconds, "MB/s", "reading old data meanwhile%s",
              d->aside ? ", the reader on idle processors only" : "");
    return true;
}

static bool measure_all(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                        uint64_t bytes, uint32_t partitions)
{
    char filled[64], probed[64], creation[64];
    snprintf(creation, sizeof(creation), "while a topic of %u partitions is created", partitions);
    struct disturbance catching_up = {.b = b,
                                      .filled = filled,
                                      .node = b->local.count,
                                      .once = catch_up,
                                      .name = "while a node catches up"};
    struct disturbance reading = {
        .b = b, .filled = filled, .once = read_all, .repeats = true, .name = "while old data is read"};
    /* As on a machine of its own, as far as one machine can show that. */
    struct disturbance reading_aside = reading;
    reading_aside.aside = true;
    reading_aside.name = "while old data is read, the reader on idle processors only";
    struct disturbance creating = {.b = b, .partitions = partitions, .once = create_topic, .name = creation};
    return bench_topic(b, "away", load->partitions, filled, sizeof(filled)) &&
           bench_topic(b, "probe", load->partitions, probed, sizeof(probed)) &&
           measure_catch_up(&catching_up, r, probed, load, bytes) &&
           measure_reading(&reading, r, probed, load) && measure_reading(&reading_aside, r, probed, load) &&
           report_after_quiet(&creating, r, probed, load);
}

bool bench_disturbances(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                        uint64_t bytes, uint32_t partitions)
{
    if (!b->scratch) {
        cli_error(b->command,
                  "this measurement kills a node, so it runs on a scratch cluster only: leave out "
                  "--bootstrap");
        return false;
    }
    return measure_all(b, r, load, bytes, partitions);
}
