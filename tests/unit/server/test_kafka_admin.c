/* The administrative Kafka APIs of a node, at their oldest and their newest version. */
#include "proto/kafka/errors.h"
#include "tests/unit/server/helper_fleet.h"
#include "tests/unit/server/helper_kafka_client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 10000, RECORDS = 5 };

static struct fleet fleet;
static struct kafka_client client;

static int setup(void **state)
{
    *state = &fleet;
    fleet_open(&fleet, 1, NULL);
    kafka_client_open(&client, fleet.env, node_kafka_port(fleet.nodes[0]));
    return 0;
}

static int teardown(void **state)
{
    kafka_client_close(&client);
    return fleet_tear_down(state);
}

static int16_t oldest(int16_t key)
{
    return kafka_api_find(key)->oldest_version;
}

static int16_t newest(int16_t key)
{
    return kafka_api_find(key)->newest_version;
}

static void assert_text(struct kafka_string text, const char *expected)
{
    if (!kafka_string_is(text, expected))
        fail_msg("\"%.*s\" instead of \"%s\"", text.size > 0 ? text.size : 0, text.data, expected);
}

/* After a start a node does not know at once that what it has not heard of does not exist. */
static bool tables_are_current(void *data)
{
    struct kafka_metadata_request_topic topic = {{{0}}, kafka_string_of("nowhere")};
    struct kafka_metadata_request request = kafka_metadata_request_default;
    struct kafka_metadata_response response;

    (void)data;
    request.allow_auto_topic_creation = false;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_METADATA, 12, &request, &response);
    return response.topics.items[0].error_code == KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static void restart_node(void)
{
    kafka_client_close(&client);
    fleet_stop_node(&fleet, 0, true);
    fleet_start_node(&fleet, 0);
    kafka_client_open(&client, fleet.env, node_kafka_port(fleet.nodes[0]));
    run_until(fleet.env, tables_are_current, NULL, TIMEOUT_MS);
}

/* ---- topics ---- */

static struct kafka_create_topics_response_topic create_at(int16_t version, const char *name,
                                                           int32_t partitions, bool only_check)
{
    struct kafka_create_topics_request_topic topic = kafka_create_topics_request_topic_default;
    struct kafka_create_topics_request request = kafka_create_topics_request_default;
    struct kafka_create_topics_response response;

    topic.name = kafka_string_of(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    request.timeout_ms = TIMEOUT_MS;
    request.validate_only = only_check;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_CREATE_TOPICS, version, &request, &response);
    assert_int_equal(response.topics.count, 1);
    assert_text(response.topics.items[0].name, name);
    return response.topics.items[0];
}

static int16_t create(const char *name, int32_t partitions)
{
    return create_at(newest(KAFKA_API_CREATE_TOPICS), name, partitions, false).error_code;
}

static int16_t delete_by_name(int16_t version, const char *name)
{
    struct kafka_delete_topics_request_topic topic = {kafka_string_of(name), {{0}}};
    struct kafka_string text = kafka_string_of(name);
    struct kafka_delete_topics_request request = kafka_delete_topics_request_default;
    struct kafka_delete_topics_response response;

    SET_ITEMS(request.topics, &topic, 1);
    SET_ITEMS(request.topic_names, &text, 1);
    request.timeout_ms = TIMEOUT_MS;
    kafka_client_call(&client, KAFKA_API_DELETE_TOPICS, version, &request, &response);
    assert_int_equal(response.responses.count, 1);
    assert_text(response.responses.items[0].name, name);
    return response.responses.items[0].error_code;
}

