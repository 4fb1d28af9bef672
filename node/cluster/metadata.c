#include "node/cluster/metadata.h"
#include "node/base/memory.h"
#include "node/cluster/metadata_tables.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

struct metadata *metadata_create(void)
{
    struct metadata *m = memory_zalloc(sizeof *m);
    m->next_group_id = METADATA_GROUP_ID + 1;
    return m;
}

void metadata_destroy(struct metadata *m)
{
    if (m == NULL) {
        return;
    }
    tables_clear(m);
    free(m);
}

/* ---- nodes ---- */

/* Where the node stands, or where it would be inserted. */
static size_t node_position(const struct metadata *m, uint32_t id)
{
    size_t i = 0;
    while (i < m->node_count && m->nodes[i]->id < id) {
        i++;
    }
    return i;
}

struct node_meta *tables_node(const struct metadata *m, uint32_t id)
{
    size_t i = node_position(m, id);
    return i < m->node_count && m->nodes[i]->id == id ? m->nodes[i] : NULL;
}

static void node_clear(struct node_meta *node)
{
    free(node->peer_address);
    free(node->client_host);
    free(node->rack);
    free(node->software);
}

static bool node_record_ok(const Flotilla__NodeRecord *r)
{
    return r->id != 0 && strlen(r->peer_address) <= NODE_TEXT_MAX &&
           strlen(r->client_host) <= NODE_TEXT_MAX && strlen(r->rack) <= NODE_TEXT_MAX &&
           strlen(r->software) <= NODE_TEXT_MAX && r->client_port <= UINT16_MAX &&
           r->kafka_port <= UINT16_MAX && r->http_port <= UINT16_MAX;
}

static struct node_meta *node_insert(struct metadata *m, uint32_t id)
{
    size_t at = node_position(m, id);
    m->nodes = memory_realloc(m->nodes, (m->node_count + 1) * sizeof *m->nodes);
    memmove(m->nodes + at + 1, m->nodes + at, (m->node_count - at) * sizeof *m->nodes);
    m->nodes[at] = memory_zalloc(sizeof **m->nodes);
    m->node_count++;
    return m->nodes[at];
}

int tables_put_node(struct metadata *m, const Flotilla__NodeRecord *record, bool keep_draining)
{
    if (!node_record_ok(record)) {
        return ERR_INVALID_ARGUMENT;
    }
    struct node_meta *node = tables_node(m, record->id);
    bool draining = record->draining;
    if (node == NULL) {
        node = node_insert(m, record->id);
    } else {
        draining = keep_draining ? node->draining : draining;
        node_clear(node);
    }
    *node = (struct node_meta){
        .id = record->id,
        .peer_address = memory_strdup(record->peer_address),
        .client_host = memory_strdup(record->client_host),
        .client_port = (uint16_t)record->client_port,
        .kafka_port = (uint16_t)record->kafka_port,
        .http_port = (uint16_t)record->http_port,
        .rack = memory_strdup(record->rack),
        .software = memory_strdup(record->software),
        .draining = draining,
    };
    return 0;
}

const struct node_meta *metadata_node(const struct metadata *m, uint32_t id)
{
    return tables_node(m, id);
}

void metadata_each_node(const struct metadata *m, void (*each)(void *data, const struct node_meta *n),
                        void *data)
{
    for (size_t i = 0; i < m->node_count; i++) {
        each(data, m->nodes[i]);
    }
}

size_t metadata_node_count(const struct metadata *m)
{
    return m->node_count;
}

/* ---- topics ---- */

