#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/storage/log_internal.h"
#include <inttypes.h>
#include <stdlib.h>

/* ---- segments ---- */

static struct segment *segment_of(const struct log *log, const struct queue *node)
{
    return node == &log->segments ? NULL : QUEUE_ENTRY(node, struct segment, node);
}

struct segment *log_active(const struct log *log)
{
    return segment_of(log, log->segments.prev);
}

struct segment *log_oldest(const struct log *log)
{
    return segment_of(log, log->segments.next);
}

struct segment *log_segment_of_index(const struct log *log, uint64_t index)
{
    for (struct queue *node = log->segments.prev; node != &log->segments; node = node->prev) {
        struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        if (s->header.base_index <= index)
            return s;
    }
    return NULL;
}

struct segment *log_segment_of_offset(const struct log *log, int64_t offset)
{
    for (struct queue *node = log->segments.prev; node != &log->segments; node = node->prev) {
        struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        if (s->header.base_offset <= offset && s->end.offset > offset)
            return s;
    }
    return NULL;
}

void log_add_segment(struct log *log, struct segment *s)
{
    queue_push(&log->segments, &s->node);
}

void log_drop_segment(struct log *log, struct segment *s)
{
    (void)log;
    queue_remove(&s->node);
    segment_unref(s);
}

/* ---- state ---- */

uint64_t log_first_index(const struct log *log)
{
    const struct segment *s = log_oldest(log);

    return s == NULL ? log->end.index : s->header.base_index;
}

uint64_t log_last_index(const struct log *log)
{
    return log->end.index - 1;
}

uint64_t log_durable_index(const struct log *log)
{
    return log->durable_index;
}

int64_t log_start_offset(const struct log *log)
{
    return log->start_offset;
}

int64_t log_end_offset(const struct log *log)
{
    return log->end.offset;
}

uint64_t log_last_term(const struct log *log)
{
    return log->end.term;
}

uint64_t log_size_bytes(const struct log *log)
{
    uint64_t size = 0;

    QUEUE_FOREACH (node, &log->segments)
        size += QUEUE_ENTRY(node, struct segment, node)->end.position;
    return size;
}

int log_writable(const struct log *log)
{
    if (log->status != 0)
        return log->status;
    return log->no_space ? ERR_NO_SPACE : 0;
}

void log_configure(struct log *log, uint64_t segment_bytes, uint64_t segment_ms)
{
    log->options.segment_bytes = segment_bytes;
    log->options.segment_ms = segment_ms;
}

void log_fail(struct log *log, int status, const char *what)
{
    if (log->status != 0)
        return;
    log->status = status;
    LOG(log->options.logger, LOG_ERROR, "log failed: this replica stops",
        "group=%016" PRIx64 " what=%s error=%s", log->options.group_id, what, error_name(status));
    env_timer_stop(log->options.env, &log->retry_timer);
    log->retry_waits = false;
    journal_wait_cancel(&log->journal_wait);
    log->journal_waits = false;
    if (log->options.failed != NULL)
        log->options.failed(log->options.data, status);
}

/* ---- closing ---- */

static int log_write_marker(struct log *log, const struct segment *s)
{
    char path[FORMAT_PATH_MAX];
    struct clean_marker marker = {s->header.base_index, s->end};
    struct bytes content;

    bytes_init(&content);
    format_marker_encode(&content, &marker);
    format_path(path, log->directory, "clean");
    int status = segment_write_file_lazy(log->options.env, path, &content);
    bytes_close(&content);
    return status;
}

static void log_close_work(struct env_work *job)
{
    struct log *log = container_of(job, struct log, close_job);
    struct segment *s = log_active(log);
    struct bytes image;

    if (s == NULL || log->status != 0 || log->marker_holds)
        return; /* nothing to finish: never written to, or broken */
    bytes_init(&image);
    segment_index_image(s, &image);
    /* Every entry is durable. What is written here only saves the next start a scan, and vouches for itself:
     * no syncs, which would stand in the way of everybody else on the disk. */
    int status = segment_file_leave(s, log->directory, &image);
    bytes_close(&image);
    if (status == 0 && log->close_clean)
        (void)log_write_marker(log, s);
}

static void log_free(struct log *log)
{
    while (!queue_empty(&log->segments))
        log_drop_segment(log, log_active(log));
    tail_close(&log->tail);
    free(log->directory);
    free(log);
}

static void log_close_done(struct env_work *job)
{
    struct log *log = container_of(job, struct log, close_job);
    void (*closed)(void *data) = log->closed;
    void *data = log->closed_data;

    flusher_patient_finished(log->options.flusher);
    log_free(log);
    if (closed != NULL)
        closed(data);
}

static void log_close_begin(struct flusher_client *client)
{
    struct log *log = container_of(client, struct log, flush);

    env_work(log->options.env, &log->close_job, log_close_work, log_close_done);
}

/* A node closes all its logs at the same time. Where freed space is discarded, a disk that gets all of that
 * at once keeps everybody else waiting for a tenth of a second. */
static void log_close_start(struct log *log)
{
    struct env *env = log->options.env;

    env_timer_stop(env, &log->retry_timer);
    env_timer_stop(env, &log->linger_timer);
    env_timer_stop(env, &log->floor_timer);
    env_timer_stop(env, &log->quiet_timer);
    env_task_cancel(env, &log->reject_task);
    env_task_cancel(env, &log->abandon_task);
    env_task_cancel(env, &log->wake_task);
    journal_wait_cancel(&log->journal_wait);
    log_forget_cursors(log);
    flusher_withdraw(&log->flush);
    flusher_client_init(&log->flush, log_close_begin);
    flusher_submit_patient(log->options.flusher, &log->flush);
}

static void log_close_check(struct env_task *task)
{
    struct log *log = container_of(task, struct log, close_task);

    log_wake_waiting(log);
    if (log->round_runs || log->reads > 0)
        return;
    /* A disk that stays full would keep a closing log waiting for ever. */
    if (!queue_empty(&log->operations) && log->no_space)
        log_abandon_operations(log, ERR_NO_SPACE);
    if (queue_empty(&log->operations) && queue_empty(&log->rejected) && log->reads == 0)
        log_close_start(log);
}

void log_close_progress(struct log *log)
{
    if (log->closing)
        env_defer(log->options.env, &log->close_task, log_close_check);
}

void log_close(struct log *log, bool clean, void (*closed)(void *data), void *data)
{
    ASSERT(!log->closing);
    log->closing = true;
    log->close_clean = clean;
    log->closed = closed;
    log->closed_data = data;
    log_note_floor(log);
    log_schedule(log);
    log_close_progress(log);
}
