/* A follower that has fallen behind its leader's in-memory tail gets the missing range as whole batches from
 * the leader's files, verified, before the core sees the InstallSnapshot (G8): for the core, the install is
 * then mere metadata. */
#ifndef CONSENSUS_CATCHUP_H
#define CONSENSUS_CATCHUP_H

#include "node/consensus/group_internal.h"

struct catchup {
    struct queue node; /* in consensus.catchups_waiting, or in consensus.catchups while a request is out */
    bool has_turn;     /* from its request until what came is durable */
    struct governor_turn bulk; /* its request waits for the node's other work */
    bool gives_way;            /* while it does */
    struct group *group;
    struct message install; /* the newest one; delivered at the end */
    uint32_t from;
    uint64_t correlation;
    uint64_t requested_ns;
    uint64_t turn_took_ns;         /* the last one, from its request until what came was durable */
    uint64_t next;                 /* index to ask for */
    uint64_t bytes;                /* fetched so far */
    struct env_timer timer;        /* throttle, or the answer's deadline */
    struct catchup_append *append; /* being made durable; outlives an abort */
};

/* Cuts whole, verified batches into log entries that continue at `first_index` and `next_offset` (-1: not
 * checked). Returns the number of entries in `*entries` (to be freed; the slices have references), or
 * ERR_CORRUPT. */
int catchup_parse(const struct slice *bytes, uint64_t first_index, int64_t next_offset,
                  uint32_t max_batch_bytes, struct log_entry **entries);

#endif
