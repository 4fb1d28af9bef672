#include "tests/unit/server/helper_fleet.h"
#include "node/server/cluster_id.h"
#include "proto/batch.h"
#include "proto/error.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { READY_MS = 20000 };

/* ---- nodes ---- */

/* Ports that were free a moment ago, all different, and below those that the kernel gives to others. */
static void free_ports(uint16_t *ports, unsigned count)
{
    enum { FIRST = 12000, SPAN = 8000 };
    int sockets[FLEET_MAX];
    unsigned next = (unsigned)getpid() * 37u % SPAN;
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(sockets[i] >= 0);
        do {
            ports[i] = (uint16_t)(FIRST + next++ % SPAN);
            address.sin_port = htons(ports[i]);
        } while (bind(sockets[i], (struct sockaddr *)&address, sizeof(address)) != 0);
    }
    for (unsigned i = 0; i < count; i++)
        close(sockets[i]);
}

static void configure(struct fleet *f, unsigned index, const uint16_t *ports)
{
    struct node_config *c = &f->configs[index];
    config_defaults(c);
    c->node_id = index + 1;
    c->client_port = c->kafka_port = c->http_port = 0;
    c->http_off = f->sim != NULL; /* the HTTP library is not in the simulated network */
    c->log_level = getenv("FLEET_LOG") != NULL ? LOG_DEBUG : LOG_ERROR;
    c->offsets_partitions = 2;
    c->heartbeat_ms = 30;
    c->election_timeout_ms = 200;
    c->shutdown_timeout_ms = 1000;
    snprintf(c->data_dir, sizeof(c->data_dir), "%s/%u", f->directory, index + 1);
    if (f->count == 1)
        return;
    c->peer_count = f->count;
    for (unsigned i = 0; i < f->count; i++) {
        c->peers[i].id = i + 1;
        c->peers[i].port = ports[i];
        snprintf(c->peers[i].host, sizeof(c->peers[i].host), "%s",
                 f->sim != NULL ? sim_host_name(f->hosts[i]) : "127.0.0.1");
    }
    c->peer_port = ports[index];
}

void fleet_start_node(struct fleet *f, unsigned index)
{
    char message[1024] = "";
    if (node_start(fleet_env(f, index), &f->configs[index], &f->nodes[index], message, sizeof(message)) != 0)
        fail_msg("node %u: %s", index + 1, message);
}

static void wait_for_controller(struct fleet *f)
{
    struct client c;
    client_start(&c, f->env, node_client_port(f->nodes[0]));
    find_leader(&c, "__consumer_offsets", 0, 0);
    client_close(&c);
}

struct env *fleet_env(const struct fleet *f, unsigned index)
{
    return f->sim != NULL ? sim_host_env(f->hosts[index]) : f->env;
}

static void start_all(struct fleet *f, const uint16_t *ports, void (*adjust)(struct node_config *config))
{
    for (unsigned i = 0; i < f->count; i++) {
        configure(f, i, ports);
        if (adjust != NULL)
            adjust(&f->configs[i]);
        fleet_start_node(f, i);
    }
    wait_for_controller(f);
}

void fleet_open(struct fleet *f, unsigned count, void (*adjust)(struct node_config *config))
{
    uint16_t ports[FLEET_MAX];
    *f = (struct fleet){.count = count, .env = env_uv_create(0)};
    snprintf(f->directory, sizeof(f->directory), "/tmp/flotilla-fleet-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    free_ports(ports, count);
    start_all(f, ports, adjust);
}

void fleet_open_simulated(struct fleet *f, uint64_t seed, unsigned count,
                          void (*adjust)(struct node_config *config))
{
    static const uint16_t ports[FLEET_MAX] = {9292, 9292, 9292};
    static const char *const names[FLEET_MAX] = {"n1", "n2", "n3"};
    *f = (struct fleet){.sim = sim_create(seed), .count = count, .directory = "/fleet"};
    for (unsigned i = 0; i < count; i++) {
        f->hosts[i] = sim_host_create(f->sim, names[i]);
        assert_int_equal(env_dir_create(fleet_env(f, i), f->directory), 0);
    }
    f->env = fleet_env(f, 0);
    start_all(f, ports, adjust);
}

void fleet_kill_node(struct fleet *f, unsigned index)
{
    sim_host_kill(f->hosts[index]);
    f->nodes[index] = NULL;
}

static void on_stopped(void *data)
{
    *(bool *)data = true;
}

static bool is_true(void *data)
{
    return *(bool *)data;
}

void fleet_stop_node(struct fleet *f, unsigned index, bool planned)
{
    struct env *env = fleet_env(f, index);
    bool stopped = false;
    node_stop(f->nodes[index], planned, on_stopped, &stopped);
    f->nodes[index] = NULL;
    run_until(env, is_true, &stopped, READY_MS);
}

void fleet_close(struct fleet *f)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->nodes[i] != NULL)
            fleet_stop_node(f, i, false);
    if (f->sim != NULL) {
        sim_destroy(f->sim);
        return;
    }
    assert_int_equal(env_dir_remove(f->env, f->directory), 0);
    env_destroy(f->env);
}

int fleet_tear_down(void **state)
{
    fleet_close(*state);
    return 0;
}

