/* The way back: what became of batches, told to callbacks, to who waits, and to who flushes. */
#include "client/core/producer/accumulator_internal.h"

enum { MAX_SPARE_BATCHES = 64 };

const char accumulator_awaited[1];

static void batch_recycle(struct accumulator *a, struct core_batch *batch)
{
    if (a->spare_count >= MAX_SPARE_BATCHES ||
        batch->builder.bytes.capacity > 4 * (size_t)a->settings.batch_bytes) {
        accumulator_batch_free(batch);
        return;
    }
    batch_builder_reset(&batch->builder);
    TAILQ_INSERT_HEAD(&a->spare, batch, link);
    a->spare_count++;
}

static void batch_report(const struct accumulator *a, const struct core_batch *batch)
{
    struct flotilla_delivery report = {
        .status = batch->status,
        .message = batch->message,
        .topic = batch->partition->topic->name,
        .partition = (int32_t)batch->partition->index,
        .offset = -1,
        .timestamp_ms = batch->append_time_ms,
        .durability = (enum flotilla_durability)batch->durability,
    };

    for (int32_t i = 0; i < batch->builder.count; i++) {
        if (batch->opaques[i] == accumulator_awaited)
            continue;
        if (batch->status == 0 && batch->base_offset >= 0)
            report.offset = batch->base_offset + i;
        report.opaque = batch->opaques[i];
        a->cb(a->cb_data, &report);
    }
}

static void batch_settle(struct accumulator *a, struct core_batch *batch)
{
    a->buffered_bytes -= batch->charged_bytes;
    atomic_fetch_sub(&a->pending, (unsigned long long)batch->builder.count);
    batch_recycle(a, batch);
}

/* Calls the callback for all that is done, with the lock released meanwhile. Returns the number of records.
 */
int accumulator_deliver(struct accumulator *a)
{
    struct core_batch_list done;
    struct core_batch *batch;
    int count = 0;

    TAILQ_INIT(&done);
    TAILQ_CONCAT(&done, &a->done, link);
    if (TAILQ_EMPTY(&done))
        return 0;
    notify_set(&a->notify, false);
    pthread_mutex_unlock(&a->lock);
    for (batch = TAILQ_FIRST(&done); batch != NULL; batch = TAILQ_NEXT(batch, link)) {
        batch_report(a, batch);
        count += batch->builder.count;
    }
    pthread_mutex_lock(&a->lock);
    while ((batch = TAILQ_FIRST(&done)) != NULL) {
        TAILQ_REMOVE(&done, batch, link);
        batch_settle(a, batch);
    }
    tell_changed(a);
    return count;
}

int accumulator_poll(struct accumulator *a, int timeout_ms)
{
    struct wait_deadline deadline = wait_deadline_after(timeout_ms);
    int count;

    pthread_mutex_lock(&a->lock);
    while ((count = accumulator_deliver(a)) == 0 && atomic_load(&a->pending) > 0)
        if (timeout_ms == 0 || !wait_changed(a, &deadline))
            break;
    pthread_mutex_unlock(&a->lock);
    return count;
}

/* Whether a batch waits for company that the core knows of already; of a dirty partition it will hear anyway.
 */
static bool has_lingering(const struct accumulator *a)
{
    const struct accumulator_topic *topic;

    TAILQ_FOREACH(topic, &a->topics, link)
    for (uint32_t i = 0; i < topic->partition_count; i++)
        if (topic->partitions[i]->open != NULL && !topic->partitions[i]->dirty)
            return true;
    return false;
}

