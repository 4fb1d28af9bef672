#include "node/consensus/consensus_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Strangers at a time; one more, and the oldest has to go. */
    STRANGERS_MAX = 64,
    STRANGER_TIMEOUT_MS = 5000,
    STRANGER_FRAME_MAX = 16 * 1024,
};

struct reply {
    struct env_write req;
    struct slice slice;
};

static void on_reply_written(struct env_write *req, int status)
{
    (void)status; /* a broken stream is seen by its reader */
    free(container_of(req, struct reply, req));
}

/* The few frames that are answered on the connection that asked. */
static void reply(struct inbound *in, uint16_t type, uint64_t correlation, const ProtobufCMessage *header)
{
    size_t header_size = header ? protobuf_c_message_get_packed_size(header) : 0;
    struct buf *b = buf_create(FRAME_HEAD_SIZE + header_size);
    frame_head_encode(b->data, type, FRAME_RESPONSE, correlation, header_size, 0);
    if (header)
        protobuf_c_message_pack(header, b->data + FRAME_HEAD_SIZE);
    struct reply *r = memory_zalloc(sizeof *r);
    r->slice = (struct slice){b, b->data, b->capacity};
    if (env_stream_write(in->stream, &r->req, &r->slice, 1, on_reply_written) != 0) {
        buf_unref(b);
        free(r);
    }
}

static void on_stream_closed(void *data)
{
    struct inbound *in = data;
    struct consensus *c = in->consensus;
    free(in);
    consensus_stream_closed(c);
}

static bool is_stranger(const struct inbound *in)
{
    return in->node_id == 0;
}

static void no_longer_stranger(struct inbound *in)
{
    in->consensus->strangers--;
    env_timer_stop(in->consensus->options.env, &in->timer);
}

void inbound_close(struct inbound *in)
{
    if (is_stranger(in))
        no_longer_stranger(in);
    queue_remove(&in->node);
    frame_reader_close(&in->reader);
    env_stream_close(in->stream, on_stream_closed, in);
}

/* The other end is gone: our own link to it will be as well, and its refusal says whether the process is
 * dead. */
static void inbound_broke(struct inbound *in, int status)
{
    struct peer *p = in->node_id ? peer_find(in->consensus, in->node_id) : NULL;
    LOG(in->consensus->options.logger, LOG_DEBUG, "peer closed its link", "peer=%u cause=%s", in->node_id,
        error_name(status));
    inbound_close(in);
    if (p)
        peer_probe(p);
}

static int check_hello(const struct consensus *c, const Flotilla__PeerHello *hello, char *message,
                       size_t size)
{
    if (hello->min_version > FRAME_PROTOCOL_MAX || hello->max_version < FRAME_PROTOCOL_MIN) {
        snprintf(
            message, size, "node %u speaks peer protocol %u to %u, this node %d to %d: upgrade one of them",
            hello->node_id, hello->min_version, hello->max_version, FRAME_PROTOCOL_MIN, FRAME_PROTOCOL_MAX);
        return ERR_UNSUPPORTED_VERSION;
    }
    if (strcmp(hello->cluster_id, c->cluster_id) != 0) {
        snprintf(message, size,
                 "node %u belongs to cluster %.60s, this node to %.60s: check the addresses in --peers",
                 hello->node_id, hello->cluster_id, c->cluster_id);
        return ERR_CLUSTER_MISMATCH;
    }
    if (hello->to_node_id != c->options.node_id) {
        snprintf(message, size, "node %u looks for node %u at this address, but this is node %u",
                 hello->node_id, hello->to_node_id, c->options.node_id);
        return ERR_NODE_MISMATCH;
    }
    if (hello->node_id == 0 || hello->node_id == c->options.node_id) {
        snprintf(message, size, "two nodes use id %u", hello->node_id);
        return ERR_NODE_MISMATCH;
    }
    return 0;
}

/* A node has one incoming link; a new one means that the old one is dead or will be. */
static void replace_older(struct inbound *in)
{
    struct consensus *c = in->consensus;
    struct queue *next;
    for (struct queue *node = queue_first(&c->inbounds); node != &c->inbounds; node = next) {
        next = node->next;
        struct inbound *other = QUEUE_ENTRY(node, struct inbound, node);
        if (other != in && other->node_id == in->node_id)
            inbound_close(other);
    }
}

