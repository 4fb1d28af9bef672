/* A partition's life: opening and closing its group, following the group's log, who leads, the high
 * watermark. */
#include "node/broker/internal.h"

#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/broker/compaction.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the group feeds ---- */

static void on_wake(struct env_task *task)
{
    struct partition *p = container_of(task, struct partition, wake);
    if (!partition_is_running(p))
        return;
    bool leads = group_is_ready_leader(p->group);
    retention_follow(p);
    if (p->machine != NULL) {
        p->machine->leading(p->state, leads, group_term(p->group));
        compaction_run(p->broker->env, p->group);
    }
    if (!leads) {
        fetch_fail_all(p);
        watch_fail_all(p);
        return;
    }
    if (p->high_watermark == p->announced_high_watermark)
        return;
    p->announced_high_watermark = p->high_watermark;
    fetch_wake(p);
    watch_wake(p);
}

/* Those who wait are woken once per loop turn, and never from inside the group's call. */
static void wake_later(struct partition *p)
{
    if (partition_is_running(p))
        env_defer(p->broker->env, &p->wake, on_wake);
}

static void on_apply(void *data, uint64_t index, const struct batch_header *header, const struct slice *bytes)
{
    struct partition *p = data;
    (void)index;
    producer_table_apply(p->producers, header);
    if (p->machine != NULL)
        p->machine->apply(p->state, header, bytes);
    p->high_watermark = batch_next_offset(header);
    p->applied_bytes += header->size;
    if (header->base_offset >= p->found_offset)
        p->broker->written_ns = env_now_ns(p->broker->env);
    wake_later(p);
}

static void on_start_moved(void *data, int64_t start_offset)
{
    struct partition *p = data;
    if (start_offset > p->start_offset)
        p->start_offset = start_offset;
    wake_later(p);
}

static void on_role_changed(void *data, enum group_role role, uint64_t term, bool ready)
{
    struct partition *p = data;
    (void)role;
    (void)term;
    (void)ready;
    wake_later(p);
}

static void on_snapshot(void *data, struct bytes *out)
{
    partition_state_encode(data, out);
}

static int on_restore(void *data, const void *state, size_t size, int64_t next_offset)
{
    struct partition *p = data;
    int status = partition_state_decode(p, state, size);
    if (status != 0) {
        LOG(p->broker->options.logger, LOG_ERROR, "the snapshot's state does not parse", "group=%s size=%zu",
            p->name, size);
        return status;
    }
    p->high_watermark = next_offset;
    wake_later(p);
    return 0;
}

static void on_failed(void *data, int status, const char *message)
{
    struct partition *p = data;
    char quoted[320];
    const char *what =
        status == ERR_CORRUPT
            ? "the replica's files are damaged or do not fit its leader's: it is opened again, to be repaired"
            : "the replica stopped for good: repair its disk and restart the node";
    LOG(p->broker->options.logger, LOG_ERROR, what, "group=%s error=%s reason=%s", p->name,
        error_name(status), logger_quote(quoted, sizeof quoted, message));
    wake_later(p);
    if (status == ERR_CORRUPT)
        cluster_replica_damaged(p->broker->cluster, p->group_id);
}

static const struct group_callbacks group_feeds_partition = {
    .apply = on_apply,
    .start_moved = on_start_moved,
    .role_changed = on_role_changed,
    .snapshot = on_snapshot,
    .restore = on_restore,
    .failed = on_failed,
};

/* ---- create, open ---- */

struct partition *partition_create(struct broker *b, const struct topic_meta *topic,
                                   const struct partition_meta *meta)
{
    struct partition *p = memory_zalloc(sizeof *p);
    p->broker = b;
    p->group_id = meta->group_id;
    p->index = meta->index;
    snprintf(p->topic, sizeof p->topic, "%s", topic->name);
    snprintf(p->name, sizeof p->name, "%s/%u", topic->name, meta->index);
    p->config = topic->config;
    p->deleted_below = meta->start_offset;
    p->found_offset = INT64_MAX; /* not known yet */
    p->producers = producer_table_create(b->options.producer_expiry_ms);
    queue_init(&p->fetches);
    queue_init(&p->turns);
    queue_init(&p->watchers);
    if (strcmp(topic->name, OFFSETS_TOPIC) == 0)
        p->machine = b->options.offsets;
    if (p->machine != NULL) {
        compaction_configure(p->broker->env, &p->config);
        p->state = p->machine->create(p->machine->data, p);
    }
    return p;
}

void partition_destroy(struct partition *p)
{
    ASSERT(p->group == NULL && p->references == 0);
    ASSERT(queue_empty(&p->fetches) && queue_empty(&p->watchers));
    if (p->machine != NULL)
        p->machine->destroy(p->state);
    producer_table_destroy(p->producers);
    free(p);
}

