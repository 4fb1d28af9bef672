/* The core's state machine: hands committed batches up, and keeps the core's memory within its budget, which
 * it counts in entries and we in bytes. */
#include "node/consensus/entry_memory.h"
#include "node/consensus/group_internal.h"
#include <limits.h>
#include <string.h>

/* The snapshot that this makes possible keeps up to half of the budget as the in-memory tail. */
static void bound_memory(struct group *g, size_t size)
{
    g->applied_bytes += size;
    entry_memory_add(g, size);
    if (g->applied_bytes > entry_memory_budget(g) / 2)
        raft_set_snapshot_threshold(&g->raft, 1); /* checked at the end of the loop that applies this entry */
}

/* What is before the start can be deleted as far as a snapshot goes, which an idle group would never make. */
static void apply_start(struct group *g, const struct slice *bytes)
{
    struct batch_control control;
    int rv = batch_control_decode(bytes->data, bytes->size, &control);
    ASSERT(rv == 0);
    if (g->callbacks->start_moved)
        g->callbacks->start_moved(g->data, control.start_offset);
    raft_set_snapshot_threshold(&g->raft, 1); /* as in bound_memory */
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct group *g = fsm->data;
    const struct entry_ref *ref = buf->base;
    uint64_t index = g->raft.last_applied + 1;
    struct batch_header header;
    *result = NULL;
    int rv = batch_header_decode(ref->bytes.data, ref->bytes.size, ref->bytes.size, &header);
    ASSERT(rv == 0); /* checked when it was proposed, received or loaded */
    bound_memory(g, ref->bytes.size);
    if (index <= g->apply_floor)
        return 0;
    if (batch_is_control(&header))
        apply_start(g, &ref->bytes);
    else
        g->callbacks->apply(g->data, index, &header, &ref->bytes);
    return 0;
}

/* How many applied entries, from the newest back, fit into half of the budget: at least one, because 0 means
 * an install. */
static unsigned trailing_entries(const struct group *g, size_t *kept)
{
    const uint64_t budget = entry_memory_budget(g);
    size_t bytes = 0;
    unsigned n = 0;
    *kept = 0;
    for (uint64_t index = g->raft.last_applied; index > g->raft.log.offset; index--) {
        const struct raft_entry *entry = group_entry(g, index);
        if (!entry)
            break;
        bytes += entry_size(entry);
        if (bytes > budget / 2)
            break;
        *kept = bytes;
        n++;
    }
    return n > 0 ? n : 1;
}

static int64_t offset_after_applied(const struct group *g)
{
    for (uint64_t index = g->raft.last_applied; index > g->raft.log.offset; index--) {
        const struct raft_entry *entry = group_entry(g, index);
        struct batch_header header;
        if (!entry)
            break;
        if (entry->type != RAFT_COMMAND)
            continue;
        struct slice bytes = entry_bytes(entry);
        if (batch_header_decode(bytes.data, bytes.size, bytes.size, &header) == 0)
            return batch_next_offset(&header);
    }
    return g->applied_offset;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    struct group *g = fsm->data;
    if (guard_configuration_snapshot(g) || g->raft.last_applied < g->apply_floor)
        return RAFT_BUSY;
    struct bytes state;
    bytes_init(&state);
    if (g->callbacks->snapshot)
        g->callbacks->snapshot(g->data, &state);
    g->applied_offset = offset_after_applied(g);
    Flotilla__SnapshotRecord record = FLOTILLA__SNAPSHOT_RECORD__INIT;
    record.next_offset = g->applied_offset;
    record.log_start_offset = log_start_offset(g->log);
    record.state = (ProtobufCBinaryData){state.size, state.data};
    *bufs = raft_malloc(sizeof **bufs);
    (*bufs)->len = flotilla__snapshot_record__get_packed_size(&record);
    (*bufs)->base = raft_malloc((*bufs)->len + 1);
    flotilla__snapshot_record__pack(&record, (*bufs)->base);
    *n_bufs = 1;
    bytes_close(&state);
    size_t kept;
    raft_set_snapshot_trailing(&g->raft, trailing_entries(g, &kept));
    entry_memory_set(g, kept);
    raft_set_snapshot_threshold(&g->raft, UINT_MAX);
    g->applied_bytes = 0;
    return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    struct group *g = fsm->data;
    Flotilla__SnapshotRecord *record = flotilla__snapshot_record__unpack(NULL, buf->len, buf->base);
    if (!record)
        return RAFT_CORRUPT;
    int rv = g->callbacks->restore(g->data, record->state.data, record->state.len, record->next_offset);
    if (g->raft.state != RAFT_UNAVAILABLE)
        g->apply_floor = 0; /* installed, not loaded: the state is as of the snapshot, and no further */
    g->applied_offset = record->next_offset;
    g->applied_bytes = 0;
    entry_memory_set(g, 0);
    flotilla__snapshot_record__free_unpacked(record, NULL);
    if (rv != 0)
        return RAFT_CORRUPT;
    raft_free(buf->base);
    return 0;
}

void fsm_init(struct group *g)
{
    g->fsm = (struct raft_fsm){
        .version = 1, .data = g, .apply = fsm_apply, .snapshot = fsm_snapshot, .restore = fsm_restore};
}
