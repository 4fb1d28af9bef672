#include "tests/sim/nemesis.h"
#include "node/base/assert.h"
#include <inttypes.h>
#include <string.h>

enum { MS = 1000000 };

static const struct {
    const char *name;
    unsigned weight;
} table[] = {
#define X(name, text, weight) {text, weight},
    FAULT_TABLE(X)
#undef X
};

/* What a run is like between faults, and what comes three times as often in it. Most defects of a consensus
 * need many elections, and time between a write and its sync. */
static const struct nemesis_profile {
    unsigned disk_ms;    /* worst sync; 0: as fast as can be */
    unsigned network_ms; /* worst latency, likewise */
    unsigned gap_ms;     /* between two events, on average; each run has it a bit shorter or longer */
    unsigned often;
} profiles[] = {
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
        if (f < 0)
            return false;
        *mask |= 1u << f;
        text += size + (text[size] == ',');
    }
    return true;
}

static uint64_t draw(struct nemesis *n, uint64_t bound)
{
    return sim_random(n->sim, bound);
}

static uint64_t draw_down_ns(struct nemesis *n)
{
    return draw(n, draw(n, 2) == 0 ? 50 : 1000) * MS;
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
    uint64_t kind = draw(n, 3);
    if (kind == 0)
        return cluster_controller_node(n->cluster);
    struct sim_node *any = &n->cluster->nodes[draw(n, n->cluster->count)];
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
    unsigned first = (unsigned)draw(n, n->cluster->count);
    for (unsigned i = 0; i < majority; i++) {
        struct sim_node *node = &n->cluster->nodes[(first + i) % n->cluster->count];
        if (node->node != NULL)
            cluster_crash(node, draw_down_ns(n));
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
    struct sim_node *other = &n->cluster->nodes[draw(n, n->cluster->count)];
    if (other == v)
        return;
    if (draw(n, 2) == 0)
        sim_link_cut(v->host, other->host);
    else
        sim_link_cut(other->host, v->host);
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
    uint64_t worst_ms = 1 + draw(n, 40);
    sim_network_latency(n->sim, 30000, worst_ms * MS);
}

static void calm_network(struct nemesis *n)
{
    uint64_t worst_ns = n->profile->network_ms * (uint64_t)MS;
    sim_heal_all(n->sim);
    sim_network_latency(n->sim, 30000, worst_ns > 0 ? worst_ns : 150000);
}

/* ---- disk ---- */

static void slow_disk(struct nemesis *n, struct sim_node *v)
{
    uint64_t worst_ms = draw(n, 8) == 0 ? 3000 : 1 + draw(n, 200);
    sim_disk_latency(v->host, 200000, worst_ms * MS);
}

static void fill_disk(struct nemesis *n, struct sim_node *v)
{
    uint64_t free_bytes = 0;
    if (env_free_space(sim_host_env(v->host), "/", &free_bytes) != 0)
        return;
    sim_disk_capacity(v->host, (UINT64_C(1) << 40) - free_bytes + draw(n, 200 * 1024));
}

static void heal_disk(struct nemesis *n, struct sim_node *v)
{
    uint64_t worst_ns = n->profile->disk_ms * (uint64_t)MS;
    sim_disk_latency(v->host, 200000, worst_ns > 0 ? worst_ns : 600000);
    sim_disk_capacity(v->host, UINT64_C(1) << 40);
    sim_disk_fail_syncs(v->host, 0);
}

/* Only one disk of a run is faulty: no replication helps against what a majority has lost. */
static struct sim_node *faulty_disk(struct nemesis *n, struct sim_node *v)
{
    if (n->faulty_disk == NULL)
        n->faulty_disk = v;
    return n->faulty_disk;
}

static void break_syncs(struct nemesis *n, struct sim_node *v)
{
    sim_disk_fail_syncs(faulty_disk(n, v)->host, 5000 + (unsigned)draw(n, 50000));
}

struct choice {
    struct nemesis *nemesis;
    unsigned seen;
    struct group *group;
};

/* Each group as likely as the others, of those that can do without a replica. */
static void choose(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    struct choice *c = data;
    unsigned replicas;
    (void)node, (void)p;
    group_replicas(g, &replicas);
    if (replicas >= 3 && group_role(g) != GROUP_FAILED && draw(c->nemesis, ++c->seen) == 0)
        c->group = g;
}

static void choose_old_bytes(struct nemesis *n, struct sim_node *node)
{
    struct choice c = {.nemesis = n};
    n->old.node = NULL;
    if (!cluster_node_works(node))
        return;
    cluster_each_group(node, choose, &c);
    if (c.group == NULL)
        return;
    const struct log *log = group_log(c.group);
    if (log_durable_index(log) == log_last_index(log))
        n->old = (struct old_bytes){.node = node,
                                    .group_id = group_id(c.group),
                                    .index = log_last_index(log),
                                    .size = log_size_bytes(log) / 2 + 1,
                                    .since_ns = sim_now_ns(n->sim)};
}

static bool old_bytes_are_old(const struct nemesis *n)
{
    struct journal_group state = {0};
    const struct old_bytes *o = &n->old;
    if (o->node == NULL || !cluster_node_works(o->node) ||
        sim_now_ns(n->sim) < o->since_ns + 2200 * (uint64_t)MS)
        return false;
    journal_get(o->node->node->journal, o->group_id, &state);
    return state.floor_index >= o->index;
}

static void flip_bit(struct nemesis *n)
{
    char path[128];
    snprintf(path, sizeof(path), "/data/groups/%016" PRIx64 "/%020d.%s", n->old.group_id, 1,
             draw(n, 4) == 0 ? "idx" : "log");
    if (sim_disk_flip(n->old.node->host, path, draw(n, n->old.size)) == 0)
        counters_add(n->counters, "bits_flipped", 1);
    n->old.node = NULL;
}

/* ---- the rest ---- */

static void heal_some(struct nemesis *n)
{
    calm_network(n);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        if (node->frozen)
            cluster_thaw(node);
        if (draw(n, 2) == 0)
            heal_disk(n, node);
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
    int64_t minutes = (int64_t)draw(n, 41) - 20;
    sim_host_step_wall_clock(v->host, minutes * 60000);
}

static void strike(struct nemesis *n, enum fault f, struct sim_node *v)
{
    switch (f) {
    case FAULT_CRASH:
        cluster_crash(v, draw_down_ns(n));
        break;
    case FAULT_CRASH_ALL:
        cluster_crash_all(n->cluster, 300 * MS);
        break;
    case FAULT_CRASH_SOME:
        crash_some(n);
        break;
    case FAULT_KILL:
        cluster_kill(v, draw_down_ns(n));
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
        sim_host_isolate(v->host);
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
        slow_disk(n, v);
        break;
    case FAULT_SPACE:
        fill_disk(n, v);
        break;
    case FAULT_SYNC_ERROR:
        break_syncs(n, v);
        break;
    case FAULT_ROT:
        choose_old_bytes(n, faulty_disk(n, v));
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
    uint64_t at = draw(n, total);
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
    if (n->rolling > 0)
        roll_next(n);
    if (old_bytes_are_old(n))
        flip_bit(n);
    if (sim_now_ns(n->sim) < n->next_ns)
        return;
    n->next_ns = sim_now_ns(n->sim) + (1 + draw(n, 2 * n->gap_ms)) * MS;
    if (draw(n, 4) == 0)
        heal_some(n);
    else if (n->faults != 0)
        strike_one(n);
}

void nemesis_heal(struct nemesis *n)
{
    n->rolling = 0;
    n->profile = &profiles[0];
    calm_network(n);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        if (n->cluster->nodes[i].frozen)
            cluster_thaw(&n->cluster->nodes[i]);
        heal_disk(n, &n->cluster->nodes[i]);
    }
    if (n->draining != 0)
        workload_drain(n->workload, n->draining, false);
    n->draining = 0;
}

/* Some runs have everything; most have a few kinds of faults, which then come in a row. */
void nemesis_init(struct nemesis *n, struct sim_cluster *cluster, struct workload *workload, unsigned allowed)
{
    *n = (struct nemesis){
        .sim = cluster->sim, .cluster = cluster, .workload = workload, .counters = cluster->counters};
    n->faults = allowed;
    if (draw(n, 4) != 0)
        for (unsigned f = 0; f < FAULTS; f++)
            if (draw(n, 2) == 0)
                n->faults &= ~(1u << f);
    n->profile = &profiles[draw(n, sizeof(profiles) / sizeof(profiles[0]))];
    n->faults |= n->profile->often & allowed;
    n->gap_ms = n->profile->gap_ms / 2 + (unsigned)draw(n, n->profile->gap_ms);
    calm_network(n);
    for (unsigned i = 0; i < cluster->count; i++)
        heal_disk(n, &cluster->nodes[i]);
    n->next_ns = sim_now_ns(n->sim) + n->gap_ms * (uint64_t)MS;
}
