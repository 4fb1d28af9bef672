#include "tests/sim/client.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "tests/sim/cluster.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000000, MAX_SLICES = 16, MAX_PENDING = 256 * 1024 };

struct client_connection {
    struct sim_client *client;
    uint32_t number;
    struct env_stream *stream;
    bool used;
    bool connected;
    bool closing;
    bool is_writing;
    int reason;
    struct env_write write;
};

/* ---- connections ---- */

static void on_closed(void *data)
{
    struct client_connection *c = data;
    int reason = c->reason;
    c->used = c->connected = c->closing = c->is_writing = false;
    c->stream = NULL;
    client_advance(c->client);
    core_disconnected(c->client->core, c->number, reason);
    client_wake(c->client);
}

static void fail(struct client_connection *c, int reason)
{
    if (c->closing)
        return;
    c->closing = true;
    c->reason = reason;
    env_stream_close(c->stream, on_closed, c);
}

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct client_connection *c = data;
    core_receive_buffer(c->client->core, c->number, into, size);
}

static void on_read(void *data, ssize_t n)
{
    struct client_connection *c = data;
    if (n < 0) {
        fail(c, n == ERR_CLOSED ? ERR_CONNECTION_LOST : (int)n);
        return;
    }
    client_advance(c->client);
    core_received(c->client->core, c->number, (size_t)n);
    client_wake(c->client);
}

static const struct env_stream_callbacks stream_callbacks = {on_alloc, on_read};

static void on_connected(void *data, struct env_stream *stream, int status)
{
    struct client_connection *c = data;
    (void)stream;
    if (c->closing)
        return;
    if (status != 0) {
        fail(c, status);
        return;
    }
    c->connected = true;
    client_advance(c->client);
    core_connected(c->client->core, c->number);
    if (!c->closing)
        env_stream_read_start(c->stream, &stream_callbacks, c);
    client_wake(c->client);
}

static struct client_connection *connection_get(struct sim_client *client, uint32_t number)
{
    struct client_connection *c = client->connections[number];
    if (c == NULL) {
        c = client->connections[number] = memory_zalloc(sizeof(*c));
        c->client = client;
        c->number = number;
    }
    return c;
}

static void io_connect(void *data, uint32_t number, const char *host, uint16_t port)
{
    struct sim_client *client = data;
    struct client_connection *c = connection_get(client, number);
    ASSERT(!c->used);
    c->used = true;
    int rv = env_connect(client->env, host, port, 5000 * (uint64_t)MS, &c->stream, on_connected, c);
    ASSERT(rv == 0);
}

static void io_output(void *data, uint32_t number)
{
    struct sim_client *client = data;
    client->outputs[number / 64] |= UINT64_C(1) << number % 64;
}

static void io_close(void *data, uint32_t number)
{
    struct sim_client *client = data;
    fail(client->connections[number], ERR_CLOSED);
}

/* ---- output ---- */

static void on_written(struct env_write *write, int status)
{
    struct client_connection *c = write->data;
    c->is_writing = false;
    if (status != 0) {
        fail(c, status);
        return;
    }
    io_output(c->client, c->number);
    client_wake(c->client);
}

/* What is written counts as sent, as when a kernel has taken it. */
static void flush(struct client_connection *c)
{
    struct core_slice slices[MAX_SLICES];
    if (!c->connected || c->closing || c->is_writing)
        return;
    size_t count = core_output(c->client->core, c->number, slices, MAX_SLICES), size = 0;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        size += slices[i].size;
    if (size > MAX_PENDING)
        size = MAX_PENDING;
    struct buf *copy = buf_create(size);
    size_t at = 0;
    for (size_t i = 0; i < count && at < size; i++) {
        size_t part = slices[i].size < size - at ? slices[i].size : size - at;
        memcpy(copy->data + at, slices[i].data, part);
        at += part;
    }
    struct slice slice = slice_of(copy, copy->data, size);
    buf_unref(copy);
    c->is_writing = true;
    c->write.data = c;
    int rv = env_stream_write(c->stream, &c->write, &slice, 1, on_written);
    if (rv != 0) {
        slice_unref(&slice);
        c->is_writing = false;
        fail(c, rv);
        return;
    }
    core_sent(c->client->core, c->number, size);
}

