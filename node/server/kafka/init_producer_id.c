#include "node/server/kafka/dispatch.h"

struct init_call {
    struct cluster_op op;
    struct kafka_request *request;
};

static void answer(struct kafka_request *r, int16_t error, int64_t producer_id, int16_t epoch)
{
    struct kafka_init_producer_id_response response = kafka_init_producer_id_response_default;
    response.error_code = error;
    response.producer_id = producer_id;
    response.producer_epoch = epoch;
    kafka_respond(r, &response);
}

static void on_allocated(struct cluster_op *op)
{
    struct init_call *call = op->data;
    if (op->status == 0)
        answer(call->request, KAFKA_ERR_NONE, op->producer_id, 0);
    else /* a client asks again after this one */
        answer(call->request, KAFKA_ERR_COORDINATOR_LOAD_IN_PROGRESS, -1, -1);
}

/* A producer that asks for a newer epoch of its id has lost track of what it has sent. A fresh id says the
 * same as a higher epoch would: whatever comes under the old one is another producer's. */
void kafka_init_producer_id(struct kafka_request *r)
{
    const struct kafka_init_producer_id_request *m = r->message;
    if (!kafka_string_is_null(m->transactional_id)) {
        answer(r, KAFKA_ERR_INVALID_REQUEST, -1, -1);
        return;
    }
    struct init_call *call = kafka_request_state(r, sizeof(*call));
    call->request = r;
    call->op.data = call;
    cluster_new_producer_id(r->server->cluster, &call->op, on_allocated);
}
