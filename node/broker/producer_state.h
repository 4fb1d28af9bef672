/* What a partition knows of its idempotent producers: for each producer id its epoch and its last five
 * batches, so that a repeat is recognised and a gap is refused (the rules are Kafka's, KIP-98).
 *
 * Committed state changes only in producer_table_apply, which every replica calls for every committed batch
 * in log order: it is derived from the log and the same everywhere. Beside it stands, on the leader only, the
 * list of batches that are proposed and not yet committed ("pending").
 *
 * Expiry is derived from the log too. The table has a clock of its own: the greatest timestamp of the
 * idempotent batches applied so far. A producer whose last batch was applied when the clock stood more than
 * `expiry_ms` earlier is forgotten; so is the longest silent one when there are more than PRODUCERS_MAX. A
 * producer's own record timestamps don't matter: sending last year's events doesn't make it expire.
 *
 * Pure: no I/O, no clock, no log. */
#ifndef BROKER_PRODUCER_STATE_H
#define BROKER_PRODUCER_STATE_H

#include "node/base/queue.h"
#include "proto/batch.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PRODUCER_BATCHES = 5,
    PRODUCERS_MAX = 16384, /* per partition: bounds memory and the snapshot */
};

struct producer_batch {
    int32_t base_sequence;
    int32_t last_sequence;
    int64_t base_offset;
    int64_t timestamp_ms; /* of the table's clock when it was applied; never goes back from batch to batch */
};

struct producer_table;
struct producer;

/* A proposed batch of an idempotent producer; embedded in the proposal's owner. */
struct producer_pending {
    struct queue node; /* private */
    struct producer *producer;
    int16_t epoch;
    int32_t base_sequence;
    int32_t last_sequence;
};

struct producer_table *producer_table_create(uint64_t expiry_ms);
/* No batch may be pending. */
void producer_table_destroy(struct producer_table *t);

enum producer_verdict {
    PRODUCER_APPEND = 0, /* the next batch, or the first of an unknown producer or a new epoch */
    PRODUCER_DUPLICATE,  /* committed already: `batch` says where */
    PRODUCER_REPEAT,     /* proposed already: `pending` */
};

struct producer_check {
    struct producer_batch batch;
    struct producer_pending *pending;
    /* For messages: what was expected instead. */
    int16_t epoch;
    int32_t expected_sequence;
};

/* Judges a batch with producer_id >= 0 that a client sent to the leader. Returns a verdict,
 * ERR_OUT_OF_ORDER_SEQUENCE, ERR_FENCED_PRODUCER, or ERR_INVALID_ARGUMENT for a negative epoch or sequence.
 */
int producer_table_check(struct producer_table *t, const struct batch_header *header,
                         struct producer_check *found);
/* The batch, judged PRODUCER_APPEND, has been proposed. */
void producer_table_begin(struct producer_table *t, const struct batch_header *header,
                          struct producer_pending *pending);
/* It is committed (and has been applied), or its outcome will never be known here. */
void producer_table_end(struct producer_table *t, struct producer_pending *pending);

/* A committed data batch, in log order. Batches without a producer id are ignored. */
void producer_table_apply(struct producer_table *t, const struct batch_header *header);

/* ---- snapshots ---- */

size_t producer_table_count(const struct producer_table *t); /* producers with committed batches */
/* In the order in which they were last heard of, the longest silent first; loading in this order restores the
 * table. */
void producer_table_each(const struct producer_table *t,
                         void (*each)(void *data, int64_t producer_id, int16_t epoch,
                                      const struct producer_batch *batches, unsigned count),
                         void *data);
/* Forgets all committed state. */
void producer_table_clear(struct producer_table *t);
/* `count` is 1 to PRODUCER_BATCHES. ERR_CORRUPT when the values can't be a table's: the bytes come from a
 * disk. */
int producer_table_load(struct producer_table *t, int64_t producer_id, int16_t epoch,
                        const struct producer_batch *batches, unsigned count);

#endif
