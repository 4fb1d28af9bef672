/* Topics, partitions and coordinators that Kafka requests name. Internal to this room. */
#ifndef SERVER_KAFKA_LOOKUP_H
#define SERVER_KAFKA_LOOKUP_H

#include "node/server/kafka/kafka_request.h"

/* NULL: no such topic (also when the name can't be one). */
const struct topic_meta *kafka_topic_by_name(const struct server *s, struct kafka_string name);
const struct topic_meta *kafka_topic_by_id(const struct server *s, struct kafka_uuid id);
struct kafka_uuid kafka_topic_uuid(const struct topic_meta *topic);

/* What a partition of `topic` (may be NULL) is on this node. 0 with the replica, which this node leads and
 * serves; else an error. `group_id` is set as soon as the partition is known, else 0. `epoch` is the one that
 * the client believes in, or -1: one that differs is refused. Errors are Kafka's. */
int16_t kafka_find_leader(const struct server *s, const struct topic_meta *topic, int32_t index,
                          int32_t epoch, struct partition **partition, uint64_t *group_id);
/* What to say of a topic or partition that is not in this node's tables, which may be behind the cluster's.
 */
int16_t kafka_unknown_topic(const struct server *s);
/* The same, where the name may be one that no topic can have. */
int16_t kafka_missing_topic(struct kafka_request *r, struct kafka_string name);

/* Kafka's code for an error of ours (proto/error.h) from a group's coordinator: there it is the group that
 * has moved, not a partition. */
int16_t kafka_group_error(int error);
/* The address at which this client is to reach the node: what the node advertises. One that listens on all
 * addresses and advertises none that others can use is where the client has found it. */
struct kafka_string kafka_node_host(const struct kafka_request *r, const struct node_meta *node);

/* The partition in which the group is kept, by its Raft group; 0: there is none yet. */
uint64_t kafka_coordinator_partition(const struct server *s, const char *group);
/* The node that leads the group's coordinator; 0: nobody at the moment. */
uint32_t kafka_coordinator_of(const struct server *s, const char *group);
/* The replica that coordinates the group on this node, or an error of Kafka's. */
int16_t kafka_local_coordinator(const struct server *s, const char *group, struct partition **partition);

#endif
