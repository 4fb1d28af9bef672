#include "node/base/assert.h"
#include "node/storage/log_internal.h"
#include "node/storage/walker.h"

void log_forget_cursors(struct log *log)
{
    for (int i = 0; i < LOG_CURSORS; i++) {
        if (log->cursors[i].segment != NULL)
            segment_unref(log->cursors[i].segment);
        log->cursors[i] = (struct log_cursor){0};
    }
}

/* ---- the suffix ---- */

/* Blocking, but only for entries that have left the tail: a header walk from the nearest noted place. */
static int log_locate_in_file(struct log *log, struct segment *s, uint64_t index, struct place *at)
{
    const struct place *noted = segment_index_by_index(&s->index, index);
    struct place from = noted != NULL ? *noted : segment_begin(s);
    struct segment_read read;
    struct walker w;

    segment_read_begin(&read, s);
    int status = segment_read_open(&read, log->directory);
    if (status == 0) {
        walker_init(&w, read.file, &from, s->written, log->max_batch_bytes, false);
        int found = walker_seek_index(&w, index);
        status = found == 1 ? 0 : found == 0 ? ERR_CORRUPT : found;
        *at = w.at;
        walker_close(&w);
    }
    segment_read_end(&read);
    return status;
}

static int log_locate(struct log *log, struct segment *s, uint64_t index, struct place *at)
{
    const struct tail_entry *e = tail_find(&log->tail, index);

    *at = segment_begin(s);
    if (index == s->header.base_index)
        return 0;
    if (e == NULL)
        return log_locate_in_file(log, s, index, at);
    *at = e->at;
    return 0;
}

static void cap_operation(struct operation *op, const struct segment *s, uint64_t last_index,
                          uint64_t written)
{
    if (op->last_index > last_index)
        op->last_index = last_index;
    if (op->segment == s && op->written_end > written)
        op->written_end = written;
}

/* What is still on its way must not count as there once it has been cut off. */
static void log_cap_operations(struct log *log, const struct segment *s, uint64_t last_index,
                               uint64_t written)
{
    if (log->round_runs)
        QUEUE_FOREACH (node, &log->round.operations)
            cap_operation(QUEUE_ENTRY(node, struct operation, node), s, last_index, written);
    QUEUE_FOREACH (node, &log->operations)
        cap_operation(QUEUE_ENTRY(node, struct operation, node), s, last_index, written);
    if (log->durable_index > last_index)
        log->durable_index = last_index;
}

static void log_push_cut(struct log *log, enum operation_kind kind, struct segment *s, uint64_t position,
                         uint64_t journal_sequence)
{
    struct operation *op = operation_create(kind, s, 0);

    op->position = position;
    op->journal_sequence = journal_sequence;
    log_push_operation(log, op);
}

static void log_remove_segment(struct log *log, struct segment *s, uint64_t journal_sequence)
{
    log_push_cut(log, OPERATION_REMOVE, s, 0, journal_sequence);
    log_drop_segment(log, s);
}

void log_truncate_suffix(struct log *log, uint64_t index)
{
    struct place at;

    if (log->status != 0 || index >= log->end.index)
        return;
    ASSERT(index >= log_first_index(log));
    struct segment *s = log_segment_of_index(log, index);
    int status = log_locate(log, s, index, &at);
    if (status != 0) {
        log_read_again(log, log->generation, s, &at, status);
        return;
    }
    /* The floor first, or a crash after the cut would look like the loss of entries that had been synced. */
    uint64_t sequence = log_lower_floor(log, index - 1);
    while (log_active(log) != s)
        log_remove_segment(log, log_active(log), sequence);
    log_push_cut(log, OPERATION_TRUNCATE, s, at.position, sequence);
    log_cap_operations(log, s, index - 1, at.position);
    s->end = at;
    s->written = s->written < at.position ? s->written : at.position;
    segment_note_cut(s, at.position);
    tail_truncate(&log->tail, index);
    log->end = at;
    log->generation++;
    log_forget_cursors(log);
    if (log->start_offset > at.offset)
        log->start_offset = at.offset;
    log_schedule(log);
}

void log_reset(struct log *log, uint64_t next_index, uint64_t previous_term, int64_t next_offset)
{
    ASSERT(next_index >= 1 && next_offset >= 0);
    if (log->status != 0)
        return;
    uint64_t sequence = log_clear_floor(log);
    log_cap_operations(log, NULL, 0, 0);
    while (log_active(log) != NULL)
        log_remove_segment(log, log_active(log), sequence);
    tail_truncate(&log->tail, 0);
    log_forget_cursors(log);
    log->generation++;
    log->end = (struct place){
        .index = next_index, .offset = next_offset, .term = previous_term, .max_timestamp_ms = -1};
    log->start_offset = next_offset;
    log->durable_index = next_index - 1;
    log_start_segment(log);
    log_schedule(log);
}

/* ---- the prefix ---- */

/* The offset that follows the entry `index`, or a little less when only the index knows. */
static int64_t log_offset_after(const struct log *log, uint64_t index)
{
    if (index >= log_last_index(log))
        return log->end.offset;
    const struct tail_entry *e = tail_find(&log->tail, index);
    if (e != NULL)
        return e->next_offset;
    const struct segment *s = log_segment_of_index(log, index);
    if (s == NULL)
        return log->start_offset;
    if (s->end.index == index + 1)
        return s->end.offset;
    const struct place *noted = segment_index_by_index(&s->index, index);
    return noted != NULL ? noted->offset : s->header.base_offset;
}

void log_truncate_prefix(struct log *log, int64_t offset, uint64_t limit_index)
{
    if (log->status != 0)
        return;
    int64_t limit_offset = log_offset_after(log, limit_index);
    if (offset > limit_offset)
        offset = limit_offset;
    if (offset > log->start_offset)
        log->start_offset = offset;
    for (;;) {
        struct segment *s = log_oldest(log);
        if (s == NULL || s == log_active(log) || s->end.offset > log->start_offset ||
            s->end.index > limit_index)
            break;
        tail_drop_through(&log->tail, s->end.index - 1);
        log_remove_segment(log, s, 0);
        log->generation++;
        log_forget_cursors(log);
    }
    log_schedule(log);
}

static bool retention_expired(const struct segment *s, uint64_t size_from_here, int64_t retention_bytes,
                              int64_t oldest_timestamp_ms)
{
    if (retention_bytes >= 0 && size_from_here - s->end.position >= (uint64_t)retention_bytes)
        return true;
    return oldest_timestamp_ms >= 0 && s->end.max_timestamp_ms < oldest_timestamp_ms;
}

int64_t log_retention_offset(const struct log *log, int64_t retention_bytes, int64_t oldest_timestamp_ms,
                             int64_t limit_offset)
{
    int64_t offset = log->start_offset;
    uint64_t size = log_size_bytes(log);

    if (log->status != 0 || log->closing)
        return offset;
    QUEUE_FOREACH (node, &log->segments) {
        const struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        if (s->end.offset > limit_offset ||
            !retention_expired(s, size, s == log_active(log) ? -1 : retention_bytes, oldest_timestamp_ms))
            break;
        size -= s->end.position;
        if (s->end.offset > offset)
            offset = s->end.offset;
    }
    return offset;
}
