/* One request of a Kafka client, from its frame to its answer. Created by the connection; once begun its
 * handler must end it exactly once, now or later, with kafka_respond, kafka_respond_with_records,
 * kafka_finish_silently or kafka_refuse. It outlives its connection: answers to a client that has gone are
 * dropped. Internal to this room. */
#ifndef SERVER_KAFKA_REQUEST_H
#define SERVER_KAFKA_REQUEST_H

#include "node/server/kafka/kafka_connection.h"
#include "node/server/kafka/kafka_front.h"
#include "proto/arena.h"
#include "proto/kafka/codec.h"
#include "proto/kafka/errors.h"

struct kafka_request {
    struct server *server;
    struct kafka_connection *connection; /* NULL once it is gone */
    struct queue node;
    struct kafka_request_header header; /* from when it has begun */
    struct slice frame;                 /* without its length; the message points into it */
    const void *message;                /* struct kafka_<api>_request, in the arena */
    void *state;                        /* of the handler: kafka_request_state */
    uint64_t started_ns;
    size_t charged_bytes;
    bool begun;
    bool answered;        /* `answer` is what goes out when it is its turn */
    struct slice *answer; /* header and body without the length; owned */
    unsigned answer_count;
    /* The connection is gone: end early what waits for nothing else. May be NULL. */
    void (*cancel)(struct kafka_request *r);
    /* The node stops: answer now what waits for something to happen. May be NULL. */
    void (*end_wait)(struct kafka_request *r);
    struct arena arena; /* the decoded message, and what the handler builds. Last: it is reused */
};

/* ---- for handlers ---- */

/* Zeroed memory that lives as long as the request. Once per request. */
void *kafka_request_state(struct kafka_request *r, size_t size);
/* Takes part of the connection's bound for what the answer may need. */
void kafka_request_charge(struct kafka_request *r, size_t bytes);
/* A zero-terminated copy in the arena; NULL when that is full, or the text has a zero byte in it. */
const char *kafka_request_text(struct kafka_request *r, struct kafka_string text);

/* `response` is a struct kafka_<api>_response. */
void kafka_respond(struct kafka_request *r, const void *response);
/* The same for a response with records, of which only the sizes are filled in: their bytes are `pieces`, all
 * in the order of the wire, whose references are taken over. */
void kafka_respond_with_records(struct kafka_request *r, const void *response, struct slice *pieces,
                                unsigned count);
/* No answer: acks=0. */
void kafka_finish_silently(struct kafka_request *r);
/* The protocol has no answer for this: logs the reason and closes the connection. */
void kafka_refuse(struct kafka_request *r, const char *reason);
/* The answer did not fit the arena's bound. */
void kafka_refuse_too_large(struct kafka_request *r);

/* ---- for the connection ---- */

/* Takes over the frame, and queues the request as the connection's last. */
void kafka_request_create(struct kafka_connection *c, struct slice frame);
bool kafka_request_is_produce(const struct kafka_request *r); /* begun or not */
void kafka_request_begin(struct kafka_request *r);
/* Sends the answer and ends the request. */
void kafka_request_send(struct kafka_request *r);
void kafka_request_end_waits(struct kafka_connection *c);
void kafka_request_detach_all(struct kafka_connection *c);
void kafka_request_free_spare(struct kafka_front *k);

#endif
