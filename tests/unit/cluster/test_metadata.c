#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/prng.h"
#include "node/cluster/metadata.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTITIONS_MAX = 12, CONFIG_MAX = 4 };

static struct prng prng;

/* ---- building commands ---- */

static int apply_message(struct metadata *m, Flotilla__MetadataCommand *command)
{
    unsigned char packed[8192];
    assert_true(flotilla__metadata_command__get_packed_size(command) <= sizeof packed);
    size_t size = flotilla__metadata_command__pack(command, packed);
    return metadata_apply(m, packed, size);
}

static int register_node(struct metadata *m, uint32_t id, const char *host, bool draining)
{
    Flotilla__NodeRecord node = FLOTILLA__NODE_RECORD__INIT;
    node.id = id;
    node.client_host = (char *)host;
    node.peer_address = "127.0.0.1:9292";
    node.client_port = 9192;
    node.draining = draining;
    Flotilla__RegisterNode body = FLOTILLA__REGISTER_NODE__INIT;
    body.node = &node;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_REGISTER_NODE;
    command.register_node = &body;
    return apply_message(m, &command);
}

/* A topic record with everything it points to; valid as it comes from topic_of, to be spoiled by tests. */
struct topic_builder {
    Flotilla__TopicRecord record;
    uint8_t id[TOPIC_ID_SIZE];
    uint32_t replicas[PARTITIONS_MAX][8];
    Flotilla__PartitionRecord partitions[PARTITIONS_MAX];
    Flotilla__PartitionRecord *partition_list[PARTITIONS_MAX];
    Flotilla__TopicConfigRecord config[CONFIG_MAX];
    Flotilla__TopicConfigRecord *config_list[CONFIG_MAX];
};

static void fill_partitions(struct topic_builder *b, uint32_t first_index, uint64_t first_group,
                            unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        flotilla__partition_record__init(&b->partitions[i]);
        b->partitions[i].index = first_index + i;
        b->partitions[i].group_id = first_group + i;
        b->partitions[i].n_replicas = 3;
        b->partitions[i].replicas = b->replicas[i];
        for (uint32_t k = 0; k < 3; k++) {
            b->replicas[i][k] = 1 + (i + k) % 3;
        }
        b->partition_list[i] = &b->partitions[i];
    }
}

static void topic_of(struct topic_builder *b, const char *name, uint8_t id, uint64_t first_group,
                     unsigned partitions)
{
    memset(b, 0, sizeof *b);
    flotilla__topic_record__init(&b->record);
    memset(b->id, id, sizeof b->id);
    b->record.name = (char *)name;
    b->record.id = (ProtobufCBinaryData){sizeof b->id, b->id};
    fill_partitions(b, 0, first_group, partitions);
    b->record.n_partitions = partitions;
    b->record.partitions = b->partition_list;
    b->record.config = b->config_list;
}

static void add_config(struct topic_builder *b, const char *name, const char *value)
{
    Flotilla__TopicConfigRecord *config = &b->config[b->record.n_config];
    flotilla__topic_config_record__init(config);
    config->name = (char *)name;
    config->value = (char *)value;
    b->config_list[b->record.n_config] = config;
    b->record.n_config++;
}

static int create(struct metadata *m, struct topic_builder *b)
{
    Flotilla__CreateTopic body = FLOTILLA__CREATE_TOPIC__INIT;
    body.topic = &b->record;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_CREATE_TOPIC;
    command.create_topic = &body;
    return apply_message(m, &command);
}

static int delete_topic(struct metadata *m, uint8_t id)
{
    uint8_t bytes[TOPIC_ID_SIZE];
    memset(bytes, id, sizeof bytes);
    Flotilla__DeleteTopic body = FLOTILLA__DELETE_TOPIC__INIT;
    body.id = (ProtobufCBinaryData){sizeof bytes, bytes};
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_DELETE_TOPIC;
    command.delete_topic = &body;
    return apply_message(m, &command);
}

