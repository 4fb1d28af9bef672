/* Quotas of Kafka clients: the arithmetic on a clock of our own, and what a client over its quota meets. */
#include "node/server/kafka/quota.h"
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

#define SECOND ((uint64_t)1000000000)

/* ---- the arithmetic ---- */

enum { RATE = 1000 };

static uint32_t charge(struct quota *q, uint64_t now_ns, const char *id, uint64_t bytes)
{
    return quota_charge(q, now_ns, id, strlen(id), bytes);
}

static void without_a_quota_nobody_waits(void **state)
{
    (void)state;
    struct quota q;
    quota_init(&q, 0);
    assert_int_equal(charge(&q, SECOND, "a", UINT32_MAX), 0);
    assert_int_equal(quota_portion(&q), SIZE_MAX);
    assert_int_equal(q.count, 0);
    quota_close(&q);
}

static void a_seconds_worth_is_free_and_the_rest_takes_its_time(void **state)
{
    (void)state;
    struct quota q;
    quota_init(&q, RATE);
    assert_int_equal(quota_portion(&q), RATE);
    assert_int_equal(charge(&q, 100 * SECOND, "a", RATE), 0);
    assert_int_equal(charge(&q, 100 * SECOND, "a", 250), 250);
    assert_int_equal(charge(&q, 100 * SECOND + SECOND / 4, "a", 0), 0);
    assert_int_equal(charge(&q, 100 * SECOND + SECOND / 4, "a", 1), 1);
    /* However long it has been quiet, it has saved no more than a second's worth. */
    assert_int_equal(charge(&q, 500 * SECOND, "a", RATE + 1), 1);
    quota_close(&q);
}

static void over_time_a_client_has_its_rate(void **state)
{
    (void)state;
    struct quota q;
    uint64_t now_ns = 10 * SECOND, moved = 0;
    quota_init(&q, RATE);
    for (; now_ns < 110 * SECOND; moved += 300)
        now_ns += (uint64_t)charge(&q, now_ns, "a", 300) * 1000000 + 1;
    assert_in_range(moved, 100 * RATE, 101 * RATE + 300);
    quota_close(&q);
}

static void waits_come_in_pieces_and_no_debt_is_forgotten(void **state)
{
    (void)state;
    struct quota q;
    quota_init(&q, RATE);
    assert_int_equal(charge(&q, SECOND, "a", 26 * RATE), QUOTA_WAIT_MAX_MS);
    assert_int_equal(charge(&q, 11 * SECOND, "a", 0), QUOTA_WAIT_MAX_MS);
    assert_int_equal(charge(&q, 21 * SECOND, "a", 0), 5000);
    assert_int_equal(charge(&q, 26 * SECOND, "a", 0), 0);
    quota_close(&q);
}

static void clients_do_not_pay_for_each_other(void **state)
{
    (void)state;
    struct quota q;
    quota_init(&q, RATE);
    assert_int_equal(charge(&q, SECOND, "a", 3 * RATE), 2000);
    assert_int_equal(charge(&q, SECOND, "b", RATE), 0);
    assert_int_equal(charge(&q, SECOND, "", RATE), 0);
    assert_int_equal(quota_charge(&q, SECOND, NULL, 0, RATE), 1000); /* no id is an id, too */
    quota_close(&q);
}

static void what_is_remembered_is_bounded(void **state)
{
    (void)state;
    struct quota q;
    char id[300];
    quota_init(&q, RATE);
    for (unsigned i = 0; i < QUOTA_CLIENTS_MAX + 10; i++) {
        snprintf(id, sizeof(id), "%u", i);
        charge(&q, SECOND, id, 2 * RATE);
    }
    assert_int_equal(q.count, QUOTA_CLIENTS_MAX);
    assert_int_equal(charge(&q, SECOND, id, 0), 1000);
    assert_int_equal(charge(&q, 10 * SECOND, "late", 1), 0);
    assert_int_equal(q.count, 1); /* all debts are paid */
    memset(id, 'x', sizeof(id));
    assert_int_equal(quota_charge(&q, 10 * SECOND, id, sizeof(id), 2 * RATE), 1000);
    assert_int_equal(quota_charge(&q, 10 * SECOND, id, QUOTA_ID_MAX, 0), 1000);
    quota_close(&q);
}

/* ---- a node, on a simulated clock ---- */

enum {
    QUOTA_BYTES_PER_S = 256 * 1024,
    BATCH_BYTES = 320 * 1024,
    /* Of the batch alone: its frame is a little more. */
    WAIT_LEAST_MS = 1000 * (BATCH_BYTES - QUOTA_BYTES_PER_S) / QUOTA_BYTES_PER_S,
    WAIT_MOST_MS = WAIT_LEAST_MS + 10,
    SEED = 42,
    /* A request that nothing holds back, the network included. */
    AT_ONCE_MS = 20,
};

