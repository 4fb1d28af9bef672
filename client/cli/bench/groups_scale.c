/* Many members, many groups, many commits. */
#include "client/cli/bench/groups.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 10, TIMEOUT_MS = 60000, IDLE_SECONDS = 4, STABLE_EVERY_MS = 2, MEMBERS_MAX = 4096 };

/* Members that read nothing: their application does not poll. */
struct crowd {
    struct bench_cluster *b;
    struct flotilla_client *clients[CLIENTS];
    struct flotilla_consumer *consumers[MEMBERS_MAX];
    unsigned count;
    char error[512];
};

static bool crowd_open(struct crowd *c, struct bench_cluster *b)
{
    memset(c, 0, sizeof(*c));
    c->b = b;
    for (int i = 0; i < CLIENTS; i++) {
        if (flotilla_client_create(&c->clients[i], cli_bootstrap(&b->target), NULL, c->error,
                                   sizeof(c->error)) != 0) {
            return false;
        }
    }
    return true;
}

static void crowd_close(struct crowd *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        flotilla_consumer_destroy(c->consumers[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        flotilla_client_destroy(c->clients[i]);
    }
}

static bool crowd_join(struct crowd *c, const char *group, const char *topic)
{
    struct flotilla_options *options = flotilla_options_create();
    struct flotilla_consumer **consumer = &c->consumers[c->count];
    flotilla_options_set(options, "group", group, NULL, 0);
    flotilla_options_set(options, "prefetch.bytes", "64k", NULL, 0);
    bool ok = c->count < MEMBERS_MAX && flotilla_consumer_create(consumer, c->clients[c->count % CLIENTS],
                                                                 options, c->error, sizeof(c->error)) == 0;
    if (ok) {
        c->count++;
        ok = flotilla_consumer_join(*consumer, &topic, 1, NULL, NULL, NULL, c->error, sizeof(c->error)) == 0;
    }
    flotilla_options_destroy(options);
    return ok;
}

static bool is_stable(struct crowd *c, unsigned first, unsigned count, size_t partitions)
{
    size_t owned = 0;
    for (unsigned i = first; i < first + count; i++) {
        const struct flotilla_membership *m = NULL;
        if (flotilla_consumer_membership(c->consumers[i], &m) != 0) {
            return false;
        }
        bool stable = m->is_stable != 0;
        owned += m->partition_count;
        flotilla_result_free(m);
        if (!stable) {
            return false;
        }
    }
    return owned == partitions;
}

static double wait_stable(struct crowd *c, unsigned first, unsigned count, size_t partitions, uint64_t since)
{
    while (!is_stable(c, first, count, partitions)) {
        if (cli_now_ns() - since > TIMEOUT_MS * 1000000ull) {
            return -1;
        }
        cli_sleep_ms(STABLE_EVERY_MS);
    }
    return (double)(cli_now_ns() - since) / 1e6;
}

static bool failed(const struct crowd *c, const char *what)
{
    cli_error(c->b->command, "groups: %s%s%s", what, c->error[0] != 0 ? ": " : "", c->error);
    return false;
}

static bool measure_crowd(struct crowd *c, struct bench_report *r, const char *topic, unsigned members,
                          uint32_t partitions)
{
    uint64_t since = cli_now_ns();
    for (unsigned i = 0; i < members; i++) {
        if (!crowd_join(c, topic, topic)) {
            return failed(c, "a member could not join");
        }
    }
    double all_ms = wait_stable(c, 0, members, partitions, since);
    since = cli_now_ns();
    double more_ms =
        all_ms >= 0 && crowd_join(c, topic, topic) ? wait_stable(c, 0, members + 1, partitions, since) : -1;
    if (more_ms < 0) {
        return failed(c, "the assignment did not become stable");
    }
    bench_target_at_most(bench_add(r, all_ms, "ms", "%u partitions, %u members joining at once, until stable",
                                   partitions, members),
                         2000);
    bench_target_at_most(
        bench_add(r, more_ms, "ms", "%u partitions, one more member, until stable", partitions), 500);
    return true;
}

bool bench_groups_crowd(struct bench_cluster *b, struct bench_report *r, unsigned members,
                        uint32_t partitions)
{
    struct crowd *c = calloc(1, sizeof(*c));
    char topic[64];
    if (c == NULL) {
        abort();
    }
    fprintf(stderr, "groups: %u members at once\n", members);
    bool ok = bench_topic(b, "crowd", partitions, topic, sizeof(topic)) && crowd_open(c, b) &&
              measure_crowd(c, r, topic, members, partitions);
    crowd_close(c);
    free(c);
    return ok;
}

/* ---- groups that do nothing ---- */

/* Cores in use. */
static double cpu_of_nodes(const struct bench_cluster *b)
{
    double before = bench_server_cpu_seconds(b);
    cli_sleep_ms(IDLE_SECONDS * 1000);
    return (bench_server_cpu_seconds(b) - before) / IDLE_SECONDS;
}

static bool measure_idle(struct crowd *c, struct bench_report *r, const char *topic, unsigned groups,
                         unsigned members)
{
    double memory = local_memory_bytes(&c->b->local), before = cpu_of_nodes(c->b);
    uint64_t since = cli_now_ns();
    for (unsigned i = 0; i < groups * members; i++) {
        char group[128];
        snprintf(group, sizeof(group), "%s-%u", topic, i % groups);
        if (!crowd_join(c, group, topic)) {
            return failed(c, "a member could not join");
        }
    }
    if (wait_stable(c, 0, groups * members, groups * members, since) < 0) {
        return failed(c, "the assignments did not become stable");
    }
    double after = cpu_of_nodes(c->b);
    double cpu = after > before ? after - before : 0; /* less than what the idle nodes themselves vary by */
    if (c->b->scratch) {
        bench_target_at_most(bench_add(r, 100 * cpu, "% of a core",
                                       "%u idle groups of %u members: processor time of all nodes", groups,
                                       members),
                             10);
        bench_target_at_most(bench_add(r, (local_memory_bytes(&c->b->local) - memory) / (1 << 20), "MiB",
                                       "%u idle groups of %u members: memory of all nodes", groups, members),
                             64);
    }
    return true;
}

bool bench_groups_idle(struct bench_cluster *b, struct bench_report *r, unsigned groups, unsigned members)
{
    struct crowd *c = calloc(1, sizeof(*c));
    char topic[64];
    if (c == NULL) {
        abort();
    }
    fprintf(stderr, "groups: %u idle groups of %u members\n", groups, members);
    bool ok = bench_topic(b, "idle", members, topic, sizeof(topic)) && crowd_open(c, b) &&
              measure_idle(c, r, topic, groups, members);
    crowd_close(c);
    free(c);
    return ok;
}

/* ---- commits ---- */

struct committer {
    pthread_t thread;
    struct flotilla_consumer *consumer;
    const char *topic;
    int32_t partition;
    _Atomic bool *stop;
    uint64_t done;
    uint64_t failed;
};

static void *commit_on(void *argument)
{
    struct committer *w = argument;
    for (int64_t offset = 0; !*w->stop; offset++) {
        int rc = flotilla_consumer_commit_offset(w->consumer, w->topic, w->partition, offset, NULL,
                                                 TIMEOUT_MS, NULL, 0);
        w->done += rc == 0;
        w->failed += rc != 0;
    }
    return NULL;
}

/* Each member commits for the partition that is its own. */
static bool find_partition(struct committer *w)
{
    const struct flotilla_membership *m = NULL;
    bool ok = flotilla_consumer_membership(w->consumer, &m) == 0 && m->partition_count == 1;
    w->partition = ok ? m->partitions[0]->partition : 0;
    flotilla_result_free(m);
    return ok;
}

static bool run_committers(struct crowd *c, struct bench_report *r, const char *topic, double seconds)
{
    struct committer *workers = calloc(c->count, sizeof(*workers));
    _Atomic bool stop = false;
    uint64_t done = 0, errors = 0, since = cli_now_ns();
    unsigned started = 0;
    if (workers == NULL) {
        abort();
    }
    for (; started < c->count; started++) {
        workers[started] =
            (struct committer){.consumer = c->consumers[started], .topic = topic, .stop = &stop};
        if (!find_partition(&workers[started]) ||
            pthread_create(&workers[started].thread, NULL, commit_on, &workers[started]) != 0) {
            break;
        }
    }
    cli_sleep_ms((int64_t)(seconds * 1000));
    stop = true;
    for (unsigned i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        errors += workers[i].failed;
    }
    double elapsed = (double)(cli_now_ns() - since) / 1e9;
    bool ok = started == c->count && errors == 0;
    free(workers);
    if (!ok) {
        return failed(c, "commits failed");
    }
    bench_target_at_least(bench_add(r, (double)done / elapsed, "commits/s",
                                    "offset commits of one partition each, %u members", c->count),
                          20000);
    return true;
}

bool bench_groups_commits(struct bench_cluster *b, struct bench_report *r, unsigned members, double seconds)
{
    struct crowd *c = calloc(1, sizeof(*c));
    char topic[64];
    if (c == NULL) {
        abort();
    }
    fprintf(stderr, "groups: commits of %u members\n", members);
    bool ok = bench_topic(b, "commits", members, topic, sizeof(topic)) && crowd_open(c, b);
    for (unsigned i = 0; ok && i < members; i++) {
        ok = crowd_join(c, topic, topic);
    }
    ok = ok &&
         (wait_stable(c, 0, members, members, cli_now_ns()) >= 0 || failed(c, "no stable assignment")) &&
         run_committers(c, r, topic, seconds);
    crowd_close(c);
    free(c);
    return ok;
}
