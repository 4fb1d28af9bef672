/* Compares the tables with what runs on this node: starts what is missing, stops and erases what was deleted,
 * configures what changed. Work is bounded; the rest waits in two queues. */
#include "node/cluster/internal.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdlib.h>

enum {
    OPENING_MAX = 32,  /* when the node starts */
    CREATING_MAX = 16, /* few enough for a new leader's own first entry to be stored long before a time-out */
    STOPPING_MAX = 64,
};
static const uint64_t retry_pause_ns = UINT64_C(5000) * NS_PER_MS;
static const uint64_t reopen_pause_ns = UINT64_C(500) * NS_PER_MS;

void reconciler_init(struct reconciler *r)
{
    queue_init(&r->created);
    queue_init(&r->waiting);
    queue_init(&r->leaving);
}

static bool reconciler_is_empty(const struct reconciler *r)
{
    return r->replicas == NULL;
}

static struct replica *find(struct reconciler *r, uint64_t group_id)
{
    struct replica *replica = NULL;
    HASH_FIND(hh, r->replicas, &group_id, sizeof group_id, replica);
    return replica;
}

static struct replica *add(struct reconciler *r, uint64_t group_id)
{
    struct replica *replica = memory_zalloc(sizeof *replica);
    replica->group_id = group_id;
    queue_init(&replica->node);
    HASH_ADD(hh, r->replicas, group_id, sizeof replica->group_id, replica);
    return replica;
}

static void drop(struct reconciler *r, struct replica *replica)
{
    queue_remove(&replica->node);
    HASH_DEL(r->replicas, replica);
    free(replica);
}

static void retry_at(struct reconciler *r, uint64_t retry_ns)
{
    if (r->retry_ns == 0 || r->retry_ns > retry_ns) {
        r->retry_ns = retry_ns;
    }
}

/* Returns the milliseconds until it is tried again. */
static uint64_t fail(struct cluster *c, struct replica *replica, uint64_t first_pause_ns)
{
    uint64_t now = env_now_ns(c->env);
    uint64_t pause_ns = retry_note_failure(&replica->retry, now, first_pause_ns);
    replica->state = REPLICA_FAILED;
    replica->retry_ns = now + pause_ns;
    retry_at(&c->reconciler, replica->retry_ns);
    return pause_ns / NS_PER_MS;
}

/* ---- stopping ---- */

static void leave(struct reconciler *r, struct replica *replica, bool erase)
{
    queue_remove(&replica->node);
    replica->state = REPLICA_LEAVING;
    replica->is_erased = erase;
    queue_push(&r->leaving, &replica->node);
}

static void stop_next(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    while (r->stopping < STOPPING_MAX && !queue_empty(&r->leaving)) {
        struct replica *replica = QUEUE_ENTRY(queue_first(&r->leaving), struct replica, node);
        queue_remove(&replica->node);
        replica->state = REPLICA_STOPPING;
        r->stopping++;
        /* May report the stop from inside, after which the replica is gone. */
        c->options.replicas->stop(c->options.data, replica->group_id, replica->is_erased);
    }
}

void cluster_replica_stopped(struct cluster *c, uint64_t group_id)
{
    struct replica *replica = find(&c->reconciler, group_id);
    if (replica == NULL || replica->state != REPLICA_STOPPING) {
        return;
    }
    c->reconciler.stopping--;
    if (replica->is_reopened && c->phase == CLUSTER_RUNNING) {
        replica->is_reopened = false;
        uint64_t pause_ms = fail(c, replica, reopen_pause_ns);
        LOG(c->logger, LOG_WARN, "a replica that stopped is opened again soon",
            "group_id=%" PRIu64 " after_ms=%" PRIu64 " failures=%u", group_id, pause_ms,
            replica->retry.failures);
        c->reconciler.has_run = false; /* it may have been deleted meanwhile */
    } else {
        drop(&c->reconciler, replica);
    }
    cluster_wake(c);
}

