#include "node/server/kafka/groups.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"
#include <string.h>

int16_t kafka_find_group(struct kafka_request *r, struct kafka_string group_id, struct kafka_group *group)
{
    struct partition *partition;
    group->name = kafka_request_text(r, group_id);
    if (group->name == NULL || group->name[0] == '\0' || strlen(group->name) > OFFSETS_GROUP_MAX)
        return KAFKA_ERR_INVALID_GROUP_ID;
    int16_t error = kafka_local_coordinator(r->server, group->name, &partition);
    if (error != KAFKA_ERR_NONE)
        return error;
    group->coordinator_id = partition_group_id(partition);
    group->coordinator = coordinator_of(partition);
    return group->coordinator != NULL ? KAFKA_ERR_NONE : KAFKA_ERR_COORDINATOR_LOAD_IN_PROGRESS;
}

bool kafka_member_texts(struct kafka_request *r, struct kafka_string member_id,
                        struct kafka_string instance_id, struct kafka_member_texts *out)
{
    bool has_instance = !kafka_string_is_null(instance_id);
    out->member_id = kafka_request_text(r, member_id);
    out->instance_id = has_instance ? kafka_request_text(r, instance_id) : NULL;
    return out->member_id != NULL && (!has_instance || out->instance_id != NULL);
}

/* ---- requests that wait ---- */

struct group_wait {
    const char *group;
    uint64_t coordinator_id;
    void (*turn_away)(struct kafka_request *r, int16_t error);
};

static void give_up(struct kafka_request *r)
{
    const struct group_wait *wait = r->state;
    struct partition *partition = broker_partition(r->server->broker, wait->coordinator_id);
    struct coordinator *coordinator = partition != NULL ? coordinator_of(partition) : NULL;
    if (coordinator != NULL)
        classic_coordinator_forget_request(coordinator_classic(coordinator), wait->group, r);
    wait->turn_away(r, KAFKA_ERR_NOT_COORDINATOR);
}

void kafka_await_group(struct kafka_request *r, const struct kafka_group *group,
                       void (*turn_away)(struct kafka_request *r, int16_t error))
{
    struct group_wait *wait = kafka_request_state(r, sizeof(*wait));
    wait->group = group->name;
    wait->coordinator_id = group->coordinator_id;
    wait->turn_away = turn_away;
    r->cancel = give_up;
    r->end_wait = give_up;
}
