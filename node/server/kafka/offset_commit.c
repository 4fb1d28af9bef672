/* OffsetCommit: what can be committed goes into one batch of the coordinator's log; the rest has its own
 * error. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"
#include "node/server/kafka/lookup.h"
#include "node/server/kafka/offset_results.h"
#include "proto/error.h"
#include <string.h>

struct commit_call {
    struct kafka_request *request;
    struct offset_results results;
    struct offset_commit *commits; /* in the arena */
    size_t count, capacity;
    struct offsets_commit_req commit;
};

static size_t count_partitions(const struct kafka_offset_commit_request *m)
{
    size_t count = 0;
    for (int32_t i = 0; i < m->topics.count; i++)
        count += (size_t)m->topics.items[i].partitions.count;
    return count;
}

static bool prepare(struct commit_call *call, const struct kafka_offset_commit_request *m)
{
    struct arena *arena = &call->request->arena;
    call->capacity = count_partitions(m);
    call->commits = arena_alloc(arena, call->capacity * sizeof(*call->commits));
    if (call->commits == NULL || !offset_results_init(&call->results, arena, m->topics.count))
        return false;
    for (int32_t i = 0; i < m->topics.count; i++) {
        const struct kafka_offset_commit_request_topic *asked = &m->topics.items[i];
        struct kafka_offset_commit_response_partition *partitions =
            offset_results_add(&call->results, asked->name, asked->partitions.count);
        if (partitions == NULL)
            return false;
        for (int32_t k = 0; k < asked->partitions.count; k++)
            partitions[k].partition_index = asked->partitions.items[k].partition_index;
    }
    return true;
}

static void answer(struct commit_call *call, int16_t error)
{
    struct kafka_offset_commit_response response = kafka_offset_commit_response_default;
    offset_results_set_error(&call->results, error);
    response.topics.items = call->results.topics;
    response.topics.count = call->results.count;
    kafka_respond(call->request, &response);
}

static void on_committed(struct offsets_commit_req *req, int status)
{
    answer(req->data,
           status == ERR_TOO_LARGE ? KAFKA_ERR_INVALID_COMMIT_OFFSET_SIZE : kafka_group_error(status));
}

static int16_t collect(struct commit_call *call, const struct topic_meta *topic,
                       const struct kafka_offset_commit_request_partition *asked)
{
    struct kafka_request *r = call->request;
    if (topic == NULL || asked->partition_index < 0 ||
        (uint32_t)asked->partition_index >= topic->partition_count)
        return kafka_unknown_topic(r->server);
    if (asked->committed_offset < 0)
        return KAFKA_ERR_OFFSET_OUT_OF_RANGE;
    const char *metadata = kafka_request_text(r, asked->committed_metadata);
    if (metadata == NULL || strlen(metadata) > OFFSETS_METADATA_MAX)
        return KAFKA_ERR_OFFSET_METADATA_TOO_LARGE;
    struct offset_commit *commit = &call->commits[call->count++];
    *commit = (struct offset_commit){.partition = (uint32_t)asked->partition_index,
                                     .offset = asked->committed_offset,
                                     .leader_epoch = asked->committed_leader_epoch,
                                     .metadata = metadata};
    memcpy(commit->topic_id, topic->id, TOPIC_ID_SIZE);
    return KAFKA_ERR_NONE;
}

static void collect_all(struct commit_call *call, const struct kafka_offset_commit_request *m)
{
    for (int32_t i = 0; i < m->topics.count; i++) {
        const struct kafka_offset_commit_request_topic *asked = &m->topics.items[i];
        const struct topic_meta *topic = kafka_topic_by_name(call->request->server, asked->name);
        for (int32_t k = 0; k < asked->partitions.count; k++)
            call->results.topics[i].partitions.items[k].error_code =
                collect(call, topic, &asked->partitions.items[k]);
    }
}

static int16_t check_member(struct kafka_request *r, const struct kafka_group *group)
{
    const struct kafka_offset_commit_request *m = r->message;
    struct kafka_member_texts texts;
    if (!kafka_member_texts(r, m->member_id, m->group_instance_id, &texts))
        return KAFKA_ERR_UNKNOWN_MEMBER_ID;
    return classic_coordinator_check_commit(coordinator_classic(group->coordinator), group->name,
                                            texts.member_id, texts.instance_id, m->generation_id);
}

void kafka_offset_commit(struct kafka_request *r)
{
    const struct kafka_offset_commit_request *m = r->message;
    struct commit_call *call = kafka_request_state(r, sizeof(*call));
    struct kafka_group group;
    call->request = r;
    call->commit.data = call;
    if (!prepare(call, m)) {
        kafka_refuse_too_large(r);
        return;
    }
    int16_t error = kafka_find_group(r, m->group_id, &group);
    if (error == KAFKA_ERR_NONE)
        error = check_member(r, &group);
    if (error == KAFKA_ERR_NONE)
        collect_all(call, m);
    if (error != KAFKA_ERR_NONE || call->count == 0)
        answer(call, error);
    else if (call->count > OFFSETS_COMMIT_MAX)
        answer(call, KAFKA_ERR_INVALID_COMMIT_OFFSET_SIZE);
    else
        offsets_commit(broker_partition(r->server->broker, group.coordinator_id), &call->commit, group.name,
                       call->commits, call->count, on_committed);
}
