/* An error for each partition whose committed offset a request is about: what OffsetCommit and OffsetDelete
 * answer with. Internal to this room. */
#ifndef SERVER_KAFKA_OFFSET_RESULTS_H
#define SERVER_KAFKA_OFFSET_RESULTS_H

#include "node/server/kafka/kafka_request.h"
#include "proto/kafka/messages.h"

struct offset_results {
    struct arena *arena;
    struct kafka_offset_commit_response_topic *topics; /* in the arena; in the order of the request */
    int32_t count;
};

/* False: the arena is full. */
bool offset_results_init(struct offset_results *r, struct arena *arena, int32_t topics);
/* The next topic, with partitions that have no error yet. The caller fills in which they are. NULL: the arena
 * is full. */
struct kafka_offset_commit_response_partition *
offset_results_add(struct offset_results *r, struct kafka_string topic, int32_t partitions);
/* Of those that have none of their own. */
void offset_results_set_error(struct offset_results *r, int16_t error);

#endif
