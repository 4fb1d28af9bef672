/* The settings that a request gives a topic, as the cluster takes them. Internal to this room. */
#ifndef SERVER_KAFKA_CONFIG_CHANGE_H
#define SERVER_KAFKA_CONFIG_CHANGE_H

#include "node/server/kafka/admin_call.h"

struct config_change {
    struct admin_item *item;
    struct cluster_config_entry *entries; /* in the arena */
    size_t count;
};

/* Room for `capacity` of them. False, like the others: the item has been refused. */
bool config_change_init(struct config_change *c, struct admin_item *item, size_t capacity);
/* Leaves out what has no effect here (config_harmless.h). */
bool config_change_set(struct config_change *c, struct kafka_string name, struct kafka_string value);
bool config_change_reset(struct config_change *c, struct kafka_string name); /* to the default */

#endif
