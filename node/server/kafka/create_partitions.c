/* CreatePartitions: topics grow. */
#include "node/server/kafka/admin_call.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include <inttypes.h>
#include <stdio.h>

enum { MESSAGE_SIZE = 160 };

static const char *too_few(struct kafka_request *r, const struct topic_meta *topic, int32_t wanted)
{
    char text[MESSAGE_SIZE];
    int size = snprintf(text, sizeof(text),
                        "the topic has %" PRIu32 " partitions; it can only be given more, not %" PRId32,
                        topic->partition_count, wanted);
    return arena_strndup(&r->arena, text, (size_t)size);
}

static void check(struct admin_item *item, const struct kafka_create_partitions_request_topic *asked)
{
    struct kafka_request *r = item->call->request;
    const struct topic_meta *topic = kafka_topic_by_name(r->server, asked->name);
    if (topic == NULL)
        admin_refuse(item, kafka_unknown_topic(r->server), "there is no such topic");
    else if (asked->assignments.count > 0)
        admin_refuse(item, KAFKA_ERR_INVALID_REPLICA_ASSIGNMENT,
                     "the cluster places replicas by itself: leave the assignment out");
    else if (asked->count <= 0 || (uint32_t)asked->count <= topic->partition_count)
        admin_refuse(item, KAFKA_ERR_INVALID_PARTITIONS, too_few(r, topic, asked->count));
}

static void begin(struct admin_item *item, size_t index)
{
    struct kafka_request *r = item->call->request;
    const struct kafka_create_partitions_request *m = r->message;
    item->op.only_check = m->validate_only;
    cluster_alter_topic(r->server->cluster, &item->op, item->name, (uint32_t)m->topics.items[index].count,
                        NULL, 0, admin_timeout_ms(m->timeout_ms), admin_item_done);
}

static void answer(struct admin_call *call)
{
    struct kafka_request *r = call->request;
    const struct kafka_create_partitions_request *m = r->message;
    struct kafka_create_partitions_response response = kafka_create_partitions_response_default;
    response.results.items = KAFKA_NEW(&r->arena, create_partitions_response_result, call->count);
    if (response.results.items == NULL) {
        kafka_refuse_too_large(r);
        return;
    }
    response.results.count = (int32_t)call->count;
    for (size_t i = 0; i < call->count; i++) {
        response.results.items[i].name = m->topics.items[i].name;
        response.results.items[i].error_code = call->items[i].error;
        response.results.items[i].error_message = kafka_string_of(call->items[i].message);
    }
    kafka_respond(r, &response);
}

void kafka_create_partitions(struct kafka_request *r)
{
    const struct kafka_create_partitions_request *m = r->message;
    struct admin_call *call = admin_call_create(r, (size_t)m->topics.count);
    if (call == NULL)
        return;
    for (size_t i = 0; i < call->count; i++) {
        admin_item_set_topic(&call->items[i], m->topics.items[i].name);
        if (call->items[i].error == KAFKA_ERR_NONE)
            check(&call->items[i], &m->topics.items[i]);
    }
    admin_refuse_duplicates(call);
    admin_call_run(call, begin, answer);
}
