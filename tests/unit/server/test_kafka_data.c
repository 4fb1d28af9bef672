/* The Kafka front door itself, and records and groups through it: what real clients do not do, or not
 * reliably. */
#include "node/base/memory.h"
#include "proto/batch.h"
#include "proto/kafka/errors.h"
#include "tests/unit/server/helper_fleet.h"
#include "tests/unit/server/helper_kafka_client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fleet fleet;
static struct kafka_client client;

static void no_delay(struct node_config *config)
{
    config->group_initial_delay_ms = 0;
    config->cache_bytes = 64 * 1024; /* what is older is read from files */
}

static int setup(void **state)
{
    *state = &fleet;
    fleet_open(&fleet, 1, no_delay);
    kafka_client_open(&client, fleet.env, node_kafka_port(fleet.nodes[0]));
    return 0;
}

static int teardown(void **state)
{
    kafka_client_close(&client);
    return fleet_tear_down(state);
}

/* ---- help ---- */

static void build_batch(struct bytes *out, unsigned count, int64_t timestamp_ms,
                        const struct batch_options *options)
{
    struct batch_builder builder;
    batch_builder_init(&builder);
    for (unsigned i = 0; i < count; i++)
        batch_builder_add(&builder, timestamp_ms + i, NULL, 0, "value", 5, NULL, 0);
    bytes_init(out);
    assert_int_equal(batch_builder_finish(&builder, options, out), 0);
    batch_builder_close(&builder);
}

static const struct batch_options plain = {BATCH_NONE, 0, -1, -1, -1};

struct produced {
    int16_t error;
    int64_t offset;
};

static struct produced produce_bytes(const char *name, const struct bytes *batch, int16_t acks,
                                     int16_t version)
{
    struct kafka_produce_response response;
    kafka_client_wait(&client, kafka_client_send_batch(&client, version, name, batch, acks),
                      KAFKA_API_PRODUCE, version, &response);
    const struct kafka_produce_response_partition *p =
        &response.responses.items[0].partition_responses.items[0];
    return (struct produced){p->error_code, p->base_offset};
}

static struct produced produce_some(const char *name, unsigned count)
{
    struct bytes batch;
    build_batch(&batch, count, 1000, &plain);
    struct produced result = produce_bytes(name, &batch, -1, 9);
    bytes_close(&batch);
    return result;
}

static int32_t send_fetch(const char *name, int64_t offset, int32_t min_bytes, int32_t wait_ms,
                          int16_t version)
{
    struct kafka_fetch_request request = kafka_fetch_request_default;
    struct kafka_fetch_request_topic topic = kafka_fetch_request_topic_default;
    struct kafka_fetch_request_partition partition = kafka_fetch_request_partition_default;
    partition.fetch_offset = offset;
    partition.partition_max_bytes = 1;
    topic.topic = kafka_string_of(name);
    SET_ITEMS(topic.partitions, &partition, 1);
    SET_ITEMS(request.topics, &topic, 1);
    request.min_bytes = min_bytes;
    request.max_wait_ms = wait_ms;
    return kafka_client_send(&client, KAFKA_API_FETCH, version, &request);
}

static const struct kafka_fetch_response_partition *wait_fetch(int32_t correlation, int16_t version,
                                                               struct kafka_fetch_response *response)
{
    kafka_client_wait(&client, correlation, KAFKA_API_FETCH, version, response);
    assert_int_equal(response->error_code, 0);
    assert_int_equal(response->session_id, 0);
    return &response->responses.items[0].partitions.items[0];
}

/* ---- the door ---- */

static void a_newer_client_learns_our_versions(void **state)
{
    (void)state;
    const unsigned char request[] = {0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 7, 0, 2, 'i', 'd'};
    struct kafka_api_versions_response response;
    kafka_client_send_bytes(&client, request, sizeof(request));
    kafka_client_wait(&client, 7, KAFKA_API_API_VERSIONS, 0, &response);
    assert_int_equal(response.error_code, KAFKA_ERR_UNSUPPORTED_VERSION);
    assert_true(response.api_keys.count > 20);
    struct kafka_api_versions_request named = kafka_api_versions_request_default;
    named.client_software_name = kafka_string_of("-wrong");
    named.client_software_version = kafka_string_of("1.0");
    kafka_client_call(&client, KAFKA_API_API_VERSIONS, 3, &named, &response);
    assert_int_equal(response.error_code, KAFKA_ERR_INVALID_REQUEST);
}

