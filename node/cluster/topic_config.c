#include "node/cluster/metadata.h"
#include "proto/batch.h"
#include "proto/error.h"
#include "proto/nearest.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum key {
    KEY_CLEANUP_POLICY,
    KEY_COMPRESSION_TYPE,
    KEY_MAX_MESSAGE_BYTES,
    KEY_MESSAGE_TIMESTAMP_TYPE,
    KEY_MIN_INSYNC_REPLICAS,
    KEY_RETENTION_BYTES,
    KEY_RETENTION_MS,
    KEY_SEGMENT_BYTES,
    KEY_SEGMENT_MS,
    KEY_COUNT
};

static const struct topic_config_key keys[KEY_COUNT] = {
    [KEY_CLEANUP_POLICY] = {"cleanup.policy", "delete",
                            "What happens to old records: delete (by retention.ms and retention.bytes)"},
    [KEY_COMPRESSION_TYPE] =
        {"compression.type", "producer",
         "Codec of stored batches: producer (as it was sent), none, gzip, snappy, lz4, zstd"},
    [KEY_MAX_MESSAGE_BYTES] = {"max.message.bytes", "1048588",
                               "Largest record batch accepted, after compression; 1024 to 67108864 bytes"},
    [KEY_MESSAGE_TIMESTAMP_TYPE] =
        {"message.timestamp.type", "CreateTime",
         "Whose clock stamps records: CreateTime (producer) or LogAppendTime (leader)"},
    [KEY_MIN_INSYNC_REPLICAS] =
        {"min.insync.replicas", "1",
         "Replicas that must be in sync for a produce with acks=all to be accepted; 1 to 7. A "
         "majority of the replicas is needed in any case"},
    [KEY_RETENTION_BYTES] = {"retention.bytes", "-1",
                             "Size of a partition over which its oldest segments go; bytes, -1: no limit"},
    [KEY_RETENTION_MS] = {"retention.ms", "604800000", "Age at which records go; milliseconds, -1: no limit"},
    [KEY_SEGMENT_BYTES] = {"segment.bytes", "268435456",
                           "Size at which a new segment file is begun; 65536 to 1073741824 bytes"},
    [KEY_SEGMENT_MS] = {"segment.ms", "604800000",
                        "Age at which a new segment file is begun; 1000 or more milliseconds"},
};

struct range {
    int64_t min;
    int64_t max;
};

static const struct range ranges[KEY_COUNT] = {
    [KEY_MAX_MESSAGE_BYTES] = {1024, 64 << 20}, [KEY_MIN_INSYNC_REPLICAS] = {1, PARTITION_REPLICAS_MAX},
    [KEY_RETENTION_BYTES] = {-1, INT64_MAX},    [KEY_RETENTION_MS] = {-1, INT64_MAX},
    [KEY_SEGMENT_BYTES] = {64 << 10, 1 << 30},  [KEY_SEGMENT_MS] = {1000, INT64_MAX},
};

const struct topic_config_key *topic_config_keys(size_t *count)
{
    *count = KEY_COUNT;
    return keys;
}

static int refuse(char *reason, size_t reason_size, enum key key, const char *value, const char *why)
{
    (void)snprintf(reason, reason_size, "%s=%.64s: %s", keys[key].name, value, why);
    return ERR_INVALID_CONFIG;
}

/* A plain decimal number within the key's range. */
static int parse_number(enum key key, const char *value, int64_t *number, char *reason, size_t reason_size)
{
    char why[96];
    char *end;
    errno = 0;
    long long parsed = strtoll(value, &end, 10);
    bool is_number =
        (value[0] == '-' || (value[0] >= '0' && value[0] <= '9')) && end != value && *end == '\0';
    if (!is_number) {
        return refuse(reason, reason_size, key, value, "not a whole number");
    }
    if (errno == ERANGE || parsed < ranges[key].min || parsed > ranges[key].max) {
        (void)snprintf(why, sizeof why, "out of range, allowed: %" PRId64 " to %" PRId64, ranges[key].min,
                       ranges[key].max);
        return refuse(reason, reason_size, key, value, why);
    }
    *number = parsed;
    return 0;
}

