/* How long a node needs to serve again that has much data: after kill -9, and after a clean stop. */
#include "client/cli/bench/bench.h"

#include <signal.h>

enum { TIMEOUT_MS = 60000, FILL_SECONDS = 1200, AFTER_KILL_MS = 2000, AFTER_STOP_MS = 500 };

/* The node's replicas are open and have what the others have: a cluster that can do without it is not enough.
 */
static bool wait_in_sync(struct bench_cluster *b)
{
    uint64_t deadline = cli_now_ns() + TIMEOUT_MS * 1000000ull;
    while (cli_now_ns() < deadline) {
        const struct flotilla_cluster_info *info = NULL;
        if (flotilla_cluster_status(b->client, 1000, &info, NULL, 0) == 0) {
            bool in_sync = info->leaderless == 0 && info->under_replicated == 0;
            flotilla_result_free(info);
            if (in_sync) {
                return true;
            }
        }
        cli_sleep_ms(2);
    }
    snprintf(b->local.error, sizeof(b->local.error), "not all replicas were in sync after %d ms", TIMEOUT_MS);
    return false;
}

bool bench_stop_and_start(struct bench_cluster *b, unsigned node, int signal, double *ms)
{
    if ((signal != 0 && !local_signal(&b->local, node, signal)) ||
        !local_wait_down(&b->local, node, TIMEOUT_MS)) {
        return false;
    }
    uint64_t began = cli_now_ns();
    bool ok = local_start_node(&b->local, node) && local_wait_ready(&b->local, TIMEOUT_MS) && wait_in_sync(b);
    *ms = (double)(cli_now_ns() - began) / 1e6;
    return ok;
}

static bool fill(struct bench_cluster *b, const struct bench_load *load, uint64_t bytes)
{
    struct bench_load most = *load;
    struct bench_load_result result;
    char topic[64];
    most.bytes = bytes;
    most.seconds = FILL_SECONDS;
    most.rate = 0;
    if (!bench_topic(b, "start", most.partitions, topic, sizeof(topic))) {
        return false;
    }
    bool ok = bench_produce(b, topic, &most, &result);
    if (!ok) {
        cli_error(b->command, "filling: %s", result.error);
    }
    bench_load_close(&result);
    return ok;
}

bool bench_start(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                 uint64_t bytes)
{
    double after_kill = 0, after_stop = 0, gib = (double)bytes / (1 << 30);
    if (!b->scratch) {
        cli_error(b->command,
                  "this measurement kills a node, so it runs on a scratch cluster only: leave out "
                  "--bootstrap");
        return false;
    }
    unsigned node = b->local.nodes[0].id;
    if (!fill(b, load, bytes)) {
        return false;
    }
    if (!bench_stop_and_start(b, node, SIGKILL, &after_kill) ||
        !bench_stop_and_start(b, node, SIGTERM, &after_stop)) {
        cli_error(b->command, "%s", b->local.error);
        return false;
    }
    bench_target_at_most(bench_add(r, after_stop, "ms", "start of a node with %.1f GiB of clean data", gib),
                         AFTER_STOP_MS);
    bench_target_at_most(
        bench_add(r, after_kill, "ms", "start of a node with %.1f GiB after kill -9 under load", gib),
        AFTER_KILL_MS);
    return true;
}
