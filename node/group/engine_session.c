/* Members as their coordinator sees them: connected or not, heard when, told what. */
#include "node/base/memory.h"
#include "node/group/engine_internal.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

struct session *session_find(const struct engine_group *g, const char *member_id)
{
    struct session *s;
    HASH_FIND_STR(g->sessions, member_id, s);
    return s;
}

struct session *session_find_or_create(struct engine_group *g, const char *member_id)
{
    struct session *s = session_find(g, member_id);
    if (s != NULL)
        return s;
    s = memory_zalloc(sizeof(*s));
    s->group = g;
    s->member_id = memory_strdup(member_id);
    s->revoking_epoch = -1;
    s->pushed_epoch = -1;
    queue_init(&s->node);
    HASH_ADD_KEYPTR(hh, g->sessions, s->member_id, strlen(s->member_id), s);
    return s;
}

void session_free(struct session *s)
{
    queue_remove(&s->node);
    HASH_DEL(s->group->sessions, s);
    partition_set_close(&s->still_held);
    free(s->member_id);
    free(s);
}

void session_bind(struct session *s, struct engine_connection *c, struct engine_time time)
{
    queue_remove(&s->node);
    s->connection = c;
    queue_push(&c->sessions, &s->node);
    s->heard_ms = time.now_ms;
    s->pushed_epoch = -1;
}

void session_lose(struct session *s, uint64_t grace_ms, uint64_t now_ms)
{
    queue_remove(&s->node);
    s->connection = NULL;
    s->lost_ms = now_ms;
    s->grace_ms = grace_ms;
}

uint64_t session_deadline(const struct session *s, const struct consumer_member *m, const char **reason)
{
    uint64_t deadline_ms;
    if (s->connection == NULL) {
        *reason = "its connection was lost";
        deadline_ms = s->lost_ms + s->grace_ms;
    } else {
        *reason = "no heartbeat came in time";
        deadline_ms = s->heard_ms + m->value->session_timeout_ms;
    }
    if (m->share.revoking.count == 0 || s->revoking_epoch != m->share.revoked_epoch)
        return deadline_ms;
    uint64_t revoked_ms = s->revoking_since_ms + m->value->revocation_timeout_ms;
    if (revoked_ms >= deadline_ms)
        return deadline_ms;
    *reason = "it did not let go of revoked partitions in time";
    return revoked_ms;
}

static bool push(struct session *s, const struct engine_push *p)
{
    const struct engine *e = s->group->engine;
    return s->connection != NULL && e->effects.push(e->data, s->connection, p);
}

void session_push(struct session *s, const struct consumer_member *m, bool stable)
{
    if (s->pushed_epoch == m->share.epoch && (s->pushed_stable || !stable))
        return;
    const struct engine_push p = {
        .group = s->group->name,
        .member_id = s->member_id,
        .epoch = m->share.epoch,
        .assigned = &m->share.assigned,
        .stable = stable,
    };
    if (!push(s, &p))
        return;
    s->pushed_epoch = m->share.epoch;
    s->pushed_stable = stable;
}

void session_push_end(struct session *s, int status, const char *message)
{
    const struct engine_push p = {
        .status = status,
        .message = message,
        .group = s->group->name,
        .member_id = s->member_id,
    };
    (void)push(s, &p);
}

/* ---- connections ---- */

void engine_connection_init(struct engine_connection *c)
{
    queue_init(&c->sessions);
    queue_init(&c->joins);
}

/* A static member may be back any moment, without anybody having noticed. */
static uint64_t grace_of(const struct session *s)
{
    const struct consumer_group *g = group_table_find(s->group->engine->table, s->group->name);
    const struct consumer_member *m = g != NULL ? consumer_group_member(g, s->member_id) : NULL;
    if (m == NULL)
        return 0;
    return m->value->instance_id[0] != '\0' ? m->value->session_timeout_ms : m->value->grace_ms;
}

void engine_connection_lost(struct engine_connection *c, struct engine_time time)
{
    while (!queue_empty(&c->joins)) {
        struct event *event = QUEUE_ENTRY(queue_first(&c->joins), struct event, by_connection);
        queue_remove(&event->by_connection);
        event->connection = NULL;
    }
    while (!queue_empty(&c->sessions)) {
        struct session *s = QUEUE_ENTRY(queue_first(&c->sessions), struct session, node);
        session_lose(s, grace_of(s), time.now_ms);
        engine_watch_deadline(s->group->engine, s->lost_ms + s->grace_ms);
    }
}
