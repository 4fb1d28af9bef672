#include "tests/sim/consensus/plots.h"

enum { SETTLE_MS = 5000, FAST_DISK_NS = 300000 };

/* ---- waiting ---- */

typedef bool condition(struct one_group *r, unsigned node, uint64_t value);

struct wish {
    struct one_group *r;
    condition *holds;
    unsigned node;
    uint64_t value;
};

static bool is_fulfilled(void *data)
{
    const struct wish *w = data;
    return w->holds(w->r, w->node, w->value);
}

/* To the very event. False when it takes longer, or something is wrong. */
static bool await(struct one_group *r, uint64_t at_most_ms, condition *holds, unsigned node, uint64_t value)
{
    struct wish w = {r, holds, node, value};
    for (bool done = false; at_most_ms > 0; at_most_ms--) {
        done = sim_run_until(r->sim, MS, is_fulfilled, &w);
        if (!one_group_step(r, 0) || done)
            return done;
    }
    return false;
}

static void pass(struct one_group *r, uint64_t ms)
{
    while (ms-- > 0 && one_group_step(r, MS))
        ;
}

static const struct test_group *group_on(const struct one_group *r, unsigned i)
{
    const struct test_node *node = &r->cluster.nodes[i];
    return node->up && node->groups[0].open ? &node->groups[0] : NULL;
}

static bool leads_after(struct one_group *r, unsigned node, uint64_t term)
{
    const struct test_group *t = group_on(r, node);
    return t && t->role == GROUP_LEADER && t->term > term;
}

static bool somebody_leads_after(struct one_group *r, unsigned but, uint64_t term)
{
    for (unsigned i = 0; i < r->cluster.n; i++)
        if (i != but && leads_after(r, i, term))
            return true;
    return false;
}

static bool is_ready(struct one_group *r, unsigned node, uint64_t unused)
{
    const struct test_group *t = group_on(r, node);
    (void)unused;
    return t && group_is_ready_leader(t->group);
}

static bool is_settled(struct one_group *r, unsigned node, uint64_t unused)
{
    struct test_cluster *c = &r->cluster;
    (void)node, (void)unused;
    return all_open(c, NULL) && has_leader(c, NULL) && all_applied(c, NULL) && nothing_in_flight(c, NULL);
}

static bool is_stored(struct one_group *r, unsigned node, uint64_t index)
{
    const struct test_group *t = group_on(r, node);
    return t && log_durable_index(group_log(t->group)) >= index;
}

static bool has_term(struct one_group *r, unsigned node, uint64_t term)
{
    struct probed_core core;
    const struct test_group *t = group_on(r, node);
    return t && probe_core(t->group, &core) && core.term >= term;
}

static bool is_candidate(struct one_group *r, unsigned node, uint64_t after_term)
{
    struct probed_core core;
    const struct test_group *t = group_on(r, node);
    return t && probe_core(t->group, &core) && core.campaigns && core.term > after_term;
}

/* ---- who is who ---- */

/* Nodes of a group that stands still: the leader, and two others in an order of chance. */
struct cast {
    unsigned leader, second, third;
    uint64_t term;
};

static bool assign(struct one_group *r, struct cast *cast)
{
    one_group_calm(r);
    one_group_start_due(r, true);
    if (!await(r, SETTLE_MS, is_settled, 0, 0))
        return false;
    const struct test_node *leader = cluster_leader(&r->cluster, 0);
    unsigned step = 1 + (unsigned)sim_random(r->sim, 2);
    cast->leader = leader->id - 1;
    cast->second = (cast->leader + step) % r->cluster.n;
    cast->third = (cast->leader + 2 * step) % r->cluster.n;
    cast->term = leader->groups[0].term;
    return true;
}

static uint64_t last_index(const struct one_group *r, unsigned i)
{
    const struct test_group *t = group_on(r, i);
    return t ? log_last_index(group_log(t->group)) : 0;
}

static void slow_disk(struct one_group *r, unsigned i, uint64_t ms)
{
    sim_disk_latency(r->hosts[i], ms * MS / 2, ms * MS);
}

static void reset_links(struct one_group *r, unsigned a)
{
    for (unsigned b = 0; b < r->cluster.n; b++)
        if (a != b)
            sim_link_reset(r->hosts[a], r->hosts[b]);
}

static uint64_t median(uint64_t *all, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        for (unsigned k = i; k > 0 && all[k - 1] > all[k]; k--) {
            uint64_t greater = all[k - 1];
            all[k - 1] = all[k];
            all[k] = greater;
        }
    return all[n / 2];
}

static uint64_t since_us(const struct one_group *r, uint64_t begin_ns)
{
    return (sim_now_ns(r->sim) - begin_ns) / 1000;
}

/* ---- how long it takes ---- */

