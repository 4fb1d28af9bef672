#include "node/base/assert.h"
#include "tests/sim/nemesis_internal.h"
#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned weight;
} table[] = {
#define X(name, text, weight) {text, weight},
    FAULT_TABLE(X)
#undef X
};

/* Most defects of a consensus need many elections, and time between a write and its sync. */
static const struct nemesis_profile profiles[NEMESIS_PROFILES] = {
    {0, 0, 100, 0},
    {150, 2, 30, 1u << FAULT_CRASH | 1u << FAULT_CRASH_SOME},
    {5, 25, 30, 1u << FAULT_ISOLATE | 1u << FAULT_CUT},
};

const char *fault_name(enum fault f)
{
    return table[f].name;
}

static int fault_find(const char *text, size_t size)
{
    for (int i = 0; i < FAULTS; i++)
        if (strlen(table[i].name) == size && memcmp(table[i].name, text, size) == 0)
            return i;
    return -1;
}

bool faults_parse(const char *text, unsigned *mask)
{
    *mask = 0;
    if (strcmp(text, "all") == 0)
        *mask = FAULTS_ALL;
    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0)
        return true;
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        int f = fault_find(text, size);
        if (f < 0) {
            for (unsigned i = 0; i < FAULTS; i++)
                printf("  %s\n", table[i].name);
            return false;
        }
        *mask |= 1u << f;
        text += size + (text[size] == ',');
    }
    return true;
}

uint64_t nemesis_draw(struct nemesis *n, uint64_t bound)
{
    return sim_random(n->sim, bound);
}

uint64_t nemesis_draw_down_ns(struct nemesis *n)
{
    return nemesis_draw(n, nemesis_draw(n, 2) == 0 ? 50 : 1000) * MS;
}

static void look_for_leader(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    (void)n;
    if (p != NULL && group_role(g) == GROUP_LEADER)
        *(bool *)data = true;
}

/* A node that works; leaders of group 0 and of partitions are where faults hurt, but all have their turn. */
static struct sim_node *victim(struct nemesis *n)
{
    uint64_t kind = nemesis_draw(n, 3);
    if (kind == 0)
        return cluster_controller_node(n->cluster);
    struct sim_node *any = &n->cluster->nodes[nemesis_draw(n, n->cluster->count)];
    bool leads = kind == 1;
    if (!cluster_node_works(any))
        return NULL;
    if (kind == 2)
        cluster_each_group(any, look_for_leader, &leads);
    return leads ? any : NULL;
}

/* ---- processes ---- */

static void crash_some(struct nemesis *n)
{
    unsigned majority = n->cluster->count / 2 + 1;
    unsigned first = (unsigned)nemesis_draw(n, n->cluster->count);
    for (unsigned i = 0; i < majority; i++) {
        struct sim_node *node = &n->cluster->nodes[(first + i) % n->cluster->count];
        if (node->node != NULL)
            cluster_crash(node, nemesis_draw_down_ns(n));
    }
}

static void roll_next(struct nemesis *n)
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

static void slow_network(struct nemesis *n)
{
    uint64_t worst_ms = 1 + nemesis_draw(n, 40);
    sim_network_latency(n->sim, 30000, worst_ms * MS);
}

void nemesis_calm_network(struct nemesis *n)
{
    uint64_t worst_ns = n->profile->network_ms * (uint64_t)MS;
    sim_heal_all(n->sim);
    sim_network_latency(n->sim, 30000, worst_ns > 0 ? worst_ns : 150000);
}

/* ---- disks swapped ---- */

static void end_swap(struct nemesis *n)
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

/* ---- the rest ---- */

static void heal_some(struct nemesis *n)
{
    nemesis_calm_network(n);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        if (node->frozen)
            cluster_thaw(node);
        if (nemesis_draw(n, 2) == 0)
            nemesis_heal_disk(n, node);
    }
}

