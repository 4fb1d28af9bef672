/* Producers: batches go to the leader of their partition in order, several at a time, until each is
 * acknowledged.
 *
 * Order and exactly-once rest on three rules:
 *  - every batch has a sequence under a producer id, and every attempt of it the same one, so that a leader
 * recognises a repeat;
 *  - after any failure nothing is sent until all that is in flight is answered or lost ("recovering"); then
 * everything unacknowledged is sent again from the oldest on;
 *  - when a batch ends without having been written for certain, its place in the sequence stays empty, so the
 * partition begins a new sequence under a fresh id; what may have been written under the old one ends as
 * OUTCOME_UNKNOWN. */
#include "client/accumulator.h"
#include "proto/crc32c.h"

enum {
    PRODUCER_ID_OFFSET = 43, /* in a record batch; see proto/batch.h */
    PRODUCER_EPOCH_OFFSET = 51,
    BASE_SEQUENCE_OFFSET = 53,
    CRC_OFFSET = 17,
    CRC_BEGIN = 21,
    SEQUENCE_STRIKES = 3,       /* refusals of the oldest batch before its sequence is given up */
    REQUEST_TIMEOUT_MS = 30000, /* how long a leader may try to reach a quorum before it says so */
    STUCK_MS = 200, /* without an ack for so long, the nodes are asked who leads, and again as often */
};

struct core_producer_partition {
    struct core_work work;
    TAILQ_ENTRY(core_producer_partition) link;
    struct core_timer timer;
    struct core_producer *producer;
    struct accumulator_partition *shared;
    struct core_topic *topic;
    uint32_t index;
    uint8_t topic_id[CORE_TOPIC_ID_SIZE]; /* under which the sequence counts */
    struct core_batch_list in_flight;     /* in the order of their sequence */
    unsigned count;
    unsigned sent;        /* of these: handed to a connection and unanswered */
    uint64_t answered_ns; /* the last sign of progress while something is in flight */
    uint64_t doubted_ns;  /* when other nodes were last asked because of no progress */
    bool recovering;
    bool renew;  /* needs a fresh producer id */
    bool proven; /* a batch of this sequence is in the leader's log */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t next_sequence;
    uint64_t failing_since_ns; /* 0: the last attempt succeeded */
    unsigned strikes;
    uint64_t retry_ns;
    int last_error;
    char last_message[CORE_MESSAGE_SIZE];
};
TAILQ_HEAD(core_producer_partition_list, core_producer_partition);

struct core_producer {
    TAILQ_ENTRY(core_producer) link;
    struct core *core;
    struct client_settings settings;
    struct accumulator *accumulator;
    struct core_producer_partition_list partitions;
    struct core_topic **wanted; /* the accumulator waits for these */
    size_t wanted_count;
    int acks;
    bool idempotent;
    bool id_asked;
    bool id_known; /* not taken by a partition that needed a fresh one */
    bool closing;
    int64_t producer_id;
    int16_t producer_epoch;
    struct producer_id_box *id_box;
};

static void partition_run(struct core *core, struct core_work *work);

/* ---- ends of batches ---- */

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
    batch->status = status;
    snprintf(batch->message, sizeof(batch->message), "%s", message);
    accumulator_complete(p->producer->accumulator, batch);
}

