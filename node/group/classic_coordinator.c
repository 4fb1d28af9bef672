#include "node/group/classic_coordinator.h"
#include "node/base/memory.h"
#include "node/group/coordinator_internal.h"
#include "proto/error.h"
#include "proto/kafka/errors.h"
#include <stdio.h>
#include <stdlib.h>

struct classic_coordinator {
    struct group_state *state;
    struct groups *service;
    struct env *env;
    struct classic *classic;
    struct queue flights; /* steps under way */
    struct env_timer timer;
    struct env_task task;
};

static uint64_t now_ms(struct env *env)
{
    return env_clock_ns(env) / 1000000u;
}

/* ---- running ---- */

static void on_timer(struct env_timer *timer);

static void run(struct classic_coordinator *c)
{
    uint64_t now = now_ms(c->env);
    uint64_t next = classic_run(c->classic, now);
    if (next == UINT64_MAX)
        env_timer_stop(c->env, &c->timer);
    else
        env_timer_start(c->env, &c->timer, (next > now ? next - now : 1) * 1000000u, on_timer);
}

static void on_timer(struct env_timer *timer)
{
    run(container_of(timer, struct classic_coordinator, timer));
}

static void on_task(struct env_task *task)
{
    run(container_of(task, struct classic_coordinator, task));
}

/* Deadlines have changed. */
static void run_soon(struct classic_coordinator *c)
{
    env_defer(c->env, &c->task, on_task);
}

/* ---- effects ---- */

/* A step on its way through the log; the coordinator may be gone when it comes back. */
struct flight {
    struct outbox_req outbox;
    struct queue node;
    struct classic_step *step;
    struct classic_coordinator *coordinator; /* NULL: gone */
    struct env *env;
};

static int16_t step_error(int status)
{
    if (status == 0)
        return KAFKA_ERR_NONE;
    /* Whether it is written down the new coordinator will know; members ask that one. */
    bool moved = status == ERR_OUTCOME_UNKNOWN || status == ERR_NOT_LEADER || status == ERR_CANCELED;
    return moved ? KAFKA_ERR_NOT_COORDINATOR : KAFKA_ERR_COORDINATOR_NOT_AVAILABLE;
}

static void on_replicated(struct outbox_req *outbox, int status, const char *message)
{
    struct flight *f = container_of(outbox, struct flight, outbox);
    struct classic_coordinator *c = f->coordinator;
    if (status != 0 && c != NULL)
        LOG(c->service->options.logger, LOG_DEBUG, "a step of a classic group was not replicated",
            "error=%s reason=\"%s\"", error_name(status), message != NULL ? message : "");
    queue_remove(&f->node);
    classic_step_done(f->step, step_error(status), now_ms(f->env));
    free(f);
    if (c != NULL)
        run_soon(c);
}

static void replicate(void *data, struct classic_step *step)
{
    struct classic_coordinator *c = data;
    struct group_records records;
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = (char *)(uintptr_t)classic_step_group(step);
    key.record = FLOTILLA__GROUP_RECORD__GROUP_RECORD_CLASSIC;
    struct flight *f = memory_zalloc(sizeof(*f));
    f->step = step;
    f->coordinator = c;
    f->env = c->env;
    queue_push(&c->flights, &f->node);
    group_records_init(&records);
    group_records_add(&records, &key, &classic_step_value(step)->base);
    outbox_add(&c->state->outbox, &records, &f->outbox, on_replicated);
    group_records_close(&records);
}

static void joined(void *data, void *request, const struct classic_joined *answer)
{
    const struct groups_options *o = &((struct classic_coordinator *)data)->service->options;
    o->classic.joined(o->data, request, answer);
}

static void synced(void *data, void *request, const struct classic_synced *answer)
{
    const struct groups_options *o = &((struct classic_coordinator *)data)->service->options;
    o->classic.synced(o->data, request, answer);
}

