/* Retention: a timer walks the partitions of this node and moves the start of their logs up to what the
 * topic's limits, and clients who deleted records, leave. Each replica, leader or not, does this for itself
 * with its own clock and segments, never beyond what it knows to be committed; so the replicas' start offsets
 * may differ by a segment. */
#include "node/broker/internal.h"

#include "node/base/memory.h"
#include "node/broker/compaction.h"
#include "node/env/sabotage.h"

static int64_t oldest_allowed_ms(const struct partition *p)
{
    if (p->config.retention_ms < 0)
        return -1;
    int64_t now_ms = env_wall_ms(p->broker->env);
    return now_ms > p->config.retention_ms ? now_ms - p->config.retention_ms : 0;
}

/* Where the log should begin by the topic's limits and by what was deleted on request. */
static int64_t wanted_start(const struct partition *p, struct log *log)
{
    int64_t wanted = partition_start_offset(p);
    if (p->config.retention_ms < 0 && p->config.retention_bytes < 0)
        return wanted;
    if (env_sabotaged(p->broker->env, SABOTAGE_RETENTION_TOO_EARLY))
        return p->high_watermark;
    int64_t limit =
        log_retention_offset(log, p->config.retention_bytes, oldest_allowed_ms(p), p->high_watermark);
    return limit > wanted ? limit : wanted;
}

void partition_retain(struct partition *p)
{
    struct log *log = group_log(p->group);
    if (p->machine != NULL)
        compaction_run(p->group);
    int64_t from = log_start_offset(log);
    int64_t to = wanted_start(p, log);
    if (to <= from)
        return;
    int64_t start = group_trim(p->group, to);
    if (start > from)
        LOG(p->broker->options.logger, LOG_DEBUG, "retention moved the log's start",
            "group=%s from=%lld to=%lld", p->name, (long long)from, (long long)start);
}

static void retain(void *data, struct partition *p)
{
    (void)data;
    partition_retain(p);
}

void broker_retain(struct broker *b)
{
    broker_each_partition(b, retain, NULL);
}

static void on_timer(struct env_timer *timer)
{
    struct broker *b = container_of(timer, struct broker, retention);
    broker_retain(b);
    retention_start(b);
}

void retention_start(struct broker *b)
{
    if (b->options.retention_check_ms > 0)
        env_timer_start(b->env, &b->retention, b->options.retention_check_ms * 1000000u, on_timer);
}

void retention_stop(struct broker *b)
{
    env_timer_stop(b->env, &b->retention);
}
