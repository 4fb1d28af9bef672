/* DescribeLogDirs: what the replicas on this node take on its disk. */
#include "node/consensus/group.h"
#include "node/server/kafka/dispatch.h"
#include "node/storage/log.h"
#include <stdlib.h>
#include <string.h>

struct replica {
    const char *topic;
    uint32_t index;
    uint64_t size_bytes;
    int64_t lag;
};

struct listing {
    struct kafka_request *request;
    struct replica *replicas; /* in the arena */
    size_t count;
    size_t capacity;
};

static bool is_wanted(const struct kafka_request *r, const char *topic, uint32_t index)
{
    const struct kafka_describe_log_dirs_request *m = r->message;
    bool wanted = m->topics.count < 0;
    for (int32_t i = 0; i < m->topics.count && !wanted; i++) {
        const struct kafka_describe_log_dirs_request_topic *t = &m->topics.items[i];
        for (int32_t k = 0; k < t->partitions.count && !wanted && kafka_string_is(t->topic, topic); k++)
            wanted = t->partitions.items[k] >= 0 && (uint32_t)t->partitions.items[k] == index;
    }
    return wanted;
}

static void count_replica(void *data, struct partition *p)
{
    (void)p;
    ++*(size_t *)data;
}

static void add_replica(void *data, struct partition *p)
{
    struct listing *l = data;
    struct group *group = partition_group(p);
    if (group == NULL || group_log(group) == NULL ||
        !is_wanted(l->request, partition_topic(p), partition_index(p)))
        return;
    int64_t behind = partition_high_watermark(p) - partition_end_offset(p);
    l->replicas[l->count++] = (struct replica){.topic = partition_topic(p),
                                               .index = partition_index(p),
                                               .size_bytes = log_size_bytes(group_log(group)),
                                               .lag = behind > 0 ? behind : 0};
}

static int by_topic(const void *a, const void *b)
{
    const struct replica *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

static bool collect(struct listing *l)
{
    struct broker *broker = l->request->server->broker;
    broker_each_partition(broker, count_replica, &l->capacity);
    l->replicas = arena_alloc(&l->request->arena, l->capacity * sizeof(*l->replicas));
    if (l->replicas == NULL)
        return false;
    broker_each_partition(broker, add_replica, l);
    qsort(l->replicas, l->count, sizeof(l->replicas[0]), by_topic);
    return true;
}

static size_t count_topics(const struct listing *l)
{
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++)
        count += i == 0 || strcmp(l->replicas[i - 1].topic, l->replicas[i].topic) != 0;
    return count;
}

/* Replicas [from, to) are those of one topic. */
static bool fill_topic(const struct listing *l, size_t from, size_t to,
                       struct kafka_describe_log_dirs_response_topic *t)
{
    struct arena *arena = &l->request->arena;
    t->name.data = arena_strndup(arena, l->replicas[from].topic, strlen(l->replicas[from].topic));
    t->name.size = (int32_t)strlen(l->replicas[from].topic);
    t->partitions.items = KAFKA_NEW(arena, describe_log_dirs_response_partition, to - from);
    if (t->name.data == NULL || t->partitions.items == NULL)
        return false;
    for (size_t i = from; i < to; i++)
        t->partitions.items[t->partitions.count++] = (struct kafka_describe_log_dirs_response_partition){
            .partition_index = (int32_t)l->replicas[i].index,
            .partition_size = (int64_t)l->replicas[i].size_bytes,
            .offset_lag = l->replicas[i].lag,
        };
    return true;
}

static bool fill(struct listing *l, struct kafka_describe_log_dirs_response_result *result)
{
    const struct server *s = l->request->server;
    uint64_t free_bytes;
    if (!collect(l))
        return false;
    result->log_dir = kafka_string_of(s->config->data_dir);
    if (env_free_space(s->env, s->config->data_dir, &free_bytes) == 0)
        result->usable_bytes = (int64_t)free_bytes;
    result->topics.items = KAFKA_NEW(&l->request->arena, describe_log_dirs_response_topic, count_topics(l));
    bool fits = result->topics.items != NULL;
    for (size_t from = 0, to; from < l->count && fits; from = to) {
        for (to = from + 1; to < l->count && strcmp(l->replicas[from].topic, l->replicas[to].topic) == 0;)
            to++;
        fits = fill_topic(l, from, to, &result->topics.items[result->topics.count++]);
    }
    return fits;
}

void kafka_describe_log_dirs(struct kafka_request *r)
{
    struct kafka_describe_log_dirs_response_result result = kafka_describe_log_dirs_response_result_default;
    struct kafka_describe_log_dirs_response response = kafka_describe_log_dirs_response_default;
    struct listing listing = {.request = r};
    response.results.items = &result;
    response.results.count = 1;
    if (fill(&listing, &result))
        kafka_respond(r, &response);
    else
        kafka_refuse_too_large(r);
}
