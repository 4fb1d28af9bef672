/* A connection of the native front door: HELLO first, then frames both ways, answers in any order, and push
 * streams. Internal to this room. */
#ifndef SERVER_NATIVE_CONNECTION_H
#define SERVER_NATIVE_CONNECTION_H

#include "node/group/engine.h"
#include "node/server/connection.h"
#include <protobuf-c/protobuf-c.h>

enum {
    NATIVE_HELLO_TIMEOUT_MS = 10000,
    /* Before HELLO a stranger gets no more than this. */
    NATIVE_HELLO_MAX_SIZE = 16 * 1024,
    NATIVE_HEADER_MAX_SIZE = 1024 * 1024,
    NATIVE_CLIENT_ID_SIZE = 128,
};

struct native_connection {
    struct connection base;
    char client_id[NATIVE_CLIENT_ID_SIZE];
    struct queue requests; /* struct request, in order of arrival */

    /* push streams: subscribe.c */
    struct queue subscriptions;
    unsigned subscription_count;
    struct queue push_waiting;
    size_t push_reserved;

    struct engine_connection members; /* of groups, whose pushes go here */
};

extern const struct connection_protocol native_protocol;

/* Queues one frame; takes over the payload's references. The write follows at the end of the loop turn. */
void native_send(struct native_connection *c, uint16_t type, uint16_t flags, uint64_t correlation,
                 const ProtobufCMessage *header, struct slice *payload, unsigned payload_count);

static inline bool native_is_open(const struct native_connection *c)
{
    return connection_is_open(&c->base);
}

#endif
