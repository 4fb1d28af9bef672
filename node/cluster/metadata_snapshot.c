/* The tables as one MetadataSnapshot message, in a fixed order, so that equal tables give equal bytes. */
#include "node/base/memory.h"
#include "node/cluster/metadata_tables.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

static void fill_node(Flotilla__NodeRecord *record, const struct node_meta *node)
{
    flotilla__node_record__init(record);
    record->id = node->id;
    record->peer_address = node->peer_address;
    record->client_host = node->client_host;
    record->client_port = node->client_port;
    record->kafka_port = node->kafka_port;
    record->http_port = node->http_port;
    record->rack = node->rack;
    record->software = node->software;
    record->draining = node->draining;
}

/* The message structs of one topic, which point into the tables. */
struct topic_pack {
    Flotilla__TopicRecord record;
    Flotilla__PartitionRecord *partitions;
    Flotilla__PartitionRecord **partition_list;
    Flotilla__TopicConfigRecord *config;
    Flotilla__TopicConfigRecord **config_list;
};

static void fill_partitions(struct topic_pack *pack, const struct topic_meta *topic)
{
    pack->partitions = memory_alloc(topic->partition_count * sizeof *pack->partitions);
    pack->partition_list = memory_alloc(topic->partition_count * sizeof(void *));
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        Flotilla__PartitionRecord *record = &pack->partitions[i];
        flotilla__partition_record__init(record);
        record->index = topic->partitions[i].index;
        record->group_id = topic->partitions[i].group_id;
        record->n_replicas = topic->partitions[i].replica_count;
        record->replicas = topic->partitions[i].replicas;
        record->start_offset = topic->partitions[i].start_offset;
        pack->partition_list[i] = record;
    }
    pack->record.n_partitions = topic->partition_count;
    pack->record.partitions = pack->partition_list;
}

static void fill_config(struct topic_pack *pack, const struct topic_meta *topic)
{
    pack->config = memory_alloc((topic->config_count + 1) * sizeof *pack->config);
    pack->config_list = memory_alloc((topic->config_count + 1) * sizeof(void *));
    for (size_t i = 0; i < topic->config_count; i++) {
        flotilla__topic_config_record__init(&pack->config[i]);
        pack->config[i].name = topic->config_names[i];
        pack->config[i].value = topic->config_values[i];
        pack->config_list[i] = &pack->config[i];
    }
    pack->record.n_config = topic->config_count;
    pack->record.config = pack->config_list;
}

static void topic_pack_fill(struct topic_pack *pack, struct topic_meta *topic)
{
    flotilla__topic_record__init(&pack->record);
    pack->record.name = topic->name;
    pack->record.id = (ProtobufCBinaryData){TOPIC_ID_SIZE, topic->id};
    pack->record.internal = topic->internal;
    fill_partitions(pack, topic);
    fill_config(pack, topic);
}

static void topic_pack_free(struct topic_pack *pack)
{
    free(pack->partitions);
    free(pack->partition_list);
    free(pack->config);
    free(pack->config_list);
}

void metadata_snapshot(const struct metadata *m, struct bytes *out)
{
    Flotilla__NodeRecord *nodes = memory_alloc((m->node_count + 1) * sizeof *nodes);
    Flotilla__NodeRecord **node_list = memory_alloc((m->node_count + 1) * sizeof *node_list);
    struct topic_pack *topics = memory_alloc((m->topic_count + 1) * sizeof *topics);
    Flotilla__TopicRecord **topic_list = memory_alloc((m->topic_count + 1) * sizeof *topic_list);
    for (size_t i = 0; i < m->node_count; i++) {
        fill_node(&nodes[i], m->nodes[i]);
        node_list[i] = &nodes[i];
    }
    for (size_t i = 0; i < m->topic_count; i++) {
        topic_pack_fill(&topics[i], &m->topics[i]->meta);
        topic_list[i] = &topics[i].record;
    }
    Flotilla__MetadataSnapshot snapshot = FLOTILLA__METADATA_SNAPSHOT__INIT;
    snapshot.version = m->version;
    snapshot.next_group_id = m->next_group_id;
    snapshot.next_producer_id = m->next_producer_id;
    snapshot.n_nodes = m->node_count;
    snapshot.nodes = node_list;
    snapshot.n_topics = m->topic_count;
    snapshot.topics = topic_list;
    size_t size = flotilla__metadata_snapshot__get_packed_size(&snapshot);
    flotilla__metadata_snapshot__pack(&snapshot, bytes_extend(out, size));
    for (size_t i = 0; i < m->topic_count; i++) {
        topic_pack_free(&topics[i]);
    }
    free(topic_list);
    free(topics);
    free(node_list);
    free(nodes);
}

/* Ids stand in name order here, not in the order of creation: only that they are used once can be checked. */
static int check_group_ids(const struct metadata *m, const Flotilla__TopicRecord *topic)
{
    for (size_t i = 0; i < topic->n_partitions; i++) {
        uint64_t id = topic->partitions[i]->group_id;
        if (id == METADATA_GROUP_ID || id >= m->next_group_id || tables_has_group(m, id) ||
            (i > 0 && id <= topic->partitions[i - 1]->group_id)) {
            return ERR_CORRUPT;
        }
    }
    return 0;
}

static int read_snapshot(struct metadata *m, const Flotilla__MetadataSnapshot *snapshot)
{
    if (snapshot->next_group_id <= METADATA_GROUP_ID || snapshot->next_producer_id < 0) {
        return ERR_CORRUPT;
    }
    m->version = snapshot->version;
    m->next_group_id = snapshot->next_group_id;
    m->next_producer_id = snapshot->next_producer_id;
    for (size_t i = 0; i < snapshot->n_nodes; i++) {
        if (tables_node(m, snapshot->nodes[i]->id) != NULL ||
            tables_put_node(m, snapshot->nodes[i], false) != 0) {
            return ERR_CORRUPT;
        }
    }
    for (size_t i = 0; i < snapshot->n_topics; i++) {
        if (check_group_ids(m, snapshot->topics[i]) != 0 || tables_add_topic(m, snapshot->topics[i]) != 0) {
            return ERR_CORRUPT;
        }
    }
    return 0;
}

int metadata_restore(struct metadata *m, const void *data, size_t size)
{
    struct metadata *restored = metadata_create();
    int rc = 0;
    if (size > 0) {
        Flotilla__MetadataSnapshot *snapshot = flotilla__metadata_snapshot__unpack(NULL, size, data);
        rc = snapshot == NULL ? ERR_CORRUPT : read_snapshot(restored, snapshot);
        flotilla__metadata_snapshot__free_unpacked(snapshot, NULL);
    }
    if (rc == 0) {
        tables_clear(m);
        *m = *restored;
        *restored = (struct metadata){0};
    }
    metadata_destroy(restored);
    return rc;
}
