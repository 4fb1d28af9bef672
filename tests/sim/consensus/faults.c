#include "tests/sim/consensus/faults.h"
#include "node/env/bounds.h"
#include <string.h>

enum { FAULTS_MS = 10000 };

struct profile;

struct random_run {
    struct one_group *group;
    const struct profile *profile;
    uint64_t newest_term; /* that has had a leader */
    uint64_t newest_ready_term;
    unsigned isolated; /* by the last rotation */
    bool trims;
};

static void on_transferred(void *data, int status)
{
    (void)data;
    (void)status;
}

static void transfer(struct one_group *r)
{
    struct test_node *leader = cluster_leader(&r->cluster, 0);
    if (leader)
        group_transfer(leader->groups[0].group, 0, on_transferred, NULL);
}

/* Leaders, also those that are not ready yet, are where faults hurt. */
static unsigned victim(struct one_group *r)
{
    unsigned a = (unsigned)sim_random(r->sim, r->cluster.n);
    uint64_t term = 0;
    if (sim_random(r->sim, 3) == 0)
        return a;
    for (unsigned i = 0; i < r->cluster.n; i++) {
        const struct test_node *node = &r->cluster.nodes[i];
        if (node->up && node->groups[0].role == GROUP_LEADER && node->groups[0].term > term) {
            term = node->groups[0].term;
            a = i;
        }
    }
    return a;
}

static void bring_down(struct one_group *r, unsigned i, bool power)
{
    one_group_bring_down(r, i, power, sim_random(r->sim, sim_random(r->sim, 2) ? 50 : 800));
}

static void slow_network(struct one_group *r)
{
    uint64_t worst = 1 + sim_random(r->sim, 40);
    sim_network_latency(r->sim, 30000, worst * MS);
}

static void slow_disk(struct one_group *r, unsigned a)
{
    uint64_t worst = 1 + sim_random(r->sim, 300);
    sim_disk_latency(r->hosts[a], 200000, worst * MS);
}

enum fault {
    FAULT_KILL,
    FAULT_POWER,
    FAULT_POWER_ALL,
    FAULT_ISOLATE,
    FAULT_CUT,
    FAULT_DISK,
    FAULT_NETWORK,
    FAULT_RESET,
    FAULT_FREEZE,
    FAULT_TRANSFER,
    FAULT_CALM,
    FAULT_HEAL,
    FAULT_ROTATE,
    FAULT_SPLIT,
    FAULTS
};

/* Faults at the worst moment: who has just voted a leader in loses power; or all do when a leader has just
 * committed its first entry, and it is the last one to be back. */
enum betrayal { NO_BETRAYAL, BETRAY_THE_ELECTED, BETRAY_THE_COMMITTED };

/* What happens how often, and how far apart. */
struct profile {
    unsigned weights[FAULTS];
    unsigned gap_ms;
    unsigned disk_ms;    /* worst, from the start */
    unsigned network_ms; /* likewise */
    enum betrayal betrayal;
    bool uneven; /* half of the disks are fast */
};
static const struct profile profiles[] = {
    /* a bit of everything */
    {{1, 3, 1, 3, 2, 1, 1, 1, 1, 1, 1, 4, 0, 0}, 120, 0, 0, NO_BETRAYAL, false},
    /* elections on slow disks */
    {{1, 8, 2, 2, 1, 3, 0, 1, 0, 1, 0, 4, 1, 1}, 60, 150, 2, NO_BETRAYAL, false},
    /* leaders cut off on a slow network */
    {{0, 2, 0, 6, 4, 1, 3, 1, 1, 2, 0, 8, 2, 0}, 60, 5, 25, NO_BETRAYAL, false},
    /* one node after the other cut off */
    {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 12, 0}, 300, 20, 10, BETRAY_THE_COMMITTED, false},
    /* two nodes that do not see each other, and a third one that both need */
    {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 6}, 200, 120, 1, BETRAY_THE_ELECTED, false},
    /* old leaders that come back with a stale suffix, on disks of which half are slow */
    {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 12, 0}, 400, 150, 1, BETRAY_THE_COMMITTED, true},
};
_Static_assert(sizeof profiles / sizeof profiles[0] == FAULT_PROFILES, "each has a number");

static enum fault draw_fault(struct random_run *f)
{
    const unsigned *weights = f->profile->weights;
    unsigned total = 0, drawn = 0;
    for (unsigned i = 0; i < FAULTS; i++)
        total += weights[i];
    uint64_t at = sim_random(f->group->sim, total);
    while (at >= weights[drawn])
        at -= weights[drawn++];
    return (enum fault)drawn;
}

static void cut(struct one_group *r, unsigned a)
{
    unsigned b = (unsigned)sim_random(r->sim, r->cluster.n);
    if (a == b)
        return;
    if (sim_random(r->sim, 2))
        sim_link_cut(r->hosts[a], r->hosts[b]);
    else
        sim_link_cut(r->hosts[b], r->hosts[a]);
}

static void reset_links(struct one_group *r, unsigned a)
{
    for (unsigned b = 0; b < r->cluster.n; b++)
        if (a != b)
            sim_link_reset(r->hosts[a], r->hosts[b]);
}

/* Who was cut off is back at the moment when another one is cut off. */
static void rotate(struct random_run *f, unsigned a)
{
    one_group_heal(f->group);
    sim_host_isolate(f->group->hosts[a]);
    f->isolated = a;
}

