/* One Raft group on a few simulated nodes: the real storage/ and consensus/ rooms without what stands on
 * them, so that a seed has many more elections than one of a whole cluster. Nodes are counted from 0. */
#ifndef SIM_CONSENSUS_ONE_GROUP_H
#define SIM_CONSENSUS_ONE_GROUP_H

#include "helper_cluster.h"
#include "tests/sim/consensus/judge.h"
#include "tests/sim/env_sim.h"

enum { MS = 1000000 };

struct one_group {
    struct sim *sim;
    struct test_cluster cluster;
    struct sim_host *hosts[MAX_NODES];
    uint64_t restart_at_ms[MAX_NODES]; /* of a node that is down; UINT64_MAX: not by itself */
    bool frozen[MAX_NODES];
    uint64_t acked_before;
    unsigned small_bounds; /* a mask of 1 << enum bound */
    unsigned sabotage;     /* likewise of enum sabotage */
    struct judge judge;
};

/* `nodes` machines; nothing runs yet, so that settings of the cluster may be changed. */
void one_group_init(struct one_group *r, uint64_t seed, unsigned nodes, unsigned guards);
void one_group_close(struct one_group *r);
uint64_t one_group_now_ms(const struct one_group *r);
/* Lets so much time pass, starts who is due, and has everything judged. False once something is wrong. */
bool one_group_step(struct one_group *r, uint64_t ns);

void one_group_start(struct one_group *r, unsigned i);
void one_group_start_due(struct one_group *r, bool all);
/* By kill -9 or loss of power; it starts again after `down_ms`. */
void one_group_bring_down(struct one_group *r, unsigned i, bool power, uint64_t down_ms);
/* Of all machines at the same moment. */
void one_group_power_loss(struct one_group *r);
void one_group_freeze(struct one_group *r, unsigned i);
/* Ends what is wrong with links and stopped processes; then with latencies and disks, too. */
void one_group_heal(struct one_group *r);
void one_group_calm(struct one_group *r);
void one_group_cut_both_ways(struct one_group *r, unsigned a, unsigned b);

/* To whoever takes one, as long as not too much is in flight. */
void one_group_propose(struct one_group *r);
bool one_group_propose_to(struct one_group *r, unsigned i, size_t payload);
/* After all faults: NULL, or what is wrong. */
const char *one_group_converge(struct one_group *r);

#endif