static const char topic_name[] = "metered";
static struct fleet fleet;

static void set_quotas(struct node_config *config)
{
    config->kafka_produce_bytes_per_s = QUOTA_BYTES_PER_S;
    config->kafka_fetch_bytes_per_s = QUOTA_BYTES_PER_S;
}

static int setup(void **state)
{
    *state = &fleet;
    fleet_open_simulated(&fleet, SEED, 1, set_quotas);
    return 0;
}

static void open_client(struct kafka_client *c)
{
    kafka_client_open(c, fleet.env, node_kafka_port(fleet.nodes[0]));
}

/* Of one record. */
static void make_large_batch(struct bytes *out, size_t value_size)
{
    static const struct batch_options plain = {BATCH_NONE, 0, -1, -1, -1};
    struct batch_builder builder;
    void *value = calloc(1, value_size);
    batch_builder_init(&builder);
    batch_builder_add(&builder, 0, NULL, 0, value, value_size, NULL, 0);
    bytes_init(out);
    assert_int_equal(batch_builder_finish(&builder, &plain, out), 0);
    batch_builder_close(&builder);
    free(value);
}

static int32_t send_produce(struct kafka_client *c, int16_t acks, size_t bytes)
{
    struct bytes batch;
    make_large_batch(&batch, bytes);
    int32_t correlation = kafka_client_send_batch(c, 9, topic_name, &batch, acks);
    bytes_close(&batch);
    return correlation;
}

static int32_t produce_bytes(struct kafka_client *c, size_t bytes)
{
    struct kafka_produce_response response;
    kafka_client_wait(c, send_produce(c, -1, bytes), KAFKA_API_PRODUCE, 9, &response);
    assert_int_equal(response.responses.items[0].partition_responses.items[0].error_code, 0);
    return response.throttle_time_ms;
}

static void fetch_all(struct kafka_client *c, struct kafka_fetch_response *response)
{
    struct kafka_fetch_request_partition p = kafka_fetch_request_partition_default;
    struct kafka_fetch_request_topic topic = kafka_fetch_request_topic_default;
    struct kafka_fetch_request request = kafka_fetch_request_default;
    p.partition_max_bytes = 64 * 1024 * 1024;
    topic.topic = kafka_string_of(topic_name);
    SET_ITEMS(topic.partitions, &p, 1);
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(c, KAFKA_API_FETCH, 11, &request, response);
}

static void ask_versions(struct kafka_client *c)
{
    struct kafka_api_versions_request request = kafka_api_versions_request_default;
    struct kafka_api_versions_response response;
    kafka_client_call(c, KAFKA_API_API_VERSIONS, 0, &request, &response);
}

static uint64_t elapsed_ms(uint64_t since_ns)
{
    return (env_clock_ns(fleet.env) - since_ns) / 1000000;
}

static void a_produce_over_the_quota_is_answered_and_the_next_request_waits(void **state)
{
    (void)state;
    struct kafka_client c;
    open_client(&c);
    kafka_client_need_topic(&c, topic_name);
    uint64_t start_ns = env_clock_ns(fleet.env);
    uint64_t wait_ms = (uint64_t)produce_bytes(&c, BATCH_BYTES);
    assert_in_range(wait_ms, WAIT_LEAST_MS, WAIT_MOST_MS);
    assert_in_range(elapsed_ms(start_ns), 0, AT_ONCE_MS);
    ask_versions(&c);
    assert_in_range(elapsed_ms(start_ns), wait_ms, wait_ms + AT_ONCE_MS);
    kafka_client_close(&c);
}

static void a_producer_that_wants_no_answer_waits_as_well(void **state)
{
    (void)state;
    struct kafka_client c;
    open_client(&c);
    kafka_client_need_topic(&c, topic_name);
    uint64_t start_ns = env_clock_ns(fleet.env);
    send_produce(&c, 0, BATCH_BYTES);
    ask_versions(&c);
    assert_in_range(elapsed_ms(start_ns), WAIT_LEAST_MS, WAIT_MOST_MS + AT_ONCE_MS);
    kafka_client_close(&c);
}

static void a_fetch_has_a_seconds_worth_at_a_time(void **state)
{
    (void)state;
    struct kafka_client c;
    struct kafka_fetch_response response;
    open_client(&c);
    kafka_client_need_topic(&c, topic_name);
    produce_bytes(&c, BATCH_BYTES);
    produce_bytes(&c, 100);
    uint64_t start_ns = env_clock_ns(fleet.env);
    fetch_all(&c, &response);
    uint64_t wait_ms = (uint64_t)response.throttle_time_ms;
    assert_in_range(response.responses.items[0].partitions.items[0].records.size, BATCH_BYTES,
                    BATCH_BYTES + 200);
    assert_in_range(wait_ms, WAIT_LEAST_MS, WAIT_MOST_MS);
    ask_versions(&c);
    assert_in_range(elapsed_ms(start_ns), wait_ms, wait_ms + AT_ONCE_MS);
    kafka_client_close(&c);
}

