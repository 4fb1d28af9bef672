/* Leadership policy: a partition is led by the first of its replicas that is alive and not draining. The node
 * that leads moves it there, when the other has been in sync and connected for a while; a few at a time, so
 * that a restarted node gets its thousand partitions back without a storm. */
#include "node/cluster/internal.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    CHECK_MS = 500,
    CHECK_JITTER_MS = 100,
    MOVES_MAX = 8,
};
static const uint64_t in_sync_ns = UINT64_C(1000) * NS_PER_MS;
static const uint64_t link_up_ns = UINT64_C(2000) * NS_PER_MS;
/* A node that is about to stop has just handed over: don't hand everything back to it at once. */
static const uint64_t settled_ns = UINT64_C(2000) * NS_PER_MS;
static const uint64_t failed_pause_ns = UINT64_C(3000) * NS_PER_MS;

/* ---- one transfer ---- */

/* On the heap: it may outlive the cluster object by a moment, when its group closes. */
struct transfer {
    struct queue node;
    struct cluster *cluster; /* NULL: gone */
    uint64_t group_id;
};

static struct led *led_of(struct cluster *c, uint64_t group_id)
{
    if (group_id == METADATA_GROUP_ID) {
        return &c->leadership.group0;
    }
    struct replica *replica = NULL;
    HASH_FIND(hh, c->reconciler.replicas, &group_id, sizeof group_id, replica);
    return replica == NULL ? NULL : &replica->led;
}

static void on_transferred(void *data, int status)
{
    struct transfer *t = data;
    struct cluster *c = t->cluster;
    uint64_t id = t->group_id;
    queue_remove(&t->node);
    free(t);
    if (c == NULL) {
        return;
    }
    c->leadership.transfer_count--;
    c->leadership.has_room = true;
    struct led *led = led_of(c, id);
    if (led != NULL) {
        *led = (struct led){.was_moved = status == 0};
    }
    if (status != 0) {
        c->leadership.transfers_failed_total++;
        if (led != NULL) {
            led->not_before_ns = env_now_ns(c->env) + failed_pause_ns;
        }
        LOG(c->logger, LOG_DEBUG, "leadership was not moved", "group_id=%" PRIu64 " error=%s", id,
            error_name(status));
    }
    cluster_wake(c);
}

bool leadership_move(struct cluster *c, struct group *group, struct led *led, uint32_t target)
{
    struct transfer *t = memory_zalloc(sizeof *t);
    t->cluster = c;
    t->group_id = group_id(group);
    queue_push(&c->leadership.transfers, &t->node);
    c->leadership.transfer_count++;
    led->is_moving = true;
    if (group_transfer(group, target, on_transferred, t) == 0) {
        c->leadership.transfers_total++;
        return true;
    }
    c->leadership.transfer_count--;
    led->is_moving = false;
    queue_remove(&t->node);
    free(t);
    return false;
}

/* ---- the policy ---- */

/* The first of the nodes that is alive and not draining; this node when there is none. A draining node does
 * not wait for the first one: any that is in sync will do. */
static uint32_t who_should_lead(const struct cluster *c, const struct group *group, const uint32_t *nodes,
                                unsigned count)
{
    bool must_be_in_sync = cluster_node_draining(c, c->self.id);
    for (unsigned i = 0; i < count; i++) {
        if (cluster_node_alive(c, nodes[i]) && !cluster_node_draining(c, nodes[i]) &&
            (!must_be_in_sync || group_replica_in_sync(group, nodes[i]))) {
            return nodes[i];
        }
    }
    return c->self.id;
}

static bool link_is_settled(struct cluster *c, uint32_t node_id, uint64_t now)
{
    const struct peer_state *peer = cluster_peer_state(c, node_id);
    return peer != NULL && peer->up_since_ns != 0 && now - peer->up_since_ns >= link_up_ns;
}

static void not_leading(struct led *led)
{
    *led = (struct led){.is_moving = led->is_moving, .not_before_ns = led->not_before_ns};
}

