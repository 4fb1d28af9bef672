/* The assignors that look at nothing but names and numbers: range and round-robin. */
#include "node/group/assignor.h"

#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

assign_function *assignor_find(const char *name)
{
    if (name[0] == '\0' || strcmp(name, "sticky") == 0)
        return assign_sticky;
    if (strcmp(name, "range") == 0)
        return assign_range;
    return strcmp(name, "round-robin") == 0 ? assign_round_robin : NULL;
}

struct named {
    const char *name;
    uint32_t member;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static struct named *members_by_name(const struct assign_problem *p)
{
    struct named *order = memory_alloc((p->member_count + 1) * sizeof(*order));
    for (uint32_t i = 0; i < p->member_count; i++)
        order[i] = (struct named){p->members[i].name, i};
    qsort(order, p->member_count, sizeof(*order), compare_names);
    return order;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool subscribes(const struct assign_member *m, uint32_t topic)
{
    return m->topic_count > 0 &&
           bsearch(&topic, m->topics, m->topic_count, sizeof(topic), compare_numbers) != NULL;
}

static void deal_range(struct assign_problem *p, const struct assign_topic *topic, const uint32_t *members,
                       uint32_t count)
{
    uint32_t share = topic->count / count, extra = topic->count % count, next = topic->first;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t left = share + (i < extra ? 1 : 0); left > 0; left--)
            p->owner[next++] = (int32_t)members[i];
}

void assign_range(struct assign_problem *p)
{
    struct named *order = members_by_name(p);
    uint32_t *subscribers = memory_alloc((p->member_count + 1) * sizeof(*subscribers));
    for (uint32_t t = 0; t < p->topic_count; t++) {
        uint32_t count = 0;
        for (size_t i = 0; i < p->member_count; i++)
            if (subscribes(&p->members[order[i].member], t))
                subscribers[count++] = order[i].member;
        if (count > 0)
            deal_range(p, &p->topics[t], subscribers, count);
        for (uint32_t i = 0; count == 0 && i < p->topics[t].count; i++)
            p->owner[p->topics[t].first + i] = ASSIGN_NOBODY;
    }
    free(subscribers);
    free(order);
}

void assign_round_robin(struct assign_problem *p)
{
    struct named *order = members_by_name(p);
    size_t next = 0;
    for (uint32_t t = 0; t < p->topic_count; t++) {
        for (uint32_t i = 0; i < p->topics[t].count; i++) {
            int32_t *owner = &p->owner[p->topics[t].first + i];
            *owner = ASSIGN_NOBODY;
            for (size_t tried = 0; tried < p->member_count && *owner == ASSIGN_NOBODY; tried++) {
                uint32_t member = order[next++ % p->member_count].member;
                if (subscribes(&p->members[member], t))
                    *owner = (int32_t)member;
            }
        }
    }
    free(order);
}