void cluster_replica_damaged(struct cluster *c, uint64_t group_id)
{
    struct replica *replica = find(&c->reconciler, group_id);
    if (replica == NULL || replica->state != REPLICA_RUNNING || c->phase != CLUSTER_RUNNING) {
        return;
    }
    replica->is_reopened = true;
    leave(&c->reconciler, replica, false);
    cluster_wake(c);
}

/* Whether the replica runs with what the tables say of it. */
static bool is_current(const struct replica *replica, const struct topic_meta *topic,
                       const struct partition_meta *partition)
{
    return topic_config_equal(&replica->config, &topic->config) &&
           replica->start_offset == partition->start_offset;
}

/* ---- directories ----
 *
 * New replicas get theirs many at a time: a job and a sync for all of them instead of one for each. */

static void on_made(struct data_dir_make *make)
{
    struct cluster *c = container_of(make, struct cluster, reconciler.make);
    struct reconciler *r = &c->reconciler;
    r->is_making = false;
    for (unsigned i = 0; i < make->n; i++) {
        struct replica *replica = find(r, make->ids[i]);
        replica->state = REPLICA_WAITING;
        replica->is_blank = make->is_blank[i];
        queue_push(&r->waiting, &replica->node);
        if (metadata_topic_by_group(c->group0.metadata, make->ids[i], NULL) == NULL) {
            r->has_run = false; /* deleted meanwhile */
        }
    }
    cluster_wake(c);
}

static void make_next(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    struct data_dir_make *make = &r->make;
    if (r->is_making || queue_empty(&r->created) || !queue_empty(&r->waiting)) {
        return;
    }
    for (make->n = 0; make->n < DATA_DIR_MAKE_MAX && !queue_empty(&r->created); make->n++) {
        struct replica *replica = QUEUE_ENTRY(queue_first(&r->created), struct replica, node);
        queue_remove(&replica->node);
        replica->state = REPLICA_MAKING;
        make->ids[make->n] = replica->group_id;
    }
    r->is_making = true;
    data_dir_make_groups(c->options.data_dir, make, on_made);
}

/* ---- starting ---- */

/* A group that this node has never heard a term of is new here; the preferred leader need not wait out a
 * time-out. */
static bool should_campaign(const struct cluster *c, const struct partition_meta *partition)
{
    struct journal_group state;
    journal_get(c->options.journal, partition->group_id, &state);
    return state.term == 0 && !state.damaged && partition->replicas[0] == c->self.id;
}

static void start(struct cluster *c, struct replica *replica)
{
    const struct partition_meta *partition;
    const struct topic_meta *topic =
        metadata_topic_by_group(c->group0.metadata, replica->group_id, &partition);
    if (topic == NULL) { /* deleted while it waited: the next reconciliation sees to it */
        (void)fail(c, replica, retry_pause_ns);
        return;
    }
    replica->state = REPLICA_STARTING;
    replica->begun_ns = env_now_ns(c->env);
    struct replica_start how = {.campaign_at_once = should_campaign(c, partition),
                                .is_blank = replica->is_blank};
    replica->is_blank = false;
    replica->config = topic->config;
    replica->start_offset = partition->start_offset;
    c->reconciler.starting++;
    /* May report the start from inside. */
    c->options.replicas->start(c->options.data, topic, partition, how);
}

static void on_pause_over(struct env_timer *timer)
{
    cluster_wake(container_of(timer, struct cluster, reconciler.pace_timer));
}

static bool may_create(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    if (r->starting >= CREATING_MAX) {
        return false;
    }
    uint64_t now = env_now_ns(c->env);
    uint64_t next = pace_next_ns(&r->pace, now, c->options.replicas->written_ns(c->options.data));
    if (next > now) {
        env_timer_start(c->env, &r->pace_timer, next - now, on_pause_over);
        return false;
    }
    pace_note_begun(&r->pace, now);
    return true;
}

