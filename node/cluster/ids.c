/* Producer ids that no other producer has: blocks reserved through group 0, handed out one by one. What is
 * left of a block when the node stops is never used. */
#include "node/cluster/internal.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 1000 };

struct id_waiter {
    struct queue node;
    struct cluster_op *op;
};

void ids_init(struct id_range *ids)
{
    queue_init(&ids->waiters);
}

static void finish(struct id_waiter *w, int status, const char *message, int64_t id)
{
    struct cluster_op *op = w->op;
    queue_remove(&w->node);
    free(w);
    op->status = status;
    op->producer_id = id;
    (void)snprintf(op->message, sizeof op->message, "%s", message);
    op->cb(op);
}

static void fail_all(struct cluster *c, int status, const char *message)
{
    struct queue failed;
    queue_move(&c->ids.waiters, &failed);
    while (!queue_empty(&failed)) {
        finish(QUEUE_ENTRY(queue_first(&failed), struct id_waiter, node), status, message, -1);
    }
}

static void on_block(void *data, int status, const Flotilla__ControllerAnswer *answer, bool uncertain)
{
    (void)uncertain; /* a block reserved twice costs nothing */
    struct cluster *c = data;
    c->ids.is_asking = false;
    if (status != 0 || answer->error != 0) {
        fail_all(c, status != 0 ? status : answer->error, status != 0 ? error_text(status) : answer->message);
        return;
    }
    c->ids.next = answer->first_producer_id;
    c->ids.end = c->ids.next + BLOCK_SIZE;
    ids_step(c);
}

static void ask(struct cluster *c)
{
    Flotilla__ControllerRequest request = FLOTILLA__CONTROLLER_REQUEST__INIT;
    Flotilla__AllocateProducerIds body = FLOTILLA__ALLOCATE_PRODUCER_IDS__INIT;
    body.node_id = c->self.id;
    body.count = BLOCK_SIZE;
    request.request_case = FLOTILLA__CONTROLLER_REQUEST__REQUEST_ALLOCATE_PRODUCER_IDS;
    request.allocate_producer_ids = &body;
    c->ids.is_asking = true;
    request_send(c, &request, OPERATION_TIMEOUT_MS, on_block, c);
}

void ids_step(struct cluster *c)
{
    struct id_range *ids = &c->ids;
    while (!queue_empty(&ids->waiters) && ids->next < ids->end) {
        int64_t id = ids->next;
        ids->next++;
        finish(QUEUE_ENTRY(queue_first(&ids->waiters), struct id_waiter, node), 0, "", id);
    }
    if (!queue_empty(&ids->waiters) && !ids->is_asking) {
        ask(c);
    }
}

void cluster_new_producer_id(struct cluster *c, struct cluster_op *op, void (*cb)(struct cluster_op *op))
{
    struct id_waiter *w = memory_zalloc(sizeof *w);
    op->cb = cb;
    op->private_ = NULL;
    w->op = op;
    queue_push(&c->ids.waiters, &w->node);
    cluster_wake(c);
}

void ids_close(struct cluster *c)
{
    fail_all(c, ERR_SHUTTING_DOWN, error_text(ERR_SHUTTING_DOWN));
}
