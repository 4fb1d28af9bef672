/* Faults at random, in profiles: what happens how often, and how far apart. */
#ifndef SIM_CONSENSUS_FAULTS_H
#define SIM_CONSENSUS_FAULTS_H

#include "tests/sim/consensus/one_group.h"

enum { FAULT_PROFILES = 6 };

/* Before the nodes are started. */
void faults_prepare(struct one_group *r, unsigned profile);
/* NULL, or what is wrong. */
const char *faults_run(struct one_group *r, unsigned profile);

#endif
