/* Where the core leaves received batches and application threads fetch them; what the application finished
 * flows back from here as credit and as offsets to commit. The only part of a consumer that several threads
 * touch.
 *
 * Functions are marked [app] for application threads, [io] for the thread that runs the core. */
#ifndef CLIENT_CORE_CONSUMER_INBOX_H
#define CLIENT_CORE_CONSUMER_INBOX_H

#include "client/core/internal.h"
#include "proto/batch.h"
#include <stdatomic.h>

struct inbox;
struct inbox_partition;

/* One record batch in a received frame, or an event. */
struct flotilla_batch {
    TAILQ_ENTRY(flotilla_batch) link;
    struct inbox *inbox;
    struct inbox_partition *partition;
    uint64_t generation; /* of the partition's position: stale after a seek */
    enum flotilla_batch_kind kind;
    int status;
    char *message; /* of an error */
    struct core_buffer *buffer;
    const unsigned char *data;
    size_t size;
    int64_t first_offset; /* the first one to be returned */
    int64_t next_offset;
    int64_t high_watermark;
    int32_t leader_epoch;
    atomic_llong finished; /* the offset behind the last finished record */

    struct batch_reader reader;
    bool is_reading;
    struct flotilla_record record;
    struct flotilla_header *headers;
    size_t header_capacity;
};
TAILQ_HEAD(flotilla_batch_list, flotilla_batch);

struct inbox_hooks {
    void *data;
    void (*wake)(void *data); /* credit may be given or offsets committed; called without the lock */
};

struct inbox *inbox_create(const struct inbox_hooks *hooks);
void inbox_destroy(struct inbox *inbox); /* no batch is with the application */

/* [io] The same partition again gives the same struct. `index` -1 stands for a whole topic (errors). */
struct inbox_partition *inbox_partition_get(struct inbox *inbox, const char *topic, int32_t index);
/* [io] Drops what is queued; batches that the application still has no longer count. Position -1: not known
 * yet. */
void inbox_partition_reset(struct inbox *inbox, struct inbox_partition *p, int64_t position);
void inbox_partition_set_owner(struct inbox *inbox, struct inbox_partition *p, void *owner); /* [io] */
/* [io] The core wants to be woken when a quarter of this was released. */
void inbox_partition_set_window(struct inbox *inbox, struct inbox_partition *p, size_t window);
/* [io] Appends one; takes the batch over. A new batch has one reference to `buffer` (NULL for events). */
struct flotilla_batch *inbox_batch_create(enum flotilla_batch_kind kind, struct core_buffer *buffer);
void inbox_push(struct inbox *inbox, struct inbox_partition *p, struct flotilla_batch *batch);
void inbox_set_high_watermark(struct inbox *inbox, struct inbox_partition *p,
                              int64_t high_watermark);                                    /* [io] */
void inbox_set_committed(struct inbox *inbox, struct inbox_partition *p, int64_t offset); /* [io] */
/* [io] Bytes of a partition that are queued or with the application. */
size_t inbox_held(struct inbox *inbox, struct inbox_partition *p);
/* [io] Owners of partitions whose held bytes fell since the last call. */
void inbox_collect(struct inbox *inbox, void (*released)(void *data, void *owner), void *data);
/* [io] Owners of partitions with something finished that is not being committed yet; marks it as being
 * committed. */
void inbox_take_finished(struct inbox *inbox, void (*finished)(void *data, void *owner, int64_t offset),
                         void *data);
/* [io] The commit failed: what it held is taken again by the next. */
void inbox_untake_finished(struct inbox *inbox);
bool inbox_has_finished(struct inbox *inbox); /* [app] something to commit */

/* [io] A partition that is to be let go: what the application has not been given is dropped; what it has is
 * finished as ever and may be committed. */
void inbox_partition_drain(struct inbox *inbox, struct inbox_partition *p);
/* [io] Nothing of it is with the application, and the application knows that it is revoked. The core is woken
 * when that becomes true of a partition that is being drained. */
bool inbox_partition_is_drained(struct inbox *inbox, const struct inbox_partition *p);

/* What the application is to be told about its share of a group, before it gets the next batch. */
struct inbox_rebalance {
    TAILQ_ENTRY(inbox_rebalance) link; /* private */
    enum flotilla_rebalance event;
    struct inbox_partition **partitions;
    size_t count;
};
void inbox_push_rebalance(struct inbox *inbox, enum flotilla_rebalance event,
                          struct inbox_partition *const *partitions, size_t count); /* [io] */
/* [app] Waits up to timeout_ms; NULL: nothing to tell. To be ended with inbox_end_rebalance. */
struct inbox_rebalance *inbox_take_rebalance(struct inbox *inbox, int timeout_ms);
void inbox_end_rebalance(struct inbox *inbox, struct inbox_rebalance *rebalance);

/* [io] Whether the application polled since the last call, or is at it. */
bool inbox_was_polled(struct inbox *inbox);
void inbox_wake_on_poll(struct inbox *inbox); /* [io] once, with the next poll */
/* [app] Waits until everything before `offset` is finished. False after timeout_ms. */
bool inbox_wait_finished(struct inbox *inbox, const char *topic, int32_t index, int64_t offset,
                         int timeout_ms);

int inbox_fd(struct inbox *inbox); /* [app] see flotilla_consumer_fd */
/* [app] NULL: nothing came, or there is a rebalance to be told first. */
struct flotilla_batch *inbox_poll(struct inbox *inbox, int timeout_ms);
void inbox_release(struct flotilla_batch *batch); /* [app] */
/* [app] False: no such partition. */
bool inbox_pause(struct inbox *inbox, const char *topic, int32_t index, bool paused);
struct inbox_progress {
    int64_t position; /* all -1: not known */
    int64_t high_watermark;
    int64_t committed;
};
bool inbox_progress(struct inbox *inbox, const char *topic, int32_t index,
                    struct inbox_progress *progress); /* [app] */
const char *inbox_partition_topic(const struct inbox_partition *p);
int32_t inbox_partition_index(const struct inbox_partition *p);

#endif
