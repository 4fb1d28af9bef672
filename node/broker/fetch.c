/* Reading committed records, with long wait.
 *
 *   READING --> DONE --> callback
 *     |  ^
 *     v  |      the high watermark moved far enough, or the time is over
 *   WAITING, or, once, CONFIRMING: the offset is beyond the log's end; is this node still the leader?
 *   or GIVING_WAY: the records are old ones, whose readers take turns (consensus/governor.h)
 *
 * How much is missing is counted in bytes applied to the partition, so that a waiter is looked at again only
 * when its min_bytes can be there, however many small batches arrive. */
#include "node/broker/internal.h"

#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include <string.h>

static void read_more(struct fetch_req *req);

size_t broker_reading_bytes(const struct broker *b)
{
    return b->reading_bytes;
}

static void hold(struct fetch_req *req, size_t bytes)
{
    struct broker *b = req->broker;
    b->reading_bytes = b->reading_bytes - req->held_bytes + bytes;
    req->held_bytes = bytes;
}

static void drop_slices(struct fetch_req *req)
{
    hold(req, 0);
    for (unsigned i = 0; i < req->read.n; i++)
        slice_unref(&req->read.slices[i]);
    req->read.n = 0;
    req->read.size = 0;
    req->read.next_offset = req->offset;
}

/* ---- the end ---- */

static void on_done(struct env_task *task)
{
    struct fetch_req *req = container_of(task, struct fetch_req, task);
    if (req->canceled)
        req->status = ERR_CANCELED;
    if (req->status != 0)
        drop_slices(req);
    hold(req, 0); /* the callee counts them from here */
    req->cb(req, req->status);
}

static void count_result(struct partition *p, const struct fetch_req *req)
{
    struct broker_metrics *m = &p->broker->metrics;
    if (req->status != 0)
        error_counters_add(&m->fetch_errors, req->status);
    if (req->status != 0 || req->read.n == 0)
        return;
    p->metrics.records_out += (uint64_t)(req->read.next_offset - req->offset);
    p->metrics.bytes_out += req->read.size;
}

/* From here on the request doesn't touch the partition any more. */
static void finish(struct fetch_req *req, int status)
{
    struct partition *p = req->partition;
    struct env *env = p->broker->env;
    req->state = FETCH_DONE;
    req->status = status;
    env_timer_stop(env, &req->timer);
    queue_remove(&req->node);
    governor_withdraw(broker_governor(p->broker), &req->turn);
    req->high_watermark = p->high_watermark;
    req->start_offset = partition_start_offset(p);
    count_result(p, req);
    env_defer(env, &req->task, on_done);
}

/* ---- waiting ---- */

static void on_timeout(struct env_timer *timer)
{
    struct fetch_req *req = container_of(timer, struct fetch_req, timer);
    req->expired = true;
    if (req->state == FETCH_WAITING)
        read_more(req);
}

static void park(struct fetch_req *req)
{
    struct partition *p = req->partition;
    struct env *env = p->broker->env;
    uint64_t now_ns = env_now_ns(env);
    if (now_ns >= req->deadline_ns) {
        req->expired = true;
        finish(req, 0);
        return;
    }
    req->wake_at_bytes = req->read_at_bytes + (req->min_bytes - req->read.size);
    drop_slices(req);
    if (p->applied_bytes >= req->wake_at_bytes) {
        read_more(req);
        return;
    }
    req->state = FETCH_WAITING;
    queue_push(&p->fetches, &req->node);
    p->broker->metrics.fetch_waits++;
    if (!env_timer_running(&req->timer))
        env_timer_start(env, &req->timer, req->deadline_ns - now_ns, on_timeout);
}

void fetch_wake(struct partition *p)
{
    struct queue waiting;
    queue_move(&p->fetches, &waiting);
    while (!queue_empty(&waiting)) {
        struct fetch_req *req = QUEUE_ENTRY(queue_first(&waiting), struct fetch_req, node);
        queue_remove(&req->node);
        if (p->applied_bytes >= req->wake_at_bytes)
            read_more(req);
        else
            queue_push(&p->fetches, &req->node);
    }
}

void fetch_fail_all(struct partition *p)
{
    while (!queue_empty(&p->fetches))
        finish(QUEUE_ENTRY(queue_first(&p->fetches), struct fetch_req, node), ERR_NOT_LEADER);
    while (!queue_empty(&p->turns))
        finish(QUEUE_ENTRY(queue_first(&p->turns), struct fetch_req, node), ERR_NOT_LEADER);
}

/* ---- reading ---- */

/* Enough, or nothing better to come: more stands below the high watermark than fits the answer. */
static bool is_enough(const struct fetch_req *req)
{
    return req->expired || req->canceled || req->read.size >= req->min_bytes ||
           (req->read.n > 0 && req->read.next_offset < req->limit_offset);
}

static void look(struct fetch_req *req, int status)
{
    if (req->canceled)
        status = ERR_CANCELED;
    if (status != 0 || is_enough(req))
        finish(req, status);
    else
        park(req);
}

