/* A group under a producer: members 1 -> 2 -> 3 -> 6 -> 12 -> 3 -> 1 in order, then one is killed, one is
 * frozen, and the coordinator's node is killed. */
#include "client/cli/bench/groups.h"
#include "client/cli/workload/crew.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 12,
    RATE = 5000,
    STEADY_MS = 1000, /* between two changes, so that every partition is read by whom it should */
    STABLE_TIMEOUT_MS = 20000,
    TAKEN_TIMEOUT_MS = 60000,
    FINISH_TIMEOUT_MS = 60000,
};

struct churn {
    struct bench_cluster *b;
    struct bench_report *r;
    struct crew crew;
    char topic[64];
    struct samples stable; /* each change until the assignment is stable */
    struct samples moved;  /* silences */
    struct samples stayed;
};

static bool failed(struct churn *c, const char *what)
{
    cli_error(c->b->command, "groups: %s%s%s", what, c->crew.error[0] != 0 ? ": " : "", c->crew.error);
    return false;
}

static void add_ms(struct samples *s, double ms)
{
    samples_add(s, ms > 0 ? (uint64_t)(ms * 1e6) : 0);
}

/* ---- in order ---- */

static bool last_member(const struct crew *crew, int *member)
{
    for (int i = CREW_MEMBERS_MAX - 1; i >= 0; i--) {
        if (crew->member[i].is_used) {
            *member = i;
            return true;
        }
    }
    return false;
}

/* One after the other, so that each change is timed by itself. */
static bool one_change(struct churn *c, bool join)
{
    int member = 0;
    crew_watch(&c->crew);
    uint64_t since = cli_now_ns();
    if (join ? crew_join(&c->crew, false) == CREW_NOBODY
             : !last_member(&c->crew, &member) || !crew_leave(&c->crew, member)) {
        return failed(c, join ? "a member could not be started" : "a member did not leave in order");
    }
    double ms = crew_wait_stable(&c->crew, crew_size(&c->crew), since, STABLE_TIMEOUT_MS);
    if (ms < 0) {
        return failed(c, "the assignment did not become stable");
    }
    add_ms(&c->stable, ms);
    cli_sleep_ms(STEADY_MS / 4);
    struct crew_silence s;
    crew_silences(&c->crew, &s);
    for (unsigned i = 0; i < s.moved; i++) {
        add_ms(&c->moved, s.moved_ms[i]);
    }
    for (unsigned i = 0; i < s.stayed; i++) {
        add_ms(&c->stayed, s.stayed_ms[i]);
    }
    return true;
}

static bool go_to(struct churn *c, unsigned members)
{
    while (crew_size(&c->crew) != members) {
        if (!one_change(c, crew_size(&c->crew) < members)) {
            return false;
        }
    }
    cli_sleep_ms(STEADY_MS);
    return true;
}

static bool in_order(struct churn *c, unsigned rounds)
{
    static const unsigned sizes[] = {1, 2, 3, 6, 12, 3, 1};
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            if (!go_to(c, sizes[i])) {
                return false;
            }
        }
    }
    struct bench_report *r = c->r;
    bench_target_at_most(bench_add(r, samples_ms(&c->stable, 0.5), "ms",
                                   "join or leave until the assignment is stable, p50 of %zu",
                                   c->stable.count),
                         100);
    bench_target_at_most(bench_add(r, samples_ms(&c->stable, 0.99), "ms",
                                   "join or leave until the assignment is stable, p99 of %zu",
                                   c->stable.count),
                         500);
    bench_target_at_most(bench_add(r, samples_ms(&c->moved, 0.5), "ms",
                                   "silence of a partition that moves, p50 of %zu", c->moved.count),
                         100);
    bench_add(r, samples_ms(&c->moved, 0.99), "ms", "silence of a partition that moves, p99");
    bench_add(r, samples_ms(&c->stayed, 0.5), "ms",
              "longest silence of one that stays (a record each %.1f ms), p50", 1000.0 * PARTITIONS / RATE);
    bench_add(r, samples_ms(&c->stayed, 0.99), "ms", "longest silence of one that stays, p99");
    bench_target_at_most(
        bench_add(r, (double)c->crew.duplicates, "records", "processed twice while all go in order"), 0);
    return true;
}

/* ---- faults ---- */