static int on_hello(struct inbound *in, const struct frame *frame)
{
    struct consensus *c = in->consensus;
    char message[256] = "";
    arena_reset(&c->arena);
    Flotilla__PeerHello *hello =
        flotilla__peer_hello__unpack(arena_allocator(&c->arena), frame->head.header_length, frame->header);
    if (!hello)
        return ERR_PROTOCOL;
    Flotilla__PeerHelloResponse response = FLOTILLA__PEER_HELLO_RESPONSE__INIT;
    response.error = check_hello(c, hello, message, sizeof message);
    response.message = message;
    response.version = FRAME_PROTOCOL_MAX;
    response.node_id = c->options.node_id;
    response.session = c->session;
    reply(in, FRAME_PEER_HELLO, frame->head.correlation, &response.base);
    if (response.error != 0) {
        char quoted[300];
        LOG_LIMITED(&c->refusals, env_now_ms(c->options.env), env_stream_peer(in->stream), c->options.logger,
                    LOG_ERROR, "refused a peer", "from=%s reason=%s", env_stream_peer(in->stream),
                    logger_quote(quoted, sizeof quoted, message));
        return 0; /* it closes when it has read why */
    }
    no_longer_stranger(in);
    in->reader.max_size = FRAME_MAX_SIZE;
    in->node_id = hello->node_id;
    in->session = hello->session;
    replace_older(in);
    return 0;
}

static bool is_blocked(const struct inbound *in)
{
    const struct peer *p = peer_find(in->consensus, in->node_id);
    return p && p->blocked;
}

static int on_frame(void *data, const struct frame *frame)
{
    struct inbound *in = data;
    if (in->node_id == 0)
        return frame->head.type == FRAME_PEER_HELLO ? on_hello(in, frame) : ERR_PROTOCOL;
    if (is_blocked(in))
        return 0;
    if (frame->head.type == FRAME_PEER_PING)
        reply(in, FRAME_PEER_PING, frame->head.correlation, NULL);
    else
        consensus_frame(in->consensus, in->node_id, frame);
    return 0;
}

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct inbound *in = data;
    frame_reader_alloc(&in->reader, into, size);
}

static void on_read(void *data, ssize_t n)
{
    struct inbound *in = data;
    if (n < 0) {
        inbound_broke(in, (int)n);
        return;
    }
    int rv = frame_reader_feed(&in->reader, (size_t)n, on_frame, in);
    if (rv >= 0)
        return;
    struct consensus *c = in->consensus;
    LOG_LIMITED(&c->refusals, env_now_ms(c->options.env), env_stream_peer(in->stream), c->options.logger,
                LOG_WARN, "closing a peer connection that sent no valid frame", "from=%s peer=%u cause=%s",
                env_stream_peer(in->stream), in->node_id, error_name(rv));
    inbound_close(in);
}

static const struct env_stream_callbacks stream_callbacks = {.alloc = on_alloc, .read = on_read};

static void on_stranger_timeout(struct env_timer *timer)
{
    inbound_close(container_of(timer, struct inbound, timer));
}

/* A peer says HELLO at once: who has been silent for longest is none. */
static void make_room(struct consensus *c)
{
    if (c->strangers < STRANGERS_MAX)
        return;
    QUEUE_FOREACH (node, &c->inbounds) {
        struct inbound *in = QUEUE_ENTRY(node, struct inbound, node);
        if (is_stranger(in)) {
            inbound_close(in);
            return;
        }
    }
}

void inbound_accept(struct consensus *c, struct env_stream *stream)
{
    make_room(c);
    struct inbound *in = memory_zalloc(sizeof *in);
    in->consensus = c;
    in->stream = stream;
    frame_reader_init(&in->reader, STRANGER_FRAME_MAX);
    queue_push(&c->inbounds, &in->node);
    c->open_streams++;
    c->strangers++;
    env_timer_start(c->options.env, &in->timer, STRANGER_TIMEOUT_MS * 1000000ull, on_stranger_timeout);
    env_stream_read_start(stream, &stream_callbacks, in);
}