static void start_next(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    while (!queue_empty(&r->waiting)) {
        struct replica *replica = QUEUE_ENTRY(queue_first(&r->waiting), struct replica, node);
        if (replica->was_there ? r->starting >= OPENING_MAX : !may_create(c)) {
            break;
        }
        queue_remove(&replica->node);
        start(c, replica);
    }
    if (queue_empty(&r->created) && queue_empty(&r->waiting) && !r->is_making) {
        pace_note_all_begun(&r->pace);
    }
}

/* Deleted or changed while it started. */
static void check_after_start(struct cluster *c, struct replica *replica)
{
    const struct partition_meta *partition;
    const struct topic_meta *topic =
        metadata_topic_by_group(c->group0.metadata, replica->group_id, &partition);
    if (topic == NULL || !is_current(replica, topic, partition)) {
        c->reconciler.has_run = false;
    }
}

void cluster_replica_started(struct cluster *c, uint64_t group_id, int status)
{
    struct replica *replica = find(&c->reconciler, group_id);
    if (replica == NULL || replica->state != REPLICA_STARTING) {
        return;
    }
    c->reconciler.starting--;
    if (status == 0) {
        replica->state = REPLICA_RUNNING;
        replica->has_caught_up = false;
        if (!replica->was_there) {
            pace_note_created(&c->reconciler.pace, env_now_ns(c->env) - replica->begun_ns);
        }
        retry_note_success(&replica->retry, env_now_ns(c->env));
        check_after_start(c, replica);
    } else {
        uint64_t pause_ms = fail(c, replica, retry_pause_ns);
        LOG(c->logger, LOG_ERROR, "cannot start a replica, will try again",
            "group_id=%" PRIu64 " error=%s after_ms=%" PRIu64 " failures=%u", group_id, error_name(status),
            pause_ms, replica->retry.failures);
    }
    cluster_wake(c);
}

static void retry_failed(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    uint64_t now = env_now_ns(c->env);
    if (r->retry_ns == 0 || now < r->retry_ns) {
        return;
    }
    r->retry_ns = 0;
    for (struct replica *replica = r->replicas; replica != NULL; replica = replica->hh.next) {
        if (replica->state != REPLICA_FAILED) {
            continue;
        }
        if (replica->retry_ns > now) {
            retry_at(r, replica->retry_ns);
            continue;
        }
        replica->state = REPLICA_WAITING;
        queue_push(&r->waiting, &replica->node);
    }
}

/* ---- comparing ---- */

static void want(struct cluster *c, const struct topic_meta *topic, const struct partition_meta *partition)
{
    struct reconciler *r = &c->reconciler;
    struct replica *replica = find(r, partition->group_id);
    if (replica == NULL) {
        replica = add(r, partition->group_id);
        replica->was_there = !r->orphans_checked;
        queue_push(replica->was_there ? &r->waiting : &r->created, &replica->node);
        if (!replica->was_there) {
            pace_note_wanted(&r->pace);
        }
    }
    replica->is_wanted = true;
    if (replica->state == REPLICA_RUNNING && !is_current(replica, topic, partition)) {
        replica->config = topic->config;
        replica->start_offset = partition->start_offset;
        c->options.replicas->configure(c->options.data, topic, partition);
    }
}

static bool has_replica_on(const struct partition_meta *partition, uint32_t node_id)
{
    for (unsigned i = 0; i < partition->replica_count; i++) {
        if (partition->replicas[i] == node_id) {
            return true;
        }
    }
    return false;
}

static void want_topic(void *data, const struct topic_meta *topic)
{
    struct cluster *c = data;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        if (has_replica_on(&topic->partitions[i], c->self.id)) {
            want(c, topic, &topic->partitions[i]);
        }
    }
}

