/* The core's disk: the partition log for entries, the node's journal for hard state and snapshots.
 *
 * The contract of libraft's raft_io: appends never fail, complete in order and never from inside; set_term
 * and set_vote never fail; a snapshot_put with trailing 0 is an install, which replaces everything. */
#include "node/consensus/configuration.h"
#include "node/consensus/group_internal.h"
#include "node/env/sabotage.h"
#include <stdlib.h>
#include <string.h>

/* ---- appends ---- */

static void on_durable(struct log_append_req *req, int status)
{
    struct append_op *op = container_of(req, struct append_op, req);
    struct group *g = op->group;
    if (!op->core) {
        free(op);
        return;
    }
    if (status != 0) {
        /* Final: the log's `failed` callback stops this replica; the core must never see a failed append. */
        op->submitted = false;
        return;
    }
    op->durable = true;
    governor_note_append(&g->consensus->governor, env_clock_ns(g->consensus->options.env) - op->began_ns,
                         op->bytes);
    g->stored_index = op->last;
    group_after(g);
}

/* One of some: the simulator's disks break this promise only now and then. */
static bool is_failed(const struct group *g, enum sabotage sabotage)
{
    enum { ONE_OF = 16 };
    return env_sabotaged(group_env(g), sabotage) && env_random(group_env(g)) % ONE_OF == 0;
}

void raft_io_append_released(struct group *g, struct append_op *op)
{
    struct raft_io_append *core = op->core;
    raft_io_append_cb cb = op->cb;
    ASSERT(&op->node == queue_first(&g->appends)); /* the core takes the last one for the newest */
    queue_remove(&op->node);
    free(op);
    g->inflight--;
    cb(core, is_failed(g, SABOTAGE_APPEND_FAILS) ? RAFT_IOERR : 0);
}

/* The core holds copies of what it received; each must own its reference. */
static void adopt_entries(const struct raft_entry entries[], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (entries[i].type == RAFT_COMMAND)
            heap_entry_adopt(entries[i].buf.base);
}

/* What a peer sent must continue this log; inside one message that has been checked already. */
static bool entries_continue(const struct group *g, const struct log_entry *entries, unsigned n)
{
    unsigned fitting = log_continues(g->log, entries, n);
    if (fitting == n)
        return true;
    const struct log_entry *entry = &entries[fitting];
    LOG(g->consensus->options.logger, LOG_ERROR, "entry does not continue the log",
        "group=%s index=%llu data=%d term=%llu log_index=%llu log_term=%llu log_offset=%lld", g->name,
        (unsigned long long)entry->index, entry->kind == LOG_DATA, (unsigned long long)entry->term,
        (unsigned long long)log_last_index(g->log), (unsigned long long)log_last_term(g->log),
        (long long)log_end_offset(g->log));
    return false;
}

/* Entries beyond the core's last one are fetched ranges of an abandoned catch-up: never acknowledged, so they
 * may go. */
static bool drop_abandoned_suffix(struct group *g, uint64_t first)
{
    if (first == log_last_index(g->log) + 1)
        return true;
    if (first >= log_first_index(g->log) && first <= log_last_index(g->log))
        log_truncate_suffix(g->log, first);
    else if (first == 1)
        log_reset(g->log, 1, 0, 0);
    return first == log_last_index(g->log) + 1;
}

static struct slice log_bytes(const struct raft_entry *entry)
{
    return entry->type == RAFT_COMMAND ? slice_ref(entry_bytes(entry))
                                       : slice_copy(entry->buf.base, entry->buf.len);
}

static struct log_entry *log_entries(uint64_t first, const struct raft_entry entries[], unsigned n)
{
    struct log_entry *converted = memory_alloc(n * sizeof *converted);
    for (unsigned i = 0; i < n; i++)
        converted[i] = (struct log_entry){
            .index = first + i,
            .term = entries[i].term,
            .kind = (enum log_entry_kind)entries[i].type,
            .bytes = log_bytes(&entries[i]),
        };
    return converted;
}

