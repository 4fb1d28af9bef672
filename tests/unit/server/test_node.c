/* One whole node, asked over its own port: each request, wrong requests, and what a restart keeps. */
#include "node/base/prng.h"
#include "proto/error.h"
#include "tests/unit/server/helper_fleet.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct fleet fleet;
static uint64_t seed;

static int setup(void **state)
{
    *state = &fleet;
    fleet_open(&fleet, 1, NULL);
    return 0;
}

static void start(struct client *c)
{
    client_start(c, fleet.env, node_client_port(fleet.nodes[0]));
}

#define TOPIC_ID(id)                                                                                         \
    (ProtobufCBinaryData)                                                                                    \
    {                                                                                                        \
        16, (uint8_t *)(uintptr_t)(id)                                                                       \
    }

/* ---- what works ---- */

static void test_metadata(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "metadata", 3, 1, id);
    char *names[] = {(char *)(uintptr_t) "metadata", (char *)(uintptr_t) "missing",
                     (char *)(uintptr_t) "bad name"};
    Flotilla__MetadataRequest request = FLOTILLA__METADATA_REQUEST__INIT;
    request.topics = names;
    request.n_topics = 3;
    Flotilla__MetadataResponse *m =
        client_call(&c, FRAME_METADATA, &request.base, NULL, 0, &flotilla__metadata_response__descriptor);
    assert_int_equal(m->n_nodes, 1);
    assert_string_equal(m->nodes[0]->host, "127.0.0.1");
    assert_int_equal(m->nodes[0]->port, node_client_port(fleet.nodes[0]));
    assert_true(m->nodes[0]->alive);
    assert_int_equal(m->controller_id, 1);
    assert_int_equal(m->n_topics, 3);
    assert_int_equal(m->topics[0]->n_partitions, 3);
    assert_int_equal(m->topics[0]->partitions[2]->leader_id, 1);
    assert_memory_equal(m->topics[0]->id.data, id, 16);
    assert_int_equal(m->topics[1]->status->error, ERR_UNKNOWN_TOPIC);
    assert_int_equal(m->topics[2]->status->error, ERR_INVALID_TOPIC);
    flotilla__metadata_response__free_unpacked(m, NULL);
    client_close(&c);
}

static Flotilla__MetadataResponse *ask_metadata(struct client *c, char *topic, uint64_t known_view)
{
    Flotilla__MetadataRequest request = FLOTILLA__METADATA_REQUEST__INIT;
    request.topics = &topic;
    request.n_topics = 1;
    request.known_view = known_view;
    Flotilla__MetadataResponse *m =
        client_call(c, FRAME_METADATA, &request.base, NULL, 0, &flotilla__metadata_response__descriptor);
    assert_int_equal(m->status->error, 0);
    return m;
}

struct settling {
    struct client *client;
    char *topic;
    uint64_t view;
};

/* Other topics may still be getting their leaders. */
static bool is_settled(void *data)
{
    struct settling *s = data;
    Flotilla__MetadataResponse *m = ask_metadata(s->client, s->topic, s->view);
    bool unchanged = m->unchanged;
    assert_true(m->view != 0 && m->version > 0);
    assert_int_equal(m->n_topics, unchanged ? 0 : 1);
    assert_int_equal(m->n_nodes, unchanged ? 0 : 1);
    if (unchanged)
        assert_int_equal(m->view, s->view);
    s->view = m->view;
    flotilla__metadata_response__free_unpacked(m, NULL);
    return unchanged;
}

static uint64_t settled_view(struct client *c, char *topic)
{
    struct settling s = {c, topic, 0};
    run_until(fleet.env, is_settled, &s, 10000);
    return s.view;
}

static void test_metadata_unchanged(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "quiet", 1, 1, id);
    uint64_t view = settled_view(&c, "quiet");

    create_topic(&c, "news", 1, 1, id);
    Flotilla__MetadataResponse *m = ask_metadata(&c, "quiet", view);
    assert_true(!m->unchanged && m->n_topics == 1 && m->n_nodes == 1);
    assert_true(m->view > view);
    flotilla__metadata_response__free_unpacked(m, NULL);

    m = ask_metadata(&c, "nowhere", 0); /* whether it will be there is not for a view to say */
    assert_int_equal(m->topics[0]->status->error, ERR_UNKNOWN_TOPIC);
    assert_int_equal(m->view, 0);
    flotilla__metadata_response__free_unpacked(m, NULL);
    client_close(&c);
}

