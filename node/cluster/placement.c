#include "node/cluster/placement.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In three passes over the new partitions. The sets: each time the node that holds least, and among equals
 * the one that shares least with those chosen already, so that a node's partitions spread over all others.
 * The leaders: the one that leads least, then evened out. The heirs, in second place: the one that inherits
 * least from that leader.
 *
 * Until the end, `replicas` holds positions in `nodes` instead of ids. */
struct spread {
    struct placement_node *nodes;
    unsigned node_count;
    unsigned replicas;
    uint32_t *together; /* [a][b]: partitions that a and b share */
    uint32_t *heirs;    /* [a][b]: partitions led by a with b in second place */
};

static bool has_node(const struct partition_meta *p, unsigned node)
{
    for (unsigned i = 0; i < p->replica_count; i++) {
        if (p->replicas[i] == node) {
            return true;
        }
    }
    return false;
}

static bool has_rack(const struct spread *s, const struct partition_meta *p, const char *rack)
{
    if (rack == NULL || rack[0] == '\0') {
        return false;
    }
    for (unsigned i = 0; i < p->replica_count; i++) {
        const char *other = s->nodes[p->replicas[i]].rack;
        if (other != NULL && strcmp(rack, other) == 0) {
            return true;
        }
    }
    return false;
}

static uint64_t shared_with(const struct spread *s, const struct partition_meta *p, unsigned node)
{
    uint64_t shared = 0;
    for (unsigned i = 0; i < p->replica_count; i++) {
        shared += s->together[p->replicas[i] * s->node_count + node];
    }
    return shared;
}

/* What speaks against a candidate, most important first. */
struct cost {
    uint64_t parts[4];
};

static bool cheaper(const struct cost *a, const struct cost *b)
{
    for (unsigned i = 0; i < sizeof a->parts / sizeof a->parts[0]; i++) {
        if (a->parts[i] != b->parts[i]) {
            return a->parts[i] < b->parts[i];
        }
    }
    return false;
}

/* ---- the sets ---- */

static struct cost replica_cost(const struct spread *s, const struct partition_meta *p, unsigned node)
{
    const struct placement_node *n = &s->nodes[node];
    return (struct cost){{n->reserve, has_rack(s, p, n->rack), n->replicas, shared_with(s, p, node)}};
}

static void choose_replica(struct spread *s, struct partition_meta *p)
{
    unsigned best = 0;
    struct cost best_cost = {{UINT64_MAX}};
    for (unsigned i = 0; i < s->node_count; i++) {
        struct cost cost = replica_cost(s, p, i);
        if (!has_node(p, i) && cheaper(&cost, &best_cost)) {
            best = i;
            best_cost = cost;
        }
    }
    s->nodes[best].replicas++;
    p->replicas[p->replica_count] = best;
    p->replica_count++;
}

static void choose_set(struct spread *s, struct partition_meta *p)
{
    p->replica_count = 0;
    while (p->replica_count < s->replicas) {
        choose_replica(s, p);
    }
    for (unsigned i = 0; i < p->replica_count; i++) {
        for (unsigned j = 0; j < p->replica_count; j++) {
            s->together[p->replicas[i] * s->node_count + p->replicas[j]]++;
        }
    }
}

/* ---- the order within a set ---- */

/* How often the other member that has inherited least from `node` did so. */
static uint32_t fewest_inherited(const struct spread *s, const struct partition_meta *p, unsigned node)
{
    uint32_t fewest = UINT32_MAX;
    for (unsigned i = 0; i < p->replica_count; i++) {
        uint32_t inherited = s->heirs[node * s->node_count + p->replicas[i]];
        if (p->replicas[i] != node && inherited < fewest) {
            fewest = inherited;
        }
    }
    return fewest;
}

static struct cost leader_cost(const struct spread *s, const struct partition_meta *p, unsigned node)
{
    const struct placement_node *n = &s->nodes[node];
    return (struct cost){{n->reserve, n->leaders, fewest_inherited(s, p, node), n->replicas}};
}

static struct cost heir_cost(const struct spread *s, const struct partition_meta *p, unsigned node)
{
    const struct placement_node *n = &s->nodes[node];
    return (struct cost){{n->reserve, s->heirs[p->replicas[0] * s->node_count + node], n->leaders}};
}

static void swap_places(struct partition_meta *p, unsigned a, unsigned b)
{
    uint32_t node = p->replicas[a];
    p->replicas[a] = p->replicas[b];
    p->replicas[b] = node;
}

/* Brings the cheapest of the places from `place` on there. */
static void choose_for_place(const struct spread *s, struct partition_meta *p, unsigned place,
                             struct cost (*cost_of)(const struct spread *s, const struct partition_meta *p,
                                                    unsigned node))
{
    unsigned best = place;
    struct cost best_cost = {{UINT64_MAX}};
    for (unsigned i = place; i < p->replica_count; i++) {
        struct cost cost = cost_of(s, p, p->replicas[i]);
        if (cheaper(&cost, &best_cost)) {
            best = i;
            best_cost = cost;
        }
    }
    swap_places(p, place, best);
}

static void choose_leader(struct spread *s, struct partition_meta *p)
{
    choose_for_place(s, p, 0, leader_cost);
    s->nodes[p->replicas[0]].leaders++;
}

static void choose_heir(struct spread *s, struct partition_meta *p)
{
    if (p->replica_count > 1) {
        choose_for_place(s, p, 1, heir_cost);
        s->heirs[p->replicas[0] * s->node_count + p->replicas[1]]++;
    }
}

/* Hands the partition to a member that leads at least two fewer. */
static bool even_out(struct spread *s, struct partition_meta *p)
{
    struct placement_node *leader = &s->nodes[p->replicas[0]];
    for (unsigned i = 1; i < p->replica_count; i++) {
        struct placement_node *other = &s->nodes[p->replicas[i]];
        if (other->leaders + 1 < leader->leaders && other->reserve <= leader->reserve) {
            leader->leaders--;
            other->leaders++;
            swap_places(p, 0, i);
            return true;
        }
    }
    return false;
}

/* Ends, because each move lowers the sum of the squares. */
static void even_out_leaders(struct spread *s, struct partition_meta *partitions, uint32_t count)
{
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < count; i++) {
            moved = even_out(s, &partitions[i]) || moved;
        }
    }
}

static void positions_to_ids(const struct spread *s, struct partition_meta *p)
{
    for (unsigned i = 0; i < p->replica_count; i++) {
        p->replicas[i] = s->nodes[p->replicas[i]].id;
    }
}

static void assign(struct spread *s, struct partition_meta *partitions, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        choose_set(s, &partitions[i]);
        choose_leader(s, &partitions[i]);
        choose_heir(s, &partitions[i]);
    }
    even_out_leaders(s, partitions, count);
    for (uint32_t i = 0; i < count; i++) {
        positions_to_ids(s, &partitions[i]);
    }
}

int placement_assign(struct placement_node *nodes, unsigned node_count, unsigned replicas,
                     struct partition_meta *partitions, uint32_t count)
{
    if (replicas < 1 || replicas > node_count || replicas > PARTITION_REPLICAS_MAX) {
        return ERR_INVALID_REPLICATION;
    }
    size_t pairs = (size_t)node_count * node_count;
    struct spread spread = {
        .nodes = nodes,
        .node_count = node_count,
        .replicas = replicas,
        .together = memory_zalloc(pairs * sizeof(uint32_t)),
        .heirs = memory_zalloc(pairs * sizeof(uint32_t)),
    };
    assign(&spread, partitions, count);
    free(spread.together);
    free(spread.heirs);
    return 0;
}