/* Where the name stands, or where it would be inserted. */
static size_t topic_position(const struct metadata *m, const char *name, bool *found)
{
    size_t low = 0;
    size_t high = m->topic_count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(m->topics[middle]->meta.name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void topic_destroy(struct topic_entry *topic)
{
    settings_clear(&topic->meta);
    free(topic->meta.partitions);
    free(topic);
}

struct topic_entry *tables_topic_by_id(const struct metadata *m, const void *id, size_t size)
{
    struct topic_entry *topic = NULL;
    if (size == TOPIC_ID_SIZE) {
        HASH_FIND(by_id, m->topics_by_id, id, TOPIC_ID_SIZE, topic);
    }
    return topic;
}

static struct group_entry *find_group(const struct metadata *m, uint64_t group_id)
{
    struct group_entry *group = NULL;
    HASH_FIND(by_group, m->groups, &group_id, sizeof group_id, group);
    return group;
}

bool tables_has_group(const struct metadata *m, uint64_t group_id)
{
    return find_group(m, group_id) != NULL;
}

static int check_replicas(const struct metadata *m, const Flotilla__PartitionRecord *record)
{
    if (record->n_replicas < 1 || record->n_replicas > PARTITION_REPLICAS_MAX) {
        return ERR_INVALID_REPLICATION;
    }
    for (size_t i = 0; i < record->n_replicas; i++) {
        if (tables_node(m, record->replicas[i]) == NULL) {
            return ERR_INVALID_REPLICATION;
        }
        for (size_t j = 0; j < i; j++) {
            if (record->replicas[j] == record->replicas[i]) {
                return ERR_INVALID_REPLICATION;
            }
        }
    }
    return 0;
}

int tables_check_partitions(const struct metadata *m, Flotilla__PartitionRecord *const *records, size_t count,
                            size_t first_index)
{
    if (count > TOPIC_PARTITIONS_MAX || first_index + count > TOPIC_PARTITIONS_MAX ||
        m->partition_count + count > CLUSTER_PARTITIONS_MAX) {
        return ERR_INVALID_PARTITIONS;
    }
    for (size_t i = 0; i < count; i++) {
        if (records[i]->index != first_index + i) {
            return ERR_INVALID_PARTITIONS;
        }
        int rc = check_replicas(m, records[i]);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void add_group(struct metadata *m, struct topic_entry *topic, const struct partition_meta *partition)
{
    struct group_entry *group = memory_zalloc(sizeof *group);
    group->group_id = partition->group_id;
    group->topic = topic;
    group->partition = partition->index;
    HASH_ADD(by_group, m->groups, group_id, sizeof group->group_id, group);
}

void tables_add_partitions(struct metadata *m, struct topic_entry *topic,
                           Flotilla__PartitionRecord *const *records, size_t count)
{
    struct topic_meta *meta = &topic->meta;
    meta->partitions =
        memory_realloc(meta->partitions, (meta->partition_count + count) * sizeof *meta->partitions);
    for (size_t i = 0; i < count; i++) {
        struct partition_meta *partition = &meta->partitions[meta->partition_count];
        *partition = (struct partition_meta){
            .index = records[i]->index,
            .group_id = records[i]->group_id,
            .replica_count = (unsigned)records[i]->n_replicas,
            .start_offset = records[i]->start_offset > 0 ? records[i]->start_offset : 0,
        };
        memcpy(partition->replicas, records[i]->replicas,
               records[i]->n_replicas * sizeof *partition->replicas);
        meta->partition_count++;
        add_group(m, topic, partition);
    }
    m->partition_count += count;
}

static int check_topic(const struct metadata *m, const Flotilla__TopicRecord *record)
{
    static const uint8_t no_id[TOPIC_ID_SIZE];
    bool found;
    if (topic_name_check(record->name) != 0) {
        return ERR_INVALID_TOPIC;
    }
    (void)topic_position(m, record->name, &found);
    if (found) {
        return ERR_TOPIC_EXISTS;
    }
    if (record->id.len != TOPIC_ID_SIZE || memcmp(record->id.data, no_id, TOPIC_ID_SIZE) == 0 ||
        tables_topic_by_id(m, record->id.data, record->id.len) != NULL) {
        return ERR_INVALID_ARGUMENT;
    }
    if (record->n_partitions == 0) {
        return ERR_INVALID_PARTITIONS;
    }
    return tables_check_partitions(m, record->partitions, record->n_partitions, 0);
}

static int read_settings(struct topic_meta *meta, const Flotilla__TopicRecord *record)
{
    for (size_t i = 0; i < record->n_config; i++) {
        int rc = settings_set(meta, record->config[i]->name, record->config[i]->value);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int tables_add_topic(struct metadata *m, const Flotilla__TopicRecord *record)
{
    int rc = check_topic(m, record);
    if (rc != 0) {
        return rc;
    }
    struct topic_entry *topic = memory_zalloc(sizeof *topic);
    strcpy(topic->meta.name, record->name); /* its length has been checked */
    memcpy(topic->meta.id, record->id.data, TOPIC_ID_SIZE);
    topic->meta.internal = record->internal;
    topic_config_defaults(&topic->meta.config);
    rc = read_settings(&topic->meta, record);
    if (rc != 0) {
        topic_destroy(topic);
        return rc;
    }
    bool found;
    size_t at = topic_position(m, record->name, &found);
    m->topics = memory_realloc(m->topics, (m->topic_count + 1) * sizeof *m->topics);
    memmove(m->topics + at + 1, m->topics + at, (m->topic_count - at) * sizeof *m->topics);
    m->topics[at] = topic;
    m->topic_count++;
    HASH_ADD(by_id, m->topics_by_id, meta.id, TOPIC_ID_SIZE, topic);
    tables_add_partitions(m, topic, record->partitions, record->n_partitions);
    return 0;
}

void tables_remove_topic(struct metadata *m, struct topic_entry *topic)
{
    bool found;
    size_t at = topic_position(m, topic->meta.name, &found);
    memmove(m->topics + at, m->topics + at + 1, (m->topic_count - at - 1) * sizeof *m->topics);
    m->topic_count--;
    for (uint32_t i = 0; i < topic->meta.partition_count; i++) {
        struct group_entry *group = find_group(m, topic->meta.partitions[i].group_id);
        HASH_DELETE(by_group, m->groups, group);
        free(group);
    }
    m->partition_count -= topic->meta.partition_count;
    HASH_DELETE(by_id, m->topics_by_id, topic);
    topic_destroy(topic);
}

void tables_clear(struct metadata *m)
{
    struct group_entry *group;
    struct group_entry *next;
    HASH_ITER (by_group, m->groups, group, next) {
        HASH_DELETE(by_group, m->groups, group);
        free(group);
    }
    HASH_CLEAR(by_id, m->topics_by_id);
    for (size_t i = 0; i < m->topic_count; i++) {
        topic_destroy(m->topics[i]);
    }
    for (size_t i = 0; i < m->node_count; i++) {
        node_clear(m->nodes[i]);
        free(m->nodes[i]);
    }
    free(m->topics);
    free(m->nodes);
    *m = (struct metadata){.next_group_id = METADATA_GROUP_ID + 1};
}

/* ---- lookups ---- */

uint64_t metadata_version(const struct metadata *m)
{
    return m->version;
}

uint64_t metadata_next_group_id(const struct metadata *m)
{
    return m->next_group_id;
}

int64_t metadata_next_producer_id(const struct metadata *m)
{
    return m->next_producer_id;
}

const struct topic_meta *metadata_topic(const struct metadata *m, const char *name)
{
    bool found;
    size_t at = topic_position(m, name, &found);
    return found ? &m->topics[at]->meta : NULL;
}

const struct topic_meta *metadata_topic_by_id(const struct metadata *m, const uint8_t id[TOPIC_ID_SIZE])
{
    struct topic_entry *topic = tables_topic_by_id(m, id, TOPIC_ID_SIZE);
    return topic == NULL ? NULL : &topic->meta;
}

const struct topic_meta *metadata_topic_by_group(const struct metadata *m, uint64_t group_id,
                                                 const struct partition_meta **partition)
{
    struct group_entry *group = find_group(m, group_id);
    if (group == NULL) {
        return NULL;
    }
    if (partition != NULL) {
        *partition = &group->topic->meta.partitions[group->partition];
    }
    return &group->topic->meta;
}

void metadata_each_topic(const struct metadata *m, void (*each)(void *data, const struct topic_meta *t),
                         void *data)
{
    for (size_t i = 0; i < m->topic_count; i++) {
        each(data, &m->topics[i]->meta);
    }
}

size_t metadata_topic_count(const struct metadata *m)
{
    return m->topic_count;
}

size_t metadata_partition_count(const struct metadata *m)
{
    return m->partition_count;
}
