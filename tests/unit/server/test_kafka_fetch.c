/* A Kafka fetch of old records on a slow disk: what is there after half a second is the answer. On a
 * simulated clock. */
#include "proto/batch.h"
#include "proto/kafka/errors.h"
#include "tests/unit/server/helper_fleet.h"
#include "tests/unit/server/helper_kafka_client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    SEED = 42,
    TOPICS = 40,
    CACHE_BYTES = 64 * 1024,
    READ_MS = 100,
    GATHER_MAX_MS = 500, /* as fetch_read.c has it */
};

static struct fleet fleet;
static struct kafka_client client;
static char names[TOPICS][16];

static void small_cache(struct node_config *config)
{
    config->cache_bytes = CACHE_BYTES;
}

/* Of one record. */
static void produce_bytes(const char *name, size_t value_size)
{
    static const struct batch_options plain = {BATCH_NONE, 0, -1, -1, -1};
    struct kafka_produce_response response;
    struct batch_builder builder;
    struct bytes batch;
    void *value = calloc(1, value_size);
    batch_builder_init(&builder);
    batch_builder_add(&builder, 0, NULL, 0, value, value_size, NULL, 0);
    bytes_init(&batch);
    assert_int_equal(batch_builder_finish(&builder, &plain, &batch), 0);
    batch_builder_close(&builder);
    free(value);
    kafka_client_wait(&client, kafka_client_send_batch(&client, 9, name, &batch, -1), KAFKA_API_PRODUCE, 9,
                      &response);
    assert_int_equal(response.responses.items[0].partition_responses.items[0].error_code, 0);
    bytes_close(&batch);
}

/* One old record per topic, which has left the cache. */
static int setup(void **state)
{
    *state = &fleet;
    fleet_open_simulated(&fleet, SEED, 1, small_cache);
    kafka_client_open(&client, fleet.env, node_kafka_port(fleet.nodes[0]));
    for (unsigned i = 0; i < TOPICS; i++) {
        snprintf(names[i], sizeof(names[i]), "old-%u", i);
        kafka_client_need_topic(&client, names[i]);
        produce_bytes(names[i], 1000);
        produce_bytes(names[i], CACHE_BYTES + 1);
    }
    return 0;
}

static int teardown(void **state)
{
    kafka_client_close(&client);
    return fleet_tear_down(state);
}

/* Asks for the topics from `first` on; how many of them have records in the answer, which are the first ones
 * of those that were asked for. */
static unsigned fetch_from(unsigned first, int32_t min_bytes)
{
    static struct kafka_fetch_request_topic topics[TOPICS];
    struct kafka_fetch_request_partition p = kafka_fetch_request_partition_default;
    struct kafka_fetch_request request = kafka_fetch_request_default;
    struct kafka_fetch_response response;
    unsigned with_records = 0;
    p.partition_max_bytes = 1; /* the first batch */
    for (unsigned i = first; i < TOPICS; i++) {
        topics[i] = kafka_fetch_request_topic_default;
        topics[i].topic = kafka_string_of(names[i]);
        SET_ITEMS(topics[i].partitions, &p, 1);
    }
    SET_ITEMS(request.topics, topics + first, (int32_t)(TOPICS - first));
    request.min_bytes = min_bytes;
    request.max_bytes = 8 << 20;
    request.max_wait_ms = 10000;
    kafka_client_call(&client, KAFKA_API_FETCH, 11, &request, &response);
    for (int32_t i = 0; i < response.responses.count; i++) {
        const struct kafka_fetch_response_partition *answer =
            &response.responses.items[i].partitions.items[0];
        assert_int_equal(answer->error_code, KAFKA_ERR_NONE);
        if (answer->records.size > 0)
            assert_int_equal(with_records++, i);
    }
    return with_records;
}

static uint64_t elapsed_ms(uint64_t since_ns)
{
    return (env_clock_ns(fleet.env) - since_ns) / 1000000;
}

static void slow_reads_are_answered_in_pieces(void **state)
{
    (void)state;
    sim_disk_read_latency(fleet.hosts[0], READ_MS * UINT64_C(1000000));
    unsigned rounds = 0;
    for (unsigned first = 0; first < TOPICS; rounds++) {
        uint64_t start_ns = env_clock_ns(fleet.env);
        unsigned n = fetch_from(first, 1);
        assert_true(n > 0);
        first += n;
        assert_true(first == TOPICS || elapsed_ms(start_ns) >= GATHER_MAX_MS);
        assert_in_range(elapsed_ms(start_ns), 0, GATHER_MAX_MS + 3 * READ_MS);
    }
    assert_true(rounds > 1);
}

/* Nothing yet is no answer: the bound is on what follows the first records. */
static void the_first_records_are_waited_for(void **state)
{
    (void)state;
    sim_disk_read_latency(fleet.hosts[0], 2 * GATHER_MAX_MS * UINT64_C(1000000));
    unsigned n = fetch_from(0, 1);
    assert_in_range(n, 1, TOPICS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slow_reads_are_answered_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_records_are_waited_for, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
