#include "node/consensus/ticks.h"
#include "node/consensus/group_internal.h"
#include <stdlib.h>

void ticks_close(struct ticks *t)
{
    free(t->ticks);
}

void ticks_add(struct ticks *t, struct group *g)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 16;
        t->ticks = memory_realloc(t->ticks, t->capacity * sizeof *t->ticks);
    }
    g->tick_at = t->count++;
    t->ticks[g->tick_at] = (struct tick){0, g};
}

void ticks_remove(struct ticks *t, struct group *g)
{
    struct tick *last = &t->ticks[--t->count];
    t->ticks[g->tick_at] = *last;
    last->group->tick_at = g->tick_at;
}

void ticks_soon(struct ticks *t, const struct group *g)
{
    t->ticks[g->tick_at].due_ms = 0;
}

/* ---- when a group has something to do ---- */

/* A group to which nothing has been appended for a while needs only half of the heartbeats, as long as two of
 * them fit into an election time-out. */
static uint64_t heartbeat_ms(struct group *g, uint64_t last_index, uint64_t now_ms)
{
    enum { QUIET_AFTER_MS = 1000 };
    const struct raft *r = &g->raft;
    if (g->quiet_index != last_index) {
        g->quiet_index = last_index;
        g->quiet_since_ms = now_ms;
    }
    bool quiet = now_ms - g->quiet_since_ms >= QUIET_AFTER_MS;
    return quiet && 4 * r->heartbeat_timeout <= r->election_timeout ? 2 * r->heartbeat_timeout
                                                                    : r->heartbeat_timeout;
}

/* Heartbeats only: every follower has everything and is sent entries as they come. */
static uint64_t idle_leader_due(struct group *g, uint64_t now_ms)
{
    enum { PIPELINE = 1 };
    const struct raft *r = &g->raft;
    uint64_t due_ms = UINT64_MAX, last = raft_last_index((struct raft *)r);
    uint64_t interval_ms = heartbeat_ms(g, last, now_ms);
    if (!g->ready || r->transfer || r->leader_state.change || r->leader_state.promotee_id != 0)
        return 0;
    for (unsigned i = 0; i < r->configuration.n; i++) {
        const struct raft_progress *progress = &r->leader_state.progress[i];
        if (r->configuration.servers[i].id == r->id)
            continue;
        if (progress->state != PIPELINE || progress->match_index != last)
            return 0;
        uint64_t beat_ms = progress->last_send + interval_ms;
        due_ms = beat_ms < due_ms ? beat_ms : due_ms;
    }
    uint64_t contact_ms = r->election_timer_start + r->election_timeout;
    return contact_ms < due_ms ? contact_ms : due_ms;
}

/* Its leader would have to be silent until then. */
static uint64_t idle_follower_due(const struct group *g)
{
    const struct raft *r = &g->raft;
    if (g->damaged || g->campaign_until_ms != 0 || r->transfer || g->transfer != TRANSFER_NONE)
        return 0;
    return r->election_timer_start + r->follower_state.randomized_election_timeout;
}

static uint64_t due(struct group *g, uint64_t now_ms)
{
    if (!g->running || g->failed_status != 0 || g->inflight > 0 || !queue_empty(&g->held))
        return 0;
    return g->raft.state == RAFT_LEADER     ? idle_leader_due(g, now_ms)
           : g->raft.state == RAFT_FOLLOWER ? idle_follower_due(g)
                                            : 0;
}

/* From the end: what takes a removed group's place has had its turn. */
void ticks_run(struct ticks *t, uint64_t now_ms)
{
    for (size_t i = t->count; i > 0; i--) {
        if (i > t->count || now_ms < t->ticks[i - 1].due_ms)
            continue;
        struct group *g = t->ticks[i - 1].group;
        group_tick(g);
        if (i <= t->count && t->ticks[i - 1].group == g)
            t->ticks[i - 1].due_ms = due(g, now_ms);
    }
}
