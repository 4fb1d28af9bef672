#include "node/server/native/dispatch.h"

struct init_producer_call {
    struct cluster_op op;
    struct request *request;
};

static void on_allocated(struct cluster_op *op)
{
    struct init_producer_call *call = op->data;
    if (op->status != 0) {
        request_fail(call->request, op->status, op->message);
        return;
    }
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__InitProducerResponse response = FLOTILLA__INIT_PRODUCER_RESPONSE__INIT;
    response.status = &status;
    response.producer_id = op->producer_id;
    response.producer_epoch = 0;
    request_respond(call->request, &response.base);
}

void native_init_producer(struct request *r, const ProtobufCMessage *message)
{
    (void)message;
    struct init_producer_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->op.data = call;
    cluster_new_producer_id(r->server->cluster, &call->op, on_allocated);
}
