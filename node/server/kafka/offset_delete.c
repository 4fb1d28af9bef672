/* OffsetDelete: committed offsets of a group without members. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"

struct delete_call {
    struct kafka_request *request;
    struct kafka_offset_delete_response response;
    struct group_forget_req forget;
};

static bool prepare(struct delete_call *call, const struct kafka_offset_delete_request *m)
{
    struct arena *arena = &call->request->arena;
    call->response = kafka_offset_delete_response_default;
    call->response.topics.items = KAFKA_NEW(arena, offset_delete_response_topic, (size_t)m->topics.count);
    if (call->response.topics.items == NULL)
        return false;
    call->response.topics.count = m->topics.count;
    for (int32_t i = 0; i < m->topics.count; i++) {
        struct kafka_offset_delete_response_topic *t = &call->response.topics.items[i];
        int32_t count = m->topics.items[i].partitions.count;
        t->name = m->topics.items[i].name;
        t->partitions.items = KAFKA_NEW(arena, offset_delete_response_partition, (size_t)count);
        if (t->partitions.items == NULL)
            return false;
        t->partitions.count = count;
        for (int32_t k = 0; k < count; k++)
            t->partitions.items[k].partition_index = m->topics.items[i].partitions.items[k].partition_index;
    }
    return true;
}

static void collect(struct delete_call *call, struct partition_set *offsets)
{
    const struct server *s = call->request->server;
    for (int32_t i = 0; i < call->response.topics.count; i++) {
        struct kafka_offset_delete_response_topic *t = &call->response.topics.items[i];
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

/* Of a group with members nobody knows which topics they do not read. */
static void set_errors(struct delete_call *call, int16_t error)
{
    for (int32_t i = 0; i < call->response.topics.count; i++) {
        struct kafka_offset_delete_response_topic *t = &call->response.topics.items[i];
        for (int32_t k = 0; k < t->partitions.count; k++)
            t->partitions.items[k].error_code = error;
    }
}

static void on_forgotten(struct group_forget_req *req, int status)
{
    struct delete_call *call = req->data;
    if (status == ERR_GROUP_NOT_EMPTY)
        set_errors(call, KAFKA_ERR_GROUP_SUBSCRIBED_TO_TOPIC);
    else
        call->response.error_code = kafka_group_error(status);
    kafka_respond(call->request, &call->response);
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
    call->response.error_code = kafka_find_group(r, m->group_id, &group);
    if (call->response.error_code != KAFKA_ERR_NONE) {
        kafka_respond(r, &call->response);
        return;
    }
    collect(call, &offsets);
    coordinator_forget(group.coordinator, group.name, &offsets, &call->forget, on_forgotten);
    partition_set_close(&offsets);
}
