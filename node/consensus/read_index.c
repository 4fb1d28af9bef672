/* ReadIndex (thesis 6.4): a leader confirms that nobody has taken its place with one round of messages. A
 * node answers while the asker's term is its own term: a majority that has not moved on means that no newer
 * leader can exist yet. */
#include "node/consensus/group_internal.h"
#include "node/env/sabotage.h"
#include <string.h>

static void finish(struct group *g, struct read_index_req *req, int status)
{
    queue_remove(&req->node);
    env_timer_stop(group_env(g), &req->timer);
    req->cb(req, status);
}

static void fail_queue(struct group *g, struct queue *queue, int status)
{
    struct queue failed;
    queue_move(queue, &failed);
    while (!queue_empty(&failed))
        finish(g, QUEUE_ENTRY(queue_first(&failed), struct read_index_req, node), status);
}

void read_index_fail(struct group *g)
{
    fail_queue(g, &g->reads, ERR_NOT_LEADER);
    fail_queue(g, &g->reads_next, ERR_NOT_LEADER);
}

static void send_round(struct group *g, uint32_t to, unsigned short type, uint64_t term, uint64_t round)
{
    struct message message = {.group_id = g->id, .read_term = term, .read_round = round};
    message.m.type = type;
    message.m.server_id = to;
    outbox_send(g, &message);
}

static bool has_majority(const struct group *g)
{
    if (env_sabotaged(group_env(g), SABOTAGE_STALE_LEADER_READS))
        return true;
    return 2u * (unsigned)__builtin_popcountll(g->read_answers) > g->replica_count;
}

static void start_round(struct group *g)
{
    uint32_t self = g->consensus->options.node_id;
    g->read_round++;
    g->read_answers = 0;
    queue_move(&g->reads_next, &g->reads);
    for (unsigned i = 0; i < g->replica_count; i++) {
        if (g->replicas[i] == self)
            g->read_answers |= 1ull << i;
        else
            send_round(g, g->replicas[i], MESSAGE_READ_INDEX, g->lead_term, g->read_round);
    }
}

/* Completes rounds while they can be: a single replica needs nobody. */
static void advance(struct group *g)
{
    while (!queue_empty(&g->reads) && has_majority(g)) {
        fail_queue(g, &g->reads, 0);
        if (!queue_empty(&g->reads_next))
            start_round(g);
    }
}

static void on_timeout(struct env_timer *timer)
{
    struct read_index_req *req = container_of(timer, struct read_index_req, timer);
    struct group *g = req->private_;
    finish(g, req, ERR_NOT_LEADER);
    if (queue_empty(&g->reads) && !queue_empty(&g->reads_next) && group_is_ready_leader(g)) {
        start_round(g);
        advance(g);
    }
}

static void on_turn_end(struct env_task *task)
{
    struct group *g = container_of(task, struct group, read_task);
    if (!group_is_ready_leader(g) || !queue_empty(&g->reads) || queue_empty(&g->reads_next))
        return;
    start_round(g);
    advance(g);
}

int group_read_index(struct group *g, struct read_index_req *req,
                     void (*cb)(struct read_index_req *req, int status))
{
    if (!group_is_ready_leader(g) || !queue_empty(&g->held) || g->closing)
        return ERR_NOT_LEADER;
    req->cb = cb;
    req->private_ = g;
    memset(&req->timer, 0, sizeof req->timer);
    queue_push(&g->reads_next, &req->node);
    env_timer_start(group_env(g), &req->timer, g->consensus->options.election_timeout_ms * 1000000u,
                    on_timeout);
    env_defer(group_env(g), &g->read_task, on_turn_end);
    return 0;
}

void read_index_receive(struct group *g, const struct message *message)
{
    uint32_t from = (uint32_t)message->m.server_id;
    if (message->m.type == MESSAGE_READ_INDEX) {
        /* While a newer term waits for the disk (G3), its sender has been heard already. */
        if (message->read_term == g->raft.current_term && queue_empty(&g->held))
            send_round(g, from, MESSAGE_READ_INDEX_RESULT, message->read_term, message->read_round);
        return;
    }
    if (!group_is_ready_leader(g) || message->read_term != g->lead_term ||
        message->read_round != g->read_round)
        return;
    g->read_answers |= 1ull << (unsigned)group_replica_position(g, from);
    advance(g);
}
