/* The cluster's tables: nodes, topics, partitions, configuration. Fed by group 0's log through a pure
 * function, so every node that applies the same commands has the same tables. No I/O, no clock, no randomness
 * here: what needs them (ids, placement) is decided by the controller and stands in the command. */
#ifndef CLUSTER_METADATA_H
#define CLUSTER_METADATA_H

#include "proto/bytes.h"
#include "proto/metadata.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOPIC_ID_SIZE = 16,
    TOPIC_NAME_MAX = 249,
    PARTITION_REPLICAS_MAX = 7,
    TOPIC_PARTITIONS_MAX = 10000,
    CLUSTER_PARTITIONS_MAX = 100000,
    METADATA_GROUP_ID = 0, /* group 0 itself */
};

#define OFFSETS_TOPIC "__consumer_offsets"

/* Effective configuration of a topic: defaults with the topic's own settings over them. */
struct topic_config {
    int64_t retention_ms;    /* -1: no limit */
    int64_t retention_bytes; /* per partition; -1: no limit */
    uint64_t segment_bytes;
    uint64_t segment_ms;
    uint32_t max_message_bytes;
    uint32_t min_insync_replicas;
    int compression;      /* enum batch_codec, or -1: as the producer sent it */
    bool log_append_time; /* message.timestamp.type=LogAppendTime */
};

struct partition_meta {
    uint32_t index;
    uint64_t group_id;
    uint32_t replicas[PARTITION_REPLICAS_MAX]; /* the first is the preferred leader */
    unsigned replica_count;
    int64_t start_offset; /* records below it were deleted on request; never goes back */
};

struct topic_meta {
    char name[TOPIC_NAME_MAX + 1];
    uint8_t id[TOPIC_ID_SIZE];
    bool internal;
    struct partition_meta *partitions;
    uint32_t partition_count;
    struct topic_config config;
    char **config_names; /* only what differs from the defaults, in name order */
    char **config_values;
    size_t config_count;
};

struct node_meta {
    uint32_t id;
    char *peer_address;
    char *client_host;
    uint16_t client_port;
    uint16_t kafka_port;
    uint16_t http_port;
    char *rack;
    char *software;
    bool draining;
};

struct metadata;

struct metadata *metadata_create(void);
void metadata_destroy(struct metadata *m);

/* Applies a packed MetadataCommand. Commands that no longer fit (topic exists meanwhile, unknown id) change
 * nothing and return the error, the same on every node; bytes that do not parse: ERR_CORRUPT. */
int metadata_apply(struct metadata *m, const void *command, size_t size);
void metadata_snapshot(const struct metadata *m, struct bytes *out);
int metadata_restore(struct metadata *m, const void *data, size_t size);

/* Counts up with every change: cheap test for "anything new". */
uint64_t metadata_version(const struct metadata *m);
uint64_t metadata_next_group_id(const struct metadata *m);
int64_t metadata_next_producer_id(const struct metadata *m);

/* Returned pointers stay valid until the next apply or restore. */
const struct topic_meta *metadata_topic(const struct metadata *m, const char *name);
const struct topic_meta *metadata_topic_by_id(const struct metadata *m, const uint8_t id[TOPIC_ID_SIZE]);
const struct topic_meta *metadata_topic_by_group(const struct metadata *m, uint64_t group_id,
                                                 const struct partition_meta **partition);
const struct node_meta *metadata_node(const struct metadata *m, uint32_t id);
/* In name order, in id order. */
void metadata_each_topic(const struct metadata *m, void (*each)(void *data, const struct topic_meta *t),
                         void *data);
void metadata_each_node(const struct metadata *m, void (*each)(void *data, const struct node_meta *n),
                        void *data);
size_t metadata_topic_count(const struct metadata *m);
size_t metadata_node_count(const struct metadata *m);
size_t metadata_partition_count(const struct metadata *m);

/* ---- configuration (topic_config.c) ---- */

struct topic_config_key {
    const char *name;
    const char *default_value;
    const char *help; /* one line with range and unit */
};
/* The table of all known keys, for `describe`, documentation and completion. */
const struct topic_config_key *topic_config_keys(size_t *count);
void topic_config_defaults(struct topic_config *config);
/* Sets one key from its text. ERR_INVALID_CONFIG, the configuration unchanged, with a reason that names the
 * key, the value, what is allowed and, for an unknown key, the nearest name. */
int topic_config_set(struct topic_config *config, const char *name, const char *value, char *reason,
                     size_t reason_size);
bool topic_config_equal(const struct topic_config *a, const struct topic_config *b);
int topic_name_check(const char *name); /* 0 or ERR_INVALID_TOPIC */

#endif
