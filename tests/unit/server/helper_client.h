/* A bare client of the native protocol for tests: it sends what it is told, right or wrong, and keeps what
 * comes back. */
#ifndef TESTS_SERVER_HELPER_CLIENT_H
#define TESTS_SERVER_HELPER_CLIENT_H

#include "node/server/frame_input.h"
#include "proto/bytes.h"
#include "proto/client.pb-c.h"
#include "tests/unit/server/helper_wire.h"

struct received {
    struct queue node;
    struct frame_head head;
    unsigned char *header;
    struct slice payload;
};

struct client {
    struct wire wire;
    struct read_pool pool;
    struct frame_input input;
    struct queue received;
    uint64_t correlation;
};

void client_open(struct client *c, struct env *env, uint16_t port);
void client_close(struct client *c);
void client_send_bytes(struct client *c, const void *data, size_t size);
/* Sends one frame; returns its correlation. */
uint64_t client_send(struct client *c, uint16_t type, const ProtobufCMessage *header, const void *payload,
                     size_t size);
/* Waits for the frame that answers `correlation`; received_free it. */
struct received *client_wait(struct client *c, uint64_t correlation);
/* Waits for the next frame of this type. */
struct received *client_wait_type(struct client *c, uint16_t type);
void client_wait_end(struct client *c);
void received_free(struct received *r);

/* Sends, waits, unpacks; free with protobuf_c_message_free_unpacked(.., NULL). `payload` may be NULL. */
void *client_call(struct client *c, uint16_t type, const ProtobufCMessage *request, const void *payload,
                  size_t size, const ProtobufCMessageDescriptor *response);
void *received_unpack(const struct received *r, const ProtobufCMessageDescriptor *descriptor);
/* HELLO with this client's versions; the answer's error. */
int client_hello(struct client *c);
/* A connection that has said HELLO. */
void client_start(struct client *c, struct env *env, uint16_t port);

/* One batch of `count` records with values "PREFIX-0", "PREFIX-1", ... */
void make_batch(struct bytes *out, const char *prefix, unsigned count, int64_t timestamp_ms);

#endif
