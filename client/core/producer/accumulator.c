#include "client/core/producer/accumulator_internal.h"
#include <stdarg.h>

enum {
    MAX_RECORD_SIZE = FRAME_MAX_SIZE - 1024 * 1024, /* leaves room for the frame around it */
};

struct accumulator *accumulator_create(const struct client_settings *settings,
                                       const struct accumulator_hooks *hooks, flotilla_delivery_cb cb,
                                       void *cb_data, uint64_t seed)
{
    struct accumulator *a = core_alloc(sizeof(*a));

    a->settings = *settings;
    a->hooks = *hooks;
    a->cb = cb;
    a->cb_data = cb_data;
    a->random = seed | 1;
    pthread_mutex_init(&a->lock, NULL);
    wait_condition_init(&a->changed);
    TAILQ_INIT(&a->topics);
    TAILQ_INIT(&a->dirty);
    TAILQ_INIT(&a->done);
    TAILQ_INIT(&a->spare);
    return a;
}

void accumulator_batch_free(struct core_batch *batch)
{
    batch_builder_close(&batch->builder);
    core_wire_unref(batch->wire);
    free(batch->opaques);
    free(batch);
}

static void batches_free(struct core_batch_list *list)
{
    struct core_batch *batch;

    while ((batch = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, batch, link);
        accumulator_batch_free(batch);
    }
}