/* `b` carries the partitions to add and the configuration to set; `reset` may be NULL. */
static int alter(struct metadata *m, struct topic_builder *b, const char *reset)
{
    char *reset_list[1] = {(char *)reset};
    Flotilla__AlterTopic body = FLOTILLA__ALTER_TOPIC__INIT;
    body.id = b->record.id;
    body.n_set = b->record.n_config;
    body.set = b->config_list;
    body.n_reset = reset == NULL ? 0 : 1;
    body.reset = reset_list;
    body.n_add_partitions = b->record.n_partitions;
    body.add_partitions = b->partition_list;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_ALTER_TOPIC;
    command.alter_topic = &body;
    return apply_message(m, &command);
}

static int drain(struct metadata *m, uint32_t node_id, bool draining)
{
    Flotilla__DrainNode body = FLOTILLA__DRAIN_NODE__INIT;
    body.node_id = node_id;
    body.draining = draining;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_DRAIN_NODE;
    command.drain_node = &body;
    return apply_message(m, &command);
}

static int allocate(struct metadata *m, uint32_t count)
{
    Flotilla__AllocateProducerIds body = FLOTILLA__ALLOCATE_PRODUCER_IDS__INIT;
    body.node_id = 1;
    body.count = count;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_ALLOCATE_PRODUCER_IDS;
    command.allocate_producer_ids = &body;
    return apply_message(m, &command);
}

static int delete_records(struct metadata *m, uint8_t id, uint32_t index, int64_t offset)
{
    uint8_t bytes[TOPIC_ID_SIZE];
    memset(bytes, id, sizeof bytes);
    Flotilla__PartitionStart start = FLOTILLA__PARTITION_START__INIT;
    Flotilla__PartitionStart *starts[1] = {&start};
    start.index = index;
    start.offset = offset;
    Flotilla__DeleteRecords body = FLOTILLA__DELETE_RECORDS__INIT;
    body.id = (ProtobufCBinaryData){sizeof bytes, bytes};
    body.n_starts = 1;
    body.starts = starts;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_DELETE_RECORDS;
    command.delete_records = &body;
    return apply_message(m, &command);
}

static struct metadata *three_nodes(void)
{
    struct metadata *m = metadata_create();
    for (uint32_t id = 3; id >= 1; id--) {
        assert_int_equal(register_node(m, id, "host", false), 0);
    }
    return m;
}

static void assert_same_tables(const struct metadata *a, const struct metadata *b)
{
    struct bytes left;
    struct bytes right;
    bytes_init(&left);
    bytes_init(&right);
    metadata_snapshot(a, &left);
    metadata_snapshot(b, &right);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    bytes_close(&left);
    bytes_close(&right);
}

static struct metadata *restored_copy(const struct metadata *m)
{
    struct bytes snapshot;
    bytes_init(&snapshot);
    metadata_snapshot(m, &snapshot);
    struct metadata *copy = metadata_create();
    assert_int_equal(metadata_restore(copy, snapshot.data, snapshot.size), 0);
    bytes_close(&snapshot);
    return copy;
}

/* ---- tests ---- */

static void topic_is_found_by_name_id_and_group(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    struct topic_builder b;
    topic_of(&b, "orders", 7, 5, 4);
    add_config(&b, "retention.ms", "1000");
    assert_int_equal(create(m, &b), 0);
    const struct topic_meta *topic = metadata_topic(m, "orders");
    assert_non_null(topic);
    assert_ptr_equal(metadata_topic_by_id(m, b.id), topic);
    const struct partition_meta *partition;
    assert_ptr_equal(metadata_topic_by_group(m, 7, &partition), topic);
    assert_int_equal(partition->index, 2);
    assert_int_equal(partition->replicas[0], 3);
    assert_int_equal(topic->config.retention_ms, 1000);
    assert_int_equal(metadata_next_group_id(m), 9);
    assert_int_equal(metadata_partition_count(m), 4);
    assert_null(metadata_topic(m, "order"));
    assert_null(metadata_topic_by_group(m, 9, &partition));
    assert_int_equal(delete_topic(m, 7), 0);
    assert_null(metadata_topic_by_group(m, 7, &partition));
    assert_int_equal(metadata_partition_count(m), 0);
    assert_int_equal(metadata_next_group_id(m), 9);
    metadata_destroy(m);
}

struct spoiled {
    void (*spoil)(struct topic_builder *b);
    int error;
};