int accumulator_flush(struct accumulator *a, int timeout_ms)
{
    struct wait_deadline deadline = wait_deadline_after(timeout_ms);
    int rc = 0;

    pthread_mutex_lock(&a->lock);
    a->flushing++;
    unlock_and_wake(a, has_lingering(a));
    pthread_mutex_lock(&a->lock);
    while (atomic_load(&a->pending) > 0 && rc == 0) {
        if (accumulator_deliver(a) == 0 && !wait_changed(a, &deadline))
            rc = ERR_TIMED_OUT;
    }
    a->flushing--;
    if (rc == 0 && a->cb == NULL) {
        rc = a->first_failure;
        a->first_failure = 0;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

uint64_t accumulator_pending(const struct accumulator *a)
{
    return atomic_load(&a->pending);
}

void accumulator_last_error(struct accumulator *a, char *error, size_t error_size)
{
    pthread_mutex_lock(&a->lock);
    snprintf(error, error_size, "%s", a->message);
    pthread_mutex_unlock(&a->lock);
}

/* ---- records that are waited for ---- */

int accumulator_append_and_wait(struct accumulator *a, struct accumulator_record *record, int64_t *offset,
                                char *error, size_t error_size)
{
    struct accumulator_waiter waiter = {.error = error, .error_size = error_size};
    struct wait_deadline never = wait_deadline_after(-1);

    record->waiter = &waiter;
    int rc = accumulator_append(a, record);
    if (rc != 0) {
        accumulator_last_error(a, error, error_size);
        return rc;
    }
    pthread_mutex_lock(&a->lock);
    while (!waiter.is_done)
        wait_changed(a, &never);
    pthread_mutex_unlock(&a->lock);
    *offset = waiter.offset;
    return waiter.status;
}

int accumulator_fd(struct accumulator *a)
{
    pthread_mutex_lock(&a->lock);
    int fd = notify_open(&a->notify);
    notify_set(&a->notify, !TAILQ_EMPTY(&a->done));
    pthread_mutex_unlock(&a->lock);
    return fd;
}

/* ---- the core's side ---- */

/* The memory of a batch serves the next one, unless a dying connection still shows it to the kernel. */
static void batch_reclaim(struct core_batch *batch)
{
    if (batch->wire != NULL && batch->wire->references == 1)
        batch_builder_give(&batch->builder, &batch->wire->bytes);
    core_wire_unref(batch->wire);
    batch->wire = NULL;
}

/* Who waits goes on once the lock is released. */
static void tell_waiters(struct core_batch *batch)
{
    for (struct accumulator_waiter *w = batch->waiters; w != NULL; w = w->next) {
        w->status = batch->status;
        w->offset = batch->status == 0 && batch->base_offset >= 0 ? batch->base_offset + w->index : -1;
        if (w->error != NULL && w->error_size > 0)
            snprintf(w->error, w->error_size, "%s", batch->message);
        w->is_done = true;
    }
    batch->waiters = NULL;
}

void accumulator_complete(struct accumulator *a, struct core_batch *batch)
{
    bool report_here = a->cb != NULL && a->settings.delivery_thread == DELIVER_FROM_IO;
    bool is_waited_for;
    size_t kept = (size_t)batch->builder.count * REPORT_CHARGE;

    batch_reclaim(batch);
    if (report_here)
        batch_report(a, batch);
    pthread_mutex_lock(&a->lock);
    tell_waiters(batch);
    if (batch->status != 0 && a->first_failure == 0) {
        a->first_failure = batch->status;
        snprintf(a->message, sizeof(a->message), "%s", batch->message);
    }
    if (a->cb == NULL || report_here) {
        batch_settle(a, batch);
    } else {
        a->buffered_bytes -= batch->charged_bytes - kept;
        batch->charged_bytes = kept;
        TAILQ_INSERT_TAIL(&a->done, batch, link);
        notify_set(&a->notify, true);
    }
    is_waited_for = a->waiting > 0;
    pthread_mutex_unlock(&a->lock);
    if (is_waited_for) /* without the lock, or who wakes would run right into it */
        pthread_cond_broadcast(&a->changed);
}

void accumulator_fail(struct accumulator *a, int status, const char *message)
{
    pthread_mutex_lock(&a->lock);
    a->fatal = status;
    snprintf(a->message, sizeof(a->message), "%s", message);
    tell_changed(a);
    pthread_mutex_unlock(&a->lock);
}
