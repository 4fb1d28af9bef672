/* OffsetForLeaderEpoch: where the records of a leader's reign end, which tells a consumer whether what it has
 * read still stands. Epochs only grow along a partition, so the place is found by halving, one batch header
 * at a time. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include "proto/batch.h"
#include "proto/error.h"

enum { ONE_BATCH = 1 }; /* the first batch is read however large it is */

/* One partition after the other: a read takes more memory than all of the answer. */
struct epoch_call {
    struct kafka_request *request;
    struct kafka_offset_for_leader_epoch_response response;
    int32_t topic;     /* the next one to look at */
    int32_t partition; /* of it */
    bool canceled;

    /* The search at hand: batches before `from` are of an epoch <= `wanted`, the ones from `to` on are not.
     */
    struct fetch_req fetch;
    uint64_t group_id;
    int32_t wanted;
    int32_t epoch; /* of the batch before `from`; -1: there is none */
    int64_t from;
    int64_t to;
};

static void next(struct epoch_call *call);

static struct kafka_offset_for_leader_epoch_response_partition *answer_of(struct epoch_call *call)
{
    return &call->response.topics.items[call->topic].partitions.items[call->partition];
}

static void finish_partition(struct epoch_call *call, int16_t error, int32_t epoch, int64_t end_offset)
{
    struct kafka_offset_for_leader_epoch_response_partition *p = answer_of(call);
    p->error_code = error;
    p->leader_epoch = epoch;
    p->end_offset = end_offset;
    call->partition++;
}

/* ---- the search ---- */

static void search(struct epoch_call *call);

static bool read_header(const struct fetch_req *fetch, struct batch_header *header)
{
    return fetch->read.n > 0 && batch_header_decode(fetch->read.slices[0].data, fetch->read.slices[0].size,
                                                    fetch->read.slices[0].size, header) == 0;
}

static void narrow(struct epoch_call *call, const struct batch_header *header)
{
    if (header->leader_epoch <= call->wanted) {
        call->epoch = header->leader_epoch;
        call->from = batch_next_offset(header);
    } else {
        call->to = header->base_offset > call->from ? header->base_offset : call->from;
    }
}

static void on_read(struct fetch_req *fetch, int status)
{
    struct epoch_call *call = fetch->data;
    struct batch_header header;
    bool found = status == 0 && read_header(fetch, &header);
    if (found)
        narrow(call, &header);
    for (unsigned i = 0; status == 0 && i < fetch->read.n; i++)
        slice_unref(&fetch->read.slices[i]);
    if (status == 0 && !found)
        status = ERR_OFFSET_OUT_OF_RANGE;
    if (status != 0) {
        finish_partition(call, kafka_error_from(status), -1, -1);
        next(call);
    } else {
        search(call);
    }
}

static void search(struct epoch_call *call)
{
    struct partition *partition = broker_partition(call->request->server->broker, call->group_id);
    if (call->from < call->to && partition != NULL && !call->canceled) {
        int64_t middle = call->from + (call->to - call->from) / 2;
        partition_fetch(partition, &call->fetch, middle, ONE_BATCH, 0, 0, on_read);
        return;
    }
    if (call->from < call->to)
        finish_partition(call, KAFKA_ERR_NOT_LEADER_OR_FOLLOWER, -1, -1);
    else /* older than everything that is kept: it ended where the log begins */
        finish_partition(call, KAFKA_ERR_NONE, call->epoch >= 0 ? call->epoch : call->wanted, call->from);
    next(call);
}

/* Returns whether a search is on its way. */
static bool begin_partition(struct epoch_call *call, const struct topic_meta *topic,
                            const struct kafka_offset_for_leader_epoch_request_partition *asked)
{
    struct partition *partition = NULL;
    uint32_t leader_id;
    int32_t current;
    answer_of(call)->partition = asked->partition;
    int16_t error = kafka_find_leader(call->request->server, topic, asked->partition,
                                      asked->current_leader_epoch, &partition, &call->group_id);
    if (error == KAFKA_ERR_NONE)
        error = kafka_error_from(partition_check_leader(partition, &leader_id, &current));
    if (error != KAFKA_ERR_NONE)
        finish_partition(call, error, -1, -1);
    else if (asked->leader_epoch == current)
        finish_partition(call, KAFKA_ERR_NONE, current, partition_high_watermark(partition));
    else if (asked->leader_epoch > current || asked->leader_epoch < 0)
        finish_partition(call, KAFKA_ERR_NONE, -1, -1);
    else {
        call->wanted = asked->leader_epoch;
        call->epoch = -1;
        call->from = partition_start_offset(partition);
        call->to = partition_high_watermark(partition);
        search(call);
        return true;
    }
    return false;
}

/* ---- the whole request ---- */

/* Goes on with the partitions until one of them has to be searched. */
static void next(struct epoch_call *call)
{
    const struct kafka_offset_for_leader_epoch_request *m = call->request->message;
    while (call->topic < m->topics.count) {
        const struct kafka_offset_for_leader_epoch_request_topic *asked = &m->topics.items[call->topic];
        if (call->partition == asked->partitions.count) {
            call->topic++;
            call->partition = 0;
            continue;
        }
        const struct topic_meta *topic = kafka_topic_by_name(call->request->server, asked->topic);
        if (begin_partition(call, topic, &asked->partitions.items[call->partition]))
            return;
    }
    kafka_respond(call->request, &call->response);
}

static bool prepare(struct epoch_call *call, const struct kafka_offset_for_leader_epoch_request *m)
{
    struct arena *arena = &call->request->arena;
    call->response = kafka_offset_for_leader_epoch_response_default;
    call->response.topics.items =
        KAFKA_NEW(arena, offset_for_leader_epoch_response_topic, (size_t)m->topics.count);
    if (call->response.topics.items == NULL)
        return false;
    call->response.topics.count = m->topics.count;
    for (int32_t i = 0; i < m->topics.count; i++) {
        struct kafka_offset_for_leader_epoch_response_topic *t = &call->response.topics.items[i];
        int32_t count = m->topics.items[i].partitions.count;
        t->topic = m->topics.items[i].topic;
        t->partitions.items = KAFKA_NEW(arena, offset_for_leader_epoch_response_partition, (size_t)count);
        if (t->partitions.items == NULL)
            return false;
        t->partitions.count = count;
    }
    return true;
}

static void cancel(struct kafka_request *r)
{
    struct epoch_call *call = r->state;
    call->canceled = true;
}

void kafka_offset_for_leader_epoch(struct kafka_request *r)
{
    struct epoch_call *call = kafka_request_state(r, sizeof(*call));
    call->request = r;
    call->fetch.data = call;
    if (!prepare(call, r->message)) {
        kafka_refuse_too_large(r);
        return;
    }
    r->cancel = cancel;
    next(call);
}
