/* One request from its frame to its answer. Created by dispatch; the handler must end it exactly once, now or
 * later, with one of the request_respond, request_fail or request_finish functions. It outlives its
 * connection: answers to a client that has gone are dropped. Internal to this room. */
#ifndef SERVER_NATIVE_REQUEST_H
#define SERVER_NATIVE_REQUEST_H

#include "node/server/native/native_connection.h"
#include "node/server/parking.h"
#include "proto/arena.h"
#include "proto/client.pb-c.h"

struct request {
    struct server *server;
    struct native_connection *connection; /* NULL once it is gone */
    struct queue node;
    uint16_t type;
    uint64_t correlation;
    uint64_t started_ns;
    size_t charged_bytes;
    struct slice payload; /* owned by the request until a handler takes it (slice_none) */
    void *state;          /* of the handler: request_state */
    bool answered;        /* nothing more is sent for it */
    bool silent;          /* the client wants no answer */
    void (*handle)(struct request *r, const ProtobufCMessage *message);
    const ProtobufCMessage *message;
    struct parked parked;
    /* The connection is gone: end early what waits for nothing else. May be NULL. */
    void (*cancel)(struct request *r);
    struct arena arena; /* the unpacked message, and what the handler builds; until the request ends. Last: it
                           is reused */
};

struct request *request_create(struct native_connection *c, const struct client_frame *frame,
                               size_t charged_bytes);
/* Zeroed memory that lives as long as the request. Once per request, or after request_drop_state. */
void *request_state(struct request *r, size_t size);
void request_drop_state(struct request *r);
/* An array in the request's arena; NULL when its bound is reached. */
void *request_array(struct request *r, size_t count, size_t size);

/* Each of these ends the request. */
void request_respond(struct request *r, const ProtobufCMessage *response);
void request_respond_payload(struct request *r, const ProtobufCMessage *response, struct slice *payload,
                             unsigned payload_count);
/* Answers with an error status alone. `message` NULL: the error's own text. */
void request_fail(struct request *r, int error, const char *message);
void request_fail_status(struct request *r, const Flotilla__Status *status);
void request_finish(struct request *r); /* nothing is sent */

/* Answers, but keeps the request for a callback that is still to come; request_finish ends it. */
void request_answer_early(struct request *r, int error, const char *message);

/* Waits for the partition to have a leader; its handler will be called again with the same message, and must
 * not have taken anything from the request. */
void request_park(struct request *r, uint64_t group_id);

/* Of a connection that closes. */
void request_detach_all(struct native_connection *c);
/* An ERROR frame; correlation 0 when it concerns the whole connection. */
void request_send_error(struct native_connection *c, uint64_t correlation, int error, const char *message);
/* Frees the spare requests. */
void request_free_spare(struct server *s);

/* A status with `message`, or the error's own text when it is NULL or empty. References `message`. */
Flotilla__Status status_make(int error, const char *message);

#endif
