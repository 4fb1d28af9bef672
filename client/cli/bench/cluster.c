/* The cluster under test, and what it is measured against. */
#include "client/cli/bench/bench.h"

#include <stdlib.h>
#include <string.h>

enum { NODES = 3, DISK_SAMPLES = 1000, PATH_SAMPLES = 3000 };

/* ---- yardsticks ---- */

const char *bench_disk_directory(const struct bench_cluster *b)
{
    return b->scratch ? local_scratch_parent() : ".";
}

static void keep_best(struct bench_yardstick *y, struct samples *s)
{
    double p50_ms = samples_ms(s, 0.5), p99_ms = samples_ms(s, 0.99);
    bool first = y->p50_ms <= 0;
    y->p50_ms = first || p50_ms < y->p50_ms ? p50_ms : y->p50_ms;
    y->p99_ms = first || p99_ms < y->p99_ms ? p99_ms : y->p99_ms;
}

/* The disk is measured before the cluster starts and again after the load, and the better figures count:
 * right after a cluster started or a load ended, the file system is still busy with it. */
bool bench_look_at_disk(struct bench_cluster *b)
{
    struct samples s = {NULL, 0, 0, false};
    bool ok = bench_disk_latency(bench_disk_directory(b), 1024, DISK_SAMPLES, &s);
    if (ok) {
        keep_best(&b->disk, &s);
    } else {
        cli_error(b->command, "cannot measure the disk in %s", bench_disk_directory(b));
    }
    samples_close(&s);
    return ok;
}

bool bench_look_at_path(struct bench_cluster *b)
{
    struct samples s = {NULL, 0, 0, false};
    bool ok = bench_path(bench_disk_directory(b), PATH_SAMPLES, &s);
    if (ok) {
        keep_best(&b->path, &s);
    } else {
        cli_error(b->command, "cannot measure one record in flight without a broker");
    }
    samples_close(&s);
    return ok;
}

/* ---- the cluster under test ---- */

bool bench_cluster_open(struct bench_cluster *b, const struct cli_command *command,
                        const struct cli_target *target)
{
    memset(b, 0, sizeof(*b));
    b->command = command;
    b->target = *target;
    b->scratch = target->bootstrap == NULL && getenv("FLOTILLA_BOOTSTRAP") == NULL;
    if (!bench_look_at_disk(b)) {
        return false;
    }
    if (b->scratch) {
        fprintf(stderr, "starting a scratch cluster of %d nodes\n", NODES);
        if (!guard_start(&b->guard, &b->local, false, NULL)) {
            cli_error(command, "cannot start threads");
            return false;
        }
        uint64_t began = cli_now_ns();
        if (!local_scratch(&b->local, NODES)) {
            cli_error(command, "%s", b->local.error);
            return false;
        }
        b->start_ms = (double)(cli_now_ns() - began) / 1e6;
        b->idle_mib = bench_resident_mib(b);
        local_bootstrap(&b->local, b->bootstrap, sizeof(b->bootstrap));
        b->target.bootstrap = b->bootstrap;
    }
    b->client = cli_connect(command, &b->target, NULL);
    return b->client != NULL;
}

void bench_cluster_close(struct bench_cluster *b)
{
    flotilla_client_destroy(b->client);
    if (b->scratch) {
        guard_stop(&b->guard);
    }
    if (b->local.directory[0] != 0) {
        local_destroy(&b->local);
    }
}

bool bench_topic(struct bench_cluster *b, const char *purpose, uint32_t partitions, char *name, size_t size)
{
    char error[512] = "";
    snprintf(name, size, "bench-%s-%llx", purpose, (unsigned long long)cli_now_ns());
    if (flotilla_topic_create(b->client, name, partitions, 0, NULL, 0, (int)b->target.timeout_ms, error,
                              sizeof(error)) != 0) {
        cli_error(b->command, "cannot create %s: %s", name, error);
        return false;
    }
    return true;
}
