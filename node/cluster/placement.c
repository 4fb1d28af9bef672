#include "node/cluster/placement.h"
#include "proto/error.h"
#include <stdint.h>
#include <string.h>

/* Partition by partition: first the set of nodes, each time the one that holds least, then its leader, the
 * one that leads least. Among equals the order turns from partition to partition, so that a node shares its
 * partitions with all others and its load spreads over all of them when it dies. */
struct round {
    struct placement_node *nodes;
    unsigned node_count;
    unsigned replicas;
    unsigned turn; /* where the order of equals begins */
    unsigned chosen[PARTITION_REPLICAS_MAX];
    unsigned chosen_count;
};

static bool is_chosen(const struct round *r, unsigned node)
{
    for (unsigned i = 0; i < r->chosen_count; i++) {
        if (r->chosen[i] == node) {
            return true;
        }
    }
    return false;
}

static bool rack_is_used(const struct round *r, unsigned node)
{
    const char *rack = r->nodes[node].rack;
    if (rack == NULL || rack[0] == '\0') {
        return false;
    }
    for (unsigned i = 0; i < r->chosen_count; i++) {
        const char *other = r->nodes[r->chosen[i]].rack;
        if (other != NULL && strcmp(rack, other) == 0) {
            return true;
        }
    }
    return false;
}

/* Cost of a candidate, most important first; less is better. */
struct cost {
    uint64_t parts[5];
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

static unsigned turned(const struct round *r, unsigned node)
{
    return (node + r->node_count - r->turn % r->node_count) % r->node_count;
}

static struct cost replica_cost(const struct round *r, unsigned node)
{
    const struct placement_node *n = &r->nodes[node];
    return (struct cost){{n->reserve, rack_is_used(r, node), n->replicas, n->leaders, turned(r, node)}};
}

static struct cost leader_cost(const struct round *r, unsigned node)
{
    const struct placement_node *n = &r->nodes[node];
    return (struct cost){{n->reserve, n->leaders, n->replicas, turned(r, node), 0}};
}

static void choose_replica(struct round *r)
{
    unsigned best = 0;
    struct cost best_cost = {{UINT64_MAX}};
    for (unsigned i = 0; i < r->node_count; i++) {
        struct cost cost = replica_cost(r, i);
        if (!is_chosen(r, i) && cheaper(&cost, &best_cost)) {
            best = i;
            best_cost = cost;
        }
    }
    r->chosen[r->chosen_count] = best;
    r->chosen_count++;
}

/* Moves the leader to the front; the others keep the order in which they were chosen. */
static void choose_leader(struct round *r)
{
    unsigned best = 0;
    for (unsigned i = 1; i < r->chosen_count; i++) {
        struct cost cost = leader_cost(r, r->chosen[i]);
        struct cost best_cost = leader_cost(r, r->chosen[best]);
        if (cheaper(&cost, &best_cost)) {
            best = i;
        }
    }
    unsigned leader = r->chosen[best];
    memmove(r->chosen + 1, r->chosen, best * sizeof r->chosen[0]);
    r->chosen[0] = leader;
}

static void assign_partition(struct round *r, struct partition_meta *partition)
{
    r->chosen_count = 0;
    while (r->chosen_count < r->replicas) {
        choose_replica(r);
    }
    choose_leader(r);
    partition->replica_count = r->replicas;
    for (unsigned i = 0; i < r->replicas; i++) {
        partition->replicas[i] = r->nodes[r->chosen[i]].id;
        r->nodes[r->chosen[i]].replicas++;
    }
    r->nodes[r->chosen[0]].leaders++;
}

int placement_assign(struct placement_node *nodes, unsigned node_count, unsigned replicas,
                     struct partition_meta *partitions, uint32_t count)
{
    if (replicas < 1 || replicas > node_count || replicas > PARTITION_REPLICAS_MAX) {
        return ERR_INVALID_REPLICATION;
    }
    struct round round = {.nodes = nodes, .node_count = node_count, .replicas = replicas};
    for (uint32_t i = 0; i < count; i++) {
        assign_partition(&round, &partitions[i]);
        /* One more step after each full circle, or equals would meet in the same pairs for ever. */
        round.turn += (i + 1) % node_count == 0 ? 2 : 1;
    }
    return 0;
}
