#include "tests/sim/run.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/bounds.h"
#include "tests/sim/checks.h"
#include "tests/sim/members.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/votes.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MS = 1000000,
    STEP_NS = 2 * MS,
    START_MS = 20000,
    CALM_MS = 1000,
    CONVERGE_MS = 40000,
    AUDIT_MS = 20000
};

struct run {
    const struct run_options *options;
    struct counters *counters;
    struct sim *sim;
    struct sim_cluster cluster;
    struct history history;
    struct workload workload;
    struct members members;
    struct nemesis nemesis;
    enum plot_kind plot;
    struct checks checks;
    struct votes votes;
};

static uint64_t now_ms(const struct run *r)
{
    return sim_now_ns(r->sim) / MS;
}

/* Lets the cluster go on a little; false once something is wrong. */
static bool step(struct run *r)
{
    sim_run_for(r->sim, 1 + sim_random(r->sim, STEP_NS));
    cluster_step(&r->cluster);
    workload_step(&r->workload);
    members_step(&r->members);
    checks_step(&r->checks);
    votes_step(&r->votes, r->nemesis.faulty_disk);
    return r->history.violation[0] == '\0';
}

static bool step_until(struct run *r, uint64_t limit_ms, bool (*done)(const struct workload *w))
{
    uint64_t end_ms = now_ms(r) + limit_ms;
    while (now_ms(r) < end_ms) {
        if (!step(r))
            return false;
        if (done(&r->workload))
            return true;
    }
    return false;
}

static void note(const struct run *r, const char *what)
{
    if (r->options->verbose)
        fprintf(stderr, "[%7" PRIu64 " ms] %s\n", now_ms(r), what);
}

/* ---- the phases ---- */

/* Broken promises are about something else, unless they ask for members. */
static unsigned member_count(const struct run_options *o)
{
    if (o->members != 0)
        return o->members - 1;
    return o->sabotage == 0 && o->guards_off == 0 ? members_of_seed(o->seed) : 0;
}

/* One bound in each second run, all in each eighth; by the seed's number, which leaves its other choices as
 * they are. Broken promises are shown with the usual ones. */
static unsigned small_bounds(const struct run_options *o)
{
    const uint64_t mixed = o->seed * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    if (o->sabotage != 0 || o->guards_off != 0)
        return 0;
    return mixed % 8 == 0 ? (1u << BOUNDS) - 1 : mixed % 8 < 4 ? 1u << (mixed >> 3) % BOUNDS : 0;
}

static void set_up(struct run *r, struct run_result *result)
{
    static const unsigned counts[] = {3, 3, 3, 3, 3, 3, 5, 5, 5, 7};
    r->counters = &result->counters;
    r->sim = sim_create(r->options->seed);
    unsigned count = counts[sim_random(r->sim, sizeof(counts) / sizeof(counts[0]))];
    static const struct {
        uint64_t heartbeat_ms, election_timeout_ms;
    } paces[] = {{100, 500}, {30, 200}, {20, 100}};
    uint64_t pace = sim_random(r->sim, 3);
    r->plot = plot_choose(r->sim, r->options->faults, (enum plot_kind)r->options->plot);
    unsigned memory = (unsigned)sim_random(r->sim, 8);
    if (r->plot == PLOT_AMNESIA)
        memory = 0; /* it waits for snapshots */
    const struct sim_cluster_options options = {.count = r->options->nodes != 0 ? r->options->nodes : count,
                                                .heartbeat_ms = paces[pace].heartbeat_ms,
                                                .election_timeout_ms = paces[pace].election_timeout_ms,
                                                .entry_memory_bytes = (16 * 1024u) << memory,
                                                .cache_bytes =
                                                    sim_random(r->sim, 2) == 0 ? 64 * 1024 : 1024 * 1024,
                                                .inflight_bytes = (16 * 1024u) << sim_random(r->sim, 6),
                                                .log_level = r->options->verbose ? LOG_DEBUG : LOG_INFO,
                                                .guards_off = r->options->guards_off,
                                                .sabotage = r->options->sabotage,
                                                .small_bounds = small_bounds(r->options)};
    result->nodes = options.count;
    history_init(&r->history, r->counters);
    cluster_init(&r->cluster, r->sim, &options, r->counters);
    checks_init(&r->checks, &r->cluster, &r->history);
    votes_init(&r->votes, &r->cluster, &r->history);
    workload_init(&r->workload, r->sim, &r->history, options.count);
    if (r->options->clients != 0)
        r->workload.machine_count = r->options->clients;
    members_init(&r->members, &r->workload, member_count(r->options));
}

static void start(struct run *r)
{
    if (!step_until(r, START_MS, workload_has_topics))
        history_fail(&r->history, "no progress: the first topics are not there after %d s", START_MS / 1000);
}