/* Keeps `led` up to date; true when the group should be moved to `target` now. */
static bool is_due(struct cluster *c, struct group *group, struct led *led, uint32_t target, uint64_t now)
{
    if (led->since_ns == 0) {
        led->since_ns = now;
    }
    bool in_sync = target != c->self.id && group_replica_in_sync(group, target);
    if (led->target != target || !in_sync || led->target_in_sync_ns == 0) {
        led->target = target;
        led->target_in_sync_ns = in_sync ? now : 0;
    }
    if (!in_sync || led->is_moving || now < led->not_before_ns) {
        return false;
    }
    if (cluster_node_draining(c, c->self.id)) {
        return true;
    }
    return now - led->target_in_sync_ns >= in_sync_ns && now - led->since_ns >= settled_ns &&
           link_is_settled(c, target, now);
}

static void check_replica(struct cluster *c, struct replica *replica, uint64_t now)
{
    struct group *group = c->options.replicas->group(c->options.data, replica->group_id);
    if (group == NULL) {
        return;
    }
    if (!group_is_ready_leader(group)) {
        not_leading(&replica->led);
        return;
    }
    unsigned count;
    const uint32_t *replicas = group_replicas(group, &count);
    uint32_t target = who_should_lead(c, group, replicas, count);
    if (is_due(c, group, &replica->led, target, now) && c->leadership.transfer_count < MOVES_MAX) {
        (void)leadership_move(c, group, &replica->led, target);
    }
}

/* Any node may lead group 0, except a draining one. */
static void check_group0(struct cluster *c, uint64_t now)
{
    struct led *led = &c->leadership.group0;
    if (!c->group0.is_ready) {
        not_leading(led);
        return;
    }
    unsigned count;
    const uint32_t *voters = group_replicas(c->group0.group, &count);
    uint32_t target = c->self.id;
    if (cluster_node_draining(c, c->self.id)) {
        target = who_should_lead(c, c->group0.group, voters, count);
    }
    if (is_due(c, c->group0.group, led, target, now)) {
        (void)leadership_move(c, c->group0.group, led, target);
    }
}

static void check_all(struct cluster *c)
{
    uint64_t now = env_now_ns(c->env);
    struct replica *replica;
    struct replica *next;
    HASH_ITER (hh, c->reconciler.replicas, replica, next) {
        if (replica->state == REPLICA_RUNNING) {
            check_replica(c, replica, now);
        }
    }
    check_group0(c, now);
}

void leadership_step(struct cluster *c)
{
    struct leadership *l = &c->leadership;
    bool draining = cluster_node_draining(c, c->self.id);
    if (!l->has_room && draining == l->was_draining) {
        return;
    }
    l->has_room = false;
    l->was_draining = draining;
    if (!l->hand_over.is_active) {
        check_all(c);
    }
}

static void on_timer(struct env_timer *timer);

static void start_timer(struct cluster *c)
{
    uint64_t delay_ms = CHECK_MS - CHECK_JITTER_MS + env_random(c->env) % (2 * CHECK_JITTER_MS);
    env_timer_start(c->env, &c->leadership.timer, delay_ms * NS_PER_MS, on_timer);
}

static void on_timer(struct env_timer *timer)
{
    struct cluster *c = container_of(timer, struct cluster, leadership.timer);
    c->leadership.has_room = true;
    start_timer(c);
    /* Also the heartbeat of everything that retries by time. */
    cluster_wake(c);
}

void leadership_start(struct cluster *c)
{
    start_timer(c);
}

void leadership_stop(struct cluster *c)
{
    struct leadership *l = &c->leadership;
    env_timer_stop(c->env, &l->timer);
    env_timer_stop(c->env, &l->hand_over_timer);
    l->hand_over.is_active = false;
    while (!queue_empty(&l->transfers)) {
        struct transfer *t = QUEUE_ENTRY(queue_first(&l->transfers), struct transfer, node);
        queue_remove(&t->node);
        t->cluster = NULL;
    }
    l->transfer_count = 0;
}
