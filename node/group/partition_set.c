#include "node/group/partition_set.h"

#include "node/base/memory.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

static int compare(const struct topic_partition *a, const struct topic_partition *b)
{
    int order = memcmp(a->topic_id, b->topic_id, TOPIC_ID_SIZE);
    if (order != 0)
        return order;
    return (a->partition > b->partition) - (a->partition < b->partition);
}

static int compare_items(const void *a, const void *b)
{
    return compare(a, b);
}

void partition_set_close(struct partition_set *s)
{
    free(s->items);
    *s = (struct partition_set){0};
}

void partition_set_copy(struct partition_set *to, const struct partition_set *from)
{
    *to = (struct partition_set){0};
    if (from->count == 0)
        return;
    to->items = memory_dup(from->items, from->count * sizeof(from->items[0]));
    to->count = to->capacity = from->count;
}

void partition_set_move(struct partition_set *to, struct partition_set *from)
{
    partition_set_close(to);
    *to = *from;
    *from = (struct partition_set){0};
}

static void push(struct partition_set *s, const struct topic_partition *item)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 8 : s->capacity * 2;
        s->items = memory_realloc(s->items, s->capacity * sizeof(s->items[0]));
    }
    s->items[s->count++] = *item;
}

void partition_set_append(struct partition_set *s, const uint8_t topic_id[TOPIC_ID_SIZE], uint32_t partition)
{
    struct topic_partition item = {.partition = partition};
    memcpy(item.topic_id, topic_id, TOPIC_ID_SIZE);
    push(s, &item);
}

static bool is_sorted(const struct partition_set *s)
{
    for (size_t i = 1; i < s->count; i++)
        if (compare(&s->items[i - 1], &s->items[i]) >= 0)
            return false;
    return true;
}

void partition_set_sort(struct partition_set *s)
{
    if (is_sorted(s))
        return;
    qsort(s->items, s->count, sizeof(s->items[0]), compare_items);
    size_t kept = 1;
    for (size_t i = 1; i < s->count; i++)
        if (compare(&s->items[kept - 1], &s->items[i]) != 0)
            s->items[kept++] = s->items[i];
    s->count = kept;
}

bool partition_set_has(const struct partition_set *s, const struct topic_partition *p)
{
    return s->count > 0 && bsearch(p, s->items, s->count, sizeof(s->items[0]), compare_items) != NULL;
}

bool partition_set_equal(const struct partition_set *a, const struct partition_set *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (compare(&a->items[i], &b->items[i]) != 0)
            return false;
    return true;
}

/* Walks both in order; `common` says which of a's items are wanted. */
static void select_items(const struct partition_set *a, const struct partition_set *b, bool common,
                         struct partition_set *out)
{
    size_t j = 0;
    for (size_t i = 0; i < a->count; i++) {
        while (j < b->count && compare(&b->items[j], &a->items[i]) < 0)
            j++;
        bool both = j < b->count && compare(&b->items[j], &a->items[i]) == 0;
        if (both == common)
            push(out, &a->items[i]);
    }
}

void partition_set_minus(const struct partition_set *a, const struct partition_set *b,
                         struct partition_set *out)
{
    select_items(a, b, false, out);
}

void partition_set_common(const struct partition_set *a, const struct partition_set *b,
                          struct partition_set *out)
{
    select_items(a, b, true, out);
}

void partition_set_add(struct partition_set *a, const struct partition_set *b)
{
    for (size_t i = 0; i < b->count; i++)
        push(a, &b->items[i]);
    partition_set_sort(a);
}

/* ---- messages ---- */

int partition_set_unpack(Flotilla__GroupPartitions *const *from, size_t count, struct partition_set *out)
{
    for (size_t i = 0; i < count; i++) {
        const Flotilla__GroupPartitions *topic = from[i];
        if (topic->topic_id.len != TOPIC_ID_SIZE)
            return ERR_INVALID_ARGUMENT;
        if (topic->n_partitions > PARTITION_SET_MAX - out->count)
            return ERR_TOO_LARGE;
        for (size_t j = 0; j < topic->n_partitions; j++)
            partition_set_append(out, topic->topic_id.data, topic->partitions[j]);
    }
    partition_set_sort(out);
    return 0;
}

static bool same_topic(const struct topic_partition *a, const struct topic_partition *b)
{
    return memcmp(a->topic_id, b->topic_id, TOPIC_ID_SIZE) == 0;
}

static size_t count_topics(const struct partition_set *s)
{
    size_t topics = 0;
    for (size_t i = 0; i < s->count; i++)
        topics += i == 0 || !same_topic(&s->items[i - 1], &s->items[i]);
    return topics;
}

void partition_set_pack(const struct partition_set *s, struct packed_partitions *out)
{
    size_t topics = count_topics(s);
    *out = (struct packed_partitions){0};
    if (topics == 0)
        return;
    out->messages = memory_alloc(topics * sizeof(out->messages[0]));
    out->pointers = memory_alloc(topics * sizeof(out->pointers[0]));
    out->numbers = memory_alloc(s->count * sizeof(out->numbers[0]));
    for (size_t i = 0; i < s->count; i++) {
        struct topic_partition *item = &s->items[i];
        if (i == 0 || !same_topic(item - 1, item)) {
            Flotilla__GroupPartitions *m = &out->messages[out->count];
            flotilla__group_partitions__init(m);
            m->topic_id = (ProtobufCBinaryData){TOPIC_ID_SIZE, item->topic_id};
            m->partitions = &out->numbers[i];
            out->pointers[out->count++] = m;
        }
        out->numbers[i] = item->partition;
        out->messages[out->count - 1].n_partitions++;
    }
}

void packed_partitions_close(struct packed_partitions *p)
{
    free(p->messages);
    free(p->pointers);
    free(p->numbers);
}
