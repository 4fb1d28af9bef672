/* Batches of a producer on their way: attempts, answers, ends. */
#include "client/core/producer/producer.h"

enum {
    SEQUENCE_STRIKES = 3, /* refusals of the oldest batch before its sequence is given up */
};

/* ---- ends ---- */

static void batch_end(struct core_producer_partition *p, struct core_batch *batch, int status,
                      const char *message)
{
    core_request_abandon(&batch->request);
    if (batch->is_sent) {
        core_endpoint_forget(batch->sent_to, batch);
        batch->is_sent = false;
        p->sent--;
    }
    TAILQ_REMOVE(&p->in_flight, batch, link);
    p->count--;
    if (status == 0)
        p->producer->core->totals.records_acknowledged += (uint64_t)batch->builder.count;
    else
        p->producer->core->totals.records_failed += (uint64_t)batch->builder.count;
    batch->status = status;
    snprintf(batch->message, sizeof(batch->message), "%s", message);
    accumulator_complete(p->producer->accumulator, batch);
}

void core_producer_batch_fail(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                              int status, const char *why)
{
    char where[CORE_MESSAGE_SIZE];
    char message[2 * CORE_MESSAGE_SIZE];

    if (batch->is_unknown)
        status = ERR_OUTCOME_UNKNOWN;
    core_describe_partition(core, p->topic, p->index, where, sizeof(where));
    snprintf(message, sizeof(message), "%s: %s%s", where, why,
             status == ERR_OUTCOME_UNKNOWN ? " (may have been written)" : "");
    core_log(core, FLOTILLA_LOG_ERROR, "msg=\"batch failed\" records=%d error=%s reason=\"%s\"",
             batch->builder.count, error_name(status), message);
    if (p->producer->idempotent) {
        p->renew = true;
        p->recovering = true;
    }
    batch_end(p, batch, status, message);
}

/* ---- attempts ---- */

uint64_t core_producer_batch_deadline(const struct core_producer_partition *p, const struct core_batch *batch)
{
    return batch->created_ns + (uint64_t)p->producer->settings.delivery_timeout_ms * CORE_MS;
}

static void on_sent_unacknowledged(void *data, int status);

void core_producer_batch_send(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                              struct core_endpoint *e)
{
    Flotilla__ProduceRequest m = FLOTILLA__PRODUCE_REQUEST__INIT;
    uint64_t left_ms = (core_producer_batch_deadline(p, batch) - core->now) / CORE_MS;

    m.topic_id.data = p->topic->id;
    m.topic_id.len = CORE_TOPIC_ID_SIZE;
    m.partition = p->index;
    m.acks = p->producer->acks;
    m.timeout_ms =
        left_ms < PRODUCER_REQUEST_TIMEOUT_MS ? (uint32_t)left_ms + 1 : PRODUCER_REQUEST_TIMEOUT_MS;
    if (p->sent == 0)
        p->answered_ns = core->now;
    core->totals.batches_sent++;
    core->totals.batches_repeated += batch->sent_to != NULL;
    batch->is_sent = true;
    p->sent++;
    batch->sent_to = e;
    if (p->producer->acks == 0)
        core_endpoint_post(e, FRAME_PRODUCE, &m.base, batch->wire, on_sent_unacknowledged, batch);
    else
        core_endpoint_request(e, &batch->request, FRAME_PRODUCE, &m.base, batch->wire);
}

/* ---- answers ---- */

static void batch_acknowledge(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                              const Flotilla__ProduceResponse *m)
{
    batch->base_offset = m != NULL ? m->base_offset : -1;
    batch->append_time_ms = m != NULL ? m->log_append_time_ms : -1;
    batch->durability = m != NULL ? m->durability : FLOTILLA_DURABLE_NONE;
    p->failing_since_ns = 0;
    p->strikes = 0;
    p->proven_on = batch->sent_to->connection;
    p->answered_ns = core->now;
    batch_end(p, batch, 0, "");
}

/* Several batches that fail together count once. */
static void partition_back_off(struct core *core, struct core_producer_partition *p, int error,
                               const char *message)
{
    if (p->recovering)
        return;
    p->recovering = true;
    if (p->failing_since_ns == 0)
        p->failing_since_ns = core->now;
    p->last_error = error;
    snprintf(p->last_message, sizeof(p->last_message), "%s",
             message[0] != '\0' ? message : error_text(error));
    p->retry_ns = core->now + core_pause(core, p->failing_since_ns);
    core_log(core, FLOTILLA_LOG_DEBUG,
             "msg=\"batch to be sent again\" partition=%s/%u error=%s reason=\"%s\"", p->topic->name,
             p->index, error_name(error), p->last_message);
}