/* A process takes a share, then gets the signal. */
static bool strike_member(struct churn *c, int signal, const char *name, double target_ms)
{
    uint64_t since = cli_now_ns();
    int member = crew_join(&c->crew, true);
    if (member == CREW_NOBODY ||
        crew_wait_stable(&c->crew, crew_size(&c->crew), since, STABLE_TIMEOUT_MS) < 0) {
        return failed(c, "a process could not join");
    }
    cli_sleep_ms(2 * STEADY_MS);
    crew_watch(&c->crew);
    crew_signal(&c->crew, member, signal);
    double ms = crew_wait_taken_over(&c->crew, member, TAKEN_TIMEOUT_MS);
    if (ms < 0) {
        return failed(c, "the partitions of the struck member were not taken over");
    }
    struct bench_figure *f =
        bench_add(c->r, ms, "ms", "%s of a member until its partitions are read again", name);
    if (target_ms > 0) {
        bench_target_at_most(f, target_ms);
    }
    if (signal == SIGSTOP) {
        crew_signal(&c->crew, member, SIGCONT); /* comes back as a new member */
        return crew_wait_stable(&c->crew, crew_size(&c->crew), since, STABLE_TIMEOUT_MS) >= 0 ||
               failed(c, "the frozen member did not come back");
    }
    return true;
}

static unsigned coordinator_of(struct churn *c)
{
    const struct flotilla_topic_info *info = NULL;
    unsigned leader = 0;
    if (flotilla_topic_describe(c->b->client, "__consumer_offsets", 5000, &info, NULL, 0) == 0) {
        leader = info->partitions[flotilla_group_partition(c->crew.group, (int32_t)info->partition_count)]
                     ->leader_id;
    }
    flotilla_result_free(info);
    return leader;
}

static bool strike_coordinator(struct churn *c)
{
    unsigned node = coordinator_of(c), before = crew_rebalances(&c->crew);
    if (node == 0 || !local_signal(&c->b->local, node, SIGKILL)) {
        return failed(c, "the coordinator's node could not be killed");
    }
    uint64_t killed = cli_now_ns();
    double first_ms = crew_wait_commit(&c->crew, killed, STABLE_TIMEOUT_MS);
    if (first_ms < 0) {
        return failed(c, "no commit succeeded after the coordinator's death");
    }
    cli_sleep_ms(5 * STEADY_MS);
    bench_target_at_most(bench_add(c->r, (double)(crew_rebalances(&c->crew) - before), "rebalances",
                                   "kill -9 of the coordinator's node: seen by members"),
                         0);
    bench_target_at_most(bench_add(c->r, first_ms, "ms", "kill -9 of the coordinator's node: next commit"),
                         1000);
    return local_wait_down(&c->b->local, node, 10000) && local_start_node(&c->b->local, node) &&
           local_wait_ready(&c->b->local, 30000);
}

static bool with_faults(struct churn *c)
{
    if (!c->b->scratch) {
        return true; /* of somebody else's cluster no node is killed */
    }
    return go_to(c, 3) && strike_member(c, SIGKILL, "kill -9", 1500) && go_to(c, 3) &&
           strike_member(c, SIGSTOP, "SIGSTOP", 0) && strike_coordinator(c);
}

bool bench_groups_churn(struct bench_cluster *b, struct bench_report *r, unsigned rounds)
{
    struct churn c = {.b = b, .r = r};
    if (!bench_topic(b, "groups", PARTITIONS, c.topic, sizeof(c.topic))) {
        return false;
    }
    c.crew.bootstrap = b->target.bootstrap != NULL ? b->target.bootstrap : cli_bootstrap(&b->target);
    c.crew.topic = c.crew.group = c.topic;
    c.crew.partitions = PARTITIONS;
    c.crew.rate = RATE;
    fprintf(stderr, "groups: %d partitions, %d records a second, members come and go\n", PARTITIONS, RATE);
    bool ok = crew_start(&c.crew) && in_order(&c, rounds) && with_faults(&c);
    uint64_t lost = crew_finish(&c.crew, FINISH_TIMEOUT_MS);
    if (ok) {
        bench_add(r, (double)c.crew.acknowledged, "records", "acknowledged in all");
        bench_target_at_most(bench_add(r, (double)lost, "records", "acknowledged and never processed"), 0);
        bench_add(r, (double)c.crew.duplicates, "records", "processed twice, faults included");
    }
    crew_close(&c.crew);
    samples_close(&c.stable);
    samples_close(&c.moved);
    samples_close(&c.stayed);
    return ok;
}
