/* SyncGroup: the leader brings the assignment, the others wait for it. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"

void kafka_answer_sync(void *data, void *request, const struct classic_synced *answer)
{
    struct kafka_request *r = request;
    struct kafka_sync_group_response response = kafka_sync_group_response_default;
    (void)data;
    response.error_code = answer->error;
    response.protocol_type = kafka_string_of(answer->protocol_type);
    response.protocol_name = kafka_string_of(answer->protocol);
    response.assignment = (struct kafka_bytes){answer->assignment.data, (int32_t)answer->assignment.size};
    kafka_respond(r, &response);
}

static void turn_away(struct kafka_request *r, int16_t error)
{
    struct kafka_sync_group_response response = kafka_sync_group_response_default;
    response.error_code = error;
    kafka_respond(r, &response);
}

static bool take_assignments(struct kafka_request *r, const struct kafka_sync_group_request *m,
                             struct classic_sync *sync)
{
    size_t count = m->assignments.count > 0 ? (size_t)m->assignments.count : 0;
    struct classic_assignment *list = arena_alloc(&r->arena, (count + 1) * sizeof(*list));
    if (list == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct kafka_sync_group_request_assignment *a = &m->assignments.items[i];
        list[i].member_id = kafka_request_text(r, a->member_id);
        list[i].assignment = (struct classic_bytes){a->assignment.data, (size_t)a->assignment.size};
        if (list[i].member_id == NULL || a->assignment.size < 0)
            return false;
    }
    sync->assignments = list;
    sync->assignment_count = count;
    return true;
}

/* NULL stays NULL: not said. */
static const char *optional_text(struct kafka_request *r, struct kafka_string text)
{
    return kafka_string_is_null(text) ? NULL : kafka_request_text(r, text);
}

static bool take(struct kafka_request *r, const struct kafka_sync_group_request *m, struct classic_sync *sync)
{
    struct kafka_member_texts texts;
    if (!kafka_member_texts(r, m->member_id, m->group_instance_id, &texts) || !take_assignments(r, m, sync))
        return false;
    sync->member_id = texts.member_id;
    sync->instance_id = texts.instance_id;
    sync->protocol_type = optional_text(r, m->protocol_type);
    sync->protocol = optional_text(r, m->protocol_name);
    sync->generation = m->generation_id;
    sync->request = r;
    return true;
}

void kafka_sync_group(struct kafka_request *r)
{
    const struct kafka_sync_group_request *m = r->message;
    struct classic_sync sync = {0};
    struct kafka_group group;
    int16_t error = kafka_find_group(r, m->group_id, &group);
    if (error == KAFKA_ERR_NONE && !take(r, m, &sync))
        error = KAFKA_ERR_INVALID_REQUEST;
    if (error != KAFKA_ERR_NONE) {
        turn_away(r, error);
        return;
    }
    sync.group = group.name;
    kafka_await_group(r, &group, turn_away);
    classic_coordinator_sync(coordinator_classic(group.coordinator), &sync);
}