static void test_produce_and_fetch(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    int64_t offset;
    start(&c);
    create_topic(&c, "records", 1, 1, id);
    assert_int_equal(produce(&c, id, 0, "value", 1000, -1, &offset), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(read_back(&c, id, 0, 0, "value"), 1000);
    assert_int_equal(produce(&c, id, 0, "more", 5, 1, &offset), 0);
    assert_int_equal(offset, 1000);
    assert_int_equal(read_back(&c, id, 0, 1000, "more"), 5);
    client_close(&c);
}

/* Many requests before the first answer: offsets must come in the order of the requests. */
static void test_pipeline_keeps_order(void **state)
{
    (void)state;
    enum { REQUESTS = 200 };
    struct client c;
    uint8_t id[16];
    uint64_t first = 0;
    start(&c);
    create_topic(&c, "pipeline", 1, 1, id);
    struct bytes batch;
    bytes_init(&batch);
    make_batch(&batch, "p", 3, env_wall_ms(fleet.env));
    Flotilla__ProduceRequest request = FLOTILLA__PRODUCE_REQUEST__INIT;
    request.topic_id = TOPIC_ID(id);
    request.acks = -1;
    for (int i = 0; i < REQUESTS; i++) {
        uint64_t correlation = client_send(&c, FRAME_PRODUCE, &request.base, batch.data, batch.size);
        first = first == 0 ? correlation : first;
    }
    for (uint64_t i = 0; i < REQUESTS; i++) {
        struct received *r = client_wait(&c, first + i);
        Flotilla__ProduceResponse *p = received_unpack(r, &flotilla__produce_response__descriptor);
        assert_int_equal(p->status->error, 0);
        assert_int_equal(p->base_offset, 3 * i);
        flotilla__produce_response__free_unpacked(p, NULL);
        received_free(r);
    }
    bytes_close(&batch);
    client_close(&c);
}

static int64_t list_offset(struct client *c, const uint8_t *id, int64_t timestamp_ms)
{
    Flotilla__ListOffsetRequest request = FLOTILLA__LIST_OFFSET_REQUEST__INIT;
    request.topic_id = TOPIC_ID(id);
    request.timestamp_ms = timestamp_ms;
    Flotilla__ListOffsetResponse *response = client_call(c, FRAME_LIST_OFFSET, &request.base, NULL, 0,
                                                         &flotilla__list_offset_response__descriptor);
    assert_int_equal(response->status->error, 0);
    int64_t offset = response->offset;
    flotilla__list_offset_response__free_unpacked(response, NULL);
    return offset;
}

static void test_list_offset_and_acks_none(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "offsets", 1, 1, id);
    assert_int_equal(list_offset(&c, id, -1), 0);
    struct bytes batch;
    bytes_init(&batch);
    make_batch(&batch, "p", 10, env_wall_ms(fleet.env));
    Flotilla__ProduceRequest request = FLOTILLA__PRODUCE_REQUEST__INIT;
    request.topic_id = TOPIC_ID(id);
    request.acks = 0;
    uint64_t unanswered = client_send(&c, FRAME_PRODUCE, &request.base, batch.data, batch.size);
    bytes_close(&batch);
    assert_int_equal(produce(&c, id, 0, "q", 2, -1, NULL), 0);
    assert_int_equal(list_offset(&c, id, -1), 12);
    assert_int_equal(list_offset(&c, id, -2), 0);
    assert_int_equal(list_offset(&c, id, 1000), 0);
    QUEUE_FOREACH (node, &c.received) {
        assert_int_not_equal(QUEUE_ENTRY(node, struct received, node)->head.correlation, unanswered);
    }
    client_close(&c);
}

static void subscribe(struct client *c, const uint8_t *id, uint32_t partition, uint64_t subscription,
                      int64_t offset, uint64_t credit, int expected)
{
    Flotilla__SubscribeRequest request = FLOTILLA__SUBSCRIBE_REQUEST__INIT;
    request.subscription = subscription;
    request.topic_id = TOPIC_ID(id);
    request.partition = partition;
    request.offset = offset;
    request.credit_bytes = credit;
    Flotilla__SubscribeResponse *response =
        client_call(c, FRAME_SUBSCRIBE, &request.base, NULL, 0, &flotilla__subscribe_response__descriptor);
    assert_int_equal(response->status->error, expected);
    flotilla__subscribe_response__free_unpacked(response, NULL);
}

