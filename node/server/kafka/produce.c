/* Produce: one record batch for each of several partitions.
 *
 *   item: tried --> produced --> answered
 *           \--> parked while its partition changes leaders, or the node is over its bounds --/
 *
 * The batches stay slices of the frame they came in. An answer goes out when all items have theirs, or when
 * the client's timeout is over; what is still under way then ends without it. */
#include "node/base/memory.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/leader_hints.h"
#include "node/server/kafka/lookup.h"
#include "node/server/kafka/throttle.h"
#include "node/server/parking.h"
#include "proto/batch.h"
#include "proto/error.h"
#include <stdlib.h>

#define MS ((uint64_t)1000000)

enum {
    ITEMS_MAX = 100000,
    OVERLOAD_WAIT_MS = 1000, /* then the client hears of it */
    TIMEOUT_MAX_MS = 10 * 60 * 1000,
    OLDEST_WITH_BATCHES = 3, /* older versions carry formats that are not stored any more */
    OLDEST_WITH_ZSTD = 7,
    OLDEST_WITH_HINTS = 10,
    MAGIC_AT = 16,
    LENGTH_AT = 8,
    ATTRIBUTES_AT = 21,
    /* A batch may keep this many times its own size alive. */
    PIN_FACTOR = 4,
};

struct produce_item {
    struct produce_call *call;
    struct kafka_string topic;
    int32_t index;
    struct slice batch;
    uint64_t group_id;
    struct parked parked;
    bool waiting; /* parked */
    bool done;
    int16_t error;
    struct produce_req produce;
};

struct produce_call {
    struct kafka_request *request; /* NULL: answered already */
    struct server *server;
    struct env_timer timeout;
    int acks;
    unsigned pending;
    unsigned count;
    struct produce_item items[];
};

static void try_item(struct produce_item *item);

/* ---- the answer ---- */

static void fill_partition(const struct produce_item *item, struct kafka_produce_response_partition *p)
{
    const struct partition *partition = broker_partition(item->call->server->broker, item->group_id);
    p->index = item->index;
    p->error_code = item->done ? item->error : KAFKA_ERR_REQUEST_TIMED_OUT;
    p->base_offset = p->error_code == KAFKA_ERR_NONE ? item->produce.base_offset : -1;
    if (p->error_code != KAFKA_ERR_NONE) {
        p->error_message =
            item->produce.message[0] != '\0' ? kafka_string_of(item->produce.message) : kafka_string_null();
        return;
    }
    p->log_append_time_ms = item->produce.log_append_time_ms;
    p->log_start_offset = partition != NULL ? partition_start_offset(partition) : -1;
}

static void add_hints(const struct produce_call *call, struct kafka_produce_response *response)
{
    struct leader_hints hints;
    const struct produce_item *item = call->items;
    leader_hints_init(&hints, call->request);
    for (int32_t i = 0; i < response->responses.count; i++) {
        struct kafka_produce_response_topic *t = &response->responses.items[i];
        for (int32_t k = 0; k < t->partition_responses.count; k++, item++)
            LEADER_HINTS_SET(&hints, &t->partition_responses.items[k], produce_response_current_leader,
                             item->group_id);
    }
    LEADER_HINTS_SHOW_NODES(&hints, response, produce_response_node_endpoint);
}

static bool fill(struct produce_call *call, struct kafka_produce_response *response)
{
    struct kafka_request *r = call->request;
    const struct kafka_produce_request *m = r->message;
    const struct produce_item *item = call->items;
    response->responses.items = KAFKA_NEW(&r->arena, produce_response_topic, (size_t)m->topic_data.count);
    if (response->responses.items == NULL)
        return false;
    response->responses.count = m->topic_data.count;
    for (int32_t i = 0; i < m->topic_data.count; i++) {
        const struct kafka_produce_request_topic *asked = &m->topic_data.items[i];
        struct kafka_produce_response_topic *t = &response->responses.items[i];
        int32_t count = asked->partition_data.count > 0 ? asked->partition_data.count : 0;
        t->name = asked->name;
        t->partition_responses.items = KAFKA_NEW(&r->arena, produce_response_partition, (size_t)count);
        if (t->partition_responses.items == NULL)
            return false;
        t->partition_responses.count = count;
        for (int32_t k = 0; k < count; k++)
            fill_partition(item++, &t->partition_responses.items[k]);
    }
    if (r->header.api_version >= OLDEST_WITH_HINTS)
        add_hints(call, response);
    return true;
}

