#include "node/server/native/parking.h"
#include "node/base/assert.h"
#include "node/base/memory.h"

#define MS ((uint64_t)1000000)

void parking_init(struct server *s)
{
    queue_init(&s->parked);
}

bool parking_must_follow(const struct request *r, uint64_t group_id)
{
    QUEUE_FOREACH (node, &r->server->parked) {
        const struct request *other = QUEUE_ENTRY(node, struct request, parked);
        if (other->parked_group == group_id && other->sequence < r->sequence)
            return true;
    }
    return false;
}

bool parking_allows(const struct request *r)
{
    uint64_t waited_ns = env_clock_ns(r->server->env) - r->started_ns;
    return r->connection != NULL && !r->server->draining && waited_ns < PARKING_MAX_MS * MS;
}

/* In order of arrival: one that must wait on is in the list again before the next is looked at. */
static void look(struct server *s)
{
    struct queue waiting;
    queue_move(&s->parked, &waiting);
    while (!queue_empty(&waiting)) {
        struct request *r = QUEUE_ENTRY(queue_first(&waiting), struct request, parked);
        queue_remove(&r->parked);
        r->cancel = NULL;
        r->handle(r, r->message);
    }
}

static void on_timer(struct env_timer *timer)
{
    struct server *s = container_of(timer, struct server, parking_timer);
    look(s);
    if (!queue_empty(&s->parked))
        env_timer_start(s->env, timer, PARKING_LOOK_MS * MS, on_timer);
}

static void on_look_soon(struct env_task *task)
{
    look(container_of(task, struct server, parking_task));
}

void parking_look_soon(struct server *s)
{
    if (!queue_empty(&s->parked))
        env_defer(s->env, &s->parking_task, on_look_soon);
}

static void on_gone(struct request *r)
{
    queue_remove(&r->parked);
    request_finish(r);
}

/* A produce may come back from the partition after later ones have been parked: the list is in order of
 * arrival. */
void parking_add(struct request *r, uint64_t group_id)
{
    struct server *s = r->server;
    r->parked_group = group_id;
    s->counters.parked++;
    r->cancel = on_gone;
    struct queue *before = queue_last(&s->parked);
    while (before != &s->parked && QUEUE_ENTRY(before, struct request, parked)->sequence > r->sequence)
        before = before->prev;
    queue_push_front(before, &r->parked);
    if (!env_timer_running(&s->parking_timer))
        env_timer_start(s->env, &s->parking_timer, PARKING_LOOK_MS * MS, on_timer);
}

void parking_close(struct server *s)
{
    ASSERT(queue_empty(&s->parked));
    env_timer_stop(s->env, &s->parking_timer);
    env_task_cancel(s->env, &s->parking_task);
}
