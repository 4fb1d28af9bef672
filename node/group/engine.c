/* The engine's life, its events, and whose step is due. */
#include "node/group/engine.h"

#include "node/base/memory.h"
#include "node/group/engine_internal.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

static struct engine_group *engine_group_find(const struct engine *e, const char *name)
{
    struct engine_group *g;
    HASH_FIND_STR(e->groups, name, g);
    return g;
}

static struct engine_group *group_find_or_create(struct engine *e, const char *name)
{
    struct engine_group *g = engine_group_find(e, name);
    if (g != NULL)
        return g;
    g = memory_zalloc(sizeof(*g));
    g->engine = e;
    g->name = memory_strdup(name);
    queue_init(&g->events);
    queue_init(&g->waiters);
    queue_init(&g->due_node);
    HASH_ADD_KEYPTR(hh, e->groups, g->name, strlen(g->name), g);
    return g;
}

static void group_free(struct engine_group *g)
{
    queue_remove(&g->due_node);
    HASH_DEL(g->engine->groups, g);
    free(g->name);
    free(g);
}

static bool group_is_idle(const struct engine_group *g)
{
    return g->step == NULL && queue_empty(&g->events) && queue_empty(&g->due_node);
}

/* The group's next step is due at `at_ms`, or earlier if it was already. */
static void engine_group_due(struct engine_group *g, uint64_t at_ms)
{
    if (!queue_empty(&g->due_node)) {
        if (at_ms < g->due_ms)
            g->due_ms = at_ms;
        return;
    }
    g->due_ms = at_ms;
    queue_push(&g->engine->due, &g->due_node);
}

void engine_watch_deadline(struct engine *e, uint64_t at_ms)
{
    if (at_ms < e->next_deadline_ms)
        e->next_deadline_ms = at_ms;
}

/* ---- create, destroy ---- */

static void load_group(struct engine *e, const struct consumer_group *from, struct engine_time time)
{
    struct engine_group *g = group_find_or_create(e, from->name);
    for (const struct consumer_member *m = from->members; m != NULL; m = m->hh.next) {
        if (m->value == NULL)
            continue;
        struct session *s = session_find_or_create(g, m->id);
        session_lose(s, m->value->session_timeout_ms, time.now_ms);
        s->revoking_since_ms = time.now_ms;
        s->revoking_epoch = m->share.revoked_epoch;
        engine_watch_deadline(e, s->lost_ms + s->grace_ms);
    }
    g->retarget = true;
    engine_group_due(g, time.now_ms);
}

struct engine *engine_create(const struct group_table *table, const struct engine_settings *settings,
                             const struct engine_effects *effects, void *data, struct engine_time time)
{
    struct engine *e = memory_zalloc(sizeof(*e));
    e->table = table;
    e->settings = *settings;
    e->effects = *effects;
    e->data = data;
    e->next_deadline_ms = e->expected_ms = UINT64_MAX;
    queue_init(&e->due);
    for (const struct consumer_group *g = table->groups; g != NULL; g = g->hh.next)
        if (g->members != NULL && strcmp(g->protocol, ENGINE_PROTOCOL) == 0)
            load_group(e, g, time);
    return e;
}

static void event_free(struct event *event)
{
    queue_remove(&event->node);
    queue_remove(&event->by_connection);
    if (event->value != NULL)
        flotilla__member_value__free_unpacked(event->value, NULL);
    partition_set_close(&event->owned);
    free(event->member_id);
    free(event->instance_id);
    free(event->replaced);
    free(event);
}

static void fail_events(struct engine *e, struct queue *events, int status)
{
    while (!queue_empty(events)) {
        struct event *event = QUEUE_ENTRY(queue_first(events), struct event, node);
        e->effects.answer(e->data, event->request, status, NULL, 0);
        event_free(event);
    }
}

static void call_waiters(struct engine_group *g)
{
    struct queue waiters;
    queue_move(&g->waiters, &waiters);
    while (!queue_empty(&waiters)) {
        struct engine_waiter *w = QUEUE_ENTRY(queue_first(&waiters), struct engine_waiter, node);
        queue_remove(&w->node);
        w->cb(w);
    }
}

