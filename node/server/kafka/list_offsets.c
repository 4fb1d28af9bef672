/* ListOffsets: where a partition begins and ends, and which record is the first of a time. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"

enum {
    EARLIEST_LOCAL = -4, /* without tiered storage the same as the earliest */
    OLDEST_WITH_NOT_AVAILABLE = 5,
    ITEMS_MAX = 100000,
};

struct list_item {
    struct list_call *call;
    struct kafka_list_offsets_response_partition *answer;
    struct list_offset_req list;
    int64_t target;
};

struct list_call {
    struct kafka_request *request;
    struct kafka_list_offsets_response response;
    unsigned pending;
    struct list_item items[];
};

static void release(struct list_call *call)
{
    if (--call->pending == 0)
        kafka_respond(call->request, &call->response);
}

/* A new leader that has not committed anything of its own cannot say where the end is. */
static int16_t list_error(const struct kafka_request *r, int status)
{
    if (status == ERR_LEADER_NOT_AVAILABLE && r->header.api_version >= OLDEST_WITH_NOT_AVAILABLE)
        return KAFKA_ERR_OFFSET_NOT_AVAILABLE;
    return status == ERR_LEADER_NOT_AVAILABLE ? KAFKA_ERR_NOT_LEADER_OR_FOLLOWER : kafka_error_from(status);
}

static void on_listed(struct list_offset_req *req, int status)
{
    struct list_item *item = req->data;
    struct kafka_list_offsets_response_partition *p = item->answer;
    p->error_code = list_error(item->call->request, status);
    if (status == 0) {
        p->offset = req->offset;
        p->timestamp = item->target == OFFSET_START || item->target == OFFSET_END ? -1 : req->timestamp_ms;
        p->leader_epoch = req->offset >= 0 ? req->leader_epoch : -1;
    }
    release(item->call);
}

static void begin_item(struct list_item *item, const struct topic_meta *topic,
                       const struct kafka_list_offsets_request_partition *asked)
{
    struct partition *partition = NULL;
    uint64_t group_id;
    const struct server *s = item->call->request->server;
    item->answer->partition_index = asked->partition_index;
    item->target = asked->timestamp == EARLIEST_LOCAL ? OFFSET_START : asked->timestamp;
    item->answer->error_code = kafka_find_leader(s, topic, asked->partition_index,
                                                 asked->current_leader_epoch, &partition, &group_id);
    if (item->answer->error_code == KAFKA_ERR_NONE && item->target < OFFSET_MAX_TIMESTAMP)
        item->answer->error_code = KAFKA_ERR_UNSUPPORTED_VERSION;
    if (item->answer->error_code != KAFKA_ERR_NONE) {
        release(item->call);
        return;
    }
    item->list.data = item;
    partition_list_offset(partition, &item->list, item->target, on_listed);
}

static bool prepare(struct list_call *call, const struct kafka_list_offsets_request *m)
{
    struct arena *arena = &call->request->arena;
    call->response = kafka_list_offsets_response_default;
    call->response.topics.items = KAFKA_NEW(arena, list_offsets_response_topic, (size_t)m->topics.count);
    if (call->response.topics.items == NULL)
        return false;
    call->response.topics.count = m->topics.count;
    for (int32_t i = 0; i < m->topics.count; i++) {
        struct kafka_list_offsets_response_topic *t = &call->response.topics.items[i];
        int32_t count = m->topics.items[i].partitions.count;
        t->name = m->topics.items[i].name;
        t->partitions.items = KAFKA_NEW(arena, list_offsets_response_partition, (size_t)count);
        if (t->partitions.items == NULL)
            return false;
        t->partitions.count = count;
    }
    return true;
}

static unsigned count_items(const struct kafka_list_offsets_request *m)
{
    unsigned count = 0;
    for (int32_t i = 0; i < m->topics.count; i++)
        count += (unsigned)m->topics.items[i].partitions.count;
    return count;
}

static void begin(struct list_call *call, const struct kafka_list_offsets_request *m)
{
    struct list_item *item = call->items;
    for (int32_t i = 0; i < m->topics.count; i++) {
        const struct kafka_list_offsets_request_topic *asked = &m->topics.items[i];
        const struct topic_meta *topic = kafka_topic_by_name(call->request->server, asked->name);
        for (int32_t k = 0; k < asked->partitions.count; k++, item++) {
            item->call = call;
            item->answer = &call->response.topics.items[i].partitions.items[k];
            begin_item(item, topic, &asked->partitions.items[k]);
        }
    }
}

void kafka_list_offsets(struct kafka_request *r)
{
    const struct kafka_list_offsets_request *m = r->message;
    unsigned count = count_items(m);
    if (count > ITEMS_MAX) {
        kafka_refuse(r, "too many partitions in one request");
        return;
    }
    struct list_call *call = kafka_request_state(r, sizeof(*call) + count * sizeof(call->items[0]));
    call->request = r;
    call->pending = count + 1; /* one for this function */
    if (!prepare(call, m)) {
        kafka_refuse_too_large(r);
        return;
    }
    begin(call, m);
    release(call);
}
