/* A bare client of the Kafka protocol for tests: it sends what it is told, right or wrong. */
#ifndef TESTS_SERVER_HELPER_KAFKA_CLIENT_H
#define TESTS_SERVER_HELPER_KAFKA_CLIENT_H

#include "proto/kafka/codec.h"
#include "tests/unit/server/helper_wire.h"

/* Points an array member at `n` elements. */
#define SET_ITEMS(member, elements, n) ((member).items = (elements), (member).count = (n))

struct kafka_client {
    struct wire wire;
    struct bytes input;   /* what has come and has not been taken */
    struct bytes frame;   /* the last answer, without its length */
    struct arena arena;   /* of its message */
    unsigned char *space; /* to read into */
    int32_t correlation;
};

void kafka_client_open(struct kafka_client *c, struct env *env, uint16_t port);
void kafka_client_close(struct kafka_client *c);
void kafka_client_send_bytes(struct kafka_client *c, const void *data, size_t size);
/* Sends `request`, a struct kafka_<api>_request; returns its correlation id. */
int32_t kafka_client_send(struct kafka_client *c, int16_t key, int16_t version, const void *request);
/* Waits for the next answer, which must be the one to `correlation`. `response` is valid until the next one.
 */
void kafka_client_wait(struct kafka_client *c, int32_t correlation, int16_t key, int16_t version,
                       void *response);
/* Both. */
void kafka_client_call(struct kafka_client *c, int16_t key, int16_t version, const void *request,
                       void *response);
/* Waits until the server has closed the connection. */
void kafka_client_wait_end(struct kafka_client *c);

/* Asks for the topic until each of its partitions has a leader, which creates it. */
void kafka_client_need_topic(struct kafka_client *c, const char *name);
void kafka_client_create_topic(struct kafka_client *c, const char *name, int32_t partitions,
                               int16_t replicas);
/* Sends one batch to the topic's first partition; returns the correlation id. */
int32_t kafka_client_send_batch(struct kafka_client *c, int16_t version, const char *topic,
                                const struct bytes *batch, int16_t acks);

#endif
