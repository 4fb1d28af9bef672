#include "node/base/memory.h"
#include "node/cluster/metadata_tables.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

static bool is_known(const char *name)
{
    size_t count;
    const struct topic_config_key *keys = topic_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Where the name stands, or where it would be inserted. */
static size_t position(const struct topic_meta *topic, const char *name, bool *found)
{
    size_t i = 0;
    while (i < topic->config_count && strcmp(topic->config_names[i], name) < 0) {
        i++;
    }
    *found = i < topic->config_count && strcmp(topic->config_names[i], name) == 0;
    return i;
}

static void insert(struct topic_meta *topic, size_t at, const char *name, const char *value)
{
    size_t after = topic->config_count - at;
    size_t size = (topic->config_count + 1) * sizeof(char *);
    topic->config_names = memory_realloc(topic->config_names, size);
    topic->config_values = memory_realloc(topic->config_values, size);
    memmove(topic->config_names + at + 1, topic->config_names + at, after * sizeof(char *));
    memmove(topic->config_values + at + 1, topic->config_values + at, after * sizeof(char *));
    topic->config_names[at] = memory_strdup(name);
    topic->config_values[at] = memory_strdup(value);
    topic->config_count++;
}

int settings_set(struct topic_meta *topic, const char *name, const char *value)
{
    char reason[256];
    size_t name_size = strlen(name);
    if (name_size == 0 || name_size > TOPIC_NAME_MAX || strlen(value) > TOPIC_CONFIG_VALUE_MAX ||
        (is_known(name) && topic_config_set(&topic->config, name, value, reason, sizeof reason) != 0)) {
        return ERR_INVALID_CONFIG;
    }
    bool found;
    size_t at = position(topic, name, &found);
    if (found) {
        free(topic->config_values[at]);
        topic->config_values[at] = memory_strdup(value);
        return 0;
    }
    if (topic->config_count == TOPIC_CONFIG_ENTRIES_MAX) {
        return ERR_INVALID_CONFIG;
    }
    insert(topic, at, name, value);
    return 0;
}

static void recompute(struct topic_meta *topic)
{
    char reason[256];
    topic_config_defaults(&topic->config);
    for (size_t i = 0; i < topic->config_count; i++) {
        /* Fails for keys of a newer version only, which have no effect here. */
        (void)topic_config_set(&topic->config, topic->config_names[i], topic->config_values[i], reason,
                               sizeof reason);
    }
}

void settings_reset(struct topic_meta *topic, const char *name)
{
    bool found;
    size_t at = position(topic, name, &found);
    if (!found) {
        return;
    }
    free(topic->config_names[at]);
    free(topic->config_values[at]);
    topic->config_count--;
    size_t after = (topic->config_count - at) * sizeof(char *);
    memmove(topic->config_names + at, topic->config_names + at + 1, after);
    memmove(topic->config_values + at, topic->config_values + at + 1, after);
    recompute(topic);
}

void settings_copy(struct topic_meta *to, const struct topic_meta *from)
{
    to->config = from->config;
    to->config_names = NULL;
    to->config_values = NULL;
    to->config_count = 0;
    for (size_t i = 0; i < from->config_count; i++) {
        insert(to, i, from->config_names[i], from->config_values[i]);
    }
}

void settings_clear(struct topic_meta *topic)
{
    for (size_t i = 0; i < topic->config_count; i++) {
        free(topic->config_names[i]);
        free(topic->config_values[i]);
    }
    free(topic->config_names);
    free(topic->config_values);
    topic->config_names = NULL;
    topic->config_values = NULL;
    topic->config_count = 0;
}