/* It takes no notice of what it is told, and always has another request under way. */
static void a_client_that_does_not_heed_gets_its_rate(void **state)
{
    enum { BATCHES = 40, WORTH_MS = 1000 * BATCHES * (BATCH_BYTES / 64) / (QUOTA_BYTES_PER_S / 64) };
    (void)state;
    struct kafka_client c;
    struct kafka_produce_response response;
    open_client(&c);
    kafka_client_need_topic(&c, topic_name);
    uint64_t start_ns = env_clock_ns(fleet.env);
    int32_t next = send_produce(&c, -1, BATCH_BYTES);
    for (unsigned i = 1; i < BATCHES; i++) {
        int32_t correlation = next;
        next = send_produce(&c, -1, BATCH_BYTES);
        kafka_client_wait(&c, correlation, KAFKA_API_PRODUCE, 9, &response);
    }
    kafka_client_wait(&c, next, KAFKA_API_PRODUCE, 9, &response);
    ask_versions(&c);
    assert_in_range(elapsed_ms(start_ns), WORTH_MS - QUOTA_BURST_MS, WORTH_MS + 2 * QUOTA_BURST_MS);
    kafka_client_close(&c);
}

static void only_the_client_over_its_quota_is_kept_quiet(void **state)
{
    (void)state;
    struct kafka_client over, other;
    open_client(&over);
    open_client(&other);
    kafka_client_need_topic(&over, topic_name);
    assert_in_range(produce_bytes(&over, BATCH_BYTES), WAIT_LEAST_MS, WAIT_MOST_MS);
    uint64_t start_ns = env_clock_ns(fleet.env);
    ask_versions(&other); /* the same client id, but it has moved nothing on this connection */
    assert_in_range(elapsed_ms(start_ns), 0, AT_ONCE_MS);
    kafka_client_close(&over);
    kafka_client_close(&other);
}

static void set_small_quota(struct node_config *config)
{
    config->kafka_produce_bytes_per_s = BATCH_BYTES / 32;
    config->shutdown_timeout_ms = 2 * QUOTA_WAIT_MAX_MS;
}

static int setup_small(void **state)
{
    *state = &fleet;
    fleet_open_simulated(&fleet, SEED, 1, set_small_quota);
    return 0;
}

static void a_node_stops_although_it_keeps_a_client_quiet(void **state)
{
    (void)state;
    struct kafka_client c;
    struct kafka_produce_response response;
    open_client(&c);
    kafka_client_need_topic(&c, topic_name);
    int32_t first = send_produce(&c, -1, BATCH_BYTES);
    send_produce(&c, 0, 100); /* is there, and waits */
    kafka_client_wait(&c, first, KAFKA_API_PRODUCE, 9, &response);
    assert_int_equal(response.throttle_time_ms, QUOTA_WAIT_MAX_MS);
    uint64_t start_ns = env_clock_ns(fleet.env);
    fleet_stop_node(&fleet, 0, true);
    assert_in_range(elapsed_ms(start_ns), 0, QUOTA_WAIT_MAX_MS - 1);
    kafka_client_wait_end(&c);
    kafka_client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_quota_nobody_waits),
        cmocka_unit_test(a_seconds_worth_is_free_and_the_rest_takes_its_time),
        cmocka_unit_test(over_time_a_client_has_its_rate),
        cmocka_unit_test(waits_come_in_pieces_and_no_debt_is_forgotten),
        cmocka_unit_test(clients_do_not_pay_for_each_other),
        cmocka_unit_test(what_is_remembered_is_bounded),
        cmocka_unit_test_setup_teardown(a_produce_over_the_quota_is_answered_and_the_next_request_waits,
                                        setup, fleet_tear_down),
        cmocka_unit_test_setup_teardown(a_producer_that_wants_no_answer_waits_as_well, setup,
                                        fleet_tear_down),
        cmocka_unit_test_setup_teardown(a_fetch_has_a_seconds_worth_at_a_time, setup, fleet_tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_does_not_heed_gets_its_rate, setup, fleet_tear_down),
        cmocka_unit_test_setup_teardown(only_the_client_over_its_quota_is_kept_quiet, setup, fleet_tear_down),
        cmocka_unit_test_setup_teardown(a_node_stops_although_it_keeps_a_client_quiet, setup_small,
                                        fleet_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