/* Takes pushes until `count` records have come; returns the bytes they took. */
static size_t take_pushes(struct client *c, const char *prefix, unsigned next, unsigned count)
{
    size_t bytes = 0;
    while (next < count) {
        struct received *r = client_wait_type(c, FRAME_PUSH);
        Flotilla__Push *push = received_unpack(r, &flotilla__push__descriptor);
        assert_int_equal(push->status->error, 0);
        next = check_batches(&r->payload, prefix, next);
        assert_int_equal(push->next_offset, next);
        assert_true(push->high_watermark >= push->next_offset);
        bytes += r->payload.size;
        flotilla__push__free_unpacked(push, NULL);
        received_free(r);
    }
    assert_int_equal(next, count);
    return bytes;
}

static void assert_ends_with(struct client *c, uint64_t subscription, int error)
{
    struct received *r = client_wait_type(c, FRAME_PUSH);
    Flotilla__Push *push = received_unpack(r, &flotilla__push__descriptor);
    assert_int_equal(push->subscription, subscription);
    assert_int_equal(push->status->error, error);
    flotilla__push__free_unpacked(push, NULL);
    received_free(r);
}

static void test_subscribe(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "stream", 1, 1, id);
    subscribe(&c, id, 0, 5, 0, 1 << 20, 0);
    subscribe(&c, id, 0, 5, 0, 1 << 20, ERR_EXISTS);
    subscribe(&c, id, 0, 6, 100, 1 << 20, 0); /* beyond the end: told once leadership is confirmed */
    assert_ends_with(&c, 6, ERR_OFFSET_OUT_OF_RANGE);
    subscribe(&c, id, 0, 7, -1, 1 << 20, ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(produce(&c, id, 0, "s", 100, -1, NULL), 0);
    take_pushes(&c, "s", 0, 100);
    Flotilla__UnsubscribeRequest request = FLOTILLA__UNSUBSCRIBE_REQUEST__INIT;
    request.subscription = 5;
    for (int i = 0; i < 2; i++) {
        Flotilla__UnsubscribeResponse *response = client_call(&c, FRAME_UNSUBSCRIBE, &request.base, NULL, 0,
                                                              &flotilla__unsubscribe_response__descriptor);
        assert_int_equal(response->status->error, i == 0 ? 0 : ERR_NOT_FOUND);
        flotilla__unsubscribe_response__free_unpacked(response, NULL);
    }
    client_close(&c);
}

/* The node pushes no further than the credit, and goes on when there is more. */
static void test_credit_bounds_pushes(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "credit", 1, 1, id);
    for (int i = 0; i < 20; i++)
        assert_int_equal(produce(&c, id, 0, "c", 10, -1, NULL), 0);
    subscribe(&c, id, 0, 1, 0, 1, 0);
    assert_true(take_pushes(&c, "c", 0, 10) > 1); /* one batch: it may be larger than the credit */
    Flotilla__PingRequest ping = FLOTILLA__PING_REQUEST__INIT;
    Flotilla__PingResponse *pong =
        client_call(&c, FRAME_PING, &ping.base, NULL, 0, &flotilla__ping_response__descriptor);
    flotilla__ping_response__free_unpacked(pong, NULL);
    QUEUE_FOREACH (node, &c.received) {
        assert_int_not_equal(QUEUE_ENTRY(node, struct received, node)->head.type, FRAME_PUSH);
    }
    Flotilla__Credit credit = FLOTILLA__CREDIT__INIT;
    credit.subscription = 1;
    credit.bytes = UINT64_MAX;
    client_send(&c, FRAME_CREDIT, &credit.base, NULL, 0);
    for (int i = 1; i < 20;) { /* the batches all begin at c-0 */
        struct received *r = client_wait_type(&c, FRAME_PUSH);
        Flotilla__Push *push = received_unpack(r, &flotilla__push__descriptor);
        i = (int)push->next_offset / 10;
        flotilla__push__free_unpacked(push, NULL);
        received_free(r);
    }
    client_close(&c);
}

/* In one write, so that the node sees all before it answers any. Partition i gets subscription `first` + i.
 */
static void subscribe_together(struct client *c, const uint8_t *id, uint32_t partitions, uint64_t first)
{
    unsigned char bytes[512];
    size_t used = 0;
    Flotilla__SubscribeRequest request = FLOTILLA__SUBSCRIBE_REQUEST__INIT;
    request.topic_id = TOPIC_ID(id);
    request.credit_bytes = UINT64_MAX;
    for (uint32_t i = 0; i < partitions; i++) {
        request.partition = i;
        request.subscription = first + i;
        size_t header_size = flotilla__subscribe_request__get_packed_size(&request);
        assert_true(used + FRAME_HEAD_SIZE + header_size <= sizeof(bytes));
        frame_head_encode(bytes + used, FRAME_SUBSCRIBE, 0, ++c->correlation, header_size, 0);
        used += FRAME_HEAD_SIZE;
        used += flotilla__subscribe_request__pack(&request, bytes + used);
    }
    client_send_bytes(c, bytes, used);
}

