/* Each kind of fault, done to a node. */
#include "node/base/assert.h"
#include "tests/sim/nemesis_internal.h"

/* ---- processes ---- */

static void crash(struct nemesis *n, struct sim_node *v)
{
    cluster_crash(v, nemesis_draw_down_ns(n));
}

static void crash_all(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    cluster_crash_all(n->cluster, 300 * MS);
}

static void crash_some(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    unsigned majority = n->cluster->count / 2 + 1;
    unsigned first = (unsigned)nemesis_draw(n, n->cluster->count);
    for (unsigned i = 0; i < majority; i++) {
        struct sim_node *node = &n->cluster->nodes[(first + i) % n->cluster->count];
        if (node->node != NULL)
            cluster_crash(node, nemesis_draw_down_ns(n));
    }
}

static void kill_node(struct nemesis *n, struct sim_node *v)
{
    cluster_kill(v, nemesis_draw_down_ns(n));
}

static void stop(struct nemesis *n, struct sim_node *v)
{
    (void)n;
    cluster_stop(v);
}

static void freeze(struct nemesis *n, struct sim_node *v)
{
    (void)n;
    cluster_freeze(v);
}

static void roll(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    n->rolling = n->cluster->count;
}

void nemesis_roll_next(struct nemesis *n)
{
    struct sim_node *node = &n->cluster->nodes[n->rolling - 1];
    if (!cluster_node_works(node))
        return;
    cluster_stop(node);
    n->rolling--;
}

/* ---- network ---- */

static void cut_one_way(struct nemesis *n, struct sim_node *v)
{
    struct sim_node *other = &n->cluster->nodes[nemesis_draw(n, n->cluster->count)];
    if (other == v)
        return;
    if (nemesis_draw(n, 2) == 0)
        sim_link_cut(v->host, other->host);
    else
        sim_link_cut(other->host, v->host);
}

/* From everybody, or from the other nodes only: clients then still reach a leader that has lost its
 * followers. */
static void isolate(struct nemesis *n, struct sim_node *v)
{
    if (nemesis_draw(n, 2) == 0) {
        sim_host_isolate(v->host);
        return;
    }
    for (unsigned i = 0; i < n->cluster->count; i++) {
        sim_link_cut(v->host, n->cluster->nodes[i].host);
        sim_link_cut(n->cluster->nodes[i].host, v->host);
    }
}

static void split(struct nemesis *n, struct sim_node *v)
{
    struct sim_node *other = &n->cluster->nodes[nemesis_draw(n, n->cluster->count)];
    if (other == v)
        return;
    sim_link_cut(v->host, other->host);
    sim_link_cut(other->host, v->host);
}

static struct sim_host *any_machine(struct nemesis *n)
{
    uint64_t i = nemesis_draw(n, n->cluster->count + WORKLOAD_MACHINES);
    if (i < n->cluster->count)
        return n->cluster->nodes[i].host;
    return n->workload->machines[i - n->cluster->count].host;
}

static void reset_links(struct nemesis *n, struct sim_node *v)
{
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (&n->cluster->nodes[i] != v)
            sim_link_reset(v->host, n->cluster->nodes[i].host);
    for (unsigned i = 0; i < WORKLOAD_MACHINES; i++)
        sim_link_reset(v->host, n->workload->machines[i].host);
}

static void half_open(struct nemesis *n, struct sim_node *v)
{
    sim_link_mute(v->host, any_machine(n));
}

static void slow_network(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    uint64_t worst_ms = 1 + nemesis_draw(n, 40);
    sim_network_latency(n->sim, 30000, worst_ms * MS);
}

/* ---- disks ---- */

static void rot(struct nemesis *n, struct sim_node *v)
{
    nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_FLIPPED_BIT);
}

static void lose_write(struct nemesis *n, struct sim_node *v)
{
    nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_LOST_WRITE);
}

static void misdirect_write(struct nemesis *n, struct sim_node *v)
{
    nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_MISDIRECTED_WRITE);
}

static void shorten(struct nemesis *n, struct sim_node *v)
{
    nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_CUT_FILE);
}

