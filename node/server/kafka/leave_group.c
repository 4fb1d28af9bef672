#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"

enum { OLDEST_WITH_MEMBERS = 3 };

static int16_t leave(struct kafka_request *r, const struct kafka_group *group, struct kafka_string member_id,
                     struct kafka_string instance_id)
{
    struct kafka_member_texts texts;
    if (!kafka_member_texts(r, member_id, instance_id, &texts))
        return KAFKA_ERR_UNKNOWN_MEMBER_ID;
    return classic_coordinator_leave(coordinator_classic(group->coordinator), group->name, texts.member_id,
                                     texts.instance_id);
}

static bool leave_all(struct kafka_request *r, const struct kafka_group *group,
                      struct kafka_leave_group_response *response)
{
    const struct kafka_leave_group_request *m = r->message;
    response->members.items = KAFKA_NEW(&r->arena, leave_group_response_member, (size_t)m->members.count);
    if (response->members.items == NULL)
        return false;
    response->members.count = m->members.count;
    for (int32_t i = 0; i < m->members.count; i++) {
        const struct kafka_leave_group_request_member *asked = &m->members.items[i];
        struct kafka_leave_group_response_member *answer = &response->members.items[i];
        answer->member_id = asked->member_id;
        answer->group_instance_id = asked->group_instance_id;
        answer->error_code = leave(r, group, asked->member_id, asked->group_instance_id);
    }
    return true;
}

void kafka_leave_group(struct kafka_request *r)
{
    const struct kafka_leave_group_request *m = r->message;
    struct kafka_leave_group_response response = kafka_leave_group_response_default;
    struct kafka_group group;
    response.error_code = kafka_find_group(r, m->group_id, &group);
    if (response.error_code == KAFKA_ERR_NONE && r->header.api_version < OLDEST_WITH_MEMBERS) {
        response.error_code = leave(r, &group, m->member_id, kafka_string_null());
    } else if (response.error_code == KAFKA_ERR_NONE && !leave_all(r, &group, &response)) {
        kafka_refuse_too_large(r);
        return;
    }
    kafka_respond(r, &response);
}
