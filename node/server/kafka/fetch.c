/* Fetch: committed records of several partitions in one answer.
 *
 *   pass over the partitions in the request's order, one read at a time
 *      enough, an error, or the time is over  --> answer
 *      otherwise                              --> watch all of them; what moves starts another pass
 *
 * Records stay slices, of the tail cache or of what a worker has read, until the socket takes them. How much
 * one answer holds is bounded by this node, too, whatever the client would take. Fetch sessions are not kept:
 * every answer names session 0, which tells the client to send whole requests. */
#include "node/base/memory.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"
#include <stdlib.h>

#define MS ((uint64_t)1000000)

enum {
    ANSWER_MAX_BYTES = 8 * 1024 * 1024,
    /* While clients as a whole hold too much memory. */
    ANSWER_SMALL_BYTES = 256 * 1024,
    /* Of one answer: small batches must not make it too long a list. */
    ANSWER_MAX_PIECES = 2048,
    FETCH_MAX_CHARGE = 1024 * 1024,
    WAIT_MAX_MS = 10 * 60 * 1000,
    /* Between two looks of a fetch that wants more than any record. */
    LOOK_AGAIN_MS = 2,
    ITEMS_MAX = 100000,
    OLDEST_WITH_IDS = 13,
};

struct fetch_item {
    struct fetch_call *call;
    const struct kafka_fetch_request_topic *topic;
    const struct kafka_fetch_request_partition *asked;
    struct kafka_fetch_response_partition *answer;
    struct partition_watcher watcher;
    bool watching;
};

struct fetch_call {
    struct kafka_request *request;
    struct kafka_fetch_response response;
    size_t max_bytes, min_bytes;
    struct env_timer deadline;
    struct env_timer again;
    struct env_task look;
    bool expired;
    bool failed; /* some partition has an error to tell */

    unsigned at; /* item that is being read */
    int64_t offset;
    size_t reserved_bytes;
    bool reading;
    struct fetch_req fetch;

    struct slice *pieces;
    unsigned piece_count, piece_capacity;
    size_t size; /* of the pieces */
    unsigned count;
    struct fetch_item items[];
};

static void pass(struct fetch_call *call);
static void read_on(struct fetch_call *call);

/* ---- pieces ---- */

static void add_pieces(struct fetch_call *call, const struct log_read_req *read)
{
    if (call->piece_count + read->n > call->piece_capacity) {
        call->piece_capacity = call->piece_capacity * 2 + LOG_READ_MAX_SLICES;
        call->pieces = memory_realloc(call->pieces, call->piece_capacity * sizeof(call->pieces[0]));
    }
    for (unsigned i = 0; i < read->n; i++)
        call->pieces[call->piece_count++] = read->slices[i];
    call->size += read->size;
}

static void drop_pieces(struct fetch_call *call)
{
    for (unsigned i = 0; i < call->piece_count; i++)
        slice_unref(&call->pieces[i]);
    call->piece_count = 0;
    call->size = 0;
}

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

static void answer(struct fetch_call *call)
{
    struct kafka_request *r = call->request;
    struct slice *pieces = call->pieces;
    stop_waiting(call);
    env_timer_stop(r->server->env, &call->deadline);
    histogram_record(&r->server->kafka->fetch_ns, env_clock_ns(r->server->env) - r->started_ns);
    kafka_respond_with_records(r, &call->response, pieces, call->piece_count); /* the call is gone */
    free(pieces);
}

/* ---- waiting ---- */

static void on_look(struct env_task *task)
{
    struct fetch_call *call = container_of(task, struct fetch_call, look);
    stop_waiting(call);
    pass(call);
}

