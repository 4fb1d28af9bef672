/* Compaction of an internal topic whose records feed a state machine: nobody reads its log but replicas that
 * follow it, and what a record says stands in the state, which travels in the snapshot. So the log needs
 * nothing from before the durable snapshot, however many groups it tells of: it stays as small as one
 * snapshot interval and a segment or two.
 *
 * Kafka rewrites such a log key by key, because there the log is the only copy of the state; here a compacted
 * log would be the snapshot once more. Internal to this room. */
#ifndef BROKER_COMPACTION_H
#define BROKER_COMPACTION_H

#include "node/broker/partition.h"

/* The topic's configuration as a compacted partition needs it: small segments, so that what is not needed
 * goes soon; room for a large change of state in one batch; no time limit, which would say nothing. */
void compaction_configure(const struct env *env, struct topic_config *config);
/* Drops what the durable snapshot covers, once that is worth it. */
void compaction_run(struct env *env, struct group *group);

#endif