static void flush_all(struct sim_client *c)
{
    for (uint32_t word = 0; word < CORE_MAX_CONNECTIONS / 64; word++) {
        while (c->outputs[word] != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(c->outputs[word]);
            c->outputs[word] &= c->outputs[word] - 1;
            flush(c->connections[word * 64 + bit]);
        }
    }
}

static void on_timer(struct env_timer *timer)
{
    struct sim_client *c = container_of(timer, struct sim_client, timer);
    client_advance(c);
    client_wake(c);
}

static void on_turn(struct env_task *task)
{
    struct sim_client *c = container_of(task, struct sim_client, turn);
    client_advance(c);
    for (unsigned i = 0; i < c->user_count; i++)
        c->users[i].run(c->users[i].data);
    flush_all(c);
    uint64_t deadline = core_deadline(c->core), now = env_now_ns(c->env);
    if (deadline != UINT64_MAX)
        env_timer_start(c->env, &c->timer, deadline > now ? deadline - now : 0, on_timer);
    else
        env_timer_stop(c->env, &c->timer);
}

void client_wake(struct sim_client *c)
{
    env_defer(c->env, &c->turn, on_turn);
}

void client_advance(struct sim_client *c)
{
    core_advance(c->core, env_now_ns(c->env));
}

/* ---- life ---- */

static void read_options(struct sim_client *c, const char *const *options)
{
    struct flotilla_options *o = flotilla_options_create();
    char error[256];
    for (; options != NULL && *options != NULL; options += 2) {
        int rv = flotilla_options_set(o, options[0], options[1], error, sizeof(error));
        ASSERT(rv == 0);
    }
    client_settings_from(&c->settings, o);
    flotilla_options_destroy(o);
}

struct sim_client *client_create(struct sim *sim, struct sim_host *host, unsigned nodes,
                                 const char *const *options)
{
    struct sim_client *c = memory_zalloc(sizeof(*c));
    const struct core_io io = {.data = c, .connect = io_connect, .output = io_output, .close = io_close};
    c->sim = sim;
    c->host = host;
    c->env = sim_host_env(host);
    read_options(c, options);
    c->core = core_create(&c->settings, &io, env_random(c->env), env_now_ns(c->env));
    for (unsigned i = 0; i < nodes; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%u", i + 1);
        core_add_bootstrap(c->core, name, CLUSTER_CLIENT_PORT);
    }
    client_wake(c);
    return c;
}

void client_add_user(struct sim_client *c, void (*run)(void *data), void *data)
{
    ASSERT(c->user_count < CLIENT_USERS_MAX);
    c->users[c->user_count++] = (struct client_user){run, data};
}

uint64_t client_random(struct sim_client *c, uint64_t bound)
{
    return sim_random(c->sim, bound);
}

/* ---- calls ---- */

struct pending_call {
    struct client_call call;
    uint8_t *packed; /* without the topic's id, when that is still to come */
    size_t size;
};

/* The id is field 1 of every request that has one; protobuf takes fields in any order, so it may follow the
 * rest. */
static void pack(void *data, const uint8_t *topic_id, struct bytes *out)
{
    const struct pending_call *p = data;
    bytes_append(out, p->packed, p->size);
    if (!p->call.needs_topic_id)
        return;
    const unsigned char tag[2] = {(1 << 3) | 2, CORE_TOPIC_ID_SIZE};
    bytes_append(out, tag, sizeof(tag));
    bytes_append(out, topic_id, CORE_TOPIC_ID_SIZE);
}

static void on_call_end(void *data, int status, const char *message, const uint8_t *header, size_t size,
                        bool maybe_applied)
{
    struct pending_call *p = data;
    (void)message;
    p->call.cb(p->call.data, status, header, size, maybe_applied);
    free(p->packed);
    free(p);
}

void client_call(struct sim_client *c, const struct client_call *call)
{
    struct pending_call *p = memory_zalloc(sizeof(*p));
    p->call = *call;
    p->size = protobuf_c_message_get_packed_size(call->message);
    p->packed = memory_alloc(p->size + 1);
    protobuf_c_message_pack(call->message, p->packed);
    const struct core_call_options options = {.target = call->target,
                                              .topic = call->topic,
                                              .partition = call->partition,
                                              .group = call->group,
                                              .type = call->type,
                                              .timeout_ns = call->timeout_ns,
                                              .pack = pack,
                                              .cb = on_call_end,
                                              .data = p};
    client_advance(c);
    core_call(c->core, &options);
    client_wake(c);
}
