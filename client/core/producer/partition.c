/* A partition's turn in a producer: what may be sent now, to whom, and when to look again. */
#include "client/core/producer/producer.h"

enum {
    STUCK_MS = 200, /* without an ack for so long, the nodes are asked who leads, and again as often */
};

void core_producer_partition_fail(struct core *core, struct core_producer_partition *p, int status,
                                  const char *why)
{
    struct core_batch *batch;

    while ((batch = TAILQ_FIRST(&p->in_flight)) != NULL) {
        batch->is_unknown |= batch->is_sent;
        core_producer_batch_fail(core, p, batch, status, why);
    }
}

void core_producer_partition_drop_waiting(struct core_producer_partition *p, int status, const char *why)
{
    struct accumulator *a = p->producer->accumulator;
    struct core_batch *batch;

    while ((batch = accumulator_take(a, p->shared)) != NULL) {
        batch->status = status;
        snprintf(batch->message, sizeof(batch->message), "%s/%u: %s", p->topic->name, p->index, why);
        accumulator_complete(a, batch);
    }
}

static void partition_expire(struct core *core, struct core_producer_partition *p)
{
    char why[2 * CORE_MESSAGE_SIZE];
    struct core_batch *batch;

    while ((batch = TAILQ_FIRST(&p->in_flight)) != NULL &&
           core_producer_batch_deadline(p, batch) <= core->now) {
        snprintf(why, sizeof(why), "not acknowledged within delivery.timeout.ms=%lld: %s",
                 (long long)p->producer->settings.delivery_timeout_ms,
                 p->last_message[0] != '\0' ? p->last_message : "no leader could be reached");
        batch->is_unknown |= batch->is_sent;
        core_producer_batch_fail(core, p, batch,
                                 p->last_error != 0 ? p->last_error : ERR_LEADER_NOT_AVAILABLE, why);
    }
}

/* Batches that wait behind a full window grow old as well. */
static void partition_expire_waiting(struct core *core, struct core_producer_partition *p)
{
    uint64_t timeout = (uint64_t)p->producer->settings.delivery_timeout_ms * CORE_MS;
    uint64_t created;

    while (accumulator_peek(p->producer->accumulator, p->shared, &created) != WAITING_NONE &&
           created + timeout <= core->now) {
        struct core_batch *batch = accumulator_take(p->producer->accumulator, p->shared);
        batch->status = p->last_error != 0 ? p->last_error : ERR_LEADER_NOT_AVAILABLE;
        snprintf(batch->message, sizeof(batch->message), "%s/%u: not sent within delivery.timeout.ms: %s",
                 p->topic->name, p->index, error_text(batch->status));
        accumulator_complete(p->producer->accumulator, batch);
    }
}

static void partition_adopt(struct core_producer_partition *p, struct core_batch *batch)
{
    batch->owner = p;
    batch->request = (struct core_request){.done = core_producer_on_produce};
    batch->sequence = p->next_sequence;
    p->next_sequence = (int32_t)(((uint32_t)p->next_sequence + (uint32_t)batch->builder.count) & INT32_MAX);
    TAILQ_INSERT_TAIL(&p->in_flight, batch, link);
    p->count++;
}

/* Fetches what may go now: full batches; an open one when nothing is in flight, when it waited long enough,
 * or when the application waits. Returns when to look again. */
static uint64_t partition_pull(struct core *core, struct core_producer_partition *p)
{
    struct core_producer *producer = p->producer;
    uint64_t created = 0;

    while (p->count < (unsigned)producer->settings.in_flight) {
        enum accumulator_waiting waiting = accumulator_peek(producer->accumulator, p->shared, &created);
        uint64_t due = created + (uint64_t)producer->settings.linger_ms * CORE_MS;
        if (waiting == WAITING_NONE)
            return UINT64_MAX;
        if (waiting == WAITING_OPEN && p->count > 0 && due > core->now &&
            !accumulator_is_flushing(producer->accumulator))
            return due;
        partition_adopt(p, accumulator_take(producer->accumulator, p->shared));
    }
    return UINT64_MAX;
}

static bool partition_may_send(const struct core_producer_partition *p, const struct core_batch *batch,
                               const struct core_endpoint *e)
{
    if (batch->is_sent)
        return false;
    /* A leader that knows nothing of the sequence, because it has just begun or because what came before is
     * lost (acks=1) or expired, takes any batch as the first. So the oldest goes alone until that leader has
     * acknowledged one. */
    return !p->producer->idempotent || p->proven_on == e->connection || batch == TAILQ_FIRST(&p->in_flight);
}

static void partition_send(struct core *core, struct core_producer_partition *p, struct core_endpoint *e)
{
    struct core_batch *next;

    for (struct core_batch *batch = TAILQ_FIRST(&p->in_flight); batch != NULL; batch = next) {
        next = TAILQ_NEXT(batch, link);
        if (!partition_may_send(p, batch, e))
            continue;
        int rc = core_producer_batch_finish(batch, p);
        if (rc != 0)
            core_producer_batch_fail(core, p, batch, rc, error_text(rc));
        else
            core_producer_batch_send(core, p, batch, e);
        if (p->recovering)
            return;
    }
}

static uint64_t partition_next_doubt(const struct core_producer_partition *p)
{
    uint64_t since = p->answered_ns > p->doubted_ns ? p->answered_ns : p->doubted_ns;

    return since + STUCK_MS * CORE_MS;
}

