#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"

void kafka_heartbeat(struct kafka_request *r)
{
    const struct kafka_heartbeat_request *m = r->message;
    struct kafka_heartbeat_response response = kafka_heartbeat_response_default;
    struct kafka_member_texts texts;
    struct kafka_group group;
    response.error_code = kafka_find_group(r, m->group_id, &group);
    if (response.error_code == KAFKA_ERR_NONE) {
        if (kafka_member_texts(r, m->member_id, m->group_instance_id, &texts))
            response.error_code =
                classic_coordinator_heartbeat(coordinator_classic(group.coordinator), group.name,
                                              texts.member_id, texts.instance_id, m->generation_id);
        else
            response.error_code = KAFKA_ERR_UNKNOWN_MEMBER_ID;
    }
    kafka_respond(r, &response);
}