static void spoil_name(struct topic_builder *b)
{
    b->record.name = "no/slash";
}
static void spoil_existing_name(struct topic_builder *b)
{
    b->record.name = "there";
}
static void spoil_id_size(struct topic_builder *b)
{
    b->record.id.len = 15;
}
static void spoil_id_zero(struct topic_builder *b)
{
    memset(b->id, 0, sizeof b->id);
}
static void spoil_id_taken(struct topic_builder *b)
{
    memset(b->id, 1, sizeof b->id);
}
static void spoil_no_partitions(struct topic_builder *b)
{
    b->record.n_partitions = 0;
}
static void spoil_index(struct topic_builder *b)
{
    b->partitions[1].index = 2;
}
static void spoil_old_group(struct topic_builder *b)
{
    b->partitions[0].group_id = 1;
}
static void spoil_group_twice(struct topic_builder *b)
{
    b->partitions[1].group_id = b->partitions[0].group_id;
}
static void spoil_group_last(struct topic_builder *b)
{
    b->partitions[1].group_id = UINT64_MAX;
}
static void spoil_replica_unknown(struct topic_builder *b)
{
    b->replicas[1][0] = 9;
}
static void spoil_replica_twice(struct topic_builder *b)
{
    b->replicas[1][0] = b->replicas[1][2];
}
static void spoil_replicas_none(struct topic_builder *b)
{
    b->partitions[0].n_replicas = 0;
}
static void spoil_replicas_many(struct topic_builder *b)
{
    b->partitions[0].n_replicas = 8;
}
static void spoil_config(struct topic_builder *b)
{
    add_config(b, "retention.ms", "tomorrow");
}

static const struct spoiled spoiled_topics[] = {
    {spoil_name, ERR_INVALID_TOPIC},
    {spoil_existing_name, ERR_TOPIC_EXISTS},
    {spoil_id_size, ERR_INVALID_ARGUMENT},
    {spoil_id_zero, ERR_INVALID_ARGUMENT},
    {spoil_id_taken, ERR_INVALID_ARGUMENT},
    {spoil_no_partitions, ERR_INVALID_PARTITIONS},
    {spoil_index, ERR_INVALID_PARTITIONS},
    {spoil_old_group, ERR_INVALID_ARGUMENT},
    {spoil_group_twice, ERR_INVALID_ARGUMENT},
    {spoil_group_last, ERR_INVALID_ARGUMENT},
    {spoil_replica_unknown, ERR_INVALID_REPLICATION},
    {spoil_replica_twice, ERR_INVALID_REPLICATION},
    {spoil_replicas_none, ERR_INVALID_REPLICATION},
    {spoil_replicas_many, ERR_INVALID_REPLICATION},
    {spoil_config, ERR_INVALID_CONFIG},
};

static void wrong_topics_change_nothing(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    struct topic_builder there;
    topic_of(&there, "there", 1, 1, 2);
    assert_int_equal(create(m, &there), 0);
    struct metadata *before = restored_copy(m);
    for (size_t i = 0; i < sizeof spoiled_topics / sizeof spoiled_topics[0]; i++) {
        struct topic_builder b;
        topic_of(&b, "new", 2, 3, 2);
        spoiled_topics[i].spoil(&b);
        assert_int_equal(create(m, &b), spoiled_topics[i].error);
        assert_same_tables(m, before);
    }
    struct topic_builder b;
    topic_of(&b, "new", 2, 3, 2);
    assert_int_equal(create(m, &b), 0);
    metadata_destroy(before);
    metadata_destroy(m);
}

static void partitions_only_grow(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    struct topic_builder b;
    topic_of(&b, "orders", 1, 1, 2);
    assert_int_equal(create(m, &b), 0);
    fill_partitions(&b, 2, 3, 3);
    b.record.n_partitions = 3;
    assert_int_equal(alter(m, &b, NULL), 0);
    assert_int_equal(metadata_topic(m, "orders")->partition_count, 5);
    /* The same once more: its indexes and group ids are taken. */
    assert_int_equal(alter(m, &b, NULL), ERR_INVALID_PARTITIONS);
    fill_partitions(&b, 5, 3, 1);
    b.record.n_partitions = 1;
    assert_int_equal(alter(m, &b, NULL), ERR_INVALID_ARGUMENT);
    assert_int_equal(metadata_partition_count(m), 5);
    metadata_destroy(m);
}