static void on_again(struct env_timer *timer)
{
    struct fetch_call *call = container_of(timer, struct fetch_call, again);
    stop_waiting(call);
    pass(call);
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

static const struct topic_meta *find_topic(const struct fetch_item *item)
{
    const struct kafka_request *r = item->call->request;
    return r->header.api_version >= OLDEST_WITH_IDS ? kafka_topic_by_id(r->server, item->topic->topic_id)
                                                    : kafka_topic_by_name(r->server, item->topic->topic);
}

static int16_t find_partition(struct fetch_item *item, struct partition **partition)
{
    const struct kafka_request *r = item->call->request;
    const struct topic_meta *topic = find_topic(item);
    uint64_t group_id;
    if (topic == NULL && r->header.api_version >= OLDEST_WITH_IDS)
        return KAFKA_ERR_UNKNOWN_TOPIC_ID;
    return kafka_find_leader(r->server, topic, item->asked->partition, item->asked->current_leader_epoch,
                             partition, &group_id);
}

/* False: it has changed since the pass looked at it. */
static bool watch(struct fetch_item *item)
{
    struct partition *partition;
    if (find_partition(item, &partition) != KAFKA_ERR_NONE ||
        partition_high_watermark(partition) != item->answer->high_watermark)
        return false;
    item->watching = partition_watch(partition, &item->watcher, on_moved) == 0;
    return item->watching;
}

static void wait(struct fetch_call *call)
{
    drop_pieces(call);
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
    if (call->reading)
        return;
    stop_waiting(call);
    pass(call);
}

/* ---- reading ---- */

static void end_pass(struct fetch_call *call)
{
    bool gone = call->request->connection == NULL;
    if (gone || call->expired || call->failed || call->size >= call->min_bytes)
        answer(call);
    else
        wait(call);
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What the next read may bring, 0: the answer is full. */
static size_t room(const struct fetch_call *call)
{
    const struct server *s = call->request->server;
    const struct fetch_item *item = &call->items[call->at];
    size_t in_partition = (size_t)item->answer->records.size;
    size_t partition_max =
        item->asked->partition_max_bytes > 0 ? (size_t)item->asked->partition_max_bytes : 1;
    if (call->piece_count >= ANSWER_MAX_PIECES || call->size >= call->max_bytes ||
        in_partition >= partition_max)
        return 0;
    size_t left = min_size(call->max_bytes - call->size, partition_max - in_partition);
    bool tight = server_is_full(s) || s->kafka->reading_bytes + left > s->config->clients_bytes / 2;
    if (!tight)
        return left;
    return call->size >= ANSWER_SMALL_BYTES ? 0 : min_size(left, ANSWER_SMALL_BYTES - call->size);
}

static void next_item(struct fetch_call *call)
{
    call->at++;
    if (call->at < call->count)
        call->offset = call->items[call->at].asked->fetch_offset;
}

static void fail_item(struct fetch_call *call, int16_t error)
{
    struct fetch_item *item = &call->items[call->at];
    if (item->answer->records.size > 0)
        return; /* what has been read is worth more; the error comes again */
    item->answer->error_code = error;
    call->failed = true;
}

static void on_read(struct fetch_req *fetch, int status)
{
    struct fetch_call *call = fetch->data;
    struct fetch_item *item = &call->items[call->at];
    call->reading = false;
    call->request->server->kafka->reading_bytes -= call->reserved_bytes;
    if (status != 0) {
        fail_item(call, kafka_error_from(status));
        next_item(call);
    } else {
        add_pieces(call, &fetch->read);
        item->answer->records.size += (int32_t)fetch->read.size;
        if (fetch->read.n == 0 || fetch->read.next_offset <= call->offset)
            next_item(call);
        else
            call->offset = fetch->read.next_offset;
    }
    read_on(call);
}

static int16_t look(struct fetch_item *item, struct partition **partition)
{
    int64_t offset = item->call->offset;
    int16_t error = find_partition(item, partition);
    if (error != KAFKA_ERR_NONE)
        return error;
    item->answer->high_watermark = partition_high_watermark(*partition);
    item->answer->last_stable_offset = item->answer->high_watermark;
    item->answer->log_start_offset = partition_start_offset(*partition);
    bool inside = offset >= item->answer->log_start_offset && offset <= partition_end_offset(*partition);
    return inside ? KAFKA_ERR_NONE : KAFKA_ERR_OFFSET_OUT_OF_RANGE;
}

/* True: a read has been submitted. */
static bool read_item(struct fetch_call *call)
{
    struct fetch_item *item = &call->items[call->at];
    struct partition *partition;
    int16_t error = look(item, &partition);
    size_t max_bytes = error == KAFKA_ERR_NONE ? room(call) : 0;
    if (error != KAFKA_ERR_NONE)
        fail_item(call, error);
    if (max_bytes == 0 || call->offset >= item->answer->high_watermark)
        return false;
    call->reading = true;
    call->reserved_bytes = max_bytes;
    call->request->server->kafka->reading_bytes += max_bytes;
    call->fetch.data = call;
    partition_fetch(partition, &call->fetch, call->offset, max_bytes, 0, 0, on_read);
    return true;
}

static void read_on(struct fetch_call *call)
{
    while (call->at < call->count && call->request->connection != NULL) {
        if (read_item(call))
            return;
        next_item(call);
    }
    end_pass(call);
}

static void pass(struct fetch_call *call)
{
    drop_pieces(call);
    call->failed = false;
    for (unsigned i = 0; i < call->count; i++) {
        struct kafka_fetch_response_partition *p = call->items[i].answer;
        *p = kafka_fetch_response_partition_default;
        p->partition_index = call->items[i].asked->partition;
        p->high_watermark = -1;
        p->records = (struct kafka_bytes){NULL, 0};
        p->aborted_transactions.count = KAFKA_NULL;
    }
    call->at = 0;
    if (call->count > 0)
        call->offset = call->items[0].asked->fetch_offset;
    read_on(call);
}

/* ---- the request ---- */

static void on_gone(struct kafka_request *r)
{
    struct fetch_call *call = r->state;
    if (call->reading) {
        partition_fetch_cancel(&call->fetch);
        return;
    }
    drop_pieces(call);
    answer(call);
}

static void on_end_wait(struct kafka_request *r)
{
    struct fetch_call *call = r->state;
    call->expired = true;
    if (!call->reading)
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

static void refuse_session(struct kafka_request *r)
{
    struct kafka_fetch_response response = kafka_fetch_response_default;
    response.error_code = KAFKA_ERR_FETCH_SESSION_ID_NOT_FOUND;
    kafka_respond(r, &response);
}

static void set_limits(struct fetch_call *call, const struct kafka_fetch_request *m)
{
    size_t max_bytes = m->max_bytes > 0 ? (size_t)m->max_bytes : 1;
    call->max_bytes = min_size(max_bytes, ANSWER_MAX_BYTES);
    call->min_bytes = min_size(m->min_bytes > 0 ? (size_t)m->min_bytes : 0, call->max_bytes);
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
    pass(call);
}