static int set_compression(struct topic_config *config, const char *value, char *reason, size_t reason_size)
{
    if (strcmp(value, "producer") == 0) {
        config->compression = -1;
        return 0;
    }
    /* "uncompressed" is Kafka's name for it. */
    int codec = strcmp(value, "uncompressed") == 0 ? BATCH_NONE : batch_codec_parse(value);
    if (codec < 0) {
        return refuse(reason, reason_size, KEY_COMPRESSION_TYPE, value,
                      "not supported, allowed: producer, none, gzip, snappy, lz4, zstd");
    }
    config->compression = codec;
    return 0;
}

static int set_timestamp_type(struct topic_config *config, const char *value, char *reason,
                              size_t reason_size)
{
    bool append_time = strcmp(value, "LogAppendTime") == 0;
    if (append_time || strcmp(value, "CreateTime") == 0) {
        config->log_append_time = append_time;
        return 0;
    }
    return refuse(reason, reason_size, KEY_MESSAGE_TIMESTAMP_TYPE, value,
                  "not supported, allowed: CreateTime, LogAppendTime");
}

static int set_number(struct topic_config *config, enum key key, const char *value, char *reason,
                      size_t reason_size)
{
    int64_t number;
    int rc = parse_number(key, value, &number, reason, reason_size);
    if (rc != 0) {
        return rc;
    }
    switch (key) {
    case KEY_MAX_MESSAGE_BYTES:
        config->max_message_bytes = (uint32_t)number;
        break;
    case KEY_MIN_INSYNC_REPLICAS:
        config->min_insync_replicas = (uint32_t)number;
        break;
    case KEY_RETENTION_BYTES:
        config->retention_bytes = number;
        break;
    case KEY_RETENTION_MS:
        config->retention_ms = number;
        break;
    case KEY_SEGMENT_BYTES:
        config->segment_bytes = (uint64_t)number;
        break;
    default:
        config->segment_ms = (uint64_t)number;
        break;
    }
    return 0;
}

static int set_key(struct topic_config *config, enum key key, const char *value, char *reason,
                   size_t reason_size)
{
    switch (key) {
    case KEY_CLEANUP_POLICY:
        return strcmp(value, "delete") == 0
                   ? 0
                   : refuse(reason, reason_size, key, value, "not supported, allowed: delete");
    case KEY_COMPRESSION_TYPE:
        return set_compression(config, value, reason, reason_size);
    case KEY_MESSAGE_TIMESTAMP_TYPE:
        return set_timestamp_type(config, value, reason, reason_size);
    default:
        return set_number(config, key, value, reason, reason_size);
    }
}

static int refuse_unknown(const char *name, char *reason, size_t reason_size)
{
    const char *names[KEY_COUNT];
    for (size_t i = 0; i < KEY_COUNT; i++) {
        names[i] = keys[i].name;
    }
    const char *nearest = nearest_name(name, names, KEY_COUNT);
    if (nearest != NULL) {
        (void)snprintf(reason, reason_size, "unknown setting %.64s, did you mean %s?", name, nearest);
    } else {
        (void)snprintf(reason, reason_size, "unknown setting %.64s", name);
    }
    return ERR_INVALID_CONFIG;
}

int topic_config_set(struct topic_config *config, const char *name, const char *value, char *reason,
                     size_t reason_size)
{
    for (int key = 0; key < KEY_COUNT; key++) {
        if (strcmp(keys[key].name, name) == 0) {
            return set_key(config, (enum key)key, value, reason, reason_size);
        }
    }
    return refuse_unknown(name, reason, reason_size);
}

void topic_config_defaults(struct topic_config *config)
{
    char reason[64];
    *config = (struct topic_config){0};
    for (int key = 0; key < KEY_COUNT; key++) {
        (void)set_key(config, (enum key)key, keys[key].default_value, reason, sizeof reason);
    }
}

bool topic_config_equal(const struct topic_config *a, const struct topic_config *b)
{
    return a->retention_ms == b->retention_ms && a->retention_bytes == b->retention_bytes &&
           a->segment_bytes == b->segment_bytes && a->segment_ms == b->segment_ms &&
           a->max_message_bytes == b->max_message_bytes && a->min_insync_replicas == b->min_insync_replicas &&
           a->compression == b->compression && a->log_append_time == b->log_append_time;
}

int topic_name_check(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(name);
    if (size == 0 || size > TOPIC_NAME_MAX || strspn(name, allowed) != size || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0) {
        return ERR_INVALID_TOPIC;
    }
    return 0;
}
