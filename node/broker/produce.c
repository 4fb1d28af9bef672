/* From a client's batch to its answer: checks, the producer's sequence, the proposal, and who is answered
 * when. */
#include "node/broker/internal.h"

#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One proposal. It outlives requests that are answered before the commit (acks 1 and 0), and a repeat of the
 * batch that arrives meanwhile waits here too. */
struct in_flight {
    struct proposal proposal;
    struct producer_pending sequence; /* begun when producer_id >= 0 */
    struct partition *partition;
    struct queue waiting; /* produce_req */
    size_t size;
    int32_t record_count;
    int64_t log_append_time_ms;
    uint64_t proposed_ns;
    uint64_t stored_ns;
    bool idempotent;
    bool stored; /* on the leader's disk */
};

/* ---- answers ---- */

static void count_answer(struct broker_metrics *m, const struct produce_req *req, uint64_t now_ns)
{
    if (req->status != 0) {
        error_counters_add(&m->produce_errors, req->status);
        return;
    }
    histogram_record(&m->stages[STAGE_ACK], now_ns - req->started_ns);
    m->acks[req->durability == ACKS_ALL
                ? DURABILITY_ALL
                : (req->durability == ACKS_LEADER ? DURABILITY_LEADER : DURABILITY_NONE)]++;
    if (req->duplicate)
        m->duplicates++;
}

void produce_complete_due(struct broker *b)
{
    struct queue due;
    queue_move(&b->completed, &due);
    while (!queue_empty(&due)) {
        struct produce_req *req = QUEUE_ENTRY(queue_first(&due), struct produce_req, node);
        queue_remove(&req->node);
        req->cb(req, req->status);
    }
}

static void on_complete(struct env_task *task)
{
    produce_complete_due(container_of(task, struct broker, complete));
}

/* Answers are given together, after the turn's callbacks: the answerer may then propose, close and write at
 * will. */
static void complete(struct broker *b, struct produce_req *req, int status)
{
    req->status = status;
    if (status != 0)
        req->base_offset = -1;
    count_answer(&b->metrics, req, env_clock_ns(b->env));
    queue_push(&b->completed, &req->node);
    env_defer(b->env, &b->complete, on_complete);
}

