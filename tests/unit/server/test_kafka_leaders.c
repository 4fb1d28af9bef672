/* What a Kafka client asked of a leader still holds when another node leads; and leaders are asked back home.
 */
#include "proto/kafka/errors.h"
#include "tests/unit/server/helper_fleet.h"
#include "tests/unit/server/helper_kafka_client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 3, TIMEOUT_MS = 20000, RECORDS = 10, DELETED = 4 };

static const char topic_name[] = "moving";
static struct fleet fleet;

/* Nobody is to be voted out because the machine is busy: here every leader goes as planned. */
static void patient(struct node_config *config)
{
    config->election_timeout_ms = 3000;
}

static int setup(void **state)
{
    *state = &fleet;
    fleet_open(&fleet, NODES, patient);
    return 0;
}

static void open_node(struct kafka_client *c, uint32_t node)
{
    kafka_client_open(c, fleet.env, node_kafka_port(fleet.nodes[node - 1]));
}

/* ---- single requests ---- */

/* The leader and the preferred one; 0: nobody leads. */
struct leaders {
    uint32_t now;
    uint32_t preferred;
};

static struct leaders leaders_as_seen_by(uint32_t node)
{
    struct kafka_metadata_request_topic topic = {{{0}}, kafka_string_of(topic_name)};
    struct kafka_metadata_request request = kafka_metadata_request_default;
    struct kafka_metadata_response response;
    struct kafka_client c;

    open_node(&c, node);
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(&c, KAFKA_API_METADATA, 12, &request, &response);
    const struct kafka_metadata_response_partition *p = &response.topics.items[0].partitions.items[0];
    struct leaders leaders = {p->error_code == 0 ? (uint32_t)p->leader_id : 0,
                              (uint32_t)p->replica_nodes.items[0]};
    kafka_client_close(&c);
    return leaders;
}

static void produce_at(struct kafka_client *c, int16_t version, struct kafka_produce_response *response)
{
    struct bytes batch;

    bytes_init(&batch);
    make_batch(&batch, "moving", RECORDS, 0);
    kafka_client_wait(c, kafka_client_send_batch(c, version, topic_name, &batch, -1), KAFKA_API_PRODUCE,
                      version, response);
    bytes_close(&batch);
}

static int16_t produce_records(struct kafka_client *c)
{
    struct kafka_produce_response response;
    produce_at(c, 9, &response);
    return response.responses.items[0].partition_responses.items[0].error_code;
}

static void fetch_at(struct kafka_client *c, int16_t version, struct kafka_fetch_response *response)
{
    struct kafka_fetch_request_partition p = kafka_fetch_request_partition_default;
    struct kafka_fetch_request_topic topic = kafka_fetch_request_topic_default;
    struct kafka_fetch_request request = kafka_fetch_request_default;
    struct kafka_metadata_request_topic asked = {{{0}}, kafka_string_of(topic_name)};
    struct kafka_metadata_request metadata = kafka_metadata_request_default;
    struct kafka_metadata_response known;

    SET_ITEMS(metadata.topics, &asked, 1);
    kafka_client_call(c, KAFKA_API_METADATA, 12, &metadata, &known);
    topic.topic_id = known.topics.items[0].topic_id;
    SET_ITEMS(topic.partitions, &p, 1);
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(c, KAFKA_API_FETCH, version, &request, response);
}

static int16_t delete_records(struct kafka_client *c, int64_t offset)
{
    struct kafka_delete_records_request_partition p = {0, offset};
    struct kafka_delete_records_request_topic topic = {kafka_string_of(topic_name), {&p, 1}};
    struct kafka_delete_records_request request = kafka_delete_records_request_default;
    struct kafka_delete_records_response response;

    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(c, KAFKA_API_DELETE_RECORDS, 2, &request, &response);
    return response.topics.items[0].partitions.items[0].error_code;
}

/* Of the log's start; -1: the node does not lead. */
static int64_t start_offset(struct kafka_client *c)
{
    struct kafka_list_offsets_request_partition p = {0, -1, -2};
    struct kafka_list_offsets_request_topic topic = {kafka_string_of(topic_name), {&p, 1}};
    struct kafka_list_offsets_request request = kafka_list_offsets_request_default;
    struct kafka_list_offsets_response response;

    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(c, KAFKA_API_LIST_OFFSETS, 7, &request, &response);
    return response.topics.items[0].partitions.items[0].offset;
}