/* Reads both partitions to their `total` records, and returns how far one was when the other was through. */
static int64_t read_two_streams(struct client *c, const uint8_t *id, uint64_t first, int64_t total)
{
    int64_t at[2] = {0, 0}, behind = -1;
    subscribe_together(c, id, 2, first);
    while (at[0] < total || at[1] < total) {
        struct received *r = client_wait_type(c, FRAME_PUSH);
        Flotilla__Push *push = received_unpack(r, &flotilla__push__descriptor);
        uint64_t stream = push->subscription - first;
        assert_int_equal(push->status->error, 0);
        assert_true(stream < 2);
        assert_true(r->payload.size <= 1024 * 1024);
        at[stream] = push->next_offset;
        if (push->next_offset == total && behind < 0)
            behind = at[1 - stream];
        flotilla__push__free_unpacked(push, NULL);
        received_free(r);
    }
    return behind;
}

/* Two long streams on one connection advance together, in pushes of bounded size: each has its own read
 * under way, and the end of a log comes faster, from the cache; but neither waits for the other to finish.
 * On a busy machine one's read may happen to wait as long as all of the other's take, but not each time. */
static void test_streams_take_turns(void **state)
{
    (void)state;
    enum { BATCHES = 80, RECORDS = 5000, TOTAL = BATCHES * RECORDS, ATTEMPTS = 20 };
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "turns", 2, 1, id);
    for (int i = 0; i < 2 * BATCHES; i++)
        assert_int_equal(produce(&c, id, (uint32_t)i % 2, "a-rather-long-value", RECORDS, -1, NULL), 0);
    bool together = false;
    for (uint64_t attempt = 0; attempt < ATTEMPTS && !together; attempt++)
        together = read_two_streams(&c, id, 2 * attempt, TOTAL) > TOTAL / 8;
    assert_true(together);
    client_close(&c);
}

static int call_status(struct client *c, uint16_t type, const ProtobufCMessage *request, char *message,
                       size_t message_size)
{
    Flotilla__PingResponse *response =
        client_call(c, type, request, NULL, 0, &flotilla__ping_response__descriptor);
    int error = response->status->error;
    if (message != NULL)
        snprintf(message, message_size, "%s", response->status->message);
    flotilla__ping_response__free_unpacked(response, NULL);
    return error;
}

static void test_committed_offsets(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "groups", 1, 1, id);
    Flotilla__CommitOffset commit = FLOTILLA__COMMIT_OFFSET__INIT, *commits = &commit;
    commit.topic_id = TOPIC_ID(id);
    commit.offset = 42;
    commit.metadata = (char *)(uintptr_t) "note";
    Flotilla__CommitOffsetsRequest request = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    request.group = (char *)(uintptr_t) "email";
    request.n_offsets = 1;
    request.offsets = &commits;
    assert_int_equal(call_status(&c, FRAME_COMMIT_OFFSETS, &request.base, NULL, 0), 0);
    Flotilla__FetchOffsetsRequest fetch = FLOTILLA__FETCH_OFFSETS_REQUEST__INIT;
    fetch.group = (char *)(uintptr_t) "email";
    Flotilla__FetchOffsetsResponse *response = client_call(&c, FRAME_FETCH_OFFSETS, &fetch.base, NULL, 0,
                                                           &flotilla__fetch_offsets_response__descriptor);
    assert_int_equal(response->status->error, 0);
    assert_int_equal(response->n_offsets, 1);
    assert_int_equal(response->offsets[0]->offset, 42);
    assert_string_equal(response->offsets[0]->metadata, "note");
    assert_memory_equal(response->offsets[0]->topic_id.data, id, 16);
    flotilla__fetch_offsets_response__free_unpacked(response, NULL);
    commit.offset = -1;
    assert_int_equal(call_status(&c, FRAME_COMMIT_OFFSETS, &request.base, NULL, 0), ERR_INVALID_ARGUMENT);
    client_close(&c);
}

static void test_init_producer(void **state)
{
    (void)state;
    struct client c;
    int64_t ids[2];
    start(&c);
    for (int i = 0; i < 2; i++) {
        Flotilla__InitProducerRequest request = FLOTILLA__INIT_PRODUCER_REQUEST__INIT;
        Flotilla__InitProducerResponse *response = client_call(
            &c, FRAME_INIT_PRODUCER, &request.base, NULL, 0, &flotilla__init_producer_response__descriptor);
        assert_int_equal(response->status->error, 0);
        ids[i] = response->producer_id;
        flotilla__init_producer_response__free_unpacked(response, NULL);
    }
    assert_int_not_equal(ids[0], ids[1]);
    client_close(&c);
}

