/* Fetch: committed records of several partitions in one answer.
 *
 *   pass over the partitions in the request's order (fetch_read.c)
 *      enough, an error, or the time is over  --> answer
 *      otherwise                              --> watch all of them; what moves starts another pass
 *
 * Records stay slices, of the tail cache or of what a worker has read, until the socket takes them. How much
 * one answer holds is bounded by this node, too, whatever the client would take. Fetch sessions are not kept:
 * every answer names session 0, which tells the client to send whole requests. */
#include "node/base/memory.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/fetch_call.h"
#include "node/server/kafka/leader_hints.h"
#include "node/server/kafka/throttle.h"
#include <stdlib.h>

#define MS ((uint64_t)1000000)

enum {
    /* Larger ones have left the processor's caches before they are sent, and again before they are parsed. */
    ANSWER_MAX_BYTES = 4 * 1024 * 1024,
    FETCH_MAX_CHARGE = 1024 * 1024,
    WAIT_MAX_MS = 10 * 60 * 1000,
    /* Between two looks of a fetch that wants more than any record. */
    LOOK_AGAIN_MS = 2,
    ITEMS_MAX = 100000,
    OLDEST_WITH_HINTS = 12,
};

static void read_all(struct fetch_call *call);

/* ---- the end ---- */

static void stop_waiting(struct fetch_call *call)
{
    struct env *env = call->request->server->env;
    env_timer_stop(env, &call->again);
    env_task_cancel(env, &call->look);
    for (unsigned i = 0; i < call->count; i++) {
        if (call->items[i].watching)
            partition_unwatch(&call->items[i].watcher);
        call->items[i].watching = false;
    }
}

static void add_hints(struct fetch_call *call)
{
    struct leader_hints hints;
    leader_hints_init(&hints, call->request);
    for (unsigned i = 0; i < call->count; i++)
        LEADER_HINTS_SET(&hints, call->items[i].answer, fetch_response_current_leader,
                         call->items[i].group_id);
    LEADER_HINTS_SHOW_NODES(&hints, &call->response, fetch_response_node_endpoint);
}

static void answer(struct fetch_call *call)
{
    struct kafka_request *r = call->request;
    unsigned count = call->piece_count;
    call->response.throttle_time_ms = kafka_throttle(r, &r->server->kafka->fetch_quota, call->size);
    struct slice *pieces = kafka_fetch_take_pieces(call);
    stop_waiting(call);
    env_timer_stop(r->server->env, &call->deadline);
    if (call->failed && r->header.api_version >= OLDEST_WITH_HINTS)
        add_hints(call);
    histogram_record(&r->server->kafka->fetch_ns, env_clock_ns(r->server->env) - r->started_ns);
    kafka_respond_with_records(r, &call->response, pieces, count); /* the call is gone */
    free(pieces);
}

/* ---- waiting ---- */

static void on_look(struct env_task *task)
{
    struct fetch_call *call = container_of(task, struct fetch_call, look);
    read_all(call);
}

static void on_again(struct env_timer *timer)
{
    struct fetch_call *call = container_of(timer, struct fetch_call, again);
    read_all(call);
}

/* One record is enough for most; who wants more is not looked after with every batch that comes. */
static void on_moved(struct partition_watcher *w, int status)
{
    struct fetch_item *item = container_of(w, struct fetch_item, watcher);
    struct fetch_call *call = item->call;
    struct env *env = call->request->server->env;
    if (status != 0)
        item->watching = false;
    if (status != 0 || call->min_bytes <= 1)
        env_defer(env, &call->look, on_look);
    else if (!env_timer_running(&call->again))
        env_timer_start(env, &call->again, LOOK_AGAIN_MS * MS, on_again);
}

/* False: it has changed since the pass looked at it. */
static bool watch(struct fetch_item *item)
{
    struct partition *partition;
    if (kafka_fetch_find(item, &partition) != KAFKA_ERR_NONE ||
        partition_high_watermark(partition) != item->answer->high_watermark)
        return false;
    item->watching = partition_watch(partition, &item->watcher, on_moved) == 0;
    return item->watching;
}

static void wait(struct fetch_call *call)
{
    kafka_fetch_drop_pieces(call);
    for (unsigned i = 0; i < call->count; i++) {
        if (!watch(&call->items[i])) {
            env_defer(call->request->server->env, &call->look, on_look);
            return;
        }
    }
}

