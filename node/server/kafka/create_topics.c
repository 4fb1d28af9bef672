/* CreateTopics: the controller checks and places; the answer waits until the partitions have leaders. */
#include "node/server/kafka/config_change.h"
#include "node/server/kafka/config_view.h"
#include "node/server/kafka/dispatch.h"
#include "proto/error.h"
#include <string.h>

enum { BY_DEFAULT = -1 }; /* of partitions or replicas, from version 4 on */

static const struct kafka_create_topics_request *message_of(const struct admin_call *call)
{
    return call->request->message;
}

/* ---- asking ---- */

static void check_numbers(struct admin_item *item, const struct kafka_create_topics_request_topic *asked)
{
    if (asked->assignments.count > 0)
        admin_refuse(item, KAFKA_ERR_INVALID_REPLICA_ASSIGNMENT,
                     "the cluster places replicas by itself: give their number, and that of partitions");
    else if (asked->num_partitions != BY_DEFAULT && asked->num_partitions < 1)
        admin_refuse(item, KAFKA_ERR_INVALID_PARTITIONS, error_text(ERR_INVALID_PARTITIONS));
    else if (asked->replication_factor != BY_DEFAULT && asked->replication_factor < 1)
        admin_refuse(item, KAFKA_ERR_INVALID_REPLICATION_FACTOR, error_text(ERR_INVALID_REPLICATION));
}

static void begin(struct admin_item *item, size_t index)
{
    struct admin_call *call = item->call;
    const struct kafka_create_topics_request *m = message_of(call);
    const struct kafka_create_topics_request_topic *asked = &m->topics.items[index];
    struct config_change c;
    bool fits = config_change_init(&c, item, (size_t)asked->configs.count);
    for (int32_t i = 0; i < asked->configs.count && fits; i++)
        fits = config_change_set(&c, asked->configs.items[i].name, asked->configs.items[i].value);
    if (!fits)
        return;
    uint32_t partitions = asked->num_partitions == BY_DEFAULT ? 0 : (uint32_t)asked->num_partitions;
    uint32_t replicas = asked->replication_factor == BY_DEFAULT ? 0 : (uint32_t)asked->replication_factor;
    item->op.only_check = m->validate_only;
    cluster_create_topic(call->request->server->cluster, &item->op, item->name, partitions, replicas,
                         c.entries, c.count, admin_timeout_ms(m->timeout_ms), admin_item_done);
}

/* ---- answering ---- */

/* The topic stands, and what is late are its leaders: who asks Metadata for them will see them come. */
static bool is_created(const struct admin_item *item)
{
    return item->error == KAFKA_ERR_NONE || (item->op.status == ERR_TIMED_OUT && item->op.partitions > 0);
}

/* As the request has it: a topic that has only been checked cannot be asked. */
static const char *asked_value(struct kafka_request *r, const struct kafka_create_topics_request_topic *asked,
                               const struct topic_config_key *key, bool *is_own)
{
    for (int32_t i = 0; i < asked->configs.count; i++)
        if (kafka_string_is(asked->configs.items[i].name, key->name)) {
            *is_own = true;
            return kafka_request_text(r, asked->configs.items[i].value);
        }
    *is_own = false;
    return key->default_value;
}

static bool fill_configs(struct kafka_request *r, const struct kafka_create_topics_request_topic *asked,
                         struct kafka_create_topics_response_topic *t)
{
    size_t count;
    const struct topic_config_key *keys = topic_config_keys(&count);
    t->configs.items = KAFKA_NEW(&r->arena, create_topics_response_config, count);
    if (t->configs.items == NULL)
        return false;
    t->configs.count = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct kafka_create_topics_response_config *c = &t->configs.items[i];
        bool is_own;
        c->name = kafka_string_of(keys[i].name);
        c->value = kafka_string_of(asked_value(r, asked, &keys[i], &is_own));
        c->config_source = is_own ? CONFIG_SOURCE_TOPIC : CONFIG_SOURCE_DEFAULT;
    }
    return true;
}

static bool fill(const struct admin_item *item, const struct kafka_create_topics_request_topic *asked,
                 struct kafka_create_topics_response_topic *t)
{
    t->name = asked->name;
    if (!is_created(item)) {
        t->error_code = item->error;
        t->error_message = kafka_string_of(item->message);
        return true;
    }
    if (!item->op.only_check)
        memcpy(t->topic_id.bytes, item->op.topic_id, sizeof(t->topic_id.bytes));
    t->num_partitions = (int32_t)item->op.partitions;
    t->replication_factor = (int16_t)item->op.replicas;
    return fill_configs(item->call->request, asked, t);
}

static void answer(struct admin_call *call)
{
    struct kafka_request *r = call->request;
    struct kafka_create_topics_response response = kafka_create_topics_response_default;
    response.topics.items = KAFKA_NEW(&r->arena, create_topics_response_topic, call->count);
    bool fits = response.topics.items != NULL;
    response.topics.count = (int32_t)call->count;
    for (size_t i = 0; i < call->count && fits; i++)
        fits = fill(&call->items[i], &message_of(call)->topics.items[i], &response.topics.items[i]);
    if (fits)
        kafka_respond(r, &response);
    else
        kafka_refuse_too_large(r);
}

void kafka_create_topics(struct kafka_request *r)
{
    const struct kafka_create_topics_request *m = r->message;
    struct admin_call *call = admin_call_create(r, (size_t)m->topics.count);
    if (call == NULL)
        return;
    for (size_t i = 0; i < call->count; i++) {
        admin_item_set_topic(&call->items[i], m->topics.items[i].name);
        if (call->items[i].error == KAFKA_ERR_NONE)
            check_numbers(&call->items[i], &m->topics.items[i]);
    }
    admin_refuse_duplicates(call);
    admin_call_run(call, begin, answer);
}
