#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/storage/log_internal.h"
#include "node/storage/walker.h"
#include <stdlib.h>

struct range_read {
    struct read_plan plan;
    struct log_wait wait;
    struct log_range_req *req;
    struct buf *buf;
    struct place first;   /* before the first batch returned */
    struct place stopped; /* behind the last one */
};

static void range_finish(struct range_read *r, int status)
{
    struct log_range_req *req = r->req;
    struct log *log = req->log;

    buf_unref(r->buf);
    free(r);
    req->private_ = NULL;
    req->cb(req, status);
    log_read_ended(log);
}

/* [worker] One whole batch at least; then as many as fit. `need` as in a read by offset. */
static int range_take(struct range_read *r, size_t available, size_t *need)
{
    struct batch_header header;

    *need = 0;
    while (r->stopped.index <= r->req->to_index) {
        size_t from = (size_t)(r->stopped.position - r->first.position);
        int result = place_step(&r->stopped, r->buf->data + from, available - from,
                                r->plan.log->max_batch_bytes, true, &header);
        if (result == PLACE_MORE && from == 0)
            *need = header.size;
        if (result != PLACE_BATCH)
            return result == PLACE_MORE ? 0 : result;
    }
    return 0;
}

static size_t range_size(const struct log_range_req *req)
{
    return req->max_bytes < BATCH_HEADER_SIZE ? BATCH_HEADER_SIZE : req->max_bytes;
}

static size_t range_at_most(const struct range_read *r, const struct place *from, size_t size)
{
    uint64_t left = r->plan.end - from->position;

    return size < left ? size : (size_t)left;
}

/* [worker] */
static int range_fill(struct range_read *r, size_t size)
{
    if (size > r->buf->capacity) {
        buf_unref(r->buf);
        r->buf = buf_create(size);
    }
    ssize_t n = env_file_read(r->plan.read.file, r->buf->data, size, r->first.position);
    if (n < 0)
        return (int)n;
    return (size_t)n < size ? ERR_CORRUPT : 0; /* shorter than what was written to it */
}

/* [worker] */
static int range_read_batches(struct range_read *r)
{
    size_t need = range_size(r->req), have = 0;

    while (need > 0) {
        size_t size = range_at_most(r, &r->first, need);
        if (have > 0 && (size <= have || size < need))
            return ERR_CORRUPT;
        have = size;
        int status = range_fill(r, size);
        if (status == 0)
            status = range_take(r, size, &need);
        if (status != 0)
            return status;
    }
    return 0;
}

static void range_work(struct env_work *job)
{
    struct range_read *r = container_of(job, struct log_range_req, job)->private_;
    struct walker w;
    int status = segment_read_open(&r->plan.read, r->plan.log->directory);

    if (status == 0) {
        walker_init(&w, r->plan.read.file, &r->plan.from, r->plan.end, r->plan.log->max_batch_bytes, false);
        int found = walker_seek_index(&w, r->req->from_index);
        status = found == 1 ? 0 : found == 0 ? ERR_CORRUPT : found;
        r->first = w.at;
        r->stopped = w.at;
        walker_close(&w);
    }
    r->plan.status = status == 0 ? range_read_batches(r) : status;
}

static void range_deliver(struct range_read *r)
{
    struct log_range_req *req = r->req;

    req->bytes = slice_of(r->buf, r->buf->data, (size_t)(r->stopped.position - r->first.position));
    req->first_index = r->first.index;
    req->last_index = r->stopped.index - 1;
    req->previous_term = r->first.term;
    req->first_offset = r->first.offset;
}

static void range_start(struct range_read *r);

static void range_done(struct env_work *job)
{
    struct range_read *r = container_of(job, struct log_range_req, job)->private_;
    struct log *log = r->plan.log;
    int status = log->closing ? ERR_CANCELED : r->plan.status;
    bool again = log_read_again(log, r->plan.generation, r->plan.read.segment, &r->stopped, r->plan.status);

    if (status == 0)
        range_deliver(r);
    segment_read_end(&r->plan.read);
    log_trim_read_files(log);
    if (!again) {
        range_finish(r, status);
        return;
    }
    buf_unref(r->buf);
    r->buf = NULL;
    range_start(r);
}

/* The entry is in the file, or gone. */
static void range_ready(struct log_wait *wait, int status)
{
    struct range_read *r = container_of(wait, struct range_read, wait);

    if (status != 0)
        range_finish(r, status);
    else
        range_start(r);
}

static void range_start(struct range_read *r)
{
    struct log_range_req *req = r->req;
    struct log *log = req->log;

    if (req->from_index < log_first_index(log) || req->from_index >= log->end.index) {
        range_finish(r, ERR_NOT_FOUND);
        return;
    }
    if (req->from_index > log->durable_index) {
        log_wait_written(log, &r->wait, req->from_index);
        return;
    }
    struct segment *s = log_segment_of_index(log, req->from_index);
    log_plan_read(log, &r->plan, s, segment_index_by_index(&s->index, req->from_index));
    /* Here and not on the worker, as for a read by offset. */
    r->buf = buf_create(range_at_most(r, &r->plan.from, range_size(req)));
    env_work(log->options.env, &req->job, range_work, range_done);
}

int log_read_range(struct log *log, struct log_range_req *req, uint64_t from_index, uint64_t to_index,
                   size_t max_bytes, void (*cb)(struct log_range_req *req, int status))
{
    if (log->closing)
        return ERR_CANCELED;
    if (from_index < log_first_index(log) || from_index >= log->end.index || to_index < from_index)
        return ERR_NOT_FOUND;
    struct range_read *r = memory_zalloc(sizeof(*r));
    req->cb = cb;
    req->log = log;
    req->from_index = from_index;
    req->to_index = to_index;
    req->max_bytes = max_bytes;
    req->bytes = slice_none();
    req->private_ = r;
    r->req = req;
    r->wait.ready = range_ready;
    log_read_begun(log);
    range_start(r);
    return 0;
}
