#include "node/server/native/native_connection.h"
#include "node/base/memory.h"
#include "node/server/group_front.h"
#include "node/server/native/dispatch.h"
#include "node/server/native/subscription.h"
#include "proto/error.h"

#define MS ((uint64_t)1000000)

static struct native_connection *native_of(struct connection *c)
{
    return container_of(c, struct native_connection, base);
}

static void on_hello_timeout(struct env_timer *timer)
{
    struct connection *c = container_of(timer, struct connection, timer);
    LOG_REFUSAL(c, "closed a connection that did not say HELLO", "peer=%s", env_stream_peer(c->stream));
    connection_fail(c, ERR_TIMED_OUT, "no HELLO came in time");
}

static void open(struct connection *base)
{
    struct native_connection *c = native_of(base);
    struct server *s = base->server;
    base->state = CONNECTION_NEW;
    frame_input_init(&base->input, &s->pool, NATIVE_HELLO_MAX_SIZE, NATIVE_HELLO_MAX_SIZE);
    queue_init(&c->requests);
    queue_init(&c->subscriptions);
    queue_init(&c->push_waiting);
    engine_connection_init(&c->members);
    env_timer_start(s->env, &base->timer, NATIVE_HELLO_TIMEOUT_MS * MS, on_hello_timeout);
}

static int next_frame(struct connection *base)
{
    struct client_frame frame;
    int rv = frame_input_next(&base->input, &frame);
    if (rv == 1)
        dispatch_frame(native_of(base), &frame);
    return rv;
}

static void say_why(struct connection *base, int error, const char *message)
{
    request_send_error(native_of(base), 0, error, message);
}

static void output_ready(struct connection *base)
{
    subscription_output_ready(native_of(base));
}

static void end_streams(struct connection *base, int error)
{
    subscription_end_all(native_of(base), error);
}

static void detach(struct connection *base)
{
    subscription_close_all(native_of(base));
    groups_connection_lost(group_front_groups(base->server->groups), &native_of(base)->members);
    request_detach_all(native_of(base));
}

const struct connection_protocol native_protocol = {
    .door = "client",
    .language = "native",
    .size = sizeof(struct native_connection),
    .open = open,
    .next_frame = next_frame,
    .foreign = frame_sniff_foreign,
    .say_why = say_why,
    .output_ready = output_ready,
    .end_streams = end_streams,
    .detach = detach,
};

void native_send(struct native_connection *c, uint16_t type, uint16_t flags, uint64_t correlation,
                 const ProtobufCMessage *header, struct slice *payload, unsigned payload_count)
{
    struct connection *base = &c->base;
    size_t payload_size = 0;
    for (unsigned i = 0; i < payload_count; i++)
        payload_size += payload[i].size;
    if (!connection_is_open(base)) {
        for (unsigned i = 0; i < payload_count; i++)
            slice_unref(&payload[i]);
        return;
    }
    size_t header_size = protobuf_c_message_get_packed_size(header);
    unsigned char *out = connection_gather_space(base, FRAME_HEAD_SIZE + header_size);
    frame_head_encode(out, type, flags, correlation, header_size, payload_size);
    protobuf_c_message_pack(header, out + FRAME_HEAD_SIZE);
    for (unsigned i = 0; i < payload_count; i++)
        connection_gather(base, payload[i]);
    connection_flush_later(base);
}