static void test_topic_life(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    char message[256];
    start(&c);
    create_topic(&c, "life", 1, 1, id);
    Flotilla__CreateTopicRequest create = FLOTILLA__CREATE_TOPIC_REQUEST__INIT;
    create.name = (char *)(uintptr_t) "life";
    assert_int_equal(call_status(&c, FRAME_CREATE_TOPIC, &create.base, NULL, 0), ERR_TOPIC_EXISTS);
    create.name = (char *)(uintptr_t) "bad name";
    assert_int_equal(call_status(&c, FRAME_CREATE_TOPIC, &create.base, NULL, 0), ERR_INVALID_TOPIC);
    Flotilla__ConfigEntry entry = FLOTILLA__CONFIG_ENTRY__INIT, *entries = &entry;
    entry.name = (char *)(uintptr_t) "retention.mss";
    entry.value = (char *)(uintptr_t) "1000";
    Flotilla__AlterTopicRequest alter = FLOTILLA__ALTER_TOPIC_REQUEST__INIT;
    alter.name = (char *)(uintptr_t) "life";
    alter.n_config = 1;
    alter.config = &entries;
    assert_int_equal(call_status(&c, FRAME_ALTER_TOPIC, &alter.base, message, sizeof(message)),
                     ERR_INVALID_CONFIG);
    assert_non_null(strstr(message, "retention.ms"));
    entry.name = (char *)(uintptr_t) "retention.ms";
    alter.partitions = 2;
    assert_int_equal(call_status(&c, FRAME_ALTER_TOPIC, &alter.base, message, sizeof(message)), 0);
    Flotilla__DescribeTopicRequest describe = FLOTILLA__DESCRIBE_TOPIC_REQUEST__INIT;
    describe.name = (char *)(uintptr_t) "life";
    Flotilla__DescribeTopicResponse *d = client_call(&c, FRAME_DESCRIBE_TOPIC, &describe.base, NULL, 0,
                                                     &flotilla__describe_topic_response__descriptor);
    assert_int_equal(d->status->error, 0);
    assert_int_equal(d->n_partitions, 2);
    assert_int_equal(d->partitions[1]->n_in_sync, 1);
    bool found = false;
    for (size_t i = 0; i < d->n_config; i++)
        if (strcmp(d->config[i]->name, "retention.ms") == 0)
            found = strcmp(d->config[i]->value, "1000") == 0 && !d->config[i]->is_default;
    assert_true(found);
    flotilla__describe_topic_response__free_unpacked(d, NULL);
    Flotilla__DeleteTopicRequest delete = FLOTILLA__DELETE_TOPIC_REQUEST__INIT;
    delete.name = (char *)(uintptr_t) "life";
    assert_int_equal(call_status(&c, FRAME_DELETE_TOPIC, &delete.base, NULL, 0), 0);
    assert_int_equal(call_status(&c, FRAME_DESCRIBE_TOPIC, &describe.base, NULL, 0), ERR_UNKNOWN_TOPIC);
    client_close(&c);
}

static void test_cluster_status_and_control(void **state)
{
    (void)state;
    struct client c;
    start(&c);
    Flotilla__ClusterStatusRequest request = FLOTILLA__CLUSTER_STATUS_REQUEST__INIT;
    Flotilla__ClusterStatusResponse *s = client_call(&c, FRAME_CLUSTER_STATUS, &request.base, NULL, 0,
                                                     &flotilla__cluster_status_response__descriptor);
    assert_int_equal(s->status->error, 0);
    assert_int_equal(s->answered_by, 1);
    assert_int_equal(s->n_nodes, 1);
    assert_true(s->nodes[0]->leads > 0);
    assert_int_equal(s->nodes[0]->leads, s->partitions);
    assert_int_equal(s->leaderless, 0);
    flotilla__cluster_status_response__free_unpacked(s, NULL);
    Flotilla__NodeControlRequest control = FLOTILLA__NODE_CONTROL_REQUEST__INIT;
    control.log_level = (char *)(uintptr_t) "loud";
    assert_int_equal(call_status(&c, FRAME_NODE_CONTROL, &control.base, NULL, 0), ERR_INVALID_ARGUMENT);
    enum log_level before = logger_level(node_logger(fleet.nodes[0]));
    control.log_level = (char *)(uintptr_t) "warn";
    assert_int_equal(call_status(&c, FRAME_NODE_CONTROL, &control.base, NULL, 0), 0);
    assert_int_equal(logger_level(node_logger(fleet.nodes[0])), LOG_WARN);
    logger_set_level(node_logger(fleet.nodes[0]), before);
    client_close(&c);
}

