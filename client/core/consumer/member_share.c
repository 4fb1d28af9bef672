/* What a group's member owns. Partitions that stay are never touched. A new one begins at the committed
 * offset; a revoked one gets no further batches, and is let go of once the application has finished those
 * that it has and that is committed. */
#include "client/core/consumer/member.h"

static struct core *core_of(const struct core_member *m)
{
    return m->consumer->core;
}

/* ---- the coordinator's word ---- */

void core_member_set_targets(struct core_member *m, Flotilla__GroupPartitions *const *assigned, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += assigned[i]->n_partitions;
    free(m->targets);
    m->targets = core_alloc((total + 1) * sizeof(*m->targets));
    m->target_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (assigned[i]->topic_id.len != CORE_TOPIC_ID_SIZE)
            continue;
        for (size_t j = 0; j < assigned[i]->n_partitions; j++) {
            struct core_member_target *t = &m->targets[m->target_count++];
            memcpy(t->topic_id, assigned[i]->topic_id.data, CORE_TOPIC_ID_SIZE);
            t->partition = assigned[i]->partitions[j];
        }
    }
    m->has_news = true;
    m->reports = true;
}

bool core_members_want_topic(struct core *core, const ProtobufCBinaryData *id)
{
    for (struct core_consumer *c = TAILQ_FIRST(&core->consumers); c != NULL; c = TAILQ_NEXT(c, link))
        for (size_t i = 0; c->member != NULL && c->member->has_news && i < c->member->target_count; i++)
            if (id->len == CORE_TOPIC_ID_SIZE &&
                memcmp(c->member->targets[i].topic_id, id->data, CORE_TOPIC_ID_SIZE) == 0)
                return true;
    return false;
}

/* Marks what is assigned. False when a topic's name is still to be asked for. */
static bool share_mark(struct core_member *m)
{
    struct core_consumer *consumer = m->consumer;
    bool complete = true;

    for (uint64_t i = 0; i < consumer->partition_count; i++)
        consumer->partitions[i]->is_assigned = false;
    for (size_t i = 0; !m->is_leaving && i < m->target_count; i++) {
        const struct core_member_target *t = &m->targets[i];
        struct core_topic *topic = core_topic_by_id(core_of(m), t->topic_id);
        struct core_consumer_partition *p =
            topic != NULL ? core_consumer_partition_get(consumer, topic, t->partition) : NULL;
        if (p != NULL)
            p->is_assigned = true;
        complete &= topic != NULL;
    }
    return complete;
}

/* ---- taking and letting go ---- */

struct share_change {
    struct inbox_partition **partitions;
    size_t count;
};

static void change_add(struct share_change *change, const struct core_consumer_partition *p)
{
    change->partitions = realloc(change->partitions, (change->count + 1) * sizeof(struct inbox_partition *));
    if (change->partitions == NULL)
        abort();
    change->partitions[change->count++] = p->shared;
}

static void change_tell(struct core_member *m, struct share_change *change, enum flotilla_rebalance event)
{
    static const char *const names[] = {"assigned", "revoked", "lost"};

    if (change->count > 0) {
        core_log(core_of(m), event == FLOTILLA_LOST ? FLOTILLA_LOG_WARNING : FLOTILLA_LOG_INFO,
                 "msg=\"partitions %s\" group=%s member=%s epoch=%lld partitions=%zu", names[event],
                 m->consumer->settings.group, m->id, (long long)m->epoch, change->count);
        if (m->tells)
            inbox_push_rebalance(m->consumer->inbox, event, change->partitions, change->count);
    }
    free(change->partitions);
}

/* Revocations are told before the partitions are asked whether they are drained. */
static void share_revoke(struct core_member *m)
{
    struct share_change revoked = {NULL, 0};

    for (uint64_t i = 0; i < m->consumer->partition_count; i++) {
        struct core_consumer_partition *p = m->consumer->partitions[i];
        if (p->hold != HOLD_OWNED || p->is_assigned)
            continue;
        p->hold = HOLD_REVOKING;
        core_consumer_partition_drain(p);
        change_add(&revoked, p);
    }
    change_tell(m, &revoked, FLOTILLA_REVOKED);
}

static void share_take(struct core_member *m)
{
    struct share_change assigned = {NULL, 0};

    for (uint64_t i = 0; i < m->consumer->partition_count; i++) {
        struct core_consumer_partition *p = m->consumer->partitions[i];
        if (p->hold != HOLD_NONE || !p->is_assigned)
            continue;
        p->hold = HOLD_OWNED;
        m->reports = true;
        core_consumer_partition_begin(p, FLOTILLA_START_COMMITTED, 0);
        change_add(&assigned, p);
    }
    change_tell(m, &assigned, FLOTILLA_ASSIGNED);
}