static void has_read(struct fetch_req *req, int status)
{
    hold(req, req->read.size);
    if (req->has_turn)
        governor_spent(broker_governor(req->broker), req->read.size);
    req->has_turn = false;
    look(req, status);
}

static void on_read(struct log_read_req *read, int status)
{
    struct fetch_req *req = container_of(read, struct fetch_req, read);
    struct partition *p = req->partition;
    /* The log cancels its reads when it closes. */
    if (!partition_is_running(p))
        status = ERR_NOT_LEADER;
    has_read(req, partition_read_error(status));
    partition_unref(p);
}

/* Consumers see only committed records. */
static int64_t served_end(const struct partition *p)
{
    if (env_sabotaged(p->broker->env, SABOTAGE_UNCOMMITTED_SERVED))
        return log_end_offset(group_log(p->group));
    return p->high_watermark;
}

static void on_confirmed(struct read_index_req *read_index, int status)
{
    struct fetch_req *req = container_of(read_index, struct fetch_req, read_index);
    struct partition *p = req->partition;
    req->confirmed = status == 0;
    if (req->canceled)
        finish(req, ERR_CANCELED);
    else if (status != 0 || !partition_is_running(p))
        finish(req, ERR_NOT_LEADER);
    else
        read_more(req);
    partition_unref(p);
}

static void confirm(struct fetch_req *req)
{
    struct partition *p = req->partition;
    req->state = FETCH_CONFIRMING;
    int status = group_read_index(p->group, &req->read_index, on_confirmed);
    if (status == 0)
        partition_ref(p);
    else
        finish(req, status);
}

static void start_read(struct fetch_req *req, size_t most)
{
    struct partition *p = req->partition;
    req->state = FETCH_READING;
    int status = log_read(group_log(p->group), &req->read, req->offset, req->limit_offset, most, on_read);
    if (status == 0) {
        partition_ref(p);
        hold(req, most);
    } else {
        has_read(req, status == 1 ? 0 : status);
    }
}

static void read_old(struct fetch_req *req)
{
    req->has_turn = true;
    start_read(req, governor_piece(broker_governor(req->broker), req->max_bytes, 0));
}

static void on_turn(struct governor_turn *turn)
{
    struct fetch_req *req = container_of(turn, struct fetch_req, turn);
    queue_remove(&req->node);
    read_old(req);
}

/* What is not at the log's end any more nobody waits for within milliseconds. */
static void give_way(struct fetch_req *req)
{
    struct partition *p = req->partition;
    if (governor_take(broker_governor(p->broker), &req->turn, on_turn)) {
        read_old(req);
        return;
    }
    req->state = FETCH_GIVING_WAY;
    queue_push(&p->turns, &req->node);
}

static void read_more(struct fetch_req *req)
{
    struct partition *p = req->partition;
    req->state = FETCH_READING;
    req->read.n = 0;
    req->read.size = 0;
    req->read.next_offset = req->offset;
    req->limit_offset = served_end(p);
    req->read_at_bytes = p->applied_bytes;
    struct log *log = group_log(p->group);
    bool beyond = req->offset > log_end_offset(log);
    if (beyond && !req->confirmed) {
        confirm(req);
        return;
    }
    if (beyond || req->offset < partition_start_offset(p)) {
        finish(req, ERR_OFFSET_OUT_OF_RANGE);
        return;
    }
    if (req->offset >= req->limit_offset) {
        look(req, 0);
        return;
    }
    if (log_is_cached(log, req->offset))
        start_read(req, req->max_bytes);
    else
        give_way(req);
}

void partition_fetch(struct partition *p, struct fetch_req *req, int64_t offset, size_t max_bytes,
                     size_t min_bytes, uint64_t max_wait_ns, void (*cb)(struct fetch_req *req, int status))
{
    struct env *env = p->broker->env;
    uint64_t now_ns = env_now_ns(env);
    req->cb = cb;
    queue_init(&req->node);
    governor_turn_init(&req->turn);
    memset(&req->timer, 0, sizeof req->timer);
    memset(&req->task, 0, sizeof req->task);
    req->read.n = 0;
    req->read.size = 0;
    req->read.next_offset = offset;
    req->partition = p;
    req->broker = p->broker;
    req->offset = offset;
    req->max_bytes = max_bytes;
    req->min_bytes = min_bytes;
    req->held_bytes = 0;
    req->deadline_ns = max_wait_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + max_wait_ns;
    req->has_turn = false;
    req->confirmed = false;
    req->expired = false;
    req->canceled = false;
    p->broker->metrics.fetches++;

    uint32_t leader_id;
    int32_t leader_epoch;
    int status = partition_check_leader(p, &leader_id, &leader_epoch);
    if (status != 0)
        finish(req, status);
    else
        read_more(req);
}

void partition_fetch_cancel(struct fetch_req *req)
{
    req->canceled = true;
    if (req->state == FETCH_WAITING || req->state == FETCH_GIVING_WAY)
        finish(req, ERR_CANCELED);
}
