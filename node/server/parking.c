#include "node/server/parking.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "proto/error.h"

#define MS ((uint64_t)1000000)

void parking_init(struct server *s)
{
    queue_init(&s->parked);
}

void parking_arrive(struct server *s, struct parked *p, void (*again)(struct parked *p))
{
    p->sequence = s->next_sequence++;
    p->since_ns = env_clock_ns(s->env);
    p->again = again;
}

bool parking_must_follow(const struct server *s, const struct parked *p, uint64_t group_id)
{
    QUEUE_FOREACH (node, &s->parked) {
        const struct parked *other = QUEUE_ENTRY(node, struct parked, node);
        if (other->group_id == group_id && other->sequence < p->sequence)
            return true;
    }
    return false;
}

bool parking_may_help(const struct server *s, const struct parked *p, int error, uint64_t group_id)
{
    if (error != ERR_NOT_LEADER && error != ERR_LEADER_NOT_AVAILABLE)
        return false;
    if (s->draining || env_clock_ns(s->env) - p->since_ns >= PARKING_MAX_MS * MS)
        return false;
    int32_t epoch;
    uint32_t leader = cluster_leader(s->cluster, group_id, &epoch);
    return leader == 0 || leader == cluster_self(s->cluster);
}

/* In order of arrival: one that must wait on is in the list again before the next is looked at. One that
 * would only queue up behind it is not asked. */
static void look(struct server *s)
{
    struct queue waiting;
    queue_move(&s->parked, &waiting);
    while (!queue_empty(&waiting)) {
        struct parked *p = QUEUE_ENTRY(queue_first(&waiting), struct parked, node);
        queue_remove(&p->node);
        if (!p->out_of_turn && parking_must_follow(s, p, p->group_id))
            queue_push(&s->parked, &p->node);
        else
            p->again(p);
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

/* A produce may come back from the partition after later ones have been parked: the list is in order of
 * arrival. */
void parking_add(struct server *s, struct parked *p, uint64_t group_id)
{
    p->group_id = group_id;
    s->counters.parked++;
    struct queue *before = queue_last(&s->parked);
    while (before != &s->parked && QUEUE_ENTRY(before, struct parked, node)->sequence > p->sequence)
        before = before->prev;
    queue_push_front(before, &p->node);
    if (!env_timer_running(&s->parking_timer))
        env_timer_start(s->env, &s->parking_timer, PARKING_LOOK_MS * MS, on_timer);
}

void parking_remove(struct parked *p)
{
    queue_remove(&p->node);
}

void parking_close(struct server *s)
{
    ASSERT(queue_empty(&s->parked));
    env_timer_stop(s->env, &s->parking_timer);
    env_task_cancel(s->env, &s->parking_task);
}
