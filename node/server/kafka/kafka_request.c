#include "node/server/kafka/kafka_request.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/server/kafka/dispatch.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* A request and its answer may take this much besides the frame and the records. */
    ARENA_LIMIT_BYTES = 32 * 1024 * 1024,
    /* A spare request keeps no more than this. */
    ARENA_SPARE_BYTES = 32 * 1024,
    /* Even the smallest request costs its struct and an arena's block. */
    CHARGE_MIN_BYTES = 1024,
    /* An answer up to this size is copied into the turn's buffer. */
    SMALL_ANSWER_BYTES = 2048,
    SCRATCH_KEEP_BYTES = 256 * 1024,
    LENGTH_SIZE = 4,
};

/* ---- life ---- */

static struct kafka_request *take_spare(struct kafka_front *k)
{
    if (queue_empty(&k->spare_requests))
        return NULL;
    struct kafka_request *r = QUEUE_ENTRY(queue_first(&k->spare_requests), struct kafka_request, node);
    queue_remove(&r->node);
    k->spare_count--;
    return r;
}

void kafka_request_create(struct kafka_connection *c, struct slice frame)
{
    struct server *s = c->base.server;
    struct kafka_request *r = take_spare(s->kafka);
    if (r == NULL) {
        r = memory_zalloc(sizeof(*r));
        arena_init(&r->arena, ARENA_LIMIT_BYTES);
    }
    r->server = s;
    r->connection = c;
    r->frame = frame;
    r->started_ns = env_clock_ns(s->env);
    r->charged_bytes = frame.size < CHARGE_MIN_BYTES ? CHARGE_MIN_BYTES : frame.size;
    queue_push(&c->waiting, &r->node);
    connection_request_begun(&c->base, r->charged_bytes);
    s->live_requests++;
}

static void recycle(struct kafka_request *r)
{
    struct kafka_front *k = r->server->kafka;
    if (k->spare_count == KAFKA_SPARE_REQUESTS || r->arena.allocated_bytes > ARENA_SPARE_BYTES) {
        arena_close(&r->arena);
        free(r);
        return;
    }
    arena_reset(&r->arena);
    memset(r, 0, offsetof(struct kafka_request, arena));
    queue_push(&k->spare_requests, &r->node);
    k->spare_count++;
}

void kafka_request_free_spare(struct kafka_front *k)
{
    struct kafka_request *r;
    while ((r = take_spare(k)) != NULL) {
        arena_close(&r->arena);
        free(r);
    }
}

static void drop_answer(struct kafka_request *r)
{
    for (unsigned i = 0; i < r->answer_count; i++)
        slice_unref(&r->answer[i]);
    free(r->answer);
    r->answer = NULL;
    r->answer_count = 0;
}

static void detach(struct kafka_request *r)
{
    struct kafka_connection *c = r->connection;
    queue_remove(&r->node);
    if (r->begun && !kafka_request_is_produce(r))
        c->running_others--;
    connection_request_ended(&c->base, r->charged_bytes);
    r->connection = NULL;
}

static void finish(struct kafka_request *r)
{
    struct kafka_connection *c = r->connection;
    if (c != NULL)
        detach(r);
    r->server->live_requests--;
    drop_answer(r);
    slice_unref(&r->frame);
    free(r->state);
    recycle(r);
    if (c != NULL)
        connection_request_done(&c->base);
}

static void detach_queue(struct queue *q)
{
    while (!queue_empty(q)) {
        struct kafka_request *r = QUEUE_ENTRY(queue_first(q), struct kafka_request, node);
        bool is_done = r->answered || !r->begun;
        detach(r);
        if (is_done)
            finish(r);
        else if (r->cancel != NULL)
            r->cancel(r);
    }
}

void kafka_request_detach_all(struct kafka_connection *c)
{
    detach_queue(&c->running);
    detach_queue(&c->waiting);
}

void kafka_request_end_waits(struct kafka_connection *c)
{
    for (struct queue *node = queue_first(&c->running), *next; node != &c->running; node = next) {
        struct kafka_request *r = QUEUE_ENTRY(node, struct kafka_request, node);
        next = node->next;
        if (!r->answered && r->end_wait != NULL)
            r->end_wait(r);
    }
}

bool kafka_request_is_produce(const struct kafka_request *r)
{
    return load_be16(r->frame.data) == KAFKA_API_PRODUCE;
}

void kafka_request_begin(struct kafka_request *r)
{
    struct kafka_connection *c = r->connection;
    queue_remove(&r->node);
    queue_push(&c->running, &r->node);
    r->begun = true;
    if (!kafka_request_is_produce(r))
        c->running_others++;
    kafka_dispatch(r);
}

/* ---- for handlers ---- */

void *kafka_request_state(struct kafka_request *r, size_t size)
{
    ASSERT(r->state == NULL);
    r->state = memory_zalloc(size);
    return r->state;
}

void kafka_request_charge(struct kafka_request *r, size_t bytes)
{
    if (r->connection == NULL)
        return;
    r->charged_bytes += bytes;
    r->connection->base.charged_bytes += bytes;
}

const char *kafka_request_text(struct kafka_request *r, struct kafka_string text)
{
    size_t size = text.size > 0 ? (size_t)text.size : 0;
    if (size > 0 && memchr(text.data, '\0', size) != NULL)
        return NULL;
    return arena_strndup(&r->arena, size > 0 ? text.data : "", size);
}

/* ---- answers ---- */