static void test_topics_come_and_go(void **state)
{
    (void)state;
    struct kafka_create_topics_response_topic made = create_at(2, "old", 3, false);
    assert_int_equal(made.error_code, 0);
    made = create_at(7, "new", -1, false);
    assert_int_equal(made.error_code, 0);
    assert_int_equal(made.num_partitions, fleet.configs[0].default_partitions);
    assert_int_equal(made.replication_factor, 1);
    assert_false(kafka_uuid_is_zero(made.topic_id));
    assert_true(made.configs.count > 0);
    assert_int_equal(create("new", 1), KAFKA_ERR_TOPIC_ALREADY_EXISTS);
    assert_int_equal(create("no/slash", 1), KAFKA_ERR_INVALID_TOPIC_EXCEPTION);
    assert_int_equal(create("none", 0), KAFKA_ERR_INVALID_PARTITIONS);
    assert_int_equal(delete_by_name(1, "old"), 0);
    assert_int_equal(delete_by_name(6, "new"), 0);
    assert_int_equal(delete_by_name(6, "new"), KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

static void test_validating_creates_nothing(void **state)
{
    (void)state;
    struct kafka_create_topics_response_topic would_be = create_at(7, "maybe", 4, true);
    assert_int_equal(would_be.error_code, 0);
    assert_int_equal(would_be.num_partitions, 4);
    assert_true(would_be.configs.count > 0); /* Java's client does not take null for an answer */
    assert_int_equal(delete_by_name(6, "maybe"), KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

static void test_a_topic_named_twice_is_not_created(void **state)
{
    struct kafka_create_topics_request_topic topics[3];
    struct kafka_create_topics_request request = kafka_create_topics_request_default;
    struct kafka_create_topics_response response;
    const char *names[] = {"twice", "once", "twice"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        topics[i] = kafka_create_topics_request_topic_default;
        topics[i].name = kafka_string_of(names[i]);
        topics[i].num_partitions = 1;
        topics[i].replication_factor = 1;
    }
    SET_ITEMS(request.topics, topics, 3);
    kafka_client_call(&client, KAFKA_API_CREATE_TOPICS, 5, &request, &response);
    assert_int_equal(response.topics.items[0].error_code, KAFKA_ERR_INVALID_REQUEST);
    assert_int_equal(response.topics.items[1].error_code, 0);
    assert_int_equal(response.topics.items[2].error_code, KAFKA_ERR_INVALID_REQUEST);
    assert_int_equal(delete_by_name(6, "once"), 0);
}

static void test_topics_are_deleted_by_id(void **state)
{
    struct kafka_delete_topics_request_topic topics[2] = {{kafka_string_null(), {{0}}},
                                                          {kafka_string_null(), {{1}}}};
    struct kafka_delete_topics_request request = kafka_delete_topics_request_default;
    struct kafka_delete_topics_response response;

    (void)state;
    topics[0].topic_id = create_at(7, "by-id", 1, false).topic_id;
    SET_ITEMS(request.topics, topics, 2);
    kafka_client_call(&client, KAFKA_API_DELETE_TOPICS, 6, &request, &response);
    assert_int_equal(response.responses.items[0].error_code, 0);
    assert_text(response.responses.items[0].name, "by-id");
    assert_int_equal(response.responses.items[1].error_code, KAFKA_ERR_UNKNOWN_TOPIC_ID);
    assert_true(kafka_string_is_null(response.responses.items[1].name));
}

static int16_t grow(int16_t version, const char *name, int32_t count, bool only_check)
{
    struct kafka_create_partitions_request_topic topic = kafka_create_partitions_request_topic_default;
    struct kafka_create_partitions_request request = kafka_create_partitions_request_default;
    struct kafka_create_partitions_response response;

    topic.name = kafka_string_of(name);
    topic.count = count;
    topic.assignments.count = KAFKA_NULL;
    request.timeout_ms = TIMEOUT_MS;
    request.validate_only = only_check;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_CREATE_PARTITIONS, version, &request, &response);
    assert_int_equal(response.results.count, 1);
    assert_text(response.results.items[0].name, name);
    return response.results.items[0].error_code;
}

static void test_topics_grow(void **state)
{
    (void)state;
    assert_int_equal(create("growing", 2), 0);
    assert_int_equal(grow(3, "growing", 4, true), 0);
    assert_int_equal(grow(0, "growing", 3, false), 0); /* so the check before has changed nothing */
    assert_int_equal(grow(3, "growing", 4, false), 0);
    assert_int_equal(grow(3, "growing", 4, false), KAFKA_ERR_INVALID_PARTITIONS);
    assert_int_equal(grow(3, "growing", -1, false), KAFKA_ERR_INVALID_PARTITIONS);
    assert_int_equal(grow(3, "nowhere", 4, false), KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(delete_by_name(6, "growing"), 0);
}

/* ---- settings ---- */

static struct kafka_describe_configs_response_result describe_configs(int16_t version, int8_t type,
                                                                      const char *name, const char *only)
{
    struct kafka_describe_configs_request_resource resource = kafka_describe_configs_request_resource_default;
    struct kafka_describe_configs_request request = kafka_describe_configs_request_default;
    struct kafka_describe_configs_response response;
    struct kafka_string key = kafka_string_of(only);

    resource.resource_type = type;
    resource.resource_name = kafka_string_of(name);
    SET_ITEMS(resource.configuration_keys, &key, only != NULL ? 1 : KAFKA_NULL);
    request.include_synonyms = true;
    request.include_documentation = true;
    SET_ITEMS(request.resources, &resource, 1);
    kafka_client_call(&client, KAFKA_API_DESCRIBE_CONFIGS, version, &request, &response);
    assert_int_equal(response.results.count, 1);
    return response.results.items[0];
}

static void assert_setting(const char *topic, const char *name, const char *value, int8_t source)
{
    struct kafka_describe_configs_response_result result = describe_configs(4, 2, topic, name);
    assert_int_equal(result.error_code, 0);
    assert_int_equal(result.configs.count, 1);
    assert_text(result.configs.items[0].name, name);
    assert_text(result.configs.items[0].value, value);
    assert_int_equal(result.configs.items[0].config_source, source);
    assert_int_equal(result.configs.items[0].synonyms.count, source == 1 ? 2 : 1);
    assert_true(result.configs.items[0].documentation.size > 0);
}

static int16_t change(const char *topic, const char *name, int8_t operation, const char *value,
                      bool only_check)
{
    struct kafka_incremental_alter_configs_request_config config = {kafka_string_of(name), operation,
                                                                    kafka_string_of(value)};
    struct kafka_incremental_alter_configs_request_resource resource = {
        2, kafka_string_of(topic), {&config, 1}};
    struct kafka_incremental_alter_configs_request request = kafka_incremental_alter_configs_request_default;
    struct kafka_incremental_alter_configs_response response;

    request.validate_only = only_check;
    SET_ITEMS(request.resources, &resource, 1);
    kafka_client_call(&client, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, only_check ? 0 : 1, &request, &response);
    assert_int_equal(response.responses.count, 1);
    assert_text(response.responses.items[0].resource_name, topic);
    return response.responses.items[0].error_code;
}

static void test_settings_change_one_by_one(void **state)
{
    (void)state;
    assert_int_equal(create("set", 1), 0);
    assert_setting("set", "retention.ms", "604800000", 5);
    assert_int_equal(change("set", "retention.ms", 0, "60000", true), 0);
    assert_setting("set", "retention.ms", "604800000", 5); /* only checked */
    assert_int_equal(change("set", "retention.ms", 0, "60000", false), 0);
    assert_int_equal(change("set", "segment.ms", 0, "70000", false), 0);
    assert_setting("set", "retention.ms", "60000", 1);
    assert_setting("set", "segment.ms", "70000", 1);
    assert_int_equal(change("set", "retention.ms", 1, NULL, false), 0);
    assert_setting("set", "retention.ms", "604800000", 5);
    assert_int_equal(change("set", "retention.ms", 0, "soon", false), KAFKA_ERR_INVALID_CONFIG);
    assert_int_equal(change("set", "retention.ms", 0, NULL, false), KAFKA_ERR_INVALID_CONFIG);
    assert_int_equal(change("set", "cleanup.policy", 2, "delete", false), KAFKA_ERR_INVALID_CONFIG);
    assert_int_equal(change("nowhere", "retention.ms", 0, "1", false), KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

/* What admin tools send and what is done here anyway is accepted, and not stored; the opposite is refused. */
static void test_settings_without_effect(void **state)
{
    (void)state;
    assert_int_equal(create("harmless", 1), 0);
    assert_int_equal(change("harmless", "flush.messages", 0, "1", false), 0);
    assert_int_equal(change("harmless", "flush.messages", 1, NULL, false), 0);
    assert_int_equal(change("harmless", "flush.messages", 0, "a b", false), KAFKA_ERR_INVALID_CONFIG);
    assert_int_equal(change("harmless", "unclean.leader.election.enable", 0, "false", false), 0);
    assert_int_equal(change("harmless", "unclean.leader.election.enable", 0, "true", false),
                     KAFKA_ERR_INVALID_CONFIG);
    assert_int_equal(
        change("harmless", "message.timestamp.difference.max.ms", 0, "9223372036854775807", true), 0);
    assert_int_equal(change("harmless", "message.timestamp.difference.max.ms", 0, "1000", true),
                     KAFKA_ERR_INVALID_CONFIG);
    assert_int_equal(change("harmless", "flush.nothing", 0, "1", false), KAFKA_ERR_INVALID_CONFIG);
    assert_setting("harmless", "retention.ms", "604800000", 5);
    assert_int_equal(delete_by_name(6, "harmless"), 0);
}

/* AlterConfigs says all that is to be set; the rest goes back to its default. */
static void test_settings_are_replaced(void **state)
{
    struct kafka_alter_configs_request_config config = {kafka_string_of("retention.bytes"),
                                                        kafka_string_of("1000000")};
    struct kafka_alter_configs_request_resource resources[2] = {{2, kafka_string_of("set"), {&config, 1}},
                                                                {4, kafka_string_of("1"), {&config, 1}}};
    struct kafka_alter_configs_request request = kafka_alter_configs_request_default;
    struct kafka_alter_configs_response response;

    (void)state;
    assert_setting("set", "segment.ms", "70000", 1);
    SET_ITEMS(request.resources, resources, 2);
    kafka_client_call(&client, KAFKA_API_ALTER_CONFIGS, 2, &request, &response);
    assert_int_equal(response.responses.items[0].error_code, 0);
    assert_int_equal(response.responses.items[1].error_code,
                     KAFKA_ERR_INVALID_REQUEST); /* a node's are in its file */
    assert_setting("set", "retention.bytes", "1000000", 1);
    assert_setting("set", "segment.ms", "604800000", 5);
    assert_int_equal(delete_by_name(6, "set"), 0);
}

static void test_settings_of_nodes_and_others(void **state)
{
    (void)state;
    struct kafka_describe_configs_response_result result = describe_configs(1, 4, "1", NULL);
    assert_int_equal(result.error_code, 0);
    assert_true(result.configs.count > 10);
    assert_true(result.configs.items[0].read_only);
    result = describe_configs(4, 4, "1", "auto.create.topics.enable");
    assert_int_equal(result.configs.count, 1);
    assert_text(result.configs.items[0].value, "true");
    assert_int_equal(describe_configs(4, 4, "2", NULL).error_code, KAFKA_ERR_INVALID_REQUEST);
    assert_int_equal(describe_configs(4, 2, "nowhere", NULL).error_code,
                     KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(describe_configs(4, 9, "1", NULL).error_code, KAFKA_ERR_INVALID_REQUEST);
}

/* ---- the cluster ---- */

static void test_cluster_is_described(void **state)
{
    struct kafka_describe_cluster_request request = kafka_describe_cluster_request_default;
    struct kafka_describe_cluster_response response;

    (void)state;
    for (int16_t version = 0; version <= newest(KAFKA_API_DESCRIBE_CLUSTER); version++) {
        kafka_client_call(&client, KAFKA_API_DESCRIBE_CLUSTER, version, &request, &response);
        assert_int_equal(response.error_code, 0);
        assert_int_equal(response.brokers.count, 1);
        assert_int_equal(response.controller_id, 1);
        assert_int_equal(response.brokers.items[0].port, node_kafka_port(fleet.nodes[0]));
    }
    request.endpoint_type = 2;
    kafka_client_call(&client, KAFKA_API_DESCRIBE_CLUSTER, 1, &request, &response);
    assert_int_equal(response.error_code, KAFKA_ERR_MISMATCHED_ENDPOINT_TYPE);
}

static struct kafka_describe_topic_partitions_response
describe_partitions(int32_t limit, struct kafka_describe_topic_partitions_request_cursor *cursor)
{
    static struct kafka_describe_topic_partitions_request_topic topics[3];
    struct kafka_describe_topic_partitions_request request = kafka_describe_topic_partitions_request_default;
    struct kafka_describe_topic_partitions_response response;

    topics[0].name = kafka_string_of("b");
    topics[1].name = kafka_string_of("missing");
    topics[2].name = kafka_string_of("a");
    request.response_partition_limit = limit;
    request.cursor = cursor;
    SET_ITEMS(request.topics, topics, 3);
    kafka_client_call(&client, KAFKA_API_DESCRIBE_TOPIC_PARTITIONS, 0, &request, &response);
    return response;
}

static void test_partitions_are_described_piece_by_piece(void **state)
{
    struct kafka_describe_topic_partitions_request_cursor cursor = {kafka_string_of("b"), 1};
    struct kafka_describe_topic_partitions_response response;

    (void)state;
    assert_int_equal(create("a", 2), 0);
    assert_int_equal(create("b", 3), 0);
    response = describe_partitions(3, NULL);
    assert_int_equal(response.topics.count, 2);
    assert_text(response.topics.items[0].name, "a");
    assert_int_equal(response.topics.items[0].partitions.count, 2);
    assert_int_equal(response.topics.items[0].partitions.items[1].leader_id, 1);
    assert_text(response.topics.items[1].name, "b");
    assert_int_equal(response.topics.items[1].partitions.count, 1);
    assert_text(response.next_cursor->topic_name, "b");
    assert_int_equal(response.next_cursor->partition_index, 1);
    response = describe_partitions(2000, &cursor);
    assert_int_equal(response.topics.count, 2);
    assert_int_equal(response.topics.items[0].partitions.count, 2);
    assert_int_equal(response.topics.items[0].partitions.items[0].partition_index, 1);
    assert_text(response.topics.items[1].name, "missing");
    assert_int_equal(response.topics.items[1].error_code, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_null(response.next_cursor);
    assert_int_equal(delete_by_name(6, "a"), 0);
    assert_int_equal(delete_by_name(6, "b"), 0);
}

static void test_log_dirs(void **state)
{
    struct kafka_describe_log_dirs_request_topic topic = {kafka_string_of("dirs"), {(int32_t[]){1, 7}, 2}};
    struct kafka_describe_log_dirs_request request = kafka_describe_log_dirs_request_default;
    struct kafka_describe_log_dirs_response response;

    (void)state;
    assert_int_equal(create("dirs", 2), 0);
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_DESCRIBE_LOG_DIRS, 4, &request, &response);
    assert_int_equal(response.results.count, 1);
    assert_text(response.results.items[0].log_dir, fleet.configs[0].data_dir);
    assert_true(response.results.items[0].usable_bytes > 0);
    assert_int_equal(response.results.items[0].topics.count, 1);
    assert_int_equal(response.results.items[0].topics.items[0].partitions.count, 1);
    assert_int_equal(response.results.items[0].topics.items[0].partitions.items[0].partition_index, 1);
    request.topics.count = KAFKA_NULL; /* all, the internal one too */
    kafka_client_call(&client, KAFKA_API_DESCRIBE_LOG_DIRS, 1, &request, &response);
    assert_int_equal(response.results.items[0].topics.count, 2);
    assert_text(response.results.items[0].topics.items[1].name, "dirs");
    assert_int_equal(response.results.items[0].topics.items[1].partitions.count, 2);
    assert_int_equal(delete_by_name(6, "dirs"), 0);
}

static void test_elections(void **state)
{
    struct kafka_elect_leaders_request_topic topic = {kafka_string_of("elect"), {(int32_t[]){0, 9}, 2}};
    struct kafka_elect_leaders_request request = kafka_elect_leaders_request_default;
    struct kafka_elect_leaders_response response;

    (void)state;
    assert_int_equal(create("elect", 1), 0);
    SET_ITEMS(request.topic_partitions, &topic, 1);
    for (int16_t version = 0; version <= newest(KAFKA_API_ELECT_LEADERS); version++) {
        request.election_type = version == 0 ? 0 : 1;
        kafka_client_call(&client, KAFKA_API_ELECT_LEADERS, version, &request, &response);
        assert_int_equal(response.replica_election_results.count, 1);
        const struct kafka_elect_leaders_response_topic *t = &response.replica_election_results.items[0];
        assert_int_equal(t->partition_result.items[0].error_code, KAFKA_ERR_ELECTION_NOT_NEEDED);
        assert_int_equal(t->partition_result.items[1].error_code, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    }
    request.election_type = 0;
    request.topic_partitions.count = KAFKA_NULL; /* all of which nothing is to be said */
    kafka_client_call(&client, KAFKA_API_ELECT_LEADERS, 2, &request, &response);
    for (int32_t i = 0; i < response.replica_election_results.count; i++)
        assert_int_equal(response.replica_election_results.items[i].partition_result.count, 0);
    assert_int_equal(delete_by_name(6, "elect"), 0);
}

/* ---- epochs ---- */

struct epoch_end {
    int16_t error;
    int32_t epoch;
    int64_t offset;
};

static struct epoch_end end_of_epoch(int16_t version, int32_t partition, int32_t current, int32_t epoch)
{
    struct kafka_offset_for_leader_epoch_request_partition p = {partition, current, epoch};
    struct kafka_offset_for_leader_epoch_request_topic topic = {kafka_string_of("reigns"), {&p, 1}};
    struct kafka_offset_for_leader_epoch_request request = kafka_offset_for_leader_epoch_request_default;
    struct kafka_offset_for_leader_epoch_response response;

    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_OFFSET_FOR_LEADER_EPOCH, version, &request, &response);
    const struct kafka_offset_for_leader_epoch_response_partition *got =
        &response.topics.items[0].partitions.items[0];
    return (struct epoch_end){got->error_code, got->leader_epoch, got->end_offset};
}

/* Produces one batch more and tells the epoch of the leader, which it waits for. */
struct reign {
    int32_t epoch;
    int64_t base_offset;
};

static bool try_produce(void *data)
{
    struct reign *reign = data;
    struct kafka_produce_response response;
    struct bytes batch;

    bytes_init(&batch);
    make_batch(&batch, "reign", RECORDS, 0);
    kafka_client_wait(&client, kafka_client_send_batch(&client, 9, "reigns", &batch, -1), KAFKA_API_PRODUCE,
                      9, &response);
    bytes_close(&batch);
    reign->base_offset = response.responses.items[0].partition_responses.items[0].base_offset;
    return response.responses.items[0].partition_responses.items[0].error_code == 0;
}

static struct reign produce_in_new_reign(void)
{
    struct kafka_metadata_request_topic topic = {{{0}}, kafka_string_of("reigns")};
    struct kafka_metadata_request request = kafka_metadata_request_default;
    struct kafka_metadata_response response;
    struct reign reign;

    run_until(fleet.env, try_produce, &reign, TIMEOUT_MS);
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_METADATA, 12, &request, &response);
    reign.epoch = response.topics.items[0].partitions.items[0].leader_epoch;
    return reign;
}

static void test_where_epochs_end(void **state)
{
    struct reign reigns[3];
    struct epoch_end end;

    (void)state;
    assert_int_equal(create("reigns", 1), 0);
    for (int i = 0; i < 3; i++) {
        if (i > 0) {
            restart_node();
        }
        reigns[i] = produce_in_new_reign();
        assert_int_equal(reigns[i].base_offset, i * RECORDS);
        assert_true(i == 0 || reigns[i].epoch > reigns[i - 1].epoch);
    }
    for (int i = 0; i < 3; i++) {
        end = end_of_epoch(i == 0 ? 2 : 4, 0, -1, reigns[i].epoch);
        assert_int_equal(end.error, 0);
        assert_int_equal(end.epoch, reigns[i].epoch);
        assert_int_equal(end.offset, (i + 1) * RECORDS);
    }
    end = end_of_epoch(4, 0, reigns[2].epoch, 0); /* before all there is */
    assert_int_equal(end.epoch, 0);
    assert_int_equal(end.offset, 0);
    end = end_of_epoch(4, 0, -1, reigns[2].epoch + 1); /* not yet */
    assert_int_equal(end.epoch, -1);
    assert_int_equal(end.offset, -1);
    assert_int_equal(end_of_epoch(4, 0, reigns[2].epoch - 1, 0).error, KAFKA_ERR_FENCED_LEADER_EPOCH);
    assert_int_equal(end_of_epoch(4, 0, reigns[2].epoch + 1, 0).error, KAFKA_ERR_UNKNOWN_LEADER_EPOCH);
    assert_int_equal(end_of_epoch(4, 8, -1, 0).error, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

/* ---- deleting records ---- */

struct deleted {
    int16_t error;
    int64_t low_watermark;
};

static struct deleted delete_records(int16_t version, const char *name, int32_t partition, int64_t offset)
{
    struct kafka_delete_records_request_partition p = {partition, offset};
    struct kafka_delete_records_request_topic topic = {kafka_string_of(name), {&p, 1}};
    struct kafka_delete_records_request request = kafka_delete_records_request_default;
    struct kafka_delete_records_response response;

    request.timeout_ms = TIMEOUT_MS;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_DELETE_RECORDS, version, &request, &response);
    assert_int_equal(response.topics.count, 1);
    assert_int_equal(response.topics.items[0].partitions.items[0].partition_index, partition);
    return (struct deleted){response.topics.items[0].partitions.items[0].error_code,
                            response.topics.items[0].partitions.items[0].low_watermark};
}

static int64_t list_offset(const char *name, int64_t timestamp)
{
    struct kafka_list_offsets_request_partition p = {0, -1, timestamp};
    struct kafka_list_offsets_request_topic topic = {kafka_string_of(name), {&p, 1}};
    struct kafka_list_offsets_request request = kafka_list_offsets_request_default;
    struct kafka_list_offsets_response response;

    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_LIST_OFFSETS, 7, &request, &response);
    assert_int_equal(response.topics.items[0].partitions.items[0].error_code, 0);
    return response.topics.items[0].partitions.items[0].offset;
}

static int16_t fetch_error(const char *name, int64_t offset)
{
    struct kafka_fetch_request_partition p = kafka_fetch_request_partition_default;
    struct kafka_fetch_request_topic topic = {.topic = kafka_string_of(name), .partitions = {&p, 1}};
    struct kafka_fetch_request request = kafka_fetch_request_default;
    struct kafka_fetch_response response;

    p.fetch_offset = offset;
    p.partition_max_bytes = 1 << 20;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_FETCH, 11, &request, &response);
    return response.responses.items[0].partitions.items[0].error_code;
}

/* In the topic of the test before: three batches of five records. */
static void test_deleted_records_stay_deleted(void **state)
{
    const char *name = "reigns";
    struct reign reign;

    (void)state;
    struct deleted d = delete_records(0, name, 0, 7); /* within a batch */
    assert_int_equal(d.error, 0);
    assert_int_equal(d.low_watermark, 7);
    assert_int_equal(list_offset(name, -2), 7);
    assert_int_equal(list_offset(name, 0), 7); /* by time */
    assert_int_equal(list_offset(name, -1), 3 * RECORDS);
    assert_int_equal(fetch_error(name, 6), KAFKA_ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(fetch_error(name, 7), 0);
    d = delete_records(2, name, 0, 3); /* never back */
    assert_int_equal(d.error, 0);
    assert_int_equal(d.low_watermark, 7);
    assert_int_equal(delete_records(2, name, 0, 3 * RECORDS + 1).error, KAFKA_ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(delete_records(2, name, 0, -2).error, KAFKA_ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(delete_records(2, name, 4, 0).error, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    assert_int_equal(delete_records(2, "__consumer_offsets", 0, 0).error, KAFKA_ERR_POLICY_VIOLATION);

    restart_node();
    run_until(fleet.env, try_produce, &reign, TIMEOUT_MS);
    assert_int_equal(list_offset(name, -2), 7);
    assert_int_equal(fetch_error(name, 6), KAFKA_ERR_OFFSET_OUT_OF_RANGE);
    d = delete_records(1, name, 0, -1); /* all there is */
    assert_int_equal(d.low_watermark, 4 * RECORDS);
    assert_int_equal(list_offset(name, -2), 4 * RECORDS);
    run_until(fleet.env, try_produce, &reign, TIMEOUT_MS);
    assert_int_equal(reign.base_offset, 4 * RECORDS);
    assert_int_equal(fetch_error(name, reign.base_offset), 0);
}

/* ---- all of them ---- */

/* Empty requests, as the golden files have them, are answered at every version. */
static void test_every_version_is_answered(void **state)
{
    static const int16_t keys[] = {
        KAFKA_API_CREATE_TOPICS,     KAFKA_API_DELETE_TOPICS,    KAFKA_API_OFFSET_FOR_LEADER_EPOCH,
        KAFKA_API_DESCRIBE_CONFIGS,  KAFKA_API_ALTER_CONFIGS,    KAFKA_API_DESCRIBE_LOG_DIRS,
        KAFKA_API_CREATE_PARTITIONS, KAFKA_API_ELECT_LEADERS,    KAFKA_API_INCREMENTAL_ALTER_CONFIGS,
        KAFKA_API_DELETE_RECORDS,    KAFKA_API_DESCRIBE_CLUSTER, KAFKA_API_DESCRIBE_TOPIC_PARTITIONS};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        for (int16_t version = oldest(keys[i]); version <= newest(keys[i]); version++) {
            _Alignas(max_align_t) unsigned char request[512] = {0}, response[512];
            assert_true(kafka_message_size(KAFKA_REQUEST, keys[i]) <= sizeof(request));
            assert_true(kafka_message_size(KAFKA_RESPONSE, keys[i]) <= sizeof(response));
            kafka_client_call(&client, keys[i], version, request, response);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topics_come_and_go),
        cmocka_unit_test(test_validating_creates_nothing),
        cmocka_unit_test(test_a_topic_named_twice_is_not_created),
        cmocka_unit_test(test_topics_are_deleted_by_id),
        cmocka_unit_test(test_topics_grow),
        cmocka_unit_test(test_settings_change_one_by_one),
        cmocka_unit_test(test_settings_without_effect),
        cmocka_unit_test(test_settings_are_replaced),
        cmocka_unit_test(test_settings_of_nodes_and_others),
        cmocka_unit_test(test_cluster_is_described),
        cmocka_unit_test(test_partitions_are_described_piece_by_piece),
        cmocka_unit_test(test_log_dirs),
        cmocka_unit_test(test_elections),
        cmocka_unit_test(test_where_epochs_end),
        cmocka_unit_test(test_deleted_records_stay_deleted),
        cmocka_unit_test(test_every_version_is_answered),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
