/* One client connection of either front door: bytes in, answers out, and the bounds on both.
 *
 *   socket -> frame_input -> protocol->next_frame -> requests (native/, kafka/)
 *          -> connection_gather -> one write per loop turn -> socket
 *
 * Reading stops while more than connection-bytes of requests are unanswered, or of answers are unsent. What a
 * front door adds stands in its connection_protocol; its connections embed this struct as their first member.
 * Internal to this room. */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "node/server/server.h"

enum {
    CONNECTION_FINISH_TIMEOUT_MS = 2000,
    CONNECTION_LINGER_MS = 250,
};

enum connection_state {
    CONNECTION_NEW, /* the protocol's greeting has not been said yet, where there is one */
    CONNECTION_OPEN,
    CONNECTION_FINISHING, /* closes as soon as the output is out */
    CONNECTION_CLOSED,
};

struct connection;

struct connection_protocol {
    const char *door;     /* "client": names the port in log lines */
    const char *language; /* "native": what is spoken there */
    size_t size;          /* of the struct that embeds struct connection */
    /* The struct is zeroed and the stream set: initialises the rest, `input` included. */
    void (*open)(struct connection *c);
    /* Takes the next whole frame out of `input` and deals with it. 1: done; 0: more bytes are needed;
     * negative: the stream can't be parsed any further. */
    int (*next_frame)(struct connection *c);
    /* What these first bytes of a connection (FRAME_SNIFF_SIZE) look like when they are another protocol's.
     */
    const char *(*foreign)(const void *first);
    /* Sends a reason before the connection finishes, where the protocol can say one. */
    void (*say_why)(struct connection *c, int error, const char *message);
    /* Output has gone out: there may be room for more. */
    void (*output_ready)(struct connection *c);
    /* The node stops: ends what would go on for ever. */
    void (*end_streams)(struct connection *c, int error);
    /* The connection is gone: requests under way lose it. */
    void (*detach)(struct connection *c);
};

struct connection {
    const struct connection_protocol *protocol;
    struct server *server;
    struct env_stream *stream;
    struct queue node;
    enum connection_state state;
    struct frame_input input;
    struct env_timer timer; /* for the greeting, then for finishing */

    /* input */
    unsigned request_count; /* unanswered */
    size_t charged_bytes;   /* of them */
    bool paused;
    bool held;
    bool parsing;
    struct env_task resume;

    /* output */
    struct slice *out; /* gathered, to go out in this loop turn, or in the next ones when it is much */
    unsigned out_count, out_capacity;
    struct buf *out_buf; /* where small frames are encoded back to back */
    size_t out_used;
    size_t unsent_bytes; /* gathered, or with the kernel still to take them */
    struct env_task flush;
    struct env_timer next_turn; /* runs while more is gathered than goes out in one */
    struct queue writes;        /* struct connection_write */
};

/* Takes over the stream. */
struct connection *connection_create(struct server *s, const struct connection_protocol *protocol,
                                     struct env_stream *stream);
/* At once. Requests under way lose their connection; the memory goes when the stream has closed. */
void connection_close(struct connection *c);
/* Sends what is gathered, then closes: when the client does, or after a moment. Until then what still comes
 * is read and dropped, because a socket closed with unread bytes would reset the connection, and the client
 * would never read the last answers. */
void connection_finish(struct connection *c);
/* Tells the client why, where the protocol can, then finishes. */
void connection_fail(struct connection *c, int error, const char *message);
/* The node stops: no new requests; closes once all are answered. */
void connection_drain(struct connection *c);

/* A request of `charged_bytes` has come, has grown, or has been answered or given up. After the last,
 * connection_request_done: reading may go on, a drained connection may close. */
void connection_request_begun(struct connection *c, size_t charged_bytes);
void connection_request_ended(struct connection *c, size_t charged_bytes);
void connection_request_done(struct connection *c);
/* Nothing is read until it is released, whatever the bounds would allow. */
void connection_hold(struct connection *c);
void connection_release(struct connection *c);
/* The client does not take its answers: no more should be begun. */
bool connection_output_full(const struct connection *c);

/* ---- connection_output.c ---- */

/* Queues bytes; the write follows at the end of the loop turn, of more than 256 KiB in several turns. Only
 * while the connection is open. The first takes over the reference; the second gives space to fill at once,
 * in a buffer of the turn where small pieces that follow each other become one. */
void connection_gather(struct connection *c, struct slice bytes);
unsigned char *connection_gather_space(struct connection *c, size_t size);
/* The gathered output goes out at the end of this turn; a finishing connection with nothing left to send
 * closes then. */
void connection_flush_later(struct connection *c);
/* Everything a finishing connection had to say is with the kernel. */
void connection_said_all(struct connection *c);
/* For connection.c: forgets what is gathered. */
void connection_drop_output(struct connection *c);

/* A line about what a stranger did, at a bounded rate. */
#define LOG_REFUSAL(connection, message, fields, ...)                                                        \
    LOG_LIMITED(&(connection)->server->refusals, env_now_ms((connection)->server->env),                      \
                env_stream_peer((connection)->stream), (connection)->server->logger, LOG_WARN, message,      \
                fields, __VA_ARGS__)

static inline bool connection_is_open(const struct connection *c)
{
    return c->state == CONNECTION_NEW || c->state == CONNECTION_OPEN;
}

#endif