static void settings_change_together_or_not_at_all(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    struct topic_builder b;
    topic_of(&b, "orders", 1, 1, 1);
    add_config(&b, "segment.bytes", "65536");
    assert_int_equal(create(m, &b), 0);
    struct topic_builder change;
    topic_of(&change, "orders", 1, 1, 0);
    add_config(&change, "retention.ms", "5000");
    add_config(&change, "segment.ms", "never");
    assert_int_equal(alter(m, &change, "segment.bytes"), ERR_INVALID_CONFIG);
    const struct topic_meta *topic = metadata_topic(m, "orders");
    assert_int_equal(topic->config_count, 1);
    assert_int_equal(topic->config.segment_bytes, 65536);
    change.config[1].value = "9000";
    assert_int_equal(alter(m, &change, "segment.bytes"), 0);
    topic = metadata_topic(m, "orders");
    assert_int_equal(topic->config_count, 2);
    assert_string_equal(topic->config_names[0], "retention.ms");
    assert_int_equal(topic->config.segment_bytes, 256 << 20);
    assert_int_equal(topic->config.segment_ms, 9000);
    metadata_destroy(m);
}

/* A newer node's key must not make an older one's tables differ. */
static void keys_of_a_newer_version_are_kept(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    struct topic_builder b;
    topic_of(&b, "orders", 1, 1, 1);
    add_config(&b, "tiering.enable", "true");
    assert_int_equal(create(m, &b), 0);
    struct metadata *copy = restored_copy(m);
    assert_string_equal(metadata_topic(copy, "orders")->config_values[0], "true");
    metadata_destroy(copy);
    metadata_destroy(m);
}

static void starts_only_go_up(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    struct topic_builder b;
    topic_of(&b, "orders", 7, 5, 2);
    assert_int_equal(create(m, &b), 0);
    assert_int_equal(delete_records(m, 7, 1, 100), 0);
    assert_int_equal(delete_records(m, 7, 1, 40), 0);
    assert_int_equal(delete_records(m, 7, 0, -5), 0);
    assert_int_equal(delete_records(m, 7, 2, 1), ERR_UNKNOWN_PARTITION);
    assert_int_equal(delete_records(m, 8, 0, 1), ERR_UNKNOWN_TOPIC);
    struct metadata *copy = restored_copy(m);
    assert_int_equal(metadata_topic(copy, "orders")->partitions[0].start_offset, 0);
    assert_int_equal(metadata_topic(copy, "orders")->partitions[1].start_offset, 100);
    metadata_destroy(copy);
    metadata_destroy(m);
}

static void registering_again_keeps_the_draining_flag(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    assert_int_equal(drain(m, 2, true), 0);
    assert_int_equal(register_node(m, 2, "elsewhere", false), 0);
    assert_true(metadata_node(m, 2)->draining);
    assert_string_equal(metadata_node(m, 2)->client_host, "elsewhere");
    assert_int_equal(drain(m, 2, false), 0);
    assert_false(metadata_node(m, 2)->draining);
    assert_int_equal(drain(m, 9, true), ERR_NOT_FOUND);
    assert_int_equal(register_node(m, 0, "nobody", false), ERR_INVALID_ARGUMENT);
    metadata_destroy(m);
}

static void producer_ids_are_given_once(void **state)
{
    (void)state;
    struct metadata *m = metadata_create();
    assert_int_equal(allocate(m, 1000), 0);
    assert_int_equal(allocate(m, 1000), 0);
    assert_int_equal(metadata_next_producer_id(m), 2000);
    assert_int_equal(allocate(m, 0), ERR_INVALID_ARGUMENT);
    assert_int_equal(allocate(m, UINT32_MAX), ERR_INVALID_ARGUMENT);
    struct metadata *copy = restored_copy(m);
    assert_int_equal(metadata_next_producer_id(copy), 2000);
    metadata_destroy(copy);
    metadata_destroy(m);
}

static void remember_name(void *data, const struct topic_meta *topic)
{
    char *last = data;
    assert_true(strcmp(last, topic->name) < 0);
    strcpy(last, topic->name);
}

