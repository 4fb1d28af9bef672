#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/storage/log_internal.h"
#include "node/storage/walker.h"
#include <stdlib.h>

enum { READ_LEAST = 4096 };

/* ---- from the tail ---- */

/* Adjacent slices of one buffer become one. */
static bool read_add_slice(struct log_read_req *req, const struct slice *bytes)
{
    struct slice *last = req->n > 0 ? &req->slices[req->n - 1] : NULL;

    if (last != NULL && last->owner == bytes->owner && last->data + last->size == bytes->data) {
        last->size += bytes->size;
    } else {
        if (req->n == LOG_READ_MAX_SLICES)
            return false;
        req->slices[req->n++] = slice_ref(*bytes);
    }
    req->size += bytes->size;
    return true;
}

static void log_read_tail(struct log *log, struct log_read_req *req, size_t position)
{
    for (; position < log->tail.count; position++) {
        const struct tail_entry *e = tail_at(&log->tail, position);
        if (e->next_offset == e->at.offset)
            continue; /* a control batch */
        if (e->next_offset > req->limit_offset ||
            (req->size > 0 && req->size + e->bytes.size > req->max_bytes) || !read_add_slice(req, &e->bytes))
            return;
        req->next_offset = e->next_offset;
    }
}

/* ---- from a file ---- */

struct read_span {
    size_t from;
    size_t size;
};

struct file_read {
    struct read_plan plan;
    struct log_read_req *req;
    struct buf *buf;
    unsigned n;
    struct read_span spans[LOG_READ_MAX_SLICES];
    size_t size;
    struct place stopped; /* behind the last batch looked at with success */
};

void log_plan_read(struct log *log, struct read_plan *plan, struct segment *s, const struct place *noted)
{
    plan->log = log;
    plan->from = noted != NULL ? *noted : segment_begin(s);
    plan->end = s->written;
    plan->generation = log->generation;
    plan->status = 0;
    segment_read_begin(&plan->read, s);
}

/* [worker] Moves `at` to the batch that holds the offset. */
static int file_read_seek(struct file_read *f, struct place *at)
{
    struct walker w;

    if (at->offset == f->req->offset)
        return 0;
    walker_init(&w, f->plan.read.file, at, f->plan.end, f->plan.log->max_batch_bytes, false);
    int found = walker_seek_offset(&w, f->req->offset);
    *at = w.at;
    walker_close(&w);
    return found == 1 ? 0 : found == 0 ? ERR_CORRUPT : found;
}

static bool file_read_add(struct file_read *f, const struct batch_header *header, size_t at)
{
    struct read_span *last = f->n > 0 ? &f->spans[f->n - 1] : NULL;

    if (f->size > 0 && f->size + header->size > f->req->max_bytes)
        return false;
    if (last != NULL && last->from + last->size == at) {
        last->size += header->size;
    } else {
        if (f->n == LOG_READ_MAX_SLICES)
            return false;
        f->spans[f->n++] = (struct read_span){at, header->size};
    }
    f->size += header->size;
    return true;
}

/* [worker] Takes the batches of the buffer that belong to the answer. Returns 0 and in `need` 0, or how many
 * bytes the first batch needs; or an error. */
static int file_read_take(struct file_read *f, size_t available, size_t *need)
{
    struct place at = f->stopped;
    uint64_t start = at.position;
    struct batch_header header;

    *need = 0;
    for (;;) {
        size_t from = (size_t)(at.position - start);
        int result = place_step(&at, f->buf->data + from, available - from, f->plan.log->max_batch_bytes,
                                true, &header);
        if (result == PLACE_MORE && f->n == 0 && f->stopped.position + available < f->plan.end)
            *need = header.size;
        if (result != PLACE_BATCH)
            return result == PLACE_MORE ? 0 : result;
        if (!batch_is_control(&header) &&
            (at.offset > f->req->limit_offset || !file_read_add(f, &header, from)))
            return 0;
        f->stopped = at;
    }
}

static size_t file_read_at_most(const struct file_read *f, const struct place *from, size_t size)
{
    uint64_t left = f->plan.end - from->position;

    return size < left ? size : (size_t)left;
}

static size_t file_read_size(const struct log_read_req *req)
{
    return req->max_bytes < READ_LEAST ? READ_LEAST : req->max_bytes;
}

/* [worker] */
static int file_read_fill(struct file_read *f, size_t size)
{
    if (size > f->buf->capacity) {
        buf_unref(f->buf);
        f->buf = buf_create(size);
    }
    ssize_t n = env_file_read(f->plan.read.file, f->buf->data, size, f->stopped.position);
    if (n < 0)
        return (int)n;
    return (size_t)n < size ? ERR_CORRUPT : 0; /* shorter than what was written to it */
}

/* [worker] */
static int file_read_batches(struct file_read *f)
{
    size_t need = file_read_size(f->req);

    while (need > 0 && f->n == 0) {
        size_t size = file_read_at_most(f, &f->stopped, need);
        int status = file_read_fill(f, size);
        if (status != 0)
            return status;
        status = file_read_take(f, size, &need);
        if (status != 0)
            return status;
    }
    return 0;
}