/* The worst moment for a voter to lose power: somebody leads by its vote, and it may not be on its disk. A
 * node that keeps what it promises hardly ever gets there. */
static void betray_the_unsure(struct run *r)
{
    struct sim_node *voter = r->votes.unsure;
    if (voter == NULL || !cluster_node_works(voter) || r->nemesis.ambush.node != NULL ||
        (r->nemesis.faults >> FAULT_CRASH & 1) == 0)
        return;
    counters_add(r->counters, "voters_unsure", 1);
    note(r, "a voter loses power before its vote is on disk");
    cluster_crash(voter, sim_random(r->sim, 10) * MS);
}

static void run_faults(struct run *r)
{
    uint64_t duration_ms = 2000 + sim_random(r->sim, 8000);
    if (r->options->duration_ms != 0)
        duration_ms = r->options->duration_ms;
    uint64_t end_ms = now_ms(r) + duration_ms;
    workload_start(&r->workload);
    members_start(&r->members);
    nemesis_init(&r->nemesis, &r->cluster, &r->workload, r->options->faults, r->options->profile, r->plot);
    r->nemesis.verbose = r->options->verbose;
    while (now_ms(r) < end_ms && step(r)) {
        betray_the_unsure(r);
        nemesis_step(&r->nemesis);
    }
}

static void look_for_failed(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    (void)n, (void)p;
    if (group_role(g) == GROUP_FAILED)
        *(bool *)data = true;
}

/* What an operator does with a node whose disk had failed, after it was mended. */
static void restart_failed(struct run *r)
{
    for (unsigned i = 0; i < r->cluster.count; i++) {
        struct sim_node *n = &r->cluster.nodes[i];
        bool failed = false;
        if (cluster_node_works(n))
            cluster_each_group(n, look_for_failed, &failed);
        if (!failed)
            continue;
        counters_add(r->counters, "node_restarted_after_disk_failure", 1);
        cluster_kill(n, 0);
    }
}

static void calm(struct run *r)
{
    note(r, "heal");
    nemesis_heal(&r->nemesis);
    restart_failed(r);
    uint64_t end_ms = now_ms(r) + CALM_MS;
    while (now_ms(r) < end_ms && step(r))
        ;
    workload_end(&r->workload);
    members_end(&r->members);
}

static void converge(struct run *r)
{
    char why[256] = "";
    uint64_t begin_ms = now_ms(r), end_ms = begin_ms + CONVERGE_MS;
    note(r, "converge");
    while (now_ms(r) < end_ms && step(r)) {
        restart_failed(r);
        if (!workload_is_idle(&r->workload))
            snprintf(why, sizeof(why), "clients still wait for answers");
        else if (checks_converged(&r->checks, why, sizeof(why)) &&
                 members_are_settled(&r->members, why, sizeof(why))) {
            counters_add(r->counters, "convergence_ms", now_ms(r) - begin_ms);
            checks_compare_replicas(&r->checks, r->nemesis.faulty_disk);
            return;
        }
    }
    history_fail(&r->history, "no progress: %d s after all faults were mended %s", CONVERGE_MS / 1000, why);
}

/* The auditor may know of records that nobody was told of when the groups had come to rest. */
static void await_members(struct run *r)
{
    uint64_t end_ms = now_ms(r) + AUDIT_MS;
    bool done = false;
    while (!done && now_ms(r) < end_ms && step(r))
        done = members_have_processed(&r->members, r->workload.ends);
    if (!done)
        history_fail(&r->history, "no progress: a group's members do not reach the ends within %d s",
                     AUDIT_MS / 1000);
}

static void audit(struct run *r)
{
    note(r, "audit");
    workload_start_audit(&r->workload);
    if (!step_until(r, AUDIT_MS, workload_audit_is_complete))
        history_fail(&r->history, "no progress: a new reader does not reach the ends within %d s",
                     AUDIT_MS / 1000);
    workload_check_complete(&r->workload);
    await_members(r);
}

void run_seed(const struct run_options *options, struct run_result *result)
{
    static void (*const phases[])(struct run * r) = {start, run_faults, calm, converge, audit};
    struct run *r = memory_zalloc(sizeof(*r));
    r->options = options;
    set_up(r, result);
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]) && r->history.violation[0] == '\0'; i++)
        phases[i](r);
    cluster_count(&r->cluster);
    cluster_forget(&r->cluster);
    counters_add(r->counters, "simulated_ms", now_ms(r));
    snprintf(result->violation, sizeof(result->violation), "%s", r->history.violation);
    result->hash = sim_hash(r->sim);
    result->simulated_ms = now_ms(r);
    result->complete = true;
}
