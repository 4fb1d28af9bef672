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

/* Not taken, and nobody else to send the client to: the request goes through its handler again. */
static void try_again(struct request *r, uint64_t group_id)
{
    request_drop_state(r);
    request_park(r, group_id);
}

static void on_produced(struct produce_req *req, int status)
{
    struct produce_call *call = req->data;
    struct request *r = call->request;
    struct server *s = r->server;
    env_timer_stop(s->env, &call->timeout);
    if (r->answered) {
        request_finish(r);
    } else if (status == 0) {
        count_ack(s, req->acks == ACKS_NONE ? ACKS_NONE : req->durability);
        histogram_record(&s->counters.produce_ns, env_clock_ns(s->env) - r->started_ns);
        respond_produced(r, call);
    } else if (lookup_may_wait(r, status, call->group_id)) {
        try_again(r, call->group_id);
    } else {
        LOG(s->logger, LOG_DEBUG, "produce failed", "error=%s acks=%d", error_name(status), req->acks);
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

void native_produce(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__ProduceRequest *m = (const Flotilla__ProduceRequest *)message;
    if (m->acks < ACKS_ALL || m->acks > ACKS_LEADER) {
        request_fail(r, ERR_INVALID_ARGUMENT,
                     "acks must be -1 (a quorum's disks), 1 (the leader's disk) or 0");
        return;
    }
    r->silent = m->acks == ACKS_NONE;
    struct partition *partition = lookup_leader(r, &m->topic_id, m->partition);
    if (partition == NULL)
        return;
    struct produce_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(partition);
    call->produce.data = call;
    if (m->timeout_ms > 0 && m->acks != ACKS_NONE)
        env_timer_start(r->server->env, &call->timeout, m->timeout_ms * MS, on_timeout);
    partition_produce(partition, &call->produce, &r->payload, m->acks, on_produced);
}
