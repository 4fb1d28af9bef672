#include "client/core/consumer/inbox.h"
#include "client/core/notify.h"
#include "client/core/wait.h"

/* A partition that is read empty gives back what a large batch could need. */
enum { TELL_WHEN_EMPTY_BYTES = 64 * 1024 };

struct inbox_partition {
    TAILQ_ENTRY(inbox_partition) link;
    TAILQ_ENTRY(inbox_partition) ready_link;
    TAILQ_ENTRY(inbox_partition) released_link;
    char topic[CORE_TOPIC_SIZE];
    int32_t index;
    void *owner;
    uint64_t generation;
    bool paused;
    bool is_ready;    /* in the ready list: has batches and is not paused */
    bool is_released; /* in the released list */
    bool is_draining;
    unsigned telling; /* revocations that the application has not been told of to the end */
    struct flotilla_batch_list queued;
    struct flotilla_batch_list handed_out; /* of this generation, in the order of their offsets */
    size_t held_bytes;
    size_t released_bytes; /* since the core was last told */
    size_t tell_bytes;     /* it wants to be told from so many on */
    int64_t found;         /* where reading began; -1: not known */
    int64_t position;      /* behind what was handed out */
    int64_t high_watermark;
    int64_t released_to; /* behind what was released; -1: nothing yet */
    int64_t committing;  /* taken for a commit, or committed */
    int64_t committed;
};
TAILQ_HEAD(inbox_partition_list, inbox_partition);

struct inbox {
    struct inbox_hooks hooks;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct inbox_partition_list partitions;
    TAILQ_HEAD(, inbox_partition) ready; /* the one that was served goes to the end */
    TAILQ_HEAD(, inbox_partition) released;
    TAILQ_HEAD(, inbox_rebalance) rebalances;
    struct notify notify;
    unsigned pollers; /* threads in inbox_poll */
    bool was_polled;  /* since the core asked */
    unsigned finish_waiters;
    bool is_poll_awaited; /* the core wants to be woken by the next */
};

struct inbox *inbox_create(const struct inbox_hooks *hooks)
{
    struct inbox *inbox = core_alloc(sizeof(*inbox));

    inbox->hooks = *hooks;
    pthread_mutex_init(&inbox->lock, NULL);
    wait_condition_init(&inbox->changed);
    TAILQ_INIT(&inbox->partitions);
    TAILQ_INIT(&inbox->ready);
    TAILQ_INIT(&inbox->released);
    TAILQ_INIT(&inbox->rebalances);
    return inbox;
}

static void batch_free(struct flotilla_batch *batch)
{
    if (batch->is_reading)
        batch_reader_close(&batch->reader);
    core_buffer_unref(batch->buffer);
    free(batch->message);
    free(batch->headers);
    free(batch);
}

static void batches_free(struct flotilla_batch_list *list)
{
    struct flotilla_batch *batch;

    while ((batch = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, batch, link);
        batch_free(batch);
    }
}

static void rebalance_free(struct inbox_rebalance *r)
{
    free(r->partitions);
    free(r);
}

