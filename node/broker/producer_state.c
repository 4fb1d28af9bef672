#include "node/broker/producer_state.h"

#include "node/base/assert.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct producer {
    int64_t id;
    int16_t epoch;                                   /* of the committed batches */
    unsigned count;                                  /* committed batches known; 0: only pending ones */
    struct producer_batch batches[PRODUCER_BATCHES]; /* oldest first */
    struct queue pending;                            /* in the order proposed */
    struct queue by_age;                             /* in the table's list while count > 0 */
    UT_hash_handle hh;
};

struct producer_table {
    struct producer *producers;
    struct queue
        by_age; /* longest silent first, so `timestamp_ms` of the last batches rises along the list */
    size_t committed;
    int64_t clock_ms;
    uint64_t expiry_ms;
};

static int32_t sequence_after(int32_t sequence)
{
    return sequence == INT32_MAX ? 0 : sequence + 1;
}

static int32_t last_sequence_of(const struct batch_header *header)
{
    uint32_t last = (uint32_t)header->base_sequence + (uint32_t)header->last_offset_delta;
    return (int32_t)(last & INT32_MAX);
}

struct producer_table *producer_table_create(uint64_t expiry_ms)
{
    struct producer_table *t = memory_zalloc(sizeof *t);
    queue_init(&t->by_age);
    t->clock_ms = INT64_MIN;
    t->expiry_ms = expiry_ms;
    return t;
}

void producer_table_destroy(struct producer_table *t)
{
    producer_table_clear(t);
    ASSERT(t->producers == NULL);
    free(t);
}

static struct producer *producer_find(struct producer_table *t, int64_t id)
{
    struct producer *producer;
    HASH_FIND(hh, t->producers, &id, sizeof id, producer);
    return producer;
}

static struct producer *producer_find_or_create(struct producer_table *t, int64_t id)
{
    struct producer *producer = producer_find(t, id);
    if (producer != NULL)
        return producer;
    producer = memory_zalloc(sizeof *producer);
    producer->id = id;
    queue_init(&producer->pending);
    queue_init(&producer->by_age);
    HASH_ADD(hh, t->producers, id, sizeof producer->id, producer);
    return producer;
}

static void producer_release(struct producer_table *t, struct producer *producer)
{
    if (producer->count > 0 || !queue_empty(&producer->pending))
        return;
    HASH_DEL(t->producers, producer);
    free(producer);
}

/* Drops what is committed; what is pending on this leader stays. */
static void producer_forget(struct producer_table *t, struct producer *producer)
{
    ASSERT(producer->count > 0);
    producer->count = 0;
    queue_remove(&producer->by_age);
    t->committed--;
    producer_release(t, producer);
}

/* ---- judging ---- */

/* The epoch and last sequence that the next batch follows: of the last pending batch, else of the last
 * committed one. */
static void producer_position(const struct producer *producer, int16_t *epoch, int32_t *last_sequence)
{
    if (!queue_empty(&producer->pending)) {
        const struct producer_pending *last =
            QUEUE_ENTRY(queue_last(&producer->pending), struct producer_pending, node);
        *epoch = last->epoch;
        *last_sequence = last->last_sequence;
    } else {
        ASSERT(producer->count > 0);
        *epoch = producer->epoch;
        *last_sequence = producer->batches[producer->count - 1].last_sequence;
    }
}

static struct producer_pending *find_pending(const struct producer *producer,
                                             const struct batch_header *header)
{
    QUEUE_FOREACH (node, &producer->pending) {
        struct producer_pending *pending = QUEUE_ENTRY(node, struct producer_pending, node);
        if (pending->epoch == header->producer_epoch && pending->base_sequence == header->base_sequence &&
            pending->last_sequence == last_sequence_of(header))
            return pending;
    }
    return NULL;
}

static const struct producer_batch *find_committed(const struct producer *producer,
                                                   const struct batch_header *header)
{
    if (producer->epoch != header->producer_epoch)
        return NULL;
    for (unsigned i = 0; i < producer->count; i++) {
        const struct producer_batch *batch = &producer->batches[i];
        if (batch->base_sequence == header->base_sequence && batch->last_sequence == last_sequence_of(header))
            return batch;
    }
    return NULL;
}

int producer_table_check(struct producer_table *t, const struct batch_header *header,
                         struct producer_check *found)
{
    memset(found, 0, sizeof *found);
    if (header->producer_epoch < 0 || header->base_sequence < 0)
        return ERR_INVALID_ARGUMENT;
    struct producer *producer = producer_find(t, header->producer_id);
    if (producer == NULL)
        return PRODUCER_APPEND;

    int32_t last_sequence;
    producer_position(producer, &found->epoch, &last_sequence);
    if (header->producer_epoch < found->epoch)
        return ERR_FENCED_PRODUCER;
    if (header->producer_epoch > found->epoch)
        return header->base_sequence == 0 ? PRODUCER_APPEND : ERR_OUT_OF_ORDER_SEQUENCE;

