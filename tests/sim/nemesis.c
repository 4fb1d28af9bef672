#include "tests/sim/nemesis.h"
#include "node/base/assert.h"
#include "node/storage/journal_internal.h"
#include "tests/sim/nemesis_pair.h"
#include <inttypes.h>
#include <string.h>

enum { MS = 1000000, WHOLE_AGAIN_MS = 3000, PAIR_PATIENCE_MS = 3500 };

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
} profiles[NEMESIS_PROFILES] = {
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

/* From everybody, or from the other nodes only: clients then still reach a leader that has lost its
 * followers. */
static void isolate(struct nemesis *n, struct sim_node *v)
{
    if (draw(n, 2) == 0) {
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
    struct sim_node *other = &n->cluster->nodes[draw(n, n->cluster->count)];
    if (other == v)
        return;
    sim_link_cut(v->host, other->host);
    sim_link_cut(other->host, v->host);
}

static struct sim_host *any_machine(struct nemesis *n)
{
    uint64_t i = draw(n, n->cluster->count + WORKLOAD_MACHINES);
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
    sim_disk_fail_reads(v->host, 0);
    sim_disk_rot_reads(v->host, 0);
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
    sim_disk_fail_syncs(faulty_disk(n, v)->host, 5000 + (unsigned)draw(n, 200000));
}

static void break_reads(struct nemesis *n, struct sim_node *v)
{
    struct sim_node *node = faulty_disk(n, v);
    if (!cluster_node_works(node))
        return;
    if (draw(n, 2) == 0)
        sim_disk_fail_reads(node->host, 5000 + (unsigned)draw(n, 50000));
    else
        sim_disk_rot_reads(node->host, 5000 + (unsigned)draw(n, 50000));
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

static bool is_noted(const struct nemesis *n, uint64_t group)
{
    for (unsigned i = 0; i < n->old_log_count; i++)
        if (n->old_logs[i].group_id == group)
            return true;
    return false;
}

/* Without group 0: the others would not even begin while that is damaged. */
static void note_old_log(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    struct nemesis *n = data;
    const struct log *log = group_log(g);
    unsigned replicas;
    (void)node;
    group_replicas(g, &replicas);
    if (p != NULL && n->old_log_count < OLD_LOGS_MAX && replicas >= 3 && group_role(g) != GROUP_FAILED &&
        log_durable_index(log) == log_last_index(log) && !is_noted(n, group_id(g)))
        n->old_logs[n->old_log_count++] = (struct old_log){
            .group_id = group_id(g), .index = log_last_index(log), .end = log_size_bytes(log)};
}

static void choose_old_bytes(struct nemesis *n, struct sim_node *node, enum sim_damage damage)
{
    struct choice c = {.nemesis = n};
    if (!cluster_node_works(node) || n->old.node != NULL) /* one after the other */
        return;
    cluster_each_group(node, choose, &c);
    if (c.group == NULL)
        return;
    const struct log *log = group_log(c.group);
    if (log_durable_index(log) == log_last_index(log))
        n->old = (struct old_bytes){.node = node,
                                    .group_id = group_id(c.group),
                                    .damage = damage,
                                    .index = log_last_index(log),
                                    .size = log_size_bytes(log) / 2 + 1,
                                    .in_pair = draw(n, 3) == 0,
                                    .since_ns = sim_now_ns(n->sim)};
    n->old_log_count = 0;
}

/* All logs of which everything happens to be durable, while the chosen one waits to be old. */
static void note_old_logs(struct nemesis *n)
{
    struct old_bytes *o = &n->old;
    if (o->node != NULL && o->damage == SIM_CUT_FILE && o->journal_sequence == 0 &&
        cluster_node_works(o->node))
        cluster_each_group(o->node, note_old_log, n);
}

static void note_floored(struct nemesis *n, const struct journal *journal)
{
    for (unsigned i = 0; i < n->old_log_count; i++) {
        struct journal_group state = {0};
        journal_get(journal, n->old_logs[i].group_id, &state);
        n->old_logs[i].floored = state.floor_index > n->old_logs[i].index;
    }
}

/* Once the journal says so, on disk. */
static bool old_bytes_are_old(struct nemesis *n)
{
    struct journal_group state = {0};
    struct old_bytes *o = &n->old;
    if (o->node == NULL || !cluster_node_works(o->node))
        return false;
    struct journal *journal = o->node->node->journal;
    journal_get(journal, o->group_id, &state);
    if (state.floor_index < o->index) {
        o->journal_sequence = 0;
        return false;
    }
    if (o->life != o->node->life || o->journal_sequence == 0) {
        o->life = o->node->life;
        o->journal_sequence = journal->sequence;
    }
    return journal_durable(journal) >= o->journal_sequence;
}

static void damage_file(struct nemesis *n)
{
    static const char *const counters[] = {"bits_flipped", "writes_lost", "writes_misdirected",
                                           "logs_shortened"};
    char path[128];
    struct old_bytes *o = &n->old;
    bool index = o->damage != SIM_CUT_FILE && draw(n, 4) == 0;
    snprintf(path, sizeof(path), "/data/groups/%016" PRIx64 "/%020d.%s", o->group_id, 1,
             index ? "idx" : "log");
    if (n->verbose)
        fprintf(stderr, "[%7" PRIu64 " ms] node %u: %s in %s\n", sim_now_ns(n->sim) / MS, o->node->id,
                counters[o->damage], path);
    /* Half of the logs that are cut end where a batch does: at the very beginning. */
    uint64_t position = o->damage == SIM_CUT_FILE && draw(n, 2) == 0 ? 0 : draw(n, o->size);
    if (sim_disk_damage(o->node->host, path, position, o->damage) == 0)
        counters_add(n->counters, counters[o->damage], 1);
    o->node = NULL;
}

/* Mostly where a batch ends: only the journal knows that there was more. */
static void cut_logs(struct nemesis *n)
{
    char path[128];
    for (unsigned i = 0; i < n->old_log_count; i++) {
        const struct old_log *o = &n->old_logs[i];
        snprintf(path, sizeof(path), "/data/groups/%016" PRIx64 "/%020d.log", o->group_id, 1);
        uint64_t end = draw(n, 4) != 0 ? o->end : draw(n, o->end);
        if (o->floored && sim_disk_damage(n->old.node->host, path, end, SIM_CUT_FILE) == 0)
            counters_add(n->counters, "logs_shortened", 1);
    }
    n->old.node = NULL;
}

/* ---- ambush: a disk fails when it hurts most ---- */

static void look_for_any_leader(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    (void)n, (void)p;
    if (group_role(g) == GROUP_LEADER)
        *(bool *)data = true;
}

static bool is_lagging(const struct nemesis *n, unsigned i)
{
    return (n->ambush.lagging >> i & 1) != 0;
}

/* An old leader that comes back could be believed by a node that has forgotten everything: decision 15 says
 * so. */
static bool lagging_lead(const struct nemesis *n)
{
    bool leads = false;
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (is_lagging(n, i) && cluster_node_works(&n->cluster->nodes[i]))
            cluster_each_group(&n->cluster->nodes[i], look_for_any_leader, &leads);
    return leads;
}

bool nemesis_all_work(const struct nemesis *n)
{
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (!cluster_node_works(&n->cluster->nodes[i]))
            return false;
    return true;
}

/* Fewer than a majority are left behind. */
static void leave_behind(struct nemesis *n, const struct sim_node *victim)
{
    unsigned left = (n->cluster->count - 1) / 2, first = (unsigned)draw(n, n->cluster->count);
    for (unsigned i = 0; left > 0; i++) {
        struct sim_node *node = &n->cluster->nodes[(first + i) % n->cluster->count];
        if (node == victim)
            continue;
        n->ambush.lagging |= 1u << (node->id - 1);
        sim_host_isolate(node->host);
        left--;
    }
}

static void look_for_damage(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    struct journal_group state = {0};
    (void)p;
    journal_get(node->node->journal, group_id(g), &state);
    if (state.damaged)
        *(bool *)data = true;
}

/* A replica counts as damaged while it starts over, because retention has overtaken it, too: with a second
 * one harmed only the third has everything, and an ambush leaves that behind. */
static bool all_whole(const struct nemesis *n)
{
    bool damaged = false;
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (cluster_node_works(&n->cluster->nodes[i]))
            cluster_each_group(&n->cluster->nodes[i], look_for_damage, &damaged);
    return !damaged;
}

static bool begin_ambush(struct nemesis *n, struct sim_node *victim, enum ambush_kind kind)
{
    if (n->swapped[0] != NULL || n->rolling > 0 || !nemesis_all_work(n) || !all_whole(n))
        return false;
    nemesis_mend(n);
    n->faulty_disk = victim;
    n->ambush = (struct ambush){.node = victim, .kind = kind};
    if (kind == AMBUSH_DAMAGES) { /* a little later more logs are old, and the journal must say so again */
        note_floored(n, victim->node->journal);
        n->old.journal_sequence = victim->node->journal->sequence;
    }
    leave_behind(n, victim);
    uint64_t leads_at_most_ms = 3 * victim->config.election_timeout_ms;
    n->ambush.due_ns = sim_now_ns(n->sim) + (leads_at_most_ms + draw(n, 400)) * MS;
    return true;
}

static void damage_now(struct nemesis *n)
{
    if (n->ambush.kind == AMBUSH_FAILS_SYNCS) {
        heal_disk(n, n->ambush.node);
    } else if (n->ambush.kind == AMBUSH_WIPES) {
        sim_disk_wipe(n->ambush.node->host);
        heal_disk(n, n->ambush.node);
        counters_add(n->counters, "disks_wiped", 1);
    } else if (n->old.damage == SIM_CUT_FILE) {
        cut_logs(n);
    } else {
        damage_file(n);
    }
}

static void spring_ambush(struct nemesis *n)
{
    if (n->verbose)
        fprintf(stderr, "[%7" PRIu64 " ms] ambush, node %u; left behind: 0x%x\n", sim_now_ns(n->sim) / MS,
                n->ambush.node->id, n->ambush.lagging);
    calm_network(n);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        uint64_t down_ns = node == n->ambush.node ? 20 * MS : 1000 * (uint64_t)MS + draw_down_ns(n);
        if (!is_lagging(n, i) && node->node != NULL)
            cluster_crash(node, down_ns);
    }
    damage_now(n);
    counters_add(n->counters, "ambushes", 1);
    n->ambush.sprung = true;
}

static void step_ambush(struct nemesis *n)
{
    uint64_t now_ns = sim_now_ns(n->sim);
    struct ambush *a = &n->ambush;
    if (a->sprung && !nemesis_all_work(n))
        a->due_ns = now_ns + WHOLE_AGAIN_MS * (uint64_t)MS;
    if (now_ns < a->due_ns)
        return;
    if (a->sprung) {
        *a = (struct ambush){0};
    } else if (!cluster_node_works(a->node) || !all_whole(n)) {
        calm_network(n);
        *a = (struct ambush){0};
    } else if (lagging_lead(n) || (a->kind == AMBUSH_DAMAGES && !old_bytes_are_old(n))) {
        a->due_ns = now_ns + 100 * MS;
    } else if (a->kind == AMBUSH_FAILS_SYNCS && !a->failing) {
        sim_disk_fail_syncs(a->node->host, 500000);
        a->failing = true;
        a->due_ns = now_ns + (50 + draw(n, 200)) * MS;
    } else {
        spring_ambush(n);
        a->due_ns = now_ns + WHOLE_AGAIN_MS * (uint64_t)MS;
    }
}

/* A second faulty disk might be too much. */
static void wipe(struct nemesis *n, struct sim_node *v)
{
    if (n->faulty_disk == NULL || n->faulty_disk == v)
        begin_ambush(n, v, AMBUSH_WIPES);
}

/* With a second replica harmed, the third one's disk and what is under repair must be left alone. */
static void damage_old_bytes(struct nemesis *n)
{
    bool ends = n->old.damage == SIM_CUT_FILE;
    if (n->pair_harmed && (!nemesis_all_work(n) || !all_whole(n)))
        return;
    n->pair_harmed = false;
    if (n->old.in_pair && sim_now_ns(n->sim) < n->old.since_ns + PAIR_PATIENCE_MS * (uint64_t)MS) {
        n->pair_harmed = n->swapped[0] == NULL && all_whole(n) && nemesis_harm_pair(n->cluster, n->old.node);
        if (n->pair_harmed)
            n->old.node = NULL;
        return;
    }
    if (draw(n, 4) < (ends ? 3 : 2) && begin_ambush(n, n->old.node, AMBUSH_DAMAGES))
        return;
    if (ends)
        cluster_kill(n->old.node, draw_down_ns(n));
    damage_file(n);
}

static void fail_syncs(struct nemesis *n, struct sim_node *v)
{
    if (draw(n, 2) == 0 && begin_ambush(n, faulty_disk(n, v), AMBUSH_FAILS_SYNCS))
        return;
    break_syncs(n, v);
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
    struct sim_node *other = &n->cluster->nodes[draw(n, n->cluster->count)];
    if (other == v || other->node == NULL || n->swapped[0] != NULL)
        return;
    cluster_kill(v, 20 * MS);
    cluster_kill(other, 20 * MS);
    cluster_swap_disks(v, other);
    n->swapped[0] = v;
    n->swapped[1] = other;
    n->swap_end_ns = sim_now_ns(n->sim) + (100 + draw(n, 500)) * MS;
    counters_add(n->counters, "disks_swapped", 1);
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

static void drift(struct nemesis *n, struct sim_node *v)
{
    sim_host_drift(v->host, (int32_t)draw(n, 200001) - 100000); /* 10 % either way */
}

void nemesis_mend(struct nemesis *n)
{
    calm_network(n);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        if (n->cluster->nodes[i].frozen)
            cluster_thaw(&n->cluster->nodes[i]);
        heal_disk(n, &n->cluster->nodes[i]);
        sim_host_drift(n->cluster->nodes[i].host, 0);
    }
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
        slow_disk(n, v);
        break;
    case FAULT_SPACE:
        fill_disk(n, v);
        break;
    case FAULT_SYNC_ERROR:
        fail_syncs(n, v);
        break;
    case FAULT_READ_ERROR:
        break_reads(n, v);
        break;
    case FAULT_ROT:
        choose_old_bytes(n, faulty_disk(n, v), SIM_FLIPPED_BIT);
        break;
    case FAULT_LOST_WRITE:
        choose_old_bytes(n, faulty_disk(n, v), SIM_LOST_WRITE);
        break;
    case FAULT_MISDIRECTED:
        choose_old_bytes(n, faulty_disk(n, v), SIM_MISDIRECTED_WRITE);
        break;
    case FAULT_SHORTEN:
        choose_old_bytes(n, faulty_disk(n, v), SIM_CUT_FILE);
        break;
    case FAULT_WIPE:
        wipe(n, v);
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
    if (n->ambush.node != NULL) {
        step_ambush(n);
        return;
    }
    if (n->plot.next_ns != 0 && n->swapped[0] == NULL && plot_step(n))
        return;
    if (n->rolling > 0)
        roll_next(n);
    note_old_logs(n);
    if (old_bytes_are_old(n))
        damage_old_bytes(n);
    if (n->swapped[0] != NULL && sim_now_ns(n->sim) >= n->swap_end_ns)
        end_swap(n);
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
    if (draw(n, 4) != 0)
        for (unsigned f = 0; f < FAULTS; f++)
            if (draw(n, 2) == 0)
                n->faults &= ~(1u << f);
    uint64_t drawn = draw(n, NEMESIS_PROFILES);
    n->profile = &profiles[profile != 0 ? profile - 1 : drawn];
    n->faults |= n->profile->often & allowed;
    workload->no_pairs = (n->faults >> FAULT_WIPE & 1) != 0;
    n->gap_ms = n->profile->gap_ms / 2 + (unsigned)draw(n, n->profile->gap_ms);
    calm_network(n);
    for (unsigned i = 0; i < cluster->count; i++)
        heal_disk(n, &cluster->nodes[i]);
    n->next_ns = sim_now_ns(n->sim) + n->gap_ms * (uint64_t)MS;
    plot_init(n, plot);
}
