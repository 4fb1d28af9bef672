/* Slow, full and failing disks, and damage to what has been on them for long. */
#include "node/storage/journal_internal.h"
#include "tests/sim/nemesis_internal.h"
#include <inttypes.h>

void nemesis_slow_disk(struct nemesis *n, struct sim_node *v)
{
    uint64_t worst_ms = nemesis_draw(n, 8) == 0 ? 3000 : 1 + nemesis_draw(n, 200);
    sim_disk_latency(v->host, 200000, worst_ms * MS);
}

void nemesis_fill_disk(struct nemesis *n, struct sim_node *v)
{
    uint64_t free_bytes = 0;
    if (env_free_space(sim_host_env(v->host), "/", &free_bytes) != 0)
        return;
    sim_disk_capacity(v->host, (UINT64_C(1) << 40) - free_bytes + nemesis_draw(n, 200 * 1024));
}

void nemesis_heal_disk(struct nemesis *n, struct sim_node *v)
{
    uint64_t worst_ns = n->profile->disk_ms * (uint64_t)MS;
    sim_disk_latency(v->host, 200000, worst_ns > 0 ? worst_ns : 600000);
    sim_disk_capacity(v->host, UINT64_C(1) << 40);
    sim_disk_fail_syncs(v->host, 0);
    sim_disk_fail_reads(v->host, 0);
    sim_disk_rot_reads(v->host, 0);
}

/* Only one disk of a run is faulty: no replication helps against what a majority has lost. */
struct sim_node *nemesis_faulty_disk(struct nemesis *n, struct sim_node *v)
{
    if (n->faulty_disk == NULL)
        n->faulty_disk = v;
    return n->faulty_disk;
}

void nemesis_break_syncs(struct nemesis *n, struct sim_node *v)
{
    sim_disk_fail_syncs(nemesis_faulty_disk(n, v)->host, 5000 + (unsigned)nemesis_draw(n, 200000));
}

void nemesis_break_reads(struct nemesis *n, struct sim_node *v)
{
    struct sim_node *node = nemesis_faulty_disk(n, v);
    if (!cluster_node_works(node))
        return;
    if (nemesis_draw(n, 2) == 0)
        sim_disk_fail_reads(node->host, 5000 + (unsigned)nemesis_draw(n, 50000));
    else
        sim_disk_rot_reads(node->host, 5000 + (unsigned)nemesis_draw(n, 50000));
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
    if (replicas >= 3 && group_role(g) != GROUP_FAILED && nemesis_draw(c->nemesis, ++c->seen) == 0)
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

void nemesis_choose_old_bytes(struct nemesis *n, struct sim_node *node, enum sim_damage damage)
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
                                    .in_pair = nemesis_draw(n, 3) == 0,
                                    .since_ns = sim_now_ns(n->sim)};
    n->old_log_count = 0;
}

/* All logs of which everything happens to be durable, while the chosen one waits to be old. */
void nemesis_note_old_logs(struct nemesis *n)
{
    struct old_bytes *o = &n->old;
    if (o->node != NULL && o->damage == SIM_CUT_FILE && o->journal_sequence == 0 &&
        cluster_node_works(o->node))
        cluster_each_group(o->node, note_old_log, n);
}

void nemesis_note_floored(struct nemesis *n, const struct journal *journal)
{
    for (unsigned i = 0; i < n->old_log_count; i++) {
        struct journal_group state = {0};
        journal_get(journal, n->old_logs[i].group_id, &state);
        n->old_logs[i].floored = state.floor_index > n->old_logs[i].index;
    }
}

/* A conflicting suffix that was cut meanwhile has lowered the floor: what took its place is not old for the
 * journal on the disk, whatever the one in memory says later. */
void nemesis_check_floored(struct nemesis *n, const struct sim_node *node)
{
    for (unsigned i = 0; i < n->old_log_count; i++) {
        struct journal_group state = {0};
        if (cluster_node_works(node))
            journal_get(node->node->journal, n->old_logs[i].group_id, &state);
        if (state.floor_index <= n->old_logs[i].index)
            n->old_logs[i].floored = false;
    }
}

/* Once the journal says so, on disk. */
bool nemesis_old_bytes_are_old(struct nemesis *n)
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

void nemesis_damage_file(struct nemesis *n)
{
    static const char *const counters[] = {"bits_flipped", "writes_lost", "writes_misdirected",
                                           "logs_shortened"};
    char path[128];
    struct old_bytes *o = &n->old;
    bool index = o->damage != SIM_CUT_FILE && nemesis_draw(n, 4) == 0;
    snprintf(path, sizeof(path), "/data/groups/%016" PRIx64 "/%020d.%s", o->group_id, 1,
             index ? "idx" : "log");
    if (n->verbose)
        fprintf(stderr, "[%7" PRIu64 " ms] node %u: %s in %s\n", sim_now_ns(n->sim) / MS, o->node->id,
                counters[o->damage], path);
    /* Half of the logs that are cut end where a batch does: at the very beginning. */
    uint64_t position = o->damage == SIM_CUT_FILE && nemesis_draw(n, 2) == 0 ? 0 : nemesis_draw(n, o->size);
    if (sim_disk_damage(o->node->host, path, position, o->damage) == 0)
        counters_add(n->counters, counters[o->damage], 1);
    o->node = NULL;
}

/* Mostly where a batch ends: only the journal knows that there was more. */
void nemesis_cut_logs(struct nemesis *n)
{
    char path[128];
    for (unsigned i = 0; i < n->old_log_count; i++) {
        const struct old_log *o = &n->old_logs[i];
        if (!o->floored || o->end == 0) /* nothing old was in it */
            continue;
        snprintf(path, sizeof(path), "/data/groups/%016" PRIx64 "/%020d.log", o->group_id, 1);
        uint64_t end = nemesis_draw(n, 4) != 0 ? o->end : nemesis_draw(n, o->end);
        if (sim_disk_damage(n->old.node->host, path, end, SIM_CUT_FILE) == 0)
            counters_add(n->counters, "logs_shortened", 1);
    }
    n->old.node = NULL;
}