static void compare(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    struct replica *replica;
    struct replica *next;
    for (replica = r->replicas; replica != NULL; replica = replica->hh.next) {
        replica->is_wanted = false;
    }
    metadata_each_topic(c->group0.metadata, want_topic, c);
    HASH_ITER (hh, r->replicas, replica, next) {
        bool is_on_its_way = replica->state == REPLICA_MAKING || replica->state == REPLICA_STARTING ||
                             replica->state == REPLICA_STOPPING || replica->state == REPLICA_LEAVING;
        if (!replica->is_wanted && !is_on_its_way) {
            leave(r, replica, true);
        }
    }
    r->version = metadata_version(c->group0.metadata);
    r->has_run = true;
}

/* ---- orphans ---- */

/* Files of a group that was deleted while this node was away. Group ids only grow in the order of the log, so
 * an id below the tables' next one that is not in the tables was deleted at or before the state that they
 * show: no later entry can bring it back. Anything else is kept. */
static void check_orphan(void *data, uint64_t group_id)
{
    struct cluster *c = data;
    const struct metadata *m = c->group0.metadata;
    if (group_id == METADATA_GROUP_ID || group_id >= metadata_next_group_id(m) ||
        metadata_topic_by_group(m, group_id, NULL) != NULL || find(&c->reconciler, group_id) != NULL) {
        return;
    }
    LOG(c->logger, LOG_INFO, "erasing the files of a deleted partition", "group_id=%" PRIu64, group_id);
    leave(&c->reconciler, add(&c->reconciler, group_id), true);
}

/* Once, when this node has caught up with the metadata. */
static void check_orphans(struct cluster *c)
{
    if (c->reconciler.orphans_checked || cluster_controller(c) == 0 || !group0_caught_up(&c->group0)) {
        return;
    }
    c->reconciler.orphans_checked = true;
    int rc = data_dir_each_group(c->options.data_dir, check_orphan, c);
    if (rc != 0) {
        LOG(c->logger, LOG_WARN, "cannot list the data directory", "error=%s", error_name(rc));
    }
    journal_each(c->options.journal, check_orphan, c);
}

/* ---- a replaced disk ---- */

/* A partition of which this node has nothing was there before it came: it must not vote in it before a leader
 * has brought it up to date, nor lead. */
static void distrust(struct cluster *c, const struct partition_meta *partition)
{
    struct journal_group state;
    journal_get(c->options.journal, partition->group_id, &state);
    if (partition->replica_count > 1 && state.term == 0 && !state.damaged) {
        journal_put_emptied(c->options.journal, partition->group_id);
    }
}

static void distrust_topic(void *data, const struct topic_meta *topic)
{
    struct cluster *c = data;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        if (has_replica_on(&topic->partitions[i], c->self.id)) {
            distrust(c, &topic->partitions[i]);
        }
    }
}

void reconciler_distrust_all(struct cluster *c)
{
    metadata_each_topic(c->group0.metadata, distrust_topic, c);
}

/* ---- steps ---- */

static void close_step(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    struct replica *replica;
    struct replica *next;
    env_timer_stop(c->env, &r->pace_timer);
    HASH_ITER (hh, r->replicas, replica, next) {
        if (replica->state == REPLICA_RUNNING) {
            leave(r, replica, false);
        } else if (replica->state == REPLICA_WAITING || replica->state == REPLICA_FAILED) {
            drop(r, replica);
        }
    }
    stop_next(c);
    if (reconciler_is_empty(r)) {
        cluster_replicas_closed(c);
    }
}

void reconciler_run(struct cluster *c)
{
    struct reconciler *r = &c->reconciler;
    if (c->phase == CLUSTER_CLOSING) {
        close_step(c);
        return;
    }
    if (c->phase != CLUSTER_RUNNING) {
        return;
    }
    if (!group0_joined(&c->group0)) {
        return;
    }
    if (metadata_version(c->group0.metadata) < r->version) {
        return; /* the metadata is being loaded again: what it does not show yet must not be taken for deleted
                 */
    }
    if (!r->has_run || r->version != metadata_version(c->group0.metadata)) {
        compare(c);
    }
    check_orphans(c);
    retry_failed(c);
    make_next(c);
    start_next(c);
    stop_next(c);
}