void accumulator_destroy(struct accumulator *a)
{
    struct accumulator_topic *topic;

    while ((topic = TAILQ_FIRST(&a->topics)) != NULL) {
        TAILQ_REMOVE(&a->topics, topic, link);
        for (uint32_t i = 0; i < topic->partition_count; i++) {
            batches_free(&topic->partitions[i]->full);
            if (topic->partitions[i]->open != NULL)
                accumulator_batch_free(topic->partitions[i]->open);
            free(topic->partitions[i]);
        }
        free(topic->partitions);
        free(topic);
    }
    batches_free(&a->done);
    batches_free(&a->spare);
    notify_close(&a->notify);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

/* ---- appending ---- */

static void topic_ask(struct accumulator *a, struct accumulator_topic *topic)
{
    topic->asked = false;
    a->topics_asked = true;
}

static struct accumulator_topic *topic_find(struct accumulator *a, const char *name)
{
    struct accumulator_topic *topic = a->last;

    if (topic != NULL && strcmp(topic->name, name) == 0)
        return topic;
    for (topic = TAILQ_FIRST(&a->topics); topic != NULL; topic = TAILQ_NEXT(topic, link))
        if (strcmp(topic->name, name) == 0)
            break;
    return topic;
}

static struct accumulator_topic *topic_get(struct accumulator *a, const char *name)
{
    struct accumulator_topic *topic = topic_find(a, name);

    if (topic == NULL) {
        topic = core_alloc(sizeof(*topic));
        snprintf(topic->name, sizeof(topic->name), "%s", name);
        topic->sticky = UINT32_MAX;
        TAILQ_INSERT_TAIL(&a->topics, topic, link);
        topic_ask(a, topic);
    }
    a->last = topic;
    return topic;
}

static int fail_append(struct accumulator *a, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail_append(struct accumulator *a, int status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(a->message, sizeof(a->message), format, arguments);
    va_end(arguments);
    return status;
}

static bool topic_has(const struct accumulator_topic *topic, int32_t partition)
{
    return partition < 0 ? topic->partition_count > 0 : (uint32_t)partition < topic->partition_count;
}

/* Returns whether the core must be told. */
static bool topic_want(struct accumulator *a, struct accumulator_topic *topic, int32_t partition)
{
    if (partition < 0 || (uint32_t)partition < topic->wanted)
        return false;
    topic->wanted = (uint32_t)partition + 1;
    topic_ask(a, topic);
    return true;
}

/* Waits until the topic's partitions are known, the one that is wanted among them: a node that is behind may
 * have told of fewer. What has failed may be created meanwhile: the next attempt asks again. */
static int await_topic(struct accumulator *a, struct accumulator_topic *topic, int32_t partition,
                       const struct wait_deadline *deadline)
{
    bool woken = false;

    while (topic->status == 0 && !topic->is_whole && !topic_has(topic, partition) && a->fatal == 0) {
        if (topic_want(a, topic, partition) || !woken) {
            woken = true;
            unlock_and_wake(a, true);
            pthread_mutex_lock(&a->lock);
        } else if (a->settings.block_ms == 0 || !wait_changed(a, deadline)) {
            return fail_append(a, ERR_OVERLOADED, "topic %s: its partitions are not known yet", topic->name);
        }
    }
    int status = topic->status;
    if (status != 0) {
        topic->status = 0;
        topic_ask(a, topic);
        return fail_append(a, status, "topic %s: %s", topic->name, error_text(status));
    }
    if (topic_has(topic, partition) || a->fatal != 0)
        return a->fatal;
    topic->is_whole = false;
    topic->wanted = 0;
    return fail_append(a, ERR_UNKNOWN_PARTITION, "topic %s has no partition %d: it has %u", topic->name,
                       partition, topic->partition_count);
}

static int await_room(struct accumulator *a, size_t size, const struct wait_deadline *deadline)
{
    size_t limit = (size_t)a->settings.buffer_bytes;

    if (size > limit || size > MAX_RECORD_SIZE)
        return fail_append(a, ERR_TOO_LARGE, "a record of %zu bytes is larger than buffer.bytes or a frame",
                           size);
    while (a->buffered_bytes + size > limit && a->fatal == 0) {
        if (accumulator_deliver(a) > 0)
            continue;
        if (a->settings.block_ms == 0 || !wait_changed(a, deadline))
            return fail_append(a, ERR_OVERLOADED, "%zu bytes of at most %zu wait for delivery",
                               a->buffered_bytes, limit);
    }
    return a->fatal;
}

static bool mark_dirty(struct accumulator *a, struct accumulator_partition *p)
{
    if (p->dirty)
        return false;
    p->dirty = true;
    TAILQ_INSERT_TAIL(&a->dirty, p, dirty_link);
    return true;
}

static void seal_open(struct accumulator_partition *p)
{
    TAILQ_INSERT_TAIL(&p->full, p->open, link);
    p->open = NULL;
}

static bool batch_has_room(const struct accumulator *a, const struct core_batch *batch, size_t bound)
{
    return batch_builder_size(&batch->builder) + bound <= (size_t)a->settings.batch_bytes;
}

/* The next partition in turn, from a random one on: where records without key go while its batch has room. */
static struct accumulator_partition *sticky_partition(struct accumulator *a, struct accumulator_topic *topic,
                                                      size_t bound, bool *wake)
{
    struct accumulator_partition *p =
        topic->sticky < topic->partition_count ? topic->partitions[topic->sticky] : NULL;

    if (p != NULL && p->open != NULL && batch_has_room(a, p->open, bound))
        return p;
    if (p != NULL && p->open != NULL) {
        seal_open(p);
        *wake |= mark_dirty(a, p);
    }
    if (p == NULL) {
        a->random = a->random * 6364136223846793005u + 1442695040888963407u;
        topic->sticky = (uint32_t)(a->random >> 33);
    }
    topic->sticky = (topic->sticky + 1) % topic->partition_count;
    return topic->partitions[topic->sticky];
}

/* FLOTILLA_PARTITION_ANY: any will do. */
static int32_t partition_by_rule(const struct accumulator *a, const struct accumulator_topic *topic,
                                 const struct accumulator_record *r)
{
    int32_t count = (int32_t)topic->partition_count;
    int32_t chosen = FLOTILLA_PARTITION_ANY;

    if (a->settings.partitioner_cb != NULL)
        chosen =
            a->settings.partitioner_cb(a->settings.partitioner_data, topic->name, r->key, r->key_size, count);
    if (chosen == FLOTILLA_PARTITION_ANY && r->key != NULL)
        chosen = flotilla_partition_for_key(r->key, r->key_size, count);
    return chosen;
}

static struct accumulator_partition *choose_partition(struct accumulator *a, struct accumulator_topic *topic,
                                                      const struct accumulator_record *r, size_t bound,
                                                      bool *wake)
{
    if (r->partition >= 0)
        return (uint32_t)r->partition < topic->partition_count ? topic->partitions[r->partition] : NULL;
    if (r->partition != FLOTILLA_PARTITION_ANY)
        return NULL;
    int32_t chosen = partition_by_rule(a, topic, r);
    if (chosen >= 0)
        return (uint32_t)chosen < topic->partition_count ? topic->partitions[chosen] : NULL;
    return sticky_partition(a, topic, bound, wake);
}

static struct core_batch *batch_create(struct accumulator *a, struct accumulator_partition *p)
{
    struct core_batch *batch = TAILQ_FIRST(&a->spare);

    if (batch != NULL) {
        TAILQ_REMOVE(&a->spare, batch, link);
        a->spare_count--;
    } else {
        batch = core_alloc(sizeof(*batch));
        batch_builder_init(&batch->builder);
    }
    batch->partition = p;
    batch->charged_bytes = 0;
    batch->created_ns = a->hooks.now_ns(a->hooks.data);
    batch->producer_id = -1;
    batch->is_sent = false;
    batch->is_unknown = false;
    batch->status = 0;
    batch->base_offset = -1;
    batch->append_time_ms = -1;
    batch->waiters = NULL;
    batch->sent_to = NULL;
    batch->message[0] = '\0';
    return batch;
}

static void batch_keep_opaque(struct core_batch *batch, void *opaque)
{
    size_t index = (size_t)batch->builder.count;

    if (index == batch->opaque_capacity) {
        batch->opaque_capacity = index != 0 ? 2 * index : 64;
        batch->opaques = realloc(batch->opaques, batch->opaque_capacity * sizeof(void *));
        if (batch->opaques == NULL)
            abort();
    }
    batch->opaques[index] = opaque;
}

/* Returns whether the core must look at the partition. */
static bool append_record(struct accumulator *a, struct accumulator_partition *p,
                          const struct accumulator_record *r, size_t bound)
{
    size_t charge = bound + (a->cb != NULL ? REPORT_CHARGE : 0);
    bool wake = false;

    if (p->open != NULL && !batch_has_room(a, p->open, bound))
        seal_open(p);
    if (p->open == NULL) {
        p->open = batch_create(a, p);
        wake = mark_dirty(a, p);
    }
    if (a->cb != NULL)
        batch_keep_opaque(p->open, r->waiter != NULL ? (void *)(uintptr_t)accumulator_awaited : r->opaque);
    if (r->waiter != NULL) {
        r->waiter->index = p->open->builder.count;
        r->waiter->next = p->open->waiters;
        p->open->waiters = r->waiter;
    }
    batch_builder_add(&p->open->builder, r->timestamp_ms, r->key, r->key_size, r->value, r->value_size,
                      r->headers, r->header_count);
    p->open->charged_bytes += charge;
    a->buffered_bytes += charge;
    atomic_fetch_add_explicit(&a->pending, 1, memory_order_relaxed);
    if (batch_builder_size(&p->open->builder) >= (size_t)a->settings.batch_bytes) {
        seal_open(p);
        wake |= mark_dirty(a, p);
    }
    return wake;
}

static int append_locked(struct accumulator *a, const struct accumulator_record *r, size_t bound, bool *wake)
{
    struct wait_deadline deadline;
    struct accumulator_topic *topic = topic_get(a, r->topic);
    bool is_full = a->buffered_bytes + bound + REPORT_CHARGE > (size_t)a->settings.buffer_bytes;
    int rc = a->fatal;

    if (rc == 0 &&
        (!topic_has(topic, r->partition) || topic->status != 0 || is_full || bound > MAX_RECORD_SIZE)) {
        deadline = wait_deadline_after(a->settings.block_ms);
        rc = await_topic(a, topic, r->partition, &deadline);
        if (rc == 0)
            rc = await_room(a, bound + REPORT_CHARGE, &deadline);
    }
    if (rc != 0)
        return rc;
    struct accumulator_partition *p = choose_partition(a, topic, r, bound, wake);
    if (p == NULL)
        return fail_append(a, ERR_UNKNOWN_PARTITION, "topic %s has no partition %d: it has %u", topic->name,
                           r->partition, topic->partition_count);
    *wake |= append_record(a, p, r, bound);
    return 0;
}

int accumulator_append(struct accumulator *a, const struct accumulator_record *record)
{
    size_t bound =
        batch_record_size_bound(record->key_size, record->value_size, record->headers, record->header_count);
    bool wake = false;

    pthread_mutex_lock(&a->lock);
    int rc = append_locked(a, record, bound, &wake);
    unlock_and_wake(a, wake);
    return rc;
}

/* ---- the core's side ---- */

void accumulator_collect(struct accumulator *a,
                         void (*topic_cb)(void *data, const char *name, uint32_t partitions),
                         void (*partition_cb)(void *data, struct accumulator_partition *p), void *data)
{
    struct accumulator_topic *topic = NULL;
    struct accumulator_partition *p;

    pthread_mutex_lock(&a->lock);
    while ((p = TAILQ_FIRST(&a->dirty)) != NULL) {
        TAILQ_REMOVE(&a->dirty, p, dirty_link);
        p->dirty = false;
        partition_cb(data, p);
    }
    if (a->topics_asked)
        topic = TAILQ_FIRST(&a->topics);
    a->topics_asked = false;
    for (; topic != NULL; topic = TAILQ_NEXT(topic, link)) {
        if (!topic->asked)
            topic_cb(data, topic->name, topic->wanted);
        topic->asked = true;
    }
    pthread_mutex_unlock(&a->lock);
}

static void topic_grow(struct accumulator_topic *topic, uint32_t count)
{
    topic->partitions = realloc(topic->partitions, count * sizeof(struct accumulator_partition *));
    if (topic->partitions == NULL)
        abort();
    topic->is_whole = false;
    for (; topic->partition_count < count; topic->partition_count++) {
        struct accumulator_partition *p = core_alloc(sizeof(*p));
        p->topic = topic;
        p->index = topic->partition_count;
        TAILQ_INIT(&p->full);
        topic->partitions[topic->partition_count] = p;
    }
}

void accumulator_set_topic(struct accumulator *a, const char *name, uint32_t partition_count, int status)
{
    pthread_mutex_lock(&a->lock);
    struct accumulator_topic *topic = topic_find(a, name);
    if (topic != NULL) {
        if (status == ERR_UNKNOWN_PARTITION)
            topic->is_whole = true;
        else
            topic->status = status;
        if (partition_count > topic->partition_count)
            topic_grow(topic, partition_count);
        tell_changed(a);
    }
    pthread_mutex_unlock(&a->lock);
}

const char *accumulator_topic_name(const struct accumulator_topic *t)
{
    return t->name;
}

enum accumulator_waiting accumulator_peek(struct accumulator *a, struct accumulator_partition *p,
                                          uint64_t *created_ns)
{
    enum accumulator_waiting waiting = WAITING_NONE;

    pthread_mutex_lock(&a->lock);
    const struct core_batch *first = TAILQ_FIRST(&p->full);
    if (first != NULL)
        waiting = WAITING_FULL;
    else if ((first = p->open) != NULL)
        waiting = WAITING_OPEN;
    if (first != NULL)
        *created_ns = first->created_ns;
    pthread_mutex_unlock(&a->lock);
    return waiting;
}

struct core_batch *accumulator_take(struct accumulator *a, struct accumulator_partition *p)
{
    pthread_mutex_lock(&a->lock);
    struct core_batch *batch = TAILQ_FIRST(&p->full);
    if (batch != NULL) {
        TAILQ_REMOVE(&p->full, batch, link);
    } else {
        batch = p->open;
        p->open = NULL;
    }
    pthread_mutex_unlock(&a->lock);
    return batch;
}

bool accumulator_is_flushing(struct accumulator *a)
{
    pthread_mutex_lock(&a->lock);
    bool flushing = a->flushing > 0;
    pthread_mutex_unlock(&a->lock);
    return flushing;
}
