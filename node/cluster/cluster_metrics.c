/* What /metrics says of the cluster. Gauges are computed when they are asked for. */
#include "node/cluster/internal.h"
#include <stdlib.h>

struct gauge_entry {
    const char *name;
    const char *help;
    double (*read)(void *data);
};

static double read_is_controller(void *data)
{
    const struct cluster *c = data;
    return c->group0.is_ready ? 1 : 0;
}

static double read_controller(void *data)
{
    return cluster_controller(data);
}

static double read_version(void *data)
{
    const struct cluster *c = data;
    return (double)metadata_version(c->group0.metadata);
}

static double read_nodes(void *data)
{
    const struct cluster *c = data;
    return (double)metadata_node_count(c->group0.metadata);
}

struct alive_count {
    const struct cluster *cluster;
    unsigned alive;
};

static void count_alive(void *data, const struct node_meta *node)
{
    struct alive_count *count = data;
    count->alive += cluster_node_alive(count->cluster, node->id) ? 1 : 0;
}

static double read_nodes_alive(void *data)
{
    const struct cluster *c = data;
    struct alive_count count = {.cluster = c};
    metadata_each_node(c->group0.metadata, count_alive, &count);
    return count.alive;
}

static double read_topics(void *data)
{
    const struct cluster *c = data;
    return (double)metadata_topic_count(c->group0.metadata);
}

static double read_partitions(void *data)
{
    const struct cluster *c = data;
    return (double)metadata_partition_count(c->group0.metadata);
}

struct leaderless_count {
    const struct cluster *cluster;
    unsigned leaderless;
};

static void count_leaderless(void *data, const struct topic_meta *topic)
{
    struct leaderless_count *count = data;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        count->leaderless += cluster_leader(count->cluster, topic->partitions[i].group_id, NULL) == 0 ? 1 : 0;
    }
}

static double read_leaderless(void *data)
{
    const struct cluster *c = data;
    struct leaderless_count count = {.cluster = c};
    metadata_each_topic(c->group0.metadata, count_leaderless, &count);
    return count.leaderless;
}

static double count_replicas(const struct cluster *c, enum replica_state state)
{
    unsigned count = 0;
    for (const struct replica *r = c->reconciler.replicas; r != NULL; r = r->hh.next) {
        count += r->state == state ? 1 : 0;
    }
    return count;
}

static double read_replicas_running(void *data)
{
    return count_replicas(data, REPLICA_RUNNING);
}

static double read_replicas_starting(void *data)
{
    return count_replicas(data, REPLICA_WAITING) + count_replicas(data, REPLICA_STARTING);
}

static double read_replicas_failed(void *data)
{
    return readiness_failed(data);
}

static double read_transfers_under_way(void *data)
{
    const struct cluster *c = data;
    return c->leadership.transfer_count;
}

static const struct gauge_entry gauges[] = {
    {"flotilla_controller_is_self", "1 when this node is the controller", read_is_controller},
    {"flotilla_controller_id", "Node that leads the metadata group, 0: none known", read_controller},
    {"flotilla_metadata_version", "Changes applied to the metadata", read_version},
    {"flotilla_nodes", "Nodes in the metadata", read_nodes},
    {"flotilla_nodes_alive", "Nodes that this node reaches, itself included", read_nodes_alive},
    {"flotilla_topics", "Topics in the metadata", read_topics},
    {"flotilla_partitions", "Partitions in the metadata", read_partitions},
    {"flotilla_partitions_leaderless", "Partitions without a leader, as far as this node knows",
     read_leaderless},
    {"flotilla_replicas_running", "Replicas that run on this node", read_replicas_running},
    {"flotilla_replicas_starting", "Replicas of this node that are starting or wait for it",
     read_replicas_starting},
    {"flotilla_replicas_failed", "Replicas of this node that could not be started, or whose disk failed",
     read_replicas_failed},
    {"flotilla_leadership_transfers_under_way", "Leaderships that this node is handing over",
     read_transfers_under_way},
};

enum { GAUGES = sizeof gauges / sizeof gauges[0] };

struct cluster_metrics {
    struct metric gauges[GAUGES];
    struct metric transfers;
    struct metric transfers_failed;
};

void cluster_metrics_add(struct cluster *c)
{
    struct metrics *registry = c->options.metrics;
    if (registry == NULL) {
        return;
    }
    c->metrics = memory_zalloc(sizeof *c->metrics);
    for (size_t i = 0; i < GAUGES; i++) {
        metrics_add_gauge(registry, &c->metrics->gauges[i], gauges[i].name, gauges[i].help, "",
                          gauges[i].read, c);
    }
    metrics_add_counter(registry, &c->metrics->transfers, "flotilla_leadership_transfers_total",
                        "Leaderships that this node began to hand over", "", &c->leadership.transfers_total);
    metrics_add_counter(registry, &c->metrics->transfers_failed, "flotilla_leadership_transfers_failed_total",
                        "Leadership hand-overs that did not succeed", "",
                        &c->leadership.transfers_failed_total);
}

void cluster_metrics_remove(struct cluster *c)
{
    if (c->metrics == NULL) {
        return;
    }
    for (size_t i = 0; i < GAUGES; i++) {
        metrics_remove(&c->metrics->gauges[i]);
    }
    metrics_remove(&c->metrics->transfers);
    metrics_remove(&c->metrics->transfers_failed);
    free(c->metrics);
    c->metrics = NULL;
}