static void close_after(const void *bytes, size_t size)
{
    struct kafka_client other;
    kafka_client_open(&other, fleet.env, node_kafka_port(fleet.nodes[0]));
    kafka_client_send_bytes(&other, bytes, size);
    kafka_client_wait_end(&other);
    kafka_client_close(&other);
}

static void what_is_no_request_closes_the_connection(void **state)
{
    (void)state;
    close_after("GET / HTTP/1.1\r\n\r\n", 18);
    close_after("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    close_after("\x7f\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00", 12); /* over 100 MiB */
    close_after("\x00\x00\x00\x02\x00\x00", 6);                          /* no room for a header */
    close_after("\x00\x00\x00\x0a\x00\x04\x00\x00\x00\x00\x00\x01\xff\xff",
                14); /* LeaderAndIsr: never spoken */
    close_after("\x00\x00\x00\x0a\x00\x03\x00\x63\x00\x00\x00\x01\xff\xff", 14); /* Metadata 99 */
    close_after("\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x01\xff\xff\x7f\xff\xff\xff",
                18); /* endless array */
    struct kafka_api_versions_request request = kafka_api_versions_request_default;
    struct kafka_api_versions_response response;
    kafka_client_call(&client, KAFKA_API_API_VERSIONS, 0, &request, &response); /* the others are served */
    assert_int_equal(response.error_code, KAFKA_ERR_NONE);
}

/* A fetch that waits holds back what comes after it on the same connection. */
static void answers_come_in_the_order_of_the_requests(void **state)
{
    (void)state;
    struct kafka_api_versions_request request = kafka_api_versions_request_default;
    struct kafka_api_versions_response versions;
    struct kafka_fetch_response response;
    kafka_client_need_topic(&client, "order");
    int32_t first = send_fetch("order", 0, 1, 100, 4);
    int32_t second = kafka_client_send(&client, KAFKA_API_API_VERSIONS, 0, &request);
    const struct kafka_fetch_response_partition *p = wait_fetch(first, 4, &response);
    assert_int_equal(p->records.size, 0);
    kafka_client_wait(&client, second, KAFKA_API_API_VERSIONS, 0, &versions);
}

/* ---- records ---- */

static void records_come_back(void **state)
{
    (void)state;
    struct kafka_fetch_response response;
    struct batch_header header;
    kafka_client_need_topic(&client, "records");
    assert_int_equal(produce_some("records", 10).offset, 0);
    assert_int_equal(produce_some("records", 5).offset, 10);
    /* From inside the first batch: the whole batch, however little was asked for. */
    const struct kafka_fetch_response_partition *p =
        wait_fetch(send_fetch("records", 7, 1, 1000, 11), 11, &response);
    assert_int_equal(p->error_code, KAFKA_ERR_NONE);
    assert_int_equal(p->high_watermark, 15);
    assert_int_equal(p->last_stable_offset, 15);
    assert_int_equal(batch_header_decode(p->records.data, (size_t)p->records.size, 1 << 20, &header), 0);
    assert_int_equal(header.base_offset, 0);
    assert_int_equal(header.size, p->records.size);
    p = wait_fetch(send_fetch("records", 16, 1, 1000, 4), 4, &response);
    assert_int_equal(p->error_code, KAFKA_ERR_OFFSET_OUT_OF_RANGE);
}

enum { MANY = 6, MANY_RECORDS = 5000 };

/* Asks for all the topics, the last first, and for one in between that does not exist. */
static void fetch_many(char names[][16], int32_t max_bytes, struct kafka_fetch_response *response)
{
    struct kafka_fetch_request request = kafka_fetch_request_default;
    struct kafka_fetch_request_topic topics[MANY + 1];
    struct kafka_fetch_request_partition partition = kafka_fetch_request_partition_default;
    partition.partition_max_bytes = 1 << 20;
    for (unsigned i = 0; i <= MANY; i++) {
        topics[i] = kafka_fetch_request_topic_default;
        topics[i].topic = kafka_string_of(i == MANY ? "nowhere" : names[MANY - 1 - i]);
        SET_ITEMS(topics[i].partitions, &partition, 1);
    }
    SET_ITEMS(request.topics, topics, MANY + 1);
    request.min_bytes = 1;
    request.max_bytes = max_bytes;
    request.max_wait_ms = 10000;
    wait_fetch(kafka_client_send(&client, KAFKA_API_FETCH, 11, &request), 11, response);
    assert_int_equal(response->responses.count, MANY + 1);
}

/* Returns how many records there are, of batches that follow each other. */
static int64_t count_records(const struct kafka_fetch_response_partition *p)
{
    struct batch_header header;
    int64_t count = 0;
    for (int32_t at = 0; at < p->records.size; at += (int32_t)header.size) {
        const unsigned char *data = p->records.data + at;
        assert_int_equal(batch_header_decode(data, (size_t)(p->records.size - at), 1 << 20, &header), 0);
        assert_int_equal(header.base_offset, count);
        assert_true(batch_crc_ok(data, &header));
        count = batch_next_offset(&header);
    }
    return count;
}

/* Read at once, from files and from memory, each gets its own records and all stay in their order. */
static void many_partitions_in_one_answer(void **state)
{
    (void)state;
    char names[MANY][16];
    struct kafka_fetch_response response;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "many-%u", i);
        kafka_client_need_topic(&client, names[i]);
        assert_int_equal(produce_some(names[i], MANY_RECORDS + i).error, KAFKA_ERR_NONE);
        assert_int_equal(produce_some(names[i], MANY_RECORDS).error, KAFKA_ERR_NONE);
    }
    fetch_many(names, 8 << 20, &response);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(count_records(&response.responses.items[i].partitions.items[0]),
                         2 * MANY_RECORDS + MANY - 1 - i);
    assert_int_equal(response.responses.items[MANY].partitions.items[0].error_code,
                     KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    fetch_many(names, 1, &response); /* the first batch of the first one, although it is larger */
    assert_int_equal(count_records(&response.responses.items[0].partitions.items[0]),
                     MANY_RECORDS + MANY - 1);
    for (unsigned i = 1; i < MANY; i++)
        assert_int_equal(response.responses.items[i].partitions.items[0].records.size, 0);
}

