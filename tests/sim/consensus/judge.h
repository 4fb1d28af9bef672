/* What Raft promises about one group, held against the nodes' memory and disks between events:
 *
 *   - a vote that was counted is not forgotten, whatever happens to the voter's power
 *   - who goes on to a newer term, as a candidate, a voter or a follower, has what it claims to have on its
 * disk
 *   - what a leader calls committed is on a majority of the disks, and the newest of it is of its own term
 *   - a leader makes one entry at an index in its term
 *   - nobody's log begins behind what somebody was asked to drop
 *
 * That applied prefixes agree and that a term has one leader, the oracle of helper_cluster.h sees. */
#ifndef SIM_CONSENSUS_JUDGE_H
#define SIM_CONSENSUS_JUDGE_H

#include "helper_cluster.h"
#include "tests/sim/probe.h"

struct judge {
    int64_t dropped_before;    /* the offset up to which anybody was asked to drop its log */
    uint64_t judged_term;      /* the newest whose votes were counted */
    uint8_t *given[MAX_NODES]; /* by term: whom it was seen to vote for; 0: nobody */
    struct {
        uint64_t term; /* 0: none */
        uint32_t vote;
    } counted[MAX_NODES]; /* of each node, what it must remember */
    struct {
        bool there; /* since it was started last */
        struct probed_core core;
    } seen[MAX_NODES]; /* when it was looked at last */
    struct judged_entry {
        uint64_t term; /* 0: none was seen */
        uint32_t crc;
    } * entries; /* by index: the one that was seen last */
};

void judge_init(struct judge *j);
void judge_close(struct judge *j);
/* The node has just gone down. */
void judge_forget(struct judge *j, unsigned node);
/* Looks at all nodes; what is wrong goes into the cluster's `violation`. */
void judge_step(struct judge *j, struct test_cluster *c);

#endif
