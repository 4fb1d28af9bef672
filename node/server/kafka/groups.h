/* What the handlers about groups share. Internal to this room. */
#ifndef SERVER_KAFKA_GROUPS_H
#define SERVER_KAFKA_GROUPS_H

#include "node/group/coordinator.h"
#include "node/server/kafka/kafka_request.h"

struct kafka_group {
    const char *name;        /* in the request's arena */
    uint64_t coordinator_id; /* the Raft group of the partition that coordinates it */
    struct coordinator *coordinator;
};
/* An error of Kafka's unless it is coordinated here. */
int16_t kafka_find_group(struct kafka_request *r, struct kafka_string group_id, struct kafka_group *group);
/* Texts of a request that says who it is from; false: one of them can't be a text. `instance_id` NULL: none.
 */
struct kafka_member_texts {
    const char *member_id, *instance_id;
};
bool kafka_member_texts(struct kafka_request *r, struct kafka_string member_id,
                        struct kafka_string instance_id, struct kafka_member_texts *out);

/* A join or sync waits for its group: what it takes to give it up. */
void kafka_await_group(struct kafka_request *r, const struct kafka_group *group,
                       void (*turn_away)(struct kafka_request *r, int16_t error));

/* Effects of the coordinators (struct classic_options); `request` is a struct kafka_request. */
void kafka_answer_join(void *data, void *request, const struct classic_joined *answer);
void kafka_answer_sync(void *data, void *request, const struct classic_synced *answer);

#endif
