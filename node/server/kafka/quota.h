/* How many bytes per second each client id may move on this node.
 *
 * A client is one instant: when all it has moved would have been moved at its rate. It may run ahead of that
 * by a second; how far it is ahead beyond that is how long it has to wait. Who is not ahead at all is not
 * remembered. Needs no clock of its own. Internal to this room. */
#ifndef SERVER_KAFKA_QUOTA_H
#define SERVER_KAFKA_QUOTA_H

#include "node/base/queue.h"
#include <stddef.h>
#include <stdint.h>

enum {
    QUOTA_BURST_MS = 1000,
    /* Longer waits come in pieces: clients give up a connection that says nothing for half a minute. */
    QUOTA_WAIT_MAX_MS = 10 * 1000,
    /* Who has not been heard of for longest makes room. */
    QUOTA_CLIENTS_MAX = 10000,
    /* Longer ids are told apart by their beginnings. */
    QUOTA_ID_MAX = 255,
};

struct quota_client;

struct quota {
    uint64_t bytes_per_s; /* 0: no quota */
    struct quota_client *clients;
    struct queue by_use; /* the longest unused first */
    unsigned count;
};

void quota_init(struct quota *q, uint64_t bytes_per_s);
void quota_close(struct quota *q);
/* A client has moved so many bytes: how long it has to wait now, in milliseconds. `id` may be NULL when its
 * size is 0. */
uint32_t quota_charge(struct quota *q, uint64_t now_ns, const void *id, size_t id_size, uint64_t bytes);
/* As much as a client should be given at a time. */
size_t quota_portion(const struct quota *q);

#endif
