#include "tests/sim/nemesis_pair.h"
#include "node/storage/log_internal.h"
#include <inttypes.h>

enum { MS = 1000000, REPLICAS = 3 };

struct look {
    uint64_t group_id;
    struct group *group;
};

static void look_at(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    struct look *l = data;
    (void)n, (void)p;
    if (group_id(g) == l->group_id && group_role(g) != GROUP_FAILED)
        l->group = g;
}

static const struct log *log_of(struct sim_node *n, uint64_t id)
{
    struct look l = {.group_id = id};
    unsigned replicas = 0;
    if (cluster_node_works(n))
        cluster_each_group(n, look_at, &l);
    if (l.group == NULL)
        return NULL;
    group_replicas(l.group, &replicas);
    return replicas == REPLICAS ? group_log(l.group) : NULL;
}

/* All of it on disk, and its first segment is finished. */
static bool can_be_cut(const struct log *log)
{
    return log_durable_index(log) == log_last_index(log) && log_oldest(log) != NULL &&
           log_oldest(log)->header.base_index == 1 && log_active(log) != log_oldest(log);
}

static bool is_up_to_date(const struct log *log, const struct log *with)
{
    return log_durable_index(log) >= log_last_index(with) && log_last_term(log) >= log_last_term(with);
}

/* Of the other two one to be cut, one that has everything. */
static struct sim_node *find_second(struct sim_cluster *c, const struct sim_node *first, uint64_t id,
                                    const struct log *log)
{
    struct sim_node *second = NULL;
    unsigned up_to_date = 0;
    for (unsigned i = 0; i < c->count; i++) {
        struct sim_node *node = &c->nodes[i];
        const struct log *other = node == first ? NULL : log_of(node, id);
        if (other == NULL || !is_up_to_date(other, log))
            continue;
        up_to_date++;
        if (second == NULL && can_be_cut(other) && is_up_to_date(log, other))
            second = node;
    }
    return up_to_date == REPLICAS - 1 ? second : NULL;
}

static void cut_first_segment(struct sim_node *node, uint64_t id, uint64_t position)
{
    char path[128];
    snprintf(path, sizeof(path), "/data/groups/%016" PRIx64 "/%020d.log", id, 1);
    sim_disk_damage(node->host, path, position, SIM_CUT_FILE);
}

struct choice {
    struct sim_cluster *cluster;
    unsigned seen;
    uint64_t group_id;
    uint64_t size; /* of the first segment */
    struct sim_node *second;
};

static void choose(void *data, struct sim_node *first, struct group *g, struct partition *p)
{
    struct choice *c = data;
    const struct log *log = log_of(first, group_id(g));
    (void)p;
    if (log == NULL || !can_be_cut(log))
        return;
    struct sim_node *second = find_second(c->cluster, first, group_id(g), log);
    if (second == NULL || sim_random(c->cluster->sim, ++c->seen) != 0)
        return;
    c->group_id = group_id(g);
    c->size = log_oldest(log)->end.position;
    c->second = second;
}

bool nemesis_harm_pair(struct sim_cluster *cluster, struct sim_node *first)
{
    struct choice c = {.cluster = cluster};
    cluster_each_group(first, choose, &c);
    if (c.second == NULL)
        return false;
    struct sim_node *pair[] = {first, c.second};
    for (int i = 0; i < 2; i++) {
        cluster_kill(pair[i], sim_random(cluster->sim, 1000) * MS);
        cut_first_segment(pair[i], c.group_id, sim_random(cluster->sim, c.size));
    }
    counters_add(cluster->counters, "pairs_harmed", 1);
    return true;
}
