/* DescribeConfigs: the settings of topics, and of the node that is asked. */
#include "node/server/kafka/config_view.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BROKER_SETTINGS_MAX = 32, VALUE_SIZE = 1100, SYNONYMS_MAX = 2 };

/* One resource being described. */
struct description {
    struct kafka_request *request;
    const struct kafka_describe_configs_request *message;
    const struct kafka_describe_configs_request_resource *asked;
    struct kafka_describe_configs_response_result *result;
    bool full; /* the arena's bound is reached */
};

static bool is_wanted(const struct description *d, const char *name)
{
    const struct kafka_describe_configs_request_resource *asked = d->asked;
    bool wanted = asked->configuration_keys.count <= 0;
    for (int32_t i = 0; i < asked->configuration_keys.count && !wanted; i++)
        wanted = kafka_string_is(asked->configuration_keys.items[i], name);
    return wanted;
}

static void refuse(struct description *d, int16_t error, const char *message)
{
    d->result->error_code = error;
    d->result->error_message = kafka_string_of(message);
}

static bool make_room(struct description *d, size_t count)
{
    d->result->configs.items = KAFKA_NEW(&d->request->arena, describe_configs_response_config, count);
    d->full = d->result->configs.items == NULL;
    return !d->full;
}

static struct kafka_describe_configs_response_config *add(struct description *d, const char *name,
                                                          const char *value, enum config_type type,
                                                          enum config_source source)
{
    struct kafka_describe_configs_response_config *c = &d->result->configs.items[d->result->configs.count++];
    c->name = kafka_string_of(name);
    c->value = kafka_string_of(value);
    c->config_type = (int8_t)type;
    c->config_source = (int8_t)source;
    return c;
}

/* ---- topics ---- */

static void add_synonyms(struct description *d, struct kafka_describe_configs_response_config *c,
                         const struct topic_config_key *key)
{
    if (!d->message->include_synonyms)
        return;
    c->synonyms.items = KAFKA_NEW(&d->request->arena, describe_configs_response_synonym, SYNONYMS_MAX);
    if (c->synonyms.items == NULL) {
        d->full = true;
        return;
    }
    if (c->config_source == CONFIG_SOURCE_TOPIC)
        c->synonyms.items[c->synonyms.count++] =
            (struct kafka_describe_configs_response_synonym){c->name, c->value, CONFIG_SOURCE_TOPIC};
    c->synonyms.items[c->synonyms.count++] = (struct kafka_describe_configs_response_synonym){
        kafka_string_of(config_view_broker_name(key)), kafka_string_of(key->default_value),
        CONFIG_SOURCE_DEFAULT};
}

static void describe_topic(struct description *d)
{
    const struct topic_meta *topic = kafka_topic_by_name(d->request->server, d->asked->resource_name);
    size_t count;
    const struct topic_config_key *keys = topic_config_keys(&count);
    if (topic == NULL) {
        refuse(d, kafka_unknown_topic(d->request->server), "there is no such topic");
        return;
    }
    if (!make_room(d, count))
        return;
    for (size_t i = 0; i < count && !d->full; i++) {
        if (!is_wanted(d, keys[i].name))
            continue;
        bool is_own;
        const char *value = config_view_value(topic, &keys[i], &is_own);
        struct kafka_describe_configs_response_config *c =
            add(d, keys[i].name, value, config_view_type(&keys[i]),
                is_own ? CONFIG_SOURCE_TOPIC : CONFIG_SOURCE_DEFAULT);
        c->documentation =
            d->message->include_documentation ? kafka_string_of(keys[i].help) : kafka_string_null();
        add_synonyms(d, c, &keys[i]);
    }
}

/* ---- the node ---- */

__attribute__((format(printf, 4, 5))) static void add_setting(struct description *d, const char *name,
                                                              enum config_type type, const char *format, ...)
{
    char value[VALUE_SIZE];
    va_list arguments;
    if (d->full || !is_wanted(d, name))
        return;
    va_start(arguments, format);
    int size = vsnprintf(value, sizeof(value), format, arguments);
    va_end(arguments);
    size_t kept = (size_t)size < sizeof(value) ? (size_t)size : sizeof(value) - 1;
    const char *copy = arena_strndup(&d->request->arena, value, kept);
    d->full = copy == NULL;
    if (!d->full)
        add(d, name, copy, type, CONFIG_SOURCE_BROKER)->read_only = true;
}

