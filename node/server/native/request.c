#include "node/server/native/request.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

enum {
    /* A header may unpack to this much: bounds what a peer's repeated empty messages can take. */
    ARENA_LIMIT_BYTES = 16 * 1024 * 1024,
    /* A spare request keeps no more than this. */
    ARENA_SPARE_BYTES = 32 * 1024,
};

Flotilla__Status status_make(int error, const char *message)
{
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    status.error = error;
    if (message != NULL && message[0] != '\0')
        status.message = (char *)(uintptr_t)message;
    else if (error != 0)
        status.message = (char *)(uintptr_t)error_text(error);
    return status;
}

/* ---- life ---- */

static struct request *take_spare(struct server *s)
{
    if (queue_empty(&s->spare_requests))
        return NULL;
    struct request *r = QUEUE_ENTRY(queue_first(&s->spare_requests), struct request, node);
    queue_remove(&r->node);
    s->spare_count--;
    return r;
}

static void on_look(struct parked *p)
{
    struct request *r = container_of(p, struct request, parked);
    r->cancel = NULL;
    r->handle(r, r->message);
}

struct request *request_create(struct native_connection *c, const struct client_frame *frame,
                               size_t charged_bytes)
{
    struct server *s = c->base.server;
    struct request *r = take_spare(s);
    if (r == NULL) {
        r = memory_zalloc(sizeof(*r));
        arena_init(&r->arena, ARENA_LIMIT_BYTES);
    }
    r->server = s;
    r->connection = c;
    r->type = frame->head.type;
    r->correlation = frame->head.correlation;
    r->started_ns = env_clock_ns(s->env);
    r->charged_bytes = charged_bytes;
    r->payload = frame->payload;
    parking_arrive(s, &r->parked, on_look);
    queue_push(&c->requests, &r->node);
    connection_request_begun(&c->base, charged_bytes);
    s->live_requests++;
    return r;
}

static void recycle(struct request *r)
{
    struct server *s = r->server;
    if (s->spare_count == SERVER_SPARE_REQUESTS || r->arena.allocated_bytes > ARENA_SPARE_BYTES) {
        arena_close(&r->arena);
        free(r);
        return;
    }
    arena_reset(&r->arena);
    memset(r, 0, offsetof(struct request, arena));
    queue_push(&s->spare_requests, &r->node);
    s->spare_count++;
}

static void detach(struct request *r)
{
    struct native_connection *c = r->connection;
    if (c == NULL)
        return;
    queue_remove(&r->node);
    connection_request_ended(&c->base, r->charged_bytes);
    r->connection = NULL;
}

void request_finish(struct request *r)
{
    struct native_connection *c = r->connection;
    detach(r);
    r->server->live_requests--;
    slice_unref(&r->payload);
    request_drop_state(r);
    recycle(r);
    if (c != NULL)
        connection_request_done(&c->base);
}

static void on_gone_parked(struct request *r)
{
    parking_remove(&r->parked);
    request_finish(r);
}

void request_park(struct request *r, uint64_t group_id)
{
    r->cancel = on_gone_parked;
    parking_add(r->server, &r->parked, group_id);
}

void request_detach_all(struct native_connection *c)
{
    while (!queue_empty(&c->requests)) {
        struct request *r = QUEUE_ENTRY(queue_first(&c->requests), struct request, node);
        detach(r);
        if (r->cancel != NULL)
            r->cancel(r);
    }
}

void request_free_spare(struct server *s)
{
    struct request *r;
    while ((r = take_spare(s)) != NULL) {
        arena_close(&r->arena);
        free(r);
    }
}

void *request_state(struct request *r, size_t size)
{
    ASSERT(r->state == NULL);
    r->state = memory_zalloc(size);
    return r->state;
}

void request_drop_state(struct request *r)
{
    free(r->state);
    r->state = NULL;
}

void *request_array(struct request *r, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *array = arena_alloc(&r->arena, bytes);
    if (array != NULL)
        memset(array, 0, bytes);
    return array;
}

/* ---- answers ---- */

static void answer(struct request *r, const ProtobufCMessage *response, struct slice *payload,
                   unsigned payload_count)
{
    ASSERT(!r->answered);
    r->answered = true;
    if (r->connection != NULL && !r->silent) {
        native_send(r->connection, r->type, FRAME_RESPONSE, r->correlation, response, payload, payload_count);
        return;
    }
    for (unsigned i = 0; i < payload_count; i++)
        slice_unref(&payload[i]);
}

void request_respond_payload(struct request *r, const ProtobufCMessage *response, struct slice *payload,
                             unsigned payload_count)
{
    answer(r, response, payload, payload_count);
    request_finish(r);
}

void request_respond(struct request *r, const ProtobufCMessage *response)
{
    request_respond_payload(r, response, NULL, 0);
}

/* `Status status = 1` is the first field of every response, so this one stands for any of them. */
static Flotilla__PingResponse status_alone(const Flotilla__Status *status)
{
    Flotilla__PingResponse response = FLOTILLA__PING_RESPONSE__INIT;
    response.status = (Flotilla__Status *)(uintptr_t)status;
    return response;
}

static void answer_status(struct request *r, const Flotilla__Status *status)
{
    Flotilla__PingResponse response = status_alone(status);
    if (status->error != 0)
        r->server->counters.failed[r->type]++;
    answer(r, &response.base, NULL, 0);
}

void request_fail_status(struct request *r, const Flotilla__Status *status)
{
    answer_status(r, status);
    request_finish(r);
}

void request_fail(struct request *r, int error, const char *message)
{
    Flotilla__Status status = status_make(error, message);
    request_fail_status(r, &status);
}

void request_answer_early(struct request *r, int error, const char *message)
{
    Flotilla__Status status = status_make(error, message);
    answer_status(r, &status);
}

void request_send_error(struct native_connection *c, uint64_t correlation, int error, const char *message)
{
    Flotilla__Status status = status_make(error, message);
    Flotilla__PingResponse response = status_alone(&status);
    native_send(c, FRAME_ERROR, FRAME_RESPONSE, correlation, &response.base, NULL, 0);
}
