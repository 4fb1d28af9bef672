/* Elections that don't wait for a time-out.
 *
 * A follower refuses votes as long as it believes in a leader, so that one that campaigns early is refused,
 * and two at once split the vote. When the leader's process is known to be dead (its link broke and a
 * reconnect was refused), the first live voter in replica order hands its own core a TimeoutNow as if from
 * the leader: it campaigns at once, with the flag that makes the others vote. The next one follows 30 ms
 * later if nobody has asked for its vote, and later still when hundreds of groups elect at once: two that get
 * into each other's way split the vote. Where a disk was slower than that, each stands again after a time of
 * its own, twice as long each time, and not after a whole time-out. A false alarm costs an election, never
 * safety. */
#include "node/consensus/group_internal.h"

enum {
    STAGGER_MS = 30,
    ELECTIONS_PER_MS = 2, /* what a busy machine gets done: the more there are, the later the next in line */
    NUDGES_PER_TURN = 64, /* a dead node may have led a thousand groups: other work goes on in between */
    IMPATIENT_MS = 20,    /* election time-out of a voter that knows no leader */
    CAMPAIGN_FOR_MS = 5000, /* how long a new group's preferred leader insists */
    RETRY_MS = 60,          /* of a candidate whose leader is dead: the first in line */
    RETRY_STAGGER_MS = 120, /* ... and each one after it */
    RETRY_DOUBLINGS = 4,
};

static void on_nudge_timer(struct env_timer *timer);

/* How many live voters stand before this node in replica order. */
static unsigned rank(const struct group *g, uint32_t dead)
{
    unsigned n = 0;
    for (unsigned i = 0; i < g->replica_count && g->replicas[i] != g->consensus->options.node_id; i++)
        n += g->replicas[i] != dead && consensus_peer_up(g->consensus, g->replicas[i]);
    return n;
}

static void hand_timeout_now(struct group *g, uint32_t leader)
{
    uint64_t last = raft_last_index(&g->raft);
    struct message message = {.group_id = g->id};
    queue_init(&message.node);
    message.m.type = RAFT_IO_TIMEOUT_NOW;
    message.m.server_id = leader;
    message.m.timeout_now.term = g->raft.current_term;
    message.m.timeout_now.last_log_index = last;
    message.m.timeout_now.last_log_term = group_term_of(g, last);
    g->consensus->counts.elections_nudged++;
    group_receive(g, &message);
}

/* A candidate that asked for this node's vote and got it is about to lead. (The core may still name the dead
 * leader: a follower keeps it when the term grows.) */
static bool has_voted_for_the_living(const struct group *g)
{
    uint64_t candidate = g->raft.voted_for;
    return candidate != 0 && candidate != g->raft.id && consensus_peer_up(g->consensus, (uint32_t)candidate);
}

static void nudge(struct group *g)
{
    if (!g->running || g->damaged || g->raft.state != RAFT_FOLLOWER ||
        consensus_peer_up(g->consensus, g->nudge_dead) || has_voted_for_the_living(g))
        return;
    uint64_t leader = g->raft.follower_state.current_leader.id;
    if (leader == g->nudge_dead) {
        g->retries = 0;
        g->retry_term = g->raft.current_term + 1;
        hand_timeout_now(g, g->nudge_dead);
    } else if (leader == 0 && g->raft.follower_state.randomized_election_timeout > IMPATIENT_MS) {
        g->raft.follower_state.randomized_election_timeout = IMPATIENT_MS + 10 * rank(g, g->nudge_dead);
    }
    ticks_soon(&g->consensus->ticks, g);
}

/* A candidate of a term that this node's haste has begun, or that of somebody in the same haste. */
static void retry_soon(struct group *g)
{
    struct raft *r = &g->raft;
    if (consensus_peer_up(g->consensus, g->nudge_dead)) {
        g->retry_term = 0;
        return;
    }
    if (r->current_term > g->retry_term) {
        g->retry_term = r->current_term;
        g->retries += g->retries < RETRY_DOUBLINGS;
    }
    unsigned wait_ms = (RETRY_MS + RETRY_STAGGER_MS * rank(g, g->nudge_dead)) << g->retries;
    if (r->candidate_state.randomized_election_timeout > wait_ms)
        r->candidate_state.randomized_election_timeout = wait_ms;
}

