#include "node/server/kafka/config_view.h"
#include <string.h>

static const struct {
    const char *name;
    const char *broker_name;
    enum config_type type;
} known[] = {
    {"cleanup.policy", "log.cleanup.policy", CONFIG_TYPE_LIST},
    {"compression.type", "compression.type", CONFIG_TYPE_STRING},
    {"max.message.bytes", "message.max.bytes", CONFIG_TYPE_INT},
    {"message.timestamp.type", "log.message.timestamp.type", CONFIG_TYPE_STRING},
    {"min.insync.replicas", "min.insync.replicas", CONFIG_TYPE_INT},
    {"retention.bytes", "log.retention.bytes", CONFIG_TYPE_LONG},
    {"retention.ms", "log.retention.ms", CONFIG_TYPE_LONG},
    {"segment.bytes", "log.segment.bytes", CONFIG_TYPE_INT},
    {"segment.ms", "log.roll.ms", CONFIG_TYPE_LONG},
};

enum { KNOWN_COUNT = sizeof(known) / sizeof(known[0]) };

static size_t find(const struct topic_config_key *key)
{
    size_t i = 0;
    while (i < KNOWN_COUNT && strcmp(known[i].name, key->name) != 0)
        i++;
    return i;
}

const char *config_view_value(const struct topic_meta *topic, const struct topic_config_key *key,
                              bool *is_own)
{
    for (size_t i = 0; i < topic->config_count; i++)
        if (strcmp(topic->config_names[i], key->name) == 0) {
            *is_own = true;
            return topic->config_values[i];
        }
    *is_own = false;
    return key->default_value;
}

enum config_type config_view_type(const struct topic_config_key *key)
{
    size_t i = find(key);
    return i < KNOWN_COUNT ? known[i].type : CONFIG_TYPE_STRING;
}

const char *config_view_broker_name(const struct topic_config_key *key)
{
    size_t i = find(key);
    return i < KNOWN_COUNT ? known[i].broker_name : key->name;
}
