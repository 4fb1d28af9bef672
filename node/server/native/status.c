/* The state of the cluster and of one topic, as far as the answering node knows. */
#include "node/server/native/dispatch.h"
#include "node/server/native/lookup.h"
#include "node/server/native/node_info.h"
#include "proto/error.h"
#include <stdio.h>
#include <string.h>

/* ---- cluster ---- */

struct cluster_count {
    struct server *server;
    Flotilla__ClusterStatusResponse *response;
};

static Flotilla__NodeStatus *node_status(Flotilla__ClusterStatusResponse *response, uint32_t id)
{
    for (size_t i = 0; i < response->n_nodes; i++)
        if (response->nodes[i]->node->id == id)
            return response->nodes[i];
    return NULL;
}

static bool under_replicated(struct server *s, const struct partition_meta *p)
{
    struct partition *partition = broker_partition(s->broker, p->group_id);
    return partition != NULL && group_in_sync_count(partition_group(partition)) < p->replica_count;
}

static void count_partition(struct cluster_count *count, const struct partition_meta *p)
{
    Flotilla__ClusterStatusResponse *response = count->response;
    int32_t epoch;
    uint32_t leader = cluster_leader(count->server->cluster, p->group_id, &epoch);
    Flotilla__NodeStatus *node = node_status(response, leader);
    response->partitions++;
    response->leaderless += leader == 0;
    if (node != NULL)
        node->leads++;
    if (leader == cluster_self(count->server->cluster) && under_replicated(count->server, p))
        response->under_replicated++;
    for (unsigned i = 0; i < p->replica_count; i++) {
        node = node_status(response, p->replicas[i]);
        if (node == NULL)
            continue;
        node->replicas++;
        node->preferred += i == 0;
    }
}

static void count_topic(void *data, const struct topic_meta *topic)
{
    struct cluster_count *count = data;
    count->response->topics++;
    for (uint32_t i = 0; i < topic->partition_count; i++)
        count_partition(count, &topic->partitions[i]);
}

static bool fill_nodes(struct request *r, Flotilla__ClusterStatusResponse *response)
{
    const struct metadata *tables = cluster_metadata(r->server->cluster);
    size_t count;
    Flotilla__NodeInfo **infos = node_info_all(r, &count);
    Flotilla__NodeStatus *nodes = request_array(r, count, sizeof(*nodes));
    response->nodes = request_array(r, count, sizeof(*response->nodes));
    if (infos == NULL || nodes == NULL || response->nodes == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct node_meta *meta = metadata_node(tables, infos[i]->id);
        flotilla__node_status__init(&nodes[i]);
        nodes[i].node = infos[i];
        if (meta != NULL && meta->software != NULL)
            nodes[i].software = meta->software;
        if (infos[i]->id == cluster_self(r->server->cluster))
            nodes[i].uptime_ms = (env_now_ns(r->server->env) - r->server->started_ns) / 1000000;
        response->nodes[i] = &nodes[i];
    }
    response->n_nodes = count;
    return true;
}

void native_cluster_status(struct request *r, const ProtobufCMessage *message)
{
    (void)message;
    struct server *s = r->server;
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__ClusterStatusResponse response = FLOTILLA__CLUSTER_STATUS_RESPONSE__INIT;
    struct cluster_count count = {s, &response};
    if (!fill_nodes(r, &response)) {
        request_fail(r, ERR_TOO_LARGE, NULL);
        return;
    }
    metadata_each_topic(cluster_metadata(s->cluster), count_topic, &count);
    response.status = &status;
    response.cluster_id = (char *)(uintptr_t)cluster_id(s->cluster);
    response.controller_id = cluster_controller(s->cluster);
    response.answered_by = cluster_self(s->cluster);
    request_respond(r, &response.base);
}

/* ---- one topic ---- */

static const char *own_value(const struct topic_meta *topic, const char *name)
{
    for (size_t i = 0; i < topic->config_count; i++)
        if (strcmp(topic->config_names[i], name) == 0)
            return topic->config_values[i];
    return NULL;
}

