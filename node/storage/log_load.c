#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/bounds.h"
#include "node/storage/log_internal.h"
#include "node/storage/walker.h"

enum { LOAD_CHUNK = 1024 * 1024, SMALL_LOAD_CHUNK = 4096 };

struct load {
    struct log *log;
    uint64_t from;
    uint64_t to;
    int (*each)(void *data, const struct log_entry *entry);
    void *data;
    bool fill_tail; /* what is loaded up to the log's end also becomes its tail cache */
};

static int load_fill_entry(struct log_entry *entry, const struct batch_header *header, struct slice batch)
{
    struct batch_control control;

    int status = batch_is_control(header) ? batch_control_decode(batch.data, batch.size, &control) : 0;
    if (status != 0)
        return status;
    if (!batch_is_control(header) || control.type == BATCH_CONTROL_START) {
        entry->kind = LOG_DATA;
        entry->bytes = slice_ref(batch);
        return 0;
    }
    entry->kind = control.type == BATCH_CONTROL_BARRIER ? LOG_BARRIER : LOG_CHANGE;
    entry->bytes = slice_sub(batch, batch.size - control.payload_size, control.payload_size);
    return 0;
}

static int load_entry(struct load *l, const struct place *before, const struct place *after,
                      const struct batch_header *header, struct slice batch)
{
    struct log_entry entry = {.index = before->index, .term = after->term};
    int status = load_fill_entry(&entry, header, batch);

    if (status == 0)
        status = l->each(l->data, &entry);
    if (status == 0 && l->fill_tail) {
        tail_push(&l->log->tail, before, after->offset, slice_ref(batch));
        tail_evict(&l->log->tail, l->log->options.cache_bytes, l->log->durable_index);
    }
    return status;
}

/* Delivers the whole batches of one chunk. Returns 1 to go on behind them, 0 at the end, or an error; `need`:
 * see place_step. */
static int load_chunk(struct load *l, struct place *at, struct buf *chunk, size_t *need)
{
    uint64_t start = at->position;
    struct batch_header header;

    for (;;) {
        struct place before = *at;
        size_t from = (size_t)(at->position - start);
        if (at->index > l->to)
            return 0;
        int result = place_step(at, chunk->data + from, chunk->capacity - from, l->log->max_batch_bytes, true,
                                &header);
        *need = header.size;
        if (result == PLACE_MORE)
            return 1;
        if (result != PLACE_BATCH)
            return result;
        if (before.index < l->from)
            continue;
        struct slice batch = slice_of(chunk, chunk->data + from, header.size);
        int status = load_entry(l, &before, at, &header, batch);
        slice_unref(&batch);
        if (status != 0)
            return status;
    }
}

static int load_from_file(struct load *l, struct env_file *file, struct place *at, uint64_t end)
{
    const size_t usual = env_bound(l->log->options.env, BOUND_LOAD_CHUNK, LOAD_CHUNK, SMALL_LOAD_CHUNK);
    size_t need = usual;
    int result = 1;

    while (result == 1 && at->position < end) {
        uint64_t left = end - at->position;
        uint64_t before = at->position;
        size_t size = need < left ? need : (size_t)left;
        struct buf *chunk = buf_create(size);
        ssize_t n = env_file_read(file, chunk->data, size, at->position);
        if (n < 0)
            result = (int)n;
        else
            result = (size_t)n < size ? ERR_CORRUPT : load_chunk(l, at, chunk, &need);
        buf_unref(chunk);
        if (result == 1 && at->position == before && (need > left || need <= size))
            result = ERR_CORRUPT; /* a batch that does not fit before the end */
        if (need < usual)
            need = usual;
        if (result == 1 && at->position < end)
            env_bound_passed(l->log->options.env, BOUND_LOAD_CHUNK);
    }
    return result < 0 ? result : 0;
}

static int load_segment(struct load *l, struct segment *s)
{
    const struct place *noted = segment_index_by_index(&s->index, l->from);
    struct place at = noted != NULL ? *noted : segment_begin(s);
    struct segment_read read;

    segment_read_begin(&read, s);
    int status = segment_read_open(&read, l->log->directory);
    if (status == 0)
        status = load_from_file(l, read.file, &at, s->written);
    log_read_again(l->log, l->log->generation, s, &at, status);
    segment_read_end(&read);
    return status;
}

/* What is not durable may not be in the file yet. */
static int load_from_tail(struct load *l)
{
    int status = 0;

    for (uint64_t index = l->from; index <= l->to && status == 0; index++) {
        const struct tail_entry *e = tail_find(&l->log->tail, index);
        struct place after = e->at;
        struct batch_header header;

        int result =
            place_step(&after, e->bytes.data, e->bytes.size, l->log->max_batch_bytes, false, &header);
        ASSERT(result == PLACE_BATCH);
        status = load_entry(l, &e->at, &after, &header, e->bytes);
    }
    return status;
}

int log_load(struct log *log, uint64_t from, uint64_t to,
             int (*each)(void *data, const struct log_entry *entry), void *data)
{
    struct load l = {log, from, to, each, data, to == log_last_index(log) && log->tail.count == 0};

    if (from > to)
        return 0;
    if (from < log_first_index(log) || to > log_last_index(log))
        return ERR_NOT_FOUND;
    if (to > log->durable_index)
        return tail_find(&log->tail, from) != NULL ? load_from_tail(&l) : ERR_NOT_FOUND;
    QUEUE_FOREACH (node, &log->segments) {
        struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        if (s->end.index <= from || s->header.base_index > to)
            continue;
        int status = load_segment(&l, s);
        if (status != 0) {
            tail_truncate(&log->tail, l.fill_tail ? 0 : log->end.index);
            return status;
        }
    }
    log_trim_read_files(log);
    log_note_quiet(log);
    return 0;
}
