#include "tests/unit/server/helper_kafka_client.h"
#include "proto/kafka/errors.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WAIT_MS = 20000, SPACE_SIZE = 64 * 1024, ARENA_LIMIT = 16 * 1024 * 1024, LENGTH_SIZE = 4 };

/* ---- the stream ---- */

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct kafka_client *c = data;
    *into = c->space;
    *size = SPACE_SIZE;
}

static void on_read(void *data, ssize_t n)
{
    struct kafka_client *c = data;
    if (n > 0)
        bytes_append(&c->input, c->space, (size_t)n);
    else
        wire_ended(&c->wire, (int)n);
}

static const struct env_stream_callbacks callbacks = {on_alloc, on_read};

void kafka_client_open(struct kafka_client *c, struct env *env, uint16_t port)
{
    memset(c, 0, sizeof(*c));
    c->space = malloc(SPACE_SIZE);
    bytes_init(&c->input);
    bytes_init(&c->frame);
    arena_init(&c->arena, ARENA_LIMIT);
    wire_open(&c->wire, env, port, &callbacks, c);
}

void kafka_client_close(struct kafka_client *c)
{
    wire_close(&c->wire);
    arena_close(&c->arena);
    bytes_close(&c->frame);
    bytes_close(&c->input);
    free(c->space);
}

void kafka_client_send_bytes(struct kafka_client *c, const void *data, size_t size)
{
    wire_send(&c->wire, slice_copy(data, size));
}

/* ---- messages ---- */

int32_t kafka_client_send(struct kafka_client *c, int16_t key, int16_t version, const void *request)
{
    struct kafka_request_header header = {key, version, ++c->correlation, kafka_string_of("test")};
    struct bytes out;

    bytes_init(&out);
    bytes_put_u32(&out, 0);
    kafka_request_header_encode(&header, &out);
    assert_int_equal(kafka_encode(KAFKA_REQUEST, key, version, request, &out), 0);
    store_be32(out.data, (uint32_t)(out.size - LENGTH_SIZE));
    kafka_client_send_bytes(c, out.data, out.size);
    bytes_close(&out);
    return header.correlation_id;
}

static bool has_frame(void *data)
{
    struct kafka_client *c = data;
    return c->wire.ended ||
           (c->input.size >= LENGTH_SIZE && c->input.size - LENGTH_SIZE >= load_be32(c->input.data));
}

static void take_frame(struct kafka_client *c)
{
    wire_wait(&c->wire, has_frame, c);
    assert_false(c->wire.ended);
    size_t size = load_be32(c->input.data), all = LENGTH_SIZE + size;
    bytes_clear(&c->frame);
    bytes_append(&c->frame, c->input.data + LENGTH_SIZE, size);
    memmove(c->input.data, c->input.data + all, c->input.size - all);
    c->input.size -= all;
}

void kafka_client_wait(struct kafka_client *c, int32_t correlation, int16_t key, int16_t version,
                       void *response)
{
    int32_t answered;
    size_t head;

    take_frame(c);
    assert_int_equal(
        kafka_response_header_decode(key, version, c->frame.data, c->frame.size, &answered, &head), 0);
    assert_int_equal(answered, correlation);
    arena_reset(&c->arena);
    assert_int_equal(kafka_decode(KAFKA_RESPONSE, key, version, c->frame.data + head, c->frame.size - head,
                                  &c->arena, response),
                     0);
}

void kafka_client_call(struct kafka_client *c, int16_t key, int16_t version, const void *request,
                       void *response)
{
    kafka_client_wait(c, kafka_client_send(c, key, version, request), key, version, response);
}

void kafka_client_wait_end(struct kafka_client *c)
{
    wire_wait_end(&c->wire);
}

/* ---- topics ---- */

void kafka_client_need_topic(struct kafka_client *c, const char *name)
{
    struct kafka_metadata_request_topic topic = {{{0}}, kafka_string_of(name)};
    struct kafka_metadata_request request = kafka_metadata_request_default;
    struct kafka_metadata_response response;
    SET_ITEMS(request.topics, &topic, 1);
    do {
        kafka_client_call(c, KAFKA_API_METADATA, 9, &request, &response);
        assert_int_equal(response.topics.count, 1);
    } while (response.topics.items[0].error_code != KAFKA_ERR_NONE);
}

void kafka_client_create_topic(struct kafka_client *c, const char *name, int32_t partitions, int16_t replicas)
{
    struct kafka_create_topics_request_topic topic = kafka_create_topics_request_topic_default;
    struct kafka_create_topics_request request = kafka_create_topics_request_default;
    struct kafka_create_topics_response response;

    topic.name = kafka_string_of(name);
    topic.num_partitions = partitions;
    topic.replication_factor = replicas;
    SET_ITEMS(request.topics, &topic, 1);
    kafka_client_call(c, KAFKA_API_CREATE_TOPICS, 7, &request, &response);
    assert_int_equal(response.topics.items[0].error_code, KAFKA_ERR_NONE);
}

int32_t kafka_client_send_batch(struct kafka_client *c, int16_t version, const char *topic,
                                const struct bytes *batch, int16_t acks)
{
    struct kafka_produce_request_partition p = {0, {batch->data, (int32_t)batch->size}};
    struct kafka_produce_request_topic to = {kafka_string_of(topic), {&p, 1}};
    struct kafka_produce_request request = kafka_produce_request_default;

    request.acks = acks;
    request.timeout_ms = WAIT_MS;
    SET_ITEMS(request.topic_data, &to, 1);
    return kafka_client_send(c, KAFKA_API_PRODUCE, version, &request);
}
