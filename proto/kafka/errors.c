#include "proto/kafka/errors.h"
#include "proto/error.h"
#include <stddef.h>

/* X(ours, theirs) */
#define MAPPING(X)                                                                                           \
    X(INVALID_ARGUMENT, INVALID_REQUEST)                                                                     \
    X(OUT_OF_MEMORY, REQUEST_TIMED_OUT)                                                                      \
    X(CANCELED, REQUEST_TIMED_OUT)                                                                           \
    X(TIMED_OUT, REQUEST_TIMED_OUT)                                                                          \
    X(IO, KAFKA_STORAGE_ERROR)                                                                               \
    X(NO_SPACE, KAFKA_STORAGE_ERROR)                                                                         \
    X(CORRUPT, CORRUPT_MESSAGE)                                                                              \
    X(CLOSED, NETWORK_EXCEPTION)                                                                             \
    X(CONNECTION_REFUSED, NETWORK_EXCEPTION)                                                                 \
    X(CONNECTION_LOST, NETWORK_EXCEPTION)                                                                    \
    X(UNREACHABLE, NETWORK_EXCEPTION)                                                                        \
    X(NOT_FOUND, RESOURCE_NOT_FOUND)                                                                         \
    X(EXISTS, DUPLICATE_RESOURCE)                                                                            \
    X(LOCKED, KAFKA_STORAGE_ERROR)                                                                           \
    X(TOO_MANY_FILES, KAFKA_STORAGE_ERROR)                                                                   \
    X(TOO_LARGE, MESSAGE_TOO_LARGE)                                                                          \
    X(PROTOCOL, INVALID_REQUEST)                                                                             \
    X(UNSUPPORTED_VERSION, UNSUPPORTED_VERSION)                                                              \
    X(UNSUPPORTED, UNSUPPORTED_VERSION)                                                                      \
    X(CLUSTER_MISMATCH, INCONSISTENT_CLUSTER_ID)                                                             \
    X(NOT_LEADER, NOT_LEADER_OR_FOLLOWER)                                                                    \
    X(LEADER_NOT_AVAILABLE, LEADER_NOT_AVAILABLE)                                                            \
    X(NOT_REPLICA, NOT_LEADER_OR_FOLLOWER)                                                                   \
    X(OUTCOME_UNKNOWN, REQUEST_TIMED_OUT)                                                                    \
    X(UNKNOWN_TOPIC, UNKNOWN_TOPIC_OR_PARTITION)                                                             \
    X(UNKNOWN_PARTITION, UNKNOWN_TOPIC_OR_PARTITION)                                                         \
    X(TOPIC_EXISTS, TOPIC_ALREADY_EXISTS)                                                                    \
    X(INVALID_TOPIC, INVALID_TOPIC_EXCEPTION)                                                                \
    X(INVALID_PARTITIONS, INVALID_PARTITIONS)                                                                \
    X(INVALID_REPLICATION, INVALID_REPLICATION_FACTOR)                                                       \
    X(INVALID_CONFIG, INVALID_CONFIG)                                                                        \
    X(OFFSET_OUT_OF_RANGE, OFFSET_OUT_OF_RANGE)                                                              \
    X(OUT_OF_ORDER_SEQUENCE, OUT_OF_ORDER_SEQUENCE_NUMBER)                                                   \
    X(FENCED_PRODUCER, INVALID_PRODUCER_EPOCH)                                                               \
    X(FENCED_EPOCH, FENCED_LEADER_EPOCH)                                                                     \
    X(READ_ONLY, KAFKA_STORAGE_ERROR)                                                                        \
    X(NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS)                                                              \
    X(OVERLOADED, REQUEST_TIMED_OUT)                                                                         \
    X(SHUTTING_DOWN, LEADER_NOT_AVAILABLE)                                                                   \
    X(INVALID_TIMESTAMP, INVALID_TIMESTAMP)                                                                  \
    X(REPLICA_FAILED, KAFKA_STORAGE_ERROR)                                                                   \
    X(COORDINATOR_LOADING, COORDINATOR_LOAD_IN_PROGRESS)                                                     \
    X(UNKNOWN_GROUP, GROUP_ID_NOT_FOUND)                                                                     \
    X(INTERRUPTED, REQUEST_TIMED_OUT)                                                                        \
    X(UNKNOWN_MEMBER, UNKNOWN_MEMBER_ID)                                                                     \
    X(FENCED_MEMBER, FENCED_INSTANCE_ID)                                                                     \
    X(GROUP_NOT_EMPTY, NON_EMPTY_GROUP)                                                                      \
    X(INVALID_GROUP, INVALID_GROUP_ID)                                                                       \
    X(MIXED_PROTOCOLS, INCONSISTENT_GROUP_PROTOCOL)                                                          \
    X(GROUP_FULL, GROUP_MAX_SIZE_REACHED)

int16_t kafka_error_from(int error)
{
    switch (error) {
    case ERROR_OK:
        return KAFKA_ERR_NONE;
#define X(ours, theirs)                                                                                      \
    case ERR_##ours:                                                                                         \
        return KAFKA_ERR_##theirs;
        MAPPING(X)
#undef X
    default:
        return KAFKA_ERR_UNKNOWN_SERVER_ERROR;
    }
}