void nemesis_end_swap(struct nemesis *n)
{
    struct sim_node **s = n->swapped;
    if (s[0] == NULL)
        return;
    for (int i = 0; i < 2; i++)
        if (s[i]->node != NULL)
            cluster_kill(s[i], 0);
    cluster_swap_disks(s[0], s[1]);
    s[0] = s[1] = NULL;
}

static void begin_swap(struct nemesis *n, struct sim_node *v)
{
    struct sim_node *other = &n->cluster->nodes[nemesis_draw(n, n->cluster->count)];
    if (other == v || other->node == NULL || n->swapped[0] != NULL)
        return;
    cluster_kill(v, 20 * MS);
    cluster_kill(other, 20 * MS);
    cluster_swap_disks(v, other);
    n->swapped[0] = v;
    n->swapped[1] = other;
    n->swap_end_ns = sim_now_ns(n->sim) + (100 + nemesis_draw(n, 500)) * MS;
    counters_add(n->counters, "disks_swapped", 1);
}

/* ---- clocks ---- */

static void step_clock(struct nemesis *n, struct sim_node *v)
{
    int64_t minutes = (int64_t)nemesis_draw(n, 41) - 20;
    sim_host_step_wall_clock(v->host, minutes * 60000);
}

static void drift(struct nemesis *n, struct sim_node *v)
{
    sim_host_drift(v->host, (int32_t)nemesis_draw(n, 200001) - 100000); /* 10 % either way */
}

/* ---- clients and topics ---- */

static void kill_client(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    workload_kill_client(n->workload);
}

static void stop_client(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    workload_stop_client(n->workload);
}

static void slow_client(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    workload_slow_client(n->workload);
}

static void grow_topic(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    workload_grow_topic(n->workload);
}

static void churn_topic(struct nemesis *n, struct sim_node *v)
{
    (void)v;
    workload_churn_topic(n->workload);
}

static void drain(struct nemesis *n, struct sim_node *v)
{
    if (n->draining != 0)
        workload_drain(n->workload, n->draining, false);
    n->draining = n->draining == 0 ? v->id : 0;
    if (n->draining != 0)
        workload_drain(n->workload, v->id, true);
}

/* ---- all of them ---- */

void nemesis_strike(struct nemesis *n, enum fault f, struct sim_node *v)
{
    static void (*const strikes[FAULTS])(struct nemesis * n, struct sim_node * v) = {
        [FAULT_CRASH] = crash,
        [FAULT_CRASH_ALL] = crash_all,
        [FAULT_CRASH_SOME] = crash_some,
        [FAULT_KILL] = kill_node,
        [FAULT_STOP] = stop,
        [FAULT_ROLL] = roll,
        [FAULT_FREEZE] = freeze,
        [FAULT_ISOLATE] = isolate,
        [FAULT_CUT] = cut_one_way,
        [FAULT_SPLIT] = split,
        [FAULT_RESET] = reset_links,
        [FAULT_HALF_OPEN] = half_open,
        [FAULT_NETWORK] = slow_network,
        [FAULT_DISK] = nemesis_slow_disk,
        [FAULT_SPACE] = nemesis_fill_disk,
        [FAULT_SYNC_ERROR] = nemesis_fail_syncs,
        [FAULT_READ_ERROR] = nemesis_break_reads,
        [FAULT_ROT] = rot,
        [FAULT_LOST_WRITE] = lose_write,
        [FAULT_MISDIRECTED] = misdirect_write,
        [FAULT_SHORTEN] = shorten,
        [FAULT_WIPE] = nemesis_wipe,
        [FAULT_SWAP] = begin_swap,
        [FAULT_CLOCK] = step_clock,
        [FAULT_DRIFT] = drift,
        [FAULT_CLIENT] = kill_client,
        [FAULT_STUCK] = stop_client,
        [FAULT_SLOW] = slow_client,
        [FAULT_GROW] = grow_topic,
        [FAULT_CHURN] = churn_topic,
        [FAULT_DRAIN] = drain,
    };
    ASSERT(f < FAULTS && strikes[f] != NULL);
    strikes[f](n, v);
}