static void set_answered(struct kafka_request *r)
{
    ASSERT(!r->answered);
    r->answered = true;
    if (r->connection == NULL)
        finish(r);
    else
        kafka_connection_advance(r->connection);
}

void kafka_finish_silently(struct kafka_request *r)
{
    set_answered(r);
}

/* Where records belong in an encoded answer. */
struct gaps {
    struct arena *arena;
    struct gap {
        size_t position, size;
    } * items;
    unsigned count, capacity;
    bool full;
};

static bool grow(struct gaps *g)
{
    unsigned capacity = g->capacity == 0 ? 16 : g->capacity * 2;
    struct gap *items = arena_alloc(g->arena, capacity * sizeof(*items));
    if (items == NULL)
        return false;
    if (g->count > 0)
        memcpy(items, g->items, g->count * sizeof(*items));
    g->items = items;
    g->capacity = capacity;
    return true;
}

static void on_gap(void *data, size_t position, struct kafka_bytes records)
{
    struct gaps *g = data;
    if (records.size <= 0)
        return;
    if (g->count == g->capacity && !grow(g)) {
        g->full = true;
        return;
    }
    g->items[g->count++] = (struct gap){position, (size_t)records.size};
}

/* Header and body. */
static int encode(struct kafka_request *r, const void *response, struct gaps *g, struct slice *encoded)
{
    struct bytes *out = &r->server->kafka->scratch;
    const struct kafka_request_header *h = &r->header;
    bytes_clear(out);
    kafka_response_header_encode(h->api_key, h->api_version, h->correlation_id, out);
    int status = kafka_encode_with_gaps(KAFKA_RESPONSE, h->api_key, h->api_version, response, out, on_gap, g);
    if (status == 0 && g->full)
        status = ERR_TOO_LARGE;
    *encoded = status == 0 ? slice_copy(out->data, out->size) : slice_none();
    if (out->capacity > SCRATCH_KEEP_BYTES) {
        bytes_close(out);
        bytes_init(out);
    }
    return status;
}

/* Takes pieces until they make up the gap; returns how many. */
static unsigned take_pieces(struct kafka_request *r, const struct gap *gap, struct slice *pieces)
{
    unsigned n = 0;
    for (size_t left = gap->size; left > 0; n++) {
        ASSERT(pieces[n].size <= left);
        left -= pieces[n].size;
        r->answer[r->answer_count++] = pieces[n];
    }
    return n;
}

static void interleave(struct kafka_request *r, struct slice encoded, const struct gaps *g,
                       struct slice *pieces)
{
    size_t at = 0;
    for (unsigned i = 0; i < g->count; i++) {
        r->answer[r->answer_count++] = slice_sub(encoded, at, g->items[i].position - at);
        pieces += take_pieces(r, &g->items[i], pieces);
        at = g->items[i].position;
    }
    if (at < encoded.size)
        r->answer[r->answer_count++] = slice_sub(encoded, at, encoded.size - at);
    slice_unref(&encoded);
}

void kafka_respond_with_records(struct kafka_request *r, const void *response, struct slice *pieces,
                                unsigned count)
{
    struct gaps g = {.arena = &r->arena};
    struct slice encoded = slice_none();
    int status = r->connection != NULL ? encode(r, response, &g, &encoded) : ERR_CLOSED;
    if (status == 0) {
        r->answer = memory_alloc((count + g.count + 1) * sizeof(r->answer[0]));
        interleave(r, encoded, &g, pieces);
        set_answered(r);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        slice_unref(&pieces[i]);
    if (r->connection != NULL)
        kafka_refuse(r, error_text(status));
    else
        set_answered(r);
}

void kafka_respond(struct kafka_request *r, const void *response)
{
    kafka_respond_with_records(r, response, NULL, 0);
}

void kafka_refuse(struct kafka_request *r, const char *reason)
{
    struct kafka_connection *c = r->connection;
    r->server->kafka->malformed++;
    if (c != NULL) {
        const struct kafka_api *api = kafka_api_find(r->header.api_key);
        LOG_REFUSAL(&c->base, "closed a Kafka connection because of its request",
                    "peer=%s api=%s key=%d version=%d reason=\"%s\"", env_stream_peer(c->base.stream),
                    api != NULL ? api->name : "unknown", r->header.api_key, r->header.api_version, reason);
        r->answered = true; /* ends with the connection */
        connection_close(&c->base);
        return;
    }
    set_answered(r);
}

void kafka_refuse_too_large(struct kafka_request *r)
{
    kafka_refuse(r, "the answer would be too large");
}

static void send_pieces(struct connection *c, struct kafka_request *r, size_t size)
{
    struct slice *head = &r->answer[0];
    bool small = head->size <= SMALL_ANSWER_BYTES;
    unsigned char *out = connection_gather_space(c, LENGTH_SIZE + (small ? head->size : 0));
    store_be32(out, (uint32_t)size);
    if (small)
        memcpy(out + LENGTH_SIZE, head->data, head->size);
    for (unsigned i = small ? 1 : 0; i < r->answer_count; i++) {
        connection_gather(c, r->answer[i]);
        r->answer[i] = slice_none();
    }
    connection_flush_later(c);
}

void kafka_request_send(struct kafka_request *r)
{
    size_t size = 0;
    for (unsigned i = 0; i < r->answer_count; i++)
        size += r->answer[i].size;
    if (r->answer_count > 0)
        send_pieces(&r->connection->base, r, size);
    finish(r);
}
