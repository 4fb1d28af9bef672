/* What a replica that catches up costs everybody else: the latency of an open loop while a node that was away
 * fetches gigabytes, against the same loop before. */
#include "client/cli/bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { POLL_MS = 50, QUIET_SECONDS = 5, CATCH_UP_SECONDS = 600, FILL_SECONDS = 600, DOWN_TIMEOUT_MS = 30000 };

struct watch {
    struct bench_cluster *b;
    const char *topic;
    _Atomic bool caught_up;
    uint64_t began_ns;
    uint64_t ended_ns;
    bool given_up;
};

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

static void *watch_until_in_sync(void *argument)
{
    struct watch *w = argument;
    uint64_t deadline = w->began_ns + CATCH_UP_SECONDS * 1000000000ull;
    while (!all_in_sync(w->b, w->topic) && !w->given_up) {
        cli_sleep_ms(POLL_MS);
        w->given_up = cli_now_ns() > deadline;
    }
    w->ended_ns = cli_now_ns();
    w->caught_up = true;
    return NULL;
}

/* Produces `bytes` while one node is away. */
static bool fill_without(struct bench_cluster *b, unsigned node, const char *topic,
                         const struct bench_load *load, uint64_t bytes, char *error, size_t error_size)
{
    struct bench_load most = *load;
    struct bench_load_result result;
    most.bytes = bytes;
    most.seconds = FILL_SECONDS;
    most.rate = 0;
    if (!local_signal(&b->local, node, SIGKILL) || !local_wait_down(&b->local, node, DOWN_TIMEOUT_MS)) {
        snprintf(error, error_size, "%s", b->local.error);
        return false;
    }
    bool ok = bench_produce(b, topic, &most, &result);
    snprintf(error, error_size, "%s", result.error);
    bench_load_close(&result);
    return ok;
}

/* The loop runs on until the watch says that it may end. */
static bool measure_during(struct watch *w, const char *topic, const struct bench_load *load, unsigned node,
                           struct bench_load_result *result)
{
    struct bench_load during = *load;
    pthread_t thread;
    during.seconds = CATCH_UP_SECONDS;
    during.until = &w->caught_up;
    w->began_ns = cli_now_ns();
    memset(result, 0, sizeof(*result));
    if (!local_start_node(&w->b->local, node) || pthread_create(&thread, NULL, watch_until_in_sync, w) != 0) {
        snprintf(result->error, sizeof(result->error), "%s", w->b->local.error);
        return false;
    }
    bool ok = bench_produce(w->b, topic, &during, result);
    pthread_join(thread, NULL);
    if (ok && w->given_up) {
        snprintf(result->error, sizeof(result->error), "the node did not catch up within %d s",
                 CATCH_UP_SECONDS);
    }
    return ok && !w->given_up;
}

bool bench_catchup(struct bench_cluster *b, const struct bench_load *load, uint64_t bytes,
                   struct bench_catchup_result *result)
{
    char filled[64], probed[64];
    struct bench_load quiet = *load;
    memset(result, 0, sizeof(*result));
    if (!b->scratch) {
        snprintf(
            result->error, sizeof(result->error),
            "this measurement kills a node, so it runs on a scratch cluster only: leave out --bootstrap");
        return false;
    }
    quiet.seconds = QUIET_SECONDS;
    unsigned node = b->local.count;
    struct watch w = {.b = b, .topic = filled};
    bool ok = bench_topic(b, "away", load->partitions, filled, sizeof(filled)) &&
              bench_topic(b, "probe", load->partitions, probed, sizeof(probed)) &&
              bench_produce(b, probed, &quiet, &result->quiet) &&
              fill_without(b, node, filled, load, bytes, result->error, sizeof(result->error)) &&
              measure_during(&w, probed, load, node, &result->during);
    const char *why = result->quiet.error[0] != 0 ? result->quiet.error : result->during.error;
    if (!ok && result->error[0] == 0) {
        snprintf(result->error, sizeof(result->error), "%s", why);
    }
    result->seconds = (double)(w.ended_ns - w.began_ns) / 1e9;
    return ok;
}

bool bench_report_catchup(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                          uint64_t bytes)
{
    struct bench_catchup_result result;
    fprintf(stderr, "catch-up: %.1f GB while a node is away\n", (double)bytes / 1e9);
    bool ok = bench_catchup(b, load, bytes, &result);
    if (ok) {
        double quiet = samples_ms(&result.quiet.acknowledged, 0.99);
        double during = samples_ms(&result.during.acknowledged, 0.99);
        bench_add(r, quiet, "ms", "open loop, %llu/s, quiet, p99", (unsigned long long)load->rate);
        struct bench_figure *f = bench_add(r, during, "ms", "open loop, %llu/s, while a node catches up, p99",
                                           (unsigned long long)load->rate);
        bench_against(f, quiet > 0 ? during / quiet : 0, "the p99 when quiet");
        bench_target_at_most(f, 2);
        bench_add(r, (double)bytes / 1e6 / result.seconds, "MB/s",
                  "catching up after %.1f GB, from the start of the process", (double)bytes / 1e9);
    } else {
        cli_error(b->command, "catch-up: %s", result.error[0] != 0 ? result.error : "failed");
    }
    bench_load_close(&result.quiet);
    bench_load_close(&result.during);
    return ok;
}