static void append_to_log(struct group *g, struct append_op *op, const struct raft_entry entries[],
                          unsigned n)
{
    struct log_entry *converted = log_entries(op->first, entries, n);
    if (drop_abandoned_suffix(g, op->first) && entries_continue(g, converted, n)) {
        op->submitted = true;
        op->began_ns = env_clock_ns(g->consensus->options.env);
        for (unsigned i = 0; i < n; i++)
            op->bytes += converted[i].bytes.size;
        /* A term is in the journal before its entries are in the log. */
        op->req.journal_sequence = g->hard_sequence;
        log_append(g->log, &op->req, converted, n, on_durable);
    } else {
        group_fail(g, ERR_CORRUPT, "a leader's entries do not continue this replica's log");
    }
    for (unsigned i = 0; i < n; i++)
        slice_unref(&converted[i].bytes);
    free(converted);
}

static void complete_at_once(struct group *g, struct append_op *op)
{
    struct raft_io_append *core = op->core;
    queue_remove(&op->node);
    op->core = NULL; /* the log's own callback frees it */
    g->inflight--;
    op->cb(core, 0);
}

static int io_append(struct raft_io *io, struct raft_io_append *req, const struct raft_entry entries[],
                     unsigned n, raft_io_append_cb cb)
{
    struct group *g = io->impl;
    adopt_entries(entries, n);
    struct append_op *op = memory_zalloc(sizeof *op);
    catchup_forget_fetched(g);
    op->group = g;
    op->core = req;
    op->cb = cb;
    op->first = g->next_index;
    op->last = g->next_index + n - 1;
    queue_push(&g->appends, &op->node);
    g->next_index += n;
    g->inflight++;
    guard_match_accept(g);
    if (g->failed_status == 0)
        append_to_log(g, op, entries, n);
    if (is_failed(g, SABOTAGE_COMPLETED_AT_ONCE))
        complete_at_once(g, op);
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    struct group *g = io->impl;
    if (index <= log_last_index(g->log))
        log_truncate_suffix(g->log, index);
    g->next_index = index;
    if (g->stored_index >= index)
        g->stored_index = index - 1;
    guard_match_truncate(g, index);
    return 0;
}

/* ---- hard state ---- */

/* The core updates its own copy of the term only after both calls, so that ours is kept here. */
static void put_hard_state(struct group *g, uint64_t term, uint64_t vote)
{
    g->hard_term = term;
    g->hard_sequence = journal_put_hard_state(g->consensus->options.journal, g->id, term, vote);
    group_wait_journal(g);
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    put_hard_state(io->impl, term, 0);
    return is_failed(io->impl, SABOTAGE_TERM_FAILS) ? RAFT_IOERR : 0;
}

static int io_set_vote(struct raft_io *io, raft_id server_id)
{
    struct group *g = io->impl;
    put_hard_state(g, g->hard_term, server_id);
    return 0;
}

/* ---- snapshots ---- */

/* The fsm's part of the record was packed by fsm.c; index, term and configuration are the core's. */
static struct slice snapshot_pack(const struct raft_snapshot *snapshot)
{
    ASSERT(snapshot->n_bufs == 1);
    Flotilla__SnapshotRecord *record =
        flotilla__snapshot_record__unpack(NULL, snapshot->bufs[0].len, snapshot->bufs[0].base);
    ASSERT(record); /* checked when it came in */
    struct raft_buffer configuration = configuration_encode(&snapshot->configuration);
    free(record->configuration.data);
    record->index = snapshot->index;
    record->term = snapshot->term;
    record->configuration_index = snapshot->configuration_index;
    record->configuration = (ProtobufCBinaryData){configuration.len, configuration.base};
    struct buf *b = buf_create(flotilla__snapshot_record__get_packed_size(record));
    flotilla__snapshot_record__pack(record, b->data);
    record->configuration = (ProtobufCBinaryData){0, NULL};
    flotilla__snapshot_record__free_unpacked(record, NULL);
    raft_free(configuration.base);
    return (struct slice){b, b->data, b->capacity};
}

static void note_snapshot(struct group *g, uint64_t index, uint64_t sequence)
{
    if (journal_durable(g->consensus->options.journal) >= g->snapshot_sequence)
        g->snapshot_durable_index = g->snapshot_index;
    g->snapshot_index = index;
    g->snapshot_sequence = sequence;
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct group *g = io->impl;
    struct journal *journal = g->consensus->options.journal;
    struct slice packed = snapshot_pack(snapshot);
    bool install = trailing == 0;
    uint64_t sequence = install ? journal_put_snapshot(journal, g->id, packed)
                                : journal_put_snapshot_lazy(journal, g->id, packed);
    slice_unref(&packed);
    note_snapshot(g, snapshot->index, sequence);
    g->put.req = req;
    g->put.cb = cb;
    g->put.install = install;
    g->put.index = snapshot->index;
    g->put.sequence = install ? sequence : 0;
    g->inflight++;
    if (install) {
        ASSERT(log_last_index(g->log) == snapshot->index); /* catchup.c has fetched everything */
        g->next_index = snapshot->index + 1;
        g->stored_index = snapshot->index;
        guard_match_accept(g);
        catchup_forget_fetched(g); /* together with the snapshot, which covers it */
        group_wait_journal(g);
    }
    return 0;
}

