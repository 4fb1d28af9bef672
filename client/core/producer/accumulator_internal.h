/* Private to accumulator*.c. */
#ifndef CLIENT_CORE_PRODUCER_ACCUMULATOR_INTERNAL_H
#define CLIENT_CORE_PRODUCER_ACCUMULATOR_INTERNAL_H

#include "client/core/notify.h"
#include "client/core/producer/accumulator.h"
#include "client/core/wait.h"
#include <stdatomic.h>

enum {
    REPORT_CHARGE = 16, /* bytes that one undelivered report keeps of buffer.bytes */
};

struct accumulator_topic {
    TAILQ_ENTRY(accumulator_topic) link;
    char name[CORE_TOPIC_SIZE];
    bool asked; /* the core knows that it is wanted */
    int status; /* why it cannot be used; 0 and no partitions: not known yet */
    struct accumulator_partition **partitions;
    uint32_t partition_count;
    uint32_t wanted; /* so many partitions: somebody appends to the last of these */
    bool is_whole;   /* there are no more, as the core has found out for who wanted them */
    uint32_t sticky; /* where records without key go as long as its batch has room */
};

struct accumulator {
    struct client_settings settings;
    struct accumulator_hooks hooks;
    flotilla_delivery_cb cb;
    void *cb_data;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    unsigned waiting; /* threads in pthread_cond_wait */
    TAILQ_HEAD(, accumulator_topic) topics;
    struct accumulator_topic *last; /* most records go where the one before went */
    TAILQ_HEAD(, accumulator_partition) dirty;
    bool topics_asked;
    size_t buffered_bytes;
    atomic_ullong pending; /* also read without the lock */
    unsigned flushing;
    struct core_batch_list done;
    struct notify notify; /* of `done` */
    struct core_batch_list spare;
    unsigned spare_count;
    uint64_t random;
    int fatal;
    int first_failure; /* since the last flush, when there is no callback */
    char message[2 * CORE_MESSAGE_SIZE];
};

/* Waits for a change; false once the deadline has passed. */
static inline bool wait_changed(struct accumulator *a, const struct wait_deadline *deadline)
{
    a->waiting++;
    bool in_time = wait_until(&a->changed, &a->lock, deadline);
    a->waiting--;
    return in_time;
}

static inline void tell_changed(struct accumulator *a)
{
    if (a->waiting > 0)
        pthread_cond_broadcast(&a->changed);
}

static inline void unlock_and_wake(struct accumulator *a, bool wake)
{
    pthread_mutex_unlock(&a->lock);
    if (wake)
        a->hooks.wake(a->hooks.data);
}

void accumulator_batch_free(struct core_batch *batch);
/* Calls the callback for all that is done, with the lock released meanwhile. Returns the number of records.
 */
int accumulator_deliver(struct accumulator *a);
/* Stands for the opaque pointer of a record whose producer waits for it: it hears of it that way. */
extern const char accumulator_awaited[1];

#endif
