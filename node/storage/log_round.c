#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/storage/log_internal.h"
#include "node/storage/transient.h"

static const uint64_t retry_ns = 200 * 1000000u;
static const uint64_t floor_ns = 1000 * 1000000u;

void log_push_operation(struct log *log, struct operation *op)
{
    queue_push(&log->operations, &op->node);
}

void log_schedule(struct log *log)
{
    if (!log->round_runs && !log->retry_waits && !log->journal_waits && !queue_empty(&log->operations))
        flusher_submit(log->options.flusher, &log->flush);
}

/* ---- starting a round ---- */

static void log_abandon(struct env_task *task);

static void log_journal_reached(struct journal_wait *wait, int status)
{
    struct log *log = container_of(wait, struct log, journal_wait);

    log->journal_waits = false;
    if (status == 0) {
        log_schedule(log);
        return;
    }
    log_fail(log, status, "journal");
    env_defer(log->options.env, &log->abandon_task, log_abandon);
}

static bool log_journal_ready(struct log *log, const struct operation *op)
{
    return op->journal_sequence == 0 || journal_durable(log->options.journal) >= op->journal_sequence;
}

/* Moves what one round may do: at most FORMAT_ROUND_MAX_BYTES (a single larger operation goes alone). */
static void log_fill_round(struct log *log, struct round *r)
{
    uint64_t bytes = 0;

    queue_init(&r->operations);
    while (!queue_empty(&log->operations)) {
        struct operation *op = QUEUE_ENTRY(queue_first(&log->operations), struct operation, node);
        if (!log_journal_ready(log, op) || (bytes > 0 && bytes + op->bytes > FORMAT_ROUND_MAX_BYTES))
            return;
        bytes += op->bytes;
        queue_remove(&op->node);
        queue_push(&r->operations, &op->node);
    }
}

static void log_round_work(struct env_work *job)
{
    struct log *log = container_of(job, struct log, round_job);

    round_run(&log->round);
}

static void log_round_done(struct env_work *job);

/* Some records and nothing else: no file is created, finished, cut or removed. */
static bool log_round_is_brief(const struct round *r)
{
    enum { BRIEF_MAX_BYTES = 64 * 1024 };
    uint64_t bytes = 0;

    QUEUE_FOREACH (node, &r->operations) {
        const struct operation *op = QUEUE_ENTRY(node, struct operation, node);
        if (op->kind != OPERATION_WRITE)
            return false;
        bytes += op->bytes;
    }
    return bytes <= BRIEF_MAX_BYTES;
}

static void log_round_submit(struct log *log)
{
    if (log_round_is_brief(&log->round))
        env_work_brief(log->options.env, &log->round_job, log_round_work, log_round_done);
    else
        env_work(log->options.env, &log->round_job, log_round_work, log_round_done);
}

static void log_round_start(struct flusher_client *client)
{
    struct log *log = container_of(client, struct log, flush);

    log->round = (struct round){
        .env = log->options.env, .directory = log->directory, .directory_missing = log->directory_missing};
    log_fill_round(log, &log->round);
    if (!queue_empty(&log->round.operations)) {
        log->round_runs = true;
        log_round_submit(log);
        return;
    }
    flusher_finished(log->options.flusher, NULL);
    if (queue_empty(&log->operations))
        return;
    const struct operation *op = QUEUE_ENTRY(queue_first(&log->operations), struct operation, node);
    log->journal_waits = true;
    journal_wait(log->options.journal, &log->journal_wait, op->journal_sequence, log_journal_reached);
}

void log_round_init(struct log *log)
{
    flusher_client_init(&log->flush, log_round_start);
    queue_init(&log->journal_wait.node);
}

/* ---- completing ---- */

static void operation_complete(struct operation *op, int status)
{
    struct log_append_req *req = op->req;

    operation_destroy(op);
    if (req != NULL)
        req->cb(req, status);
}

static void log_operation_done(struct log *log, struct operation *op)
{
    if (op->kind == OPERATION_WRITE) {
        if (op->written_end > op->segment->written)
            op->segment->written = op->written_end;
        if (op->last_index > log->durable_index)
            log->durable_index = op->last_index;
    }
}

/* The round's first `n` operations, moved to a list of their own so that callbacks may append. */
static void log_take_done(struct log *log, unsigned n, struct queue *done)
{
    queue_init(done);
    for (; n > 0; n--) {
        struct queue *node = queue_first(&log->round.operations);
        log_operation_done(log, QUEUE_ENTRY(node, struct operation, node));
        queue_remove(node);
        queue_push(done, node);
    }
    while (!queue_empty(&log->round.operations)) {
        struct queue *node = queue_last(&log->round.operations);
        queue_remove(node);
        queue_push_front(&log->operations, node);
    }
}