static bool complete_put(struct group *g)
{
    if (!g->put.req || journal_durable(g->consensus->options.journal) < g->put.sequence)
        return false;
    struct raft_io_snapshot_put *req = g->put.req;
    g->put.req = NULL;
    g->inflight--;
    g->put.cb(req, g->put.install && env_sabotaged(group_env(g), SABOTAGE_INSTALL_FAILS) ? RAFT_IOERR : 0);
    if (g->put.install)
        guard_configuration_installed(g, g->put.index);
    return true;
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req, raft_io_snapshot_get_cb cb)
{
    struct group *g = io->impl;
    g->gets = memory_realloc(g->gets, (g->n_gets + 1) * sizeof *g->gets);
    g->gets[g->n_gets].req = req;
    g->gets[g->n_gets].cb = cb;
    g->n_gets++;
    return 0;
}

static bool complete_get(struct group *g)
{
    if (g->n_gets == 0)
        return false;
    struct raft_io_snapshot_get *req = g->gets[--g->n_gets].req;
    raft_io_snapshot_get_cb cb = g->gets[g->n_gets].cb;
    struct raft_snapshot *snapshot = snapshot_from_journal(g);
    cb(req, snapshot, snapshot ? 0 : RAFT_NOTFOUND);
    return true;
}

bool raft_io_complete(struct group *g)
{
    return complete_put(g) || complete_get(g);
}

/* ---- the rest ---- */

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static void close_appends(struct group *g)
{
    while (!queue_empty(&g->appends)) {
        struct append_op *op = QUEUE_ENTRY(queue_first(&g->appends), struct append_op, node);
        struct raft_io_append *core = op->core;
        bool finished = op->durable || !op->submitted;
        queue_remove(&op->node);
        op->core = NULL; /* the log's own callback frees it */
        op->cb(core, 0);
        if (finished)
            free(op);
    }
}

/* Everything outstanding completes, appends with status 0 as the core wants it, then the core is gone. */
static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    struct group *g = io->impl;
    while (outbox_complete_sends(g))
        ;
    close_appends(g);
    if (g->put.req) {
        struct raft_io_snapshot_put *req = g->put.req;
        g->put.req = NULL;
        g->put.cb(req, RAFT_CANCELED);
    }
    while (g->n_gets > 0) {
        g->n_gets--;
        g->gets[g->n_gets].cb(g->gets[g->n_gets].req, NULL, RAFT_CANCELED);
    }
    while (outbox_complete_sends(g))
        ;
    g->inflight = 0;
    cb(io);
}

static int io_start(struct raft_io *io, unsigned heartbeat_ms, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct group *g = io->impl;
    (void)heartbeat_ms;
    g->tick = tick;
    g->recv = recv;
    return 0;
}

/* Groups are bootstrapped before the core starts, and never recovered by force. */
static int io_refuse(struct raft_io *io, const struct raft_configuration *configuration)
{
    (void)io;
    (void)configuration;
    return RAFT_INVALID;
}

static raft_time io_time(struct raft_io *io)
{
    return env_now_ms(group_env(io->impl));
}

static int io_random(struct raft_io *io, int min, int max)
{
    uint64_t range = (uint64_t)(max - min) + 1;
    return min + (int)(env_random(group_env(io->impl)) % range);
}

void raft_io_init(struct group *g)
{
    g->io = (struct raft_io){
        .version = 2,
        .impl = g,
        .init = io_init,
        .close = io_close,
        .load = raft_io_load,
        .start = io_start,
        .bootstrap = io_refuse,
        .recover = io_refuse,
        .set_term = io_set_term,
        .set_vote = io_set_vote,
        .send = raft_io_send,
        .append = io_append,
        .truncate = io_truncate,
        .snapshot_put = io_snapshot_put,
        .snapshot_get = io_snapshot_get,
        .time = io_time,
        .random = io_random,
    };
}
