/* What the checkers look at inside of the consensus room, whose own headers do not go together with other
 * rooms'. */
#ifndef SIM_PROBE_H
#define SIM_PROBE_H

#include "node/consensus/group.h"

/* False when the core does not have the entry in memory. */
bool probe_entry(const struct group *g, uint64_t index, uint64_t *term, uint32_t *crc);
/* Its recovery found that it has lost entries, and it was not repaired yet. Of two replicas the other one may
 * say that this does no harm: then false. */
bool probe_is_damaged(const struct group *g);
/* Whom it has voted for, in memory. False when the core does not run. */
struct probed_vote {
    uint64_t term;
    uint32_t vote;   /* 0: none */
    uint32_t voters; /* of its configuration, a mask of 1 << (id - 1) */
    bool leads;
    bool damaged;
    bool pending; /* what the group has put into its node's journal is not all on disk */
};
bool probe_vote(const struct group *g, struct probed_vote *v);
/* What a group's core says of itself, and what it has on its disk. False when it does not run. */
struct probed_core {
    uint64_t term;
    uint32_t vote; /* 0: none */
    uint64_t commit;
    uint64_t unstored_index; /* the first entry that is not on the disk; 0: all are */
    uint64_t unstored_term;
    bool leads, campaigns; /* a candidate, not only asking who would vote for it */
    bool damaged;
};
bool probe_core(const struct group *g, struct probed_core *core);
/* Of the entry at `index`, 0: not in memory any more. */
uint64_t probe_term(const struct group *g, uint64_t index);
/* Not a look, but a hand: nothing in a node changes who is in a group, as the core could. The leader appends
 * a configuration with one more server, who gets nothing and has no vote. False when it can't. */
bool probe_change_configuration(struct group *g, uint64_t server_id);
/* Of the peer with the most. */
size_t probe_queued_bytes(const struct consensus *c, size_t *limit);

#endif
