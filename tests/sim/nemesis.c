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

/* ---- mending ---- */

void nemesis_calm_network(struct nemesis *n)
{
    uint64_t worst_ns = n->profile->network_ms * (uint64_t)MS;
    sim_heal_all(n->sim);
    sim_network_latency(n->sim, 30000, worst_ns > 0 ? worst_ns : 150000);
}

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

/* ---- what comes next ---- */

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
    nemesis_strike(n, f, v);
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
        nemesis_roll_next(n);
    nemesis_note_old_logs(n);
    if (nemesis_old_bytes_are_old(n))
        nemesis_damage_old_bytes(n);
    if (n->swapped[0] != NULL && sim_now_ns(n->sim) >= n->swap_end_ns)
        nemesis_end_swap(n);
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
    nemesis_end_swap(n);
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