static void end_group(struct engine_group *g)
{
    struct engine *e = g->engine;
    struct session *s, *next;
    if (g->step != NULL) {
        fail_events(e, &g->step->events, ERR_NOT_LEADER);
        g->step->engine = NULL;
    }
    fail_events(e, &g->events, ERR_NOT_LEADER);
    HASH_ITER (hh, g->sessions, s, next) {
        session_push_end(s, ERR_NOT_LEADER, NULL);
        session_free(s);
    }
    call_waiters(g);
    group_free(g);
}

void engine_destroy(struct engine *e)
{
    struct engine_group *g, *next;
    HASH_ITER (hh, e->groups, g, next) {
        end_group(g);
    }
    free(e);
}

/* ---- events ---- */

static struct event *add_event(struct engine *e, const char *group, enum event_kind kind, void *request,
                               uint64_t due_ms)
{
    struct engine_group *g = group_find_or_create(e, group);
    struct event *event = memory_zalloc(sizeof(*event));
    event->kind = kind;
    event->request = request;
    queue_init(&event->by_connection);
    queue_push(&g->events, &event->node);
    engine_group_due(g, due_ms);
    return event;
}

static void fill_timeouts(const struct engine_settings *settings, Flotilla__MemberValue *value)
{
    if (value->session_timeout_ms == 0)
        value->session_timeout_ms = settings->session_timeout_ms;
    if (value->grace_ms == 0)
        value->grace_ms = settings->grace_ms;
    if (value->revocation_timeout_ms == 0)
        value->revocation_timeout_ms = settings->revocation_timeout_ms;
}

void engine_join(struct engine *e, struct engine_join *join, struct engine_time time)
{
    struct event *event =
        add_event(e, join->group, EVENT_JOIN, join->request, time.now_ms + ENGINE_GATHER_MS);
    event->member_id = memory_strdup(join->member_id);
    event->epoch = join->epoch;
    event->mixed = join->mixed;
    event->value = join->value;
    event->connection = join->connection;
    queue_push(&join->connection->joins, &event->by_connection);
    partition_set_move(&event->owned, &join->owned);
    fill_timeouts(&e->settings, event->value);
}

void engine_leave(struct engine *e, const char *group, const char *member_id, const char *instance_id,
                  void *request, struct engine_time time)
{
    struct event *event = add_event(e, group, EVENT_LEAVE, request, time.now_ms);
    event->member_id = memory_strdup(member_id);
    event->instance_id = memory_strdup(instance_id);
}

static const struct consumer_member *find_member(const struct engine *e, const char *group,
                                                 const char *member_id)
{
    const struct consumer_group *g = group_table_find(e->table, group);
    return g != NULL ? consumer_group_member(g, member_id) : NULL;
}

/* A report counts when the member knew of the last revocation: see member_share. */
static void take_report(struct session *s, const struct consumer_member *m, int64_t epoch,
                        struct partition_set *owned, uint64_t now_ms)
{
    if (m->share.revoking.count > 0 && epoch >= m->share.revoked_epoch) {
        partition_set_close(&s->still_held);
        partition_set_common(&m->share.revoking, owned, &s->still_held);
        s->reported = true;
        s->reported_epoch = epoch;
        engine_group_due(s->group, now_ms);
    }
    partition_set_close(owned);
}

int engine_heartbeat(struct engine *e, const char *group, const char *member_id, int64_t epoch,
                     struct partition_set *owned, struct engine_time time)
{
    struct engine_group *g = engine_group_find(e, group);
    struct session *s = g != NULL ? session_find(g, member_id) : NULL;
    const struct consumer_member *m = find_member(e, group, member_id);
    int status = s == NULL || m == NULL ? ERR_UNKNOWN_MEMBER : epoch > m->share.epoch ? ERR_FENCED_MEMBER : 0;
    if (status != 0) {
        if (owned != NULL)
            partition_set_close(owned);
        return status;
    }
    s->heard_ms = time.now_ms;
    if (owned != NULL)
        take_report(s, m, epoch, owned, time.now_ms);
    session_push(s, m, s->pushed_stable || consumer_group_is_stable(group_table_find(e->table, group)));
    return 0;
}

