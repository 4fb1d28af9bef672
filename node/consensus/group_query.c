/* What the rooms above ask of a group. */
#include "node/consensus/group_internal.h"

struct log *group_log(const struct group *g)
{
    return g->log;
}

uint64_t group_id(const struct group *g)
{
    return g->id;
}

enum group_role group_role(const struct group *g)
{
    if (g->failed_status != 0 || !g->running || g->raft.state == RAFT_UNAVAILABLE)
        return GROUP_FAILED;
    return g->raft.state == RAFT_LEADER      ? GROUP_LEADER
           : g->raft.state == RAFT_CANDIDATE ? GROUP_CANDIDATE
                                             : GROUP_FOLLOWER;
}

bool group_is_ready_leader(const struct group *g)
{
    return group_leads(g) && g->ready && g->lead_term == g->raft.current_term && g->failed_status == 0;
}

uint64_t group_term(const struct group *g)
{
    return g->raft.current_term;
}

uint64_t group_commit_index(const struct group *g)
{
    return g->raft.commit_index;
}

uint64_t group_applied_index(const struct group *g)
{
    return g->raft.last_applied;
}

uint64_t group_snapshot_index(const struct group *g)
{
    return g->raft.log.snapshot.last_index;
}

size_t group_inflight_bytes(const struct group *g)
{
    return g->inflight_bytes;
}

uint32_t group_leader(const struct group *g)
{
    if (!g->running)
        return 0;
    if (g->raft.state == RAFT_LEADER)
        return g->consensus->options.node_id;
    return g->raft.state == RAFT_FOLLOWER ? (uint32_t)g->raft.follower_state.current_leader.id : 0;
}

const uint32_t *group_replicas(const struct group *g, unsigned *count)
{
    *count = g->replica_count;
    return g->replicas;
}

bool group_replica_in_sync(const struct group *g, uint32_t node_id)
{
    int position = group_replica_position(g, node_id);
    if (!group_leads(g) || position < 0)
        return false;
    if (node_id == g->consensus->options.node_id)
        return true;
    if (!consensus_peer_up(g->consensus, node_id))
        return false; /* its last answer is young still, its process is gone */
    const struct raft_progress *progress = group_progress((struct group *)g, node_id);
    uint64_t age_ms = env_now_ms(group_env(g)) - g->heard_ms[position];
    return progress && progress->match_index > 0 && progress->match_index >= g->raft.log.offset &&
           age_ms <= g->consensus->options.election_timeout_ms;
}

unsigned group_in_sync_count(const struct group *g)
{
    unsigned n = 0;
    for (unsigned i = 0; i < g->replica_count; i++)
        n += group_replica_in_sync(g, g->replicas[i]);
    return n;
}

bool group_caught_up(const struct group *g)
{
    if (!g->running || g->failed_status != 0 || g->damaged)
        return false;
    if (g->raft.state == RAFT_LEADER)
        return g->ready;
    /* What a leader says before an entry of its own term is committed may be less than what is. */
    return group_leader(g) != 0 && !g->catchup && g->raft.last_applied >= g->announced_commit &&
           group_term_of(g, g->raft.last_applied) == g->raft.current_term;
}

bool group_catching_up(const struct group *g)
{
    return g->damaged || g->catchup != NULL;
}

/* Entries that the core might need again after a restart stay: those after the snapshot that is durable. */
int64_t group_trim(struct group *g, int64_t offset)
{
    if (journal_durable(g->consensus->options.journal) >= g->snapshot_sequence)
        g->snapshot_durable_index = g->snapshot_index;
    if (g->snapshot_durable_index > 0 && g->failed_status == 0)
        log_truncate_prefix(g->log, offset, g->snapshot_durable_index);
    return log_start_offset(g->log);
}