void inbox_destroy(struct inbox *inbox)
{
    struct inbox_partition *p;
    struct inbox_rebalance *r;

    while ((r = TAILQ_FIRST(&inbox->rebalances)) != NULL) {
        TAILQ_REMOVE(&inbox->rebalances, r, link);
        rebalance_free(r);
    }
    while ((p = TAILQ_FIRST(&inbox->partitions)) != NULL) {
        TAILQ_REMOVE(&inbox->partitions, p, link);
        batches_free(&p->queued);
        free(p);
    }
    notify_close(&inbox->notify);
    pthread_cond_destroy(&inbox->changed);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

static struct inbox_partition *partition_find(struct inbox *inbox, const char *topic, int32_t index)
{
    struct inbox_partition *p = TAILQ_FIRST(&inbox->partitions);

    while (p != NULL && (p->index != index || strcmp(p->topic, topic) != 0))
        p = TAILQ_NEXT(p, link);
    return p;
}

static struct inbox_partition *partition_create(struct inbox *inbox, const char *topic, int32_t index)
{
    struct inbox_partition *p = core_alloc(sizeof(*p));

    snprintf(p->topic, sizeof(p->topic), "%s", topic);
    p->index = index;
    p->found = p->position = p->high_watermark = p->released_to = p->committing = p->committed = -1;
    TAILQ_INIT(&p->queued);
    TAILQ_INIT(&p->handed_out);
    TAILQ_INSERT_TAIL(&inbox->partitions, p, link);
    return p;
}

struct inbox_partition *inbox_partition_get(struct inbox *inbox, const char *topic, int32_t index)
{
    pthread_mutex_lock(&inbox->lock);
    struct inbox_partition *p = partition_find(inbox, topic, index);
    if (p == NULL)
        p = partition_create(inbox, topic, index);
    pthread_mutex_unlock(&inbox->lock);
    return p;
}

void inbox_partition_set_owner(struct inbox *inbox, struct inbox_partition *p, void *owner)
{
    pthread_mutex_lock(&inbox->lock);
    p->owner = owner;
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_partition_set_window(struct inbox *inbox, struct inbox_partition *p, size_t window)
{
    pthread_mutex_lock(&inbox->lock);
    p->tell_bytes = window / 4;
    pthread_mutex_unlock(&inbox->lock);
}

const char *inbox_partition_topic(const struct inbox_partition *p)
{
    return p->topic;
}

int32_t inbox_partition_index(const struct inbox_partition *p)
{
    return p->index;
}

/* ---- the ready list ---- */

static void notify_update(struct inbox *inbox)
{
    notify_set(&inbox->notify, !TAILQ_EMPTY(&inbox->ready) || !TAILQ_EMPTY(&inbox->rebalances));
}

static void ready_update(struct inbox *inbox, struct inbox_partition *p)
{
    bool ready = !p->paused && !TAILQ_EMPTY(&p->queued);

    if (ready == p->is_ready)
        return;
    p->is_ready = ready;
    if (ready)
        TAILQ_INSERT_TAIL(&inbox->ready, p, ready_link);
    else
        TAILQ_REMOVE(&inbox->ready, p, ready_link);
    if (ready)
        pthread_cond_broadcast(&inbox->changed);
    notify_update(inbox);
}

static void drop_queued(struct inbox *inbox, struct inbox_partition *p)
{
    struct flotilla_batch *batch;

    while ((batch = TAILQ_FIRST(&p->queued)) != NULL) {
        TAILQ_REMOVE(&p->queued, batch, link);
        p->held_bytes -= batch->size;
        batch_free(batch);
    }
    ready_update(inbox, p);
}

void inbox_partition_reset(struct inbox *inbox, struct inbox_partition *p, int64_t position)
{
    struct flotilla_batch *batch;

    pthread_mutex_lock(&inbox->lock);
    p->generation++;
    p->is_draining = false;
    drop_queued(inbox, p);
    while ((batch = TAILQ_FIRST(&p->handed_out)) != NULL)
        TAILQ_REMOVE(&p->handed_out, batch, link);
    p->found = p->position = position;
    p->released_to = p->committing = -1;
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_partition_drain(struct inbox *inbox, struct inbox_partition *p)
{
    pthread_mutex_lock(&inbox->lock);
    p->is_draining = true;
    drop_queued(inbox, p);
    pthread_mutex_unlock(&inbox->lock);
}

static bool is_drained(const struct inbox_partition *p)
{
    return TAILQ_EMPTY(&p->handed_out) && p->telling == 0;
}

bool inbox_partition_is_drained(struct inbox *inbox, const struct inbox_partition *p)
{
    pthread_mutex_lock(&inbox->lock);
    bool drained = is_drained(p);
    pthread_mutex_unlock(&inbox->lock);
    return drained;
}

struct flotilla_batch *inbox_batch_create(enum flotilla_batch_kind kind, struct core_buffer *buffer)
{
    struct flotilla_batch *batch = core_alloc(sizeof(*batch));

    batch->kind = kind;
    batch->buffer = buffer != NULL ? core_buffer_ref(buffer) : NULL;
    batch->first_offset = batch->next_offset = batch->high_watermark = -1;
    return batch;
}

void inbox_push(struct inbox *inbox, struct inbox_partition *p, struct flotilla_batch *batch)
{
    pthread_mutex_lock(&inbox->lock);
    batch->inbox = inbox;
    batch->partition = p;
    batch->generation = p->generation;
    atomic_init(&batch->finished, batch->first_offset);
    p->held_bytes += batch->size;
    TAILQ_INSERT_TAIL(&p->queued, batch, link);
    ready_update(inbox, p);
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_set_high_watermark(struct inbox *inbox, struct inbox_partition *p, int64_t high_watermark)
{
    pthread_mutex_lock(&inbox->lock);
    p->high_watermark = high_watermark;
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_set_committed(struct inbox *inbox, struct inbox_partition *p, int64_t offset)
{
    pthread_mutex_lock(&inbox->lock);
    p->committed = offset;
    pthread_mutex_unlock(&inbox->lock);
}

size_t inbox_held(struct inbox *inbox, struct inbox_partition *p)
{
    pthread_mutex_lock(&inbox->lock);
    size_t held = p->held_bytes;
    pthread_mutex_unlock(&inbox->lock);
    return held;
}

void inbox_collect(struct inbox *inbox, void (*released)(void *data, void *owner), void *data)
{
    struct inbox_partition *p;

    pthread_mutex_lock(&inbox->lock);
    while ((p = TAILQ_FIRST(&inbox->released)) != NULL) {
        TAILQ_REMOVE(&inbox->released, p, released_link);
        p->is_released = false;
        p->released_bytes = 0;
        if (p->owner != NULL)
            released(data, p->owner);
    }
    pthread_mutex_unlock(&inbox->lock);
}

/* ---- what is finished ---- */

/* Batches may be released in any order; what is finished ends where the first that is still out stands. */
static int64_t partition_finished(const struct inbox_partition *p)
{
    const struct flotilla_batch *first = TAILQ_FIRST(&p->handed_out);

    return first != NULL ? (int64_t)atomic_load(&first->finished) : p->released_to;
}

static bool partition_has_finished(const struct inbox_partition *p)
{
    int64_t finished = partition_finished(p);

    return finished >= 0 && finished > p->committing && finished != p->committed;
}

void inbox_take_finished(struct inbox *inbox, void (*finished)(void *data, void *owner, int64_t offset),
                         void *data)
{
    pthread_mutex_lock(&inbox->lock);
    for (struct inbox_partition *p = TAILQ_FIRST(&inbox->partitions); p != NULL; p = TAILQ_NEXT(p, link)) {
        if (p->owner == NULL || !partition_has_finished(p))
            continue;
        p->committing = partition_finished(p);
        finished(data, p->owner, p->committing);
    }
    pthread_mutex_unlock(&inbox->lock);
}

void inbox_untake_finished(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    for (struct inbox_partition *p = TAILQ_FIRST(&inbox->partitions); p != NULL; p = TAILQ_NEXT(p, link))
        p->committing = p->committed;
    pthread_mutex_unlock(&inbox->lock);
}

bool inbox_has_finished(struct inbox *inbox)
{
    bool found = false;

    pthread_mutex_lock(&inbox->lock);
    for (struct inbox_partition *p = TAILQ_FIRST(&inbox->partitions); p != NULL && !found;
         p = TAILQ_NEXT(p, link))
        found = partition_has_finished(p);
    pthread_mutex_unlock(&inbox->lock);
    return found;
}

/* ---- the application's side ---- */

static struct flotilla_batch *take_next(struct inbox *inbox)
{
    struct inbox_partition *p = TAILQ_FIRST(&inbox->ready);

    if (p == NULL || !TAILQ_EMPTY(&inbox->rebalances))
        return NULL;
    struct flotilla_batch *batch = TAILQ_FIRST(&p->queued);
    TAILQ_REMOVE(&p->queued, batch, link);
    if (batch->kind == FLOTILLA_BATCH_RECORDS) {
        TAILQ_INSERT_TAIL(&p->handed_out, batch, link);
        p->position = batch->next_offset;
    }
    TAILQ_REMOVE(&inbox->ready, p, ready_link);
    p->is_ready = false;
    ready_update(inbox, p);
    notify_update(inbox);
    return batch;
}

struct flotilla_batch *inbox_poll(struct inbox *inbox, int timeout_ms)
{
    struct wait_deadline deadline = wait_deadline_after(timeout_ms);
    struct flotilla_batch *batch;

    pthread_mutex_lock(&inbox->lock);
    inbox->pollers++;
    if (inbox->is_poll_awaited) {
        inbox->is_poll_awaited = false;
        pthread_mutex_unlock(&inbox->lock);
        inbox->hooks.wake(inbox->hooks.data);
        pthread_mutex_lock(&inbox->lock);
    }
    while ((batch = take_next(inbox)) == NULL && timeout_ms != 0 && TAILQ_EMPTY(&inbox->rebalances))
        if (!wait_until(&inbox->changed, &inbox->lock, &deadline))
            break;
    inbox->pollers--;
    inbox->was_polled = true;
    pthread_mutex_unlock(&inbox->lock);
    return batch;
}

void inbox_release(struct flotilla_batch *batch)
{
    struct inbox *inbox = batch->inbox;
    struct inbox_partition *p = batch->partition;
    bool wake = false;

    if (batch->record.topic != NULL) /* the last one that was returned is finished as well */
        atomic_store(&batch->finished, batch->record.offset + 1);
    pthread_mutex_lock(&inbox->lock);
    p->held_bytes -= batch->size;
    if (batch->kind == FLOTILLA_BATCH_RECORDS && batch->generation == p->generation) {
        int64_t finished = (int64_t)atomic_load(&batch->finished);
        TAILQ_REMOVE(&p->handed_out, batch, link);
        if (finished > p->released_to)
            p->released_to = finished;
    }
    p->released_bytes += batch->size;
    if (!p->is_released && (p->released_bytes >= p->tell_bytes ||
                            (p->held_bytes == 0 && p->released_bytes >= TELL_WHEN_EMPTY_BYTES))) {
        wake = TAILQ_EMPTY(&inbox->released);
        p->is_released = true;
        TAILQ_INSERT_TAIL(&inbox->released, p, released_link);
    }
    wake |= p->is_draining && is_drained(p);
    if (inbox->finish_waiters > 0)
        pthread_cond_broadcast(&inbox->changed);
    pthread_mutex_unlock(&inbox->lock);
    if (wake)
        inbox->hooks.wake(inbox->hooks.data);
    batch_free(batch);
}

bool inbox_pause(struct inbox *inbox, const char *topic, int32_t index, bool paused)
{
    pthread_mutex_lock(&inbox->lock);
    struct inbox_partition *p = partition_find(inbox, topic, index);
    if (p != NULL) {
        p->paused = paused;
        ready_update(inbox, p);
    }
    pthread_mutex_unlock(&inbox->lock);
    return p != NULL;
}

bool inbox_progress(struct inbox *inbox, const char *topic, int32_t index, struct inbox_progress *progress)
{
    pthread_mutex_lock(&inbox->lock);
    const struct inbox_partition *p = partition_find(inbox, topic, index);
    if (p != NULL)
        *progress = (struct inbox_progress){p->position, p->high_watermark, p->committed};
    pthread_mutex_unlock(&inbox->lock);
    return p != NULL;
}

/* ---- rebalances ---- */

void inbox_push_rebalance(struct inbox *inbox, enum flotilla_rebalance event,
                          struct inbox_partition *const *partitions, size_t count)
{
    struct inbox_rebalance *r = core_alloc(sizeof(*r));

    r->event = event;
    r->count = count;
    r->partitions = core_alloc((count + 1) * sizeof(struct inbox_partition *));
    pthread_mutex_lock(&inbox->lock);
    for (size_t i = 0; i < count; i++) {
        r->partitions[i] = partitions[i];
        partitions[i]->telling += event == FLOTILLA_REVOKED;
    }
    TAILQ_INSERT_TAIL(&inbox->rebalances, r, link);
    pthread_cond_broadcast(&inbox->changed);
    notify_update(inbox);
    pthread_mutex_unlock(&inbox->lock);
}

struct inbox_rebalance *inbox_take_rebalance(struct inbox *inbox, int timeout_ms)
{
    struct wait_deadline deadline = wait_deadline_after(timeout_ms);
    struct inbox_rebalance *r;

    pthread_mutex_lock(&inbox->lock);
    while ((r = TAILQ_FIRST(&inbox->rebalances)) == NULL && timeout_ms != 0)
        if (!wait_until(&inbox->changed, &inbox->lock, &deadline))
            break;
    if (r != NULL)
        TAILQ_REMOVE(&inbox->rebalances, r, link);
    notify_update(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return r;
}

void inbox_end_rebalance(struct inbox *inbox, struct inbox_rebalance *r)
{
    bool is_revocation = r->event == FLOTILLA_REVOKED;

    pthread_mutex_lock(&inbox->lock);
    for (size_t i = 0; i < r->count; i++)
        r->partitions[i]->telling -= is_revocation;
    pthread_mutex_unlock(&inbox->lock);
    rebalance_free(r);
    if (is_revocation)
        inbox->hooks.wake(inbox->hooks.data);
}

bool inbox_was_polled(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    bool polled = inbox->was_polled || inbox->pollers > 0;
    inbox->was_polled = false;
    pthread_mutex_unlock(&inbox->lock);
    return polled;
}

void inbox_wake_on_poll(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->is_poll_awaited = true;
    pthread_mutex_unlock(&inbox->lock);
}

/* ---- reading one's own writes ---- */

bool inbox_wait_finished(struct inbox *inbox, const char *topic, int32_t index, int64_t offset,
                         int timeout_ms)
{
    struct wait_deadline deadline = wait_deadline_after(timeout_ms);
    bool done;

    pthread_mutex_lock(&inbox->lock);
    inbox->finish_waiters++;
    for (;;) {
        const struct inbox_partition *p = partition_find(inbox, topic, index);
        done = p != NULL && (partition_finished(p) >= offset || p->found >= offset);
        if (done || timeout_ms == 0 || !wait_until(&inbox->changed, &inbox->lock, &deadline))
            break;
    }
    inbox->finish_waiters--;
    pthread_mutex_unlock(&inbox->lock);
    return done;
}

int inbox_fd(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    int fd = notify_open(&inbox->notify);
    notify_update(inbox);
    pthread_mutex_unlock(&inbox->lock);
    return fd;
}
