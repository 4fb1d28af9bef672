/* DeleteRecords: the start of a partition moves up, on all of its replicas. The partition's leader says
 * whether the offset may be; the cluster's tables keep it, so that whoever leads later knows. */
#include "node/server/kafka/admin_call.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include <string.h>

enum { TO_HIGH_WATERMARK = -1 };

static struct kafka_delete_records_response *response_of(const struct admin_call *call)
{
    return call->context;
}

/* ---- checking ---- */

/* Leaves in `low_watermark` where the partition will begin. */
static int16_t check(const struct server *s, const struct topic_meta *topic,
                     const struct kafka_delete_records_request_partition *asked, int64_t *low_watermark)
{
    struct partition *partition = NULL;
    uint64_t group_id;
    *low_watermark = -1;
    if (topic != NULL && topic->internal)
        return KAFKA_ERR_POLICY_VIOLATION;
    int16_t error = kafka_find_leader(s, topic, asked->partition_index, -1, &partition, &group_id);
    if (error != KAFKA_ERR_NONE)
        return error;
    int64_t start = partition_start_offset(partition), end = partition_high_watermark(partition);
    int64_t offset = asked->offset == TO_HIGH_WATERMARK ? end : asked->offset;
    if (offset < 0 || offset > end)
        return KAFKA_ERR_OFFSET_OUT_OF_RANGE;
    *low_watermark = offset > start ? offset : start;
    return KAFKA_ERR_NONE;
}

/* Returns whether a partition of it is to be cut; false also when the arena is full, then without items. */
static bool check_topic(struct admin_call *call, const struct kafka_delete_records_request_topic *asked,
                        struct kafka_delete_records_response_topic *t)
{
    const struct server *s = call->request->server;
    const struct topic_meta *topic = kafka_topic_by_name(s, asked->name);
    bool any = false;
    t->name = asked->name;
    t->partitions.items =
        KAFKA_NEW(&call->request->arena, delete_records_response_partition, (size_t)asked->partitions.count);
    if (t->partitions.items == NULL)
        return false;
    t->partitions.count = asked->partitions.count;
    for (int32_t i = 0; i < asked->partitions.count; i++) {
        struct kafka_delete_records_response_partition *p = &t->partitions.items[i];
        p->partition_index = asked->partitions.items[i].partition_index;
        p->error_code = check(s, topic, &asked->partitions.items[i], &p->low_watermark);
        any |= p->error_code == KAFKA_ERR_NONE;
    }
    return any;
}

static bool prepare(struct admin_call *call, const struct kafka_delete_records_request *m)
{
    struct arena *arena = &call->request->arena;
    struct kafka_delete_records_response *response = KAFKA_NEW(arena, delete_records_response, 1);
    call->context = response;
    if (response == NULL)
        return false;
    response->topics.items = KAFKA_NEW(arena, delete_records_response_topic, call->count);
    if (response->topics.items == NULL)
        return false;
    response->topics.count = (int32_t)call->count;
    for (size_t i = 0; i < call->count; i++) {
        struct kafka_delete_records_response_topic *t = &response->topics.items[i];
        if (!check_topic(call, &m->topics.items[i], t))
            admin_refuse(&call->items[i], KAFKA_ERR_INVALID_REQUEST, NULL); /* its partitions say why */
        if (t->partitions.items == NULL)
            return false;
    }
    return true;
}

/* ---- doing and answering ---- */

static void begin(struct admin_item *item, size_t index)
{
    struct kafka_request *r = item->call->request;
    const struct kafka_delete_records_request *m = r->message;
    const struct kafka_delete_records_response_topic *t = &response_of(item->call)->topics.items[index];
    const struct topic_meta *topic = kafka_topic_by_name(r->server, t->name);
    struct cluster_partition_start *starts =
        arena_alloc(&r->arena, (size_t)t->partitions.count * sizeof(*starts));
    size_t count = 0;
    if (topic == NULL || starts == NULL) {
        admin_refuse(item, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        return;
    }
    for (int32_t i = 0; i < t->partitions.count; i++)
        if (t->partitions.items[i].error_code == KAFKA_ERR_NONE)
            starts[count++] = (struct cluster_partition_start){
                (uint32_t)t->partitions.items[i].partition_index, t->partitions.items[i].low_watermark};
    cluster_delete_records(r->server->cluster, &item->op, topic->id, starts, count,
                           admin_timeout_ms(m->timeout_ms), admin_item_done);
}

static void answer(struct admin_call *call)
{
    struct kafka_delete_records_response *response = response_of(call);
    for (size_t i = 0; i < call->count; i++)
        for (int32_t k = 0; k < response->topics.items[i].partitions.count; k++) {
            struct kafka_delete_records_response_partition *p =
                &response->topics.items[i].partitions.items[k];
            if (p->error_code == KAFKA_ERR_NONE && call->items[i].error != KAFKA_ERR_NONE) {
                p->error_code = call->items[i].error;
                p->low_watermark = -1;
            }
        }
    kafka_respond(call->request, response);
}

void kafka_delete_records(struct kafka_request *r)
{
    const struct kafka_delete_records_request *m = r->message;
    struct admin_call *call = admin_call_create(r, (size_t)m->topics.count);
    if (call == NULL)
        return;
    if (prepare(call, m))
        admin_call_run(call, begin, answer);
    else
        kafka_refuse_too_large(r);
}
