/* Three nodes in one process: a leader's word is on the others, followers point to it, and its end is
 * survived. */
#include "proto/error.h"
#include "tests/unit/server/helper_fleet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 3 };

static struct fleet fleet;

static int setup(void **state)
{
    *state = &fleet;
    fleet_open(&fleet, NODES, NULL);
    return 0;
}

static void connect_to(struct client *c, uint32_t node)
{
    client_start(c, fleet.env, node_client_port(fleet.nodes[node - 1]));
}

static uint32_t other_than(uint32_t node)
{
    return node % NODES + 1;
}

/* A node that has not heard of a controller yet knows of nobody. */
static bool knows_all_nodes(void *data)
{
    struct client *c = data;
    Flotilla__MetadataRequest request = FLOTILLA__METADATA_REQUEST__INIT;
    request.all_topics = true;
    Flotilla__MetadataResponse *m =
        client_call(c, FRAME_METADATA, &request.base, NULL, 0, &flotilla__metadata_response__descriptor);
    bool knows = m->n_nodes == NODES;
    for (size_t i = 0; i < m->n_nodes && knows; i++)
        assert_int_equal(m->nodes[i]->id, i + 1);
    if (knows)
        assert_string_equal(m->cluster_id, fleet.configs[0].cluster_id[0] != '\0'
                                               ? fleet.configs[0].cluster_id
                                               : m->cluster_id);
    flotilla__metadata_response__free_unpacked(m, NULL);
    return knows;
}

static void test_nodes_know_each_other(void **state)
{
    (void)state;
    for (uint32_t node = 1; node <= NODES; node++) {
        struct client c;
        connect_to(&c, node);
        run_until(fleet.env, knows_all_nodes, &c, 10000);
        client_close(&c);
    }
}

/* Leadership may move at any time, for example back to the preferred replica: ask again until the produce is
 * taken. */
struct attempt {
    struct client *leader; /* connected to it when this has succeeded */
    const char *topic;
    const uint8_t *id;
    const char *prefix;
    unsigned count;
    uint32_t ask;      /* node */
    uint32_t not_node; /* that has just gone */
    uint32_t leads;    /* result */
};

static bool try_produce(void *data)
{
    struct attempt *a = data;
    struct client c;
    connect_to(&c, a->ask);
    a->leads = find_leader(&c, a->topic, 0, a->not_node);
    client_close(&c);
    connect_to(a->leader, a->leads);
    int error = produce(a->leader, a->id, 0, a->prefix, a->count, -1, NULL);
    if (error == 0)
        return true;
    assert_int_equal(error_class_of(error), ERROR_RETRIABLE);
    client_close(a->leader);
    return false;
}

static uint32_t produce_at_leader(struct attempt a)
{
    run_until(fleet.env, try_produce, &a, 10000);
    return a.leads;
}

static int list_end(struct client *c, const uint8_t *id, uint32_t *leader_id)
{
    Flotilla__ListOffsetRequest request = FLOTILLA__LIST_OFFSET_REQUEST__INIT;
    request.topic_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)id};
    request.timestamp_ms = -1;
    Flotilla__ListOffsetResponse *response = client_call(c, FRAME_LIST_OFFSET, &request.base, NULL, 0,
                                                         &flotilla__list_offset_response__descriptor);
    int error = response->status->error;
    *leader_id = response->status->leader_id;
    flotilla__list_offset_response__free_unpacked(response, NULL);
    return error;
}

static void test_follower_points_to_the_leader(void **state)
{
    (void)state;
    struct client c, follower, leader;
    uint8_t id[16];
    uint32_t hint;
    connect_to(&c, 1);
    create_topic(&c, "hint", 1, 3, id);
    client_close(&c);
    uint32_t leads = produce_at_leader((struct attempt){&leader, "hint", id, "x", 10, 1, 0, 0});
    connect_to(&follower, other_than(leads));
    assert_int_equal(find_leader(&follower, "hint", 0, 0), leads);
    assert_int_equal(list_end(&follower, id, &hint), ERR_NOT_LEADER);
    assert_int_equal(hint, leads);
    assert_int_equal(produce(&follower, id, 0, "x", 1, -1, NULL), ERR_NOT_LEADER);
    assert_int_equal(list_end(&leader, id, &hint), 0);
    assert_int_equal(read_back(&leader, id, 0, 0, "x"), 10);
    client_close(&leader);
    client_close(&follower);
}

/* Whoever is asked forwards to the controller. */
static void test_any_node_creates_topics(void **state)
{
    (void)state;
    for (uint32_t node = 1; node <= NODES; node++) {
        struct client c;
        char name[32];
        uint8_t id[16];
        connect_to(&c, node);
        snprintf(name, sizeof(name), "made-by-%u", node);
        create_topic(&c, name, 3, 3, id);
        client_close(&c);
    }
}