/* Half a heartbeat: what waits for one is late. The leader's disk is ahead of the others', so that it never
 * stands at what a majority has. */
static const char *steady_load(struct one_group *r)
{
    enum { LOAD_MS = 600, PATIENCE_MS = 10 };
    uint64_t proposed[LOAD_MS] = {0};
    struct cast cast;
    if (!assign(r, &cast))
        return NULL;
    slow_disk(r, cast.second, 2);
    slow_disk(r, cast.third, 2);
    uint64_t count = 0, before = r->cluster.acked + r->cluster.lost;
    for (unsigned ms = 0; ms < LOAD_MS; ms++) {
        for (uint64_t us = 0; us < 1000;) {
            uint64_t gap_us = 100 + sim_random(r->sim, 100);
            count += one_group_propose_to(r, cast.leader, 50);
            if (!one_group_step(r, gap_us * 1000))
                return r->cluster.violation;
            us += gap_us;
        }
        proposed[ms] = count;
        if (ms >= PATIENCE_MS && r->cluster.acked + r->cluster.lost - before < proposed[ms - PATIENCE_MS])
            return "a proposal under steady load is not committed for half a heartbeat";
    }
    return NULL;
}

/* One follower lacks what the others have; the one that does not is next. */
static bool leave_behind(struct one_group *r, const struct cast *cast)
{
    one_group_cut_both_ways(r, cast->leader, cast->third);
    for (unsigned i = 0; i < 8; i++) {
        one_group_propose_to(r, cast->leader, 50);
        one_group_step(r, sim_random(r->sim, MS));
    }
    reset_links(r, cast->leader);
    one_group_bring_down(r, cast->leader, false, UINT64_MAX);
    sim_heal_all(r->sim);
    return await(r, 3000, leads_after, cast->second, cast->term);
}

static const char *first_commit(struct one_group *r)
{
    enum { ELECTIONS = 9, PATIENCE_US = 10000 };
    uint64_t took_us[ELECTIONS];
    for (unsigned i = 0; i < ELECTIONS; i++) {
        struct cast cast;
        if (!assign(r, &cast) || !leave_behind(r, &cast))
            return NULL;
        uint64_t begin_ns = sim_now_ns(r->sim);
        if (!await(r, 3000, is_ready, cast.second, 0))
            return NULL;
        took_us[i] = since_us(r, begin_ns);
    }
    return median(took_us, ELECTIONS) > PATIENCE_US
               ? "new leaders need half a heartbeat for their first commit"
               : NULL;
}

/* Each of two leaders in a row has as many entries where the other one has its own, and the first commits
 * none. */
static bool make_conflict(struct one_group *r, const struct cast *cast)
{
    enum { ENTRIES = 80 };
    uint64_t term = cast->term;
    sim_host_isolate(r->hosts[cast->leader]);
    for (unsigned i = 0; i < ENTRIES; i++) {
        one_group_propose_to(r, cast->leader, 50);
        one_group_step(r, 100000);
    }
    if (!await(r, 1000, is_stored, cast->leader, last_index(r, cast->leader)) ||
        !await(r, 3000, somebody_leads_after, cast->leader, term))
        return false;
    unsigned next = leads_after(r, cast->second, term) ? cast->second : cast->third;
    if (!await(r, 1000, is_ready, next, 0))
        return false;
    for (unsigned i = 0; i < ENTRIES; i++) {
        one_group_propose_to(r, next, 50);
        one_group_step(r, 200000);
    }
    pass(r, 100);
    return true;
}

static bool agree(struct one_group *r, unsigned a, uint64_t b)
{
    return last_index(r, a) == last_index(r, (unsigned)b);
}

static const char *long_suffix(struct one_group *r)
{
    enum { PATIENCE_MS = 250 };
    struct cast cast;
    if (!assign(r, &cast) || !make_conflict(r, &cast))
        return NULL;
    uint64_t term = cast.term;
    unsigned first = leads_after(r, cast.second, term) ? cast.second : cast.third;
    unsigned next = first == cast.second ? cast.third : cast.second;
    sim_network_latency(r->sim, 4 * MS, 6 * MS);
    term = group_on(r, first)->term;
    one_group_bring_down(r, first, false, 50);
    if (!await(r, 3000, leads_after, next, term) || !await(r, 1000, is_ready, next, 0))
        return NULL;
    sim_heal_all(r->sim);
    if (!await(r, 500, has_term, cast.leader, term + 1) || await(r, PATIENCE_MS, agree, cast.leader, next))
        return NULL;
    return leads_after(r, next, term)
               ? "an old leader does not agree with the new one for a quarter of a second"
               : NULL;
}

/* ---- an order of events ---- */

static void on_transferred(void *data, int status)
{
    (void)data, (void)status;
}

