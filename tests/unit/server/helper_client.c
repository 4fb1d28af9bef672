#include "tests/unit/server/helper_client.h"
#include "proto/batch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the stream ---- */

static void keep(struct client *c, struct client_frame *frame)
{
    struct received *r = calloc(1, sizeof(*r));
    r->head = frame->head;
    r->header = malloc(frame->head.header_length + 1);
    memcpy(r->header, frame->header, frame->head.header_length);
    r->payload = frame->payload;
    queue_push(&c->received, &r->node);
}

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct client *c = data;
    frame_input_space(&c->input, into, size);
}

static void on_read(void *data, ssize_t n)
{
    struct client *c = data;
    struct client_frame frame;
    int rv;
    if (n < 0) {
        wire_ended(&c->wire, (int)n);
        return;
    }
    frame_input_filled(&c->input, (size_t)n);
    while ((rv = frame_input_next(&c->input, &frame)) == 1)
        keep(c, &frame);
    assert_int_equal(rv, 0);
    frame_input_settle(&c->input);
}

static const struct env_stream_callbacks callbacks = {on_alloc, on_read};

void client_open(struct client *c, struct env *env, uint16_t port)
{
    memset(c, 0, sizeof(*c));
    queue_init(&c->received);
    read_pool_init(&c->pool);
    frame_input_init(&c->input, &c->pool, FRAME_MAX_SIZE, FRAME_MAX_HEADER_SIZE);
    wire_open(&c->wire, env, port, &callbacks, c);
}

void client_close(struct client *c)
{
    wire_close(&c->wire);
    while (!queue_empty(&c->received)) {
        struct received *r = QUEUE_ENTRY(queue_first(&c->received), struct received, node);
        queue_remove(&r->node);
        received_free(r);
    }
    frame_input_close(&c->input);
    read_pool_close(&c->pool);
}

void client_send_bytes(struct client *c, const void *data, size_t size)
{
    wire_send(&c->wire, slice_copy(data, size));
}

uint64_t client_send(struct client *c, uint16_t type, const ProtobufCMessage *header, const void *payload,
                     size_t size)
{
    size_t header_size = protobuf_c_message_get_packed_size(header);
    struct buf *buf = buf_create(FRAME_HEAD_SIZE + header_size + size);
    frame_head_encode(buf->data, type, 0, ++c->correlation, header_size, size);
    protobuf_c_message_pack(header, buf->data + FRAME_HEAD_SIZE);
    if (size > 0)
        memcpy(buf->data + FRAME_HEAD_SIZE + header_size, payload, size);
    wire_send(&c->wire, (struct slice){buf, buf->data, buf->capacity});
    return c->correlation;
}

/* ---- what came back ---- */

struct wanted {
    struct client *client;
    uint64_t correlation;
    uint16_t type; /* 0: any */
    struct received *found;
};

static bool look(void *data)
{
    struct wanted *w = data;
    QUEUE_FOREACH (node, &w->client->received) {
        struct received *r = QUEUE_ENTRY(node, struct received, node);
        if (w->type != 0 ? r->head.type == w->type : r->head.correlation == w->correlation) {
            w->found = r;
            queue_remove(&r->node);
            return true;
        }
    }
    if (w->client->wire.ended)
        fail_msg("the node closed the connection before it answered");
    return false;
}

struct received *client_wait(struct client *c, uint64_t correlation)
{
    struct wanted w = {.client = c, .correlation = correlation};
    wire_wait(&c->wire, look, &w);
    return w.found;
}

struct received *client_wait_type(struct client *c, uint16_t type)
{
    struct wanted w = {.client = c, .type = type};
    wire_wait(&c->wire, look, &w);
    return w.found;
}

void client_wait_end(struct client *c)
{
    wire_wait_end(&c->wire);
}

void received_free(struct received *r)
{
    slice_unref(&r->payload);
    free(r->header);
    free(r);
}

void *received_unpack(const struct received *r, const ProtobufCMessageDescriptor *descriptor)
{
    void *message = protobuf_c_message_unpack(descriptor, NULL, r->head.header_length, r->header);
    assert_non_null(message);
    return message;
}

void *client_call(struct client *c, uint16_t type, const ProtobufCMessage *request, const void *payload,
                  size_t size, const ProtobufCMessageDescriptor *response)
{
    struct received *r = client_wait(c, client_send(c, type, request, payload, size));
    assert_int_equal(r->head.type, type);
    assert_true(r->head.flags & FRAME_RESPONSE);
    void *message = received_unpack(r, response);
    received_free(r);
    return message;
}

int client_hello(struct client *c)
{
    Flotilla__HelloRequest hello = FLOTILLA__HELLO_REQUEST__INIT;
    hello.min_version = FRAME_PROTOCOL_MIN;
    hello.max_version = FRAME_PROTOCOL_MAX;
    Flotilla__HelloResponse *response =
        client_call(c, FRAME_HELLO, &hello.base, NULL, 0, &flotilla__hello_response__descriptor);
    int error = response->status->error;
    flotilla__hello_response__free_unpacked(response, NULL);
    return error;
}

void client_start(struct client *c, struct env *env, uint16_t port)
{
    client_open(c, env, port);
    assert_int_equal(client_hello(c), 0);
}

void make_batch(struct bytes *out, const char *prefix, unsigned count, int64_t timestamp_ms)
{
    struct batch_builder builder;
    const struct batch_options options = {
        .codec = BATCH_NONE, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    batch_builder_init(&builder);
    for (unsigned i = 0; i < count; i++) {
        char value[64];
        int size = snprintf(value, sizeof(value), "%s-%u", prefix, i);
        batch_builder_add(&builder, timestamp_ms + i, NULL, 0, value, (size_t)size, NULL, 0);
    }
    assert_int_equal(batch_builder_finish(&builder, &options, out), 0);
    batch_builder_close(&builder);
}
