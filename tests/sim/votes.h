/* Whom each replica has helped to lead must be remembered: a vote that was counted, and its term, are on the
 * voter's disk, whatever happens to its power. Seen from outside: a leader has a majority's votes, and where
 * only just so many replicas can have given theirs, each of these has. */
#ifndef SIM_VOTES_H
#define SIM_VOTES_H

#include "tests/sim/cluster.h"
#include "tests/sim/history.h"

enum { VOTES_RECENT = 64 };

struct voted_group;

struct votes {
    struct sim_cluster *cluster;
    struct history *history;
    struct voted_group *groups;
    struct voted_group *recent[VOTES_RECENT]; /* found last, by id */
    uint64_t steps;
    uint64_t looked[CLUSTER_MAX_NODES]; /* the step in which each node was looked at, as it still stands; 0:
                                           none */
    struct sim_node
        *unsure; /* its vote was counted in the last step, and its journal is not durable; NULL: none */
};

void votes_init(struct votes *v, struct sim_cluster *cluster, struct history *history);
/* Looks at all nodes that have run; after cluster_step, often, and before a fault that follows an election.
 * `excused`: the node whose disk may have lost what was synced; or NULL. */
void votes_step(struct votes *v, const struct sim_node *excused);

#endif
