/* OffsetFetch: committed offsets of one group, or (from version 8 on) of several. */
#include "node/group/offsets.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

enum { OLDEST_WITH_GROUPS = 8, OLDEST_WITH_ERROR = 2, GROUPS_MAX = 1000 };

struct fetch_group {
    struct offsets_call *call;
    const char *name;
    const struct kafka_offset_fetch_request_group *asked;
    struct kafka_offset_fetch_response_group answer;
    struct read_index_req read_index;
    uint64_t coordinator_id;

    struct offset_commit *found; /* in the arena; by topic and partition once sorted */
    size_t count, capacity;
    bool full;
};

struct offsets_call {
    struct kafka_request *request;
    unsigned pending;
    int32_t count;
    struct kafka_offset_fetch_request_group only; /* of the versions without groups */
    struct fetch_group groups[];
};

/* ---- what is committed ---- */

static bool grow(struct fetch_group *g)
{
    size_t capacity = g->capacity == 0 ? 64 : g->capacity * 2;
    struct offset_commit *found = arena_alloc(&g->call->request->arena, capacity * sizeof(*found));
    if (found == NULL)
        return false;
    if (g->count > 0)
        memcpy(found, g->found, g->count * sizeof(*found));
    g->found = found;
    g->capacity = capacity;
    return true;
}

static void on_offset(void *data, const struct offset_commit *commit)
{
    struct fetch_group *g = data;
    const char *metadata = commit->metadata != NULL ? commit->metadata : "";
    if (g->full || (g->count == g->capacity && !grow(g))) {
        g->full = true;
        return;
    }
    g->found[g->count] = *commit;
    g->found[g->count].metadata = arena_strndup(&g->call->request->arena, metadata, strlen(metadata));
    g->full = g->found[g->count].metadata == NULL;
    g->count++;
}

static int by_place(const void *a, const void *b)
{
    const struct offset_commit *x = a, *y = b;
    int order = memcmp(x->topic_id, y->topic_id, TOPIC_ID_SIZE);
    if (order != 0)
        return order;
    return x->partition < y->partition ? -1 : x->partition > y->partition;
}

static void fill_offset(struct kafka_offset_fetch_response_partition *p, const struct offset_commit *found)
{
    p->committed_offset = found != NULL ? found->offset : -1;
    p->committed_leader_epoch = found != NULL ? found->leader_epoch : -1;
    p->metadata = kafka_string_of(found != NULL ? found->metadata : "");
}

/* ---- the partitions that were asked for ---- */

static bool answer_topic(struct fetch_group *g, const struct kafka_offset_fetch_request_topic *asked,
                         struct kafka_offset_fetch_response_topic *t)
{
    const struct topic_meta *topic = kafka_topic_by_name(g->call->request->server, asked->name);
    int32_t count = asked->partition_indexes.count;
    t->name = asked->name;
    t->partitions.items = KAFKA_NEW(&g->call->request->arena, offset_fetch_response_partition, (size_t)count);
    if (t->partitions.items == NULL)
        return false;
    t->partitions.count = count;
    for (int32_t i = 0; i < count; i++) {
        struct offset_commit key = {.partition = (uint32_t)asked->partition_indexes.items[i]};
        const struct offset_commit *found = NULL;
        if (topic != NULL && g->count > 0) {
            memcpy(key.topic_id, topic->id, TOPIC_ID_SIZE);
            found = bsearch(&key, g->found, g->count, sizeof(key), by_place);
        }
        t->partitions.items[i].partition_index = asked->partition_indexes.items[i];
        fill_offset(&t->partitions.items[i], found);
    }
    return true;
}

static bool answer_asked(struct fetch_group *g)
{
    int32_t count = g->asked->topics.count;
    g->answer.topics.items = KAFKA_NEW(&g->call->request->arena, offset_fetch_response_topic, (size_t)count);
    if (g->answer.topics.items == NULL)
        return false;
    g->answer.topics.count = count;
    for (int32_t i = 0; i < count; i++)
        if (!answer_topic(g, &g->asked->topics.items[i], &g->answer.topics.items[i]))
            return false;
    return true;
}

/* ---- all there are ---- */

static size_t run_length(const struct offset_commit *at, const struct offset_commit *end)
{
    size_t n = 1;
    while (at + n < end && memcmp(at->topic_id, at[n].topic_id, TOPIC_ID_SIZE) == 0)
        n++;
    return n;
}

static bool answer_run(struct fetch_group *g, const struct offset_commit *run, size_t n)
{
    const struct metadata *tables = cluster_metadata(g->call->request->server->cluster);
    const struct topic_meta *topic = metadata_topic_by_id(tables, run->topic_id);
    if (topic == NULL)
        return true; /* deleted since */
    struct kafka_offset_fetch_response_topic *t = &g->answer.topics.items[g->answer.topics.count++];
    t->name = kafka_string_of(topic->name);
    t->partitions.items = KAFKA_NEW(&g->call->request->arena, offset_fetch_response_partition, n);
    if (t->partitions.items == NULL)
        return false;
    t->partitions.count = (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        t->partitions.items[i].partition_index = (int32_t)run[i].partition;
        fill_offset(&t->partitions.items[i], &run[i]);
    }
    return true;
}