/* Who does not lead says who does, and where. */
static void check_hints(uint32_t node, uint32_t leader)
{
    struct kafka_produce_response produced;
    struct kafka_fetch_response fetched;
    struct kafka_client c;

    open_node(&c, node);
    produce_at(&c, 11, &produced);
    const struct kafka_produce_response_partition *p =
        &produced.responses.items[0].partition_responses.items[0];
    assert_int_equal(p->error_code, KAFKA_ERR_NOT_LEADER_OR_FOLLOWER);
    assert_non_null(p->current_leader);
    assert_int_equal(p->current_leader->leader_id, leader);
    assert_int_equal(produced.node_endpoints.count, 1);
    assert_int_equal(produced.node_endpoints.items[0].node_id, leader);
    assert_int_equal(produced.node_endpoints.items[0].port, node_kafka_port(fleet.nodes[leader - 1]));
    fetch_at(&c, 16, &fetched);
    const struct kafka_fetch_response_partition *f = &fetched.responses.items[0].partitions.items[0];
    assert_int_equal(f->error_code, KAFKA_ERR_NOT_LEADER_OR_FOLLOWER);
    assert_non_null(f->current_leader);
    assert_int_equal(f->current_leader->leader_id, leader);
    assert_int_equal(fetched.node_endpoints.count, 1);
    assert_int_equal(fetched.node_endpoints.items[0].port, node_kafka_port(fleet.nodes[leader - 1]));
    kafka_client_close(&c);
}

/* ---- waiting ---- */

struct wanted_leader {
    uint32_t ask;
    uint32_t not_node;
    uint32_t leads; /* result */
};

static bool other_leads(void *data)
{
    struct wanted_leader *w = data;
    w->leads = leaders_as_seen_by(w->ask).now;
    return w->leads != 0 && w->leads != w->not_node;
}

/* A new topic's preferred leader is named before it has been elected, which takes its time on a busy machine:
 * what it says until then, clients repeat. */
static bool is_taken(void *data)
{
    int16_t error = produce_records(data);
    assert_true(error == 0 || error == KAFKA_ERR_NOT_LEADER_OR_FOLLOWER);
    return error == 0;
}

static bool starts_at_deleted(void *data)
{
    const uint32_t *leader = data;
    struct kafka_client c;
    open_node(&c, *leader);
    int64_t offset = start_offset(&c);
    kafka_client_close(&c);
    assert_true(offset == -1 || offset == DELETED); /* never what was deleted */
    return offset == DELETED;
}

/* ---- tests ---- */

static void test_deleted_records_and_elections_over_leaders(void **state)
{
    struct kafka_elect_leaders_request_topic elected = {kafka_string_of(topic_name), {(int32_t[]){0}, 1}};
    struct kafka_elect_leaders_request request = kafka_elect_leaders_request_default;
    struct kafka_elect_leaders_response response;
    struct kafka_client c;

    (void)state;
    open_node(&c, 1);
    kafka_client_create_topic(&c, topic_name, 1, NODES);
    kafka_client_close(&c);
    struct leaders at_first = leaders_as_seen_by(1);
    uint32_t other = at_first.now % NODES + 1;
    assert_int_equal(at_first.now, at_first.preferred);

    open_node(&c, at_first.now);
    run_until(fleet.env, is_taken, &c, TIMEOUT_MS);
    assert_int_equal(delete_records(&c, DELETED), 0);
    assert_int_equal(start_offset(&c), DELETED);
    kafka_client_close(&c);
    open_node(&c, other); /* which does not lead */
    assert_int_equal(delete_records(&c, DELETED + 1), KAFKA_ERR_NOT_LEADER_OR_FOLLOWER);
    kafka_client_close(&c);
    struct wanted_leader knows = {.ask = other};
    run_until(fleet.env, other_leads, &knows, TIMEOUT_MS);
    check_hints(other, at_first.now);

    fleet_stop_node(&fleet, at_first.now - 1, true);
    struct wanted_leader w = {.ask = other, .not_node = at_first.now};
    run_until(fleet.env, other_leads, &w, TIMEOUT_MS);
    run_until(fleet.env, starts_at_deleted, &w.leads, TIMEOUT_MS);

    fleet_start_node(&fleet, at_first.now - 1);
    open_node(&c, w.leads);
    SET_ITEMS(request.topic_partitions, &elected, 1);
    request.timeout_ms = TIMEOUT_MS;
    kafka_client_call(&c, KAFKA_API_ELECT_LEADERS, 2, &request, &response);
    assert_int_equal(response.replica_election_results.items[0].partition_result.items[0].error_code, 0);
    kafka_client_close(&c);
    assert_int_equal(leaders_as_seen_by(w.leads).now, at_first.preferred);
    run_until(fleet.env, starts_at_deleted, &at_first.preferred, TIMEOUT_MS);
}

/* An election that cannot succeed is answered when its time is over, and one whose client has gone does not
 * keep the node from stopping. */
