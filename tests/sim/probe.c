#include "tests/sim/probe.h"
#include "node/consensus/group_internal.h"
#include "proto/crc32c.h"
#include <stdlib.h>

static uint32_t crc_of(const struct raft_entry *entry)
{
    if (entry->type != (unsigned short)LOG_DATA)
        return crc32c(0, entry->buf.base, entry->buf.len);
    const struct entry_ref *ref = entry->buf.base;
    return crc32c(0, ref->bytes.data, ref->bytes.size);
}

bool probe_entry(const struct group *g, uint64_t index, uint64_t *term, uint32_t *crc)
{
    const struct raft_entry *entry = g->running ? group_entry(g, index) : NULL;
    if (entry == NULL)
        return false;
    *term = entry->term;
    *crc = crc_of(entry);
    return true;
}

bool probe_is_damaged(const struct group *g)
{
    return g->damaged && g->replica_count > 2;
}

bool probe_vote(const struct group *g, struct probed_vote *v)
{
    if (!g->running)
        return false;
    *v = (struct probed_vote){.term = g->raft.current_term,
                              .vote = (uint32_t)g->raft.voted_for,
                              .leads = g->raft.state == RAFT_LEADER,
                              .damaged = g->damaged,
                              .pending = journal_durable(g->consensus->options.journal) < g->hard_sequence};
    const struct raft_configuration *c = &g->raft.configuration;
    for (unsigned i = 0; i < c->n && v->leads; i++)
        if (c->servers[i].role == RAFT_VOTER)
            v->voters |= 1u << (c->servers[i].id - 1);
    return true;
}

uint64_t probe_term(const struct group *g, uint64_t index)
{
    return group_term_of(g, index);
}

/* What a catch-up has fetched is not the core's yet. */
static void look_for_unstored(const struct group *g, struct probed_core *core)
{
    uint64_t next = log_durable_index(g->log) + 1;
    if (next > log_last_index(g->log) || g->fetched_from != 0)
        return;
    core->unstored_index = next;
    core->unstored_term = group_term_of(g, next);
}

bool probe_core(const struct group *g, struct probed_core *core)
{
    if (!g->running)
        return false;
    *core = (struct probed_core){
        .term = g->raft.current_term,
        .vote = (uint32_t)g->raft.voted_for,
        .commit = g->raft.commit_index,
        .leads = g->raft.state == RAFT_LEADER,
        .campaigns = g->raft.state == RAFT_CANDIDATE && !g->raft.candidate_state.in_pre_vote,
        .damaged = g->damaged,
    };
    look_for_unstored(g, core);
    return true;
}

static void on_changed(struct raft_change *req, int status)
{
    (void)status;
    free(req);
}

bool probe_change_configuration(struct group *g, uint64_t server_id)
{
    struct raft_change *req = memory_zalloc(sizeof *req);
    bool done = g->running && raft_add(&g->raft, req, server_id, "spare", on_changed) == 0;
    if (!done)
        free(req);
    group_after(g);
    return done;
}

size_t probe_queued_bytes(const struct consensus *c, size_t *limit)
{
    size_t most = 0;
    *limit = c->options.link_queue_bytes;
    QUEUE_FOREACH (q, &c->peers) {
        const struct peer *p = QUEUE_ENTRY(q, struct peer, node);
        most = p->queued_bytes > most ? p->queued_bytes : most;
    }
    return most;
}