static bool answer_all(struct fetch_group *g)
{
    const struct offset_commit *end = g->found + g->count;
    size_t topics = 0, n;
    for (const struct offset_commit *at = g->found; at < end; at += run_length(at, end))
        topics++;
    g->answer.topics.items = KAFKA_NEW(&g->call->request->arena, offset_fetch_response_topic, topics);
    if (g->answer.topics.items == NULL)
        return false;
    for (const struct offset_commit *at = g->found; at < end; at += n) {
        n = run_length(at, end);
        if (!answer_run(g, at, n))
            return false;
    }
    return true;
}

/* ---- the answer ---- */

static void answer(struct offsets_call *call)
{
    struct kafka_request *r = call->request;
    struct kafka_offset_fetch_response response = kafka_offset_fetch_response_default;
    for (int32_t i = 0; i < call->count; i++) {
        if (call->groups[i].full) {
            kafka_refuse_too_large(r);
            return;
        }
    }
    if (r->header.api_version < OLDEST_WITH_GROUPS) {
        response.error_code = call->groups[0].answer.error_code;
        response.topics.items = call->groups[0].answer.topics.items;
        response.topics.count = call->groups[0].answer.topics.count;
    } else {
        response.groups.items = KAFKA_NEW(&r->arena, offset_fetch_response_group, (size_t)call->count);
        for (int32_t i = 0; i < call->count && response.groups.items != NULL; i++)
            response.groups.items[response.groups.count++] = call->groups[i].answer;
    }
    kafka_respond(r, &response);
}

static void release(struct offsets_call *call)
{
    if (--call->pending == 0)
        answer(call);
}

/* Where there is no place for the group's error, each partition says it. */
static void finish_group(struct fetch_group *g, int16_t error)
{
    g->answer.error_code = error;
    if (error != KAFKA_ERR_NONE && g->call->request->header.api_version < OLDEST_WITH_ERROR) {
        g->full = !answer_asked(g);
        for (int32_t i = 0; i < g->answer.topics.count; i++)
            for (int32_t k = 0; k < g->answer.topics.items[i].partitions.count; k++)
                g->answer.topics.items[i].partitions.items[k].error_code = error;
    }
    release(g->call);
}

static void look_up(struct fetch_group *g, struct partition *coordinator)
{
    int status = offsets_each(coordinator, g->name, NULL, on_offset, g);
    if (g->count > 0)
        qsort(g->found, g->count, sizeof(g->found[0]), by_place);
    if (!g->full)
        g->full = !(g->asked->topics.count < 0 ? answer_all(g) : answer_asked(g));
    finish_group(g, kafka_group_error(status));
}

static void on_confirmed(struct read_index_req *read_index, int status)
{
    struct fetch_group *g = read_index->data;
    struct partition *coordinator = broker_partition(g->call->request->server->broker, g->coordinator_id);
    if (status == 0 && coordinator == NULL)
        status = ERR_NOT_LEADER;
    if (status == 0)
        look_up(g, coordinator);
    else
        finish_group(g, kafka_group_error(status));
}

static void begin(struct fetch_group *g)
{
    struct kafka_request *r = g->call->request;
    struct partition *coordinator = NULL;
    g->name = kafka_request_text(r, g->asked->group_id);
    int16_t error = g->name == NULL ? KAFKA_ERR_INVALID_GROUP_ID
                                    : kafka_local_coordinator(r->server, g->name, &coordinator);
    if (error == KAFKA_ERR_NONE) {
        g->coordinator_id = partition_group_id(coordinator);
        g->read_index.data = g;
        error =
            kafka_group_error(group_read_index(partition_group(coordinator), &g->read_index, on_confirmed));
    }
    if (error != KAFKA_ERR_NONE)
        finish_group(g, error);
}

void kafka_offset_fetch(struct kafka_request *r)
{
    const struct kafka_offset_fetch_request *m = r->message;
    bool single = r->header.api_version < OLDEST_WITH_GROUPS;
    int32_t count = single ? 1 : m->groups.count;
    if (count > GROUPS_MAX) {
        kafka_refuse(r, "too many groups in one request");
        return;
    }
    struct offsets_call *call =
        kafka_request_state(r, sizeof(*call) + (size_t)count * sizeof(call->groups[0]));
    call->request = r;
    call->count = count;
    call->pending = (unsigned)count + 1; /* one for this function */
    call->only.group_id = m->group_id;
    call->only.topics.items = m->topics.items;
    call->only.topics.count = m->topics.count;
    for (int32_t i = 0; i < count; i++) {
        struct fetch_group *g = &call->groups[i];
        g->call = call;
        g->asked = single ? &call->only : &m->groups.items[i];
        g->answer = kafka_offset_fetch_response_group_default;
        g->answer.group_id = g->asked->group_id;
        begin(g);
    }
    release(call);
}
