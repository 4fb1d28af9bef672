/* A member as its consumer sees it: what it is to read, what it has, and when it comes and goes. */
#include "client/core/consumer/member.h"

static struct core *core_of(const struct core_member *m)
{
    return m->consumer->core;
}

static void member_forget_topics(struct core_member *m)
{
    for (size_t i = 0; i < m->topic_count; i++)
        free(m->topics[i]);
    free(m->topics);
    free(m->pattern);
    m->topics = NULL;
    m->topic_count = 0;
    m->pattern = NULL;
}

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(core_alloc(size), text, size);
}

static void member_set_topics(struct core_member *m, const struct core_join *join)
{
    member_forget_topics(m);
    m->topics = core_alloc((join->topic_count + 1) * sizeof(char *));
    for (; m->topic_count < join->topic_count; m->topic_count++) {
        m->topics[m->topic_count] = copy_text(join->topics[m->topic_count]);
        core_topic_get(core_of(m), m->topics[m->topic_count]); /* so that its id is known when it comes */
    }
    m->pattern = copy_text(join->pattern != NULL ? join->pattern : "");
}

static struct core_member *member_create(struct core_consumer *consumer)
{
    struct core_member *m = core_alloc(sizeof(*m));

    core_member_init(m, consumer);
    return m;
}

void core_consumer_join(struct core_consumer *consumer, const struct core_join *join)
{
    if (consumer->member == NULL)
        consumer->member = member_create(consumer);
    struct core_member *m = consumer->member;
    member_set_topics(m, join);
    m->tells = join->tells;
    if (m->state == MEMBER_OUT || m->state == MEMBER_AWAY)
        core_member_begin(m);
    else
        core_member_detach(m); /* joins again with the new topics */
    core_work_queue(consumer->core, &m->work);
    core_run(consumer->core);
}

bool core_consumer_owns(struct core_consumer *consumer, const char *topic, uint32_t partition)
{
    struct core_consumer_partition *p =
        core_consumer_partition_find(consumer, core_topic_get(consumer->core, topic), partition);

    return p != NULL &&
           (consumer->member == NULL || consumer->member->state == MEMBER_OUT ? p->state != CONSUMER_STOPPED
                                                                              : p->hold == HOLD_OWNED);
}

void core_consumer_membership(struct core_consumer *consumer, struct core_membership *out)
{
    const struct core_member *m = consumer->member;

    snprintf(out->member_id, sizeof(out->member_id), "%s", core_member_id(m));
    out->epoch = core_member_epoch(m);
    out->is_stable = m != NULL && m->is_stable && m->epoch > 0;
    for (uint64_t i = 0; i < consumer->partition_count; i++)
        if (consumer->partitions[i]->hold != HOLD_NONE)
            out->partition(out->data, consumer->partitions[i]->topic->name, consumer->partitions[i]->index);
}

void core_member_destroy(struct core_member *m)
{
    if (m == NULL)
        return;
    core_member_leave_end(m, ERR_CANCELED, "the consumer was destroyed");
    core_request_abandon(&m->join);
    core_request_abandon(&m->heartbeat);
    core_timer_clear(&core_of(m)->timers, &m->timer);
    core_work_cancel(core_of(m), &m->work);
    member_forget_topics(m);
    free(m->targets);
    free(m);
}

void core_member_wake(struct core_member *m)
{
    if (m != NULL)
        core_work_queue(core_of(m), &m->work);
}

const char *core_member_id(const struct core_member *m)
{
    return m != NULL ? m->id : "";
}

int64_t core_member_epoch(const struct core_member *m)
{
    return m != NULL ? m->epoch : 0;
}
