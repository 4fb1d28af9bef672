/* A topic that is deleted leaves no files, whatever the nodes were about with it when they heard: also while
 * its replicas' directories are being made. On a simulated clock. */
#include "proto/kafka/errors.h"
#include "tests/unit/server/helper_fleet.h"
#include "tests/unit/server/helper_kafka_client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum {
    SEED = 42,
    NODES = 3,
    PARTITIONS = 100, /* more than have their directories made at once */
    ROUNDS = 20,
    STEP_MS = 20,
    ENOUGH_MS = 9000, /* for whatever has been begun to come to its end */
};

#define MS UINT64_C(1000000)

static struct fleet fleet;

/* Each node is at another place when a topic goes. */
static int setup(void **state)
{
    *state = &fleet;
    fleet_open_simulated(&fleet, SEED, NODES, NULL);
    sim_run_for(fleet.sim, ENOUGH_MS * MS);
    sim_disk_latency(fleet.hosts[1], 30 * MS, 90 * MS);
    sim_disk_latency(fleet.hosts[2], 300 * MS, 400 * MS);
    return 0;
}

static void count(void *data, const char *name)
{
    (void)name;
    ++*(unsigned *)data;
}

static unsigned count_directories(unsigned node)
{
    char path[sizeof(fleet.configs[0].data_dir) + 16];
    unsigned n = 0;
    snprintf(path, sizeof(path), "%s/groups", fleet.configs[node].data_dir);
    assert_int_equal(env_dir_list(fleet_env(&fleet, node), path, count, &n), 0);
    return n;
}

static void send_create(struct kafka_client *c, const char *name)
{
    struct kafka_create_topics_request_topic topic = kafka_create_topics_request_topic_default;
    struct kafka_create_topics_request request = kafka_create_topics_request_default;
    topic.name = kafka_string_of(name);
    topic.num_partitions = PARTITIONS;
    topic.replication_factor = NODES;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_send(c, KAFKA_API_CREATE_TOPICS, 7, &request);
}

static int16_t delete_topic(struct kafka_client *c, const char *name)
{
    struct kafka_delete_topics_request_topic topic = {kafka_string_of(name), {{0}}};
    struct kafka_delete_topics_request request = kafka_delete_topics_request_default;
    struct kafka_delete_topics_response response;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(c, KAFKA_API_DELETE_TOPICS, 6, &request, &response);
    return response.responses.items[0].error_code;
}

static void a_topic_deleted_while_it_is_made_leaves_nothing(void **state)
{
    (void)state;
    unsigned before[NODES];
    for (unsigned i = 0; i < NODES; i++)
        before[i] = count_directories(i);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        struct kafka_client creator, deleter; /* who creates is still waiting for its answer */
        char name[16];
        snprintf(name, sizeof(name), "brief-%u", round);
        kafka_client_open(&creator, fleet.env, node_kafka_port(fleet.nodes[0]));
        kafka_client_open(&deleter, fleet.env, node_kafka_port(fleet.nodes[0]));
        send_create(&creator, name);
        sim_run_for(fleet.sim, round * STEP_MS * MS);
        int16_t error;
        while ((error = delete_topic(&deleter, name)) != KAFKA_ERR_NONE)
            assert_int_equal(error, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION); /* not there yet */
        sim_run_for(fleet.sim, ENOUGH_MS * MS);
        for (unsigned i = 0; i < NODES; i++)
            assert_int_equal(count_directories(i), before[i]);
        kafka_client_close(&creator);
        kafka_client_close(&deleter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_topic_deleted_while_it_is_made_leaves_nothing, setup,
                                        fleet_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
