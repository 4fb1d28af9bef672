/* DeleteTopics, by name and, from version 6 on, by id. */
#include "node/server/kafka/admin_call.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"

enum { FIRST_WITH_IDS = 6 };

static void set_by_id(struct admin_item *item, struct kafka_uuid id)
{
    const struct topic_meta *topic = kafka_topic_by_id(item->call->request->server, id);
    if (topic == NULL)
        admin_refuse(item, KAFKA_ERR_UNKNOWN_TOPIC_ID, "there is no topic with this id");
    else
        admin_item_set_topic(item, kafka_string_of(topic->name));
}

static void set_topics(struct admin_call *call, const struct kafka_delete_topics_request *m)
{
    for (size_t i = 0; i < call->count; i++) {
        struct admin_item *item = &call->items[i];
        if (call->request->header.api_version < FIRST_WITH_IDS)
            admin_item_set_topic(item, m->topic_names.items[i]);
        else if (kafka_string_is_null(m->topics.items[i].name))
            set_by_id(item, m->topics.items[i].topic_id);
        else
            admin_item_set_topic(item, m->topics.items[i].name);
    }
}

static void begin(struct admin_item *item, size_t index)
{
    struct cluster *cluster = item->call->request->server->cluster;
    (void)index;
    const struct topic_meta *topic = metadata_topic(cluster_metadata(cluster), item->name);
    if (topic != NULL)
        memcpy(item->op.topic_id, topic->id, sizeof(item->op.topic_id)); /* for the answer */
    cluster_delete_topic(cluster, &item->op, item->name, admin_item_done);
}

static struct kafka_string asked_name(const struct admin_call *call, size_t index)
{
    const struct kafka_delete_topics_request *m = call->request->message;
    return call->request->header.api_version < FIRST_WITH_IDS ? m->topic_names.items[index]
                                                              : m->topics.items[index].name;
}

static void fill(const struct admin_call *call, size_t index, struct kafka_delete_topics_response_topic *t)
{
    const struct kafka_delete_topics_request *m = call->request->message;
    const struct admin_item *item = &call->items[index];
    t->error_code = item->error;
    t->error_message = kafka_string_of(item->message);
    t->name = item->name != NULL ? kafka_string_of(item->name) : asked_name(call, index);
    memcpy(t->topic_id.bytes, item->op.topic_id, sizeof(t->topic_id.bytes));
    if (call->request->header.api_version >= FIRST_WITH_IDS &&
        kafka_string_is_null(m->topics.items[index].name))
        t->topic_id = m->topics.items[index].topic_id;
}

static void answer(struct admin_call *call)
{
    struct kafka_request *r = call->request;
    struct kafka_delete_topics_response response = kafka_delete_topics_response_default;
    response.responses.items = KAFKA_NEW(&r->arena, delete_topics_response_topic, call->count);
    if (response.responses.items == NULL) {
        kafka_refuse_too_large(r);
        return;
    }
    response.responses.count = (int32_t)call->count;
    for (size_t i = 0; i < call->count; i++)
        fill(call, i, &response.responses.items[i]);
    kafka_respond(r, &response);
}

void kafka_delete_topics(struct kafka_request *r)
{
    const struct kafka_delete_topics_request *m = r->message;
    int32_t count = r->header.api_version < FIRST_WITH_IDS ? m->topic_names.count : m->topics.count;
    struct admin_call *call = admin_call_create(r, (size_t)count);
    if (call == NULL)
        return;
    set_topics(call, m);
    admin_refuse_duplicates(call);
    admin_call_run(call, begin, answer);
}