/* What programs look for, under Kafka's names; all of it comes from the node's configuration file. */
static void describe_node(struct description *d)
{
    const struct server *s = d->request->server;
    const struct node_config *config = s->config;
    size_t count;
    const struct topic_config_key *keys = topic_config_keys(&count);
    if (!make_room(d, BROKER_SETTINGS_MAX + count))
        return;
    add_setting(d, "broker.id", CONFIG_TYPE_INT, "%" PRIu32, cluster_self(s->cluster));
    add_setting(d, "node.id", CONFIG_TYPE_INT, "%" PRIu32, cluster_self(s->cluster));
    if (config->rack[0] != '\0')
        add_setting(d, "broker.rack", CONFIG_TYPE_STRING, "%s", config->rack);
    add_setting(d, "advertised.listeners", CONFIG_TYPE_STRING, "PLAINTEXT://%s:%" PRIu16,
                config->advertise_host, server_kafka_port(s));
    add_setting(d, "log.dirs", CONFIG_TYPE_STRING, "%s", config->data_dir);
    add_setting(d, "num.partitions", CONFIG_TYPE_INT, "%" PRIu32, config->default_partitions);
    add_setting(d, "default.replication.factor", CONFIG_TYPE_INT, "%" PRIu32, config->default_replicas);
    add_setting(d, "auto.create.topics.enable", CONFIG_TYPE_BOOLEAN, "%s",
                config->auto_create_topics ? "true" : "false");
    add_setting(d, "delete.topic.enable", CONFIG_TYPE_BOOLEAN, "true");
    add_setting(d, "unclean.leader.election.enable", CONFIG_TYPE_BOOLEAN, "false");
    add_setting(d, "auto.leader.rebalance.enable", CONFIG_TYPE_BOOLEAN, "true");
    add_setting(d, "offsets.topic.num.partitions", CONFIG_TYPE_INT, "%" PRIu32, config->offsets_partitions);
    add_setting(d, "max.connections", CONFIG_TYPE_INT, "%" PRIu32, config->max_connections);
    for (size_t i = 0; i < count; i++)
        add_setting(d, config_view_broker_name(&keys[i]), config_view_type(&keys[i]), "%s",
                    keys[i].default_value);
}

/* An empty name is that of settings which all nodes share; there are none that can be changed. */
static void describe_broker(struct description *d)
{
    char self[16];
    (void)snprintf(self, sizeof(self), "%" PRIu32, cluster_self(d->request->server->cluster));
    if (kafka_string_is_empty(d->asked->resource_name))
        return;
    if (kafka_string_is(d->asked->resource_name, self))
        describe_node(d);
    else
        refuse(d, KAFKA_ERR_INVALID_REQUEST, "a node's settings are told by the node itself: ask that one");
}

static void describe(struct description *d)
{
    d->result->resource_type = d->asked->resource_type;
    d->result->resource_name = d->asked->resource_name;
    if (d->asked->resource_type == CONFIG_RESOURCE_TOPIC)
        describe_topic(d);
    else if (d->asked->resource_type == CONFIG_RESOURCE_BROKER)
        describe_broker(d);
    else
        refuse(d, KAFKA_ERR_INVALID_REQUEST, "only topics and brokers have settings");
}

void kafka_describe_configs(struct kafka_request *r)
{
    const struct kafka_describe_configs_request *m = r->message;
    struct kafka_describe_configs_response response = kafka_describe_configs_response_default;
    struct description d = {.request = r, .message = m};
    response.results.items =
        KAFKA_NEW(&r->arena, describe_configs_response_result, (size_t)m->resources.count);
    response.results.count = m->resources.count;
    d.full = response.results.items == NULL;
    for (int32_t i = 0; i < m->resources.count && !d.full; i++) {
        d.asked = &m->resources.items[i];
        d.result = &response.results.items[i];
        describe(&d);
    }
    if (d.full)
        kafka_refuse_too_large(r);
    else
        kafka_respond(r, &response);
}
