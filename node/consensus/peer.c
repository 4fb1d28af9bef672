#include "node/consensus/peer.h"
#include "node/consensus/consensus_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKOFF_MIN_MS = 10,
    BACKOFF_MAX_MS = 500,
    CONNECT_TIMEOUT_MS = 2000,
    GREETING_TIMEOUT_MS = 2000,
    PING_INTERVAL_MS = 500,
    PING_TIMEOUT_MS = 3000, /* a half-open link: the other host is gone without a word */
    HEADS_SIZE = 64 * 1024,
};

static void peer_connect(struct peer *p);
static void on_timer(struct env_timer *timer);

static struct env *env_of(const struct peer *p)
{
    return p->consensus->options.env;
}

static void timer_start(struct peer *p, uint64_t delay_ms)
{
    env_timer_start(env_of(p), &p->timer, delay_ms * 1000000u, on_timer);
}

/* ---- life ---- */

struct peer *peer_find(const struct consensus *c, uint32_t id)
{
    QUEUE_FOREACH (node, &c->peers) {
        struct peer *p = QUEUE_ENTRY(node, struct peer, node);
        if (p->id == id)
            return p;
    }
    return NULL;
}

struct peer *peer_create(struct consensus *c, uint32_t id, const char *host, uint16_t port)
{
    struct peer *p = memory_zalloc(sizeof *p);
    p->consensus = c;
    p->id = id;
    p->host = memory_strdup(host);
    p->port = port;
    p->backoff_ms = BACKOFF_MIN_MS;
    frame_reader_init(&p->reader, FRAME_MAX_SIZE);
    queue_push(&c->peers, &p->node);
    peer_connect(p);
    return p;
}

static void peer_free(struct peer *p)
{
    free(p->host);
    free(p->slices);
    free(p);
}

static void on_stream_closed(void *data)
{
    struct peer *p = data;
    struct consensus *c = p->consensus;
    p->open_streams--;
    if (p->removed && p->open_streams == 0)
        peer_free(p);
    consensus_stream_closed(c);
}

static void drop_gathered(struct peer *p)
{
    for (unsigned i = 0; i < p->n_slices; i++)
        slice_unref(&p->slices[i]);
    p->n_slices = 0;
    p->beats_size = 0;
    p->queued_bytes -= p->gathered_bytes;
    p->gathered_bytes = 0;
    env_task_cancel(env_of(p), &p->flush);
    buf_unref(p->heads);
    p->heads = NULL;
}

/* Back to DOWN without a timer: the caller decides how to go on. */
static void peer_close_stream(struct peer *p)
{
    bool was_up = p->state == PEER_UP;
    struct env_stream *stream = p->stream;
    p->state = PEER_DOWN;
    p->stream = NULL;
    env_timer_stop(env_of(p), &p->timer);
    drop_gathered(p);
    frame_reader_close(&p->reader);
    if (stream)
        env_stream_close(stream, on_stream_closed, p);
    if (was_up)
        consensus_peer_disconnected(p);
}

void peer_remove(struct peer *p)
{
    queue_remove(&p->node);
    p->removed = true;
    peer_close_stream(p);
    if (p->open_streams == 0)
        peer_free(p);
}

void peer_set_address(struct peer *p, const char *host, uint16_t port)
{
    if (strcmp(p->host, host) == 0 && p->port == port)
        return;
    free(p->host);
    p->host = memory_strdup(host);
    p->port = port;
    peer_close_stream(p);
    p->backoff_ms = BACKOFF_MIN_MS;
    peer_connect(p);
}

/* ---- connecting ---- */

static void retry_later(struct peer *p)
{
    timer_start(p, p->backoff_ms);
    p->backoff_ms = p->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : p->backoff_ms * 2;
}

/* The link broke. A first reconnect goes out at once: its refusal is what tells a dead process from a slow
 * one. */
