#include "node/server/kafka/offset_results.h"
#include "proto/kafka/errors.h"

bool offset_results_init(struct offset_results *r, struct arena *arena, int32_t topics)
{
    *r = (struct offset_results){.arena = arena};
    r->topics = KAFKA_NEW(arena, offset_commit_response_topic, (size_t)topics);
    return r->topics != NULL;
}

struct kafka_offset_commit_response_partition *
offset_results_add(struct offset_results *r, struct kafka_string topic, int32_t partitions)
{
    struct kafka_offset_commit_response_topic *t = &r->topics[r->count++];
    t->name = topic;
    t->partitions.items = KAFKA_NEW(r->arena, offset_commit_response_partition, (size_t)partitions);
    t->partitions.count = t->partitions.items != NULL ? partitions : 0;
    return t->partitions.items;
}

void offset_results_set_error(struct offset_results *r, int16_t error)
{
    for (int32_t i = 0; i < r->count; i++) {
        struct kafka_offset_commit_response_topic *t = &r->topics[i];
        for (int32_t k = 0; k < t->partitions.count; k++)
            if (t->partitions.items[k].error_code == KAFKA_ERR_NONE)
                t->partitions.items[k].error_code = error;
    }
}