static bool transfer(struct one_group *r, unsigned from, unsigned to)
{
    const struct test_group *t = group_on(r, from);
    return t && group_transfer(t->group, to + 1, on_transferred, NULL) == 0;
}

static bool may_transfer_again(struct one_group *r, unsigned from, uint64_t to)
{
    return transfer(r, from, (unsigned)to);
}

static const char *crossed_transfers(struct one_group *r)
{
    struct cast cast;
    if (!assign(r, &cast))
        return NULL;
    pass(r, 50);
    one_group_freeze(r, cast.third);
    if (!transfer(r, cast.leader, cast.third))
        return NULL;
    if (!await(r, 400, may_transfer_again, cast.leader, cast.second))
        return NULL;
    one_group_step(r, sim_random(r->sim, 300) * 1000);
    one_group_heal(r);
    pass(r, 100);
    return NULL;
}

/* Somebody is elected again and again by who has as much as it, and tells nobody of it; then it is gone. */
static bool raise_terms(struct one_group *r, struct cast *cast)
{
    uint64_t term = cast->term;
    for (unsigned i = 0; i < 3; i++) {
        if (!await(r, 3000, somebody_leads_after, cast->leader, term))
            return false;
        if (leads_after(r, cast->third, term)) {
            unsigned swapped = cast->third;
            cast->third = cast->second;
            cast->second = swapped;
        }
        one_group_cut_both_ways(r, cast->second, cast->third);
        reset_links(r, cast->second);
        term = group_on(r, cast->second)->term;
        one_group_bring_down(r, cast->second, false, i < 2 ? 0 : UINT64_MAX);
        sim_link_heal(r->hosts[cast->second], r->hosts[cast->third]);
        sim_link_heal(r->hosts[cast->third], r->hosts[cast->second]);
    }
    return true;
}

static const char *old_term(struct one_group *r)
{
    struct cast cast;
    if (!assign(r, &cast))
        return NULL;
    for (unsigned i = 0; i < r->cluster.n; i++)
        sim_host_isolate(r->hosts[i]);
    one_group_propose_to(r, cast.leader, 50);
    if (!await(r, 100, is_stored, cast.leader, last_index(r, cast.leader)))
        return NULL;
    reset_links(r, cast.leader);
    one_group_bring_down(r, cast.leader, false, UINT64_MAX);
    sim_heal_all(r->sim);
    if (!raise_terms(r, &cast))
        return NULL;
    sim_heal_all(r->sim);
    one_group_start(r, cast.leader);
    return await(r, 3000, somebody_leads_after, cast.second, cast.term) || r->cluster.violation[0]
               ? NULL
               : "two of three replicas do not elect the one that has everything";
}

static const char *one_replica(struct one_group *r)
{
    slow_disk(r, 0, 30);
    if (!await(r, SETTLE_MS, is_ready, 0, 0))
        return NULL;
    for (unsigned i = 0; i < 20; i++) {
        one_group_propose(r);
        one_group_step(r, sim_random(r->sim, 10) * MS);
    }
    one_group_bring_down(r, 0, true, 10);
    pass(r, 30);
    return NULL;
}

static bool has_heard_only(struct one_group *r, unsigned node, uint64_t after_term)
{
    struct probed_core core;
    const struct test_group *t = group_on(r, node);
    return t && probe_core(t->group, &core) && core.term > after_term && core.vote == 0;
}

/* The third one is a candidate of whom nobody hears. */
static bool make_candidate(struct one_group *r, const struct cast *cast)
{
    one_group_freeze(r, cast->second);
    one_group_bring_down(r, cast->leader, false, UINT64_MAX);
    if (!await(r, 3000, is_candidate, cast->third, cast->term))
        return false;
    reset_links(r, cast->third);
    one_group_cut_both_ways(r, cast->leader, cast->third);
    pass(r, 15);
    one_group_start(r, cast->leader);
    pass(r, 15);
    sim_host_thaw(r->hosts[cast->second]);
    r->frozen[cast->second] = false;
    pass(r, 10);
    return true;
}

/* The second one hears of a term from the third, which got no votes in it; then the old leader, which knows
 * nothing of that, asks for its vote in the same term: a vote alone goes to the journal, and the power with
 * it. */
static const char *late_vote(struct one_group *r)
{
    struct cast cast;
    if (!assign(r, &cast) || !make_candidate(r, &cast))
        return NULL;
    one_group_cut_both_ways(r, cast.leader, cast.second);
    if (!await(r, 600, has_heard_only, cast.second, cast.term))
        return NULL;
    slow_disk(r, cast.second, 100);
    sim_heal_all(r->sim);
    sim_host_isolate(r->hosts[cast.third]);
    if (await(r, 600, leads_after, cast.leader, cast.term))
        one_group_bring_down(r, cast.second, true, 5);
    pass(r, 100);
    return NULL;
}