static void file_read_work(struct env_work *job)
{
    struct file_read *f = container_of(job, struct log_read_req, job)->private_;

    f->plan.status = segment_read_open(&f->plan.read, f->plan.log->directory);
    if (f->plan.status == 0)
        f->plan.status = file_read_seek(f, &f->plan.from);
    f->stopped = f->plan.from;
    if (f->plan.status == 0)
        f->plan.status = file_read_batches(f);
}

static void log_remember(struct log *log, struct segment *s, const struct place *at)
{
    struct log_cursor *oldest = &log->cursors[0];

    for (int i = 1; i < LOG_CURSORS; i++)
        if (log->cursors[i].used < oldest->used)
            oldest = &log->cursors[i];
    if (oldest->segment != NULL)
        segment_unref(oldest->segment);
    *oldest = (struct log_cursor){segment_ref(s), *at, ++log->cursor_clock};
}

/* A cursor is used up by the read that continues it, which leaves the next one. */
static bool log_take_cursor(struct log *log, const struct segment *s, int64_t offset, struct place *at)
{
    for (int i = 0; i < LOG_CURSORS; i++) {
        struct log_cursor *c = &log->cursors[i];
        if (c->segment != s || c->at.offset != offset || c->at.position >= s->written)
            continue;
        *at = c->at;
        segment_unref(c->segment);
        *c = (struct log_cursor){0};
        return true;
    }
    return false;
}

static void file_read_deliver(struct file_read *f)
{
    struct log_read_req *req = f->req;

    for (unsigned i = 0; i < f->n; i++)
        req->slices[i] = slice_of(f->buf, f->buf->data + f->spans[i].from, f->spans[i].size);
    req->n = f->n;
    req->size = f->size;
    if (f->n == 0)
        return;
    req->next_offset = f->stopped.offset;
    if (f->plan.generation == f->plan.log->generation)
        log_remember(f->plan.log, f->plan.read.segment, &f->stopped);
}

static void file_read_finish(struct file_read *f, int status)
{
    struct log *log = f->plan.log;
    struct log_read_req *req = f->req;

    buf_unref(f->buf);
    free(f);
    req->private_ = NULL;
    req->cb(req, status);
    log_read_ended(log);
}

static void file_read_start(struct log *log, struct log_read_req *req);

static void file_read_done(struct env_work *job)
{
    struct log_read_req *req = container_of(job, struct log_read_req, job);
    struct file_read *f = req->private_;
    struct log *log = f->plan.log;
    bool again = log_read_again(log, f->plan.generation, f->plan.read.segment, &f->stopped, f->plan.status);

    if (f->plan.status == 0 && !log->closing)
        file_read_deliver(f);
    segment_read_end(&f->plan.read);
    log_trim_read_files(log);
    if (!again) {
        file_read_finish(f, log->closing ? ERR_CANCELED : f->plan.status);
        return;
    }
    /* The place moved under the read: decide again, as for a new request. */
    if (req->offset < log->start_offset || req->offset > log->end.offset) {
        file_read_finish(f, ERR_OFFSET_OUT_OF_RANGE);
        return;
    }
    size_t position = tail_position_of_offset(&log->tail, req->offset);
    if (req->offset == log->end.offset || position < log->tail.count) {
        log_read_tail(log, req, position);
        file_read_finish(f, 0);
        return;
    }
    buf_unref(f->buf);
    free(f);
    log->reads--;
    file_read_start(log, req);
}

static void file_read_start(struct log *log, struct log_read_req *req)
{
    struct file_read *f = memory_zalloc(sizeof(*f));
    struct segment *s = log_segment_of_offset(log, req->offset);
    struct place cursor;

    ASSERT(s != NULL && s->written > 0);
    f->req = req;
    req->private_ = f;
    if (log_take_cursor(log, s, req->offset, &cursor))
        log_plan_read(log, &f->plan, s, &cursor);
    else
        log_plan_read(log, &f->plan, s, segment_index_by_offset(&s->index, req->offset));
    /* Here and not on the worker: each thread's allocator would keep what its buffers have ever taken. */
    f->buf = buf_create(file_read_at_most(f, &f->plan.from, file_read_size(req)));
    log_read_begun(log);
    env_work(log->options.env, &req->job, file_read_work, file_read_done);
}

bool log_is_cached(const struct log *log, int64_t offset)
{
    return tail_position_of_offset(&log->tail, offset) < log->tail.count;
}

int log_read(struct log *log, struct log_read_req *req, int64_t offset, int64_t limit_offset,
             size_t max_bytes, void (*cb)(struct log_read_req *req, int status))
{
    if (log->closing)
        return ERR_CANCELED;
    if (offset < log->start_offset || offset > log->end.offset)
        return ERR_OFFSET_OUT_OF_RANGE;
    req->cb = cb;
    req->log = log;
    req->offset = offset;
    req->limit_offset = limit_offset;
    req->max_bytes = max_bytes;
    req->size = 0;
    req->n = 0;
    req->next_offset = offset;
    if (offset >= limit_offset || offset == log->end.offset)
        return 1;
    size_t position = tail_position_of_offset(&log->tail, offset);
    if (position < log->tail.count) {
        log_read_tail(log, req, position);
        return 1;
    }
    file_read_start(log, req);
    return 0;
}