/* The stream of a leader that goes says so and names the next one, if it is known by then. */
static void wait_for_end_of_stream(struct client *c)
{
    for (bool ended = false; !ended;) {
        struct received *r = client_wait_type(c, FRAME_PUSH);
        Flotilla__Push *push = received_unpack(r, &flotilla__push__descriptor);
        ended = push->status->error != 0;
        if (ended && push->status->error != ERR_NOT_LEADER && push->status->error != ERR_LEADER_NOT_AVAILABLE)
            assert_int_equal(push->status->error, ERR_SHUTTING_DOWN);
        flotilla__push__free_unpacked(push, NULL);
        received_free(r);
    }
}

static void survive_stop_of_leader(const char *topic, bool planned)
{
    struct client c, leader;
    uint8_t id[16];
    connect_to(&c, 1);
    create_topic(&c, topic, 1, 3, id);
    client_close(&c);
    uint32_t first = produce_at_leader((struct attempt){&leader, topic, id, "first", 200, 1, 0, 0});
    Flotilla__SubscribeRequest subscribe = FLOTILLA__SUBSCRIBE_REQUEST__INIT;
    subscribe.topic_id = (ProtobufCBinaryData){16, id};
    subscribe.credit_bytes = 1 << 20;
    received_free(client_wait(&leader, client_send(&leader, FRAME_SUBSCRIBE, &subscribe.base, NULL, 0)));

    fleet_stop_node(&fleet, first - 1, planned);
    if (planned)
        wait_for_end_of_stream(&leader);
    client_wait_end(&leader);
    client_close(&leader);

    produce_at_leader((struct attempt){&leader, topic, id, "second", 50, other_than(first), first, 0});
    assert_int_equal(read_back(&leader, id, 0, 200, "second"), 50);
    client_close(&leader);
    fleet_start_node(&fleet, first - 1);
}

static void test_leader_stops_planned(void **state)
{
    (void)state;
    survive_stop_of_leader("planned", true);
}

static void test_leader_stops_at_once(void **state)
{
    (void)state;
    survive_stop_of_leader("at-once", false);
}

static void set_drain(struct client *c, uint32_t node, bool drain)
{
    Flotilla__DrainNodeRequest request = FLOTILLA__DRAIN_NODE_REQUEST__INIT;
    request.node_id = node;
    request.drain = drain;
    request.timeout_ms = 10000;
    Flotilla__DrainNodeResponse *response =
        client_call(c, FRAME_DRAIN_NODE, &request.base, NULL, 0, &flotilla__drain_node_response__descriptor);
    assert_int_equal(response->status->error, 0);
    flotilla__drain_node_response__free_unpacked(response, NULL);
}

/* Takes one answer of the pipeline: stored behind the one before, or sent on to somebody else who leads. */
static bool take_answer(struct client *c, uint64_t correlation, uint32_t old_leader, int64_t *last_offset)
{
    struct received *r = client_wait(c, correlation);
    Flotilla__ProduceResponse *p = received_unpack(r, &flotilla__produce_response__descriptor);
    bool stored = p->status->error == 0;
    if (stored) {
        assert_true(p->base_offset > *last_offset);
        *last_offset = p->base_offset;
    } else {
        assert_int_equal(p->status->error, ERR_NOT_LEADER);
        assert_int_not_equal(p->status->leader_id, 0);
        assert_int_not_equal(p->status->leader_id, old_leader);
    }
    flotilla__produce_response__free_unpacked(p, NULL);
    received_free(r);
    return stored;
}

/* While a leadership is handed over, requests wait until it is known who is next: no answer leaves the client
 * without a place to go, none is stored out of order, and once one has been sent on no later one is stored
 * here. */
static void test_hand_over_loses_nobody(void **state)
{
    (void)state;
    enum { REQUESTS = 600, WINDOW = 50 };
    struct client leader, admin;
    uint8_t id[16];
    connect_to(&admin, 1);
    create_topic(&admin, "handed", 1, 3, id);
    uint32_t leads = produce_at_leader((struct attempt){&leader, "handed", id, "x", 1, 1, 0, 0});
    struct bytes batch;
    bytes_init(&batch);
    make_batch(&batch, "h", 1, env_wall_ms(fleet.env));
    Flotilla__ProduceRequest request = FLOTILLA__PRODUCE_REQUEST__INIT;
    request.topic_id = (ProtobufCBinaryData){16, id};
    request.acks = -1;
    uint64_t first = leader.correlation + 1, done = 0;
    int64_t last_offset = 0;
    bool all_stored = true;
    for (uint64_t sent = 0; sent < REQUESTS; sent++) {
        client_send(&leader, FRAME_PRODUCE, &request.base, batch.data, batch.size);
        if (sent == REQUESTS / 2)
            set_drain(&admin, leads, true);
        if (sent >= WINDOW) {
            bool stored = take_answer(&leader, first + done++, leads, &last_offset);
            assert_true(all_stored || !stored);
            all_stored = stored;
        }
    }
    while (done < REQUESTS)
        take_answer(&leader, first + done++, leads, &last_offset);
    assert_false(all_stored);
    set_drain(&admin, leads, false);
    bytes_close(&batch);
    client_close(&leader);
    client_close(&admin);
}