static void drain(struct nemesis *n, struct sim_node *v)
{
    if (n->draining != 0)
        workload_drain(n->workload, n->draining, false);
    n->draining = n->draining == 0 ? v->id : 0;
    if (n->draining != 0)
        workload_drain(n->workload, v->id, true);
}

static void step_clock(struct nemesis *n, struct sim_node *v)
{
    int64_t minutes = (int64_t)nemesis_draw(n, 41) - 20;
    sim_host_step_wall_clock(v->host, minutes * 60000);
}

static void drift(struct nemesis *n, struct sim_node *v)
{
    sim_host_drift(v->host, (int32_t)nemesis_draw(n, 200001) - 100000); /* 10 % either way */
}

void nemesis_mend(struct nemesis *n)
{
    nemesis_calm_network(n);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        if (n->cluster->nodes[i].frozen)
            cluster_thaw(&n->cluster->nodes[i]);
        nemesis_heal_disk(n, &n->cluster->nodes[i]);
        sim_host_drift(n->cluster->nodes[i].host, 0);
    }
}

static void strike(struct nemesis *n, enum fault f, struct sim_node *v)
{
    switch (f) {
    case FAULT_CRASH:
        cluster_crash(v, nemesis_draw_down_ns(n));
        break;
    case FAULT_CRASH_ALL:
        cluster_crash_all(n->cluster, 300 * MS);
        break;
    case FAULT_CRASH_SOME:
        crash_some(n);
        break;
    case FAULT_KILL:
        cluster_kill(v, nemesis_draw_down_ns(n));
        break;
    case FAULT_STOP:
        cluster_stop(v);
        break;
    case FAULT_ROLL:
        n->rolling = n->cluster->count;
        break;
    case FAULT_FREEZE:
        cluster_freeze(v);
        break;
    case FAULT_ISOLATE:
        isolate(n, v);
        break;
    case FAULT_CUT:
        cut_one_way(n, v);
        break;
    case FAULT_RESET:
        reset_links(n, v);
        break;
    case FAULT_NETWORK:
        slow_network(n);
        break;
    case FAULT_DISK:
        nemesis_slow_disk(n, v);
        break;
    case FAULT_SPACE:
        nemesis_fill_disk(n, v);
        break;
    case FAULT_SYNC_ERROR:
        nemesis_fail_syncs(n, v);
        break;
    case FAULT_READ_ERROR:
        nemesis_break_reads(n, v);
        break;
    case FAULT_ROT:
        nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_FLIPPED_BIT);
        break;
    case FAULT_LOST_WRITE:
        nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_LOST_WRITE);
        break;
    case FAULT_MISDIRECTED:
        nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_MISDIRECTED_WRITE);
        break;
    case FAULT_SHORTEN:
        nemesis_choose_old_bytes(n, nemesis_faulty_disk(n, v), SIM_CUT_FILE);
        break;
    case FAULT_WIPE:
        nemesis_wipe(n, v);
        break;
    case FAULT_SWAP:
        begin_swap(n, v);
        break;
    case FAULT_DRIFT:
        drift(n, v);
        break;
    case FAULT_SPLIT:
        split(n, v);
        break;
    case FAULT_HALF_OPEN:
        sim_link_mute(v->host, any_machine(n));
        break;
    case FAULT_STUCK:
        workload_stop_client(n->workload);
        break;
    case FAULT_SLOW:
        workload_slow_client(n->workload);
        break;
    case FAULT_CLOCK:
        step_clock(n, v);
        break;
    case FAULT_CLIENT:
        workload_kill_client(n->workload);
        break;
    case FAULT_GROW:
        workload_grow_topic(n->workload);
        break;
    case FAULT_CHURN:
        workload_churn_topic(n->workload);
        break;
    case FAULT_DRAIN:
        drain(n, v);
        break;
    case FAULTS:
        break;
    }
}

