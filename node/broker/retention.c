/* Retention: a timer walks the partitions of this node and moves the start of their logs up to what the
 * topic's limits, and clients who deleted records, leave.
 *
 * How far is decided by the leader, with its own clock and segments, and committed in the partition's log
 * (docs/decisions/0020): whoever leads next begins at the same record or a later one. Each replica deletes
 * what is before the start once it has applied it, as far as its snapshot allows.
 *
 * A replica whose disk is full can't store that entry, and its own records are what fills the disk. Such a
 * one goes ahead by the same rules for itself, and makes the others follow if it leads. */
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
static int64_t wanted_start(const struct partition *p)
{
    int64_t wanted = partition_start_offset(p);
    if (p->config.retention_ms < 0 && p->config.retention_bytes < 0)
        return wanted;
    if (env_sabotaged(p->broker->env, SABOTAGE_RETENTION_TOO_EARLY))
        return p->high_watermark;
    int64_t limit = log_retention_offset(group_log(p->group), p->config.retention_bytes, oldest_allowed_ms(p),
                                         p->high_watermark);
    return limit > wanted ? limit : wanted;
}

static void trim(struct partition *p, int64_t to)
{
    int64_t from = log_start_offset(group_log(p->group));
    if (to <= from)
        return;
    int64_t start = group_trim(p->group, to);
    if (start > from)
        LOG(p->broker->options.logger, LOG_DEBUG, "retention moved the log's start",
            "group=%s from=%lld to=%lld", p->name, (long long)from, (long long)start);
}

static void on_proposed(struct proposal *proposal, int status)
{
    struct partition *p = container_of(proposal, struct partition, start_proposal);
    (void)status; /* the next round sees what has become of it */
    p->start_is_proposed = false;
}

static void propose_start(struct partition *p, int64_t wanted)
{
    if (wanted <= p->start_offset || p->start_is_proposed)
        return;
    p->start_is_proposed = group_propose_start(p->group, &p->start_proposal, wanted, on_proposed) == 0;
}

void retention_follow(struct partition *p)
{
    int64_t start = partition_start_offset(p);
    trim(p, start);
    if (p->machine == NULL && group_is_ready_leader(p->group))
        propose_start(p, start);
}

/* A leader decides how far the start moves by the topic's limits. */
static void partition_retain(struct partition *p)
{
    retention_follow(p);
    if (p->machine != NULL) {
        compaction_run(p->broker->env, p->group);
    } else if (log_writable(group_log(p->group)) == ERR_NO_SPACE) {
        trim(p, wanted_start(p));
    } else if (group_is_ready_leader(p->group)) {
        propose_start(p, wanted_start(p));
    }
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