static bool fill_config(struct request *r, const struct topic_meta *topic,
                        Flotilla__DescribeTopicResponse *response)
{
    size_t count;
    const struct topic_config_key *keys = topic_config_keys(&count);
    Flotilla__ConfigEntry *entries = request_array(r, count, sizeof(*entries));
    response->config = request_array(r, count, sizeof(*response->config));
    if (entries == NULL || response->config == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *value = own_value(topic, keys[i].name);
        flotilla__config_entry__init(&entries[i]);
        entries[i].name = (char *)(uintptr_t)keys[i].name;
        entries[i].is_default = value == NULL;
        entries[i].value = (char *)(uintptr_t)(value != NULL ? value : keys[i].default_value);
        response->config[i] = &entries[i];
    }
    response->n_config = count;
    return true;
}

/* The answering node's own replica; who is in sync is known to the leader only. */
static void fill_replica(Flotilla__PartitionStatus *status, const struct partition *p,
                         const struct partition_meta *meta, uint32_t *in_sync)
{
    const struct group *group = partition_group(p);
    status->log_start_offset = partition_start_offset(p);
    status->high_watermark = partition_high_watermark(p);
    status->end_offset = partition_end_offset(p);
    status->size_bytes = log_size_bytes(group_log(group));
    if (!group_is_ready_leader(group))
        return;
    status->in_sync = in_sync;
    for (unsigned i = 0; i < meta->replica_count; i++)
        if (group_replica_in_sync(group, meta->replicas[i]))
            in_sync[status->n_in_sync++] = meta->replicas[i];
}

static Flotilla__PartitionStatus *partition_status(struct request *r, const struct partition_meta *meta)
{
    Flotilla__PartitionStatus *status = request_array(r, 1, sizeof(*status));
    uint32_t *ids = request_array(r, 2 * meta->replica_count, sizeof(*ids));
    if (status == NULL || ids == NULL)
        return NULL;
    flotilla__partition_status__init(status);
    status->index = meta->index;
    status->leader_id = cluster_leader(r->server->cluster, meta->group_id, &status->leader_epoch);
    memcpy(ids, meta->replicas, meta->replica_count * sizeof(*ids));
    status->replicas = ids;
    status->n_replicas = meta->replica_count;
    status->log_start_offset = status->high_watermark = status->end_offset = -1;
    const struct partition *p = broker_partition(r->server->broker, meta->group_id);
    if (p != NULL)
        fill_replica(status, p, meta, ids + meta->replica_count);
    return status;
}

static bool fill_partitions(struct request *r, const struct topic_meta *topic,
                            Flotilla__DescribeTopicResponse *response)
{
    response->partitions = request_array(r, topic->partition_count, sizeof(response->partitions[0]));
    if (response->partitions == NULL)
        return false;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        response->partitions[i] = partition_status(r, &topic->partitions[i]);
        if (response->partitions[i] == NULL)
            return false;
    }
    response->n_partitions = topic->partition_count;
    return true;
}

void native_describe_topic(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__DescribeTopicRequest *m = (const Flotilla__DescribeTopicRequest *)message;
    const struct topic_meta *topic = metadata_topic(cluster_metadata(r->server->cluster), m->name);
    if (topic == NULL) {
        char text[300];
        bool invalid = topic_name_check(m->name) != 0;
        snprintf(text, sizeof(text), "there is no topic %.249s", m->name);
        int error = invalid ? ERR_INVALID_TOPIC : lookup_missing(r->server, ERR_UNKNOWN_TOPIC);
        request_fail(r, error, error == ERR_UNKNOWN_TOPIC ? text : NULL);
        return;
    }
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__DescribeTopicResponse response = FLOTILLA__DESCRIBE_TOPIC_RESPONSE__INIT;
    if (!fill_config(r, topic, &response) || !fill_partitions(r, topic, &response)) {
        request_fail(r, ERR_TOO_LARGE, NULL);
        return;
    }
    response.status = &status;
    response.name = (char *)(uintptr_t)topic->name;
    response.id.data = (uint8_t *)(uintptr_t)topic->id;
    response.id.len = TOPIC_ID_SIZE;
    request_respond(r, &response.base);
}