static unsigned weight(const struct nemesis *n, unsigned f)
{
    if ((n->faults >> f & 1) == 0)
        return 0;
    return table[f].weight * ((n->profile->often >> f & 1) != 0 ? 3 : 1);
}

static enum fault draw_fault(struct nemesis *n)
{
    unsigned total = 0;
    for (unsigned f = 0; f < FAULTS; f++)
        total += weight(n, f);
    uint64_t at = nemesis_draw(n, total);
    for (unsigned f = 0; f < FAULTS; f++) {
        if (at < weight(n, f))
            return (enum fault)f;
        at -= weight(n, f);
    }
    ASSERT(false);
    return FAULTS;
}

static void strike_one(struct nemesis *n)
{
    enum fault f = draw_fault(n);
    struct sim_node *v = victim(n);
    char name[COUNTER_NAME_SIZE];
    if (v == NULL)
        return;
    if (n->verbose)
        fprintf(stderr, "[%7" PRIu64 " ms] %s, node %u\n", sim_now_ns(n->sim) / MS, fault_name(f), v->id);
    snprintf(name, sizeof(name), "fault %s", fault_name(f));
    counters_add(n->counters, name, 1);
    strike(n, f, v);
}

void nemesis_step(struct nemesis *n)
{
    if (n->ambush.node != NULL) {
        nemesis_step_ambush(n);
        return;
    }
    if (n->plot.next_ns != 0 && n->swapped[0] == NULL && plot_step(n))
        return;
    if (n->rolling > 0)
        roll_next(n);
    nemesis_note_old_logs(n);
    if (nemesis_old_bytes_are_old(n))
        nemesis_damage_old_bytes(n);
    if (n->swapped[0] != NULL && sim_now_ns(n->sim) >= n->swap_end_ns)
        end_swap(n);
    if (sim_now_ns(n->sim) < n->next_ns)
        return;
    n->next_ns = sim_now_ns(n->sim) + (1 + nemesis_draw(n, 2 * n->gap_ms)) * MS;
    if (nemesis_draw(n, 4) == 0)
        heal_some(n);
    else if (n->faults != 0)
        strike_one(n);
}

void nemesis_heal(struct nemesis *n)
{
    n->rolling = 0;
    n->profile = &profiles[0];
    n->ambush.node = NULL;
    n->plot = (struct plot){.kind = NO_PLOT};
    end_swap(n);
    nemesis_mend(n);
    workload_calm_clients(n->workload);
    if (n->draining != 0)
        workload_drain(n->workload, n->draining, false);
    n->draining = 0;
}

/* Some runs have everything; most have a few kinds of faults, which then come in a row. */
void nemesis_init(struct nemesis *n, struct sim_cluster *cluster, struct workload *workload, unsigned allowed,
                  unsigned profile, enum plot_kind plot)
{
    *n = (struct nemesis){.sim = cluster->sim,
                          .cluster = cluster,
                          .workload = workload,
                          .counters = cluster->counters,
                          .faults = allowed};
    if (nemesis_draw(n, 4) != 0)
        for (unsigned f = 0; f < FAULTS; f++)
            if (nemesis_draw(n, 2) == 0)
                n->faults &= ~(1u << f);
    uint64_t drawn = nemesis_draw(n, NEMESIS_PROFILES);
    n->profile = &profiles[profile != 0 ? profile - 1 : drawn];
    n->faults |= n->profile->often & allowed;
    workload->no_pairs = (n->faults >> FAULT_WIPE & 1) != 0;
    n->gap_ms = n->profile->gap_ms / 2 + (unsigned)nemesis_draw(n, n->profile->gap_ms);
    nemesis_calm_network(n);
    for (unsigned i = 0; i < cluster->count; i++)
        nemesis_heal_disk(n, &cluster->nodes[i]);
    n->next_ns = sim_now_ns(n->sim) + n->gap_ms * (uint64_t)MS;
    plot_init(n, plot);
}
