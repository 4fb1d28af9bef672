/* A newcomer: a replica that knows nothing on a node that knows nothing. Either its cluster forms just now,
 * or its disk has been replaced, and then it has forgotten what the old one had acknowledged and voted. It
 * cannot tell by itself; who leads can.
 *
 * A leader that knew nothing itself when it was elected founds the cluster: a majority knew nothing, so that
 * nothing had been committed. Whoever has not acknowledged anything to it yet is a founder, and has lost
 * nothing. It says so with what it sends, for as long as it leads. Anybody else whom the first entries reach
 * stands on a replaced disk: it is marked as damaged (decision 13) before it stores any of them, and stays so
 * until it has been brought up to date, however often it is killed on the way. Nobody is marked before there
 * is a majority of founders, so that replicas that die together while they form do not wait for each other
 * (decision 15).
 *
 * Nor does it know which leader its old disk had helped to depose. So a leader takes what it acknowledges for
 * nothing until an entry is committed without it that is younger than its first word: whoever was elected
 * with the old disk's vote, or will be with one that is still under way, has a majority against that entry.
 * Only then does the leader's word about what is committed count here. Viewstamped Replication's recovery
 * knows a nonce for this ("Viewstamped Replication Revisited", 4.3); that a new entry is needed beside it is
 * shown in "Recovering Shared Objects Without Stable Storage" (Michael et al., 2017). Of two replicas the
 * leader cannot have been deposed without its own vote. */
#include "node/consensus/group_internal.h"
#include "node/env/sabotage.h"
#include <stdlib.h>
#include <string.h>

struct group_search {
    uint64_t other_than;
    bool found;
};

static void look_for_other(void *data, uint64_t group_id)
{
    struct group_search *search = data;
    search->found |= group_id != search->other_than;
}

/* A node starts no other replica before it has joined. */
static bool has_other_groups(const struct group *g)
{
    struct group_search search = {.other_than = g->id};
    journal_each(g->consensus->options.journal, look_for_other, &search);
    return search.found;
}

static void mark_emptied(struct group *g)
{
    LOG(g->consensus->options.logger, LOG_WARN,
        "this node's disk is new to a cluster that is not: its replicas vote again once they are repaired",
        "group=%s", g->name);
    g->damaged = g->emptied = true;
    g->known_end_term = g->known_end_index = 0;
    g->repair_term = 0;
    if (!env_sabotaged(group_env(g), SABOTAGE_NEWCOMER_FORGETS))
        g->damaged_sequence = journal_put_emptied(g->consensus->options.journal, g->id);
}

void newcomer_note_opened(struct group *g, bool has_snapshot)
{
    if (!g->abstains_when_new || g->replica_count == 1 ||
        env_sabotaged(group_env(g), SABOTAGE_NEWCOMER_VOTES))
        return;
    bool is_blank = !has_snapshot && log_last_index(g->log) <= FIRST_INDEX && !has_other_groups(g);
    g->newcomer = is_blank || g->emptied;
    if (is_blank && g->damaged && !g->emptied)
        mark_emptied(g);
}

bool group_joined(const struct group *g)
{
    return !g->newcomer;
}

static bool needs_proof(const struct group *g)
{
    return g->replica_count > 2;
}

bool newcomer_is_told(const struct group *g, const struct message *message)
{
    return !g->emptied || !needs_proof(g) || message->incarnation == g->consensus->session;
}

static bool brings_entries(const struct message *message)
{
    const struct raft_append_entries *a = &message->m.append_entries;
    return message->m.type == RAFT_IO_INSTALL_SNAPSHOT ||
           (message->m.type == RAFT_IO_APPEND_ENTRIES && a->n_entries > 0 &&
            a->prev_log_index + a->n_entries > FIRST_INDEX);
}

/* Of two replicas the other one has everything, and may always have the vote. */
bool newcomer_refuses(struct group *g, const struct message *message)
{
    bool knows_nothing = g->newcomer && !g->damaged;
    if (knows_nothing && message->m.type == RAFT_IO_REQUEST_VOTE)
        return g->replica_count > 2 && message->m.request_vote.last_log_index > FIRST_INDEX;
    if (message->m.type == MESSAGE_READ_INDEX)
        return needs_proof(g) && (g->newcomer || g->emptied);
    if (!brings_entries(message) || message_term(message) < g->raft.current_term)
        return false;
    if (knows_nothing && !message->founding)
        mark_emptied(g);
    return g->emptied && journal_durable(g->consensus->options.journal) < g->damaged_sequence;
}

