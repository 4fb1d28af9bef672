/* AlterConfigs, which replaces all settings of a topic, and IncrementalAlterConfigs, which changes those that
 * it names. */
#include "node/server/kafka/config_change.h"
#include "node/server/kafka/config_view.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"

/* Kafka's numbers for what is done to a setting. */
enum config_operation { CONFIG_SET = 0, CONFIG_DELETE = 1 };

static const char not_a_topic[] =
    "only topics can be altered; a node's settings are in its configuration file";

/* One for each resource, in the order of the request; filled with what is known before the answer. */
static struct kafka_alter_configs_response_resource *results_of(const struct admin_call *call)
{
    return call->context;
}

static struct admin_call *call_create(struct kafka_request *r, int32_t count)
{
    struct admin_call *call = admin_call_create(r, (size_t)count);
    if (call == NULL)
        return NULL;
    call->context = KAFKA_NEW(&r->arena, alter_configs_response_resource, call->count);
    if (call->context != NULL)
        return call;
    kafka_refuse_too_large(r);
    return NULL;
}

static void set_resource(struct admin_call *call, size_t index, int8_t type, struct kafka_string name)
{
    const struct server *s = call->request->server;
    struct admin_item *item = &call->items[index];
    results_of(call)[index].resource_type = type;
    results_of(call)[index].resource_name = name;
    if (type != CONFIG_RESOURCE_TOPIC) {
        admin_refuse(item, KAFKA_ERR_INVALID_REQUEST, not_a_topic);
        return;
    }
    admin_item_set_topic(item, name);
    if (item->error == KAFKA_ERR_NONE && kafka_topic_by_name(s, name) == NULL)
        admin_refuse(item, kafka_unknown_topic(s), "there is no such topic");
}

static void fill_results(struct admin_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        results_of(call)[i].error_code = call->items[i].error;
        results_of(call)[i].error_message = kafka_string_of(call->items[i].message);
    }
}

static void alter(const struct config_change *c, bool only_check)
{
    struct admin_item *item = c->item;
    item->op.only_check = only_check;
    cluster_alter_topic(item->call->request->server->cluster, &item->op, item->name, 0, c->entries, c->count,
                        0, admin_item_done);
}

/* ---- AlterConfigs ---- */

static bool names(const struct kafka_alter_configs_request_resource *asked, const char *name)
{
    for (int32_t i = 0; i < asked->configs.count; i++)
        if (kafka_string_is(asked->configs.items[i].name, name))
            return true;
    return false;
}

/* What the topic has and the request does not name goes. */
static bool reset_others(struct config_change *c, const struct kafka_alter_configs_request_resource *asked,
                         const struct topic_meta *topic)
{
    bool fits = true;
    for (size_t i = 0; i < topic->config_count && fits; i++)
        if (!names(asked, topic->config_names[i]))
            fits = config_change_reset(c, kafka_string_of(topic->config_names[i]));
    return fits;
}

static void begin_replacing(struct admin_item *item, size_t index)
{
    struct kafka_request *r = item->call->request;
    const struct kafka_alter_configs_request *m = r->message;
    const struct kafka_alter_configs_request_resource *asked = &m->resources.items[index];
    const struct topic_meta *topic = metadata_topic(cluster_metadata(r->server->cluster), item->name);
    size_t own = topic != NULL ? topic->config_count : 0;
    struct config_change c;
    bool fits = config_change_init(&c, item, (size_t)asked->configs.count + own);
    for (int32_t i = 0; i < asked->configs.count && fits; i++)
        fits = config_change_set(&c, asked->configs.items[i].name, asked->configs.items[i].value);
    if (fits && (topic == NULL || reset_others(&c, asked, topic)))
        alter(&c, m->validate_only);
}

static void answer_replaced(struct admin_call *call)
{
    struct kafka_alter_configs_response response = kafka_alter_configs_response_default;
    fill_results(call);
    response.responses.items = results_of(call);
    response.responses.count = (int32_t)call->count;
    kafka_respond(call->request, &response);
}

void kafka_alter_configs(struct kafka_request *r)
{
    const struct kafka_alter_configs_request *m = r->message;
    struct admin_call *call = call_create(r, m->resources.count);
    if (call == NULL)
        return;
    for (size_t i = 0; i < call->count; i++)
        set_resource(call, i, m->resources.items[i].resource_type, m->resources.items[i].resource_name);
    admin_refuse_duplicates(call);
    admin_call_run(call, begin_replacing, answer_replaced);
}

/* ---- IncrementalAlterConfigs ---- */

static bool change(struct config_change *c,
                   const struct kafka_incremental_alter_configs_request_config *asked)
{
    switch (asked->config_operation) {
    case CONFIG_SET:
        return config_change_set(c, asked->name, asked->value);
    case CONFIG_DELETE:
        return config_change_reset(c, asked->name);
    default:
        admin_refuse(c->item, KAFKA_ERR_INVALID_CONFIG,
                     "no setting is a list that can be added to or taken from");
        return false;
    }
}

static void begin_changing(struct admin_item *item, size_t index)
{
    const struct kafka_incremental_alter_configs_request *m = item->call->request->message;
    const struct kafka_incremental_alter_configs_request_resource *asked = &m->resources.items[index];
    struct config_change c;
    bool fits = config_change_init(&c, item, (size_t)asked->configs.count);
    for (int32_t i = 0; i < asked->configs.count && fits; i++)
        fits = change(&c, &asked->configs.items[i]);
    if (fits)
        alter(&c, m->validate_only);
}

static void answer_changed(struct admin_call *call)
{
    struct kafka_incremental_alter_configs_response response =
        kafka_incremental_alter_configs_response_default;
    fill_results(call);
    response.responses.items = results_of(call);
    response.responses.count = (int32_t)call->count;
    kafka_respond(call->request, &response);
}

void kafka_incremental_alter_configs(struct kafka_request *r)
{
    const struct kafka_incremental_alter_configs_request *m = r->message;
    struct admin_call *call = call_create(r, m->resources.count);
    if (call == NULL)
        return;
    for (size_t i = 0; i < call->count; i++)
        set_resource(call, i, m->resources.items[i].resource_type, m->resources.items[i].resource_name);
    admin_refuse_duplicates(call);
    admin_call_run(call, begin_changing, answer_changed);
}
