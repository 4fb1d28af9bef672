/* Every entry into the core, and what must be looked at after it: the core has no state callback, so that
 * after each call group_after asks what has changed, and completes what waited for the call to end (never
 * inside it: the core frees what it is working on). */
#include "node/consensus/group_internal.h"
#include "node/env/sabotage.h"
#include <stdlib.h>

enum { MAX_HELD = 64, ADDRESS_SIZE = 24 };

/* ---- messages ---- */

static bool hold_message(struct group *g, struct queue *queue, struct message *message)
{
    if (queue == &g->held && g->held_count >= MAX_HELD) {
        message_clear(message);
        return false;
    }
    struct message *copy = memory_dup(message, sizeof *message);
    queue_push(queue, &copy->node);
    g->held_count += queue == &g->held;
    return true;
}

static void drop_queue(struct queue *queue)
{
    while (!queue_empty(queue)) {
        struct message *message = QUEUE_ENTRY(queue_first(queue), struct message, node);
        queue_remove(&message->node);
        message_clear(message);
        free(message);
    }
}

static void note_message(struct group *g, const struct message *message)
{
    int position = group_replica_position(g, (uint32_t)message->m.server_id);
    if (message->m.type == RAFT_IO_APPEND_ENTRIES_RESULT && position >= 0) {
        g->heard_ms[position] = env_now_ms(group_env(g));
        newcomer_note_acknowledged(g, (unsigned)position, &message->m.append_entries_result);
    }
    if (message->m.type == RAFT_IO_APPEND_ENTRIES && message->commit > g->announced_commit &&
        message->m.append_entries.term >= g->raft.current_term)
        g->announced_commit = message->commit;
    repair_note(g, message);
}

/* Asks for the core to be closed and loaded again with the log cut at `index`; the message waits for it. */
static void begin_rollback(struct group *g, uint64_t index, struct message *message)
{
    g->reload_from = index;
    hold_message(g, &g->held, message);
}

/* As the core compares them: with every message, so that printf would be too slow. */
static const char *address_of(uint64_t node_id, char buffer[ADDRESS_SIZE])
{
    char *at = buffer + ADDRESS_SIZE - 1;
    for (*at = '\0'; node_id > 0 && at > buffer; node_id /= 10)
        *--at = (char)('0' + node_id % 10);
    return at;
}

/* Hands it to the core, past the G3 queue. */
static void group_deliver(struct group *g, struct message *message)
{
    guard_log_start(g, message);
    uint64_t rollback = guard_configuration_rollback(g, message);
    if (rollback != 0) {
        begin_rollback(g, rollback, message);
        return;
    }
    if (guard_own_term_commit(g, message)) {
        hold_message(g, &g->held_results, message);
        return;
    }
    if (guard_one_vote(g, message) || guard_during_install(g, message) || catchup_intercept(g, message)) {
        message_clear(message);
        return;
    }
    repair_note_refusal(g, message);
    guard_retry_at_once(g, message);
    newcomer_cap(g, message);
    note_message(g, message);
    char address[ADDRESS_SIZE];
    struct raft_message m = message->m; /* the core owns what it points to from here on */
    m.server_address = address_of(m.server_id, address);
    g->current = message;
    g->recv(&g->io, &m);
    g->current = NULL;
}

void group_receive(struct group *g, struct message *message)
{
    if (!g->running || group_replica_position(g, (uint32_t)message->m.server_id) < 0 ||
        newcomer_refuses(g, message) || repair_refuses(g, message)) {
        message_clear(message);
        return;
    }
    if (message->m.type == MESSAGE_READ_INDEX || message->m.type == MESSAGE_READ_INDEX_RESULT)
        read_index_receive(g, message);
    else if (guard_term_hold(g, message))
        hold_message(g, &g->held, message);
    else
        group_deliver(g, message);
    group_after(g);
}

void group_tick(struct group *g)
{
    if (!g->running)
        return;
    election_tick(g);
    repair_tick(g);
    if (!guard_tick_gate(g) && (!g->damaged || g->raft.state == RAFT_LEADER))
        g->tick(&g->io);
    group_after(g);
}

/* ---- roles ---- */

static void on_barrier(struct raft_barrier *req, int status)
{
    struct group *g = req->data;
    if (status == 0 && req->index == g->barrier_index)
        g->ready = true;
    free(req);
}

/* The core refuses it while a transfer of an earlier leadership is pending there, which it ends by itself. */
static void append_barrier(struct group *g)
{
    struct raft_barrier *barrier = memory_zalloc(sizeof *barrier);
    barrier->data = g;
    g->barrier_index = raft_last_index(&g->raft) + 1;
    if (raft_barrier(&g->raft, barrier, on_barrier) != 0) {
        g->barrier_index = 0;
        free(barrier);
    }
}

static void become_leader(struct group *g)
{
    g->consensus->counts.elections_won++;
    g->lead_term = g->raft.current_term;
    g->ready = false;
    g->campaign_until_ms = 0;
    for (unsigned i = 0; i < g->replica_count; i++)
        g->heard_ms[i] = 0;
    if (g->catchup)
        catchup_abort(g, "became leader");
    newcomer_note_leading(g);
    append_barrier(g);
}

static void lose_leadership(struct group *g)
{
    uint64_t term = g->lead_term;
    bool was_ready = g->ready;
    g->lead_term = 0;
    g->barrier_index = 0;
    g->ready = false;
    proposals_fail(g);
    read_index_fail(g);
    if (was_ready)
        leaders_announce(g->consensus, g->id, 0, term);
}