/* ---- what is wrong ---- */

static int fetch_error(struct client *c, const uint8_t *id, size_t id_size, uint32_t partition,
                       int64_t offset)
{
    Flotilla__FetchRequest request = FLOTILLA__FETCH_REQUEST__INIT;
    request.topic_id = (ProtobufCBinaryData){id_size, (uint8_t *)(uintptr_t)id};
    request.partition = partition;
    request.offset = offset;
    return call_status(c, FRAME_FETCH, &request.base, NULL, 0);
}

static void test_wrong_requests(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16], unknown[16] = {1};
    start(&c);
    create_topic(&c, "wrong", 1, 1, id);
    assert_int_equal(fetch_error(&c, id, 3, 0, 0), ERR_INVALID_ARGUMENT);
    assert_int_equal(fetch_error(&c, unknown, 16, 0, 0), ERR_UNKNOWN_TOPIC);
    assert_int_equal(fetch_error(&c, id, 16, 1, 0), ERR_UNKNOWN_PARTITION);
    assert_int_equal(fetch_error(&c, id, 16, 0, 7), ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(fetch_error(&c, id, 16, 0, -7), ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(fetch_error(&c, id, 16, 0, 0), 0);
    Flotilla__ProduceRequest request = FLOTILLA__PRODUCE_REQUEST__INIT;
    request.topic_id = TOPIC_ID(id);
    request.acks = 2;
    assert_int_equal(call_status(&c, FRAME_PRODUCE, &request.base, NULL, 0), ERR_INVALID_ARGUMENT);
    request.acks = -1;
    assert_int_not_equal(call_status(&c, FRAME_PRODUCE, &request.base, NULL, 0), 0); /* no batch */
    struct bytes batch;
    bytes_init(&batch);
    make_batch(&batch, "x", 3, env_wall_ms(fleet.env));
    batch.data[batch.size - 1] ^= 1;
    Flotilla__PingResponse *response = client_call(&c, FRAME_PRODUCE, &request.base, batch.data, batch.size,
                                                   &flotilla__ping_response__descriptor);
    assert_int_equal(response->status->error, ERR_CORRUPT);
    assert_true(response->status->message[0] != '\0');
    flotilla__ping_response__free_unpacked(response, NULL);
    bytes_close(&batch);
    struct received *r = client_wait(&c, client_send(&c, 999, &request.base, NULL, 0));
    assert_int_equal(r->head.type, FRAME_ERROR); /* an unknown type is answered; the connection goes on */
    received_free(r);
    assert_int_equal(fetch_error(&c, id, 16, 0, 0), 0);
    client_close(&c);
}

/* A connection that breaks the rules hears why and is closed. */
static void expect_refusal(const void *bytes, size_t size, bool hello_first, int expected)
{
    struct client c;
    client_open(&c, fleet.env, node_client_port(fleet.nodes[0]));
    if (hello_first)
        assert_int_equal(client_hello(&c), 0);
    client_send_bytes(&c, bytes, size);
    struct received *r = expected != 0 ? client_wait_type(&c, FRAME_ERROR) : NULL;
    if (r != NULL) {
        Flotilla__PingResponse *response = received_unpack(r, &flotilla__ping_response__descriptor);
        assert_int_equal(response->status->error, expected);
        assert_true(strlen(response->status->message) > 10);
        flotilla__ping_response__free_unpacked(response, NULL);
        received_free(r);
    }
    client_wait_end(&c);
    client_close(&c);
}

static void test_broken_connections(void **state)
{
    (void)state;
    unsigned char head[FRAME_HEAD_SIZE];
    frame_head_encode(head, FRAME_PRODUCE, 0, 1, 0, (size_t)1 << 30);
    expect_refusal(head, sizeof(head), true, ERR_TOO_LARGE);
    frame_head_encode(head, FRAME_PRODUCE, 0, 1, 0, 20000);
    expect_refusal(head, sizeof(head), false, ERR_TOO_LARGE); /* before HELLO little is allowed */
    frame_head_encode(head, FRAME_PING, 0, 1, 0, 0);
    expect_refusal(head, sizeof(head), false, ERR_PROTOCOL); /* HELLO must be first */
    frame_head_encode(head, FRAME_PING, FRAME_RESPONSE, 1, 0, 0);
    expect_refusal(head, sizeof(head), true, ERR_PROTOCOL);
    frame_head_encode(head, FRAME_HELLO, 0, 1, 0, 0);
    expect_refusal(head, sizeof(head), true, ERR_PROTOCOL); /* twice */
    memset(head, 0, sizeof(head));
    expect_refusal(head, sizeof(head), true, ERR_PROTOCOL);
    expect_refusal("GET / HTTP/1.1\r\n\r\n", 18, false, 0);
}

static void test_hello_refusals(void **state)
{
    (void)state;
    static const struct {
        uint32_t min, max;
        const char *cluster;
        int error;
    } hellos[] = {{7, 9, "", ERR_UNSUPPORTED_VERSION},
                  {0, 0, "", ERR_UNSUPPORTED_VERSION},
                  {1, 9, "other", ERR_CLUSTER_MISMATCH}};
    for (size_t i = 0; i < 3; i++) {
        struct client c;
        client_open(&c, fleet.env, node_client_port(fleet.nodes[0]));
        Flotilla__HelloRequest hello = FLOTILLA__HELLO_REQUEST__INIT;
        hello.min_version = hellos[i].min;
        hello.max_version = hellos[i].max;
        hello.cluster_id = (char *)(uintptr_t)hellos[i].cluster;
        char message[256];
        assert_int_equal(call_status(&c, FRAME_HELLO, &hello.base, message, sizeof(message)),
                         hellos[i].error);
        assert_true(strlen(message) > 20);
        client_wait_end(&c);
        client_close(&c);
    }
}

/* Truncated and random headers for every request type: an answer or a closed connection, and the node lives.
 */
static void test_malformed_headers(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, seed);
    for (int round = 0; round < 60; round++) {
        struct client c;
        start(&c);
        for (uint16_t type = FRAME_METADATA; type <= FRAME_NODE_CONTROL; type++) {
            unsigned char bytes[FRAME_HEAD_SIZE + 64];
            size_t header_size = prng_below(&prng, 40), payload_size = prng_below(&prng, 24);
            if (type == FRAME_NODE_CONTROL || type == FRAME_DRAIN_NODE || type == FRAME_CREATE_TOPIC)
                continue; /* might by chance be understood, and do something */
            for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (unsigned char)(prng_below(&prng, 3) == 0 ? prng_next(&prng) : 0x0a);
            frame_head_encode(bytes, type, 0, 1000 + type, header_size, payload_size);
            client_send_bytes(&c, bytes, FRAME_HEAD_SIZE + header_size + payload_size);
        }
        Flotilla__PingRequest ping = FLOTILLA__PING_REQUEST__INIT;
        received_free(client_wait(&c, client_send(&c, FRAME_PING, &ping.base, NULL, 0)));
        client_close(&c);
    }
}

