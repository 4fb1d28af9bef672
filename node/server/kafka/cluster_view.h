/* The cluster as Kafka's metadata APIs show it. Internal to this room. */
#ifndef SERVER_KAFKA_CLUSTER_VIEW_H
#define SERVER_KAFKA_CLUSTER_VIEW_H

#include "node/server/kafka/kafka_request.h"

struct kafka_partition_view {
    int16_t error;        /* LEADER_NOT_AVAILABLE, or none */
    int32_t leader_id;    /* -1: nobody */
    int32_t leader_epoch; /* -1: not known */
    int32_t *replicas;    /* in the arena; the first is the preferred leader */
    int32_t *in_sync;     /* those whose node is reached */
    int32_t *offline;
    int32_t replica_count;
    int32_t in_sync_count;
    int32_t offline_count;
};

/* Into what a response has for a partition: the fields have the same names wherever there are any. */
#define KAFKA_SHOW_PARTITION(p, meta, view)                                                                  \
    do {                                                                                                     \
        (p)->error_code = (view)->error;                                                                     \
        (p)->partition_index = (int32_t)(meta)->index;                                                       \
        (p)->leader_id = (view)->leader_id;                                                                  \
        (p)->leader_epoch = (view)->leader_epoch;                                                            \
        (p)->replica_nodes.items = (view)->replicas;                                                         \
        (p)->replica_nodes.count = (view)->replica_count;                                                    \
        (p)->isr_nodes.items = (view)->in_sync;                                                              \
        (p)->isr_nodes.count = (view)->in_sync_count;                                                        \
        (p)->offline_replicas.items = (view)->offline;                                                       \
        (p)->offline_replicas.count = (view)->offline_count;                                                 \
    } while (0)

/* False when the arena is full. */
bool kafka_partition_view(struct kafka_request *r, const struct partition_meta *meta,
                          struct kafka_partition_view *view);
/* A live node that clients may take for the controller: any of them passes on what the controller has to do.
 */
int32_t kafka_controller_id(const struct server *s);

#endif