/* Two candidates that don't hear of each other, and a voter that may lose its memory in between. */
static void split(struct one_group *r)
{
    unsigned voter = (unsigned)sim_random(r->sim, r->cluster.n);
    one_group_heal(r);
    for (unsigned i = 0; i < r->cluster.n; i++)
        for (unsigned k = 0; k < r->cluster.n; k++)
            if (i != k && i != voter && k != voter)
                sim_link_cut(r->hosts[i], r->hosts[k]);
    if (sim_random(r->sim, 2))
        bring_down(r, voter, true);
}

static void fault(struct random_run *f)
{
    unsigned a = victim(f->group);
    switch (draw_fault(f)) {
    case FAULT_KILL:
        bring_down(f->group, a, false);
        break;
    case FAULT_POWER:
        bring_down(f->group, a, true);
        break;
    case FAULT_POWER_ALL:
        one_group_power_loss(f->group);
        break;
    case FAULT_ISOLATE:
        sim_host_isolate(f->group->hosts[a]);
        break;
    case FAULT_CUT:
        cut(f->group, a);
        break;
    case FAULT_DISK:
        slow_disk(f->group, a);
        break;
    case FAULT_NETWORK:
        slow_network(f->group);
        break;
    case FAULT_RESET:
        reset_links(f->group, a);
        break;
    case FAULT_FREEZE:
        one_group_freeze(f->group, a);
        break;
    case FAULT_TRANSFER:
        transfer(f->group);
        break;
    case FAULT_CALM:
        one_group_calm(f->group);
        break;
    case FAULT_ROTATE:
        rotate(f, a);
        break;
    case FAULT_SPLIT:
        split(f->group);
        break;
    default:
        one_group_heal(f->group);
    }
}

/* Retention: what a replica that was away needs may be gone. */
static void trim(struct one_group *r)
{
    unsigned i = (unsigned)sim_random(r->sim, r->cluster.n);
    struct test_node *node = &r->cluster.nodes[i];
    if (!node->up || r->frozen[i] || !node->groups[0].open || node->groups[0].failed)
        return;
    int64_t offset = node->groups[0].next_offset;
    if (offset > r->judge.dropped_before)
        r->judge.dropped_before = offset;
    group_trim(node->groups[0].group, offset);
}

static void betray_elected(struct one_group *r, unsigned leader)
{
    for (unsigned k = 0; k < r->cluster.n; k++)
        if (k != leader && sim_random(r->sim, 2))
            bring_down(r, k, true);
}

/* Whoever was cut off comes back with its stale suffix just as a leader is elected, and the follower that has
 * voted for it is cut off instead. */
static void swap_followers(struct random_run *f, unsigned leader)
{
    unsigned voter = (unsigned)sim_random(f->group->sim, f->group->cluster.n);
    if (voter != leader && voter != f->isolated)
        rotate(f, voter);
}

static void betray_committed(struct random_run *f, unsigned leader)
{
    if (sim_random(f->group->sim, 2))
        return;
    if (f->profile->uneven && sim_random(f->group->sim, 2)) {
        one_group_heal(f->group);
        bring_down(f->group, leader, true);
    } else {
        one_group_power_loss(f->group);
    }
    f->group->restart_at_ms[leader] = one_group_now_ms(f->group) + 1000;
}

static void betray(struct random_run *f)
{
    for (unsigned i = 0; i < f->group->cluster.n; i++) {
        const struct test_group *t = &f->group->cluster.nodes[i].groups[0];
        if (!f->group->cluster.nodes[i].up || t->role != GROUP_LEADER)
            continue;
        if (t->term > f->newest_term && f->profile->betrayal == BETRAY_THE_ELECTED)
            betray_elected(f->group, i);
        else if (t->term > f->newest_term)
            swap_followers(f, i);
        else if (t->ready && t->term > f->newest_ready_term && f->profile->betrayal == BETRAY_THE_COMMITTED) {
            f->newest_ready_term = t->term;
            betray_committed(f, i);
        }
        if (t->term > f->newest_term)
            f->newest_term = t->term;
    }
}

void faults_prepare(struct one_group *r, unsigned profile)
{
    const struct profile *p = &profiles[profile];
    if (p->network_ms)
        sim_network_latency(r->sim, 30000, p->network_ms * (uint64_t)MS);
    r->cluster.entry_memory_bytes = sim_random(r->sim, 2) ? 64 << 10 : 1 << 20;
    r->cluster.segment_bytes = sim_random(r->sim, 2) ? 64 << 10 : 1 << 20;
    if (r->cluster.segment_bytes == 64 << 10)
        r->small_bounds = 1u << BOUND_APPEND_PIECE | 1u << BOUND_CATCHUP_CHUNK | 1u << BOUND_LOAD_CHUNK;
    for (unsigned i = 0; i < r->cluster.n; i++)
        if (p->disk_ms && (!p->uneven || sim_random(r->sim, 2) == 0))
            sim_disk_latency(r->hosts[i], 200000, p->disk_ms * (uint64_t)MS);
}

const char *faults_run(struct one_group *r, unsigned profile)
{
    struct random_run f = {
        .group = r, .profile = &profiles[profile], .trims = r->cluster.segment_bytes == 64 << 10};
    uint64_t next_fault_ms = 500;
    while (one_group_now_ms(r) < FAULTS_MS && one_group_step(r, sim_random(r->sim, MS))) {
        one_group_propose(r);
        if (f.trims && sim_random(r->sim, 200) == 0)
            trim(r);
        if (f.profile->betrayal)
            betray(&f);
        if (one_group_now_ms(r) >= next_fault_ms) {
            fault(&f);
            next_fault_ms = one_group_now_ms(r) + 1 + sim_random(r->sim, 2 * f.profile->gap_ms);
        }
    }
    return r->cluster.violation[0] ? r->cluster.violation : NULL;
}
