/* libraft 0.15.0 is not safe or live without these. One function per guard, each with the defect of the core
 * that it makes up for; each can be switched off to prove that the simulator catches the defect. */
#include "node/consensus/configuration.h"
#include "node/consensus/group_internal.h"
#include <string.h>

static void count(struct group *g, enum consensus_guard guard)
{
    g->consensus->guard_counts[__builtin_ctz((unsigned)guard)]++;
}

/* ---- G1: acknowledgement cap ----
 *
 * Defect: a follower's success reply carries the last index it has stored, so that a stale suffix of an older
 * term counts as a match: committed entries diverge. `match` is what has been verified in this term: prev + n
 * of accepted AppendEntries.
 *
 * And one more: the refusal of a message from an older term looks like a success when that message began at
 * the log's very beginning, where `rejected` is 0. It must get out as what it is, or an old leader never
 * hears of the newer term, and goes on without the replica that is ahead of it. */

static void guard_match_reset(struct group *g)
{
    if (g->match_term != g->raft.current_term) {
        g->match = 0;
        g->match_term = g->raft.current_term;
    }
}

void guard_match_accept(struct group *g)
{
    guard_match_reset(g);
    if (!g->current || message_term(g->current) != g->raft.current_term)
        return;
    uint64_t verified = 0;
    if (g->current->m.type == RAFT_IO_APPEND_ENTRIES)
        verified = g->current->m.append_entries.prev_log_index + g->current->m.append_entries.n_entries;
    else if (g->current->m.type == RAFT_IO_INSTALL_SNAPSHOT)
        verified = g->current->m.install_snapshot.last_index;
    if (verified > g->match)
        g->match = verified;
}

void guard_match_truncate(struct group *g, uint64_t index)
{
    if (index <= g->match)
        g->match = index - 1;
}

/* False: the reply must not be sent at all. */
bool guard_ack_cap(struct group *g, struct raft_append_entries_result *result)
{
    if (!guard_on(g, GUARD_ACK_CAP) || result->rejected != 0)
        return true;
    if (g->current && message_term(g->current) < g->raft.current_term) {
        count(g, GUARD_ACK_CAP);
        result->rejected = 1;
        return true;
    }
    guard_match_accept(g);
    if (result->term != g->raft.current_term)
        return true;
    uint64_t cap = g->match < g->raft.last_stored ? g->match : g->raft.last_stored;
    if (result->last_log_index > cap) {
        count(g, GUARD_ACK_CAP);
        result->last_log_index = cap;
    }
    return cap != 0;
}

/* ---- G2: own-term commit ----
 *
 * Defect: a leader commits entries of older terms by counting replicas (figure 8 of the Raft paper). The
 * leader appends a barrier at once, and answers count only when it is stored. True: hold the message back. */
bool guard_own_term_commit(struct group *g, const struct message *message)
{
    if (!guard_on(g, GUARD_OWN_TERM_COMMIT) || message->m.type != RAFT_IO_APPEND_ENTRIES_RESULT)
        return false;
    if (g->raft.state != RAFT_LEADER || message->m.append_entries_result.term != g->raft.current_term ||
        group_barrier_is_stored(g))
        return false;
    count(g, GUARD_OWN_TERM_COMMIT);
    return true;
}

/* ---- G3: term hold ----
 *
 * Defect: an append that is still in flight when the term changes is acknowledged to the newer leader, and
 * votes are cast on a log that is not on disk. What brings a newer term waits until the disk is quiet. True:
 * hold the message back. */
bool guard_term_hold(struct group *g, const struct message *message)
{
    if (!guard_on(g, GUARD_TERM_HOLD))
        return false;
    if (!queue_empty(&g->held))
        return true;
    const struct raft_message *m = &message->m;
    bool pre_vote =
        (m->type == RAFT_IO_REQUEST_VOTE && m->request_vote.pre_vote) ||
        (m->type == RAFT_IO_REQUEST_VOTE_RESULT && m->request_vote_result.pre_vote == raft_tribool_true);
    if (g->inflight == 0 || pre_vote)
        return false;
    if (message_term(message) <= g->raft.current_term && m->type != RAFT_IO_TIMEOUT_NOW)
        return false;
    count(g, GUARD_TERM_HOLD);
    return true;
}

/* ---- G4: tick gate ----
 *
 * Defect: a follower that campaigns while its own appends are in flight claims entries that it may not have.
 * True: no tick. */
bool guard_tick_gate(struct group *g)
{
    if (!guard_on(g, GUARD_TICK_GATE) || g->raft.state == RAFT_LEADER)
        return false;
    if (g->inflight == 0 && queue_empty(&g->held) && g->raft.snapshot.put.data == NULL)
        return false;
    count(g, GUARD_TICK_GATE);
    return true;
}

/* ---- G5: release step ----
 *
 * Defect: the core tests only its own last stored index for a quorum, so that under steady load, where that
 * index is always ahead of the followers, nothing commits until the load pauses. Appends are therefore
 * completed to the core only as far as a majority has them. True: hold the completion back. */

