#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/storage/log_internal.h"

/* Above it a write goes into an operation of its own, so that a round can stop at its bound. */
enum { OPERATION_BYTES = 1024 * 1024 };
/* An election takes less, where nothing is in its way, and a thousand creations at once do not wait for it.
 */
static const uint64_t linger_ns = 5 * 1000000u;

/* ---- rolling ---- */

static void log_finish_segment(struct log *log, struct segment *s)
{
    struct operation *op = operation_create(OPERATION_SEAL, s, 0);

    op->position = s->end.position;
    segment_index_image(s, &op->image);
    log_push_operation(log, op);
}

void log_start_segment(struct log *log)
{
    struct segment *old = log_active(log);
    struct segment_header header = {.base_index = log->end.index,
                                    .base_offset = log->end.offset,
                                    .previous_term = log->end.term,
                                    .created_ms = env_wall_ms(log->options.env),
                                    .group_id = log->options.group_id};

    if (old != NULL)
        log_finish_segment(log, old);
    struct segment *s = segment_create(log->options.env, &header);
    if (old != NULL)
        s->writer.step = old->writer.step;
    log_add_segment(log, s);
    log_push_operation(log, operation_create(OPERATION_CREATE, s, 0));
}

/* Nothing before it is kept. An idle partition's last segment would never be closed otherwise, and its
 * records never go. */
static bool log_leaves_nothing(const struct log *log, const struct segment *s, const struct slice *batch)
{
    struct batch_control control;

    return batch->size == BATCH_START_SIZE && s->end.offset > s->header.base_offset &&
           batch_control_decode(batch->data, batch->size, &control) == 0 &&
           control.type == BATCH_CONTROL_START && control.start_offset >= log->end.offset;
}

static bool log_must_roll(const struct log *log, const struct segment *s, const struct slice *batch)
{
    if (s == NULL)
        return true;
    if (segment_is_empty(s))
        return false;
    if (s->end.position + batch->size > log->options.segment_bytes || log_leaves_nothing(log, s, batch))
        return true;
    int64_t age_ms = env_wall_ms(log->options.env) - s->header.created_ms;
    return log->options.segment_ms > 0 && age_ms > 0 && (uint64_t)age_ms >= log->options.segment_ms;
}

/* ---- appending ---- */

static size_t control_payload_max(const struct log *log)
{
    return log->max_batch_bytes - BATCH_HEADER_SIZE - BATCH_CONTROL_BODY_SIZE;
}

static struct slice log_control_batch(const struct log *log, const struct log_entry *entry)
{
    struct batch_control control = {
        .type = entry->kind == LOG_BARRIER ? BATCH_CONTROL_BARRIER : BATCH_CONTROL_CHANGE,
        .index = entry->index,
        .term = entry->term,
        .next_offset = log->end.offset,
        .payload = entry->bytes.data,
        .payload_size = entry->bytes.size,
    };
    struct bytes encoded;

    ASSERT(entry->bytes.size <= control_payload_max(log));
    bytes_init(&encoded);
    batch_control_encode(&encoded, &control);
    struct slice batch = slice_copy(encoded.data, encoded.size);
    bytes_close(&encoded);
    return batch;
}

static struct slice log_entry_batch(const struct log *log, const struct log_entry *entry)
{
    ASSERT(entry->index == log->end.index);
    return entry->kind == LOG_DATA ? slice_ref(entry->bytes) : log_control_batch(log, entry);
}

static struct operation *log_write_operation(struct log *log, struct operation *op, unsigned entries_left,
                                             const struct slice *batch)
{
    if (log_must_roll(log, log_active(log), batch)) {
        log_start_segment(log);
        op = NULL;
    }
    if (op != NULL && op->n < op->capacity && op->bytes + batch->size <= OPERATION_BYTES)
        return op;
    struct segment *s = log_active(log);
    op = operation_create(OPERATION_WRITE, s, entries_left);
    op->position = s->end.position;
    log_push_operation(log, op);
    return op;
}

/* Takes over the reference in `batch`. */
static void log_add_batch(struct log *log, struct operation *op, struct slice batch)
{
    struct segment *s = op->segment;
    struct place before = s->end;
    struct batch_header header;

    /* Checked from two sides: here before the write, and again whenever it is read back. */
    int result = place_step(&s->end, batch.data, batch.size, log->max_batch_bytes, false, &header);
    ASSERT(result == PLACE_BATCH && header.size == batch.size);
    segment_note_batch(s, &before, &header);
    log->end = s->end;
    op->slices[op->n++] = slice_ref(batch);
    op->bytes += batch.size;
    op->limit = log->options.segment_bytes;
    op->last_index = before.index;
    op->written_end = s->end.position;
    tail_push(&log->tail, &before, s->end.offset, batch);
}

static bool entry_continues(const struct log *log, const struct log_entry *entry, struct place *end)
{
    struct batch_header header;

    if (entry->index != end->index)
        return false;
    if (entry->kind == LOG_DATA)
        return place_step(end, entry->bytes.data, entry->bytes.size, log->max_batch_bytes, false, &header) ==
                   PLACE_BATCH &&
               header.size == entry->bytes.size && entry->term == end->term;
    if (entry->term < end->term || entry->bytes.size > control_payload_max(log))
        return false;
    end->term = entry->term;
    end->index++;
    return true;
}

unsigned log_continues(const struct log *log, const struct log_entry *entries, unsigned n)
{
    struct place end = log->end;
    unsigned fitting = 0;

    while (fitting < n && entry_continues(log, &entries[fitting], &end))
        fitting++;
    return fitting;
}

static void log_submit(struct log *log, struct log_append_req *req, const struct log_entry *entries,
                       unsigned n, void (*cb)(struct log_append_req *req, int status))
{
    struct operation *op = NULL;

    ASSERT(n >= 1 && !log->closing);
    req->cb = cb;
    req->first_index = entries[0].index;
    req->last_index = entries[n - 1].index;
    queue_init(&req->node);
    if (log->status != 0) {
        log_reject(log, req);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        struct slice batch = log_entry_batch(log, &entries[i]);
        op = log_write_operation(log, op, n - i, &batch);
        op->journal_sequence = req->journal_sequence;
        log_add_batch(log, op, batch);
    }
    op->req = req;
    tail_evict(&log->tail, log->options.cache_bytes, log->durable_index);
}

void log_append(struct log *log, struct log_append_req *req, const struct log_entry *entries, unsigned n,
                void (*cb)(struct log_append_req *req, int status))
{
    log_submit(log, req, entries, n, cb);
    log_schedule(log);
}

static void log_linger_over(struct env_timer *timer)
{
    log_schedule(container_of(timer, struct log, linger_timer));
}

void log_append_soon(struct log *log, struct log_append_req *req, const struct log_entry *entries, unsigned n,
                     void (*cb)(struct log_append_req *req, int status))
{
    log_submit(log, req, entries, n, cb);
    if (!env_timer_running(&log->linger_timer))
        env_timer_start(log->options.env, &log->linger_timer, linger_ns, log_linger_over);
}
