/* One native client connection: frames in, answers and pushes out, and the bounds on both.
 *
 *   socket -> frame_input -> dispatch -> request (native/) -> connection_send -> one write per loop turn ->
 * socket
 *
 * Reading stops while more than connection-bytes of requests are unanswered, or of answers are unsent.
 * Internal to this room. */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "node/server/server.h"
#include <protobuf-c/protobuf-c.h>

enum {
    CONNECTION_HELLO_TIMEOUT_MS = 10000,
    CONNECTION_FINISH_TIMEOUT_MS = 2000,
    CONNECTION_LINGER_MS = 250,
    /* Before HELLO a stranger gets no more than this. */
    CONNECTION_HELLO_MAX_SIZE = 16 * 1024,
    CONNECTION_HEADER_MAX_SIZE = 1024 * 1024,
    CONNECTION_CLIENT_ID_SIZE = 128,
};

enum connection_state {
    CONNECTION_NEW, /* no HELLO yet */
    CONNECTION_OPEN,
    CONNECTION_FINISHING, /* closes as soon as the output is out */
    CONNECTION_CLOSED,
};

struct connection {
    struct server *server;
    struct env_stream *stream;
    struct queue node;
    enum connection_state state;
    struct frame_input input;
    struct env_timer timer; /* for HELLO, then for finishing */
    char client_id[CONNECTION_CLIENT_ID_SIZE];

    /* input */
    struct queue requests; /* struct request, in order of arrival */
    unsigned request_count;
    size_t charged_bytes; /* of unanswered requests */
    bool paused;
    bool parsing;
    struct env_task resume;

    /* output */
    struct slice *out; /* gathered in this loop turn */
    unsigned out_count, out_capacity;
    struct buf *out_buf; /* where small frames are encoded back to back */
    size_t out_used;
    size_t unsent_bytes; /* gathered, or with the kernel still to take them */
    struct env_task flush;
    struct queue writes; /* struct connection_write */

    /* push streams: native/subscribe.c */
    struct queue subscriptions;
    unsigned subscription_count;
    struct queue push_waiting;
    size_t push_reserved;
};

/* Takes over the stream. */
struct connection *connection_create(struct server *s, struct env_stream *stream);
/* At once. Requests under way lose their connection; the memory goes when the stream has closed. */
void connection_close(struct connection *c);
/* Sends what is gathered, then closes: when the client does, or after a moment. Until then what still comes
 * is read and dropped, because a socket closed with unread bytes would reset the connection, and the client
 * would never read the last answers. */
void connection_finish(struct connection *c);
/* Tells the client why in an ERROR frame, then finishes. */
void connection_fail(struct connection *c, int error, const char *message);
/* The node stops: no new requests; closes once all are answered. */
void connection_drain(struct connection *c);

/* Queues one frame; takes over the payload's references. The write follows at the end of the loop turn. */
void connection_send(struct connection *c, uint16_t type, uint16_t flags, uint64_t correlation,
                     const ProtobufCMessage *header, struct slice *payload, unsigned payload_count);
/* A request has been answered or given up: reading may go on, a drained connection may close. */
void connection_request_done(struct connection *c);

/* The gathered output goes out at the end of this turn; a finishing connection with nothing left to send
 * closes then. */
void connection_flush_later(struct connection *c);
/* Everything a finishing connection had to say is with the kernel. */
void connection_said_all(struct connection *c);
/* connection_output.c, for connection.c: forgets what is gathered. */
void connection_drop_output(struct connection *c);

static inline bool connection_is_open(const struct connection *c)
{
    return c->state == CONNECTION_NEW || c->state == CONNECTION_OPEN;
}

#endif
