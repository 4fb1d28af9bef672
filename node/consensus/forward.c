/* Administrative requests that another node must answer. */
#include "node/consensus/consensus_internal.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_TICKETS = 4096 };

/* Which node a request went to stands beside its correlation, so that a broken link fails its requests only.
 */
static uint32_t forward_node(const struct forward_req *req)
{
    return (uint32_t)(req->correlation >> 40);
}

static void forward_finish(struct forward_req *req, int status, const void *header, size_t size)
{
    queue_remove(&req->node);
    env_timer_stop(req->consensus->options.env, &req->timer);
    req->cb(req, status, header, size);
}

static void on_timeout(struct env_timer *timer)
{
    forward_finish(container_of(timer, struct forward_req, timer), ERR_TIMED_OUT, NULL, 0);
}

int consensus_forward(struct consensus *c, uint32_t node_id, struct forward_req *req, uint16_t type,
                      const void *header, size_t size, uint64_t timeout_ms,
                      void (*cb)(struct forward_req *req, int status, const void *header, size_t size))
{
    struct peer *p = peer_find(c, node_id);
    if (!peer_is_up(p))
        return ERR_UNREACHABLE;
    req->cb = cb;
    req->consensus = c;
    req->correlation = (uint64_t)node_id << 40 | (++c->next_correlation & 0xffffffffffu);
    memset(&req->timer, 0, sizeof req->timer);
    Flotilla__PeerForward message = FLOTILLA__PEER_FORWARD__INIT;
    message.type = type;
    message.header = (ProtobufCBinaryData){size, (void *)header};
    int rv = peer_send(p, FRAME_PEER_FORWARD, 0, req->correlation, &message.base, NULL, 0);
    if (rv != 0)
        return rv;
    queue_push(&c->forwards, &req->node);
    env_timer_start(c->options.env, &req->timer, timeout_ms * 1000000u, on_timeout);
    return 0;
}

static struct ticket *ticket_find(const struct consensus *c, uint64_t id)
{
    QUEUE_FOREACH (node, &c->tickets) {
        struct ticket *t = QUEUE_ENTRY(node, struct ticket, node);
        if (t->id == id)
            return t;
    }
    return NULL;
}

static void ticket_drop(struct consensus *c, struct ticket *t)
{
    queue_remove(&t->node);
    free(t);
    c->counts.messages_dropped++;
}

void forward_receive(struct consensus *c, uint32_t from, const struct frame *frame)
{
    Flotilla__PeerForward *message =
        flotilla__peer_forward__unpack(arena_allocator(&c->arena), frame->head.header_length, frame->header);
    if (!message || message->type > UINT16_MAX || !c->options.forwarded)
        return;
    struct ticket *t = memory_zalloc(sizeof *t);
    t->id = ++c->next_ticket;
    t->node_id = from;
    t->correlation = frame->head.correlation;
    queue_push(&c->tickets, &t->node);
    /* Answered exactly once by contract; the bound is for an owner that fails to. */
    if (c->next_ticket > MAX_TICKETS) {
        struct ticket *oldest = QUEUE_ENTRY(queue_first(&c->tickets), struct ticket, node);
        if (oldest->id + MAX_TICKETS < c->next_ticket)
            ticket_drop(c, oldest);
    }
    c->options.forwarded(c->options.data, t->id, (uint16_t)message->type, message->header.data,
                         message->header.len);
}

void consensus_forward_answer(struct consensus *c, uint64_t ticket, int status, const void *header,
                              size_t size)
{
    struct ticket *t = ticket_find(c, ticket);
    if (!t)
        return;
    struct peer *p = peer_find(c, t->node_id);
    Flotilla__PeerForwardResponse message = FLOTILLA__PEER_FORWARD_RESPONSE__INIT;
    message.error = status;
    message.header = (ProtobufCBinaryData){size, (void *)header};
    if (p)
        peer_send(p, FRAME_PEER_FORWARD, FRAME_RESPONSE, t->correlation, &message.base, NULL, 0);
    queue_remove(&t->node);
    free(t);
}

void forward_receive_answer(struct consensus *c, const struct frame *frame)
{
    Flotilla__PeerForwardResponse *message = flotilla__peer_forward_response__unpack(
        arena_allocator(&c->arena), frame->head.header_length, frame->header);
    if (!message)
        return;
    QUEUE_FOREACH (node, &c->forwards) {
        struct forward_req *req = QUEUE_ENTRY(node, struct forward_req, node);
        if (req->correlation == frame->head.correlation) {
            forward_finish(req, message->error, message->header.data, message->header.len);
            return;
        }
    }
}

void forward_fail(struct consensus *c, uint32_t node_id, int status)
{
    struct queue failed;
    struct queue *next;
    queue_init(&failed);
    for (struct queue *node = queue_first(&c->forwards); node != &c->forwards; node = next) {
        next = node->next;
        struct forward_req *req = QUEUE_ENTRY(node, struct forward_req, node);
        if (node_id != 0 && forward_node(req) != node_id)
            continue;
        queue_remove(node);
        queue_push(&failed, node);
    }
    while (!queue_empty(&failed))
        forward_finish(QUEUE_ENTRY(queue_first(&failed), struct forward_req, node), status, NULL, 0);
}

void forward_close(struct consensus *c)
{
    forward_fail(c, 0, ERR_CANCELED);
    while (!queue_empty(&c->tickets))
        ticket_drop(c, QUEUE_ENTRY(queue_first(&c->tickets), struct ticket, node));
}
