/* A damaged replica may have lost entries that it had acknowledged. Its vote could elect a leader without
 * them, so that it neither votes nor campaigns until it has stored everything that a leader announced as
 * committed after this process started, from a leader whose own term's barrier is among it. The leader
 * forgets what this node had acknowledged when the link to its new process comes up (group_peer_restarted),
 * before it sends anything over it; or, when the replica alone was opened again, by its first refusal. What a
 * leader announces counts from the first message on that is not refused: before that one, it may still count
 * on what is lost.
 *
 * While it is known where its log had ended, it need not abstain: what it may have acknowledged is at or
 * before that entry, so that it votes as it would have with all of its entries, for whoever has as much.
 *
 * Of two replicas the other one has everything that was ever committed, unless it is damaged itself, and then
 * it does not campaign. So the damaged one of two votes for the other, and gives up what it has beyond it. */
#include "node/consensus/configuration.h"
#include "node/consensus/group_internal.h"
#include "node/env/sabotage.h"

void repair_note_end(struct group *g, uint64_t term, uint64_t index)
{
    struct journal *journal = g->consensus->options.journal;
    struct journal_group on_record;
    g->damaged = true;
    g->damaged_sequence = journal_put_damaged_before(journal, g->id, term, index);
    journal_get(journal, g->id, &on_record);
    g->known_end_term = on_record.known_end_term;
    g->known_end_index = on_record.known_end_index;
    g->repair_term = 0;
}

/* Without the first entry the core knows no group, and would refuse its vote. */
void repair_note_started(struct group *g)
{
    bool votes = g->replica_count == 2 || g->known_end_index != 0;
    if (g->damaged && votes && g->raft.configuration.n == 0)
        configuration_of_voters(&g->raft.configuration, g->replicas, g->replica_count);
}

/* The first of its own entries that the candidate cannot have, or 0. */
static uint64_t first_beyond(struct group *g, const struct raft_request_vote *vote)
{
    uint64_t index = raft_last_index(&g->raft);
    if (group_term_of(g, index) < vote->last_log_term)
        return 0;
    while (index > 1 && group_term_of(g, index - 1) > vote->last_log_term)
        index--;
    if (group_term_of(g, index) == vote->last_log_term)
        index = vote->last_log_index + 1;
    return index <= raft_last_index(&g->raft) ? index : 0;
}

/* Of two replicas, and this is the damaged one. A candidate that knows nothing stands on a replaced disk.
 * What this one has beyond the candidate was never committed, but would make the core refuse the vote: it
 * goes, and the candidate will ask again. */
static bool votes_for_the_other(struct group *g, const struct raft_request_vote *vote)
{
    if (g->replica_count != 2 || vote->last_log_index <= FIRST_INDEX)
        return false;
    uint64_t beyond = first_beyond(g, vote);
    if (beyond == 0)
        return true;
    if (beyond > g->raft.commit_index && group_leader(g) == 0 && g->reload_from == 0 && !g->catchup)
        g->reload_from = beyond;
    return false;
}

/* The vote that the replica would give if it still had everything. Its core adds what it has got since. */
static bool has_all_of_it(const struct group *g, const struct raft_request_vote *vote)
{
    if (g->known_end_index == 0)
        return false;
    return vote->last_log_term > g->known_end_term ||
           (vote->last_log_term == g->known_end_term && vote->last_log_index >= g->known_end_index);
}

bool repair_refuses(struct group *g, const struct message *message)
{
    if (!g->damaged || env_sabotaged(group_env(g), SABOTAGE_DAMAGED_VOTES))
        return false;
    if (message->m.type == RAFT_IO_REQUEST_VOTE)
        return !has_all_of_it(g, &message->m.request_vote) &&
               !votes_for_the_other(g, &message->m.request_vote);
    return message->m.type == RAFT_IO_TIMEOUT_NOW;
}

static bool will_accept(struct group *g, const struct raft_append_entries *a)
{
    return a->prev_log_index <= g->raft.commit_index ||
           group_term_of(g, a->prev_log_index) == a->prev_log_term;
}

/* A link keeps the order of what it carries: who refuses what it has acknowledged in this term has lost it.
 * The core takes such a refusal for one that is late, and would wait until something new is written. */
void repair_note_refusal(struct group *g, const struct message *message)
{
    const struct raft_append_entries_result *result = &message->m.append_entries_result;
    if (message->m.type != RAFT_IO_APPEND_ENTRIES_RESULT || result->rejected == 0 ||
        g->raft.state != RAFT_LEADER || result->term != g->raft.current_term)
        return;
    const struct raft_progress *progress = group_progress(g, message->m.server_id);
    if (progress != NULL && progress->match_index >= result->rejected)
        group_peer_restarted(g, (uint32_t)message->m.server_id);
}

void repair_note(struct group *g, const struct message *message)
{
    if (!g->damaged || message->m.type != RAFT_IO_APPEND_ENTRIES ||
        message->m.append_entries.term < g->raft.current_term || message->commit == 0 ||
        !newcomer_is_told(g, message))
        return;
    if (g->repair_term == message->m.append_entries.term || !will_accept(g, &message->m.append_entries))
        return;
    g->repair_term = message->m.append_entries.term;
    g->repair_commit = message->commit;
}

/* A damaged replica has no ticks, with which the core would stop to believe in a leader that is silent, and
 * refuses its vote as long as it does. */
static void forget_silent_leader(struct group *g)
{
    struct raft *r = &g->raft;
    if (r->state == RAFT_FOLLOWER && r->follower_state.current_leader.id != 0 &&
        env_now_ms(group_env(g)) >= r->election_timer_start + r->follower_state.randomized_election_timeout)
        r->follower_state.current_leader.id = 0;
}

/* Without a leader it waits for ever. That may be a majority in the same state, where only a person can help:
 * to go on with what is left would lose records that were acknowledged, without a word.
 */
void repair_tick(struct group *g)
{
    enum { PATIENCE_MS = 5000, REPEAT_MS = 60000 };
    uint64_t now_ms = env_now_ms(group_env(g));
    if (g->damaged)
        forget_silent_leader(g);
    if (!g->damaged || group_leader(g) != 0) {
        g->repair_alarm_ms = 0;
    } else if (g->repair_alarm_ms == 0) {
        g->repair_alarm_ms = now_ms + PATIENCE_MS;
    } else if (now_ms >= g->repair_alarm_ms) {
        g->repair_alarm_ms = now_ms + REPEAT_MS;
        LOG(g->consensus->options.logger, LOG_ERROR,
            "a damaged replica waits for a leader to repair it: start the nodes of its other replicas; if a "
            "majority of them is damaged, put no older backup in place, and see 'A damaged majority' in "
            "docs/operations.md",
            "group=%s", g->name);
    }
}

void repair_advance(struct group *g)
{
    if (!g->damaged || !g->running || g->failed_status != 0 || g->raft.state != RAFT_FOLLOWER || g->catchup)
        return;
    if (g->repair_term == 0 || g->repair_term != g->raft.current_term ||
        g->raft.last_applied < g->repair_commit || g->raft.last_applied < g->apply_floor ||
        group_term_of(g, g->raft.commit_index) != g->raft.current_term)
        return;
    newcomer_note_repaired(g);
    g->damaged = false;
    g->known_end_term = g->known_end_index = 0;
    g->damaged_sequence = journal_put_damaged(g->consensus->options.journal, g->id, false);
    LOG(g->consensus->options.logger, LOG_WARN, "replica is repaired", "group=%s term=%llu commit=%llu",
        g->name, (unsigned long long)g->raft.current_term, (unsigned long long)g->raft.commit_index);
}