static void complete_all(struct queue *operations, int status)
{
    while (!queue_empty(operations)) {
        struct operation *op = QUEUE_ENTRY(queue_first(operations), struct operation, node);
        queue_remove(&op->node);
        operation_complete(op, status);
    }
}

void log_abandon_operations(struct log *log, int status)
{
    struct queue all;

    if (log->status == 0)
        log->status = status; /* what was submitted is not in the files: nothing may follow it */
    flusher_withdraw(&log->flush);
    queue_move(&log->operations, &all);
    complete_all(&all, status);
}

static void log_abandon(struct env_task *task)
{
    struct log *log = container_of(task, struct log, abandon_task);

    log_abandon_operations(log, log->status);
    log_close_progress(log);
}

static void log_retry(struct env_timer *timer)
{
    struct log *log = container_of(timer, struct log, retry_timer);

    log->retry_waits = false;
    log_schedule(log);
}

static void log_round_waits(struct log *log, int status)
{
    const char *what = status == ERR_NO_SPACE
                           ? "disk full: the partition is read-only until there is room"
                           : "too many open files: the partition is read-only until some are closed; raise "
                             "the limit (ulimit -n)";

    if (!log->no_space)
        LOG(log->options.logger, LOG_ERROR, what, "group=%016llx", (unsigned long long)log->options.group_id);
    log->no_space = true;
    log->retry_waits = true;
    env_timer_start(log->options.env, &log->retry_timer, retry_ns, log_retry);
}

static void log_round_succeeded(struct log *log)
{
    if (log->no_space)
        LOG(log->options.logger, LOG_INFO, "disk has room again: the partition is writable", "group=%016llx",
            (unsigned long long)log->options.group_id);
    log->no_space = false;
}

static void log_round_done(struct env_work *job)
{
    struct log *log = container_of(job, struct log, round_job);
    struct round *r = &log->round;
    struct flusher_round result = {r->bytes, r->write_ns, r->sync_ns, r->sync_failed};
    struct queue done;
    int status = r->status;

    log->round_runs = false;
    log->directory_missing = r->directory_missing;
    flusher_finished(log->options.flusher, &result);
    log_take_done(log, r->done, &done);
    if (status == 0 || error_is_transient(status))
        log->marker_holds = log->marker_holds && r->done == 0;
    if (status == 0)
        log_round_succeeded(log);
    else if (error_is_transient(status))
        log_round_waits(log, status);
    else
        log_fail(log, status, r->sync_failed ? "sync" : "write");
    tail_evict(&log->tail, log->options.cache_bytes, log->durable_index);
    log_note_floor(log);
    log_note_quiet(log);
    log_wake_waiting(log);
    complete_all(&done, 0);
    if (log->status != 0)
        log_abandon_operations(log, log->status);
    log_schedule(log);
    log_close_progress(log);
}

/* ---- appends after the failure ---- */

static void log_complete_rejected(struct env_task *task)
{
    struct log *log = container_of(task, struct log, reject_task);
    struct queue all;

    queue_move(&log->rejected, &all);
    while (!queue_empty(&all)) {
        struct log_append_req *req = QUEUE_ENTRY(queue_first(&all), struct log_append_req, node);
        queue_remove(&req->node);
        req->cb(req, log->status);
    }
    log_close_progress(log);
}

void log_reject(struct log *log, struct log_append_req *req)
{
    queue_push(&log->rejected, &req->node);
    env_defer(log->options.env, &log->reject_task, log_complete_rejected);
}

/* ---- the durability floor ---- */

void log_put_floor(struct log *log)
{
    if (log->options.journal != NULL && log->status == 0 && log->durable_index > log->floor_index) {
        log->floor_index = log->durable_index;
        journal_put_floor_lazy(log->options.journal, log->options.group_id, log->floor_index);
    }
}

static void log_floor_due(struct env_timer *timer)
{
    log_put_floor(container_of(timer, struct log, floor_timer));
}

void log_note_floor(struct log *log)
{
    if (log->options.journal == NULL || log->durable_index <= log->floor_index)
        return;
    if (log->closing)
        log_put_floor(log);
    else if (!env_timer_running(&log->floor_timer))
        env_timer_start(log->options.env, &log->floor_timer, floor_ns, log_floor_due);
}

uint64_t log_clear_floor(struct log *log)
{
    log->floor_index = 0;
    return log->options.journal != NULL ? journal_put_floor(log->options.journal, log->options.group_id, 0)
                                        : 0;
}

uint64_t log_lower_floor(struct log *log, uint64_t index)
{
    if (log->options.journal == NULL || log->floor_index <= index)
        return 0;
    log->floor_index = index;
    return journal_put_floor(log->options.journal, log->options.group_id, index);
}