/* ---- ports, limits, restart ---- */

static void test_start_errors(void **state)
{
    (void)state;
    struct node *second;
    char message[1024];
    struct node_config config = fleet.configs[0];
    assert_int_equal(node_start(fleet.env, &config, &second, message, sizeof(message)), ERR_LOCKED);
    snprintf(config.data_dir, sizeof(config.data_dir), "%s/second", fleet.directory);
    config.client_port = node_client_port(fleet.nodes[0]);
    assert_int_equal(node_start(fleet.env, &config, &second, message, sizeof(message)), ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(message, "client-port"));
    config.client_port = 0;
    config.http_port = node_http_port(fleet.nodes[0]);
    assert_int_equal(node_start(fleet.env, &config, &second, message, sizeof(message)), ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(message, "http-port"));
    config.http_port = 0;
    config.peer_port = node_peer_port(fleet.nodes[0]);
    assert_int_equal(node_start(fleet.env, &config, &second, message, sizeof(message)), ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(message, "peer-port"));
}

static void test_restart_keeps_everything(void **state)
{
    (void)state;
    struct client c;
    uint8_t id[16];
    start(&c);
    create_topic(&c, "kept", 2, 1, id);
    assert_int_equal(produce(&c, id, 1, "k", 500, -1, NULL), 0);
    client_close(&c);
    for (int planned = 0; planned <= 1; planned++) {
        fleet_stop_node(&fleet, 0, planned);
        fleet_start_node(&fleet, 0);
        start(&c);
        assert_int_equal(find_leader(&c, "kept", 1, 0), 1);
        assert_int_equal(read_back(&c, id, 1, 0, "k"), 500);
        client_close(&c);
    }
}

static void limit_connections(struct node_config *config)
{
    config->max_connections = 2;
    config->connection_bytes = 64 * 1024;
    config->clients_bytes = 20 * 1024 * 1024;
}

