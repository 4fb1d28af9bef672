#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/storage/log_internal.h"
#include "node/storage/walker.h"
#include <stdlib.h>

enum { FIND_MAX_TIMESTAMP = -3, FIND_UNCOMPRESSED_MAX = 256 * 1024 * 1024 };

/* A search goes segment by segment, one job each. For the greatest timestamp, what it is comes first: from
 * the segments' own maxima, and a header walk over the one that holds the limit. */
struct find {
    struct read_plan plan;
    struct log_wait wait;
    struct log_find_req *req;
    bool measuring; /* looking for the greatest timestamp below the limit, not for a record yet */
    int64_t target_ms;
    int64_t from_offset; /* the log's start */
    int64_t next_offset; /* segments before this offset have been searched */
    int64_t greatest_ms;
    struct place stopped;
};

static void find_finish(struct find *f, int status)
{
    struct log_find_req *req = f->req;
    struct log *log = req->log;

    free(f);
    req->private_ = NULL;
    req->cb(req, status);
    log_read_ended(log);
}

/* ---- on the worker ---- */

/* 1: found; 0: not in this batch; or an error. */
static int find_in_batch(struct find *f, const unsigned char *bytes, size_t size)
{
    struct batch_reader reader;
    struct record record;
    int result = batch_reader_init(&reader, bytes, size, FIND_UNCOMPRESSED_MAX);

    while (result == 0 && (result = batch_reader_next(&reader, &record)) == 1) {
        if (record.timestamp_ms >= f->target_ms && record.offset >= f->from_offset) {
            f->req->offset = record.offset < f->req->limit_offset ? record.offset : -1;
            f->req->timestamp_ms = f->req->offset < 0 ? -1 : record.timestamp_ms;
            break;
        }
        result = 0;
    }
    batch_reader_close(&reader);
    return result;
}

/* The records of a batch whose header was just walked past. */
static int find_read_batch(struct find *f, const struct batch_header *header, uint64_t position)
{
    unsigned char *bytes = memory_alloc(header->size);
    ssize_t n = env_file_read(f->plan.read.file, bytes, header->size, position);
    int result = n < 0 ? (int)n : ERR_CORRUPT;

    if (n == (ssize_t)header->size && batch_crc_ok(bytes, header))
        result = find_in_batch(f, bytes, header->size);
    free(bytes);
    return result;
}

/* 1: done with this search; 0: go on; or an error. */
static int find_visit(struct find *f, const struct batch_header *header, const struct place *after)
{
    if (header->base_offset >= f->req->limit_offset && !batch_is_control(header))
        return 1;
    if (batch_is_control(header) || after->offset <= f->from_offset)
        return 0;
    if (f->measuring) {
        if (header->max_timestamp_ms > f->greatest_ms && after->offset <= f->req->limit_offset)
            f->greatest_ms = header->max_timestamp_ms;
        return 0;
    }
    if (header->max_timestamp_ms < f->target_ms)
        return 0;
    return find_read_batch(f, header, after->position - header->size);
}

static void find_work(struct env_work *job)
{
    struct find *f = container_of(job, struct log_find_req, job)->private_;
    struct batch_header header;
    struct walker w;
    int status = segment_read_open(&f->plan.read, f->plan.log->directory);

    f->stopped = f->plan.from;
    if (status == 0) {
        int result;
        walker_init(&w, f->plan.read.file, &f->plan.from, f->plan.end, f->plan.log->max_batch_bytes, false);
        while ((result = walker_next(&w, &header, NULL)) == 1 &&
               (result = find_visit(f, &header, &w.at)) == 0)
            f->stopped = w.at;
        status = result < 0 ? result : 0;
        walker_close(&w);
    }
    f->plan.status = status;
}

/* ---- on the loop ---- */

static void find_measure(struct find *f);
static void find_search(struct find *f);

static bool find_over(const struct find *f)
{
    return f->plan.status != 0 || f->req->offset >= 0 || f->next_offset >= f->req->limit_offset;
}

