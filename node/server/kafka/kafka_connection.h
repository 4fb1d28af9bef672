/* A connection of the Kafka front door.
 *
 *   4-byte length, request  ->  waiting  ->  running  ->  answered  ->  4-byte length, response
 *
 * Answers leave in the order of the requests. A request begins when the ones before it are answered, as a
 * client may count on; only produce requests run side by side, which is what a client pipelines. A muted
 * connection begins none. Internal to this room. */
#ifndef SERVER_KAFKA_CONNECTION_H
#define SERVER_KAFKA_CONNECTION_H

#include "node/server/connection.h"

enum {
    KAFKA_FRAME_MAX_SIZE = 100 * 1024 * 1024,
};

struct kafka_connection {
    struct connection base;
    struct queue waiting;    /* struct kafka_request, in order of arrival */
    struct queue running;    /* begun, also those whose answer waits for an earlier one's */
    unsigned running_others; /* of these, not produce requests */
    bool advancing;
    struct env_timer muted; /* while it runs */
    uint64_t muted_until_ns;
};

extern const struct connection_protocol kafka_protocol;

/* No request begins and nothing is read for so long; answers go out. */
void kafka_connection_mute(struct kafka_connection *c, uint32_t ms);
/* Answers at the head of the line go out, and requests begin that may. */
void kafka_connection_advance(struct kafka_connection *c);

#endif