static uint64_t majority_match(const struct group *g)
{
    uint64_t matches[CONFIGURATION_MAX_SERVERS];
    unsigned n = 0;
    const struct raft_configuration *configuration = &g->raft.configuration;
    uint64_t self = g->stored_index > g->raft.last_stored ? g->stored_index : g->raft.last_stored;
    for (unsigned i = 0; i < configuration->n && n < CONFIGURATION_MAX_SERVERS; i++) {
        if (configuration->servers[i].role != RAFT_VOTER)
            continue;
        bool own = configuration->servers[i].id == g->raft.id;
        uint64_t match = own ? self : g->raft.leader_state.progress[i].match_index;
        unsigned at = n++;
        for (; at > 0 && matches[at - 1] < match; at--)
            matches[at] = matches[at - 1];
        matches[at] = match;
    }
    return n > 0 ? matches[n / 2] : 0;
}

bool guard_release_step(struct group *g, const struct append_op *op)
{
    if (!guard_on(g, GUARD_RELEASE_STEP))
        return false;
    if (g->raft.state != RAFT_LEADER || g->barrier_index == 0 || op->first <= g->barrier_index)
        return false;
    if (!queue_empty(&g->held) || g->reload_from != 0 || g->raft.leader_state.change != NULL)
        return false;
    if (op->last <= majority_match(g))
        return false;
    count(g, GUARD_RELEASE_STEP);
    return true;
}

/* ---- G6: back-off hint ----
 *
 * Defect: on a conflict the leader steps back one index per heartbeat. A follower's commit index is a match
 * for sure. */
void guard_backoff_hint(struct group *g, struct raft_append_entries_result *result)
{
    if (!guard_on(g, GUARD_BACKOFF_HINT) || result->rejected == 0 || g->raft.state != RAFT_FOLLOWER)
        return;
    if (!g->current || g->current->m.type != RAFT_IO_APPEND_ENTRIES)
        return;
    if (result->last_log_index < result->rejected || g->raft.commit_index >= result->rejected)
        return;
    count(g, GUARD_BACKOFF_HINT);
    result->last_log_index = g->raft.commit_index;
}

/* ---- G7: one vote per term ----
 *
 * Defect: during a leadership transfer the core forgets for whom it has voted. True: drop the message. */
bool guard_one_vote(struct group *g, const struct message *message)
{
    const struct raft_request_vote *vote = &message->m.request_vote;
    if (!guard_on(g, GUARD_ONE_VOTE) || message->m.type != RAFT_IO_REQUEST_VOTE || vote->pre_vote)
        return false;
    if (!g->raft.transfer || vote->term != g->raft.current_term || g->raft.voted_for == 0 ||
        g->raft.voted_for == vote->candidate_id)
        return false;
    count(g, GUARD_ONE_VOTE);
    return true;
}

/* ---- G8: install ----
 *
 * Defect: to the core an installed snapshot is all that it covers, and it says so to the leader at once. Ours
 * is metadata: what it covers is in the leader's files. True: fetch that before the core hears of it. */
bool guard_install(struct group *g)
{
    if (!guard_on(g, GUARD_INSTALL))
        return false;
    count(g, GUARD_INSTALL);
    return true;
}

/* A snapshot that arrives while one is being installed, or a TimeoutNow meanwhile, would find the core with
 * an empty log. True: drop the message. */
bool guard_during_install(const struct group *g, const struct message *message)
{
    return (message->m.type == RAFT_IO_TIMEOUT_NOW && (g->catchup || g->put.req)) ||
           (message->m.type == RAFT_IO_INSTALL_SNAPSHOT && g->put.req);
}

/* ---- G9: configuration ----
 *
 * Defect: rolling back a configuration after it has been compacted crashes the core, or makes it lose track.
 */

/* True: no snapshot now. */
bool guard_configuration_snapshot(struct group *g)
{
    if (!guard_on(g, GUARD_CONFIGURATION))
        return false;
    if (g->raft.configuration_uncommitted_index == 0 && g->raft.configuration_index <= g->raft.last_applied)
        return false;
    count(g, GUARD_CONFIGURATION);
    return true;
}

void guard_configuration_installed(struct group *g, uint64_t index)
{
    if (guard_on(g, GUARD_CONFIGURATION) && g->raft.configuration_uncommitted_index <= index)
        g->raft.configuration_uncommitted_index = 0;
}

/* The index at which the message would truncate a configuration away: the core must be closed, truncated on
 * disk and loaded again before it gets the message. 0: it would not. */
uint64_t guard_configuration_rollback(struct group *g, const struct message *message)
{
    const struct raft_append_entries *a = &message->m.append_entries;
    if (!guard_on(g, GUARD_CONFIGURATION) || message->m.type != RAFT_IO_APPEND_ENTRIES ||
        a->term < g->raft.current_term || g->raft.state == RAFT_LEADER)
        return 0;
    for (unsigned i = 0; i < a->n_entries; i++) {
        uint64_t index = a->prev_log_index + 1 + i;
        uint64_t term = group_term_of(g, index);
        if (term == 0)
            return 0;
        if (term == a->entries[i].term)
            continue;
        if (g->raft.configuration_uncommitted_index < index && g->raft.configuration_index < index)
            return 0;
        /* Never below what is committed: that would be the core's own shut-down case. */
        if (index <= g->raft.commit_index)
            return 0;
        count(g, GUARD_CONFIGURATION);
        return index;
    }
    return 0;
}

