#include "node/server/kafka/lookup.h"
#include "node/group/offsets.h"

#include "proto/error.h"
#include <string.h>

const struct topic_meta *kafka_topic_by_name(const struct server *s, struct kafka_string name)
{
    char text[TOPIC_NAME_MAX + 1];
    if (name.size <= 0 || name.size > TOPIC_NAME_MAX)
        return NULL;
    memcpy(text, name.data, (size_t)name.size);
    text[name.size] = '\0';
    return metadata_topic(cluster_metadata(s->cluster), text);
}

const struct topic_meta *kafka_topic_by_id(const struct server *s, struct kafka_uuid id)
{
    return metadata_topic_by_id(cluster_metadata(s->cluster), id.bytes);
}

struct kafka_uuid kafka_topic_uuid(const struct topic_meta *topic)
{
    struct kafka_uuid id;
    memcpy(id.bytes, topic->id, sizeof(id.bytes));
    return id;
}

int16_t kafka_unknown_topic(const struct server *s)
{
    return cluster_tables_current(s->cluster) ? KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION
                                              : KAFKA_ERR_LEADER_NOT_AVAILABLE;
}

int16_t kafka_missing_topic(struct kafka_request *r, struct kafka_string name)
{
    const char *text = kafka_request_text(r, name);
    bool possible = text != NULL && topic_name_check(text) == 0;
    return possible ? kafka_unknown_topic(r->server) : KAFKA_ERR_INVALID_TOPIC_EXCEPTION;
}

static int16_t check_epoch(int32_t expected, int32_t actual)
{
    if (expected < 0 || expected == actual)
        return KAFKA_ERR_NONE;
    return expected < actual ? KAFKA_ERR_FENCED_LEADER_EPOCH : KAFKA_ERR_UNKNOWN_LEADER_EPOCH;
}

int16_t kafka_find_leader(const struct server *s, const struct topic_meta *topic, int32_t index,
                          int32_t epoch, struct partition **partition, uint64_t *group_id)
{
    *group_id = 0;
    if (topic == NULL || index < 0 || (uint32_t)index >= topic->partition_count)
        return kafka_unknown_topic(s);
    *group_id = topic->partitions[index].group_id;
    *partition = broker_partition(s->broker, *group_id);
    if (*partition == NULL)
        return KAFKA_ERR_NOT_LEADER_OR_FOLLOWER;
    uint32_t leader_id;
    int32_t leader_epoch;
    int rv = partition_check_leader(*partition, &leader_id, &leader_epoch);
    if (rv == ERR_LEADER_NOT_AVAILABLE || rv == ERR_NOT_LEADER)
        return KAFKA_ERR_NOT_LEADER_OR_FOLLOWER;
    return rv == 0 ? check_epoch(epoch, leader_epoch) : kafka_error_from(rv);
}

int16_t kafka_group_error(int error)
{
    switch (error) {
    case ERR_NOT_LEADER:
    case ERR_NOT_REPLICA:
    case ERR_SHUTTING_DOWN:
    case ERR_OUTCOME_UNKNOWN: /* committing the same again is harmless */
    case ERR_CANCELED:
        return KAFKA_ERR_NOT_COORDINATOR;
    case ERR_LEADER_NOT_AVAILABLE:
    case ERR_OVERLOADED:
    case ERR_NOT_ENOUGH_REPLICAS:
    case ERR_READ_ONLY:
        return KAFKA_ERR_COORDINATOR_NOT_AVAILABLE;
    default:
        return kafka_error_from(error);
    }
}

static const struct partition_meta *coordinator_meta(const struct server *s, const char *group)
{
    const struct topic_meta *topic = metadata_topic(cluster_metadata(s->cluster), OFFSETS_TOPIC);
    if (topic == NULL || topic->partition_count == 0)
        return NULL;
    return &topic->partitions[offsets_partition_for(group, topic->partition_count)];
}

uint64_t kafka_coordinator_partition(const struct server *s, const char *group)
{
    const struct partition_meta *meta = coordinator_meta(s, group);
    return meta != NULL ? meta->group_id : 0;
}

uint32_t kafka_coordinator_of(const struct server *s, const char *group)
{
    uint64_t group_id = kafka_coordinator_partition(s, group);
    int32_t epoch;
    return group_id != 0 ? cluster_leader(s->cluster, group_id, &epoch) : 0;
}

int16_t kafka_local_coordinator(const struct server *s, const char *group, struct partition **partition)
{
    const struct partition_meta *meta = coordinator_meta(s, group);
    if (meta == NULL)
        return KAFKA_ERR_COORDINATOR_NOT_AVAILABLE;
    *partition = broker_partition(s->broker, meta->group_id);
    uint32_t leader_id;
    int32_t leader_epoch;
    int rv =
        *partition == NULL ? ERR_NOT_LEADER : partition_check_leader(*partition, &leader_id, &leader_epoch);
    if (rv == ERR_LEADER_NOT_AVAILABLE && leader_id == cluster_self(s->cluster))
        return KAFKA_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    return kafka_group_error(rv);
}

/* Listens everywhere and advertises nowhere: an address that serves only this machine, if any. */
static bool advertises_nothing(const struct server *s, const char *host)
{
    const char *listen = s->config->listen_host;
    bool everywhere = strcmp(listen, "0.0.0.0") == 0 || strcmp(listen, "::") == 0;
    return everywhere &&
           (strcmp(host, listen) == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0);
}

struct kafka_string kafka_node_host(const struct kafka_request *r, const struct node_meta *node)
{
    bool own = node->id == cluster_self(r->server->cluster);
    if (!own || r->connection == NULL || !advertises_nothing(r->server, node->client_host))
        return kafka_string_of(node->client_host);
    const char *local = env_stream_local_host(r->connection->base.stream);
    return kafka_string_of(local[0] != '\0' ? local : node->client_host);
}