void election_forget(struct group *g)
{
    queue_remove(&g->nudge);
}

static void schedule(struct consensus *c)
{
    uint64_t now = env_now_ms(c->options.env);
    uint64_t earliest = UINT64_MAX;
    QUEUE_FOREACH (node, &c->nudges) {
        const struct group *g = QUEUE_ENTRY(node, struct group, nudge);
        if (g->nudge_at_ms < earliest)
            earliest = g->nudge_at_ms;
    }
    if (earliest == UINT64_MAX)
        return;
    uint64_t delay_ms = earliest > now ? earliest - now : 0;
    env_timer_start(c->options.env, &c->nudge_timer, delay_ms * 1000000u, on_nudge_timer);
}

static void run_due(struct consensus *c)
{
    uint64_t now = env_now_ms(c->options.env);
    unsigned left = NUDGES_PER_TURN;
    struct queue *next;
    for (struct queue *node = queue_first(&c->nudges); node != &c->nudges && left > 0; node = next) {
        next = node->next;
        struct group *g = QUEUE_ENTRY(node, struct group, nudge);
        if (g->nudge_at_ms > now)
            continue;
        queue_remove(node);
        left--;
        nudge(g);
    }
    schedule(c);
}

static void on_nudge_timer(struct env_timer *timer)
{
    run_due(container_of(timer, struct consensus, nudge_timer));
}

static bool was_led_by(const struct group *g, uint32_t node_id)
{
    if (!g->running || g->raft.state != RAFT_FOLLOWER || group_replica_position(g, node_id) < 0)
        return false;
    uint64_t leader = g->raft.follower_state.current_leader.id;
    return leader == node_id || leader == 0;
}

void election_leader_died(struct consensus *c, uint32_t node_id)
{
    uint64_t now = env_now_ms(c->options.env);
    unsigned elections = 0;
    QUEUE_FOREACH (node, &c->groups)
        elections += was_led_by(QUEUE_ENTRY(node, struct group, node), node_id);
    unsigned stagger_ms = STAGGER_MS + elections / ELECTIONS_PER_MS;
    QUEUE_FOREACH (node, &c->groups) {
        struct group *g = QUEUE_ENTRY(node, struct group, node);
        if (!was_led_by(g, node_id))
            continue;
        g->nudge_dead = node_id;
        g->nudge_at_ms = now + (uint64_t)stagger_ms * rank(g, node_id);
        queue_remove(&g->nudge);
        queue_push(&c->nudges, &g->nudge);
    }
    run_due(c);
}

void election_stop(struct consensus *c)
{
    env_timer_stop(c->options.env, &c->nudge_timer);
}

/* A new group's preferred leader campaigns at once, and again while the others are still opening theirs. Only
 * pre-votes are repeated that fast: they don't raise the term. */
void election_tick(struct group *g)
{
    if (g->retry_term != 0 && g->raft.state == RAFT_CANDIDATE)
        retry_soon(g);
    if (g->campaign_until_ms == 0 || g->damaged)
        return;
    if (env_now_ms(group_env(g)) > g->campaign_until_ms || group_leader(g) != 0) {
        g->campaign_until_ms = 0;
        return;
    }
    if (g->raft.state == RAFT_FOLLOWER)
        g->raft.follower_state.randomized_election_timeout = 1;
    else if (g->raft.state == RAFT_CANDIDATE && g->raft.candidate_state.in_pre_vote)
        g->raft.candidate_state.randomized_election_timeout = IMPATIENT_MS;
}

void election_campaign(struct group *g)
{
    g->campaign_until_ms = env_now_ms(group_env(g)) + CAMPAIGN_FOR_MS;
    ticks_soon(&g->consensus->ticks, g);
    election_tick(g);
}
