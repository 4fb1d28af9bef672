/* Reads all that this node stores again and again, slowly, and checks it: what rots where nobody reads is
 * found while the other replicas still have it. A damaged log ends its replica, as when a reader finds it,
 * and is repaired from the others (docs/decisions/0013).
 *
 * One partition after another, one read in flight per node. How far it has come is not kept: a node that
 * starts begins anew, a tenth of the interval later. What is not on disk yet is left out, and so are the
 * indexes, which are checked against their segments whenever they are used. */
#ifndef BROKER_SCRUB_H
#define BROKER_SCRUB_H

#include "node/consensus/governor.h"
#include "node/env/env.h"
#include "node/storage/log.h"

struct broker;
struct partition;

struct scrub {
    uint64_t passes;        /* that went through everything */
    uint64_t bytes;         /* that were read and found whole */
    struct env_timer timer; /* private from here */
    struct log_range_req read;
    struct governor_turn turn;
    struct partition *partition; /* whose read is in flight; referenced */
    uint64_t next_index;         /* in the partition that is being read; 0: not begun */
    uint64_t last_index;         /* what comes behind it meanwhile is the next pass's */
    uint64_t *groups;            /* of this pass, in their order */
    size_t group_count;
    size_t group_at;
    bool is_under_way; /* a pass */
    uint64_t pass_began_ns;
};

void scrub_start(struct broker *b);
void scrub_stop(struct broker *b); /* no partition may run */

#endif