/* A founder: it would have been marked before anything else got into its log. */
static void note_founder(struct group *g)
{
    if (g->newcomer && !g->damaged && raft_last_index(&g->raft) > FIRST_INDEX)
        g->newcomer = false;
}

void newcomer_note_repaired(struct group *g)
{
    g->emptied = false;
    if (!g->newcomer)
        return;
    g->newcomer = false;
    if (g->callbacks->joined)
        g->callbacks->joined(g->data);
}

/* ---- the leader's side ---- */

void newcomer_note_leading(struct group *g)
{
    g->founding = raft_last_index(&g->raft) <= FIRST_INDEX;
    g->has_acknowledged = 0;
    memset(g->strangers, 0, g->replica_count * sizeof *g->strangers);
}

void newcomer_note_acknowledged(struct group *g, unsigned position,
                                const struct raft_append_entries_result *result)
{
    if (result->rejected == 0 && result->last_log_index > FIRST_INDEX)
        g->has_acknowledged |= UINT64_C(1) << position;
}

bool newcomer_is_founder(const struct group *g, uint64_t node_id)
{
    int position = group_replica_position(g, (uint32_t)node_id);
    return g->founding && g->lead_term == g->raft.current_term && group_leads(g) && position >= 0 &&
           (g->has_acknowledged >> position & 1) == 0;
}

/* ---- proof ---- */

static bool is_proven(const struct group *g, int position)
{
    uint64_t index = g->strangers[position].proof_index;
    return index != 0 && g->raft.commit_index >= index;
}

void newcomer_cap(struct group *g, struct message *message)
{
    struct raft_append_entries_result *result = &message->m.append_entries_result;
    int position = group_replica_position(g, (uint32_t)message->m.server_id);
    if (message->m.type != RAFT_IO_APPEND_ENTRIES_RESULT || !group_leads(g) || position < 0 ||
        result->term != g->raft.current_term || !needs_proof(g))
        return;
    if (g->strangers[position].incarnation != message->incarnation) {
        g->strangers[position].incarnation = message->incarnation;
        g->strangers[position].proof_index = 0;
    }
    if (message->incarnation != 0 && result->rejected == 0 && !is_proven(g, position) &&
        result->last_log_index > g->raft.commit_index)
        result->last_log_index = g->raft.commit_index;
}

uint64_t newcomer_incarnation(const struct group *g, const struct raft_message *m)
{
    int position = group_replica_position(g, (uint32_t)m->server_id);
    if (m->type == RAFT_IO_APPEND_ENTRIES_RESULT)
        return g->emptied ? g->consensus->session : 0;
    if (m->type != RAFT_IO_APPEND_ENTRIES || g->lead_term != g->raft.current_term || !group_leads(g) ||
        position < 0 || !is_proven(g, position))
        return 0;
    return g->strangers[position].incarnation;
}

static void on_proof(struct raft_barrier *req, int status)
{
    (void)status; /* the commit index tells */
    free(req);
}

static bool needs_entry(const struct group *g)
{
    for (unsigned i = 0; i < g->replica_count; i++)
        if (g->strangers[i].incarnation != 0 && g->strangers[i].proof_index == 0)
            return true;
    return false;
}

/* One entry for all that have been heard meanwhile. Proposals that have a place in the log already go first.
 */
static void append_proof(struct group *g)
{
    if (!group_is_ready_leader(g) || !needs_entry(g) || g->gathered_count > 0 || g->raft.transfer != NULL ||
        !queue_empty(&g->held) || g->reload_from != 0)
        return;
    struct raft_barrier *barrier = memory_zalloc(sizeof *barrier);
    uint64_t index = raft_last_index(&g->raft) + 1;
    if (raft_barrier(&g->raft, barrier, on_proof) != 0) {
        free(barrier);
        return;
    }
    for (unsigned i = 0; i < g->replica_count; i++)
        if (g->strangers[i].incarnation != 0 && g->strangers[i].proof_index == 0)
            g->strangers[i].proof_index = index;
    g->again = true; /* the core has something to send */
}

void newcomer_advance(struct group *g)
{
    if (!g->running)
        return;
    note_founder(g);
    append_proof(g);
}
