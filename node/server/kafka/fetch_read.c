/* A pass over the partitions of a fetch: some are read at once, in the request's order, within the bounds of
 * the partition, of the answer and of this node. A read reserves all that it may bring; what it does not use,
 * the partitions behind it get. */
#include "node/base/memory.h"
#include "node/server/kafka/fetch_call.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

enum {
    READS_AT_ONCE = 4,
    READ_MAX_BYTES = 1024 * 1024,
    /* Of one answer: small batches must not make it too long a list. */
    ANSWER_MAX_PIECES = 2048,
    /* Readers of old data take turns, many of them long ones: what is there by then is the answer. */
    GATHER_MAX_MS = 500,
    OLDEST_WITH_IDS = 13,
};

struct fetch_read {
    struct fetch_item *item;
    struct queue node;
    int64_t offset;
    size_t reserved_bytes;
    struct fetch_req fetch;
};

static void read_on(struct fetch_call *call);

/* ---- pieces ---- */

static void add_pieces(struct fetch_item *item, const struct log_read_req *read)
{
    struct fetch_call *call = item->call;
    if (item->piece_count + read->n > item->piece_capacity) {
        item->piece_capacity = item->piece_capacity * 2 + read->n;
        item->pieces = memory_realloc(item->pieces, item->piece_capacity * sizeof(item->pieces[0]));
    }
    for (unsigned i = 0; i < read->n; i++)
        item->pieces[item->piece_count++] = read->slices[i];
    item->answer->records.size += (int32_t)read->size;
    call->piece_count += read->n;
    call->size += read->size;
    call->request->server->fetched_bytes += read->size;
}

static void forget_pieces(struct fetch_call *call)
{
    for (unsigned i = 0; i < call->count; i++) {
        struct fetch_item *item = &call->items[i];
        free(item->pieces);
        item->pieces = NULL;
        item->piece_count = item->piece_capacity = 0;
    }
    call->request->server->fetched_bytes -= call->size;
    call->size = 0;
    call->piece_count = 0;
}

void kafka_fetch_drop_pieces(struct fetch_call *call)
{
    for (unsigned i = 0; i < call->count; i++)
        for (unsigned k = 0; k < call->items[i].piece_count; k++)
            slice_unref(&call->items[i].pieces[k]);
    forget_pieces(call);
}

struct slice *kafka_fetch_take_pieces(struct fetch_call *call)
{
    struct slice *all = memory_alloc((call->piece_count + 1) * sizeof(all[0]));
    unsigned n = 0;
    for (unsigned i = 0; i < call->count; i++) {
        const struct fetch_item *item = &call->items[i];
        if (item->piece_count > 0)
            memcpy(all + n, item->pieces, item->piece_count * sizeof(all[0]));
        n += item->piece_count;
    }
    forget_pieces(call);
    return all;
}

/* ---- partitions ---- */

int16_t kafka_fetch_find(struct fetch_item *item, struct partition **partition)
{
    const struct kafka_request *r = item->call->request;
    bool by_id = r->header.api_version >= OLDEST_WITH_IDS;
    const struct topic_meta *topic = by_id ? kafka_topic_by_id(r->server, item->topic->topic_id)
                                           : kafka_topic_by_name(r->server, item->topic->topic);
    if (topic == NULL && by_id)
        return KAFKA_ERR_UNKNOWN_TOPIC_ID;
    return kafka_find_leader(r->server, topic, item->asked->partition, item->asked->current_leader_epoch,
                             partition, &item->group_id);
}

static int16_t look(struct fetch_item *item, int64_t offset, struct partition **partition)
{
    struct kafka_fetch_response_partition *answer = item->answer;
    int16_t error = kafka_fetch_find(item, partition);
    if (error != KAFKA_ERR_NONE)
        return error;
    answer->high_watermark = partition_high_watermark(*partition);
    answer->last_stable_offset = answer->high_watermark;
    answer->log_start_offset = partition_start_offset(*partition);
    return offset >= answer->log_start_offset ? KAFKA_ERR_NONE : KAFKA_ERR_OFFSET_OUT_OF_RANGE;
}

static void fail_item(struct fetch_item *item, int16_t error)
{
    if (item->answer->records.size > 0)
        return; /* what has been read is worth more; the error comes again */
    item->answer->error_code = error;
    item->call->failed = true;
}

