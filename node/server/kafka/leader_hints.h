/* Who leads instead, for partitions that a request found without their leader (KIP-951): the client goes
 * there without asking for metadata first. Internal to this room. */
#ifndef SERVER_KAFKA_LEADER_HINTS_H
#define SERVER_KAFKA_LEADER_HINTS_H

#include "node/server/kafka/kafka_request.h"
#include "node/server/kafka/lookup.h"

struct leader_hints {
    struct kafka_request *request;
    const struct node_meta **nodes; /* in the arena: those that have been named, each once */
    size_t count, capacity;
};

struct leader_hint {
    int32_t leader_id;
    int32_t leader_epoch;
};

void leader_hints_init(struct leader_hints *h, struct kafka_request *r);
/* False when the error does not mean that somebody else leads, or when nobody is known to. */
bool leader_hints_find(struct leader_hints *h, int16_t error, uint64_t group_id, struct leader_hint *hint);

/* Both responses have the same fields, in structs of their own. */
#define LEADER_HINTS_SET(h, p, type, group)                                                                  \
    do {                                                                                                     \
        struct leader_hint hint_;                                                                            \
        if (leader_hints_find(h, (p)->error_code, group, &hint_))                                            \
            (p)->current_leader = KAFKA_NEW(&(h)->request->arena, type, 1);                                  \
        if ((p)->current_leader != NULL) {                                                                   \
            (p)->current_leader->leader_id = hint_.leader_id;                                                \
            (p)->current_leader->leader_epoch = hint_.leader_epoch;                                          \
        }                                                                                                    \
    } while (0)

#define LEADER_HINTS_SHOW_NODES(h, response, type)                                                           \
    do {                                                                                                     \
        if ((h)->count > 0)                                                                                  \
            (response)->node_endpoints.items = KAFKA_NEW(&(h)->request->arena, type, (h)->count);            \
        for (size_t i_ = 0; i_ < (h)->count && (response)->node_endpoints.items != NULL; i_++) {             \
            (response)->node_endpoints.items[i_].node_id = (int32_t)(h)->nodes[i_]->id;                      \
            (response)->node_endpoints.items[i_].host = kafka_node_host((h)->request, (h)->nodes[i_]);       \
            (response)->node_endpoints.items[i_].port = (h)->nodes[i_]->kafka_port;                          \
            (response)->node_endpoints.count++;                                                              \
        }                                                                                                    \
    } while (0)

#endif
