#include "node/server/native/dispatch.h"
#include "node/server/native/lookup.h"
#include "proto/error.h"

enum {
    FETCH_DEFAULT_BYTES = 1024 * 1024,
    FETCH_MAX_BYTES = 8 * 1024 * 1024,
    FETCH_MAX_CHARGE = 1024 * 1024,
    FETCH_MAX_WAIT_MS = 60000,
};

struct fetch_call {
    struct request *request;
    uint64_t group_id;
    struct fetch_req fetch;
    bool done;
};

static void respond_fetched(struct request *r, struct fetch_req *req)
{
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__FetchResponse response = FLOTILLA__FETCH_RESPONSE__INIT;
    response.status = &status;
    response.high_watermark = req->high_watermark;
    response.log_start_offset = req->start_offset;
    response.next_offset = req->read.next_offset;
    histogram_record(&r->server->counters.fetch_ns, env_clock_ns(r->server->env) - r->started_ns);
    request_respond_payload(r, &response.base, req->read.slices, req->read.n);
}

static void on_fetched(struct fetch_req *req, int status)
{
    struct fetch_call *call = req->data;
    struct request *r = call->request;
    call->done = true;
    if (status == 0)
        respond_fetched(r, req);
    else
        lookup_fail(r, status, NULL, call->group_id);
}

static void on_gone(struct request *r)
{
    struct fetch_call *call = r->state;
    if (!call->done)
        partition_fetch_cancel(&call->fetch);
}

/* The answer counts against the connection's bound, so that many fetches of a slow reader can't pile up; a
 * fetch that waits for records must not use the bound up alone, though. */
static void charge_answer(struct request *r, size_t max_bytes)
{
    size_t charge = max_bytes < FETCH_MAX_CHARGE ? max_bytes : FETCH_MAX_CHARGE;
    r->charged_bytes += charge;
    r->connection->base.charged_bytes += charge;
}

void native_fetch(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__FetchRequest *m = (const Flotilla__FetchRequest *)message;
    struct partition *partition = lookup_leader(r, &m->topic_id, m->partition);
    if (partition == NULL)
        return;
    size_t max_bytes = m->max_bytes == 0 ? FETCH_DEFAULT_BYTES : m->max_bytes;
    max_bytes = server_fetch_bytes(r->server, max_bytes < FETCH_MAX_BYTES ? max_bytes : FETCH_MAX_BYTES);
    size_t min_bytes = m->min_bytes < max_bytes ? m->min_bytes : max_bytes;
    uint64_t wait_ms = m->max_wait_ms < FETCH_MAX_WAIT_MS ? m->max_wait_ms : FETCH_MAX_WAIT_MS;
    struct fetch_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(partition);
    call->fetch.data = call;
    r->cancel = on_gone;
    charge_answer(r, max_bytes);
    partition_fetch(partition, &call->fetch, m->offset, max_bytes, min_bytes, wait_ms * 1000000u, on_fetched);
}