static int refuse(struct produce_req *req, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(struct produce_req *req, int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(req->message, sizeof req->message, format, arguments);
    va_end(arguments);
    return status;
}

/* ---- checks ---- */

static int check_timestamps(const struct partition *p, struct produce_req *req,
                            const struct batch_header *header)
{
    if (p->config.log_append_time)
        return 0;
    int64_t latest_ms = env_wall_ms(p->broker->env) + PRODUCE_TIMESTAMP_AHEAD_MAX_MS;
    if (header->max_timestamp_ms > latest_ms || header->max_timestamp_ms < -1)
        return refuse(req, ERR_INVALID_TIMESTAMP,
                      "timestamp %lld ms is out of bounds: at most an hour after the node's clock",
                      (long long)header->max_timestamp_ms);
    return 0;
}

static int check_batch(const struct partition *p, struct produce_req *req, const struct slice *batch,
                       struct batch_header *header)
{
    if (batch->size > p->config.max_message_bytes)
        return refuse(req, ERR_TOO_LARGE, "a batch of %zu bytes is over the topic's max.message.bytes=%u",
                      batch->size, p->config.max_message_bytes);
    int status = batch_validate(batch->data, batch->size, header, req->message, sizeof req->message);
    if (status != 0)
        return status;
    if (batch_is_transactional(header))
        return refuse(req, ERR_UNSUPPORTED, "transactional batches are not supported");
    if (header->producer_id < -1)
        return refuse(req, ERR_INVALID_ARGUMENT, "producer id %lld is negative",
                      (long long)header->producer_id);
    return check_timestamps(p, req, header);
}

/* Cheap checks first: a node that is over its bounds doesn't spend time on checksums. */
static int check(const struct partition *p, struct produce_req *req, const struct slice *batch,
                 struct batch_header *header)
{
    if (req->acks != ACKS_ALL && req->acks != ACKS_LEADER && req->acks != ACKS_NONE)
        return refuse(req, ERR_INVALID_ARGUMENT, "acks=%d is none of -1 (all), 0, 1", req->acks);
    uint32_t leader_id;
    int32_t leader_epoch;
    int status = partition_check_leader(p, &leader_id, &leader_epoch);
    if (status != 0)
        return status;
    return check_batch(p, req, batch, header);
}

/* ---- outcome of a proposal ---- */

static void answer_waiting(struct in_flight *f, struct queue *node, int status, int durability)
{
    struct produce_req *req = QUEUE_ENTRY(node, struct produce_req, node);
    queue_remove(&req->node);
    req->durability = durability;
    complete(f->partition->broker, req, status);
}

static void on_stored(struct proposal *proposal)
{
    struct in_flight *f = container_of(proposal, struct in_flight, proposal);
    struct broker *b = f->partition->broker;
    f->stored = true;
    f->stored_ns = env_clock_ns(b->env);
    histogram_record(&b->metrics.stages[STAGE_STORE], f->stored_ns - f->proposed_ns);

    for (struct queue *node = queue_first(&f->waiting), *next; node != &f->waiting; node = next) {
        next = node->next;
        if (QUEUE_ENTRY(node, struct produce_req, node)->acks == ACKS_LEADER ||
            env_sabotaged(b->env, SABOTAGE_ACK_BEFORE_QUORUM))
            answer_waiting(f, node, 0, ACKS_LEADER);
    }
}

static void on_committed(struct proposal *proposal, int status)
{
    struct in_flight *f = container_of(proposal, struct in_flight, proposal);
    struct partition *p = f->partition;
    struct broker *b = p->broker;
    if (status == 0) {
        uint64_t now_ns = env_clock_ns(b->env);
        histogram_record(&b->metrics.stages[STAGE_COMMIT], now_ns - f->proposed_ns);
        histogram_record(&b->metrics.stages[STAGE_REPLICATE], now_ns - f->stored_ns);
        p->metrics.records_in += (uint64_t)f->record_count;
        p->metrics.bytes_in += f->size;
    }
    if (f->idempotent)
        producer_table_end(p->producers, &f->sequence);
    ASSERT(b->in_flight_bytes >= f->size);
    b->in_flight_bytes -= f->size;
    while (!queue_empty(&f->waiting))
        answer_waiting(f, queue_first(&f->waiting), status, ACKS_ALL);
    free(f);
    partition_unref(p);
}

/* ---- proposing ---- */

static int check_room(const struct partition *p, struct produce_req *req, size_t size)
{
    const struct broker *b = p->broker;
    /* One batch is let in however large it is: a small bound must not shut a topic with large batches out for
     * ever. */
    if (b->in_flight_bytes > 0 && b->in_flight_bytes + size > b->options.produce_bytes)
        return refuse(req, ERR_OVERLOADED, "%zu bytes are in flight on this node, the limit is %llu",
                      b->in_flight_bytes, (unsigned long long)b->options.produce_bytes);
    if (req->acks != ACKS_ALL)
        return 0;
    unsigned in_sync = group_in_sync_count(p->group);
    if (in_sync < p->config.min_insync_replicas)
        return refuse(req, ERR_NOT_ENOUGH_REPLICAS, "%u replicas are in sync, min.insync.replicas=%u",
                      in_sync, p->config.min_insync_replicas);
    return 0;
}

/* Makes the request wait for the durability it asked for. */
static void await_durability(struct in_flight *f, struct produce_req *req)
{
    req->base_offset = f->proposal.base_offset;
    req->log_append_time_ms = f->log_append_time_ms;
    if (req->acks == ACKS_NONE || (req->acks == ACKS_LEADER && f->stored)) {
        req->durability = req->acks;
        complete(f->partition->broker, req, 0);
    } else {
        queue_push(&f->waiting, &req->node);
    }
}

static int propose(struct partition *p, struct produce_req *req, const struct slice *batch,
                   const struct batch_header *header)
{
    struct broker *b = p->broker;
    int status = check_room(p, req, batch->size);
    if (status != 0)
        return status;
    struct in_flight *f = memory_zalloc(sizeof *f);
    f->partition = p;
    f->size = batch->size;
    f->record_count = header->record_count;
    f->log_append_time_ms = -1;
    f->idempotent = header->producer_id >= 0;
    f->proposal.stored = on_stored;
    queue_init(&f->waiting);
    if (p->config.log_append_time) {
        f->log_append_time_ms = env_wall_ms(b->env);
        batch_set_log_append_time(batch->data, batch->size, f->log_append_time_ms);
    }
    f->proposed_ns = env_clock_ns(b->env);
    histogram_record(&b->metrics.stages[STAGE_VALIDATE], f->proposed_ns - req->started_ns);

    status = group_propose(p->group, &f->proposal, batch, on_committed);
    if (status != 0) {
        free(f);
        return status;
    }
    partition_ref(p);
    b->in_flight_bytes += f->size;
    if (f->idempotent)
        producer_table_begin(p->producers, header, &f->sequence);
    await_durability(f, req);
    return 0;
}

/* ---- the producer's sequence ---- */

static void answer_duplicate(struct partition *p, struct produce_req *req, const struct producer_batch *batch)
{
    req->duplicate = true;
    req->base_offset = batch->base_offset;
    req->log_append_time_ms = p->config.log_append_time ? batch->timestamp_ms : -1;
    req->durability = ACKS_ALL; /* it is committed, whatever was asked for */
    complete(p->broker, req, 0);
}

static int refuse_sequence(struct produce_req *req, int status, const struct batch_header *header,
                           const struct producer_check *found)
{
    switch (status) {
    case ERR_FENCED_PRODUCER:
        return refuse(req, status, "producer %lld has epoch %d by now, this batch has %d",
                      (long long)header->producer_id, found->epoch, header->producer_epoch);
    case ERR_OUT_OF_ORDER_SEQUENCE:
        return refuse(req, status, "producer %lld: the next sequence is %d, this batch has %d",
                      (long long)header->producer_id, found->expected_sequence, header->base_sequence);
    default:
        return refuse(req, status, "producer %lld: epoch %d or sequence %d is negative",
                      (long long)header->producer_id, header->producer_epoch, header->base_sequence);
    }
}

static int submit(struct partition *p, struct produce_req *req, const struct slice *batch,
                  const struct batch_header *header)
{
    if (header->producer_id < 0 || env_sabotaged(p->broker->env, SABOTAGE_RETRY_ACCEPTED))
        return propose(p, req, batch, header);
    struct producer_check found;
    int verdict = producer_table_check(p->producers, header, &found);
    switch (verdict) {
    case PRODUCER_APPEND:
        return propose(p, req, batch, header);
    case PRODUCER_DUPLICATE:
        answer_duplicate(p, req, &found.batch);
        return 0;
    case PRODUCER_REPEAT:
        req->duplicate = true;
        await_durability(container_of(found.pending, struct in_flight, sequence), req);
        return 0;
    default:
        return refuse_sequence(req, verdict, header, &found);
    }
}

void partition_produce(struct partition *p, struct produce_req *req, const struct slice *batch, int acks,
                       void (*cb)(struct produce_req *req, int status))
{
    req->base_offset = -1;
    req->log_append_time_ms = -1;
    req->durability = acks;
    req->duplicate = false;
    req->message[0] = '\0';
    req->cb = cb;
    queue_init(&req->node);
    req->acks = acks;
    req->started_ns = env_clock_ns(p->broker->env);

    struct batch_header header;
    int status = check(p, req, batch, &header);
    if (status == 0)
        status = submit(p, req, batch, &header);
    if (status != 0)
        complete(p->broker, req, status);
}