/* A client that wants no answers learns of errors by losing its connection, and asks who leads. */
static void end_silently(struct produce_call *call)
{
    struct kafka_connection *c = call->request->connection;
    bool failed = false;
    for (unsigned i = 0; i < call->count; i++)
        failed |= call->items[i].error != KAFKA_ERR_NONE;
    kafka_finish_silently(call->request);
    if (failed && c != NULL)
        connection_close(&c->base);
}

static void answer(struct produce_call *call)
{
    struct kafka_request *r = call->request;
    struct server *s = call->server;
    struct kafka_produce_response response = kafka_produce_response_default;
    env_timer_stop(s->env, &call->timeout);
    histogram_record(&s->kafka->produce_ns, env_clock_ns(s->env) - r->started_ns);
    response.throttle_time_ms = kafka_throttle(r, &s->kafka->produce_quota, r->frame.size);
    if (call->acks == ACKS_NONE)
        end_silently(call);
    else if (fill(call, &response))
        kafka_respond(r, &response);
    else
        kafka_refuse_too_large(r);
    call->request = NULL;
}

static void on_timeout(struct env_timer *timer)
{
    answer(container_of(timer, struct produce_call, timeout));
}

static void release(struct produce_call *call)
{
    if (--call->pending > 0)
        return;
    if (call->request != NULL)
        answer(call);
    free(call);
}

static void finish_item(struct produce_item *item, int16_t error)
{
    item->done = true;
    item->error = error;
    slice_unref(&item->batch);
    release(item->call);
}

/* ---- items ---- */

/* What was wrong with the batch itself has a code of its own here. */
static int16_t produce_error(int status)
{
    return status == ERR_INVALID_ARGUMENT || status == ERR_UNSUPPORTED ? KAFKA_ERR_INVALID_RECORD
                                                                       : kafka_error_from(status);
}

static bool may_wait(const struct produce_item *item, int status)
{
    const struct server *s = item->call->server;
    const struct kafka_request *r = item->call->request;
    if (r == NULL || r->connection == NULL)
        return false;
    if (status == ERR_OVERLOADED && !s->draining)
        return env_clock_ns(s->env) - item->parked.since_ns < OVERLOAD_WAIT_MS * MS;
    return parking_may_help(s, &item->parked, status, item->group_id);
}

static void park(struct produce_item *item)
{
    item->waiting = true;
    parking_add(item->call->server, &item->parked, item->group_id);
}

static void on_again(struct parked *p)
{
    struct produce_item *item = container_of(p, struct produce_item, parked);
    item->waiting = false;
    try_item(item);
}

static void on_produced(struct produce_req *req, int status)
{
    struct produce_item *item = container_of(req, struct produce_item, produce);
    if (status != 0 && may_wait(item, status))
        park(item);
    else
        finish_item(item, produce_error(status));
}

static void try_item(struct produce_item *item)
{
    struct server *s = item->call->server;
    const struct topic_meta *topic = kafka_topic_by_name(s, item->topic);
    struct partition *partition = NULL;
    int16_t error = kafka_find_leader(s, topic, item->index, -1, &partition, &item->group_id);
    int status = error == KAFKA_ERR_NOT_LEADER_OR_FOLLOWER ? ERR_NOT_LEADER : 0;
    bool follow = item->group_id != 0 && parking_must_follow(s, &item->parked, item->group_id);
    if (partition != NULL && (follow || may_wait(item, status)))
        park(item);
    else if (error != KAFKA_ERR_NONE)
        finish_item(item, error);
    else
        partition_produce(partition, &item->produce, &item->batch, item->call->acks, on_produced);
}

/* ---- the records ---- */