static void peer_broke(struct peer *p, int status, const char *what)
{
    bool was_up = p->state == PEER_UP;
    LOG(p->consensus->options.logger, was_up ? LOG_WARN : LOG_DEBUG, "peer link down",
        "peer=%u at=%s cause=%s", p->id, what, error_name(status));
    peer_close_stream(p);
    if (p->removed)
        return;
    if (was_up) {
        p->suspect = true;
        p->backoff_ms = BACKOFF_MIN_MS;
        peer_connect(p);
    } else {
        retry_later(p);
    }
}

static void send_hello(struct peer *p)
{
    struct consensus *c = p->consensus;
    Flotilla__PeerHello hello = FLOTILLA__PEER_HELLO__INIT;
    hello.min_version = FRAME_PROTOCOL_MIN;
    hello.max_version = FRAME_PROTOCOL_MAX;
    hello.cluster_id = c->cluster_id;
    hello.node_id = c->options.node_id;
    hello.to_node_id = p->id;
    hello.session = c->session;
    hello.software = "flotilla " FLOTILLA_VERSION;
    peer_send(p, FRAME_PEER_HELLO, 0, 1, &hello.base, NULL, 0);
}

static void on_hello_response(struct peer *p, const struct frame *frame)
{
    struct consensus *c = p->consensus;
    arena_reset(&c->arena);
    Flotilla__PeerHelloResponse *r = flotilla__peer_hello_response__unpack(
        arena_allocator(&c->arena), frame->head.header_length, frame->header);
    if (!r) {
        peer_broke(p, ERR_PROTOCOL, "hello");
        return;
    }
    if (r->error != 0 || r->node_id != p->id) {
        char quoted[256];
        LOG_LIMITED(
            &c->refusals, env_now_ms(env_of(p)), env_stream_peer(p->stream), c->options.logger, LOG_ERROR,
            "peer refused the connection", "peer=%u host=%s port=%u reason=%s", p->id, p->host, p->port,
            logger_quote(quoted, sizeof quoted, r->error ? r->message : "answered with another node id"));
        p->backoff_ms = BACKOFF_MAX_MS;
        peer_broke(p, r->error ? (int)r->error : ERR_NODE_MISMATCH, "hello");
        return;
    }
    bool restarted = p->session != r->session;
    p->session = r->session;
    p->state = PEER_UP;
    p->suspect = false;
    p->backoff_ms = BACKOFF_MIN_MS;
    p->heard_ms = env_now_ms(env_of(p));
    timer_start(p, PING_INTERVAL_MS);
    LOG(c->options.logger, LOG_INFO, "peer link up", "peer=%u host=%s port=%u", p->id, p->host, p->port);
    consensus_peer_connected(p, restarted);
}

static int on_answer(void *data, const struct frame *frame)
{
    struct peer *p = data;
    if (frame->head.type == FRAME_PEER_HELLO && p->state == PEER_GREETING) {
        struct env_stream *stream = p->stream;
        on_hello_response(p, frame);
        return p->stream == stream ? 0 : 1;
    }
    if (frame->head.type == FRAME_PEER_PING) {
        p->heard_ms = env_now_ms(env_of(p));
        roll_call_answered(p, frame->head.correlation);
    }
    return 0;
}

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct peer *p = data;
    frame_reader_alloc(&p->reader, into, size);
}

static void on_read(void *data, ssize_t n)
{
    struct peer *p = data;
    if (n < 0) {
        peer_broke(p, (int)n, "read");
        return;
    }
    if (p->blocked)
        return;
    int rv = frame_reader_feed(&p->reader, (size_t)n, on_answer, p);
    if (rv < 0)
        peer_broke(p, rv, "read");
}

static const struct env_stream_callbacks stream_callbacks = {.alloc = on_alloc, .read = on_read};

static void on_connected(void *data, struct env_stream *stream, int status)
{
    struct peer *p = data;
    if (stream != p->stream)
        return; /* closed meanwhile */
    if (status == 0) {
        p->state = PEER_GREETING;
        timer_start(p, GREETING_TIMEOUT_MS);
        env_stream_read_start(stream, &stream_callbacks, p);
        send_hello(p);
        return;
    }
    bool dead = status == ERR_CONNECTION_REFUSED && p->suspect && !p->blocked;
    peer_broke(p, status, "connect");
    if (dead) {
        p->suspect = false;
        consensus_peer_dead(p);
    }
}

