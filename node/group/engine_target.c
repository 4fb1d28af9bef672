/* What each member of a group is to have in the end: its subscriptions as a problem for the group's assignor.
 */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/group/assignor.h"
#include "node/group/engine_internal.h"
#include <stdlib.h>
#include <string.h>

/* ---- subscriptions ---- */

/* `*` stands for any number of characters, `?` for one. */
bool topic_pattern_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;
    while (*name != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            resume = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static int compare_name(const void *name, const void *topic)
{
    return strcmp(name, ((const struct engine_topic *)topic)->name);
}

static const struct engine_topic *find_topic(const struct engine_topics *topics, const char *name)
{
    return topics->count == 0
               ? NULL
               : bsearch(name, topics->items, topics->count, sizeof(topics->items[0]), compare_name);
}

/* Marks the topics of one member. */
static void mark_subscribed(const struct engine_topics *topics, const Flotilla__MemberValue *value,
                            bool *subscribed)
{
    memset(subscribed, 0, topics->count * sizeof(subscribed[0]));
    for (size_t i = 0; i < value->n_topics; i++) {
        const struct engine_topic *topic = find_topic(topics, value->topics[i]);
        if (topic != NULL)
            subscribed[topic - topics->items] = true;
    }
    for (size_t i = 0; i < topics->count && value->pattern[0] != '\0'; i++)
        if (!topics->items[i].internal && topic_pattern_matches(value->pattern, topics->items[i].name))
            subscribed[i] = true;
}

/* ---- the problem ---- */

struct target {
    struct draft *draft;
    const struct engine_topics *topics;
    uint32_t *chosen;                  /* problem's topic -> topic */
    uint32_t *number;                  /* topic -> problem's topic */
    const struct engine_topic **by_id; /* of the chosen, in order of their ids */
    uint32_t **subscriptions;          /* of each member */
    struct assign_topic *assign_topics;
    struct assign_member *members;
    struct assign_problem problem;
};

static int compare_ids(const void *a, const void *b)
{
    const struct engine_topic *const *x = a, *const *y = b;
    return memcmp((*x)->id, (*y)->id, TOPIC_ID_SIZE);
}

static int compare_with_id(const void *id, const void *topic)
{
    return memcmp(id, (*(const struct engine_topic *const *)topic)->id, TOPIC_ID_SIZE);
}

/* Every member's subscriptions as indexes of topics; `used` tells which topics anybody wants. */
static void collect_subscriptions(struct target *t, bool *used)
{
    bool *subscribed = memory_zalloc(t->topics->count + 1);
    for (size_t i = 0; i < t->draft->count; i++) {
        struct assign_member *m = &t->members[i];
        mark_subscribed(t->topics, t->draft->members[i].value, subscribed);
        size_t count = 0;
        for (size_t j = 0; j < t->topics->count; j++)
            count += subscribed[j];
        t->subscriptions[i] = memory_alloc((count + 1) * sizeof(uint32_t));
        for (uint32_t j = 0; j < t->topics->count; j++) {
            used[j] |= subscribed[j];
            if (subscribed[j])
                t->subscriptions[i][m->topic_count++] = j;
        }
        m->topics = t->subscriptions[i];
        m->name = t->draft->members[i].id;
        m->rack = t->draft->members[i].value->rack;
    }
    free(subscribed);
}

/* Only topics that somebody wants are part of the problem. */
static void choose_topics(struct target *t, const bool *used)
{
    struct assign_problem *p = &t->problem;
    for (uint32_t i = 0; i < t->topics->count; i++) {
        if (!used[i])
            continue;
        uint32_t n = (uint32_t)p->topic_count++;
        t->number[i] = n;
        t->chosen[n] = i;
        t->by_id[n] = &t->topics->items[i];
        t->assign_topics[n] = (struct assign_topic){p->partition_count, t->topics->items[i].partition_count};
        p->partition_count += t->topics->items[i].partition_count;
    }
    for (size_t i = 0; i < t->draft->count; i++)
        for (size_t j = 0; j < t->members[i].topic_count; j++)
            t->subscriptions[i][j] = t->number[t->subscriptions[i][j]];
    if (p->topic_count > 0)
        qsort(t->by_id, p->topic_count, sizeof(t->by_id[0]), compare_ids);
}

static bool in_rack(void *data, uint32_t topic, uint32_t partition, const char *rack)
{
    const struct target *t = data;
    return t->topics->in_rack(t->topics->data, &t->topics->items[t->chosen[topic]], partition, rack);
}

static void target_init(struct target *t, struct draft *d, const struct engine_topics *topics)
{
    size_t topic_room = topics->count + 1, member_room = d->count + 1;
    *t = (struct target){
        .draft = d,
        .topics = topics,
        .chosen = memory_alloc(topic_room * sizeof(uint32_t)),
        .number = memory_alloc(topic_room * sizeof(uint32_t)),
        .by_id = memory_alloc(topic_room * sizeof(struct engine_topic *)),
        .subscriptions = memory_alloc(member_room * sizeof(uint32_t *)),
        .assign_topics = memory_alloc(topic_room * sizeof(struct assign_topic)),
        .members = memory_zalloc(member_room * sizeof(struct assign_member)),
    };
    bool *used = memory_zalloc(topic_room);
    collect_subscriptions(t, used);
    choose_topics(t, used);
    free(used);
    t->problem.topics = t->assign_topics;
    t->problem.members = t->members;
    t->problem.member_count = d->count;
    t->problem.in_rack = topics->in_rack != NULL ? in_rack : NULL;
    t->problem.data = t;
    t->problem.owner = memory_alloc((t->problem.partition_count + 1) * sizeof(int32_t));
}

static void target_close(struct target *t)
{
    for (size_t i = 0; i < t->draft->count; i++)
        free(t->subscriptions[i]);
    free(t->chosen);
    free(t->number);
    free(t->by_id);
    free(t->subscriptions);
    free(t->assign_topics);
    free(t->members);
    free(t->problem.owner);
}

/* ---- from targets to owners and back ---- */

static int32_t *owner_of(struct target *t, const struct topic_partition *p)
{
    const struct engine_topic **found =
        t->problem.topic_count == 0
            ? NULL
            : bsearch(p->topic_id, t->by_id, t->problem.topic_count, sizeof(t->by_id[0]), compare_with_id);
    if (found == NULL || p->partition >= (*found)->partition_count)
        return NULL;
    uint32_t topic = t->number[*found - t->topics->items];
    return &t->problem.owner[t->assign_topics[topic].first + p->partition];
}

static void load_owners(struct target *t)
{
    for (uint32_t i = 0; i < t->problem.partition_count; i++)
        t->problem.owner[i] = ASSIGN_NOBODY;
    for (size_t i = 0; i < t->draft->count; i++) {
        const struct partition_set *target = &t->draft->members[i].share.target;
        for (size_t j = 0; j < target->count; j++) {
            int32_t *owner = owner_of(t, &target->items[j]);
            if (owner != NULL)
                *owner = (int32_t)i;
        }
    }
}

static void store_targets(struct target *t)
{
    for (size_t i = 0; i < t->draft->count; i++)
        partition_set_close(&t->draft->members[i].share.target);
    for (uint32_t topic = 0; topic < t->problem.topic_count; topic++) {
        const uint8_t *id = t->topics->items[t->chosen[topic]].id;
        for (uint32_t i = 0; i < t->assign_topics[topic].count; i++) {
            int32_t owner = t->problem.owner[t->assign_topics[topic].first + i];
            if (owner != ASSIGN_NOBODY)
                partition_set_append(&t->draft->members[owner].share.target, id, i);
        }
    }
    for (size_t i = 0; i < t->draft->count; i++)
        partition_set_sort(&t->draft->members[i].share.target);
}

void draft_retarget(struct draft *d, const struct engine_topics *topics)
{
    if (d->count == 0)
        return;
    struct target t;
    target_init(&t, d, topics);
    load_owners(&t);
    assign_function *assign = assignor_find(d->members[0].value->assignor);
    if (assign == NULL)
        assign = assign_sticky; /* of a newer version */
    assign(&t.problem);
    store_targets(&t);
    target_close(&t);
}