static void test_elections_that_wait(void **state)
{
    struct kafka_elect_leaders_request_topic elected = {kafka_string_of(topic_name), {(int32_t[]){0}, 1}};
    struct kafka_elect_leaders_request request = kafka_elect_leaders_request_default;
    struct kafka_elect_leaders_response response;
    struct kafka_client c;

    (void)state;
    uint32_t home = leaders_as_seen_by(1).preferred, other = home % NODES + 1;
    fleet_stop_node(&fleet, home - 1, true);
    struct wanted_leader w = {.ask = other, .not_node = home};
    run_until(fleet.env, other_leads, &w, TIMEOUT_MS);
    open_node(&c, other);
    SET_ITEMS(request.topic_partitions, &elected, 1);
    request.timeout_ms = 300;
    kafka_client_call(&c, KAFKA_API_ELECT_LEADERS, 2, &request, &response);
    assert_int_equal(response.replica_election_results.items[0].partition_result.items[0].error_code,
                     KAFKA_ERR_PREFERRED_LEADER_NOT_AVAILABLE);
    request.timeout_ms = TIMEOUT_MS;
    kafka_client_send(&c, KAFKA_API_ELECT_LEADERS, 2, &request);
    kafka_client_close(&c);
}

/* NULL: for all topics. */
static void ask_for(struct kafka_client *c, const char *name, struct kafka_metadata_response *response)
{
    struct kafka_metadata_request_topic topic = {{{0}}, kafka_string_of(name != NULL ? name : "")};
    struct kafka_metadata_request request = kafka_metadata_request_default;

    request.allow_auto_topic_creation = false;
    SET_ITEMS(request.topics, &topic, name != NULL ? 1 : KAFKA_NULL);
    kafka_client_call(c, KAFKA_API_METADATA, 12, &request, response);
}

/* Who asks for all topics is not kept waiting: a new topic may be missing, but not have nobody to turn to. */
static void check_all_are_led(struct kafka_client *c)
{
    struct kafka_metadata_response response;

    ask_for(c, NULL, &response);
    for (int32_t i = 0; i < response.topics.count; i++) {
        const struct kafka_metadata_response_topic *t = &response.topics.items[i];
        for (int32_t k = 0; k < t->partitions.count; k++) {
            assert_int_equal(t->partitions.items[k].error_code, 0);
            assert_in_range(t->partitions.items[k].leader_id, 1, NODES);
        }
    }
}

/* Whether the first answer named the leader. An election that takes longer than an answer waits is told as
 * such, on a machine with much else to do; that the topic does not exist must never be said. */
static bool is_known_at_once(struct kafka_client *c, const char *name)
{
    enum { ATTEMPTS = 40 };
    struct kafka_metadata_response response;

    for (unsigned attempt = 1; attempt <= ATTEMPTS; attempt++) {
        ask_for(c, name, &response);
        const struct kafka_metadata_response_topic *t = &response.topics.items[0];
        assert_int_equal(t->error_code, 0);
        assert_int_equal(t->partitions.count, 1);
        if (t->partitions.items[0].error_code == 0)
            return attempt == 1;
        assert_int_equal(t->partitions.items[0].error_code, KAFKA_ERR_LEADER_NOT_AVAILABLE);
    }
    fail_msg("%s has no leader", name);
    return false;
}

/* Some clients give up when a node has not heard of what another has just created. With one replica it
 * stands before the other nodes have. */
static void test_a_new_topic_is_known_to_every_node(void **state)
{
    enum { ROUNDS = 20, LATE_MAX = ROUNDS / 2 };
    struct kafka_client clients[NODES];
    struct kafka_metadata_response response;
    unsigned late = 0;
    char name[16];

    (void)state;
    for (uint32_t i = 0; i < NODES; i++)
        open_node(&clients[i], i + 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        snprintf(name, sizeof(name), "new-%u", round);
        kafka_client_create_topic(&clients[round % NODES], name, 1, 1);
        for (unsigned k = 1; k < NODES; k++)
            late += !is_known_at_once(&clients[(round + k) % NODES], name);
    }
    assert_true(late <= LATE_MAX);
    ask_for(&clients[0], "never-created", &response);
    assert_int_equal(response.topics.items[0].error_code, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION);
    for (uint32_t i = 0; i < NODES; i++)
        kafka_client_close(&clients[i]);
}

/* The one that answers knows the leaders; the others hear of them at about that time. */
static void test_a_new_topic_has_leaders_everywhere(void **state)
{
    enum { ROUNDS = 20, PARTITIONS = 6 };
    struct kafka_client clients[NODES];
    char name[16];

    (void)state;
    for (uint32_t i = 0; i < NODES; i++)
        open_node(&clients[i], i + 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        snprintf(name, sizeof(name), "led-%u", round);
        kafka_client_create_topic(&clients[round % NODES], name, PARTITIONS, NODES);
        for (uint32_t i = 0; i < NODES; i++)
            check_all_are_led(&clients[i]);
    }
    for (uint32_t i = 0; i < NODES; i++)
        kafka_client_close(&clients[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_topic_is_known_to_every_node),
        cmocka_unit_test(test_a_new_topic_has_leaders_everywhere),
        cmocka_unit_test(test_deleted_records_and_elections_over_leaders),
        cmocka_unit_test(test_elections_that_wait),
    };
    return cmocka_run_group_tests(tests, setup, fleet_tear_down);
}
