#include "tests/unit/server/helper_kafka_client.h"
#include "tests/unit/server/helper_client.h"
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
    if (n > 0) {
        bytes_append(&c->input, c->space, (size_t)n);
        return;
    }
    c->ended = true;
    c->status = (int)n;
}

static const struct env_stream_callbacks callbacks = {on_alloc, on_read};

static void on_connected(void *data, struct env_stream *stream, int status)
{
    struct kafka_client *c = data;
    c->connected = true;
    c->status = status;
    if (status == 0)
        env_stream_read_start(stream, &callbacks, c);
}

static bool is_connected(void *data)
{
    return ((struct kafka_client *)data)->connected;
}

void kafka_client_open(struct kafka_client *c, struct env *env, uint16_t port)
{
    memset(c, 0, sizeof(*c));
    c->env = env;
    c->space = malloc(SPACE_SIZE);
    bytes_init(&c->input);
    bytes_init(&c->frame);
    arena_init(&c->arena, ARENA_LIMIT);
    assert_int_equal(env_connect(env, "127.0.0.1", port, (uint64_t)5000000000, &c->stream, on_connected, c),
                     0);
    run_until(env, is_connected, c, WAIT_MS);
    assert_int_equal(c->status, 0);
}

static void on_closed(void *data)
{
    ((struct kafka_client *)data)->closed = true;
}

static bool is_closed(void *data)
{
    return ((struct kafka_client *)data)->closed;
}

void kafka_client_close(struct kafka_client *c)
{
    env_stream_close(c->stream, on_closed, c);
    run_until(c->env, is_closed, c, WAIT_MS);
    arena_close(&c->arena);
    bytes_close(&c->frame);
    bytes_close(&c->input);
    free(c->space);
}

static void on_written(struct env_write *req, int status)
{
    (void)status;
    free(req);
}

void kafka_client_send_bytes(struct kafka_client *c, const void *data, size_t size)
{
    struct slice slice = slice_copy(data, size);
    struct env_write *req = calloc(1, sizeof(*req));
    if (env_stream_write(c->stream, req, &slice, 1, on_written) != 0) {
        slice_unref(&slice);
        free(req);
    }
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
    return c->ended ||
           (c->input.size >= LENGTH_SIZE && c->input.size - LENGTH_SIZE >= load_be32(c->input.data));
}

static void take_frame(struct kafka_client *c)
{
    run_until(c->env, has_frame, c, WAIT_MS);
    assert_false(c->ended);
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

static bool has_ended(void *data)
{
    return ((struct kafka_client *)data)->ended;
}

void kafka_client_wait_end(struct kafka_client *c)
{
    run_until(c->env, has_ended, c, WAIT_MS);
}
