#include "node/base/memory.h"
#include "node/server/native/dispatch.h"
#include "node/server/native/lookup.h"
#include "proto/error.h"
#include <stdio.h>

#define MS ((uint64_t)1000000)

struct produce_call {
    struct request *request;
    uint64_t group_id;
    struct produce_req produce;
    struct env_timer timeout;
};

static void count_ack(struct server *s, int durability)
{
    if (durability == ACKS_ALL)
        s->counters.produced_all++;
    else if (durability == ACKS_LEADER)
        s->counters.produced_leader++;
    else
        s->counters.produced_none++;
}

static void respond_produced(struct request *r, const struct produce_call *call)
{
    const struct partition *partition = broker_partition(r->server->broker, call->group_id);
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__ProduceResponse response = FLOTILLA__PRODUCE_RESPONSE__INIT;
    response.status = &status;
    response.base_offset = call->produce.base_offset;
    response.durability = call->produce.durability;
    response.log_append_time_ms = call->produce.log_append_time_ms;
    response.log_start_offset = partition != NULL ? partition_start_offset(partition) : -1;
    request_respond(r, &response.base);
}

static void on_produced(struct produce_req *req, int status)
{
    struct produce_call *call = req->data;
    struct request *r = call->request;
    struct server *s = r->server;
    env_timer_stop(s->env, &call->timeout);
    if (status == 0) {
        count_ack(s, req->acks == ACKS_NONE ? ACKS_NONE : req->durability);
        histogram_record(&s->counters.produce_ns, env_clock_ns(s->env) - r->started_ns);
    } else {
        LOG(s->logger, LOG_DEBUG, "produce failed", "error=%s acks=%d", error_name(status), req->acks);
    }
    if (r->answered || req->acks == ACKS_NONE) {
        if (status != 0 && !r->answered)
            s->counters.failed[FRAME_PRODUCE]++;
        request_finish(r);
    } else if (status == 0) {
        respond_produced(r, call);
    } else {
        lookup_fail(r, status, req->message, call->group_id);
    }
}

/* The batch is in the log or on its way there; what becomes of it is not known in time. */
static void on_timeout(struct env_timer *timer)
{
    struct produce_call *call = container_of(timer, struct produce_call, timeout);
    request_answer_early(call->request, ERR_TIMED_OUT,
                         "no quorum stored the batch in time; it may still be committed");
}

static void refuse(struct request *r, int acks, const Flotilla__Status *status)
{
    if (acks != ACKS_NONE) {
        request_fail_status(r, status);
        return;
    }
    r->server->counters.failed[FRAME_PRODUCE]++;
    request_finish(r);
}

void native_produce(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__ProduceRequest *m = (const Flotilla__ProduceRequest *)message;
    struct partition *partition;
    Flotilla__Status status;
    if (m->acks < ACKS_ALL || m->acks > ACKS_LEADER) {
        request_fail(r, ERR_INVALID_ARGUMENT,
                     "acks must be -1 (a quorum's disks), 1 (the leader's disk) or 0");
        return;
    }
    if (lookup_leader(r->server, &m->topic_id, m->partition, &partition, &status) != 0) {
        refuse(r, m->acks, &status);
        return;
    }
    struct produce_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(partition);
    call->produce.data = call;
    if (m->timeout_ms > 0 && m->acks != ACKS_NONE)
        env_timer_start(r->server->env, &call->timeout, m->timeout_ms * MS, on_timeout);
    struct slice batch = r->payload;
    r->payload = slice_none();
    partition_produce(partition, &call->produce, &batch, m->acks, on_produced);
    slice_unref(&batch);
}
