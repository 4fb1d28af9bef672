/* Two of some group's three replicas lose a part in the middle of their logs at the same moment, at which the
 * third one has everything: nothing is lost, and the group must come back (decision 13). */
#ifndef SIM_NEMESIS_PAIR_H
#define SIM_NEMESIS_PAIR_H

#include "tests/sim/cluster.h"

/* False when no group of this node, which must work, is in such a state. Both nodes are killed, and started
 * again. */
bool nemesis_harm_pair(struct sim_cluster *cluster, struct sim_node *first);

#endif
