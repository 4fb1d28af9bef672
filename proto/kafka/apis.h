/* The Kafka APIs that Flotilla speaks: what ApiVersions advertises, and what requests are dispatched by. */
#ifndef PROTO_KAFKA_APIS_H
#define PROTO_KAFKA_APIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KAFKA_NEVER = INT8_MAX }; /* no version */

/* X(ENUM, message, name, key, oldest version, newest version, first flexible version), by key */
#define KAFKA_API_TABLE(X)                                                                                   \
    X(PRODUCE, produce, "Produce", 0, 0, 11, 9)                                                              \
    X(FETCH, fetch, "Fetch", 1, 4, 17, 12)                                                                   \
    X(LIST_OFFSETS, list_offsets, "ListOffsets", 2, 1, 8, 6)                                                 \
    X(METADATA, metadata, "Metadata", 3, 0, 12, 9)                                                           \
    X(OFFSET_COMMIT, offset_commit, "OffsetCommit", 8, 2, 9, 8)                                              \
    X(OFFSET_FETCH, offset_fetch, "OffsetFetch", 9, 1, 9, 6)                                                 \
    X(FIND_COORDINATOR, find_coordinator, "FindCoordinator", 10, 0, 4, 3)                                    \
    X(JOIN_GROUP, join_group, "JoinGroup", 11, 0, 9, 6)                                                      \
    X(HEARTBEAT, heartbeat, "Heartbeat", 12, 0, 4, 4)                                                        \
    X(LEAVE_GROUP, leave_group, "LeaveGroup", 13, 0, 5, 4)                                                   \
    X(SYNC_GROUP, sync_group, "SyncGroup", 14, 0, 5, 4)                                                      \
    X(DESCRIBE_GROUPS, describe_groups, "DescribeGroups", 15, 0, 5, 5)                                       \
    X(LIST_GROUPS, list_groups, "ListGroups", 16, 0, 5, 3)                                                   \
    X(API_VERSIONS, api_versions, "ApiVersions", 18, 0, 4, 3)                                                \
    X(CREATE_TOPICS, create_topics, "CreateTopics", 19, 2, 7, 5)                                             \
    X(DELETE_TOPICS, delete_topics, "DeleteTopics", 20, 1, 6, 4)                                             \
    X(DELETE_RECORDS, delete_records, "DeleteRecords", 21, 0, 2, 2)                                          \
    X(INIT_PRODUCER_ID, init_producer_id, "InitProducerId", 22, 0, 4, 2)                                     \
    X(OFFSET_FOR_LEADER_EPOCH, offset_for_leader_epoch, "OffsetForLeaderEpoch", 23, 2, 4, 4)                 \
    X(DESCRIBE_CONFIGS, describe_configs, "DescribeConfigs", 32, 1, 4, 4)                                    \
    X(ALTER_CONFIGS, alter_configs, "AlterConfigs", 33, 0, 2, 2)                                             \
    X(DESCRIBE_LOG_DIRS, describe_log_dirs, "DescribeLogDirs", 35, 1, 4, 2)                                  \
    X(CREATE_PARTITIONS, create_partitions, "CreatePartitions", 37, 0, 3, 2)                                 \
    X(DELETE_GROUPS, delete_groups, "DeleteGroups", 42, 0, 2, 2)                                             \
    X(ELECT_LEADERS, elect_leaders, "ElectLeaders", 43, 0, 2, 2)                                             \
    X(INCREMENTAL_ALTER_CONFIGS, incremental_alter_configs, "IncrementalAlterConfigs", 44, 0, 1, 1)          \
    X(OFFSET_DELETE, offset_delete, "OffsetDelete", 47, 0, 0, KAFKA_NEVER)                                   \
    X(DESCRIBE_CLUSTER, describe_cluster, "DescribeCluster", 60, 0, 2, 0)                                    \
    X(DESCRIBE_TOPIC_PARTITIONS, describe_topic_partitions, "DescribeTopicPartitions", 75, 0, 0, 0)

enum kafka_api_key {
#define X(ENUM, message, name, key, oldest, newest, flexible) KAFKA_API_##ENUM = key,
    KAFKA_API_TABLE(X)
#undef X
};

struct kafka_type;

struct kafka_api {
    int16_t key;
    int16_t oldest_version;
    int16_t newest_version;
    int16_t flexible_since; /* KAFKA_NEVER: no version is */
    const char *name;       /* "ListOffsets" */
    const struct kafka_type *(*request_type)(void);
    const struct kafka_type *(*response_type)(void);
};

/* NULL for a key that is not in the table. */
const struct kafka_api *kafka_api_find(int16_t key);
/* All of them, by key. */
size_t kafka_api_count(void);
const struct kafka_api *kafka_api_at(size_t index);

static inline bool kafka_api_has_version(const struct kafka_api *api, int16_t version)
{
    return version >= api->oldest_version && version <= api->newest_version;
}
static inline bool kafka_api_is_flexible(const struct kafka_api *api, int16_t version)
{
    return version >= api->flexible_since;
}

#endif
