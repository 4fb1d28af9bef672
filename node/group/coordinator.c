/* A partition's engine with a clock, and the service that all of a node's coordinators share. */
#include "node/group/coordinator.h"

#include "node/base/memory.h"
#include "node/group/coordinator_internal.h"
#include "node/group/state.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- time ---- */

static struct engine_time time_now(struct env *env)
{
    return (struct engine_time){.now_ms = env_clock_ns(env) / 1000000u, .wall_ms = env_wall_ms(env)};
}

struct engine_time coordinator_time(const struct coordinator *c)
{
    return time_now(c->service->options.env);
}

/* ---- running the engine ---- */

static void on_timer(struct env_timer *timer);

static const struct engine_topics *look_at_topics(struct coordinator *c)
{
    const struct groups_options *o = &c->service->options;
    uint64_t version = 0;
    const struct engine_topics *topics = o->topics(o->data, &version);
    if (topics != NULL && version != c->topics_version) {
        c->topics_version = version;
        engine_topics_changed(c->engine);
    }
    return topics;
}

static void run(struct coordinator *c)
{
    struct engine_time time = coordinator_time(c);
    uint64_t next_ms = engine_run(c->engine, look_at_topics(c), time);
    struct env *env = c->service->options.env;
    if (next_ms == UINT64_MAX)
        env_timer_stop(env, &c->timer);
    else
        env_timer_start(env, &c->timer, (next_ms > time.now_ms ? next_ms - time.now_ms : 1) * 1000000u,
                        on_timer);
}

static void on_timer(struct env_timer *timer)
{
    run(container_of(timer, struct coordinator, timer));
}

static void on_task(struct env_task *task)
{
    run(container_of(task, struct coordinator, task));
}

/* At the end of this loop turn: with all that the turn has brought. */
static void run_soon(struct coordinator *c)
{
    env_defer(c->service->options.env, &c->task, on_task);
}

/* ---- effects ---- */

/* A step on its way through the log; the coordinator may be gone when it comes back. */
struct flight {
    struct outbox_req outbox;
    struct engine_step *step;
    struct groups *service;
    struct coordinator *coordinator; /* NULL: gone */
    struct queue node;
};

static void on_replicated(struct outbox_req *outbox, int status, const char *message)
{
    struct flight *f = container_of(outbox, struct flight, outbox);
    struct coordinator *c = f->coordinator;
    if (status != 0 && c != NULL)
        LOG(f->service->options.logger, LOG_DEBUG, "a step of a group was not replicated",
            "error=%s reason=\"%s\"", error_name(status), message != NULL ? message : "");
    queue_remove(&f->node);
    /* Who wrote it down or not will be known to the new coordinator; clients ask that one. */
    engine_step_done(f->step, status == ERR_OUTCOME_UNKNOWN ? ERR_NOT_LEADER : status,
                     time_now(f->service->options.env));
    free(f);
    if (c == NULL)
        return;
    c->service->stats.steps += status == 0;
    run_soon(c);
}

static void replicate(void *data, struct engine_step *step)
{
    struct coordinator *c = data;
    struct flight *f = memory_zalloc(sizeof(*f));
    f->step = step;
    f->service = c->service;
    f->coordinator = c;
    queue_push(&c->flights, &f->node);
    outbox_add(&c->state->outbox, engine_step_records(step), &f->outbox, on_replicated);
}

static void answer(void *data, void *request, int status, const char *message, int64_t epoch)
{
    const struct groups_options *o = &((struct coordinator *)data)->service->options;
    o->answer(o->data, request, status, message, epoch);
}

static bool push(void *data, struct engine_connection *connection, const struct engine_push *p)
{
    const struct groups_options *o = &((struct coordinator *)data)->service->options;
    return o->push(o->data, connection, p);
}

static void note(void *data, const struct engine_note *n)
{
    groups_note(((struct coordinator *)data)->service, n);
}

static const struct engine_effects effects = {
    .replicate = replicate, .answer = answer, .push = push, .note = note};

/* ---- start, stop ---- */

static void on_expiry(struct env_timer *timer)
{
    struct coordinator *c = container_of(timer, struct coordinator, expiry);
    coordinator_expire(c);
    env_timer_start(c->service->options.env, timer, c->service->options.expiry_check_ms * 1000000u,
                    on_expiry);
}

void coordinator_start(struct group_state *state, uint64_t term)
{
    if (state->coordinator != NULL && state->coordinator->term == term)
        return;
    coordinator_stop(state); /* somebody else led in between */
    struct groups *service = state->service;
    struct coordinator *c = memory_zalloc(sizeof(*c));
    c->service = service;
    c->state = state;
    c->term = term;
    queue_init(&c->flights);
    c->topics_version = UINT64_MAX;
    queue_push(&service->coordinators, &c->node);
    state->coordinator = c;
    c->engine = engine_create(&state->groups, &service->options.engine, &effects, c, coordinator_time(c));
    c->classic = classic_coordinator_create(state);
    run_soon(c);
    if (service->options.expiry_check_ms > 0)
        env_timer_start(service->options.env, &c->expiry, service->options.expiry_check_ms * 1000000u,
                        on_expiry);
}

void coordinator_stop(struct group_state *state)
{
    struct coordinator *c = state->coordinator;
    if (c == NULL)
        return;
    struct env *env = c->service->options.env;
    state->coordinator = NULL;
    env_timer_stop(env, &c->timer);
    env_timer_stop(env, &c->expiry);
    env_task_cancel(env, &c->task);
    classic_coordinator_destroy(c->classic);
    engine_destroy(c->engine);
    while (!queue_empty(&c->flights)) {
        struct flight *f = QUEUE_ENTRY(queue_first(&c->flights), struct flight, node);
        queue_remove(&f->node);
        f->coordinator = NULL;
    }
    queue_remove(&c->node);
    free(c);
}

struct engine *coordinator_engine(struct coordinator *c)
{
    return c->engine;
}

struct classic_coordinator *coordinator_classic(struct coordinator *c)
{
    return c->classic;
}

struct coordinator *coordinator_of(struct partition *p)
{
    struct group_state *state = partition_state(p);
    return state != NULL ? state->coordinator : NULL;
}

/* ---- events ---- */

void coordinator_join(struct coordinator *c, struct engine_join *join)
{
    join->mixed = classic_has_members(classic_coordinator_groups(c->classic), join->group);
    engine_join(c->engine, join, coordinator_time(c));
    run_soon(c);
}

int coordinator_heartbeat(struct coordinator *c, const char *group, const char *member_id, int64_t epoch,
                          struct partition_set *owned)
{
    bool reports = owned != NULL;
    int status = engine_heartbeat(c->engine, group, member_id, epoch, owned, coordinator_time(c));
    if (reports && status == 0)
        run_soon(c);
    return status;
}

void coordinator_leave(struct coordinator *c, const char *group, const char *member_id,
                       const char *instance_id, void *request)
{
    engine_leave(c->engine, group, member_id, instance_id, request, coordinator_time(c));
    run_soon(c);
}

void groups_connection_lost(struct groups *g, struct engine_connection *connection)
{
    bool had_members = !queue_empty(&connection->sessions);
    engine_connection_lost(connection, time_now(g->options.env));
    if (!had_members)
        return;
    QUEUE_FOREACH (node, &g->coordinators) {
        run_soon(QUEUE_ENTRY(node, struct coordinator, node)); /* its timer may be too late now */
    }
}
