/* Settings as Kafka's configuration APIs show them. Internal to this room. */
#ifndef SERVER_KAFKA_CONFIG_VIEW_H
#define SERVER_KAFKA_CONFIG_VIEW_H

#include "node/cluster/metadata.h"

/* Kafka's numbers on its wire. */
enum config_resource { CONFIG_RESOURCE_TOPIC = 2, CONFIG_RESOURCE_BROKER = 4 };
enum config_source { CONFIG_SOURCE_TOPIC = 1, CONFIG_SOURCE_BROKER = 4, CONFIG_SOURCE_DEFAULT = 5 };
enum config_type {
    CONFIG_TYPE_BOOLEAN = 1,
    CONFIG_TYPE_STRING = 2,
    CONFIG_TYPE_INT = 3,
    CONFIG_TYPE_LONG = 5,
    CONFIG_TYPE_LIST = 7
};

/* The value in force for a topic, and whether it is the topic's own. */
const char *config_view_value(const struct topic_meta *topic, const struct topic_config_key *key,
                              bool *is_own);
enum config_type config_view_type(const struct topic_config_key *key);
/* Kafka's name for the setting of a node that is the default of this topic setting. */
const char *config_view_broker_name(const struct topic_config_key *key);

#endif
