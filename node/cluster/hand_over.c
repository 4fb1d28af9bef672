/* Before a planned stop: every leadership of this node goes to the best of the other replicas, many at a
 * time. The node then waits until the new leaders serve: their first entry needs a majority on disk, and a
 * node that closes its files meanwhile neither helps with that nor leaves a shared disk in peace. */
#include "node/cluster/internal.h"

enum {
    MOVES_MAX = 64,
    STEP_MS = 20,
    SETTLE_MS = 1000, /* a partition without a majority must not hold up the stop */
};

struct hand_over_round {
    struct cluster *cluster;
    uint64_t now;
    unsigned leads;    /* groups that this node leads */
    unsigned movable;  /* of these, with another live replica */
    unsigned settling; /* led by another by now, which has not committed anything yet */
};

/* In sync and not draining, the first in replica order; else any in sync; 0: nobody. */
static uint32_t best_target(const struct cluster *c, struct group *group)
{
    unsigned count;
    const uint32_t *replicas = group_replicas(group, &count);
    uint32_t second_best = 0;
    for (unsigned i = 0; i < count; i++) {
        if (replicas[i] == c->self.id || !cluster_node_alive(c, replicas[i]) ||
            !group_replica_in_sync(group, replicas[i])) {
            continue;
        }
        if (!cluster_node_draining(c, replicas[i])) {
            return replicas[i];
        }
        second_best = second_best != 0 ? second_best : replicas[i];
    }
    return second_best;
}

static bool has_live_peer(const struct cluster *c, struct group *group)
{
    unsigned count;
    const uint32_t *replicas = group_replicas(group, &count);
    for (unsigned i = 0; i < count; i++) {
        if (replicas[i] != c->self.id && cluster_node_alive(c, replicas[i])) {
            return true;
        }
    }
    return false;
}

static void visit(struct hand_over_round *round, struct group *group, struct led *led)
{
    struct cluster *c = round->cluster;
    if (group == NULL || group_role(group) == GROUP_FAILED) {
        return;
    }
    if (group_role(group) != GROUP_LEADER) {
        round->settling += led->was_moved && !group_caught_up(group);
        return;
    }
    round->leads++;
    bool came_back = led->was_moved; /* from one that is stopping as well: it would only go round */
    if (came_back || !has_live_peer(c, group)) {
        return;
    }
    round->movable++;
    if (led->is_moving || c->leadership.transfer_count >= MOVES_MAX || !group_is_ready_leader(group)) {
        return;
    }
    uint32_t target = best_target(c, group);
    if (target != 0) {
        (void)leadership_move(c, group, led, target);
    }
}

static void visit_all(struct hand_over_round *round)
{
    struct cluster *c = round->cluster;
    struct replica *replica;
    struct replica *next;
    HASH_ITER (hh, c->reconciler.replicas, replica, next) {
        if (replica->state == REPLICA_RUNNING) {
            visit(round, c->options.replicas->group(c->options.data, replica->group_id), &replica->led);
        }
    }
    /* Last: as long as this node is the controller it can still answer. */
    if (round->movable == 0) {
        visit(round, c->group0.group, &c->leadership.group0);
    } else if (c->group0.is_ready) {
        round->leads++;
    }
}

static void on_timer(struct env_timer *timer)
{
    hand_over_step(container_of(timer, struct cluster, leadership.hand_over_timer));
}

static bool goes_on(struct hand_over *h, const struct hand_over_round *round)
{
    if (round->movable > 0) {
        h->settled_by_ns = round->now + (uint64_t)SETTLE_MS * NS_PER_MS;
    }
    return (round->movable > 0 || (round->settling > 0 && round->now < h->settled_by_ns)) &&
           round->now < h->deadline_ns;
}

void hand_over_step(struct cluster *c)
{
    struct hand_over *h = &c->leadership.hand_over;
    if (!h->is_active) {
        return;
    }
    struct hand_over_round round = {.cluster = c, .now = env_now_ns(c->env)};
    if (c->phase == CLUSTER_RUNNING) {
        visit_all(&round);
    }
    if (goes_on(h, &round)) {
        env_timer_start(c->env, &c->leadership.hand_over_timer, (uint64_t)STEP_MS * NS_PER_MS, on_timer);
        return;
    }
    h->is_active = false;
    env_timer_stop(c->env, &c->leadership.hand_over_timer);
    h->cb(h->data, round.leads);
}

static void forget_moves(struct cluster *c)
{
    struct replica *replica;
    struct replica *next;
    HASH_ITER (hh, c->reconciler.replicas, replica, next) {
        replica->led.was_moved = false;
    }
    c->leadership.group0.was_moved = false;
}

void cluster_hand_over(struct cluster *c, uint64_t timeout_ms, void (*cb)(void *data, unsigned still_leads),
                       void *data)
{
    forget_moves(c);
    c->leadership.hand_over = (struct hand_over){
        .is_active = true,
        .deadline_ns = env_now_ns(c->env) + timeout_ms * NS_PER_MS,
        .cb = cb,
        .data = data,
    };
    env_timer_start(c->env, &c->leadership.hand_over_timer, 0, on_timer);
}