static void share_release(struct core_member *m)
{
    for (uint64_t i = 0; i < m->consumer->partition_count; i++) {
        struct core_consumer_partition *p = m->consumer->partitions[i];
        if (p->hold != HOLD_COMMITTING)
            continue;
        p->hold = HOLD_NONE;
        core_consumer_partition_end(p);
        m->reports = true;
        m->has_news = true; /* it may be assigned again by now */
    }
    if (m->has_news)
        core_work_queue(core_of(m), &m->work);
}

static void on_last_commit(void *data, int status, const char *message)
{
    struct core_member *m = data;

    m->is_committing = false;
    if (status != 0)
        core_log(core_of(m), FLOTILLA_LOG_WARNING,
                 "msg=\"revoked partitions were not committed: their next owner repeats what was finished\" "
                 "group=%s error=%s reason=\"%s\"",
                 m->consumer->settings.group, error_name(status), message);
    share_release(m);
}

static void share_let_go(struct core_member *m)
{
    struct core_commit commit = {
        .timeout_ns = (uint64_t)m->consumer->settings.revocation_timeout_ms * CORE_MS,
        .cb = on_last_commit,
        .data = m,
    };
    bool any = false;

    for (uint64_t i = 0; !m->is_committing && i < m->consumer->partition_count; i++) {
        struct core_consumer_partition *p = m->consumer->partitions[i];
        if (p->hold != HOLD_REVOKING || !inbox_partition_is_drained(m->consumer->inbox, p->shared))
            continue;
        p->hold = HOLD_COMMITTING;
        any = true;
    }
    if (!any)
        return;
    if (!client_settings_commit_by_themselves(&m->consumer->settings)) {
        share_release(m);
        return;
    }
    m->is_committing = true;
    core_consumer_commit_start(m->consumer, &commit);
}

static void share_apply(struct core_member *m)
{
    m->has_news = !share_mark(m);
    share_revoke(m);
    share_take(m);
    if (m->has_news)
        core_metadata_need_all(core_of(m));
}

void core_member_share(struct core_member *m)
{
    if (m->has_news)
        share_apply(m);
    share_let_go(m);
}

void core_member_share_lost(struct core_member *m)
{
    struct share_change lost = {NULL, 0};

    for (uint64_t i = 0; i < m->consumer->partition_count; i++) {
        struct core_consumer_partition *p = m->consumer->partitions[i];
        p->is_assigned = false;
        if (p->hold == HOLD_NONE)
            continue;
        p->hold = HOLD_NONE;
        core_consumer_partition_end(p);
        change_add(&lost, p);
    }
    m->target_count = 0;
    m->has_news = false;
    change_tell(m, &lost, FLOTILLA_LOST);
}

/* ---- telling the coordinator ---- */

bool core_member_owns_nothing(const struct core_member *m)
{
    for (uint64_t i = 0; i < m->consumer->partition_count; i++)
        if (m->consumer->partitions[i]->hold != HOLD_NONE)
            return false;
    return true;
}

static int compare_partitions(const void *a, const void *b)
{
    const struct core_consumer_partition *left = *(const struct core_consumer_partition *const *)a;
    const struct core_consumer_partition *right = *(const struct core_consumer_partition *const *)b;

    if (left->topic != right->topic)
        return memcmp(left->topic->id, right->topic->id, CORE_TOPIC_ID_SIZE);
    return (left->index > right->index) - (left->index < right->index);
}

static const struct core_consumer_partition **owned_sorted(const struct core_member *m, size_t *count)
{
    const struct core_consumer *c = m->consumer;
    const struct core_consumer_partition **owned = core_alloc((c->partition_count + 1) * sizeof(void *));

    *count = 0;
    for (uint64_t i = 0; i < c->partition_count; i++)
        if (c->partitions[i]->hold != HOLD_NONE)
            owned[(*count)++] = c->partitions[i];
    qsort(owned, *count, sizeof(void *), compare_partitions);
    return owned;
}

Flotilla__GroupPartitions **core_member_owned(const struct core_member *m, size_t *count)
{
    size_t total;
    const struct core_consumer_partition **owned = owned_sorted(m, &total);
    Flotilla__GroupPartitions **pointers =
        core_alloc((total + 1) * (sizeof(*pointers) + sizeof(**pointers) + sizeof(uint32_t)));
    Flotilla__GroupPartitions *lists = (Flotilla__GroupPartitions *)(void *)(pointers + total + 1);
    uint32_t *numbers = (uint32_t *)(void *)(lists + total);

    *count = 0;
    for (size_t i = 0; i < total; i++) {
        if (i == 0 || owned[i]->topic != owned[i - 1]->topic) {
            Flotilla__GroupPartitions *list = &lists[*count];
            flotilla__group_partitions__init(list);
            list->topic_id.data = (uint8_t *)owned[i]->topic->id;
            list->topic_id.len = CORE_TOPIC_ID_SIZE;
            list->partitions = &numbers[i];
            pointers[(*count)++] = list;
        }
        numbers[i] = owned[i]->index;
        lists[*count - 1].n_partitions++;
    }
    free(owned);
    return pointers;
}
