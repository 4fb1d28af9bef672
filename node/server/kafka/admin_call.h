/* A request that names several things, each of which the cluster is asked about: some at a time, and the
 * answer goes out when all have theirs. Internal to this room. */
#ifndef SERVER_KAFKA_ADMIN_CALL_H
#define SERVER_KAFKA_ADMIN_CALL_H

#include "node/server/kafka/kafka_request.h"

struct admin_call;

struct admin_item {
    struct cluster_op op;
    struct admin_call *call;
    const char *name;    /* of the topic; NULL: none. In the arena */
    int16_t error;       /* Kafka's; an item that has one already is not begun */
    const char *message; /* NULL: none */
};

struct admin_call {
    struct kafka_request *request;
    struct admin_item *items; /* in the arena */
    size_t count;
    size_t next; /* not begun yet */
    unsigned pending;
    void *context; /* of the handler */
    /* Calls one of the cluster's operations with admin_item_done, or admin_refuse. */
    void (*begin)(struct admin_item *item, size_t index);
    /* Every item is done: responds. */
    void (*answer)(struct admin_call *call);
};

/* As many items as the request names things. NULL: it was too much, and the request has been refused. */
struct admin_call *admin_call_create(struct kafka_request *r, size_t count);
/* `message` is static or in the arena. */
void admin_refuse(struct admin_item *item, int16_t error, const char *message);
/* A topic's name as the cluster takes it; refuses the item if it can't be one. */
void admin_item_set_topic(struct admin_item *item, struct kafka_string name);
/* Refuses all of the items that name the same topic: which of them is meant? */
void admin_refuse_duplicates(struct admin_call *call);
/* Begins what has not been refused. `call` may be gone afterwards. */
void admin_call_run(struct admin_call *call, void (*begin)(struct admin_item *item, size_t index),
                    void (*answer)(struct admin_call *call));
void admin_item_done(struct cluster_op *op);

/* A client's timeout within what the cluster's operations allow. */
uint64_t admin_timeout_ms(int32_t timeout_ms);

#endif