/* A batch ends unwritten, or nobody knows. Later batches cannot keep their place in the sequence. */
static void batch_fail(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
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

static void partition_fail_all(struct core *core, struct core_producer_partition *p, int status,
                               const char *why)
{
    struct core_batch *batch;

    while ((batch = TAILQ_FIRST(&p->in_flight)) != NULL) {
        batch->is_unknown |= batch->is_sent;
        batch_fail(core, p, batch, status, why);
    }
}

static void partition_drop_waiting(struct core_producer_partition *p, int status, const char *why)
{
    struct accumulator *a = p->producer->accumulator;
    struct core_batch *batch;

    while ((batch = accumulator_take(a, p->shared)) != NULL) {
        batch->status = status;
        snprintf(batch->message, sizeof(batch->message), "%s/%u: %s", p->topic->name, p->index, why);
        accumulator_complete(a, batch);
    }
}

static void producer_fail(struct core_producer *producer, int status, const char *message)
{
    struct core_producer_partition *p;

    core_log(producer->core, FLOTILLA_LOG_ERROR, "msg=\"producer failed\" error=%s reason=\"%s\"",
             error_name(status), message);
    producer->closing = true;
    accumulator_fail(producer->accumulator, status, message);
    for (p = TAILQ_FIRST(&producer->partitions); p != NULL; p = TAILQ_NEXT(p, link)) {
        partition_fail_all(producer->core, p, status, message);
        partition_drop_waiting(p, status, message);
        core_timer_clear(&producer->core->timers, &p->timer);
    }
}

/* ---- producer ids ---- */

/* Outlives the producer when that is destroyed while the call is under way. */
struct producer_id_box {
    struct core_producer *producer;
};

static void pack_init(void *data, const uint8_t *topic_id, struct bytes *out)
{
    (void)data, (void)topic_id, (void)out; /* InitProducerRequest has no fields */
}

static void on_init(void *data, int status, const char *message, const uint8_t *header, size_t size,
                    bool maybe_applied)
{
    struct producer_id_box *box = data;
    struct core_producer *producer = box->producer;
    Flotilla__InitProducerResponse *m;

    (void)maybe_applied;
    free(box);
    if (producer == NULL)
        return;
    producer->id_box = NULL;
    producer->id_asked = false;
    if (status == 0) {
        m = flotilla__init_producer_response__unpack(arena_allocator(&producer->core->arena), size, header);
        if (m == NULL || m->producer_id < 0 || m->producer_epoch < 0 || m->producer_epoch > INT16_MAX) {
            producer_fail(producer, ERR_PROTOCOL, "malformed producer id");
            return;
        }
        producer->producer_id = m->producer_id;
        producer->producer_epoch = (int16_t)m->producer_epoch;
        producer->id_known = true;
    } else if (!core_error_is_retriable(status)) {
        producer_fail(producer, status, message);
        return;
    }
    core_producers_wake(producer->core);
}

static void producer_ask_id(struct core_producer *producer)
{
    struct core_call_options call = {
        .target = CORE_ANY,
        .type = FRAME_INIT_PRODUCER,
        .timeout_ns = (uint64_t)producer->settings.delivery_timeout_ms * CORE_MS,
        .pack = pack_init,
        .cb = on_init,
    };

    if (producer->id_asked || producer->core->stopping)
        return;
    producer->id_asked = true;
    producer->id_box = core_alloc(sizeof(*producer->id_box));
    producer->id_box->producer = producer;
    call.data = producer->id_box;
    core_call_start(producer->core, &call);
}

/* Numbers the unacknowledged batches anew. Those that may have been written under the old id must not be. */
static void partition_begin_sequence(struct core *core, struct core_producer_partition *p)
{
    struct core_producer *producer = p->producer;
    struct core_batch *next;

    for (struct core_batch *batch = TAILQ_FIRST(&p->in_flight); batch != NULL; batch = next) {
        next = TAILQ_NEXT(batch, link);
        if (batch->is_unknown)
            batch_fail(core, p, batch, ERR_OUTCOME_UNKNOWN, "an earlier batch of this partition was lost");
    }
    p->producer_id = producer->producer_id;
    p->producer_epoch = producer->producer_epoch;
    p->next_sequence = 0;
    p->proven = false;
    p->renew = false;
    p->strikes = 0;
    memcpy(p->topic_id, p->topic->id, CORE_TOPIC_ID_SIZE);
    for (struct core_batch *batch = TAILQ_FIRST(&p->in_flight); batch != NULL;
         batch = TAILQ_NEXT(batch, link)) {
        batch->sequence = p->next_sequence;
        p->next_sequence =
            (int32_t)(((uint32_t)p->next_sequence + (uint32_t)batch->builder.count) & INT32_MAX);
    }
}

/* Whether the partition has a producer id to number its batches with. */
static bool partition_has_id(struct core *core, struct core_producer_partition *p)
{
    struct core_producer *producer = p->producer;

    if (!producer->idempotent)
        return true;
    if (memcmp(p->topic_id, p->topic->id, CORE_TOPIC_ID_SIZE) != 0 && p->producer_id >= 0)
        p->renew = true; /* the topic was deleted and made again */
    if (p->producer_id >= 0 && !p->renew)
        return true;
    if (p->sent > 0)
        return false;
    /* An id that this partition used before is spent for it. */
    if (producer->id_known && producer->producer_id != p->producer_id) {
        partition_begin_sequence(core, p);
        return true;
    }
    producer_ask_id(producer);
    return false;
}

/* ---- sending ---- */

static void batch_stamp_sequence(struct core_batch *batch, struct core_producer_partition *p)
{
    struct core_wire *wire = batch->wire;

    if (batch->producer_id == p->producer_id)
        return;
    if (wire->references > 1) { /* a dying connection still shows these bytes to the kernel */
        batch->wire = core_wire_create();
        bytes_append(&batch->wire->bytes, wire->bytes.data, wire->bytes.size);
        core_wire_unref(wire);
    }
    unsigned char *data = batch->wire->bytes.data;
    store_be64(data + PRODUCER_ID_OFFSET, (uint64_t)p->producer_id);
    store_be16(data + PRODUCER_EPOCH_OFFSET, (uint16_t)p->producer_epoch);
    store_be32(data + BASE_SEQUENCE_OFFSET, (uint32_t)batch->sequence);
    store_be32(data + CRC_OFFSET, crc32c(0, data + CRC_BEGIN, batch->wire->bytes.size - CRC_BEGIN));
    batch->producer_id = p->producer_id;
}

static int batch_finish(struct core_batch *batch, struct core_producer_partition *p)
{
    struct core_producer *producer = p->producer;
    struct batch_options options = {
        .codec = (enum batch_codec)producer->settings.compression,
        .producer_id = producer->idempotent ? p->producer_id : -1,
        .producer_epoch = producer->idempotent ? p->producer_epoch : (int16_t)-1,
        .base_sequence = producer->idempotent ? batch->sequence : -1,
    };

    if (batch->wire != NULL) {
        if (producer->idempotent)
            batch_stamp_sequence(batch, p);
        return 0;
    }
    batch->wire = core_wire_create();
    batch->producer_id = options.producer_id;
    return batch_builder_finish_into(&batch->builder, &options, &batch->wire->bytes);
}

static uint64_t batch_deadline(const struct core_producer_partition *p, const struct core_batch *batch)
{
    return batch->created_ns + (uint64_t)p->producer->settings.delivery_timeout_ms * CORE_MS;
}

static void on_sent_unacknowledged(void *data, int status);

static void batch_send(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                       struct core_endpoint *e)
{
    Flotilla__ProduceRequest m = FLOTILLA__PRODUCE_REQUEST__INIT;
    uint64_t left_ms = (batch_deadline(p, batch) - core->now) / CORE_MS;

    m.topic_id.data = p->topic->id;
    m.topic_id.len = CORE_TOPIC_ID_SIZE;
    m.partition = p->index;
    m.acks = p->producer->acks;
    m.timeout_ms = left_ms < REQUEST_TIMEOUT_MS ? (uint32_t)left_ms + 1 : REQUEST_TIMEOUT_MS;
    if (p->sent == 0)
        p->answered_ns = core->now;
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
    p->proven = true;
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
            batch_fail(core, p, batch, ERR_OUTCOME_UNKNOWN,
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
        producer_fail(p->producer, status->error, status->message);
    else if (status->error == ERR_OUT_OF_ORDER_SEQUENCE && p->producer->idempotent)
        batch_out_of_order(core, p, batch, status->message);
    else if (core_error_is_retriable(status->error))
        batch_retry(core, p, batch, status, from_node);
    else
        batch_fail(core, p, batch, status->error,
                   status->message[0] ? status->message : error_text(status->error));
}

static void batch_unsend(struct core_batch *batch)
{
    batch->is_sent = false;
    batch->owner->sent--;
}

static void on_produce(struct core *core, struct core_request *request, int status,
                       const struct core_frame *frame)
{
    struct core_batch *batch = (struct core_batch *)((char *)request - offsetof(struct core_batch, request));
    struct core_producer_partition *p = batch->owner;
    struct core_endpoint *from = batch->sent_to;
    Flotilla__Status lost = FLOTILLA__STATUS__INIT;
    Flotilla__ProduceResponse *m = NULL;

    batch_unsend(batch);
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

    batch_unsend(batch);
    if (p->producer->closing)
        return;
    core_work_queue(core, &p->work);
    if (status == 0)
        batch_acknowledge(core, p, batch, NULL);
    else
        p->recovering = true;
}

/* ---- a partition's turn ---- */

static void partition_expire(struct core *core, struct core_producer_partition *p)
{
    char why[2 * CORE_MESSAGE_SIZE];
    struct core_batch *batch;

    while ((batch = TAILQ_FIRST(&p->in_flight)) != NULL && batch_deadline(p, batch) <= core->now) {
        snprintf(why, sizeof(why), "not acknowledged within delivery.timeout.ms=%lld: %s",
                 (long long)p->producer->settings.delivery_timeout_ms,
                 p->last_message[0] != '\0' ? p->last_message : "no leader could be reached");
        batch->is_unknown |= batch->is_sent;
        batch_fail(core, p, batch, p->last_error != 0 ? p->last_error : ERR_LEADER_NOT_AVAILABLE, why);
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
    batch->request = (struct core_request){.done = on_produce};
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

static bool partition_may_send(const struct core_producer_partition *p, const struct core_batch *batch)
{
    if (batch->is_sent)
        return false;
    /* The first batch of a sequence goes alone: a leader that knows nothing of it must not see the second
     * first. */
    return !p->producer->idempotent || p->proven || batch == TAILQ_FIRST(&p->in_flight);
}

static void partition_send(struct core *core, struct core_producer_partition *p, struct core_endpoint *e)
{
    struct core_batch *next;

    for (struct core_batch *batch = TAILQ_FIRST(&p->in_flight); batch != NULL; batch = next) {
        next = TAILQ_NEXT(batch, link);
        if (!partition_may_send(p, batch))
            continue;
        int rc = batch_finish(batch, p);
        if (rc != 0)
            batch_fail(core, p, batch, rc, error_text(rc));
        else
            batch_send(core, p, batch, e);
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
    if (core->now - p->answered_ns >= 2 * REQUEST_TIMEOUT_MS * CORE_MS) {
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
        batch_unsend(batch);
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
    partition_fail_all(core, p, missing, "the topic no longer exists");
    partition_drop_waiting(p, missing, "the topic no longer exists");
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
    if (e == NULL || !partition_has_id(core, p))
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
        next = earlier(next, batch_deadline(p, oldest));
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

static struct core_producer_partition *partition_of(struct core_producer *producer,
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

/* ---- the producer ---- */

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
        producer_ask_id(producer); /* so that it is there when the first record comes */
    core_run(core);
    return producer;
}

static void want_topic(void *data, const char *name)
{
    struct core_producer *producer = data;
    struct core_topic *topic = core_topic_get(producer->core, name);

    producer->wanted = realloc(producer->wanted, (producer->wanted_count + 1) * sizeof(struct core_topic *));
    if (producer->wanted == NULL)
        abort();
    producer->wanted[producer->wanted_count++] = topic;
    if (!topic->known && topic->missing_since_ns != 0)
        topic->missing_since_ns = producer->core->now; /* somebody may have just created it: ask once more */
}

static void wake_partition(void *data, struct accumulator_partition *shared)
{
    struct core_producer *producer = data;

    core_work_queue(producer->core, &partition_of(producer, shared)->work);
}

void core_producer_destroy(struct core_producer *producer)
{
    struct core *core = producer->core;
    struct core_producer_partition *p;

    accumulator_collect(producer->accumulator, want_topic, wake_partition,
                        producer); /* what was not seen yet */
    producer->closing = true;
    while ((p = TAILQ_FIRST(&producer->partitions)) != NULL) {
        partition_fail_all(core, p, ERR_CANCELED, "the producer was destroyed");
        partition_drop_waiting(p, ERR_CANCELED, "the producer was destroyed");
        core_timer_clear(&core->timers, &p->timer);
        core_work_cancel(core, &p->work);
        TAILQ_REMOVE(&producer->partitions, p, link);
        free(p);
    }
    if (producer->id_box != NULL)
        producer->id_box->producer = NULL;
    TAILQ_REMOVE(&core->producers, producer, link);
    free(producer->wanted);
    free(producer);
}

/* Tells the accumulator what is known by now about the topics it waits for. */
static void producer_check_wanted(struct core_producer *producer)
{
    struct core *core = producer->core;
    size_t kept = 0;

    for (size_t i = 0; i < producer->wanted_count; i++) {
        struct core_topic *topic = producer->wanted[i];
        int missing = core_topic_missing(core, topic);
        if (topic->known || missing != 0) {
            accumulator_set_topic(producer->accumulator, topic->name, topic->partition_count, missing);
            continue;
        }
        producer->wanted[kept++] = topic;
        core_metadata_need(core);
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
