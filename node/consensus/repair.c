/* A damaged replica may have lost entries that it had acknowledged. Its vote could elect a leader without
 * them, so that it neither votes nor campaigns until it has stored everything that a leader announced as
 * committed after this process started, from a leader whose own term's barrier is among it. The leader
 * forgets what this node had acknowledged when the link to its new process comes up (group_peer_restarted),
 * before it sends anything over it. */
#include "node/consensus/group_internal.h"

enum { FIRST_INDEX = 1 }; /* of the first configuration, which is the same on all replicas */

/* The newcomer's rule is not kept in the journal: it must never outlive the first contact, or replicas that
 * die together while their group forms would wait for each other for ever. A replica that has not been in
 * contact has neither term nor entries, and is found to be new again. Of two replicas the other one has
 * everything. */
void repair_note_newcomer(struct group *g, uint64_t term, bool has_snapshot)
{
    g->newcomer = g->abstains_when_new && g->replica_count > 2 && !g->damaged && !has_snapshot &&
                  term <= FIRST_INDEX && log_last_index(g->log) <= FIRST_INDEX;
    g->joined = !g->newcomer;
}

static bool newcomer_refuses(const struct group *g, const struct message *message)
{
    return g->newcomer && message->m.type == RAFT_IO_REQUEST_VOTE &&
           message->m.request_vote.last_log_index > FIRST_INDEX;
}

bool group_joined(const struct group *g, uint64_t *index)
{
    *index = g->joined_index;
    return g->joined;
}

bool repair_refuses(const struct group *g, const struct message *message)
{
    if (newcomer_refuses(g, message))
        return true;
    return g->damaged && (message->m.type == RAFT_IO_REQUEST_VOTE || message->m.type == RAFT_IO_TIMEOUT_NOW);
}

void repair_note(struct group *g, const struct message *message)
{
    if (!(g->damaged || g->newcomer) || message->m.type != RAFT_IO_APPEND_ENTRIES ||
        message->m.append_entries.term < g->raft.current_term || message->commit == 0)
        return;
    if (!g->joined) {
        g->joined = true;
        g->joined_index = message->commit;
    }
    if (g->repair_term == message->m.append_entries.term)
        return;
    g->repair_term = message->m.append_entries.term;
    g->repair_commit = message->commit;
}

/* Without a leader it waits for ever. That may be a majority in the same state, where only a person can help.
 */
void repair_tick(struct group *g)
{
    enum { PATIENCE_MS = 5000, REPEAT_MS = 60000 };
    uint64_t now_ms = env_now_ms(group_env(g));
    if (!g->damaged || group_leader(g) != 0) {
        g->repair_alarm_ms = 0;
    } else if (g->repair_alarm_ms == 0) {
        g->repair_alarm_ms = now_ms + PATIENCE_MS;
    } else if (now_ms >= g->repair_alarm_ms) {
        g->repair_alarm_ms = now_ms + REPEAT_MS;
        LOG(g->consensus->options.logger, LOG_ERROR,
            "a damaged replica cannot be repaired without a leader: start the nodes of the other replicas; "
            "if a "
            "majority is damaged, restore the data directory of one of these nodes as a whole, journal "
            "included",
            "group=%s", g->name);
    }
}

static bool newcomer_leads(const struct group *g)
{
    return g->newcomer && g->raft.state == RAFT_LEADER && g->ready;
}

void repair_advance(struct group *g)
{
    if (newcomer_leads(g)) {
        g->newcomer = false;
        g->joined = true;
        return;
    }
    if (!(g->damaged || g->newcomer) || !g->running || g->raft.state != RAFT_FOLLOWER || g->catchup)
        return;
    if (g->repair_term != g->raft.current_term || g->raft.commit_index < g->repair_commit ||
        g->raft.last_applied < g->apply_floor ||
        group_term_of(g, g->raft.commit_index) != g->raft.current_term)
        return;
    g->newcomer = false;
    if (!g->damaged)
        return;
    g->damaged = false;
    journal_put_damaged(g->consensus->options.journal, g->id, false);
    LOG(g->consensus->options.logger, LOG_WARN, "replica is repaired", "group=%s term=%llu commit=%llu",
        g->name, (unsigned long long)g->raft.current_term, (unsigned long long)g->raft.commit_index);
}
