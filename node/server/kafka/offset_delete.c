/* OffsetDelete: committed offsets of a group without members. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"
#include "node/server/kafka/lookup.h"
#include "node/server/kafka/offset_results.h"
#include "proto/error.h"

struct delete_call {
    struct kafka_request *request;
    struct offset_results results;
    struct group_forget_req forget;
};

static bool prepare(struct delete_call *call, const struct kafka_offset_delete_request *m)
{
    if (!offset_results_init(&call->results, &call->request->arena, m->topics.count))
        return false;
    for (int32_t i = 0; i < m->topics.count; i++) {
        const struct kafka_offset_delete_request_topic *asked = &m->topics.items[i];
        struct kafka_offset_commit_response_partition *partitions =
            offset_results_add(&call->results, asked->name, asked->partitions.count);
        if (partitions == NULL)
            return false;
        for (int32_t k = 0; k < asked->partitions.count; k++)
            partitions[k].partition_index = asked->partitions.items[k].partition_index;
    }
    return true;
}

static void collect(struct delete_call *call, struct partition_set *offsets)
{
    const struct server *s = call->request->server;
    for (int32_t i = 0; i < call->results.count; i++) {
        const struct kafka_offset_commit_response_topic *t = &call->results.topics[i];
        const struct topic_meta *topic = kafka_topic_by_name(s, t->name);
        for (int32_t k = 0; k < t->partitions.count; k++) {
            int32_t index = t->partitions.items[k].partition_index;
            if (topic == NULL || index < 0 || (uint32_t)index >= topic->partition_count)
                t->partitions.items[k].error_code = kafka_unknown_topic(s);
            else
                partition_set_append(offsets, topic->id, (uint32_t)index);
        }
    }
    partition_set_sort(offsets);
}

/* `error` is the whole request's. */
static void answer(struct delete_call *call, int16_t error)
{
    struct kafka_offset_delete_response response = kafka_offset_delete_response_default;
    response.error_code = error;
    response.topics.items = call->results.topics;
    response.topics.count = call->results.count;
    kafka_respond(call->request, &response);
}

static void on_forgotten(struct group_forget_req *req, int status)
{
    struct delete_call *call = req->data;
    bool in_use = status == ERR_GROUP_NOT_EMPTY;
    /* Of a group with members nobody knows which topics they do not read. */
    if (in_use)
        offset_results_set_error(&call->results, KAFKA_ERR_GROUP_SUBSCRIBED_TO_TOPIC);
    answer(call, in_use ? KAFKA_ERR_NONE : kafka_group_error(status));
}

void kafka_offset_delete(struct kafka_request *r)
{
    const struct kafka_offset_delete_request *m = r->message;
    struct delete_call *call = kafka_request_state(r, sizeof(*call));
    struct partition_set offsets = {0};
    struct kafka_group group;
    call->request = r;
    call->forget.data = call;
    if (!prepare(call, m)) {
        kafka_refuse_too_large(r);
        return;
    }
    int16_t error = kafka_find_group(r, m->group_id, &group);
    if (error != KAFKA_ERR_NONE) {
        answer(call, error);
        return;
    }
    collect(call, &offsets);
    coordinator_forget(group.coordinator, group.name, &offsets, &call->forget, on_forgotten);
    partition_set_close(&offsets);
}