void engine_topics_changed(struct engine *e)
{
    for (struct engine_group *g = e->groups; g != NULL; g = g->hh.next) {
        g->retarget = true;
        engine_group_due(g, 0);
    }
}

/* ---- running ---- */

/* Groups with a dead member are due; returns the next time that one can be dead. */
static uint64_t look_for_dead(struct engine_group *g, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    const struct consumer_group *of = group_table_find(g->engine->table, g->name);
    for (const struct session *s = g->sessions; s != NULL && of != NULL; s = s->hh.next) {
        const char *reason;
        const struct consumer_member *m = consumer_group_member(of, s->member_id);
        uint64_t deadline_ms = m != NULL ? session_deadline(s, m, &reason) : UINT64_MAX;
        if (deadline_ms <= now_ms) {
            engine_group_due(g, now_ms);
            deadline_ms = now_ms + ENGINE_RETRY_MS;
        }
        if (deadline_ms < next_ms)
            next_ms = deadline_ms;
    }
    return next_ms;
}

static void check_deadlines(struct engine *e, uint64_t now_ms)
{
    if (e->next_deadline_ms > now_ms)
        return;
    e->next_deadline_ms = UINT64_MAX;
    for (struct engine_group *g = e->groups; g != NULL; g = g->hh.next)
        engine_watch_deadline(e, look_for_dead(g, now_ms));
}

static uint64_t later(uint64_t then_ms, uint64_t by_ms, uint64_t now_ms)
{
    return then_ms + by_ms < now_ms ? then_ms + by_ms : now_ms;
}

/* A node that stood still (a stopped process, a paused machine) has not heard anybody; what was sent
 * meanwhile waits in its sockets. */
static void forgive(struct engine *e, uint64_t stalled_ms, uint64_t now_ms)
{
    for (struct engine_group *g = e->groups; g != NULL; g = g->hh.next) {
        for (struct session *s = g->sessions; s != NULL; s = s->hh.next) {
            s->heard_ms = later(s->heard_ms, stalled_ms, now_ms);
            s->lost_ms = later(s->lost_ms, stalled_ms, now_ms);
            s->revoking_since_ms = later(s->revoking_since_ms, stalled_ms, now_ms);
        }
    }
}

static bool has_members(const struct engine *e)
{
    for (const struct engine_group *g = e->groups; g != NULL; g = g->hh.next)
        if (g->sessions != NULL)
            return true;
    return false;
}

static void start_step(struct engine_group *g, const struct engine_topics *topics, struct engine_time time)
{
    struct engine *e = g->engine;
    struct engine_step *step = engine_step_build(g, topics, time);
    g->step = step;
    if (step->records.count > 0)
        e->effects.replicate(e->data, step);
    else
        engine_step_done(step, 0, time);
}

static void run_due(struct engine *e, const struct engine_topics *topics, struct engine_time time)
{
    struct queue due;
    queue_move(&e->due, &due);
    while (!queue_empty(&due)) {
        struct engine_group *g = QUEUE_ENTRY(queue_first(&due), struct engine_group, due_node);
        queue_remove(&g->due_node);
        if (g->step == NULL && g->due_ms <= time.now_ms) {
            start_step(g, topics, time);
            continue;
        }
        queue_push(&e->due, &g->due_node);
    }
}

static uint64_t next_due(const struct engine *e, uint64_t now_ms)
{
    uint64_t next_ms = has_members(e) ? now_ms + ENGINE_LOOK_MS : UINT64_MAX;
    QUEUE_FOREACH (node, &e->due) {
        const struct engine_group *g = QUEUE_ENTRY(node, struct engine_group, due_node);
        if (g->step == NULL && g->due_ms < next_ms)
            next_ms = g->due_ms;
    }
    return e->next_deadline_ms < next_ms ? e->next_deadline_ms : next_ms;
}

