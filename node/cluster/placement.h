/* Where the replicas of new partitions go: spread over racks first, then evenly over nodes, preferred leaders
 * evenly too. Pure: same input, same output. */
#ifndef CLUSTER_PLACEMENT_H
#define CLUSTER_PLACEMENT_H

#include "node/cluster/metadata.h"

struct placement_node {
    uint32_t id;
    const char *rack;  /* "" when unknown */
    unsigned replicas; /* that it holds already */
    unsigned leaders;  /* of which preferred */
    bool reserve; /* out of reach or draining: taken only when the others do not suffice, and never preferred
                     then */
};

/* Fills `partitions[i].replicas` and `.replica_count` for `count` partitions; counts in `nodes` are updated.
 * A node without a rack counts as a rack of its own. Returns 0, or ERR_INVALID_REPLICATION for no replica,
 * more than there are nodes, or more than PARTITION_REPLICAS_MAX. */
int placement_assign(struct placement_node *nodes, unsigned node_count, unsigned replicas,
                     struct partition_meta *partitions, uint32_t count);

#endif