static void on_deadline(struct env_timer *timer)
{
    struct fetch_call *call = container_of(timer, struct fetch_call, deadline);
    call->expired = true;
    if (call->reading > 0)
        return;
    read_all(call);
}

/* ---- reading ---- */

static void read_all(struct fetch_call *call)
{
    stop_waiting(call);
    kafka_fetch_read(call);
}

void kafka_fetch_has_read(struct fetch_call *call)
{
    bool gone = call->request->connection == NULL;
    if (gone || call->expired || call->failed || call->full || call->size >= call->min_bytes)
        answer(call);
    else
        wait(call);
}

/* ---- the request ---- */

static void on_gone(struct kafka_request *r)
{
    struct fetch_call *call = r->state;
    if (call->reading > 0)
        kafka_fetch_cancel_reads(call);
    else
        answer(call);
}

static void on_end_wait(struct kafka_request *r)
{
    struct fetch_call *call = r->state;
    call->expired = true;
    if (call->reading == 0)
        answer(call);
}

static bool prepare(struct fetch_call *call, const struct kafka_fetch_request *m)
{
    struct kafka_request *r = call->request;
    struct fetch_item *item = call->items;
    call->response = kafka_fetch_response_default;
    call->response.responses.items = KAFKA_NEW(&r->arena, fetch_response_topic, (size_t)m->topics.count);
    if (call->response.responses.items == NULL)
        return false;
    call->response.responses.count = m->topics.count;
    for (int32_t i = 0; i < m->topics.count; i++) {
        const struct kafka_fetch_request_topic *asked = &m->topics.items[i];
        struct kafka_fetch_response_topic *t = &call->response.responses.items[i];
        t->topic = asked->topic;
        t->topic_id = asked->topic_id;
        t->partitions.items = KAFKA_NEW(&r->arena, fetch_response_partition, (size_t)asked->partitions.count);
        if (t->partitions.items == NULL)
            return false;
        t->partitions.count = asked->partitions.count;
        for (int32_t k = 0; k < asked->partitions.count; k++, item++) {
            item->call = call;
            item->topic = asked;
            item->asked = &asked->partitions.items[k];
            item->answer = &t->partitions.items[k];
        }
    }
    return true;
}

static unsigned count_items(const struct kafka_fetch_request *m)
{
    unsigned count = 0;
    for (int32_t i = 0; i < m->topics.count; i++)
        count += (unsigned)m->topics.items[i].partitions.count;
    return count;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void refuse_session(struct kafka_request *r)
{
    struct kafka_fetch_response response = kafka_fetch_response_default;
    response.error_code = KAFKA_ERR_FETCH_SESSION_ID_NOT_FOUND;
    kafka_respond(r, &response);
}

static void set_limits(struct fetch_call *call, const struct kafka_fetch_request *m)
{
    size_t max_bytes = m->max_bytes > 0 ? (size_t)m->max_bytes : 1;
    size_t min_bytes = m->min_bytes > 0 ? (size_t)m->min_bytes : 0;
    size_t portion = quota_portion(&call->request->server->kafka->fetch_quota.table);
    call->max_bytes = min_size(min_size(max_bytes, ANSWER_MAX_BYTES), portion);
    call->min_bytes = min_size(min_bytes, call->max_bytes);
    kafka_request_charge(call->request, min_size(call->max_bytes, FETCH_MAX_CHARGE));
}

void kafka_fetch(struct kafka_request *r)
{
    const struct kafka_fetch_request *m = r->message;
    unsigned count = count_items(m);
    if (m->session_id != 0) {
        refuse_session(r);
        return;
    }
    if (count > ITEMS_MAX) {
        kafka_refuse(r, "too many partitions in one request");
        return;
    }
    struct fetch_call *call = kafka_request_state(r, sizeof(*call) + count * sizeof(call->items[0]));
    call->request = r;
    call->count = count;
    queue_init(&call->reads);
    if (!prepare(call, m)) {
        kafka_refuse_too_large(r);
        return;
    }
    set_limits(call, m);
    r->cancel = on_gone;
    r->end_wait = on_end_wait;
    if (m->max_wait_ms > 0) {
        uint64_t wait_ms = m->max_wait_ms < WAIT_MAX_MS ? (uint64_t)m->max_wait_ms : WAIT_MAX_MS;
        env_timer_start(r->server->env, &call->deadline, wait_ms * MS, on_deadline);
    } else {
        call->expired = true;
    }
    kafka_fetch_read(call);
}
