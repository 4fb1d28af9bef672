/* The partitions of this node, started and stopped by the cluster. */
#include "node/broker/internal.h"

#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

struct broker *broker_create(const struct broker_options *options)
{
    struct broker *b = memory_zalloc(sizeof *b);
    b->options = *options;
    b->env = options->env;
    queue_init(&b->completed);
    broker_metrics_init(&b->metrics, b, options->metrics);
    retention_start(b);
    scrub_start(b);
    return b;
}

void broker_destroy(struct broker *b)
{
    ASSERT(b->by_group == NULL);
    retention_stop(b);
    scrub_stop(b);
    env_task_cancel(b->env, &b->complete);
    produce_complete_due(b);
    broker_metrics_close(&b->metrics);
    free(b);
}

void broker_set_cluster(struct broker *b, struct cluster *cluster)
{
    b->cluster = cluster;
}

/* ---- finding ---- */

static struct partition *find(struct broker *b, uint64_t group_id)
{
    struct partition *p;
    HASH_FIND(by_group, b->by_group, &group_id, sizeof group_id, p);
    return p;
}

static struct partition *if_running(struct partition *p)
{
    return p != NULL && partition_is_running(p) ? p : NULL;
}

struct partition *broker_partition(struct broker *b, uint64_t group_id)
{
    return if_running(find(b, group_id));
}

void broker_each_partition(struct broker *b, void (*each)(void *data, struct partition *p), void *data)
{
    struct partition *p, *next;
    HASH_ITER (by_group, b->by_group, p, next) {
        if (partition_is_running(p))
            each(data, p);
    }
}

static void add(struct broker *b, struct partition *p)
{
    HASH_ADD(by_group, b->by_group, group_id, sizeof p->group_id, p);
}

static void drop(struct broker *b, struct partition *p)
{
    HASH_DELETE(by_group, b->by_group, p);
    partition_destroy(p);
}

/* ---- stopping ---- */

static void report_stopped(struct broker *b, uint64_t group_id)
{
    cluster_replica_stopped(b->cluster, group_id);
}

static void on_stopped(struct partition *p)
{
    struct broker *b = p->broker;
    uint64_t group_id = p->group_id;
    bool erase = p->erase;
    drop(b, p);
    if (erase)
        erase_replica(b, group_id, report_stopped);
    else
        report_stopped(b, group_id);
}

static void replica_stop(void *data, uint64_t group_id, bool erase)
{
    struct broker *b = data;
    struct partition *p = find(b, group_id);
    if (p == NULL) { /* files of an earlier life */
        if (erase)
            erase_replica(b, group_id, report_stopped);
        else
            report_stopped(b, group_id);
        return;
    }
    p->erase = p->erase || erase;
    p->stop_wanted = true;
    if (partition_is_running(p))
        partition_close(p, on_stopped);
}

/* ---- starting ---- */

static void on_start_failed(struct partition *p)
{
    struct broker *b = p->broker;
    uint64_t group_id = p->group_id;
    int status = p->open_status;
    bool stop_wanted = p->stop_wanted;
    bool erase = p->erase;
    drop(b, p);
    cluster_replica_started(b->cluster, group_id, status);
    if (stop_wanted)
        replica_stop(b, group_id, erase);
}

static void on_started(struct partition *p, int status)
{
    struct broker *b = p->broker;
    if (status != 0) {
        p->open_status = status;
        partition_close(p, on_start_failed);
        return;
    }
    bool stop_wanted = p->stop_wanted;
    cluster_replica_started(b->cluster, p->group_id, 0);
    if (stop_wanted && partition_is_running(p))
        partition_close(p, on_stopped);
}

static void replica_start(void *data, const struct topic_meta *topic, const struct partition_meta *meta,
                          struct replica_start start)
{
    struct broker *b = data;
    ASSERT(find(b, meta->group_id) == NULL);
    struct partition *p = partition_create(b, topic, meta);
    add(b, p);
    int status = partition_open(p, meta, start, on_started);
    if (status == 0)
        return;
    drop(b, p);
    cluster_replica_started(b->cluster, meta->group_id, status);
}

static void replica_configure(void *data, const struct topic_meta *topic, const struct partition_meta *meta)
{
    struct partition *p = find(data, meta->group_id);
    if (p == NULL)
        return;
    partition_configure(p, &topic->config);
    partition_delete_below(p, meta->start_offset);
}

static struct group *replica_group(void *data, uint64_t group_id)
{
    struct partition *p = broker_partition(data, group_id);
    return p != NULL ? p->group : NULL;
}

static uint64_t replicas_written_ns(void *data)
{
    return ((const struct broker *)data)->written_ns;
}

const struct cluster_replica_callbacks broker_replica_callbacks = {
    .start = replica_start,
    .configure = replica_configure,
    .stop = replica_stop,
    .group = replica_group,
    .written_ns = replicas_written_ns,
};