static void test_connection_limit(void **state)
{
    (void)state;
    struct client a, b, refused;
    start(&a);
    start(&b);
    client_open(&refused, fleet.env, node_client_port(fleet.nodes[0]));
    struct received *r = client_wait_type(&refused, FRAME_ERROR);
    Flotilla__PingResponse *response = received_unpack(r, &flotilla__ping_response__descriptor);
    assert_int_equal(response->status->error, ERR_OVERLOADED);
    assert_non_null(strstr(response->status->message, "max-connections"));
    flotilla__ping_response__free_unpacked(response, NULL);
    received_free(r);
    client_wait_end(&refused);
    client_close(&refused);
    client_close(&b);
    client_close(&a);
}

static void send_part(struct client *c, size_t frame_size, size_t part)
{
    unsigned char *bytes = calloc(1, part);
    frame_head_encode(bytes, FRAME_PING, 0, 77, 0, frame_size - FRAME_HEAD_SIZE);
    client_send_bytes(c, bytes, part);
    free(bytes);
}

static bool all_sent(void *data)
{
    return env_stream_pending(((struct client *)data)->wire.stream) == 0;
}

/* Half-sent large frames share the node's bound: the one that goes over it is refused, the first may finish.
 */
static void test_half_frames_are_bounded(void **state)
{
    (void)state;
    enum { MIB = 1024 * 1024, FRAME = 17 * MIB, FIRST_PART = 6 * MIB };
    struct client first, second;
    start(&first);
    start(&second);
    send_part(&first, FRAME, FIRST_PART);
    run_until(fleet.env, all_sent, &first, 10000);
    send_part(&second, FRAME, FRAME - 1);
    struct received *r = client_wait_type(&second, FRAME_ERROR);
    Flotilla__PingResponse *response = received_unpack(r, &flotilla__ping_response__descriptor);
    assert_int_equal(response->status->error, ERR_OVERLOADED);
    flotilla__ping_response__free_unpacked(response, NULL);
    received_free(r);
    client_close(&second);
    unsigned char *rest = calloc(1, FRAME - FIRST_PART);
    client_send_bytes(&first, rest, FRAME - FIRST_PART);
    free(rest);
    received_free(client_wait(&first, 77));
    client_close(&first);
}

/* A client that sends without reading: the node stops reading from it, and goes on where it was when it reads
 * again. */
static void test_back_pressure(void **state)
{
    (void)state;
    enum { FETCHES = 400 };
    struct client c;
    uint8_t id[16];
    uint64_t first = 0;
    start(&c);
    create_topic(&c, "pressure", 1, 1, id);
    assert_int_equal(produce(&c, id, 0, "b", 5000, -1, NULL), 0);
    env_stream_read_stop(c.wire.stream);
    Flotilla__FetchRequest request = FLOTILLA__FETCH_REQUEST__INIT;
    request.topic_id = TOPIC_ID(id);
    for (int i = 0; i < FETCHES; i++) {
        uint64_t correlation = client_send(&c, FRAME_FETCH, &request.base, NULL, 0);
        first = first == 0 ? correlation : first;
    }
    env_stream_read_resume(c.wire.stream);
    for (uint64_t i = 0; i < FETCHES; i++) {
        struct received *r = client_wait(&c, first + i);
        assert_true(r->payload.size > 50000);
        received_free(r);
    }
    client_close(&c);
}

static int setup_limited(void **state)
{
    *state = &fleet;
    fleet_open(&fleet, 1, limit_connections);
    return 0;
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %" PRIu64 "\n", seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_metadata_unchanged),
        cmocka_unit_test(test_produce_and_fetch),
        cmocka_unit_test(test_pipeline_keeps_order),
        cmocka_unit_test(test_list_offset_and_acks_none),
        cmocka_unit_test(test_subscribe),
        cmocka_unit_test(test_credit_bounds_pushes),
        cmocka_unit_test(test_streams_take_turns),
        cmocka_unit_test(test_committed_offsets),
        cmocka_unit_test(test_init_producer),
        cmocka_unit_test(test_topic_life),
        cmocka_unit_test(test_cluster_status_and_control),
        cmocka_unit_test(test_wrong_requests),
        cmocka_unit_test(test_broken_connections),
        cmocka_unit_test(test_hello_refusals),
        cmocka_unit_test(test_malformed_headers),
        cmocka_unit_test(test_start_errors),
        cmocka_unit_test(test_restart_keeps_everything),
    };
    const struct CMUnitTest limited[] = {
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_half_frames_are_bounded),
        cmocka_unit_test(test_back_pressure),
    };
    int failed = cmocka_run_group_tests_name("one node", tests, setup, fleet_tear_down);
    return failed + cmocka_run_group_tests_name("limits", limited, setup_limited, fleet_tear_down);
}