static void note(void *data, const char *group, const char *member_id, const char *what, int32_t generation,
                 size_t members)
{
    groups_note_classic(((struct classic_coordinator *)data)->service, group, member_id, what, generation,
                        members);
}

static void new_id(void *data, const char *prefix, char *out, size_t size)
{
    struct classic_coordinator *c = data;
    unsigned char u[16];
    env_random_bytes(c->env, u, sizeof(u));
    snprintf(out, size, "%.255s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", prefix,
             u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
}

static const struct classic_effects effects = {
    .replicate = replicate, .joined = joined, .synced = synced, .note = note, .new_id = new_id};

/* ---- begin and end ---- */

struct classic_coordinator *classic_coordinator_create(struct group_state *state)
{
    struct groups *service = state->service;
    struct classic_coordinator *c = memory_zalloc(sizeof(*c));
    c->state = state;
    c->service = service;
    c->env = service->options.env;
    queue_init(&c->flights);
    c->classic = classic_create(&state->classic, &service->options.classic.settings, &effects, c,
                                now_ms(c->env), env_wall_ms(c->env));
    run_soon(c);
    return c;
}

void classic_coordinator_destroy(struct classic_coordinator *c)
{
    env_timer_stop(c->env, &c->timer);
    classic_destroy(c->classic);
    env_task_cancel(c->env, &c->task);
    while (!queue_empty(&c->flights)) {
        struct flight *f = QUEUE_ENTRY(queue_first(&c->flights), struct flight, node);
        queue_remove(&f->node);
        f->coordinator = NULL;
    }
    free(c);
}

/* ---- requests ---- */

void classic_coordinator_join(struct classic_coordinator *c, const struct classic_join *join)
{
    const struct consumer_group *other = group_table_find(&c->state->groups, join->group);
    if (other != NULL && other->members != NULL) {
        const struct classic_joined answer = {.error = KAFKA_ERR_INCONSISTENT_GROUP_PROTOCOL,
                                              .generation = -1,
                                              .protocol = "",
                                              .leader = "",
                                              .member_id = join->member_id};
        joined(c, join->request, &answer);
        return;
    }
    classic_join(c->classic, join, now_ms(c->env));
    run_soon(c);
}

void classic_coordinator_sync(struct classic_coordinator *c, const struct classic_sync *sync)
{
    classic_sync(c->classic, sync, now_ms(c->env));
    run_soon(c);
}

int16_t classic_coordinator_heartbeat(struct classic_coordinator *c, const char *group, const char *member_id,
                                      const char *instance_id, int32_t generation)
{
    return classic_heartbeat(c->classic, group, member_id, instance_id, generation, now_ms(c->env));
}

int16_t classic_coordinator_leave(struct classic_coordinator *c, const char *group, const char *member_id,
                                  const char *instance_id)
{
    run_soon(c);
    return classic_leave(c->classic, group, member_id, instance_id, now_ms(c->env));
}

int16_t classic_coordinator_check_commit(struct classic_coordinator *c, const char *group,
                                         const char *member_id, const char *instance_id, int32_t generation)
{
    return classic_check_commit(c->classic, group, member_id, instance_id, generation, now_ms(c->env));
}

/* Its session goes on from here. */
void classic_coordinator_forget_request(struct classic_coordinator *c, const char *group, void *request)
{
    classic_forget_request(c->classic, group, request);
    run_soon(c);
}

void classic_coordinator_forget_group(struct classic_coordinator *c, const char *group)
{
    classic_forget_group(c->classic, group);
}

const struct classic *classic_coordinator_groups(const struct classic_coordinator *c)
{
    return c->classic;
}

bool classic_coordinator_keeps(const struct classic_coordinator *c, const char *group, int64_t since_ms)
{
    const Flotilla__ClassicValue *value = classic_table_find(&c->state->classic, group);
    return classic_has_members(c->classic, group) ||
           (value != NULL && (value->n_members > 0 || value->empty_since_ms >= since_ms));
}