static void peer_connect(struct peer *p)
{
    env_timer_stop(env_of(p), &p->timer);
    int rv = env_connect(env_of(p), p->host, p->port, CONNECT_TIMEOUT_MS * 1000000ull, &p->stream,
                         on_connected, p);
    if (rv != 0) {
        p->stream = NULL;
        retry_later(p);
        return;
    }
    p->state = PEER_CONNECTING;
    p->open_streams++;
    p->consensus->open_streams++;
}

static void on_timer(struct env_timer *timer)
{
    struct peer *p = container_of(timer, struct peer, timer);
    switch (p->state) {
    case PEER_DOWN:
        peer_connect(p);
        break;
    case PEER_UP:
        if (env_now_ms(env_of(p)) - p->heard_ms > PING_TIMEOUT_MS) {
            peer_broke(p, ERR_TIMED_OUT, "ping");
            break;
        }
        peer_send(p, FRAME_PEER_PING, 0, PEER_PING_OF_LINK, NULL, NULL, 0);
        timer_start(p, PING_INTERVAL_MS);
        break;
    default:
        peer_broke(p, ERR_TIMED_OUT, "hello");
    }
}

void peer_probe(struct peer *p)
{
    p->suspect = true;
    if (p->state == PEER_DOWN)
        peer_connect(p);
}

void peer_set_blocked(struct peer *p, bool blocked)
{
    p->blocked = blocked;
    if (blocked)
        drop_gathered(p);
}

/* ---- sending ---- */

struct link_write {
    struct env_write req;
    struct peer *peer;
    size_t size;
    struct slice slices[];
};

static void on_written(struct env_write *req, int status)
{
    struct link_write *w = container_of(req, struct link_write, req);
    struct peer *p = w->peer;
    struct env_stream *stream = req->data;
    p->queued_bytes -= w->size;
    free(w);
    if (status != 0 && stream == p->stream)
        peer_broke(p, status, "write");
}

static void on_flush(struct env_task *task)
{
    struct peer *p = container_of(task, struct peer, flush);
    struct link_write *w = memory_alloc(sizeof *w + p->n_slices * sizeof w->slices[0]);
    w->peer = p;
    w->size = p->gathered_bytes;
    w->req = (struct env_write){.data = p->stream};
    memcpy(w->slices, p->slices, p->n_slices * sizeof w->slices[0]);
    unsigned n = p->n_slices;
    p->n_slices = 0;
    p->beats_size = 0;
    p->gathered_bytes = 0;
    int rv = env_stream_write(p->stream, &w->req, w->slices, n, on_written);
    if (rv == 0)
        return;
    for (unsigned i = 0; i < n; i++)
        slice_unref(&w->slices[i]);
    p->queued_bytes -= w->size;
    free(w);
    peer_broke(p, rv, "write");
}

/* `size` bytes in the block of heads, as a slice; adjacent ones grow the previous slice instead. */
static unsigned char *add_head(struct peer *p, size_t size)
{
    if (!p->heads || p->heads->capacity - p->heads_used < size) {
        buf_unref(p->heads);
        p->heads = buf_create(size > HEADS_SIZE ? size : HEADS_SIZE);
        p->heads_used = 0;
    }
    unsigned char *at = p->heads->data + p->heads_used;
    p->heads_used += size;
    struct slice *last = p->n_slices > 0 ? &p->slices[p->n_slices - 1] : NULL;
    if (last && last->owner == p->heads && last->data + last->size == at)
        last->size += size;
    else
        p->slices[p->n_slices++] = slice_of(p->heads, at, size);
    return at;
}

static void reserve_slices(struct peer *p, unsigned n)
{
    if (p->n_slices + n <= p->capacity)
        return;
    p->capacity = (p->n_slices + n) * 2;
    p->slices = memory_realloc(p->slices, p->capacity * sizeof *p->slices);
}