static const struct core_batch *partition_oldest_sent(const struct core_producer_partition *p)
{
    const struct core_batch *batch = TAILQ_FIRST(&p->in_flight);

    while (!batch->is_sent)
        batch = TAILQ_NEXT(batch, link);
    return batch;
}

/* Batches at a leader that is alive but cut off from its quorum: once a newer leader is known, what the old
 * one holds is taken back and sent there. The old one can only answer what the new one's log already says. */
static void partition_leave_old_leader(struct core *core, struct core_producer_partition *p)
{
    const struct core_leader *leader = &p->topic->leaders[p->index];

    if (p->sent == 0 || p->producer->acks == 0)
        return;
    if (core->now >= partition_next_doubt(p)) {
        p->doubted_ns = core->now;
        core_metadata_need(core);
    }
    if (core->now - p->answered_ns >= 2 * PRODUCER_REQUEST_TIMEOUT_MS * CORE_MS) {
        core_endpoint_fail(partition_oldest_sent(p)->sent_to, ERR_CONNECTION_LOST,
                           "owes an answer to a produce of %s/%u", p->topic->name, p->index);
        return;
    }
    if (!p->producer->idempotent || leader->node_id == 0 || leader->doubted)
        return;
    for (struct core_batch *batch = TAILQ_FIRST(&p->in_flight); batch != NULL;
         batch = TAILQ_NEXT(batch, link)) {
        if (!batch->is_sent || batch->sent_to->node_id == leader->node_id)
            continue;
        core_request_abandon(&batch->request);
        core_producer_batch_unsend(batch);
        batch->is_unknown = true;
        p->recovering = true;
    }
}

static bool partition_topic_is_gone(struct core *core, struct core_producer_partition *p)
{
    int missing = core_topic_missing(core, p->topic);

    if (missing == 0) {
        if (p->topic->missing_since_ns != 0)
            core_metadata_need(core);
        return false;
    }
    core_producer_partition_fail(core, p, missing, "the topic no longer exists");
    core_producer_partition_drop_waiting(p, missing, "the topic no longer exists");
    accumulator_set_topic(p->producer->accumulator, p->topic->name, 0, missing);
    return true;
}

/* Sends what can be sent. Returns when time alone makes a difference. */
static uint64_t partition_proceed(struct core *core, struct core_producer_partition *p)
{
    if (p->index < p->topic->partition_count)
        partition_leave_old_leader(core, p);
    if (p->recovering && p->sent > 0)
        return UINT64_MAX;
    p->recovering = false;
    if (core->now < p->retry_ns)
        return p->retry_ns;

    struct core_endpoint *e = NULL;
    uint64_t created;
    bool has_work = p->count > p->sent || (p->count < (unsigned)p->producer->settings.in_flight &&
                                           accumulator_peek(p->producer->accumulator, p->shared, &created));
    if (has_work)
        e = core_leader_endpoint(core, p->topic, p->index);
    if (e == NULL || !core_producer_partition_has_id(core, p))
        return UINT64_MAX;
    uint64_t next = partition_pull(core, p);
    partition_send(core, p, e);
    return next;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void partition_run(struct core *core, struct core_work *work)
{
    struct core_producer_partition *p =
        (struct core_producer_partition *)((char *)work - offsetof(struct core_producer_partition, work));
    struct accumulator *a = p->producer->accumulator;
    uint64_t created = 0;

    partition_expire(core, p);
    partition_expire_waiting(core, p);
    if (partition_topic_is_gone(core, p))
        return;
    uint64_t next = partition_proceed(core, p);
    const struct core_batch *oldest = TAILQ_FIRST(&p->in_flight);
    if (oldest != NULL)
        next = earlier(next, core_producer_batch_deadline(p, oldest));
    else if (accumulator_peek(a, p->shared, &created) != WAITING_NONE)
        next = earlier(next, created + (uint64_t)p->producer->settings.delivery_timeout_ms * CORE_MS);
    if (p->sent > 0) {
        next = earlier(next, partition_next_doubt(p));
    }
    if (next == UINT64_MAX)
        core_timer_clear(&core->timers, &p->timer);
    else
        core_timer_set(&core->timers, &p->timer, next);
}

static void partition_on_timer(struct core *core, struct core_timer *timer)
{
    struct core_producer_partition *p =
        (struct core_producer_partition *)((char *)timer - offsetof(struct core_producer_partition, timer));

    core_work_queue(core, &p->work);
}

struct core_producer_partition *core_producer_partition_get(struct core_producer *producer,
                                                            struct accumulator_partition *shared)
{
    struct core_producer_partition *p = shared->owner;

    if (p != NULL)
        return p;
    p = core_alloc(sizeof(*p));
    p->work.run = partition_run;
    p->timer.cb = partition_on_timer;
    p->producer = producer;
    p->shared = shared;
    p->topic = core_topic_get(producer->core, accumulator_topic_name(shared->topic));
    p->index = shared->index;
    p->producer_id = -1;
    TAILQ_INIT(&p->in_flight);
    TAILQ_INSERT_TAIL(&producer->partitions, p, link);
    shared->owner = p;
    return p;
}

void core_producer_partition_close(struct core_producer_partition *p)
{
    struct core *core = p->producer->core;

    core_timer_clear(&core->timers, &p->timer);
    core_work_cancel(core, &p->work);
    TAILQ_REMOVE(&p->producer->partitions, p, link);
    free(p);
}