/* Committed offsets are answered by the group's coordinator only, and every other node says who that is. */
static void test_coordinator(void **state)
{
    (void)state;
    unsigned answered = 0;
    for (uint32_t node = 1; node <= NODES; node++) {
        struct client c;
        connect_to(&c, node);
        Flotilla__FetchOffsetsRequest fetch = FLOTILLA__FETCH_OFFSETS_REQUEST__INIT;
        fetch.group = (char *)(uintptr_t) "email";
        Flotilla__FetchOffsetsResponse *response = client_call(&c, FRAME_FETCH_OFFSETS, &fetch.base, NULL, 0,
                                                               &flotilla__fetch_offsets_response__descriptor);
        if (response->status->error == 0)
            answered++;
        else
            assert_int_equal(response->status->error, ERR_NOT_LEADER);
        flotilla__fetch_offsets_response__free_unpacked(response, NULL);
        client_close(&c);
    }
    assert_true(answered <= 1);
}

/* A node without a majority can finish nothing; it stops all the same, whatever is under way. */
static void stop_with_requests_under_way(bool planned, const char *topic)
{
    struct client c, leader;
    uint8_t id[16];
    connect_to(&c, 1);
    create_topic(&c, topic, 1, 3, id);
    client_close(&c);
    uint32_t last = produce_at_leader((struct attempt){&leader, topic, id, "x", 1, 1, 0, 0});
    for (uint32_t node = 1; node <= NODES; node++)
        if (node != last)
            fleet_stop_node(&fleet, node - 1, false);
    struct bytes batch;
    bytes_init(&batch);
    make_batch(&batch, "x", 1, env_wall_ms(fleet.env));
    Flotilla__ProduceRequest produce_request = FLOTILLA__PRODUCE_REQUEST__INIT;
    produce_request.topic_id = (ProtobufCBinaryData){16, id};
    produce_request.acks = -1;
    Flotilla__CreateTopicRequest create = FLOTILLA__CREATE_TOPIC_REQUEST__INIT;
    create.name = (char *)(uintptr_t) "never";
    Flotilla__InitProducerRequest init = FLOTILLA__INIT_PRODUCER_REQUEST__INIT;
    Flotilla__FetchOffsetsRequest offsets = FLOTILLA__FETCH_OFFSETS_REQUEST__INIT;
    offsets.group = (char *)(uintptr_t) "email";
    Flotilla__ListOffsetRequest list = FLOTILLA__LIST_OFFSET_REQUEST__INIT;
    list.topic_id = produce_request.topic_id;
    list.timestamp_ms = -1;
    Flotilla__FetchRequest fetch = FLOTILLA__FETCH_REQUEST__INIT;
    fetch.topic_id = produce_request.topic_id;
    fetch.offset = 1;
    fetch.min_bytes = 1;
    fetch.max_wait_ms = 60000;
    Flotilla__DrainNodeRequest drain = FLOTILLA__DRAIN_NODE_REQUEST__INIT;
    drain.node_id = last;
    drain.drain = true;
    client_send(&leader, FRAME_PRODUCE, &produce_request.base, batch.data, batch.size);
    client_send(&leader, FRAME_CREATE_TOPIC, &create.base, NULL, 0);
    client_send(&leader, FRAME_INIT_PRODUCER, &init.base, NULL, 0);
    client_send(&leader, FRAME_FETCH_OFFSETS, &offsets.base, NULL, 0);
    client_send(&leader, FRAME_LIST_OFFSET, &list.base, NULL, 0);
    client_send(&leader, FRAME_FETCH, &fetch.base, NULL, 0);
    client_send(&leader, FRAME_DRAIN_NODE, &drain.base, NULL, 0);
    Flotilla__PingRequest ping = FLOTILLA__PING_REQUEST__INIT;
    received_free(client_wait(&leader, client_send(&leader, FRAME_PING, &ping.base, NULL, 0)));
    fleet_stop_node(&fleet, last - 1, planned);
    client_wait_end(&leader);
    client_close(&leader);
    bytes_close(&batch);
    for (uint32_t node = 1; node <= NODES; node++)
        fleet_start_node(&fleet, node - 1);
}

static void test_stops_with_requests_under_way(void **state)
{
    (void)state;
    stop_with_requests_under_way(false, "under-way-1");
    stop_with_requests_under_way(true, "under-way-2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes_know_each_other),
        cmocka_unit_test(test_any_node_creates_topics),
        cmocka_unit_test(test_follower_points_to_the_leader),
        cmocka_unit_test(test_coordinator),
        cmocka_unit_test(test_hand_over_loses_nobody),
        cmocka_unit_test(test_leader_stops_planned),
        cmocka_unit_test(test_leader_stops_at_once),
        cmocka_unit_test(test_stops_with_requests_under_way),
    };
    return cmocka_run_group_tests(tests, setup, fleet_tear_down);
}