/* ---- requests ---- */

void create_topic(struct client *c, const char *name, uint32_t partitions, uint32_t replicas, uint8_t id[16])
{
    Flotilla__CreateTopicRequest request = FLOTILLA__CREATE_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.partitions = partitions;
    request.replicas = replicas;
    request.timeout_ms = 15000;
    Flotilla__CreateTopicResponse *response = client_call(c, FRAME_CREATE_TOPIC, &request.base, NULL, 0,
                                                          &flotilla__create_topic_response__descriptor);
    if (response->status->error != 0)
        fail_msg("create topic: %s: %s", error_name(response->status->error), response->status->message);
    assert_int_equal(response->id.len, 16);
    memcpy(id, response->id.data, 16);
    flotilla__create_topic_response__free_unpacked(response, NULL);
}

struct leader_wait {
    struct client *client;
    char *topic;
    uint32_t partition;
    uint32_t not_node;
    uint32_t leader;
};

static bool ask_leader(void *data)
{
    struct leader_wait *w = data;
    Flotilla__MetadataRequest request = FLOTILLA__METADATA_REQUEST__INIT;
    request.n_topics = 1;
    request.topics = &w->topic;
    Flotilla__MetadataResponse *response = client_call(w->client, FRAME_METADATA, &request.base, NULL, 0,
                                                       &flotilla__metadata_response__descriptor);
    assert_int_equal(response->status->error, 0);
    assert_int_equal(response->n_topics, 1);
    const Flotilla__TopicInfo *topic = response->topics[0];
    w->leader = w->partition < topic->n_partitions ? topic->partitions[w->partition]->leader_id : 0;
    flotilla__metadata_response__free_unpacked(response, NULL);
    return w->leader != 0 && w->leader != w->not_node;
}

uint32_t find_leader(struct client *c, const char *topic, uint32_t partition, uint32_t not_node)
{
    struct leader_wait w = {c, (char *)(uintptr_t)topic, partition, not_node, 0};
    run_until(c->wire.env, ask_leader, &w, READY_MS);
    return w.leader;
}

int produce(struct client *c, const uint8_t id[16], uint32_t partition, const char *prefix, unsigned count,
            int acks, int64_t *base_offset)
{
    Flotilla__ProduceRequest request = FLOTILLA__PRODUCE_REQUEST__INIT;
    struct bytes batch;
    bytes_init(&batch);
    make_batch(&batch, prefix, count, env_wall_ms(c->wire.env));
    request.topic_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)id};
    request.partition = partition;
    request.acks = acks;
    request.timeout_ms = 10000;
    Flotilla__ProduceResponse *response = client_call(c, FRAME_PRODUCE, &request.base, batch.data, batch.size,
                                                      &flotilla__produce_response__descriptor);
    int error = response->status->error;
    if (error == 0)
        assert_int_equal(response->durability, acks);
    if (base_offset != NULL)
        *base_offset = response->base_offset;
    flotilla__produce_response__free_unpacked(response, NULL);
    bytes_close(&batch);
    return error;
}

/* ---- records ---- */

static unsigned check_batch(const unsigned char *data, size_t size, const char *prefix, unsigned next)
{
    struct batch_reader reader;
    struct record record;
    int rv;
    assert_int_equal(batch_reader_init(&reader, data, size, 1 << 20), 0);
    while ((rv = batch_reader_next(&reader, &record)) == 1) {
        char expected[64];
        int expected_size = snprintf(expected, sizeof(expected), "%s-%u", prefix, next++);
        assert_int_equal(record.value_size, expected_size);
        assert_memory_equal(record.value, expected, record.value_size);
    }
    assert_int_equal(rv, 0);
    batch_reader_close(&reader);
    return next;
}

unsigned check_batches(const struct slice *payload, const char *prefix, unsigned next)
{
    for (size_t at = 0; at < payload->size;) {
        struct batch_header header;
        assert_int_equal(batch_header_decode(payload->data + at, payload->size - at, 1 << 20, &header), 0);
        assert_true(header.size <= payload->size - at);
        assert_true(batch_crc_ok(payload->data + at, &header));
        next = check_batch(payload->data + at, header.size, prefix, next);
        at += header.size;
    }
    return next;
}

unsigned read_back(struct client *c, const uint8_t id[16], uint32_t partition, int64_t offset,
                   const char *prefix)
{
    Flotilla__FetchRequest request = FLOTILLA__FETCH_REQUEST__INIT;
    request.topic_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)id};
    request.partition = partition;
    request.max_bytes = 4096;
    unsigned next = 0;
    for (bool more = true; more;) {
        request.offset = offset;
        struct received *r = client_wait(c, client_send(c, FRAME_FETCH, &request.base, NULL, 0));
        Flotilla__FetchResponse *response = received_unpack(r, &flotilla__fetch_response__descriptor);
        if (response->status->error != 0)
            fail_msg("fetch: %s", response->status->message);
        next = check_batches(&r->payload, prefix, next);
        offset = response->next_offset;
        more = offset < response->high_watermark;
        flotilla__fetch_response__free_unpacked(response, NULL);
        received_free(r);
    }
    return next;
}
