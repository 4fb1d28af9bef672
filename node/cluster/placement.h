/* Where the replicas of new partitions go: evenly over live, not draining nodes, spread over racks first, preferred leaders
 * in rotation. Pure: same input, same output. */
#ifndef CLUSTER_PLACEMENT_H
#define CLUSTER_PLACEMENT_H

#include "node/cluster/metadata.h"

struct placement_node {
    uint32_t id;
    const char *rack;   /* "" when unknown */
    unsigned replicas;  /* that it holds already */
    unsigned leaders;   /* of which preferred */
};

/* Fills `partitions[i].replicas` and `.replica_count` for `count` partitions; counts in `nodes` are updated. Returns 0 or
 * ERR_INVALID_REPLICATION. */
int placement_assign(struct placement_node *nodes, unsigned node_count, unsigned replicas,
                     struct partition_meta *partitions, uint32_t count);

#endif
