/* Proposals: what a loop turn proposes becomes one append and one message per follower. */
#include "node/consensus/group_internal.h"
#include "node/env/sabotage.h"
#include <stdlib.h>

enum { MAX_PER_APPEND = 4096 };

/* The entry's payload as the core will get it waits here until the turn ends. */
static struct entry_ref **proposal_ref(struct proposal *p)
{
    return (struct entry_ref **)&p->private_[0];
}

static struct proposal *first_of(const struct queue *queue)
{
    return QUEUE_ENTRY(queue_first(queue), struct proposal, node);
}

static void finish(struct group *g, struct proposal *p, int status)
{
    queue_remove(&p->node);
    g->inflight_bytes -= p->size;
    p->cb(p, status);
}

static void on_applied(struct raft_apply *req, int status, void *result)
{
    (void)status; /* of its first entry only: proposals are settled by the applied index instead */
    (void)result;
    free(req);
}

/* Paused while a newer term waits for the disk (G3), and while leadership is handed over. */
static bool may_append(const struct group *g)
{
    return group_leads(g) && g->ready && g->raft.transfer == NULL && queue_empty(&g->held) &&
           g->reload_from == 0;
}

static void fail_gathered(struct group *g)
{
    struct queue failed;
    queue_move(&g->gathered, &failed);
    g->gathered_count = 0;
    while (!queue_empty(&failed)) {
        struct proposal *p = first_of(&failed);
        raft_free(*proposal_ref(p));
        finish(g, p, ERR_NOT_LEADER);
    }
}

static unsigned take_gathered(struct group *g, struct raft_buffer *bufs)
{
    unsigned n = 0;
    while (!queue_empty(&g->gathered) && n < MAX_PER_APPEND) {
        struct proposal *p = first_of(&g->gathered);
        bufs[n++] = (struct raft_buffer){*proposal_ref(p), sizeof(struct entry_ref)};
        queue_remove(&p->node);
        queue_push(&g->unstored, &p->node);
    }
    g->gathered_count -= n;
    return n;
}

static void append_gathered(struct group *g)
{
    unsigned n = g->gathered_count < MAX_PER_APPEND ? g->gathered_count : MAX_PER_APPEND;
    struct raft_buffer *bufs = memory_alloc(n * sizeof *bufs);
    struct raft_apply *req = memory_zalloc(sizeof *req);
    ASSERT(first_of(&g->gathered)->index == raft_last_index(&g->raft) + 1);
    take_gathered(g, bufs);
    int rv = raft_apply(&g->raft, req, bufs, n, on_applied);
    free(bufs);
    ASSERT(rv == 0); /* may_append has checked all that it refuses */
    ticks_soon(&g->consensus->ticks, g);
}

static void on_turn_end(struct env_task *task)
{
    struct group *g = container_of(task, struct group, propose_task);
    while (g->gathered_count > 0 && may_append(g))
        append_gathered(g);
    group_after(g);
}

static int refusal(const struct group *g, size_t size)
{
    if (g->failed_status != 0)
        return ERR_REPLICA_FAILED;
    if (g->closing || !may_append(g) || g->transfer != TRANSFER_NONE || g->lead_term != g->raft.current_term)
        return ERR_NOT_LEADER;
    int rv = log_writable(g->log);
    if (rv != 0)
        return rv == ERR_NO_SPACE ? ERR_READ_ONLY : ERR_REPLICA_FAILED;
    if (g->inflight_bytes > 0 && g->inflight_bytes + size > g->consensus->options.inflight_bytes &&
        !env_sabotaged(group_env(g), SABOTAGE_NO_BACK_PRESSURE))
        return ERR_OVERLOADED;
    return 0;
}

/* Gives the proposal its place in the log. */
static void place(struct group *g, struct proposal *p, void (*cb)(struct proposal *p, int status))
{
    if (g->gathered_count == 0)
        g->gathered_offset = log_end_offset(g->log);
    p->cb = cb;
    p->index = raft_last_index(&g->raft) + g->gathered_count + 1;
    p->base_offset = g->gathered_offset;
}

/* Takes over the reference in `batch`, which has its place's stamps. */
static void gather(struct group *g, struct proposal *p, struct slice batch, int32_t offsets)
{
    p->size = batch.size;
    *proposal_ref(p) = heap_entry_create(batch);
    queue_push(&g->gathered, &p->node);
    g->gathered_count++;
    g->gathered_offset += offsets;
    g->inflight_bytes += p->size;
    env_defer(group_env(g), &g->propose_task, on_turn_end);
}

int group_propose(struct group *g, struct proposal *p, const struct slice *batch,
                  void (*cb)(struct proposal *p, int status))
{
    struct batch_header header;
    int rv = refusal(g, batch->size);
    if (rv == 0)
        rv = batch_header_decode(batch->data, batch->size, batch->size, &header);
    if (rv != 0)
        return rv;
    place(g, p, cb);
    batch_stamp(batch->data, p->base_offset, (int32_t)g->lead_term);
    gather(g, p, slice_ref(*batch), header.last_offset_delta + 1);
    return 0;
}

int group_propose_start(struct group *g, struct proposal *p, int64_t start_offset,
                        void (*cb)(struct proposal *p, int status))
{
    struct bytes encoded;
    int rv = refusal(g, BATCH_START_SIZE);
    if (rv != 0)
        return rv;
    place(g, p, cb);
    bytes_init(&encoded);
    batch_start_encode(&encoded, p->index, g->lead_term, p->base_offset, start_offset);
    gather(g, p, slice_copy(encoded.data, encoded.size), 0);
    bytes_close(&encoded);
    return 0;
}

/* ---- completion, outside of the core ---- */

static void settle_stored(struct group *g)
{
    while (!queue_empty(&g->unstored) && first_of(&g->unstored)->index <= g->stored_index) {
        struct proposal *p = first_of(&g->unstored);
        queue_remove(&p->node);
        queue_push(&g->stored, &p->node);
        if (p->stored)
            p->stored(p);
    }
}

static void settle_committed(struct group *g)
{
    while (!queue_empty(&g->stored) && first_of(&g->stored)->index <= g->raft.last_applied)
        finish(g, first_of(&g->stored), 0);
}

void proposals_settle(struct group *g)
{
    if (!g->running)
        return;
    if (g->lead_term != 0) {
        settle_stored(g);
        settle_committed(g);
    }
    if (g->gathered_count > 0 && may_append(g))
        env_defer(group_env(g), &g->propose_task, on_turn_end);
}

void proposals_fail(struct group *g)
{
    /* What was applied before leadership went is committed, whatever comes after. */
    if (g->running) {
        settle_stored(g);
        settle_committed(g);
    }
    while (!queue_empty(&g->stored))
        finish(g, first_of(&g->stored), ERR_OUTCOME_UNKNOWN);
    while (!queue_empty(&g->unstored))
        finish(g, first_of(&g->unstored), ERR_OUTCOME_UNKNOWN);
    fail_gathered(g);
}