static void random_command(struct metadata *m)
{
    char name[16];
    struct topic_builder b;
    uint8_t which = (uint8_t)(1 + prng_below(&prng, 20));
    /* Mostly fresh group ids, sometimes stale ones, as after a lost race between controllers. */
    uint64_t group = metadata_next_group_id(m) + prng_below(&prng, 3) - (prng_below(&prng, 5) == 0 ? 1 : 0);
    (void)snprintf(name, sizeof name, "topic-%u", which);
    topic_of(&b, name, which, group, 1 + (unsigned)prng_below(&prng, PARTITIONS_MAX));
    if (prng_below(&prng, 2) == 0) {
        add_config(&b, "retention.ms", prng_below(&prng, 4) == 0 ? "x" : "77");
    }
    switch (prng_below(&prng, 7)) {
    case 0:
    case 1:
        (void)create(m, &b);
        break;
    case 2:
        (void)delete_topic(m, which);
        break;
    case 3:
        fill_partitions(&b, (uint32_t)prng_below(&prng, 12), group, (unsigned)b.record.n_partitions);
        (void)alter(m, &b, prng_below(&prng, 2) == 0 ? "retention.ms" : NULL);
        break;
    case 4:
        (void)drain(m, which % 5, prng_below(&prng, 2) == 0);
        break;
    case 5:
        (void)register_node(m, which % 5, name, false);
        break;
    default:
        (void)allocate(m, (uint32_t)prng_below(&prng, 3) * 100);
        break;
    }
}

/* Two nodes, one of which is restored from a snapshot again and again, end with the same tables. */
static void restored_tables_go_on_the_same_way(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct metadata *a = three_nodes();
        struct metadata *b = restored_copy(a);
        for (int i = 0; i < 150; i++) {
            struct prng same = prng;
            random_command(a);
            prng = same;
            random_command(b);
            if (prng_below(&prng, 10) == 0) {
                struct metadata *copy = restored_copy(b);
                metadata_destroy(b);
                b = copy;
            }
        }
        assert_same_tables(a, b);
        char last[TOPIC_NAME_MAX + 1] = "";
        metadata_each_topic(a, remember_name, last);
        metadata_destroy(a);
        metadata_destroy(b);
    }
}

static void garbage_is_refused(void **state)
{
    (void)state;
    struct metadata *m = three_nodes();
    struct topic_builder b;
    topic_of(&b, "orders", 1, 1, 6);
    add_config(&b, "retention.ms", "1");
    assert_int_equal(create(m, &b), 0);
    struct bytes snapshot;
    bytes_init(&snapshot);
    metadata_snapshot(m, &snapshot);
    for (int i = 0; i < 5000; i++) {
        struct bytes copy;
        bytes_init(&copy);
        bytes_append(&copy, snapshot.data, prng_below(&prng, snapshot.size + 1));
        for (uint64_t flips = prng_below(&prng, 6); flips > 0 && copy.size > 0; flips--) {
            copy.data[prng_below(&prng, copy.size)] = (unsigned char)prng_next(&prng);
        }
        struct metadata *victim = three_nodes();
        uint64_t version = metadata_version(victim);
        if (metadata_restore(victim, copy.data, copy.size) != 0) {
            assert_int_equal(metadata_version(victim), version);
            assert_int_equal(metadata_node_count(victim), 3);
        }
        (void)metadata_apply(victim, copy.data, copy.size);
        metadata_destroy(victim);
        bytes_close(&copy);
    }
    bytes_close(&snapshot);
    assert_int_equal(metadata_apply(m, "\xff\xff\xff", 3), ERR_CORRUPT);
    assert_int_equal(metadata_apply(m, "", 0), ERR_UNSUPPORTED);
    metadata_destroy(m);
}

int main(void)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("SEED=%llu\n", (unsigned long long)seed);
    prng_init(&prng, seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topic_is_found_by_name_id_and_group),
        cmocka_unit_test(wrong_topics_change_nothing),
        cmocka_unit_test(partitions_only_grow),
        cmocka_unit_test(settings_change_together_or_not_at_all),
        cmocka_unit_test(keys_of_a_newer_version_are_kept),
        cmocka_unit_test(starts_only_go_up),
        cmocka_unit_test(registering_again_keeps_the_draining_flag),
        cmocka_unit_test(producer_ids_are_given_once),
        cmocka_unit_test(restored_tables_go_on_the_same_way),
        cmocka_unit_test(garbage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