/* ---- reading ---- */

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool has_taken_long(const struct fetch_call *call)
{
    return call->size > 0 && env_now_ms(call->request->server->env) - call->began_ms > GATHER_MAX_MS;
}

static size_t answer_room(const struct fetch_call *call, size_t used)
{
    if (has_taken_long(call))
        return 0;
    size_t limit = server_fetch_bytes(call->request->server, call->max_bytes);
    return used < limit && call->piece_count < ANSWER_MAX_PIECES ? limit - used : 0;
}

static size_t item_room(const struct fetch_item *item)
{
    int32_t max_bytes = item->asked->partition_max_bytes > 0 ? item->asked->partition_max_bytes : 1;
    return item->answer->records.size < max_bytes ? (size_t)(max_bytes - item->answer->records.size) : 0;
}

static void on_read(struct fetch_req *fetch, int status);

static void begin_read(struct fetch_item *item, struct partition *partition, int64_t offset, size_t max_bytes)
{
    struct fetch_call *call = item->call;
    struct fetch_read *read = memory_zalloc(sizeof(*read));
    read->item = item;
    read->offset = offset;
    read->reserved_bytes = max_bytes;
    call->reserved_bytes += max_bytes;
    call->reading++;
    queue_push(&call->reads, &read->node);
    partition_fetch(partition, &read->fetch, offset, max_bytes, 0, 0, on_read);
}

/* Between the high watermark and the end there is something to wait for; what lies beyond, a read refuses. */
static bool has_nothing_to_read(const struct partition *p, int64_t offset)
{
    return offset >= partition_high_watermark(p) && offset <= partition_end_offset(p);
}

/* False: only what other reads have reserved is missing, so that it must be tried again after one of them. */
static bool read_item(struct fetch_item *item, int64_t offset)
{
    struct fetch_call *call = item->call;
    struct partition *partition;
    int16_t error = look(item, offset, &partition);
    if (error != KAFKA_ERR_NONE)
        fail_item(item, error);
    if (error != KAFKA_ERR_NONE || has_nothing_to_read(partition, offset))
        return true;
    size_t room = min_size(answer_room(call, call->size + call->reserved_bytes), item_room(item));
    if (room > 0) {
        begin_read(item, partition, offset, min_size(room, READ_MAX_BYTES));
        return true;
    }
    if (item_room(item) > 0 && answer_room(call, call->size) > 0)
        return false;
    call->full = true;
    return true;
}

static void on_read(struct fetch_req *fetch, int status)
{
    struct fetch_read *read = container_of(fetch, struct fetch_read, fetch);
    struct fetch_item *item = read->item;
    struct fetch_call *call = item->call;
    call->reading--;
    call->reserved_bytes -= read->reserved_bytes;
    queue_remove(&read->node);
    if (status != 0)
        fail_item(item, kafka_error_from(status));
    else
        add_pieces(item, &fetch->read);
    bool moved = status == 0 && fetch->read.n > 0 && fetch->read.next_offset > read->offset;
    if (moved && call->request->connection != NULL && !read_item(item, fetch->read.next_offset))
        call->full = true;
    free(read);
    read_on(call);
}

static void read_on(struct fetch_call *call)
{
    while (call->reading < READS_AT_ONCE && call->next < call->count && call->request->connection != NULL) {
        struct fetch_item *item = &call->items[call->next];
        if (!read_item(item, item->asked->fetch_offset))
            return;
        call->next++;
    }
    if (call->reading == 0)
        kafka_fetch_has_read(call);
}

void kafka_fetch_read(struct fetch_call *call)
{
    kafka_fetch_drop_pieces(call);
    call->failed = false;
    call->full = false;
    call->next = 0;
    call->began_ms = env_now_ms(call->request->server->env);
    for (unsigned i = 0; i < call->count; i++) {
        struct kafka_fetch_response_partition *p = call->items[i].answer;
        *p = kafka_fetch_response_partition_default;
        p->partition_index = call->items[i].asked->partition;
        p->high_watermark = -1;
        p->records = (struct kafka_bytes){NULL, 0};
        p->aborted_transactions.count = KAFKA_NULL;
    }
    read_on(call);
}

void kafka_fetch_cancel_reads(struct fetch_call *call)
{
    QUEUE_FOREACH (node, &call->reads)
        partition_fetch_cancel(&QUEUE_ENTRY(node, struct fetch_read, node)->fetch);
}