static int send_error(struct peer *p, uint16_t type, size_t size)
{
    bool greeting = type == FRAME_PEER_HELLO && p->state == PEER_GREETING;
    if (p->blocked || (p->state != PEER_UP && !greeting))
        return ERR_CLOSED;
    return p->queued_bytes + size > p->consensus->options.link_queue_bytes ? ERR_OVERLOADED : 0;
}

static void drop_payload(const struct slice *payload, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct slice s = payload[i];
        slice_unref(&s);
    }
}

/* Adds a frame's head, room for its header (returned, to be filled in), and its payload. */
static unsigned char *add_frame(struct peer *p, const struct frame_head *head, const struct slice *payload,
                                unsigned n)
{
    size_t payload_size = 0;
    for (unsigned i = 0; i < n; i++)
        payload_size += payload[i].size;
    size_t size = FRAME_HEAD_SIZE + head->header_length + payload_size;
    if (send_error(p, head->type, size) != 0) {
        drop_payload(payload, n);
        p->consensus->counts.messages_dropped +=
            head->type == FRAME_PEER_RAFT || head->type == FRAME_PEER_BEATS;
        return NULL;
    }
    p->beats_size = 0;
    reserve_slices(p, n + 1);
    unsigned char *at = add_head(p, FRAME_HEAD_SIZE + head->header_length);
    frame_head_encode(at, head->type, head->flags, head->correlation, head->header_length, payload_size);
    for (unsigned i = 0; i < n; i++) {
        if (payload[i].size > 0)
            p->slices[p->n_slices++] = payload[i];
        else
            drop_payload(&payload[i], 1);
    }
    p->gathered_bytes += size;
    p->queued_bytes += size;
    env_defer(env_of(p), &p->flush, on_flush);
    return at + FRAME_HEAD_SIZE;
}

int peer_send(struct peer *p, uint16_t type, uint16_t flags, uint64_t correlation,
              const ProtobufCMessage *header, const struct slice *payload, unsigned n)
{
    struct frame_head head = {.type = type, .flags = flags, .correlation = correlation};
    head.header_length = header ? (uint32_t)protobuf_c_message_get_packed_size(header) : 0;
    unsigned char *at = add_frame(p, &head, payload, n);
    if (!at)
        return p->state == PEER_UP ? ERR_OVERLOADED : ERR_CLOSED;
    if (header)
        protobuf_c_message_pack(header, at);
    return 0;
}

int peer_send_packed(struct peer *p, uint16_t type, const void *header, size_t header_size,
                     const struct slice *payload, unsigned n)
{
    struct frame_head head = {.type = type, .header_length = (uint32_t)header_size};
    unsigned char *at = add_frame(p, &head, payload, n);
    if (!at)
        return p->state == PEER_UP ? ERR_OVERLOADED : ERR_CLOSED;
    if (header_size > 0)
        memcpy(at, header, header_size);
    return 0;
}

static bool beat_joins(const struct peer *p, size_t size)
{
    enum { MAX_BEATS_SIZE = 32 * 1024 };
    return p->beats_size > 0 && p->beats_size + size <= MAX_BEATS_SIZE &&
           p->heads->capacity - p->heads_used >= size;
}

int peer_send_beat(struct peer *p, const void *beat, size_t size)
{
    if (!beat_joins(p, size)) {
        int rv = peer_send_packed(p, FRAME_PEER_BEATS, beat, size, NULL, 0);
        p->beats_size = rv == 0 ? size : 0;
        return rv;
    }
    int rv = send_error(p, FRAME_PEER_BEATS, size);
    if (rv != 0) {
        p->consensus->counts.messages_dropped++;
        return rv;
    }
    memcpy(add_head(p, size), beat, size);
    p->beats_size += size;
    p->gathered_bytes += size;
    p->queued_bytes += size;
    frame_head_encode(p->heads->data + p->heads_used - p->beats_size - FRAME_HEAD_SIZE, FRAME_PEER_BEATS, 0,
                      0, p->beats_size, 0);
    return 0;
}
