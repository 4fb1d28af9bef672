/* Producers: batches go to the leader of their partition in order, several at a time, until each is
 * acknowledged.
 *
 * Order and exactly-once rest on four rules:
 *  - every batch has a sequence under a producer id, and every attempt of it the same one, so that a leader
 * recognises a repeat;
 *  - after any failure nothing is sent until all that is in flight is answered or lost ("recovering"); then
 * everything unacknowledged is sent again from the oldest on;
 *  - over each new connection the oldest batch goes alone until it has been acknowledged: a leader that does
 * not know the producer takes any batch as its first;
 *  - when a batch ends without having been written for certain, its place in the sequence stays empty, so the
 * partition begins a new sequence under a fresh id; what may have been written under the old one ends as
 * OUTCOME_UNKNOWN. */
#include "client/core/producer/producer.h"

void core_producer_fail(struct core_producer *producer, int status, const char *message)
{
    struct core_producer_partition *p;

    core_log(producer->core, FLOTILLA_LOG_ERROR, "msg=\"producer failed\" error=%s reason=\"%s\"",
             error_name(status), message);
    producer->closing = true;
    accumulator_fail(producer->accumulator, status, message);
    for (p = TAILQ_FIRST(&producer->partitions); p != NULL; p = TAILQ_NEXT(p, link)) {
        core_producer_partition_fail(producer->core, p, status, message);
        core_producer_partition_drop_waiting(p, status, message);
        core_timer_clear(&producer->core->timers, &p->timer);
    }
}

struct core_producer *core_producer_create(struct core *core, const struct client_settings *settings,
                                           struct accumulator *accumulator)
{
    struct core_producer *producer = core_alloc(sizeof(*producer));

    producer->core = core;
    producer->settings = *settings;
    producer->accumulator = accumulator;
    producer->acks = settings->acks == ACKS_OPTION_ALL ? -1 : settings->acks == ACKS_OPTION_LEADER ? 1 : 0;
    producer->idempotent = settings->idempotence && producer->acks != 0;
    TAILQ_INIT(&producer->partitions);
    TAILQ_INSERT_TAIL(&core->producers, producer, link);
    if (producer->idempotent)
        core_producer_ask_id(producer); /* so that it is there when the first record comes */
    core_run(core);
    return producer;
}

static void want_topic(void *data, const char *name, uint32_t partitions)
{
    struct core_producer *producer = data;
    struct core_topic *topic = core_topic_get(producer->core, name);

    producer->wanted = realloc(producer->wanted, (producer->wanted_count + 1) * sizeof(struct core_wanted));
    if (producer->wanted == NULL)
        abort();
    producer->wanted[producer->wanted_count++] =
        (struct core_wanted){.topic = topic, .partitions = partitions, .since_ns = producer->core->now};
    if (!topic->known && topic->missing_since_ns != 0)
        topic->missing_since_ns = producer->core->now; /* somebody may have just created it: ask once more */
}

static void wake_partition(void *data, struct accumulator_partition *shared)
{
    struct core_producer *producer = data;

    core_work_queue(producer->core, &core_producer_partition_get(producer, shared)->work);
}

void core_producer_destroy(struct core_producer *producer)
{
    struct core *core = producer->core;
    struct core_producer_partition *p;

    accumulator_collect(producer->accumulator, want_topic, wake_partition,
                        producer); /* what was not seen yet */
    producer->closing = true;
    while ((p = TAILQ_FIRST(&producer->partitions)) != NULL) {
        core_producer_partition_fail(core, p, ERR_CANCELED, "the producer was destroyed");
        core_producer_partition_drop_waiting(p, ERR_CANCELED, "the producer was destroyed");
        core_producer_partition_close(p);
    }
    core_producer_forget_id(producer);
    TAILQ_REMOVE(&core->producers, producer, link);
    free(producer->wanted);
    free(producer);
}

/* 0, an error, or ERR_INTERRUPTED while nodes are being asked. */
static int wanted_check(struct core *core, const struct core_wanted *w)
{
    int missing = core_topic_missing(core, w->topic);

    if (missing != 0)
        return missing;
    if (!w->topic->known) {
        core_metadata_need(core);
        return ERR_INTERRUPTED;
    }
    return w->partitions > 0 ? core_partition_missing(core, w->topic, w->partitions - 1, w->since_ns) : 0;
}

/* Tells the accumulator what is known by now about the topics it waits for. */
static void producer_check_wanted(struct core_producer *producer)
{
    size_t kept = 0;

    for (size_t i = 0; i < producer->wanted_count; i++) {
        struct core_wanted w = producer->wanted[i];
        int missing = wanted_check(producer->core, &w);
        if (missing == ERR_INTERRUPTED)
            producer->wanted[kept++] = w;
        else
            accumulator_set_topic(producer->accumulator, w.topic->name, w.topic->partition_count, missing);
    }
    producer->wanted_count = kept;
}

void core_producer_wake(struct core_producer *producer)
{
    struct core *core = producer->core;
    bool all = accumulator_is_flushing(producer->accumulator);

    accumulator_collect(producer->accumulator, want_topic, wake_partition, producer);
    producer_check_wanted(producer);
    for (struct core_producer_partition *p = TAILQ_FIRST(&producer->partitions); all && p != NULL;
         p = TAILQ_NEXT(p, link))
        core_work_queue(core, &p->work);
    core_run(core);
}

void core_producers_wake(struct core *core)
{
    for (struct core_producer *producer = TAILQ_FIRST(&core->producers); producer != NULL;
         producer = TAILQ_NEXT(producer, link)) {
        if (producer->closing)
            continue;
        producer_check_wanted(producer);
        for (struct core_producer_partition *p = TAILQ_FIRST(&producer->partitions); p != NULL;
             p = TAILQ_NEXT(p, link))
            core_work_queue(core, &p->work);
    }
}

/* A topic may have got more partitions. */
void core_producer_on_topic(struct core *core, struct core_topic *topic)
{
    for (struct core_producer *producer = TAILQ_FIRST(&core->producers); producer != NULL;
         producer = TAILQ_NEXT(producer, link))
        accumulator_set_topic(producer->accumulator, topic->name, topic->partition_count, 0);
}
