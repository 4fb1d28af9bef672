/* The tables behind metadata.h, for the files that fill them: metadata.c (lookups), metadata_apply.c
 * (commands) and metadata_snapshot.c. */
#ifndef CLUSTER_METADATA_TABLES_H
#define CLUSTER_METADATA_TABLES_H

#include "node/cluster/metadata.h"
#include <uthash.h>

enum {
    TOPIC_CONFIG_ENTRIES_MAX = 64,
    TOPIC_CONFIG_VALUE_MAX = 1024,
    NODE_TEXT_MAX = 255,
    PRODUCER_ID_BLOCK_MAX = 1000000,
};

struct topic_entry {
    struct topic_meta meta;
    UT_hash_handle by_id;
};

struct group_entry {
    uint64_t group_id;
    struct topic_entry *topic;
    uint32_t partition;
    UT_hash_handle by_group;
};

struct metadata {
    uint64_t version;
    uint64_t next_group_id; /* all ids ever used are below it */
    int64_t next_producer_id;
    struct node_meta **nodes; /* in id order */
    size_t node_count;
    struct topic_entry **topics; /* in name order */
    size_t topic_count;
    size_t partition_count;
    struct topic_entry *topics_by_id;
    struct group_entry *groups;
};

/* Empties the tables, keeps the struct. */
void tables_clear(struct metadata *m);

/* Adds or replaces; keeps the draining flag of a known node when `keep_draining`. */
int tables_put_node(struct metadata *m, const Flotilla__NodeRecord *record, bool keep_draining);
struct node_meta *tables_node(const struct metadata *m, uint32_t id);
struct topic_entry *tables_topic_by_id(const struct metadata *m, const void *id, size_t size);

/* Checks everything about a new topic except the freshness of its group ids, and adds it. On an error nothing
 * changed. */
int tables_add_topic(struct metadata *m, const Flotilla__TopicRecord *record);
void tables_remove_topic(struct metadata *m, struct topic_entry *topic);
/* Replicas known, distinct and not too many; indexes from `first_index` on; the cluster's bound. */
int tables_check_partitions(const struct metadata *m, Flotilla__PartitionRecord *const *records, size_t count,
                            size_t first_index);
void tables_add_partitions(struct metadata *m, struct topic_entry *topic,
                           Flotilla__PartitionRecord *const *records, size_t count);
bool tables_has_group(const struct metadata *m, uint64_t group_id);

/* A topic's own settings: a sorted list of names and values with the effective configuration beside it. A
 * known key with a value that is not allowed is refused; a key that this version does not know is kept as
 * text, so that nodes of different versions have the same tables. */
int settings_set(struct topic_meta *topic, const char *name, const char *value);
void settings_reset(struct topic_meta *topic, const char *name);
void settings_copy(struct topic_meta *to, const struct topic_meta *from);
void settings_clear(struct topic_meta *topic);

#endif