    found->pending = find_pending(producer, header);
    if (found->pending != NULL)
        return PRODUCER_REPEAT;
    const struct producer_batch *batch = find_committed(producer, header);
    if (batch != NULL) {
        found->batch = *batch;
        return PRODUCER_DUPLICATE;
    }
    found->expected_sequence = sequence_after(last_sequence);
    return header->base_sequence == found->expected_sequence ? PRODUCER_APPEND : ERR_OUT_OF_ORDER_SEQUENCE;
}

void producer_table_begin(struct producer_table *t, const struct batch_header *header,
                          struct producer_pending *pending)
{
    struct producer *producer = producer_find_or_create(t, header->producer_id);
    pending->producer = producer;
    pending->epoch = header->producer_epoch;
    pending->base_sequence = header->base_sequence;
    pending->last_sequence = last_sequence_of(header);
    queue_push(&producer->pending, &pending->node);
}

void producer_table_end(struct producer_table *t, struct producer_pending *pending)
{
    struct producer *producer = pending->producer;
    queue_remove(&pending->node);
    pending->producer = NULL;
    producer_release(t, producer);
}

/* ---- applying ---- */

static void producer_append(struct producer_table *t, struct producer *producer, int16_t epoch,
                            const struct producer_batch *batch)
{
    if (producer->count == 0)
        t->committed++;
    if (epoch != producer->epoch) {
        producer->epoch = epoch;
        producer->count = 0;
    }
    if (producer->count == PRODUCER_BATCHES) {
        memmove(&producer->batches[0], &producer->batches[1],
                (PRODUCER_BATCHES - 1) * sizeof producer->batches[0]);
        producer->count--;
    }
    producer->batches[producer->count++] = *batch;
    queue_remove(&producer->by_age);
    queue_push(&t->by_age, &producer->by_age);
}

static bool is_expired(const struct producer_table *t, const struct producer *producer)
{
    int64_t last_ms = producer->batches[producer->count - 1].timestamp_ms;
    return (uint64_t)t->clock_ms - (uint64_t)last_ms > t->expiry_ms;
}

static void expire(struct producer_table *t)
{
    while (!queue_empty(&t->by_age)) {
        struct producer *oldest = QUEUE_ENTRY(queue_first(&t->by_age), struct producer, by_age);
        if (t->committed <= PRODUCERS_MAX && !is_expired(t, oldest))
            return;
        producer_forget(t, oldest);
    }
}

void producer_table_apply(struct producer_table *t, const struct batch_header *header)
{
    if (header->producer_id < 0)
        return;
    if (header->max_timestamp_ms > t->clock_ms)
        t->clock_ms = header->max_timestamp_ms;
    struct producer_batch batch = {
        .base_sequence = header->base_sequence,
        .last_sequence = last_sequence_of(header),
        .base_offset = header->base_offset,
        .timestamp_ms = t->clock_ms,
    };
    producer_append(t, producer_find_or_create(t, header->producer_id), header->producer_epoch, &batch);
    expire(t);
}

/* ---- snapshots ---- */

size_t producer_table_count(const struct producer_table *t)
{
    return t->committed;
}

void producer_table_each(const struct producer_table *t,
                         void (*each)(void *data, int64_t producer_id, int16_t epoch,
                                      const struct producer_batch *batches, unsigned count),
                         void *data)
{
    QUEUE_FOREACH (node, &t->by_age) {
        const struct producer *producer = QUEUE_ENTRY(node, struct producer, by_age);
        each(data, producer->id, producer->epoch, producer->batches, producer->count);
    }
}

void producer_table_clear(struct producer_table *t)
{
    while (!queue_empty(&t->by_age))
        producer_forget(t, QUEUE_ENTRY(queue_first(&t->by_age), struct producer, by_age));
    t->clock_ms = INT64_MIN;
}

static bool batch_is_sane(const struct producer_batch *batch)
{
    return batch->base_sequence >= 0 && batch->last_sequence >= 0 && batch->base_offset >= 0;
}

int producer_table_load(struct producer_table *t, int64_t producer_id, int16_t epoch,
                        const struct producer_batch *batches, unsigned count)
{
    if (producer_id < 0 || epoch < 0 || count == 0 || count > PRODUCER_BATCHES)
        return ERR_CORRUPT;
    struct producer *known = producer_find(t, producer_id);
    if (known != NULL && known->count > 0)
        return ERR_CORRUPT;
    int64_t clock_ms = t->clock_ms;
    for (unsigned i = 0; i < count; i++)
        if (!batch_is_sane(&batches[i]) || (i > 0 && batches[i].timestamp_ms < batches[i - 1].timestamp_ms))
            return ERR_CORRUPT;
    if (batches[count - 1].timestamp_ms < clock_ms)
        return ERR_CORRUPT;

    struct producer *producer = producer_find_or_create(t, producer_id);
    for (unsigned i = 0; i < count; i++)
        producer_append(t, producer, epoch, &batches[i]);
    t->clock_ms = batches[count - 1].timestamp_ms;
    return 0;
}
