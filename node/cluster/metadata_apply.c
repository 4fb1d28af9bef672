/* The commands of group 0. Each function checks everything first and changes the tables only when all of it
 * holds, so that a command that no longer fits leaves the same tables, and the same answer, on every node. */
#include "node/cluster/metadata_tables.h"
#include "proto/error.h"
#include <string.h>

/* Group ids only grow in log order. This is also what lets a node tell a deleted group (below next_group_id
 * and not in the tables) from one that it has not heard of yet. */
static int check_new_group_ids(const struct metadata *m, Flotilla__PartitionRecord *const *records,
                               size_t count, uint64_t *next)
{
    *next = m->next_group_id;
    for (size_t i = 0; i < count; i++) {
        if (records[i]->group_id < *next || records[i]->group_id == UINT64_MAX) {
            return ERR_INVALID_ARGUMENT;
        }
        *next = records[i]->group_id + 1;
    }
    return 0;
}

static int apply_register_node(struct metadata *m, const Flotilla__RegisterNode *command)
{
    return command->node == NULL ? ERR_INVALID_ARGUMENT : tables_put_node(m, command->node, true);
}

static int apply_create_topic(struct metadata *m, const Flotilla__CreateTopic *command)
{
    const Flotilla__TopicRecord *topic = command->topic;
    if (topic == NULL) {
        return ERR_INVALID_ARGUMENT;
    }
    uint64_t next;
    int rc = check_new_group_ids(m, topic->partitions, topic->n_partitions, &next);
    /* A name that exists is the likelier and more useful answer than ids that have gone stale with it. */
    if (rc != 0 && metadata_topic(m, topic->name) != NULL) {
        return ERR_TOPIC_EXISTS;
    }
    if (rc == 0) {
        rc = tables_add_topic(m, topic);
    }
    if (rc == 0) {
        m->next_group_id = next;
    }
    return rc;
}

static int apply_delete_topic(struct metadata *m, const Flotilla__DeleteTopic *command)
{
    struct topic_entry *topic = tables_topic_by_id(m, command->id.data, command->id.len);
    if (topic == NULL) {
        return ERR_UNKNOWN_TOPIC;
    }
    tables_remove_topic(m, topic);
    return 0;
}

/* Into a copy, so that one bad setting leaves all of them as they were. */
static int alter_settings(struct topic_meta *copy, const Flotilla__AlterTopic *command)
{
    for (size_t i = 0; i < command->n_reset; i++) {
        settings_reset(copy, command->reset[i]);
    }
    for (size_t i = 0; i < command->n_set; i++) {
        int rc = settings_set(copy, command->set[i]->name, command->set[i]->value);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int check_growth(const struct metadata *m, const struct topic_meta *topic,
                        const Flotilla__AlterTopic *command, uint64_t *next)
{
    int rc = tables_check_partitions(m, command->add_partitions, command->n_add_partitions,
                                     topic->partition_count);
    return rc != 0 ? rc : check_new_group_ids(m, command->add_partitions, command->n_add_partitions, next);
}

static int apply_alter_topic(struct metadata *m, const Flotilla__AlterTopic *command)
{
    struct topic_entry *topic = tables_topic_by_id(m, command->id.data, command->id.len);
    if (topic == NULL) {
        return ERR_UNKNOWN_TOPIC;
    }
    uint64_t next;
    int rc = check_growth(m, &topic->meta, command, &next);
    if (rc != 0) {
        return rc;
    }
    struct topic_meta copy;
    settings_copy(&copy, &topic->meta);
    rc = alter_settings(&copy, command);
    if (rc != 0) {
        settings_clear(&copy);
        return rc;
    }
    settings_clear(&topic->meta);
    topic->meta.config = copy.config;
    topic->meta.config_names = copy.config_names;
    topic->meta.config_values = copy.config_values;
    topic->meta.config_count = copy.config_count;
    if (command->n_add_partitions > 0) {
        tables_add_partitions(m, topic, command->add_partitions, command->n_add_partitions);
        m->next_group_id = next;
    }
    return 0;
}

static int apply_delete_records(struct metadata *m, const Flotilla__DeleteRecords *command)
{
    struct topic_entry *topic = tables_topic_by_id(m, command->id.data, command->id.len);
    if (topic == NULL) {
        return ERR_UNKNOWN_TOPIC;
    }
    for (size_t i = 0; i < command->n_starts; i++) {
        if (command->starts[i]->index >= topic->meta.partition_count) {
            return ERR_UNKNOWN_PARTITION;
        }
    }
    for (size_t i = 0; i < command->n_starts; i++) {
        struct partition_meta *partition = &topic->meta.partitions[command->starts[i]->index];
        if (command->starts[i]->offset > partition->start_offset) {
            partition->start_offset = command->starts[i]->offset;
        }
    }
    return 0;
}

static int apply_drain_node(struct metadata *m, const Flotilla__DrainNode *command)
{
    struct node_meta *node = tables_node(m, command->node_id);
    if (node == NULL) {
        return ERR_NOT_FOUND;
    }
    node->draining = command->draining;
    return 0;
}

static int apply_allocate_producer_ids(struct metadata *m, const Flotilla__AllocateProducerIds *command)
{
    if (command->count == 0 || command->count > PRODUCER_ID_BLOCK_MAX ||
        m->next_producer_id > INT64_MAX - (int64_t)command->count) {
        return ERR_INVALID_ARGUMENT;
    }
    m->next_producer_id += command->count;
    return 0;
}

static int apply_command(struct metadata *m, const Flotilla__MetadataCommand *command)
{
    switch (command->command_case) {
    case FLOTILLA__METADATA_COMMAND__COMMAND_REGISTER_NODE:
        return apply_register_node(m, command->register_node);
    case FLOTILLA__METADATA_COMMAND__COMMAND_CREATE_TOPIC:
        return apply_create_topic(m, command->create_topic);
    case FLOTILLA__METADATA_COMMAND__COMMAND_DELETE_TOPIC:
        return apply_delete_topic(m, command->delete_topic);
    case FLOTILLA__METADATA_COMMAND__COMMAND_ALTER_TOPIC:
        return apply_alter_topic(m, command->alter_topic);
    case FLOTILLA__METADATA_COMMAND__COMMAND_DRAIN_NODE:
        return apply_drain_node(m, command->drain_node);
    case FLOTILLA__METADATA_COMMAND__COMMAND_ALLOCATE_PRODUCER_IDS:
        return apply_allocate_producer_ids(m, command->allocate_producer_ids);
    case FLOTILLA__METADATA_COMMAND__COMMAND_DELETE_RECORDS:
        return apply_delete_records(m, command->delete_records);
    default:
        return ERR_UNSUPPORTED;
    }
}

int metadata_apply(struct metadata *m, const void *command, size_t size)
{
    Flotilla__MetadataCommand *message = flotilla__metadata_command__unpack(NULL, size, command);
    if (message == NULL) {
        return ERR_CORRUPT;
    }
    int rc = apply_command(m, message);
    flotilla__metadata_command__free_unpacked(message, NULL);
    if (rc == 0) {
        m->version++;
    }
    return rc;
}
