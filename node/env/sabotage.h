/* Promises that the simulator can make a node break, one bit each, to prove that it would notice. Only the
 * simulated environment ever sets one; each is asked for in one place, where the promise is kept. The guards
 * around the consensus core have switches of their own (enum consensus_guard). */
#ifndef ENV_SABOTAGE_H
#define ENV_SABOTAGE_H

#include "node/env/env.h"

/* X(NAME, "what goes wrong") */
#define SABOTAGE_TABLE(X)                                                                                    \
    X(ACK_BEFORE_SYNC, "acknowledged before the sync")                                                       \
    X(SYNC_ERROR_IGNORED, "a failed sync is taken for a good one")                                           \
    X(DIRECTORY_NOT_SYNCED, "new files are not made durable in their directory")                             \
    X(TORN_TAIL_ACCEPTED, "batches behind a crash are believed without their checksum")                      \
    X(DAMAGE_CUT_AWAY, "damage in the middle of a log is cut away")                                          \
    X(SHORT_LOG_SERVED, "a log that has lost its end is taken for whole")                                    \
    X(ACK_BEFORE_QUORUM, "acks=all acknowledged before a quorum has it")                                     \
    X(VOTE_FORGOTTEN, "a vote forgotten at a start")                                                         \
    X(DAMAGED_VOTES, "a damaged replica votes")                                                              \
    X(NEWCOMER_VOTES, "a node with an emptied disk votes")                                                   \
    X(NEWCOMER_FORGETS, "a node with an emptied disk forgets at a start that it has not joined")             \
    X(STALE_LEADER_READS, "a leader answers where the end is without asking whether it still leads")         \
    X(UNCOMMITTED_SERVED, "records served before they are committed")                                        \
    X(RETRY_ACCEPTED, "a producer's retry accepted twice")                                                   \
    X(PRODUCERS_FORGOTTEN, "snapshots without the producers' sequences")                                     \
    X(COMMIT_IN_MEMORY, "a group's offset acknowledged while it is in memory only")                          \
    X(OWNER_IGNORED, "a commit is taken from a member that owns nothing any more")                           \
    X(IDENTITY_IGNORED, "another node's disk is accepted")                                                   \
    X(NO_BACK_PRESSURE, "more is taken in than the bounds allow")                                            \
    X(RETENTION_TOO_EARLY, "records deleted before their time")                                              \
    X(COMPLETED_AT_ONCE, "an append completed inside of the call that asks for it")                          \
    X(COMPLETED_OUT_OF_ORDER, "appends completed to the core in another order")                              \
    X(APPEND_FAILS, "an append reported to the core as failed")                                              \
    X(TERM_FAILS, "a new term reported to the core as failed")                                               \
    X(INSTALL_FAILS, "an installed snapshot reported to the core as failed")                                 \
    X(SEND_FAILS, "a message that can't be sent reported by the call itself")

enum sabotage {
#define X(name, text) SABOTAGE_##name,
    SABOTAGE_TABLE(X)
#undef X
        SABOTAGES
};

/* Always false outside of the simulator. [worker] */
bool env_sabotaged(const struct env *env, enum sabotage sabotage);

#endif
