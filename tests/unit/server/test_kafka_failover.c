/* What clients are told of leaders whose node dies, at the moment when it does. */
#include "proto/kafka/errors.h"
#include "tests/sim/env_sim.h"
#include "tests/unit/server/helper_fleet.h"
#include "tests/unit/server/helper_kafka_client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { NODES = 3, ROLL_CALL_MS = 50, AT_ONCE_MS = 5 };

static const char topic_name[] = "moving";
static struct fleet fleet;

static void ask(struct kafka_client *c, struct kafka_metadata_response *response)
{
    struct kafka_metadata_request_topic topic = {{{0}}, kafka_string_of(topic_name)};
    struct kafka_metadata_request request = kafka_metadata_request_default;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(c, KAFKA_API_METADATA, 12, &request, response);
}

static uint32_t ask_leader(struct kafka_client *c)
{
    struct kafka_metadata_response response;
    ask(c, &response);
    const struct kafka_metadata_response_partition *p = &response.topics.items[0].partitions.items[0];
    assert_int_equal(p->error_code, 0);
    return (uint32_t)p->leader_id;
}

static uint32_t ask_coordinator(struct kafka_client *c)
{
    struct kafka_find_coordinator_request request = kafka_find_coordinator_request_default;
    struct kafka_find_coordinator_response response;
    request.key = kafka_string_of("members");
    kafka_client_call(c, KAFKA_API_FIND_COORDINATOR, 2, &request, &response);
    assert_int_equal(response.error_code, 0);
    return (uint32_t)response.node_id;
}

static int32_t count_nodes(struct kafka_client *c)
{
    struct kafka_metadata_response response;
    ask(c, &response);
    return response.brokers.count;
}

static void open_node(struct kafka_client *c, uint32_t node)
{
    kafka_client_open(c, fleet_env(&fleet, node - 1), node_kafka_port(fleet.nodes[node - 1]));
}

/* A client that is connected to another node than the one that `who` names, which is given. */
static uint32_t begin_beside(struct kafka_client *c, uint64_t seed, uint32_t (*who)(struct kafka_client *c))
{
    struct kafka_client first;
    print_message("seed %llu\n", (unsigned long long)seed);
    fleet_open_simulated(&fleet, seed, NODES, NULL);
    open_node(&first, 1);
    kafka_client_create_topic(&first, topic_name, 1, NODES);
    uint32_t node = who(&first);
    kafka_client_close(&first);
    open_node(c, node % NODES + 1);
    assert_int_equal(who(c), node);
    return node;
}

static uint32_t begin(struct kafka_client *c, uint64_t seed)
{
    return begin_beside(c, seed, ask_leader);
}

static void end(struct kafka_client *c)
{
    kafka_client_close(c);
    fleet_close(&fleet);
}

/* The client may hear of a death before the node that it asks. Sent back to the dead leader, it would lose a
 * second. */
static void nobody_is_sent_to_a_leader_that_has_just_died(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct kafka_client c;
        uint32_t dead = begin(&c, seed);
        fleet_kill_node(&fleet, dead - 1);
        assert_int_not_equal(ask_leader(&c), dead);
        end(&c);
    }
}

/* What clients do with one that is not named any more is theirs; it should not be while they look for
 * leaders. */
static void a_lost_node_is_named_for_a_while(void **state)
{
    (void)state;
    struct kafka_client c;
    uint32_t dead = begin(&c, 1);
    fleet_kill_node(&fleet, dead - 1);
    assert_int_equal(count_nodes(&c), NODES);
    sim_run_for(fleet.sim, (uint64_t)60 * 1000000000);
    assert_int_equal(count_nodes(&c), NODES - 1);
    end(&c);
}

/* A coordinator is a leader like any other. */
static void nobody_is_sent_to_a_coordinator_that_has_just_died(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct kafka_client c;
        uint32_t dead = begin_beside(&c, seed, ask_coordinator);
        fleet_kill_node(&fleet, dead - 1);
        assert_int_not_equal(ask_coordinator(&c), dead);
        end(&c);
    }
}

static void a_silent_node_is_not_waited_for_long(void **state)
{
    (void)state;
    struct kafka_client c;
    uint32_t silent = begin(&c, 1);
    uint64_t start_ns = env_clock_ns(c.wire.env);
    ask_leader(&c);
    assert_in_range(env_clock_ns(c.wire.env) - start_ns, 0, AT_ONCE_MS * 1000000);
    sim_host_freeze(fleet.hosts[silent - 1]);
    start_ns = env_clock_ns(c.wire.env);
    ask_leader(&c);
    assert_in_range(env_clock_ns(c.wire.env) - start_ns, 0, (ROLL_CALL_MS + AT_ONCE_MS) * 1000000);
    sim_host_thaw(fleet.hosts[silent - 1]);
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_sent_to_a_leader_that_has_just_died),
        cmocka_unit_test(nobody_is_sent_to_a_coordinator_that_has_just_died),
        cmocka_unit_test(a_lost_node_is_named_for_a_while),
        cmocka_unit_test(a_silent_node_is_not_waited_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