static void a_waiting_fetch_hears_of_new_records(void **state)
{
    (void)state;
    struct kafka_client reader;
    struct kafka_fetch_response response;
    kafka_client_need_topic(&client, "long-poll");
    kafka_client_open(&reader, fleet.env, node_kafka_port(fleet.nodes[0]));
    struct kafka_client writer = client;
    client = reader;
    int32_t waits = send_fetch("long-poll", 0, 1, 60000, 11);
    reader = client;
    client = writer;
    assert_int_equal(produce_some("long-poll", 3).error, KAFKA_ERR_NONE);
    writer = client;
    client = reader;
    const struct kafka_fetch_response_partition *p = wait_fetch(waits, 11, &response);
    assert_true(p->records.size > 0);
    kafka_client_close(&client);
    client = writer;
}

static void bad_batches_are_refused(void **state)
{
    (void)state;
    struct bytes batch;
    kafka_client_need_topic(&client, "bad");
    build_batch(&batch, 3, 1000, &plain);
    assert_int_equal(produce_bytes("bad", &batch, 2, 9).error, KAFKA_ERR_INVALID_REQUIRED_ACKS);
    assert_int_equal(produce_bytes("bad", &batch, -1, 2).error, KAFKA_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT);
    assert_int_equal(produce_bytes("nowhere", &batch, -1, 9).error, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    batch.data[batch.size - 1] ^= 1;
    assert_int_equal(produce_bytes("bad", &batch, -1, 9).error, KAFKA_ERR_CORRUPT_MESSAGE);
    batch.data[16] = 1; /* the magic */
    assert_int_equal(produce_bytes("bad", &batch, -1, 9).error, KAFKA_ERR_INVALID_RECORD);
    bytes_close(&batch);
    build_batch(&batch, 3, 1000, &plain);
    struct bytes two;
    bytes_init(&two);
    bytes_append(&two, batch.data, batch.size);
    bytes_append(&two, batch.data, batch.size);
    assert_int_equal(produce_bytes("bad", &two, -1, 9).error, KAFKA_ERR_INVALID_RECORD);
    bytes_close(&two);
    bytes_close(&batch);
    assert_int_equal(produce_some("bad", 1).offset, 0);
}

/* A repeat gets the first answer. */
static void idempotent_producers_repeat(void **state)
{
    (void)state;
    struct kafka_init_producer_id_request request = kafka_init_producer_id_request_default;
    struct kafka_init_producer_id_response response;
    struct bytes batch;
    kafka_client_need_topic(&client, "once");
    request.transactional_id = kafka_string_null();
    kafka_client_call(&client, KAFKA_API_INIT_PRODUCER_ID, 4, &request, &response);
    assert_int_equal(response.error_code, KAFKA_ERR_NONE);
    struct batch_options options = {BATCH_NONE, 0, response.producer_id, 0, 0};
    build_batch(&batch, 4, 1000, &options);
    assert_int_equal(produce_bytes("once", &batch, -1, 9).offset, 0);
    assert_int_equal(produce_bytes("once", &batch, -1, 9).offset, 0);
    bytes_close(&batch);
    options.base_sequence = 9;
    build_batch(&batch, 1, 1000, &options);
    assert_int_equal(produce_bytes("once", &batch, -1, 9).error, KAFKA_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    bytes_close(&batch);
}

static void offsets_are_found_by_time(void **state)
{
    (void)state;
    struct kafka_list_offsets_request request = kafka_list_offsets_request_default;
    struct kafka_list_offsets_request_topic topic = kafka_list_offsets_request_topic_default;
    struct kafka_list_offsets_request_partition partition = kafka_list_offsets_request_partition_default;
    struct kafka_list_offsets_response response;
    static const int64_t cases[][3] = {/* asked, offset, timestamp */ {-1, 10, -1},
                                       {-2, 0, -1},
                                       {-3, 9, 1009},
                                       {1004, 4, 1004},
                                       {5000, -1, -1}};
    kafka_client_need_topic(&client, "times");
    produce_some("times", 10);
    topic.name = kafka_string_of("times");
    SET_ITEMS(topic.partitions, &partition, 1);
    SET_ITEMS(request.topics, &topic, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        partition.timestamp = cases[i][0];
        kafka_client_call(&client, KAFKA_API_LIST_OFFSETS, 7, &request, &response);
        const struct kafka_list_offsets_response_partition *p = &response.topics.items[0].partitions.items[0];
        assert_int_equal(p->error_code, KAFKA_ERR_NONE);
        assert_int_equal(p->offset, cases[i][1]);
        assert_int_equal(p->timestamp, cases[i][2]);
    }
    partition.current_leader_epoch = 99;
    kafka_client_call(&client, KAFKA_API_LIST_OFFSETS, 7, &request, &response);
    assert_int_equal(response.topics.items[0].partitions.items[0].error_code, KAFKA_ERR_UNKNOWN_LEADER_EPOCH);
}

/* ---- groups ---- */

static void commits_round_trip(void **state)
{
    (void)state;
    struct kafka_offset_commit_request commit = kafka_offset_commit_request_default;
    struct kafka_offset_commit_request_topic topic = kafka_offset_commit_request_topic_default;
    struct kafka_offset_commit_request_partition partition = kafka_offset_commit_request_partition_default;
    struct kafka_offset_commit_response committed;
    kafka_client_need_topic(&client, "commits");
    partition.committed_offset = 42;
    partition.committed_leader_epoch = 3;
    partition.committed_metadata = kafka_string_of("note");
    topic.name = kafka_string_of("commits");
    commit.group_id = kafka_string_of("g");
    SET_ITEMS(topic.partitions, &partition, 1);
    SET_ITEMS(commit.topics, &topic, 1);
    kafka_client_call(&client, KAFKA_API_OFFSET_COMMIT, 8, &commit, &committed);
    assert_int_equal(committed.topics.items[0].partitions.items[0].error_code, KAFKA_ERR_NONE);
    commit.generation_id = 5; /* of a group without members */
    commit.member_id = kafka_string_of("nobody");
    kafka_client_call(&client, KAFKA_API_OFFSET_COMMIT, 8, &commit, &committed);
    assert_int_not_equal(committed.topics.items[0].partitions.items[0].error_code, KAFKA_ERR_NONE);

    struct kafka_offset_fetch_request fetch = kafka_offset_fetch_request_default;
    struct kafka_offset_fetch_response fetched;
    fetch.group_id = kafka_string_of("g");
    fetch.topics.count = KAFKA_NULL;
    kafka_client_call(&client, KAFKA_API_OFFSET_FETCH, 6, &fetch, &fetched);
    const struct kafka_offset_fetch_response_partition *p = &fetched.topics.items[0].partitions.items[0];
    assert_int_equal(p->committed_offset, 42);
    assert_int_equal(p->committed_leader_epoch, 3);
    assert_true(kafka_string_is(p->metadata, "note"));
}

static void a_group_of_one(void **state)
{
    (void)state;
    struct kafka_join_group_request join = kafka_join_group_request_default;
    struct kafka_join_group_request_protocol protocol = kafka_join_group_request_protocol_default;
    struct kafka_join_group_response joined;
    protocol.name = kafka_string_of("range");
    join.group_id = kafka_string_of("alone");
    join.protocol_type = kafka_string_of("consumer");
    join.session_timeout_ms = 6000;
    join.rebalance_timeout_ms = 6000;
    SET_ITEMS(join.protocols, &protocol, 1);
    kafka_client_call(&client, KAFKA_API_JOIN_GROUP, 7, &join, &joined);
    assert_int_equal(joined.error_code, KAFKA_ERR_MEMBER_ID_REQUIRED);
    char id[128];
    snprintf(id, sizeof(id), "%.*s", joined.member_id.size, joined.member_id.data);
    join.member_id = kafka_string_of(id);
    kafka_client_call(&client, KAFKA_API_JOIN_GROUP, 7, &join, &joined);
    assert_int_equal(joined.error_code, KAFKA_ERR_NONE);
    assert_int_equal(joined.members.count, 1);
    int32_t generation = joined.generation_id;

    struct kafka_sync_group_request sync = kafka_sync_group_request_default;
    struct kafka_sync_group_request_assignment assignment = kafka_sync_group_request_assignment_default;
    struct kafka_sync_group_response synced;
    assignment.member_id = kafka_string_of(id);
    assignment.assignment = (struct kafka_bytes){(const unsigned char *)"all", 3};
    sync.group_id = kafka_string_of("alone");
    sync.member_id = kafka_string_of(id);
    sync.generation_id = generation;
    SET_ITEMS(sync.assignments, &assignment, 1);
    kafka_client_call(&client, KAFKA_API_SYNC_GROUP, 5, &sync, &synced);
    assert_int_equal(synced.error_code, KAFKA_ERR_NONE);
    assert_memory_equal(synced.assignment.data, "all", 3);

    struct kafka_heartbeat_request heartbeat = kafka_heartbeat_request_default;
    struct kafka_heartbeat_response beaten;
    heartbeat.group_id = kafka_string_of("alone");
    heartbeat.member_id = kafka_string_of(id);
    heartbeat.generation_id = generation;
    kafka_client_call(&client, KAFKA_API_HEARTBEAT, 4, &heartbeat, &beaten);
    assert_int_equal(beaten.error_code, KAFKA_ERR_NONE);

    struct kafka_string name = kafka_string_of("alone");
    struct kafka_delete_groups_request forget = kafka_delete_groups_request_default;
    struct kafka_delete_groups_response forgotten;
    SET_ITEMS(forget.groups_names, &name, 1);
    kafka_client_call(&client, KAFKA_API_DELETE_GROUPS, 2, &forget, &forgotten);
    assert_int_equal(forgotten.results.items[0].error_code, KAFKA_ERR_NON_EMPTY_GROUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_newer_client_learns_our_versions),
        cmocka_unit_test(what_is_no_request_closes_the_connection),
        cmocka_unit_test(answers_come_in_the_order_of_the_requests),
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(many_partitions_in_one_answer),
        cmocka_unit_test(a_waiting_fetch_hears_of_new_records),
        cmocka_unit_test(bad_batches_are_refused),
        cmocka_unit_test(idempotent_producers_repeat),
        cmocka_unit_test(offsets_are_found_by_time),
        cmocka_unit_test(commits_round_trip),
        cmocka_unit_test(a_group_of_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
