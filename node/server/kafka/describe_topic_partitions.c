/* DescribeTopicPartitions: topics in name order, so many partitions at a time; a cursor says where to go on.
 */
#include "node/server/kafka/cluster_view.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS_MAX = 2000 };

struct description {
    struct kafka_request *request;
    struct kafka_describe_topic_partitions_response response;
    const struct kafka_describe_topic_partitions_request_cursor *from; /* NULL: from the beginning */
    struct kafka_string *names;                                        /* sorted, none twice */
    size_t name_count;
    int32_t room; /* partitions that still fit into this answer */
    bool full;    /* the arena's bound is reached */
};

/* ---- which topics ---- */

static int compare(struct kafka_string a, struct kafka_string b)
{
    size_t size = (size_t)(a.size < b.size ? a.size : b.size);
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_name(const void *a, const void *b)
{
    const struct kafka_string *x = a, *y = b;
    return compare(*x, *y);
}

static void add_name(void *data, const struct topic_meta *topic)
{
    struct description *d = data;
    d->names[d->name_count++] = kafka_string_of(topic->name);
}

static void drop_repeats(struct description *d)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->name_count; i++)
        if (kept == 0 || compare(d->names[kept - 1], d->names[i]) != 0)
            d->names[kept++] = d->names[i];
    d->name_count = kept;
}

static bool collect_names(struct description *d, const struct kafka_describe_topic_partitions_request *m)
{
    const struct metadata *tables = cluster_metadata(d->request->server->cluster);
    size_t count = m->topics.count > 0 ? (size_t)m->topics.count : metadata_topic_count(tables);
    d->names = arena_alloc(&d->request->arena, count * sizeof(*d->names));
    if (d->names == NULL)
        return false;
    if (m->topics.count == 0)
        metadata_each_topic(tables, add_name, d);
    for (int32_t i = 0; i < m->topics.count; i++)
        d->names[d->name_count++] = m->topics.items[i].name;
    qsort(d->names, d->name_count, sizeof(d->names[0]), by_name);
    drop_repeats(d);
    return true;
}

/* ---- what of them ---- */

static bool fill_partition(struct description *d, const struct partition_meta *meta,
                           struct kafka_describe_topic_partitions_response_partition *p)
{
    struct kafka_partition_view view;
    if (!kafka_partition_view(d->request, meta, &view))
        return false;
    KAFKA_SHOW_PARTITION(p, meta, &view);
    /* Who may lead without losing records is Raft's business; clients want lists, not nulls. */
    p->eligible_leader_replicas.count = 0;
    p->last_known_elr.count = 0;
    return true;
}

static void set_next(struct description *d, struct kafka_string name, uint32_t index)
{
    d->response.next_cursor = KAFKA_NEW(&d->request->arena, describe_topic_partitions_response_cursor, 1);
    d->full = d->response.next_cursor == NULL;
    if (!d->full)
        *d->response.next_cursor =
            (struct kafka_describe_topic_partitions_response_cursor){name, (int32_t)index};
}

static void fill_partitions(struct description *d, const struct topic_meta *topic, uint32_t first,
                            struct kafka_describe_topic_partitions_response_topic *t)
{
    uint32_t left = first < topic->partition_count ? topic->partition_count - first : 0;
    uint32_t count = left < (uint32_t)d->room ? left : (uint32_t)d->room;
    t->partitions.items = KAFKA_NEW(&d->request->arena, describe_topic_partitions_response_partition, count);
    d->full = t->partitions.items == NULL;
    for (uint32_t i = 0; i < count && !d->full; i++)
        d->full =
            !fill_partition(d, &topic->partitions[first + i], &t->partitions.items[t->partitions.count++]);
    d->room -= (int32_t)count;
    if (!d->full && count < left)
        set_next(d, t->name, first + count);
}

static void fill_topic(struct description *d, struct kafka_string name)
{
    struct kafka_request *r = d->request;
    struct kafka_describe_topic_partitions_response_topic *t =
        &d->response.topics.items[d->response.topics.count++];
    const struct topic_meta *topic = kafka_topic_by_name(r->server, name);
    t->name = name;
    if (topic == NULL) {
        t->error_code = kafka_missing_topic(r, name);
        return;
    }
    bool goes_on = d->from != NULL && compare(d->from->topic_name, name) == 0 && d->from->partition_index > 0;
    t->name = kafka_string_of(topic->name);
    t->topic_id = kafka_topic_uuid(topic);
    t->is_internal = topic->internal;
    fill_partitions(d, topic, goes_on ? (uint32_t)d->from->partition_index : 0, t);
}

static void fill_topics(struct description *d)
{
    for (size_t i = 0; i < d->name_count && !d->full && d->response.next_cursor == NULL; i++) {
        if (d->from != NULL && compare(d->names[i], d->from->topic_name) < 0)
            continue;
        if (d->room > 0)
            fill_topic(d, d->names[i]);
        else
            set_next(d, d->names[i], 0);
    }
}

void kafka_describe_topic_partitions(struct kafka_request *r)
{
    const struct kafka_describe_topic_partitions_request *m = r->message;
    struct description d = {
        .request = r, .response = kafka_describe_topic_partitions_response_default, .from = m->cursor};
    d.room = m->response_partition_limit > 0 && m->response_partition_limit < PARTITIONS_MAX
                 ? m->response_partition_limit
                 : PARTITIONS_MAX;
    d.full = !collect_names(&d, m);
    if (!d.full) {
        d.response.topics.items =
            KAFKA_NEW(&r->arena, describe_topic_partitions_response_topic, d.name_count);
        d.full = d.response.topics.items == NULL;
    }
    if (!d.full)
        fill_topics(&d);
    if (d.full)
        kafka_refuse_too_large(r);
    else
        kafka_respond(r, &d.response);
}
