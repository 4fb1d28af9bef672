/* What is checked of the nodes themselves, from outside and between events: one leader per term, what a
 * leader calls committed never goes back, and in the end identical replicas. */
#ifndef SIM_CHECKS_H
#define SIM_CHECKS_H

#include "tests/sim/cluster.h"
#include "tests/sim/history.h"

struct checked_group;

enum { CHECKS_RECENT = 64 };

struct checks {
    struct sim_cluster *cluster;
    struct history *history;
    struct checked_group *groups;
    struct checked_group *recent[CHECKS_RECENT]; /* found last, by id */
};

void checks_init(struct checks *c, struct sim_cluster *cluster, struct history *history);
/* Looks at all nodes; often. */
void checks_step(struct checks *c);
/* All nodes run, every partition has one ready leader, and its replicas stand at the same place. `why` says
 * what is missing. */
bool checks_converged(struct checks *c, char *why, size_t why_size);
/* When that holds: their entries are the same, byte for byte. `rotten`: a node whose disk may hold damage
 * that nobody has met with yet; or NULL. */
void checks_compare_replicas(struct checks *c, const struct sim_node *rotten);

#endif