uint64_t engine_run(struct engine *e, const struct engine_topics *topics, struct engine_time time)
{
    if (e->expected_ms != UINT64_MAX && time.now_ms > e->expected_ms + ENGINE_STALL_MS)
        forgive(e, time.now_ms - e->expected_ms, time.now_ms);
    check_deadlines(e, time.now_ms);
    if (topics != NULL)
        run_due(e, topics, time);
    e->expected_ms = topics != NULL ? next_due(e, time.now_ms) : time.now_ms + ENGINE_RETRY_MS;
    return e->expected_ms;
}

/* ---- the end of a step ---- */

const struct group_records *engine_step_records(const struct engine_step *step)
{
    return &step->records;
}

static void note(const struct engine_group *g, enum engine_change change, const char *member_id,
                 const char *instance_id, const char *reason)
{
    const struct engine *e = g->engine;
    const struct consumer_group *of = group_table_find(e->table, g->name);
    const struct engine_note n = {
        .change = change,
        .group = g->name,
        .member_id = member_id,
        .instance_id = instance_id != NULL ? instance_id : "",
        .reason = reason,
        .members = of != NULL ? consumer_group_size(of) : 0,
        .epoch = of != NULL ? of->epoch : 0,
    };
    e->effects.note(e->data, &n);
}

static void note_event(const struct engine_group *g, const struct event *event)
{
    const char *instance_id = event->value != NULL ? event->value->instance_id : event->instance_id;
    if (event->replaced != NULL)
        note(g, MEMBER_REPLACED, event->replaced, instance_id, "");
    note(g, event->change, event->member_id, instance_id, "");
}

static int64_t admit(struct engine_group *g, struct event *event, struct engine_time time)
{
    const struct consumer_member *m = find_member(g->engine, g->name, event->member_id);
    if (m == NULL) {
        event->status = ERR_FENCED_MEMBER; /* somebody took its place in the same step */
        return 0;
    }
    struct session *s = session_find_or_create(g, event->member_id);
    s->heard_ms = time.now_ms;
    if (event->connection != NULL)
        session_bind(s, event->connection, time);
    else
        session_lose(s, m->value->grace_ms, time.now_ms);
    const char *reason;
    engine_watch_deadline(g->engine, session_deadline(s, m, &reason));
    return m->share.epoch;
}

/* One that leaves by itself needs no telling. */
static void dismiss(struct engine_group *g, const struct event *event)
{
    struct session *s = session_find(g, event->member_id);
    if (s != NULL)
        session_free(s);
}

static void answer_event(struct engine_group *g, struct event *event, struct engine_time time)
{
    const struct engine *e = g->engine;
    int64_t epoch = 0;
    if (event->status == 0 && event->kind == EVENT_JOIN)
        epoch = admit(g, event, time);
    if (event->status == 0 && event->kind == EVENT_LEAVE)
        dismiss(g, event);
    if (event->status == 0)
        note_event(g, event);
    e->effects.answer(e->data, event->request, event->status, event->message, epoch);
    event_free(event);
}

static void count_revocation(struct session *s, const struct consumer_member *m, uint64_t now_ms)
{
    if (m->share.revoking.count == 0 || s->revoking_epoch == m->share.revoked_epoch)
        return;
    s->revoking_epoch = m->share.revoked_epoch;
    s->revoking_since_ms = now_ms;
    engine_watch_deadline(s->group->engine, now_ms + m->value->revocation_timeout_ms);
}

static const char *reason_of(const struct engine_step *step, const char *member_id)
{
    for (size_t i = 0; i < step->dead_count; i++)
        if (strcmp(step->dead[i], member_id) == 0)
            return step->reasons[i];
    return "its place has been taken, or it was removed";
}

