#include "node/server/native/dispatch.h"
#include "node/server/native/lookup.h"
#include "proto/error.h"

struct list_offset_call {
    struct request *request;
    uint64_t group_id;
    struct list_offset_req list;
};

static void on_listed(struct list_offset_req *req, int status)
{
    struct list_offset_call *call = req->data;
    struct request *r = call->request;
    if (status != 0) {
        lookup_fail(r, status, NULL, call->group_id);
        return;
    }
    Flotilla__Status ok = status_make(0, NULL);
    Flotilla__ListOffsetResponse response = FLOTILLA__LIST_OFFSET_RESPONSE__INIT;
    response.status = &ok;
    response.offset = req->offset;
    response.timestamp_ms = req->timestamp_ms;
    response.leader_epoch = req->leader_epoch;
    response.end_offset = req->end_offset;
    request_respond(r, &response.base);
}

void native_list_offset(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__ListOffsetRequest *m = (const Flotilla__ListOffsetRequest *)message;
    if (m->timestamp_ms < OFFSET_MAX_TIMESTAMP) {
        request_fail(
            r, ERR_INVALID_ARGUMENT,
            "timestamp_ms must be a time in milliseconds, or -1 (end), -2 (start), -3 (greatest timestamp)");
        return;
    }
    struct partition *partition = lookup_leader(r, &m->topic_id, m->partition);
    if (partition == NULL)
        return;
    struct list_offset_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(partition);
    call->list.data = call;
    partition_list_offset(partition, &call->list, m->timestamp_ms, on_listed);
}