/* An error that says nothing about the batch itself, only about the place it was sent to. */
static void batch_retry(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                        const Flotilla__Status *status, uint32_t from_node)
{
    int error = status->error;
    bool moved = false;

    if (core_error_is_unknown(error)) {
        batch->is_unknown = true;
        if (!p->producer->idempotent && !p->producer->settings.retry_unknown) {
            core_producer_batch_fail(core, p, batch, ERR_OUTCOME_UNKNOWN,
                                     status->message[0] ? status->message : error_text(error));
            return;
        }
    }
    partition_back_off(core, p, error, status->message);
    if (error == ERR_NOT_LEADER || error == ERR_NOT_REPLICA || error == ERR_OUTCOME_UNKNOWN ||
        error == ERR_FENCED_EPOCH || error == ERR_SHUTTING_DOWN || error == ERR_REPLICA_FAILED)
        moved = core_leader_learn(core, p->topic, p->index, from_node, status);
    else if (error == ERR_UNKNOWN_TOPIC || error == ERR_LEADER_NOT_AVAILABLE)
        core_metadata_need(core);
    if (moved)
        p->retry_ns = core->now;
}

/* Behind a batch that failed, this is its echo. For the oldest batch it means that the leader has no memory
 * of what came before, which no repeat can mend. */
static void batch_out_of_order(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                               const char *message)
{
    partition_back_off(core, p, ERR_OUT_OF_ORDER_SEQUENCE, message);
    if (batch == TAILQ_FIRST(&p->in_flight) && ++p->strikes >= SEQUENCE_STRIKES)
        p->renew = true;
}

static void batch_refused(struct core *core, struct core_batch *batch, const Flotilla__Status *status,
                          uint32_t from_node)
{
    struct core_producer_partition *p = batch->owner;

    if (status->error == ERR_FENCED_PRODUCER)
        core_producer_fail(p->producer, status->error, status->message);
    else if (status->error == ERR_OUT_OF_ORDER_SEQUENCE && p->producer->idempotent)
        batch_out_of_order(core, p, batch, status->message);
    else if (core_error_is_retriable(status->error))
        batch_retry(core, p, batch, status, from_node);
    else
        core_producer_batch_fail(core, p, batch, status->error,
                                 status->message[0] ? status->message : error_text(status->error));
}

void core_producer_batch_unsend(struct core_batch *batch)
{
    batch->is_sent = false;
    batch->owner->sent--;
}

void core_producer_on_produce(struct core *core, struct core_request *request, int status,
                              const struct core_frame *frame)
{
    struct core_batch *batch = (struct core_batch *)((char *)request - offsetof(struct core_batch, request));
    struct core_producer_partition *p = batch->owner;
    struct core_endpoint *from = batch->sent_to;
    Flotilla__Status lost = FLOTILLA__STATUS__INIT;
    Flotilla__ProduceResponse *m = NULL;

    core_producer_batch_unsend(batch);
    if (!p->producer->closing)
        core_work_queue(core, &p->work);
    if (frame != NULL)
        m = flotilla__produce_response__unpack(arena_allocator(&core->arena), frame->head.header_length,
                                               frame->header);
    if (m != NULL && (m->status == NULL || m->status->error == 0)) {
        batch_acknowledge(core, p, batch, m);
        return;
    }
    if (m != NULL) {
        batch_refused(core, batch, m->status, from->node_id);
        return;
    }
    lost.error = status != 0 ? ERR_CONNECTION_LOST : ERR_PROTOCOL;
    lost.message = from->reason;
    batch_refused(core, batch, &lost, 0);
    p->retry_ns = core->now; /* the connection itself paces what follows */
}

/* With acks=0 a batch is done once its last byte is on its way. */
static void on_sent_unacknowledged(void *data, int status)
{
    struct core_batch *batch = data;
    struct core_producer_partition *p = batch->owner;
    struct core *core = p->producer->core;

    core_producer_batch_unsend(batch);
    if (p->producer->closing)
        return;
    core_work_queue(core, &p->work);
    if (status == 0)
        batch_acknowledge(core, p, batch, NULL);
    else
        p->recovering = true;
}