/* What the others get and the third one does not, before the second one leads. */
static bool leave_far_behind(struct one_group *r, const struct cast *cast)
{
    enum { ENTRIES = 40 };
    one_group_cut_both_ways(r, cast->third, cast->leader);
    one_group_cut_both_ways(r, cast->third, cast->second);
    for (unsigned i = 0; i < ENTRIES; i++) {
        one_group_propose_to(r, cast->leader, 1000);
        one_group_step(r, 100000);
    }
    return await(r, 1000, is_stored, cast->second, last_index(r, cast->leader)) &&
           transfer(r, cast->leader, cast->second) && await(r, 1000, leads_after, cast->second, cast->term) &&
           await(r, 1000, is_ready, cast->second, 0);
}

static bool has_received(struct one_group *r, unsigned node, uint64_t after)
{
    return last_index(r, node) > after;
}

static bool has_snapshot(struct one_group *r, unsigned node, uint64_t after)
{
    const struct test_group *t = group_on(r, node);
    return t && group_snapshot_index(t->group) > after;
}

/* A new leader knows of no match. Its first entries arrive, the answer gets lost, and until it sends them
 * once more the follower has them in a snapshot. */
static const char *lost_answer(struct one_group *r)
{
    struct cast cast;
    if (!assign(r, &cast))
        return NULL;
    r->cluster.forgetful = cast.third + 1;
    one_group_bring_down(r, cast.third, false, 0);
    pass(r, 50);
    uint64_t index = last_index(r, cast.third);
    if (!await(r, SETTLE_MS, is_settled, 0, 0) || !leave_far_behind(r, &cast))
        return NULL;
    slow_disk(r, cast.third, 10);
    sim_heal_all(r->sim);
    if (!await(r, 1000, has_received, cast.third, index))
        return NULL;
    sim_link_cut(r->hosts[cast.third], r->hosts[cast.second]);
    sim_link_reset(r->hosts[cast.third], r->hosts[cast.second]);
    await(r, 200, has_snapshot, cast.third, index);
    sim_heal_all(r->sim);
    pass(r, 500);
    return NULL;
}

/* The configuration of the group's first entry is in snapshots only. */
static bool compact_first_entry(struct one_group *r, struct cast *cast)
{
    enum { ENTRIES = 60, SMALL_BYTES = 16 << 10 };
    r->cluster.entry_memory_bytes = SMALL_BYTES;
    for (unsigned i = 0; i < r->cluster.n; i++)
        one_group_bring_down(r, i, false, 0);
    if (!assign(r, cast))
        return false;
    for (unsigned i = 0; i < ENTRIES; i++) {
        one_group_propose_to(r, cast->leader, 1000);
        one_group_step(r, 100000);
    }
    return await(r, 1000, has_snapshot, cast->leader, ENTRIES / 4);
}

static const char *rolled_back(struct one_group *r)
{
    struct cast cast;
    if (!compact_first_entry(r, &cast))
        return NULL;
    sim_host_isolate(r->hosts[cast.leader]);
    if (!probe_change_configuration(group_on(r, cast.leader)->group, r->cluster.n + 1) ||
        !await(r, 1000, is_stored, cast.leader, last_index(r, cast.leader)) ||
        !await(r, 3000, somebody_leads_after, cast.leader, cast.term))
        return NULL;
    pass(r, 50);
    one_group_propose(r);
    pass(r, 50);
    sim_heal_all(r->sim);
    await(r, 500, has_term, cast.leader, cast.term + 1);
    pass(r, 200);
    return NULL;
}

/* ---- all ---- */

static const struct {
    unsigned nodes;
    unsigned rounds;
    const char *(*act)(struct one_group *r);
} table[PLOTS] = {
    [PLOT_STEADY_LOAD] = {3, 2, steady_load}, [PLOT_FIRST_COMMIT] = {3, 1, first_commit},
    [PLOT_LONG_SUFFIX] = {3, 2, long_suffix}, [PLOT_CROSSED_TRANSFERS] = {3, 8, crossed_transfers},
    [PLOT_OLD_TERM] = {3, 3, old_term},       [PLOT_ONE_REPLICA] = {1, 10, one_replica},
    [PLOT_ROLLED_BACK] = {3, 2, rolled_back}, [PLOT_LATE_VOTE] = {3, 24, late_vote},
    [PLOT_LOST_ANSWER] = {3, 1, lost_answer},
};

unsigned plot_nodes(enum consensus_plot plot)
{
    return table[plot].nodes;
}

const char *plot_run(struct one_group *r, enum consensus_plot plot)
{
    const char *what = NULL;
    for (unsigned i = 0; i < table[plot].rounds && what == NULL && r->cluster.violation[0] == '\0'; i++)
        what = table[plot].act(r);
    return r->cluster.violation[0] ? r->cluster.violation : what;
}