static bool advance_role(struct group *g)
{
    bool leads = group_leads(g);
    if (g->lead_term != 0 && (!leads || g->lead_term != g->raft.current_term)) {
        lose_leadership(g);
        return true;
    }
    if (leads && g->lead_term == 0) {
        become_leader(g);
        return true;
    }
    if (leads && g->barrier_index == 0 && g->raft.transfer == NULL) {
        append_barrier(g);
        return g->barrier_index != 0;
    }
    return false;
}

static const char *role_name(enum group_role role)
{
    static const char *const names[] = {"follower", "candidate", "leader", "failed"};
    return names[role];
}

/* Tells the rooms above and the peers what has changed. */
static void tell_role(struct group *g)
{
    if (!g->running)
        return;
    enum group_role role = group_role(g);
    uint64_t term = g->raft.current_term;
    uint32_t leader = group_leader(g);
    if (role != GROUP_LEADER && leader != 0 && (leader != g->told_leader || term != g->told_term))
        leaders_set(g->consensus, g->id, leader, term);
    g->told_leader = leader;
    if (role == g->told_role && term == g->told_term && g->ready == g->told_ready)
        return;
    if (role == GROUP_CANDIDATE && g->told_role != GROUP_CANDIDATE)
        g->consensus->counts.elections_begun++;
    ticks_soon(&g->consensus->ticks, g);
    bool became_ready = g->ready && !(g->told_ready && term == g->told_term);
    g->told_role = role;
    g->told_term = term;
    g->told_ready = g->ready;
    LOG(g->consensus->options.logger, role == GROUP_CANDIDATE ? LOG_DEBUG : LOG_INFO, "role",
        "group=%s role=%s term=%llu ready=%d last=%llu commit=%llu", g->name, role_name(role),
        (unsigned long long)term, g->ready, (unsigned long long)raft_last_index((struct raft *)&g->raft),
        (unsigned long long)g->raft.commit_index);
    if (became_ready)
        leaders_announce(g->consensus, g->id, g->consensus->options.node_id, term);
    if (g->callbacks->role_changed)
        g->callbacks->role_changed(g->data, role, term, g->ready);
}

/* ---- after ---- */

static bool release_append(struct group *g)
{
    if (queue_empty(&g->appends))
        return false;
    bool newest = env_sabotaged(group_env(g), SABOTAGE_COMPLETED_OUT_OF_ORDER);
    struct append_op *op =
        QUEUE_ENTRY(newest ? g->appends.prev : queue_first(&g->appends), struct append_op, node);
    if (!op->durable || guard_release_step(g, op))
        return false;
    raft_io_append_released(g, op);
    return true;
}

static bool deliver_first(struct group *g, struct queue *queue)
{
    struct message *message = QUEUE_ENTRY(queue_first(queue), struct message, node);
    queue_remove(&message->node);
    g->held_count -= queue == &g->held;
    group_deliver(g, message);
    free(message);
    return true;
}

static bool deliver_held(struct group *g)
{
    if (!queue_empty(&g->held_results) && (g->raft.state != RAFT_LEADER || group_barrier_is_stored(g)))
        return deliver_first(g, &g->held_results);
    if (!queue_empty(&g->held) && g->inflight == 0 && g->reload_from == 0)
        return deliver_first(g, &g->held);
    return false;
}

/* The G9 reload: once the disk is quiet, the core is closed, the log cut, and the core loaded again. */
static bool advance_reload(struct group *g)
{
    if (g->reload_from == 0 || g->inflight > 0)
        return false;
    if (g->start_empty && journal_durable(g->consensus->options.journal) < g->damaged_sequence)
        return false; /* first it must be known for good that this replica may not vote */
    uint64_t from = g->reload_from;
    g->reload_from = 0;
    LOG(g->consensus->options.logger, LOG_WARN, "loading the core again", "group=%s from=%llu", g->name,
        (unsigned long long)from);
    group_stop_core(g);
    if (g->start_empty)
        log_reset(g->log, 1, 0, 0);
    else if (from <= log_last_index(g->log))
        log_truncate_suffix(g->log, from);
    char message[256] = "";
    int rv = group_start_core(g, message, sizeof message);
    if (rv != 0)
        group_fail(g, rv, message);
    return true;
}

static bool advance(struct group *g)
{
    if (!g->running)
        return false;
    if (g->raft.state == RAFT_UNAVAILABLE) {
        const char *reason = raft_errmsg(&g->raft);
        group_fail(g, ERR_UNKNOWN, reason[0] ? reason : "a leader contradicts what is committed here");
        return false;
    }
    return outbox_complete_sends(g) || raft_io_complete(g) || advance_role(g) || release_append(g) ||
           deliver_held(g) || advance_reload(g);
}

void group_after(struct group *g)
{
    if (g->busy) {
        g->again = true;
        return;
    }
    g->busy = true;
    do {
        g->again = false;
        while (g->failed_status == 0 && advance(g))
            ;
        proposals_settle(g);
        transfer_advance(g);
        newcomer_advance(g);
        repair_advance(g);
        tell_role(g);
    } while (g->again && g->failed_status == 0);
    g->busy = false;
    if (!g->running || g->failed_status != 0) {
        drop_queue(&g->held);
        drop_queue(&g->held_results);
        g->held_count = 0;
    }
    if (g->close_asked)
        group_close_now(g);
}

void group_wait_journal(struct group *g)
{
    if (queue_empty(&g->waiting))
        queue_push(&g->consensus->waiting, &g->waiting);
}

void group_journal_durable(struct group *g, uint64_t sequence)
{
    if (sequence < g->hard_sequence || sequence < g->damaged_sequence ||
        (g->put.req && sequence < g->put.sequence))
        group_wait_journal(g);
    outbox_flush(g);
    group_after(g);
}