static void on_opened(void *data, struct group *group, int status, const char *message)
{
    struct partition *p = data;
    if (status == 0) {
        p->phase = PARTITION_RUNNING;
        p->announced_high_watermark = p->high_watermark;
        p->found_offset = log_end_offset(group_log(group));
        partition_metrics_init(&p->metrics, p, p->broker->options.metrics);
    } else {
        char quoted[320];
        LOG(p->broker->options.logger, LOG_ERROR, "cannot open a replica", "group=%s error=%s reason=%s",
            p->name, error_name(status), logger_quote(quoted, sizeof quoted, message != NULL ? message : ""));
    }
    p->opened(p, status);
}

int partition_open(struct partition *p, const struct partition_meta *meta, struct replica_start start,
                   void (*opened)(struct partition *p, int status))
{
    struct broker *b = p->broker;
    char directory[4096];
    data_dir_group_path(b->options.data_dir, p->group_id, directory, sizeof directory);
    struct group_options options = {
        .group_id = p->group_id,
        .name = p->name,
        .directory = directory,
        .is_blank = start.is_blank,
        .replicas = meta->replicas,
        .replica_count = meta->replica_count,
        .segment_bytes = p->config.segment_bytes,
        .segment_ms = p->config.segment_ms,
        .cache_bytes = b->options.cache_bytes,
        .campaign_at_once = start.campaign_at_once,
        .callbacks = &group_feeds_partition,
        .data = p,
    };
    p->opened = opened;
    int status = group_open(b->options.consensus, &options, &p->group, on_opened);
    if (status != 0)
        p->group = NULL;
    else
        p->references = 1;
    return status;
}

void partition_configure(struct partition *p, const struct topic_config *config)
{
    p->config = *config;
    if (p->machine != NULL)
        compaction_configure(p->broker->env, &p->config);
    if (partition_is_running(p))
        log_configure(group_log(p->group), p->config.segment_bytes, p->config.segment_ms);
}

void partition_delete_below(struct partition *p, int64_t offset)
{
    if (offset <= p->deleted_below)
        return;
    p->deleted_below = offset;
    if (partition_is_running(p))
        retention_follow(p);
}

/* ---- close ---- */

void partition_ref(struct partition *p)
{
    p->references++;
}

void partition_unref(struct partition *p)
{
    ASSERT(p->references > 0);
    if (--p->references == 0)
        p->closed(p);
}

static void on_closed(void *data)
{
    struct partition *p = data;
    p->group = NULL;
    partition_unref(p);
}

void partition_close(struct partition *p, void (*closed)(struct partition *p))
{
    bool was_running = partition_is_running(p);
    p->phase = PARTITION_CLOSING;
    p->closed = closed;
    env_task_cancel(p->broker->env, &p->wake);
    if (p->machine != NULL)
        p->machine->leading(p->state, false, 0);
    if (was_running)
        partition_metrics_close(&p->metrics);
    fetch_fail_all(p);
    watch_fail_all(p);
    group_close(p->group, !p->erase, on_closed, p);
}

/* ---- what it is and who leads it ---- */

uint64_t partition_group_id(const struct partition *p)
{
    return p->group_id;
}

const char *partition_topic(const struct partition *p)
{
    return p->topic;
}

uint32_t partition_index(const struct partition *p)
{
    return p->index;
}

struct group *partition_group(const struct partition *p)
{
    return p->group;
}

struct env *partition_env(const struct partition *p)
{
    return p->broker->env;
}

void *partition_state(const struct partition *p)
{
    return p->state;
}

int64_t partition_high_watermark(const struct partition *p)
{
    return p->high_watermark;
}

int64_t partition_start_offset(const struct partition *p)
{
    if (!partition_is_running(p))
        return 0;
    /* A replica that is behind has not even got what is deleted. */
    int64_t start = p->deleted_below < p->high_watermark ? p->deleted_below : p->high_watermark;
    int64_t kept = log_start_offset(group_log(p->group));
    start = start > p->start_offset ? start : p->start_offset;
    return start > kept ? start : kept;
}

int64_t partition_end_offset(const struct partition *p)
{
    return partition_is_running(p) ? log_end_offset(group_log(p->group)) : p->high_watermark;
}

int partition_check_leader(const struct partition *p, uint32_t *leader_id, int32_t *leader_epoch)
{
    const struct cluster *cluster = p->broker->cluster;
    *leader_id = cluster_leader(cluster, p->group_id, leader_epoch);
    if (!partition_is_running(p))
        return ERR_NOT_LEADER;
    uint32_t self = cluster_self(cluster);
    if (group_is_ready_leader(p->group)) {
        *leader_id = self;
        *leader_epoch = (int32_t)group_term(p->group);
        return 0;
    }
    return *leader_id == 0 || *leader_id == self ? ERR_LEADER_NOT_AVAILABLE : ERR_NOT_LEADER;
}
