/* A request that the controller serves, for controller.c and for plan.c, which turns topic requests into
 * commands. */
#ifndef CLUSTER_CONTROLLER_REQUEST_H
#define CLUSTER_CONTROLLER_REQUEST_H

#include "node/cluster/internal.h"
#include <stdarg.h>

struct controller_request {
    struct queue node; /* while it waits for its turn to place */
    struct cluster *cluster;
    Flotilla__ControllerRequest *request;
    Flotilla__ControllerAnswer reply;
    uint8_t topic_id[TOPIC_ID_SIZE]; /* what the reply points to */
    char message[256];
    char summary[320]; /* for the log once it is applied */
    struct group0_proposal proposal;
    controller_answer_cb answer;
    void *data;
};

/* Puts the error and the reason into the reply; returns the error. */
__attribute__((format(printf, 3, 4))) int controller_refuse(struct controller_request *r, int error,
                                                            const char *format, ...);

/* ---- plan.c ---- */

/* What a planned command points to. Zeroed to begin with. */
struct plan {
    Flotilla__CreateTopic create;
    Flotilla__AlterTopic alter;
    Flotilla__TopicRecord topic;
    uint8_t topic_id[TOPIC_ID_SIZE];
    struct partition_meta *partitions;
    Flotilla__PartitionRecord *records;
    Flotilla__PartitionRecord **record_list;
};

enum plan_result {
    PLAN_PROPOSE,
    PLAN_ANSWER, /* refused, or there is nothing to do: the reply says it */
};

enum plan_result plan_create(struct controller_request *r, struct plan *plan,
                             Flotilla__MetadataCommand *command);
enum plan_result plan_alter(struct controller_request *r, struct plan *plan,
                            Flotilla__MetadataCommand *command);
/* A topic of the cluster's own; 0 or an error. */
int plan_internal_topic(struct cluster *c, const char *name, uint32_t partitions, uint32_t replicas,
                        struct plan *plan, Flotilla__MetadataCommand *command);
void plan_free(struct plan *plan);

#endif
