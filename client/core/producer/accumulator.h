/* Where application threads leave records and the core fetches batches: per partition one open batch and the
 * full ones behind it, all under one short lock. A record costs no allocation and no system call of its own.
 * The only part of a producer, with its reports, that several threads touch.
 *
 * Functions are marked [app] for application threads, [io] for the thread that runs the core. */
#ifndef CLIENT_CORE_PRODUCER_ACCUMULATOR_H
#define CLIENT_CORE_PRODUCER_ACCUMULATOR_H

#include "client/core/internal.h"
#include "proto/batch.h"
#include <pthread.h>

struct accumulator;
struct accumulator_topic;

/* One record whose producer waits for it, on that thread's stack. */
struct accumulator_waiter {
    struct accumulator_waiter *next;
    int32_t index; /* in its batch */
    bool is_done;
    int status;
    int64_t offset;
    char *error;
    size_t error_size;
};

/* One batch of records from the first append to its delivery report. */
struct core_batch {
    TAILQ_ENTRY(core_batch) link;
    struct accumulator_partition *partition;
    struct batch_builder builder;
    void **opaques; /* one per record when there is a delivery callback */
    size_t opaque_capacity;
    size_t charged_bytes; /* of buffer.bytes */
    struct accumulator_waiter *waiters;
    uint64_t created_ns;

    /* Of the core. */
    struct core_request request;
    struct core_producer_partition *owner;
    struct core_endpoint *sent_to; /* of the last attempt */
    struct core_wire *wire;        /* finished; NULL before the first attempt */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t sequence;
    bool is_sent;    /* handed to a connection and neither answered nor lost */
    bool is_unknown; /* an attempt may have been written */

    /* The report. */
    int status;
    int64_t base_offset;
    int64_t append_time_ms;
    int durability;
    char message[CORE_MESSAGE_SIZE];
};
TAILQ_HEAD(core_batch_list, core_batch);

struct accumulator_partition {
    struct accumulator_topic *topic;
    uint32_t index;
    struct core_producer_partition *owner; /* [io] only */
    struct core_batch *open;               /* the rest is private to the accumulator */
    struct core_batch_list full;
    bool dirty;
    TAILQ_ENTRY(accumulator_partition) dirty_link;
};

struct accumulator_hooks {
    void *data;
    void (*wake)(void *data); /* the core has something to look at; called without the lock */
    uint64_t (*now_ns)(void *data);
};

struct accumulator *accumulator_create(const struct client_settings *settings,
                                       const struct accumulator_hooks *hooks, flotilla_delivery_cb cb,
                                       void *cb_data, uint64_t seed);
void accumulator_destroy(struct accumulator *a); /* the core producer is gone */

struct accumulator_record {
    const char *topic;
    int32_t partition;
    int64_t timestamp_ms;
    const void *key;
    size_t key_size;
    const void *value;
    size_t value_size;
    const struct record_header *headers;
    size_t header_count;
    void *opaque;
    struct accumulator_waiter *waiter; /* NULL: nobody waits */
};
/* [app] The error's text as well, when there is one. */
int accumulator_append_and_wait(struct accumulator *a, struct accumulator_record *record, int64_t *offset,
                                char *error, size_t error_size);
int accumulator_fd(struct accumulator *a); /* [app] see flotilla_producer_fd */
int accumulator_append(struct accumulator *a, const struct accumulator_record *record); /* [app] */
int accumulator_poll(struct accumulator *a, int timeout_ms);                            /* [app] */
int accumulator_flush(struct accumulator *a, int timeout_ms);                           /* [app] */
uint64_t accumulator_pending(const struct accumulator *a);                              /* [app] */
void accumulator_last_error(struct accumulator *a, char *error, size_t error_size);     /* [app] */

/* [io] What changed since the last call: topics that are asked for and partitions with a new batch. */
void accumulator_collect(struct accumulator *a,
                         void (*topic)(void *data, const char *name, uint32_t partitions),
                         void (*partition)(void *data, struct accumulator_partition *p), void *data);
/* [io] The topic has so many partitions; with ERR_UNKNOWN_PARTITION: for certain no more; with another error:
 * there is no such topic. */
void accumulator_set_topic(struct accumulator *a, const char *topic, uint32_t partition_count, int status);
const char *accumulator_topic_name(const struct accumulator_topic *t);
/* [io] What waits in a partition, and since when. */
enum accumulator_waiting { WAITING_NONE, WAITING_OPEN, WAITING_FULL };
enum accumulator_waiting accumulator_peek(struct accumulator *a, struct accumulator_partition *p,
                                          uint64_t *created_ns);
/* [io] Takes the oldest batch, also when it is still open. NULL: none. */
struct core_batch *accumulator_take(struct accumulator *a, struct accumulator_partition *p);
bool accumulator_is_flushing(struct accumulator *a); /* [io] */
/* [io] The end of a batch, its report filled in. */
void accumulator_complete(struct accumulator *a, struct core_batch *batch);
/* [io] Nothing is accepted any more. */
void accumulator_fail(struct accumulator *a, int status, const char *message);

#endif
