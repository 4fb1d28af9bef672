/* The one error table. Every function of the node, the tool and the wire protocols that can fail returns 0 or
 * one of these negative codes; libuv's, libraft's and errno codes are translated where they enter. The
 * numbers cross the wire and stand in client/include/flotilla.h under the same values: never renumber, only
 * append. */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

/* What the caller should do next. */
enum error_class {
    ERROR_NONE = 0,
    ERROR_RETRIABLE,       /* try again, after refreshing metadata */
    ERROR_OUTCOME_UNKNOWN, /* it may or may not have taken effect: only an idempotent retry is safe */
    ERROR_BAD_ARGUMENT,    /* the request itself is wrong; repeating it cannot help */
    ERROR_FENCED,          /* somebody newer has taken this caller's place; stop */
    ERROR_FATAL,           /* this object cannot go on */
};

/* X(NAME, number, class, text) */
#define ERROR_TABLE(X)                                                                                       \
    X(UNKNOWN, -1, FATAL, "unexpected internal error")                                                       \
    X(INVALID_ARGUMENT, -2, BAD_ARGUMENT, "invalid argument")                                                \
    X(OUT_OF_MEMORY, -3, RETRIABLE, "out of memory")                                                         \
    X(CANCELED, -4, OUTCOME_UNKNOWN, "canceled")                                                             \
    X(TIMED_OUT, -5, OUTCOME_UNKNOWN, "timed out")                                                           \
    X(IO, -6, FATAL, "input/output error")                                                                   \
    X(NO_SPACE, -7, RETRIABLE, "no space left on the node's disk")                                           \
    X(CORRUPT, -8, BAD_ARGUMENT, "data is corrupt: its checksum or structure does not match")                \
    X(CLOSED, -9, RETRIABLE, "connection closed")                                                            \
    X(CONNECTION_REFUSED, -10, RETRIABLE, "connection refused: nobody listens there")                        \
    X(CONNECTION_LOST, -11, RETRIABLE, "connection lost")                                                    \
    X(UNREACHABLE, -12, RETRIABLE, "host unreachable")                                                       \
    X(ADDRESS_IN_USE, -13, FATAL, "address already in use")                                                  \
    X(PERMISSION, -14, FATAL, "permission denied")                                                           \
    X(NOT_FOUND, -15, BAD_ARGUMENT, "not found")                                                             \
    X(EXISTS, -16, BAD_ARGUMENT, "already exists")                                                           \
    X(LOCKED, -17, FATAL, "locked by another process")                                                       \
    X(TOO_MANY_FILES, -18, FATAL, "too many open files")                                                     \
    X(TOO_LARGE, -19, BAD_ARGUMENT, "too large")                                                             \
    X(PROTOCOL, -20, FATAL, "malformed frame or message")                                                    \
    X(UNSUPPORTED_VERSION, -21, FATAL, "protocol version not supported")                                     \
    X(UNSUPPORTED, -22, BAD_ARGUMENT, "not supported")                                                       \
    X(CLUSTER_MISMATCH, -23, FATAL, "belongs to another cluster")                                            \
    X(NODE_MISMATCH, -24, FATAL, "belongs to another node")                                                  \
    X(NOT_LEADER, -25, RETRIABLE, "this node does not lead the partition")                                   \
    X(LEADER_NOT_AVAILABLE, -26, RETRIABLE, "the partition has no leader at the moment")                     \
    X(NOT_REPLICA, -27, RETRIABLE, "this node holds no replica of the partition")                            \
    X(OUTCOME_UNKNOWN, -28, OUTCOME_UNKNOWN, "leadership was lost before the outcome was known")             \
    X(UNKNOWN_TOPIC, -29, RETRIABLE, "unknown topic")                                                        \
    X(UNKNOWN_PARTITION, -30, BAD_ARGUMENT, "unknown partition")                                             \
    X(TOPIC_EXISTS, -31, BAD_ARGUMENT, "topic already exists")                                               \
    X(INVALID_TOPIC, -32, BAD_ARGUMENT, "invalid topic name: 1 to 249 of a-z A-Z 0-9 . _ - , not . or ..")   \
    X(INVALID_PARTITIONS, -33, BAD_ARGUMENT, "invalid number of partitions")                                 \
    X(INVALID_REPLICATION, -34, BAD_ARGUMENT, "more replicas asked for than there are nodes, or none")       \
    X(INVALID_CONFIG, -35, BAD_ARGUMENT, "invalid configuration")                                            \
    X(OFFSET_OUT_OF_RANGE, -36, BAD_ARGUMENT, "offset out of range")                                         \
    X(OUT_OF_ORDER_SEQUENCE, -37, FATAL, "producer sequence out of order")                                   \
    X(FENCED_PRODUCER, -38, FENCED, "a newer instance of this producer is active")                           \
    X(FENCED_EPOCH, -39, RETRIABLE, "the leader epoch is older than the partition's")                        \
    X(READ_ONLY, -40, RETRIABLE, "the partition is read-only: the leader's disk is full")                    \
    X(NOT_ENOUGH_REPLICAS, -41, RETRIABLE, "fewer replicas in reach than min.insync.replicas asks for")      \
    X(OVERLOADED, -42, RETRIABLE, "too much in flight")                                                      \
    X(SHUTTING_DOWN, -43, RETRIABLE, "the node is shutting down")                                            \
    X(INVALID_TIMESTAMP, -44, BAD_ARGUMENT, "record timestamp out of bounds")                                \
    X(REPLICA_FAILED, -45, RETRIABLE, "this replica stopped after a disk failure")                           \
    X(COORDINATOR_LOADING, -46, RETRIABLE, "the group's coordinator is still loading")                       \
    X(UNKNOWN_GROUP, -47, BAD_ARGUMENT, "unknown group")                                                     \
    X(INTERRUPTED, -48, RETRIABLE, "interrupted")                                                            \
    X(UNKNOWN_MEMBER, -49, FENCED, "not a member of the group: join it anew")                                \
    X(FENCED_MEMBER, -50, FENCED, "another member owns the partition, or has taken this member's place")     \
    X(GROUP_NOT_EMPTY, -51, BAD_ARGUMENT, "the group has members")                                           \
    X(INVALID_GROUP, -52, BAD_ARGUMENT, "invalid group name: 1 to 255 bytes")                                \
    X(MIXED_PROTOCOLS, -53, BAD_ARGUMENT, "the group has members of the other protocol")                     \
    X(GROUP_FULL, -54, RETRIABLE, "the group has as many members as it may have")

enum error_code {
    ERROR_OK = 0,
#define X(name, number, cls, text) ERR_##name = number,
    ERROR_TABLE(X)
#undef X
};

/* "not_leader" (stable, for logs, JSON and metrics); "unknown" for a number outside the table. */
const char *error_name(int code);
/* A sentence without full stop; never NULL. */
const char *error_text(int code);
enum error_class error_class_of(int code);
/* Translates an errno value (positive) or libuv's negated one; 0 stays 0. */
int error_from_errno(int errnum);

#endif