/* Brings what the members know in line with the table. */
static void tell_members(const struct engine_step *step, uint64_t now_ms)
{
    struct engine_group *g = step->group;
    const struct consumer_group *of = group_table_find(g->engine->table, g->name);
    bool stable = of == NULL || consumer_group_is_stable(of);
    struct session *s, *next;
    HASH_ITER (hh, g->sessions, s, next) {
        const struct consumer_member *m = of != NULL ? consumer_group_member(of, s->member_id) : NULL;
        if (m == NULL) {
            session_push_end(s, ERR_FENCED_MEMBER, reason_of(step, s->member_id));
            session_free(s);
            continue;
        }
        count_revocation(s, m, now_ms);
        session_push(s, m, stable);
        if (!stable)
            s->pushed_stable = false;
    }
}

static void finish(struct engine_step *step, struct engine_time time)
{
    struct engine_group *g = step->group;
    for (size_t i = 0; i < step->dead_count; i++)
        note(g, MEMBER_DIED, step->dead[i], NULL, step->reasons[i]);
    while (!queue_empty(&step->events))
        answer_event(g, QUEUE_ENTRY(queue_first(&step->events), struct event, node), time);
    tell_members(step, time.now_ms);
}

void engine_step_done(struct engine_step *step, int status, struct engine_time time)
{
    struct engine_group *g = step->group;
    if (step->engine == NULL) {
        engine_step_free(step);
        return;
    }
    g->step = NULL;
    if (status == 0) {
        finish(step, time);
    } else {
        fail_events(g->engine, &step->events, status);
        g->retarget = true;
        engine_group_due(g, time.now_ms + ENGINE_RETRY_MS);
    }
    engine_step_free(step);
    call_waiters(g);
    if (group_is_idle(g) && g->sessions == NULL && queue_empty(&g->waiters))
        group_free(g);
}

/* ---- questions ---- */

static int check_owner(const struct consumer_member *m, const struct topic_partition *partitions,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!partition_set_has(&m->share.assigned, &partitions[i]) &&
            !partition_set_has(&m->share.revoking, &partitions[i]))
            return ERR_FENCED_MEMBER;
    return 0;
}

int engine_check_commit(struct engine *e, const char *group, const char *member_id, int64_t epoch,
                        const struct topic_partition *partitions, size_t count, struct engine_time time,
                        struct engine_waiter *waiter, void (*cb)(struct engine_waiter *w))
{
    struct engine_group *g = engine_group_find(e, group);
    if (g != NULL && g->step != NULL) {
        waiter->cb = cb;
        queue_push(&g->waiters, &waiter->node);
        return ENGINE_WAIT;
    }
    const struct consumer_group *of = group_table_find(e->table, group);
    if (member_id[0] == '\0')
        return of != NULL && of->members != NULL ? ERR_GROUP_NOT_EMPTY : 0;
    const struct consumer_member *m = of != NULL ? consumer_group_member(of, member_id) : NULL;
    if (m == NULL)
        return ERR_UNKNOWN_MEMBER;
    struct session *s = g != NULL ? session_find(g, member_id) : NULL;
    if (s != NULL)
        s->heard_ms = time.now_ms;
    /* Of an earlier life, in which it read what others have had since. */
    if (epoch < m->value->joined_epoch)
        return ERR_FENCED_MEMBER;
    return check_owner(m, partitions, count);
}

bool engine_is_idle(const struct engine *e, const char *group)
{
    const struct engine_group *g = engine_group_find(e, group);
    return g == NULL || group_is_idle(g);
}

uint64_t engine_heartbeat_age_ms(const struct engine *e, const char *group, const char *member_id,
                                 struct engine_time time)
{
    const struct engine_group *g = engine_group_find(e, group);
    const struct session *s = g != NULL ? session_find(g, member_id) : NULL;
    if (s == NULL)
        return 0;
    uint64_t since_ms = s->heard_ms > 0 ? s->heard_ms : s->lost_ms;
    return time.now_ms > since_ms ? time.now_ms - since_ms : 0;
}

size_t engine_member_count(const struct engine *e)
{
    size_t count = 0;
    for (const struct engine_group *g = e->groups; g != NULL; g = g->hh.next)
        count += HASH_COUNT(g->sessions);
    return count;
}
