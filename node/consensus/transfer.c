/* Handing leadership over: proposals pause until the target has everything and everything is applied, then
 * the core sends TimeoutNow. Bounded by an election timeout in each phase; if it fails, this node goes on
 * leading. */
#include "node/consensus/group_internal.h"

static void finish(struct group *g, int status)
{
    void (*cb)(void *, int) = g->transfer_cb;
    g->transfer = TRANSFER_NONE;
    g->transfer_cb = NULL;
    env_timer_stop(group_env(g), &g->transfer_timer);
    if (cb)
        cb(g->transfer_data, status);
}

void transfer_cancel(struct group *g, int status)
{
    if (g->transfer != TRANSFER_NONE)
        finish(g, status);
}

static bool another_leads(const struct group *g)
{
    uint32_t leader = group_leader(g);
    return leader != 0 && leader != g->consensus->options.node_id;
}

static void on_timeout(struct env_timer *timer)
{
    struct group *g = container_of(timer, struct group, transfer_timer);
    finish(g, another_leads(g) ? 0 : ERR_TIMED_OUT);
    group_after(g); /* proposals go on */
}

static void on_transferred(struct raft_transfer *req)
{
    struct group *g = req->data;
    if (g->transfer == TRANSFER_SENT)
        g->transfer = TRANSFER_OVER;
}

static void arm(struct group *g)
{
    env_timer_start(group_env(g), &g->transfer_timer, g->consensus->options.election_timeout_ms * 1000000u,
                    on_timeout);
}

/* The core checks none of this: a TimeoutNow to a follower that lacks entries only costs an election. */
static bool target_has_everything(struct group *g)
{
    uint64_t last = raft_last_index(&g->raft);
    const struct raft_progress *progress = group_progress(g, g->transfer_target);
    return progress && g->gathered_count == 0 && queue_empty(&g->held) && queue_empty(&g->appends) &&
           progress->match_index == last && g->raft.last_applied == last;
}

void transfer_advance(struct group *g)
{
    if (g->transfer == TRANSFER_OVER) {
        finish(g, another_leads(g) ? 0 : ERR_TIMED_OUT);
        return;
    }
    if (g->transfer != TRANSFER_DRAINING)
        return;
    if (!group_leads(g)) {
        finish(g, another_leads(g) ? 0 : ERR_NOT_LEADER);
        return;
    }
    if (!target_has_everything(g))
        return;
    g->transfer = TRANSFER_SENT;
    g->transfer_req.data = g;
    arm(g);
    if (raft_transfer(&g->raft, &g->transfer_req, g->transfer_target, on_transferred) != 0)
        finish(g, ERR_NOT_LEADER);
    g->again = true;
}

static uint32_t most_caught_up(struct group *g)
{
    uint32_t best = 0;
    uint64_t best_match = 0;
    for (unsigned i = 0; i < g->replica_count; i++) {
        const struct raft_progress *progress = group_progress(g, g->replicas[i]);
        if (g->replicas[i] == g->consensus->options.node_id || !progress ||
            !consensus_peer_up(g->consensus, g->replicas[i]) || !group_replica_in_sync(g, g->replicas[i]))
            continue;
        if (progress->match_index > best_match) {
            best = g->replicas[i];
            best_match = progress->match_index;
        }
    }
    return best;
}

static void on_begin(struct env_task *task)
{
    group_after(container_of(task, struct group, transfer_task));
}

int group_transfer(struct group *g, uint32_t node_id, void (*cb)(void *data, int status), void *data)
{
    if (!group_is_ready_leader(g) || g->transfer != TRANSFER_NONE || g->raft.transfer || g->closing)
        return ERR_NOT_LEADER;
    if (node_id == g->consensus->options.node_id || (node_id != 0 && group_replica_position(g, node_id) < 0))
        return ERR_INVALID_ARGUMENT;
    uint32_t target = node_id != 0 ? node_id : most_caught_up(g);
    if (target == 0 || !consensus_peer_up(g->consensus, target))
        return ERR_UNREACHABLE;
    g->transfer = TRANSFER_DRAINING;
    g->transfer_target = target;
    g->transfer_cb = cb;
    g->transfer_data = data;
    arm(g);
    env_defer(group_env(g), &g->transfer_task, on_begin);
    return 0;
}
