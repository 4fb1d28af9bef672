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
/* Of the peer with the most. */
size_t probe_queued_bytes(const struct consensus *c, size_t *limit);

#endif