/* ---- G11: small ones ---- */

/* Defect: the reject of a pre-vote may carry a term older than our own, and the candidate never catches up.
 */
void guard_prevote_term(struct group *g, struct raft_request_vote_result *result)
{
    if (!guard_on(g, GUARD_PREVOTE_TERM) || result->pre_vote != raft_tribool_true || result->vote_granted)
        return;
    if (result->term >= g->raft.current_term)
        return;
    count(g, GUARD_PREVOTE_TERM);
    result->term = g->raft.current_term;
}

/* Defect: the only voter elects itself without a new term, and could then write another entry at an index of
 * the same term. True: load with the next term. */
bool guard_single_voter(struct group *g, const struct raft_configuration *configuration)
{
    unsigned voters = 0;
    bool self = false;
    for (unsigned i = 0; i < configuration->n; i++) {
        if (configuration->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        self = self || configuration->servers[i].id == g->consensus->options.node_id;
    }
    if (!guard_on(g, GUARD_SINGLE_VOTER) || voters != 1 || !self)
        return false;
    count(g, GUARD_SINGLE_VOTER);
    return true;
}

/* ---- G12: retry at once ----
 *
 * Defect: while probing, a leader sends one message per heartbeat, so that a follower that lacks a few
 * entries costs it two heartbeats before the first commit. */
void guard_retry_at_once(struct group *g, const struct message *message)
{
    if (!guard_on(g, GUARD_RETRY_AT_ONCE) || message->m.type != RAFT_IO_APPEND_ENTRIES_RESULT ||
        message->m.append_entries_result.rejected == 0 || g->raft.state != RAFT_LEADER)
        return;
    struct raft_progress *progress = group_progress(g, message->m.server_id);
    if (!progress)
        return;
    count(g, GUARD_RETRY_AT_ONCE);
    progress->last_send = 0;
}

/* ---- G13: the log's start ----
 *
 * Defect: the core takes entries that it has compacted for missing ones. A message that begins at the very
 * first entry, where nothing is compared, is appended behind its last entry under wrong indices, and the core
 * dies of it and frees its memory twice; one that begins a little later is refused, and the leader steps back
 * until it begins at the first.
 *
 * What the own snapshot covers is committed, so that a leader of this term has the same: it is cut off. An
 * entry of a newer term than the snapshot's down there shows that this leader has something else; the core
 * then sees the contradiction with what is committed, and stops. */

static bool begins_below_memory(const struct group *g, const struct raft_append_entries *a)
{
    uint64_t offset = g->raft.log.offset;
    return offset > 0 && a->prev_log_index <= offset && a->prev_log_index < g->raft.log.snapshot.last_index;
}

static void cut_entries(struct raft_append_entries *a, unsigned n)
{
    a->n_entries -= n;
    if (a->n_entries > 0) {
        memmove(a->entries, a->entries + n, a->n_entries * sizeof *a->entries);
    } else if (a->entries) {
        raft_free(a->entries[0].batch);
        raft_free(a->entries);
        a->entries = NULL;
    }
}

void guard_log_start(struct group *g, struct message *message)
{
    struct raft_append_entries *a = &message->m.append_entries;
    if (!guard_on(g, GUARD_LOG_START) || message->m.type != RAFT_IO_APPEND_ENTRIES ||
        a->term < g->raft.current_term || !begins_below_memory(g, a))
        return;
    count(g, GUARD_LOG_START);
    uint64_t covered = g->raft.log.snapshot.last_index - a->prev_log_index;
    unsigned n = a->n_entries < covered ? a->n_entries : (unsigned)covered;
    uint64_t term = n > 0 ? a->entries[n - 1].term : a->prev_log_term;
    if (n < covered && term <= g->raft.log.snapshot.last_term)
        term = g->raft.log.snapshot.last_term; /* it ends before the snapshot: no more to compare */
    cut_entries(a, n);
    a->prev_log_index = g->raft.log.snapshot.last_index;
    a->prev_log_term = term;
    if (a->leader_commit > a->prev_log_index + a->n_entries)
        a->leader_commit = a->prev_log_index + a->n_entries;
}

/* ---- hold until durable ----
 *
 * set_term and set_vote return at once; nothing that was said on their ground may be heard before they are on
 * disk. True: hold outgoing messages back. */
bool guard_hold_until_durable(struct group *g)
{
    if (!guard_on(g, GUARD_HOLD_UNTIL_DURABLE) ||
        journal_durable(g->consensus->options.journal) >= g->hard_sequence)
        return false;
    count(g, GUARD_HOLD_UNTIL_DURABLE);
    return true;
}
