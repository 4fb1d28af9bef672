/* A consumer as a whole: its topics and their partitions. */
#include "client/core/consumer/consumer.h"
#include "client/core/consumer/member.h"

enum { SLOTS_PER_CONSUMER = 1 << 20 };

/* ---- partitions ---- */

struct core_consumer_partition *core_consumer_partition_find(struct core_consumer *consumer,
                                                             const struct core_topic *topic, uint32_t index)
{
    for (uint64_t i = 0; i < consumer->partition_count; i++)
        if (consumer->partitions[i]->topic == topic && consumer->partitions[i]->index == index)
            return consumer->partitions[i];
    return NULL;
}

struct core_consumer_partition *core_consumer_partition_get(struct core_consumer *consumer,
                                                            struct core_topic *topic, uint32_t index)
{
    struct core_consumer_partition *p = core_consumer_partition_find(consumer, topic, index);

    if (p != NULL || consumer->partition_count == SLOTS_PER_CONSUMER)
        return p;
    p = core_consumer_partition_create(consumer, topic, index);
    p->slot = consumer->partition_count++;
    consumer->partitions =
        realloc(consumer->partitions, consumer->partition_count * sizeof(struct core_consumer_partition *));
    if (consumer->partitions == NULL)
        abort();
    consumer->partitions[p->slot] = p;
    return p;
}

struct core_consumer_topic *core_consumer_topic_get(struct core_consumer *consumer, struct core_topic *topic)
{
    struct core_consumer_topic *t = TAILQ_FIRST(&consumer->topics);

    while (t != NULL && t->topic != topic)
        t = TAILQ_NEXT(t, link);
    if (t == NULL) {
        t = core_alloc(sizeof(*t));
        t->topic = topic;
        TAILQ_INSERT_TAIL(&consumer->topics, t, link);
    }
    return t;
}

/* A partition that was added later holds nothing that was written before: it is read from its beginning on.
 */
static void topic_begin_partitions(struct core_consumer *consumer, struct core_consumer_topic *t)
{
    bool as_asked = t->begun == 0 || t->start == FLOTILLA_START_COMMITTED;

    for (; t->begun < t->topic->partition_count; t->begun++) {
        struct core_consumer_partition *p = core_consumer_partition_get(consumer, t->topic, t->begun);
        if (p != NULL)
            core_consumer_partition_begin(p, as_asked ? t->start : FLOTILLA_START_BEGINNING, t->value);
    }
}

/* Begins what can begin now that more may be known. */
static void topic_check(struct core *core, struct core_consumer *consumer, struct core_consumer_topic *t)
{
    int missing = core_topic_missing(core, t->topic);

    if (!t->all)
        return;
    if (missing != 0 && t->begun == 0) {
        t->all = false;
        core_consumer_push_topic_error(consumer, t->topic->name, missing, "no such topic");
    } else if (!t->topic->known) {
        core_metadata_need(core);
    } else {
        topic_begin_partitions(consumer, t);
    }
}

void core_consumer_subscribe(struct core_consumer *consumer, const char *topic_name, int32_t partition,
                             enum flotilla_start start, int64_t value)
{
    struct core *core = consumer->core;
    struct core_topic *topic = core_topic_get(core, topic_name);
    struct core_consumer_topic *t = core_consumer_topic_get(consumer, topic);

    if (!topic->known && topic->missing_since_ns != 0)
        topic->missing_since_ns = core->now; /* somebody may have just created it: ask once more */
    if (partition >= 0) {
        struct core_consumer_partition *p = core_consumer_partition_get(consumer, topic, (uint32_t)partition);
        if (p != NULL)
            core_consumer_partition_begin(p, start, value);
    } else {
        t->all = true;
        t->start = start;
        t->value = value;
        t->begun = 0;
        topic_check(core, consumer, t);
    }
    core_run(core);
}

void core_consumer_unsubscribe(struct core_consumer *consumer, const char *topic_name, int32_t partition)
{
    struct core_topic *topic = core_topic_get(consumer->core, topic_name);

    if (partition < 0)
        core_consumer_topic_get(consumer, topic)->all = false;
    for (uint64_t i = 0; i < consumer->partition_count; i++) {
        struct core_consumer_partition *p = consumer->partitions[i];
        if (p->topic == topic && (partition < 0 || p->index == (uint32_t)partition))
            core_consumer_partition_end(p);
    }
    core_run(consumer->core);
}

/* ---- the consumer ---- */

struct core_consumer *core_consumer_create(struct core *core, const struct client_settings *settings,
                                           struct inbox *inbox)
{
    struct core_consumer *consumer = core_alloc(sizeof(*consumer));

    consumer->core = core;
    consumer->settings = *settings;
    consumer->inbox = inbox;
    consumer->commits_end = &consumer->commits;
    consumer->first_slot = core->next_subscription;
    core->next_subscription += SLOTS_PER_CONSUMER;
    TAILQ_INIT(&consumer->topics);
    TAILQ_INSERT_TAIL(&core->consumers, consumer, link);
    return consumer;
}

void core_consumer_destroy(struct core_consumer *consumer)
{
    struct core *core = consumer->core;
    struct core_consumer_topic *t;

    core_consumer_commits_cancel(consumer);
    core_member_destroy(consumer->member);
    for (uint64_t i = 0; i < consumer->partition_count; i++)
        core_consumer_partition_destroy(consumer->partitions[i]);
    while ((t = TAILQ_FIRST(&consumer->topics)) != NULL) {
        TAILQ_REMOVE(&consumer->topics, t, link);
        if (t->fetch != NULL)
            t->fetch->consumer = NULL;
        free(t);
    }
    TAILQ_REMOVE(&core->consumers, consumer, link);
    free(consumer->partitions);
    free(consumer);
    core_run(core);
}

static void wake_released(void *data, void *owner)
{
    struct core_consumer_partition *p = owner;

    core_work_queue(data, &p->work);
}

void core_consumer_wake(struct core_consumer *consumer)
{
    inbox_collect(consumer->inbox, wake_released, consumer->core);
    core_member_wake(consumer->member);
    core_run(consumer->core);
}

void core_consumers_wake(struct core *core)
{
    for (struct core_consumer *c = TAILQ_FIRST(&core->consumers); c != NULL; c = TAILQ_NEXT(c, link)) {
        for (struct core_consumer_topic *t = TAILQ_FIRST(&c->topics); t != NULL; t = TAILQ_NEXT(t, link))
            topic_check(core, c, t);
        for (uint64_t i = 0; i < c->partition_count; i++)
            core_work_queue(core, &c->partitions[i]->work);
        core_member_wake(c->member);
    }
}