static void find_done(struct env_work *job)
{
    struct find *f = container_of(job, struct log_find_req, job)->private_;
    struct log *log = f->plan.log;
    bool again = log_read_again(log, f->plan.generation, f->plan.read.segment, &f->stopped, f->plan.status);

    if (!again)
        f->next_offset = f->plan.read.segment->end.offset;
    segment_read_end(&f->plan.read);
    log_trim_read_files(log);
    if (log->closing) {
        find_finish(f, ERR_CANCELED);
    } else if (f->measuring && (again || f->plan.status == 0)) {
        find_measure(f);
    } else if (!again && find_over(f)) {
        find_finish(f, f->plan.status);
    } else {
        find_search(f);
    }
}

static void find_run(struct find *f, struct segment *s, const struct place *noted)
{
    struct log *log = f->req->log;

    log_plan_read(log, &f->plan, s, noted);
    env_work(log->options.env, &f->req->job, find_work, find_done);
}

static bool find_candidate(const struct find *f, const struct segment *s)
{
    return s->end.offset > f->next_offset && s->end.offset > s->header.base_offset &&
           s->header.base_offset < f->req->limit_offset && s->end.max_timestamp_ms >= f->target_ms &&
           s->written > 0;
}

static void find_search(struct find *f)
{
    struct log *log = f->req->log;

    QUEUE_FOREACH (node, &log->segments) {
        struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        if (find_candidate(f, s)) {
            const struct place *noted = segment_index_by_timestamp(&s->index, f->target_ms);
            find_run(f, s, noted);
            return;
        }
    }
    find_finish(f, 0);
}

static bool find_is_inside(const struct find *f, const struct segment *s)
{
    return s->header.base_offset >= f->from_offset && s->end.offset <= f->req->limit_offset;
}

/* The greatest timestamp: segments between start and limit by their own word, those at the edges by a walk.
 */
static void find_measure(struct find *f)
{
    QUEUE_FOREACH (node, &f->req->log->segments) {
        struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        if (s->end.offset <= f->next_offset || s->header.base_offset >= f->req->limit_offset)
            continue;
        if (!find_is_inside(f, s) && s->written > 0) {
            find_run(f, s, NULL);
            return;
        }
        if (s->end.max_timestamp_ms > f->greatest_ms)
            f->greatest_ms = s->end.max_timestamp_ms;
        f->next_offset = s->end.offset;
    }
    f->measuring = false;
    f->target_ms = f->greatest_ms;
    f->next_offset = f->from_offset;
    find_search(f);
}

static void find_start(struct find *f)
{
    f->from_offset = f->req->log->start_offset;
    f->next_offset = f->from_offset;
    f->greatest_ms = -1;
    f->target_ms = f->req->target_ms;
    f->measuring = f->target_ms == FIND_MAX_TIMESTAMP;
    if (f->measuring)
        find_measure(f);
    else
        find_search(f);
}

static void find_ready(struct log_wait *wait, int status)
{
    struct find *f = container_of(wait, struct find, wait);

    if (status != 0)
        find_finish(f, status);
    else
        find_start(f);
}

int log_find_timestamp(struct log *log, struct log_find_req *req, int64_t target_ms, int64_t limit_offset,
                       void (*cb)(struct log_find_req *req, int status))
{
    if (log->closing)
        return ERR_CANCELED;
    struct find *f = memory_zalloc(sizeof(*f));
    req->cb = cb;
    req->log = log;
    req->target_ms = target_ms;
    req->limit_offset = limit_offset;
    req->offset = -1;
    req->timestamp_ms = -1;
    req->private_ = f;
    f->req = req;
    f->wait.ready = find_ready;
    log_read_begun(log);
    /* Searches read files only: everything submitted so far has to be there. */
    log_wait_written(log, &f->wait, log_last_index(log));
    return 0;
}
