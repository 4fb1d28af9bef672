/* Roll calls: one at a time; who asks while one is under way waits for the next, as a peer may have answered
 * this one and died since. */
#include "node/consensus/consensus_internal.h"

/* A peer that is there answers as soon as its loop turns; one that is frozen must not hold everybody up. */
enum { PATIENCE_MS = 50 };

static void call_names(struct consensus *c);

static void on_over(struct env_task *task)
{
    struct roll_call *r = container_of(task, struct roll_call, over);
    struct queue present;
    env_timer_stop(r->consensus->options.env, &r->timer);
    r->silent = 0;
    queue_move(&r->waiting, &present);
    while (!queue_empty(&present)) {
        struct roll_call_req *req = QUEUE_ENTRY(queue_first(&present), struct roll_call_req, node);
        queue_remove(&req->node);
        req->cb(req);
    }
    r->is_running = false;
    call_names(r->consensus);
}

/* At the end of the turn: what has happened in it comes first. */
static void end(struct roll_call *r)
{
    env_defer(r->consensus->options.env, &r->over, on_over);
}

static void on_timeout(struct env_timer *timer)
{
    end(container_of(timer, struct roll_call, timer));
}

/* Whether there is an answer to wait for. */
static bool call_name(struct peer *p, uint64_t round)
{
    bool called = peer_is_up(p) && peer_send(p, FRAME_PEER_PING, 0, round, NULL, NULL, 0) == 0;
    p->roll_call = called ? round : 0;
    return called;
}

static void on_call(struct env_task *task)
{
    struct roll_call *r = container_of(task, struct roll_call, call);
    struct consensus *c = r->consensus;
    queue_move(&r->next, &r->waiting);
    r->round++;
    r->silent = 0;
    QUEUE_FOREACH (node, &c->peers)
        r->silent += call_name(QUEUE_ENTRY(node, struct peer, node), r->round);
    if (r->silent == 0)
        end(r);
    else
        env_timer_start(c->options.env, &r->timer, PATIENCE_MS * 1000000u, on_timeout);
}

static void call_names(struct consensus *c)
{
    struct roll_call *r = &c->roll_call;
    if (r->is_running || queue_empty(&r->next))
        return;
    r->is_running = true;
    env_defer(c->options.env, &r->call, on_call);
}

void consensus_roll_call(struct consensus *c, struct roll_call_req *req,
                         void (*cb)(struct roll_call_req *req))
{
    req->cb = cb;
    queue_push(&c->roll_call.next, &req->node);
    call_names(c);
}

void consensus_roll_call_cancel(struct roll_call_req *req)
{
    queue_remove(&req->node);
}

static void no_longer_silent(struct peer *p)
{
    struct roll_call *r = &p->consensus->roll_call;
    p->roll_call = 0;
    if (r->silent > 0 && --r->silent == 0)
        end(r);
}

void roll_call_answered(struct peer *p, uint64_t correlation)
{
    if (p->roll_call == correlation)
        no_longer_silent(p);
}

void roll_call_lost(struct peer *p)
{
    if (p->roll_call != 0)
        no_longer_silent(p);
}

void roll_call_init(struct consensus *c)
{
    c->roll_call.consensus = c;
    c->roll_call.round = PEER_PING_OF_LINK;
    queue_init(&c->roll_call.next);
    queue_init(&c->roll_call.waiting);
}

void roll_call_close(struct consensus *c)
{
    struct roll_call *r = &c->roll_call;
    ASSERT(queue_empty(&r->next) && queue_empty(&r->waiting));
    env_timer_stop(c->options.env, &r->timer);
    env_task_cancel(c->options.env, &r->call);
    env_task_cancel(c->options.env, &r->over);
}