static int16_t check_records(int16_t version, const struct kafka_bytes *records)
{
    if (version < OLDEST_WITH_BATCHES)
        return KAFKA_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT;
    if (records->size <= MAGIC_AT)
        return records->size <= 0 ? KAFKA_ERR_INVALID_RECORD : KAFKA_ERR_CORRUPT_MESSAGE;
    if (records->data[MAGIC_AT] != 2)
        return KAFKA_ERR_INVALID_RECORD;
    if (records->size < BATCH_HEADER_SIZE)
        return KAFKA_ERR_CORRUPT_MESSAGE;
    /* More than one batch; fewer bytes than the batch claims fail its own check. */
    if ((int64_t)load_be32(records->data + LENGTH_AT) + BATCH_LENGTH_OFFSET < records->size)
        return KAFKA_ERR_INVALID_RECORD;
    unsigned codec = load_be16(records->data + ATTRIBUTES_AT) & 7u;
    if (codec == BATCH_ZSTD && version < OLDEST_WITH_ZSTD)
        return KAFKA_ERR_UNSUPPORTED_COMPRESSION_TYPE;
    return KAFKA_ERR_NONE;
}

static struct slice take_batch(const struct kafka_request *r, const struct kafka_bytes *records)
{
    size_t size = (size_t)records->size;
    if (r->frame.owner != NULL && size >= r->frame.owner->capacity / PIN_FACTOR)
        return slice_of(r->frame.owner, (unsigned char *)(uintptr_t)records->data, size);
    return slice_copy(records->data, size);
}

static void begin_item(struct produce_item *item, const struct kafka_request *r,
                       const struct kafka_bytes *records)
{
    int16_t error = KAFKA_ERR_INVALID_REQUIRED_ACKS;
    if (item->call->acks >= ACKS_ALL && item->call->acks <= ACKS_LEADER)
        error = check_records(r->header.api_version, records);
    if (error != KAFKA_ERR_NONE) {
        finish_item(item, error);
        return;
    }
    item->batch = take_batch(r, records);
    parking_arrive(item->call->server, &item->parked, on_again);
    try_item(item);
}

/* ---- the request ---- */

static unsigned count_items(const struct kafka_produce_request *m)
{
    unsigned count = 0;
    for (int32_t i = 0; i < m->topic_data.count; i++)
        if (m->topic_data.items[i].partition_data.count > 0)
            count += (unsigned)m->topic_data.items[i].partition_data.count;
    return count;
}

/* The connection is gone: what waits for a leader ends; what is in a log, or on its way there, ends by
 * itself. */
static void on_gone(struct kafka_request *r)
{
    struct produce_call *call = *(struct produce_call **)r->state;
    call->pending++;
    for (unsigned i = 0; i < call->count; i++) {
        struct produce_item *item = &call->items[i];
        if (!item->waiting)
            continue;
        parking_remove(&item->parked);
        item->waiting = false;
        finish_item(item, KAFKA_ERR_NOT_LEADER_OR_FOLLOWER);
    }
    release(call);
}

static void begin_items(struct produce_call *call, const struct kafka_produce_request *m)
{
    struct kafka_request *r = call->request;
    struct produce_item *item = call->items;
    for (int32_t i = 0; i < m->topic_data.count; i++) {
        const struct kafka_produce_request_topic *topic = &m->topic_data.items[i];
        for (int32_t k = 0; k < topic->partition_data.count; k++, item++) {
            item->call = call;
            item->topic = topic->name;
            item->index = topic->partition_data.items[k].index;
            begin_item(item, r, &topic->partition_data.items[k].records);
        }
    }
}

void kafka_produce(struct kafka_request *r)
{
    const struct kafka_produce_request *m = r->message;
    unsigned count = count_items(m);
    if (count > ITEMS_MAX) {
        kafka_refuse(r, "too many partitions in one request");
        return;
    }
    struct produce_call *call = memory_zalloc(sizeof(*call) + count * sizeof(call->items[0]));
    call->request = r;
    call->server = r->server;
    call->acks = m->acks;
    call->count = count;
    call->pending = count + 1; /* one for this function */
    *(struct produce_call **)kafka_request_state(r, sizeof(call)) = call;
    r->cancel = on_gone;
    if (m->timeout_ms > 0 && m->acks != ACKS_NONE) {
        uint64_t timeout_ms = m->timeout_ms < TIMEOUT_MAX_MS ? (uint64_t)m->timeout_ms : TIMEOUT_MAX_MS;
        env_timer_start(r->server->env, &call->timeout, timeout_ms * MS, on_timeout);
    }
    begin_items(call, m);
    release(call);
}
