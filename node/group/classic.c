#include "node/group/classic.h"
#include "node/base/memory.h"
#include "node/group/classic_internal.h"
#include <stdlib.h>
#include <string.h>

const char *classic_state_name(enum classic_state state)
{
    static const char *const names[] = {
        [CLASSIC_EMPTY] = "Empty",
        [CLASSIC_PREPARING] = "PreparingRebalance",
        [CLASSIC_COMPLETING] = "CompletingRebalance",
        [CLASSIC_STABLE] = "Stable",
    };
    return names[state];
}

/* ---- begin and end ---- */

static void load_member(struct classic_group *g, const Flotilla__ClassicMember *from, uint64_t now_ms)
{
    const struct classic_protocol protocol = {g->protocol, {from->subscription.data, from->subscription.len}};
    const struct classic_join description = {.client_id = from->client_id,
                                             .client_host = from->client_host,
                                             .protocols = &protocol,
                                             .protocol_count = 1,
                                             .session_timeout_ms = (int32_t)from->session_timeout_ms,
                                             .rebalance_timeout_ms = (int32_t)from->rebalance_timeout_ms};
    const char *instance_id = from->instance_id[0] != '\0' ? from->instance_id : NULL;
    struct classic_member *m = classic_member_create(from->member_id, instance_id);
    classic_member_describe(m, &description);
    owned_bytes_set(&m->assignment, (struct classic_bytes){from->assignment.data, from->assignment.len});
    classic_member_touch(m, now_ms);
    m->synced = true;
    classic_group_add(g, m);
}

static void load_group(struct classic *c, const char *name, const Flotilla__ClassicValue *value,
                       uint64_t now_ms)
{
    struct classic_group *g = classic_group_create(c, name);
    classic_text_set(&g->protocol_type, value->protocol_type);
    classic_text_set(&g->protocol, value->protocol);
    classic_text_set(&g->leader, value->leader);
    g->generation = value->generation;
    for (size_t i = 0; i < value->n_members; i++)
        load_member(g, value->members[i], now_ms);
    g->state = g->member_count > 0 ? CLASSIC_STABLE : CLASSIC_EMPTY;
}

struct classic *classic_create(const struct classic_table *table, const struct classic_settings *settings,
                               const struct classic_effects *effects, void *data, uint64_t now_ms,
                               int64_t wall_ms)
{
    struct classic *c = memory_zalloc(sizeof(*c));
    c->table = table;
    c->settings = *settings;
    c->effects = effects;
    c->data = data;
    c->wall_offset_ms = wall_ms - (int64_t)now_ms;
    queue_init(&c->steps);
    for (const struct classic_entry *e = table->entries; e != NULL; e = e->hh.next)
        load_group(c, e->group, e->value, now_ms);
    return c;
}

static void answer_all(struct classic_group *g, int16_t error)
{
    QUEUE_FOREACH (node, &g->members) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (m->joining)
            classic_answer_join(g, m, error);
        if (m->syncing)
            classic_answer_sync(g, m, error);
    }
}

void classic_destroy(struct classic *c)
{
    struct classic_group *g, *next;
    HASH_ITER (hh, c->groups, g, next) {
        answer_all(g, KAFKA_ERR_NOT_COORDINATOR);
        classic_group_destroy(g);
    }
    while (!queue_empty(&c->steps)) {
        struct classic_step *step = QUEUE_ENTRY(queue_first(&c->steps), struct classic_step, node);
        queue_remove(&step->node);
        step->classic = NULL;
    }
    free(c);
}

/* ---- who asks ---- */

static int16_t find_member(const struct classic_group *g, const char *member_id, const char *instance_id,
                           struct classic_member **found)
{
    struct classic_member *m = g != NULL ? classic_group_member(g, member_id) : NULL;
    struct classic_member *instance =
        g != NULL && instance_id != NULL ? classic_group_instance(g, instance_id) : NULL;
    if (instance != NULL && instance != m)
        return KAFKA_ERR_FENCED_INSTANCE_ID;
    if (m == NULL || (instance_id != NULL && instance == NULL))
        return KAFKA_ERR_UNKNOWN_MEMBER_ID;
    *found = m;
    return KAFKA_ERR_NONE;
}

static int16_t find_in_generation(const struct classic_group *g, const char *member_id,
                                  const char *instance_id, int32_t generation, struct classic_member **found)
{
    int16_t error = find_member(g, member_id, instance_id, found);
    if (error == KAFKA_ERR_NONE && generation != g->generation)
        return KAFKA_ERR_ILLEGAL_GENERATION;
    return error;
}

/* ---- SyncGroup ---- */

static void refuse_sync(struct classic *c, void *request, int16_t error)
{
    const struct classic_synced answer = {.error = error};
    c->effects->synced(c->data, request, &answer);
}

static void take_assignments(struct classic_group *g, const struct classic_sync *sync, uint64_t now_ms)
{
    for (size_t i = 0; i < sync->assignment_count; i++) {
        struct classic_member *m = classic_group_member(g, sync->assignments[i].member_id);
        if (m != NULL)
            owned_bytes_set(&m->assignment, sync->assignments[i].assignment);
    }
    struct classic_step *step = classic_step_create(g);
    step->assigns = true;
    g->persisting = true;
    classic_group_replicate(g, step, now_ms);
}

static void settle_syncs(struct classic_group *g)
{
    QUEUE_FOREACH (node, &g->members)
        if (!QUEUE_ENTRY(node, struct classic_member, node)->synced)
            return;
    g->sync_ms = 0;
}

static void park_sync(struct classic_group *g, struct classic_member *m, const struct classic_sync *sync)
{
    if (m->syncing)
        classic_answer_sync(g, m, KAFKA_ERR_REBALANCE_IN_PROGRESS); /* a retry takes its place */
    m->syncing = true;
    m->synced = true;
    m->sync_request = sync->request;
    settle_syncs(g);
}

static bool differs(const char *said, const char *actual)
{
    return said != NULL && strcmp(said, actual) != 0;
}

static int16_t check_sync(const struct classic_group *g, const struct classic_sync *sync,
                          struct classic_member **m)
{
    int16_t error = find_in_generation(g, sync->member_id, sync->instance_id, sync->generation, m);
    if (error != KAFKA_ERR_NONE)
        return error;
    if (differs(sync->protocol_type, g->protocol_type) || differs(sync->protocol, g->protocol))
        return KAFKA_ERR_INCONSISTENT_GROUP_PROTOCOL;
    return g->state == CLASSIC_PREPARING ? KAFKA_ERR_REBALANCE_IN_PROGRESS : KAFKA_ERR_NONE;
}

void classic_sync(struct classic *c, const struct classic_sync *sync, uint64_t now_ms)
{
    struct classic_group *g = classic_group_find(c, sync->group);
    struct classic_member *m;
    int16_t error = check_sync(g, sync, &m);
    if (error != KAFKA_ERR_NONE) {
        refuse_sync(c, sync->request, error);
        return;
    }
    classic_member_touch(m, now_ms);
    park_sync(g, m, sync);
    if (g->state == CLASSIC_STABLE)
        classic_answer_sync(g, m, KAFKA_ERR_NONE);
    else if (strcmp(m->id, g->leader) == 0 && !g->persisting)
        take_assignments(g, sync, now_ms);
}

/* ---- Heartbeat, LeaveGroup, OffsetCommit ---- */

int16_t classic_heartbeat(struct classic *c, const char *group, const char *member_id,
                          const char *instance_id, int32_t generation, uint64_t now_ms)
{
    const struct classic_group *g = classic_group_find(c, group);
    struct classic_member *m;
    int16_t error = find_in_generation(g, member_id, instance_id, generation, &m);
    if (error != KAFKA_ERR_NONE)
        return error;
    classic_member_touch(m, now_ms);
    return g->state == CLASSIC_PREPARING ? KAFKA_ERR_REBALANCE_IN_PROGRESS : KAFKA_ERR_NONE;
}

static bool drop_pending(struct classic_group *g, const char *member_id)
{
    QUEUE_FOREACH (node, &g->pending) {
        struct classic_pending *p = QUEUE_ENTRY(node, struct classic_pending, node);
        if (strcmp(p->id, member_id) != 0)
            continue;
        queue_remove(&p->node);
        g->pending_count--;
        free(p->id);
        free(p);
        return true;
    }
    return false;
}

int16_t classic_leave(struct classic *c, const char *group, const char *member_id, const char *instance_id,
                      uint64_t now_ms)
{
    struct classic_group *g = classic_group_find(c, group);
    struct classic_member *m = NULL;
    int16_t error = KAFKA_ERR_NONE;
    if (g == NULL)
        return KAFKA_ERR_UNKNOWN_MEMBER_ID;
    if (drop_pending(g, member_id)) {
        classic_try_complete(g, now_ms);
        return KAFKA_ERR_NONE;
    }
    if (member_id[0] == '\0' && instance_id != NULL) {
        m = classic_group_instance(g, instance_id);
        error = m != NULL ? KAFKA_ERR_NONE : KAFKA_ERR_UNKNOWN_MEMBER_ID;
    } else {
        error = find_member(g, member_id, instance_id, &m);
    }
    if (error == KAFKA_ERR_NONE)
        classic_member_gone(g, m, "left", now_ms);
    return error;
}

int16_t classic_check_commit(struct classic *c, const char *group, const char *member_id,
                             const char *instance_id, int32_t generation, uint64_t now_ms)
{
    const struct classic_group *g = classic_group_find(c, group);
    bool simple = generation < 0 && member_id[0] == '\0' && instance_id == NULL;
    if (g == NULL || g->member_count == 0) {
        if (generation < 0)
            return KAFKA_ERR_NONE;
        return g == NULL ? KAFKA_ERR_ILLEGAL_GENERATION : KAFKA_ERR_UNKNOWN_MEMBER_ID;
    }
    if (simple)
        return KAFKA_ERR_UNKNOWN_MEMBER_ID; /* the group has members, and this is none */
    struct classic_member *m;
    int16_t error = find_in_generation(g, member_id, instance_id, generation, &m);
    if (error != KAFKA_ERR_NONE)
        return error;
    classic_member_touch(m, now_ms);
    return g->state == CLASSIC_COMPLETING ? KAFKA_ERR_REBALANCE_IN_PROGRESS : KAFKA_ERR_NONE;
}

void classic_forget_request(struct classic *c, const char *group, void *request)
{
    struct classic_group *g = classic_group_find(c, group);
    if (g == NULL)
        return;
    QUEUE_FOREACH (node, &g->members) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (m->join_request == request)
            m->join_request = NULL;
        if (m->sync_request == request)
            m->sync_request = NULL;
    }
}

/* ---- time ---- */

/* One that waits for its answer is there, however long that takes. */
static bool is_waiting(const struct classic_member *m)
{
    return (m->joining && m->join_request != NULL) || (m->syncing && m->sync_request != NULL);
}

static void expire_pending(struct classic_group *g, uint64_t now_ms)
{
    for (struct queue *node = queue_first(&g->pending), *next; node != &g->pending; node = next) {
        struct classic_pending *p = QUEUE_ENTRY(node, struct classic_pending, node);
        next = node->next;
        if (p->expires_ms <= now_ms)
            drop_pending(g, p->id);
    }
    classic_try_complete(g, now_ms);
}

static struct classic_member *find_expired(const struct classic_group *g, uint64_t now_ms)
{
    QUEUE_FOREACH (node, &g->members) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (m->expires_ms <= now_ms && !is_waiting(m))
            return m;
    }
    return NULL;
}

/* Those that have not asked for their assignment in time. */
static void drop_those_who_did_not_sync(struct classic_group *g, uint64_t now_ms)
{
    if (g->sync_ms == 0 || now_ms < g->sync_ms)
        return;
    g->sync_ms = 0;
    for (struct queue *node = queue_first(&g->members), *next; node != &g->members; node = next) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        next = node->next;
        if (m->synced || m->joining)
            continue;
        classic_member_gone(g, m, "did not ask for its assignment in time", now_ms);
        return; /* that has begun a rebalance, which finds the others */
    }
}

static void run_group(struct classic_group *g, uint64_t now_ms)
{
    struct classic_member *m;
    if (!queue_empty(&g->pending))
        expire_pending(g, now_ms);
    while ((m = find_expired(g, now_ms)) != NULL)
        classic_member_gone(g, m, "was not heard of for its session timeout", now_ms);
    drop_those_who_did_not_sync(g, now_ms);
    if (g->state == CLASSIC_PREPARING && now_ms >= g->rebalance_ms)
        classic_complete_join(g, now_ms);
}

static void earlier(uint64_t *next, uint64_t at)
{
    if (at < *next)
        *next = at;
}

static uint64_t next_of(const struct classic_group *g)
{
    uint64_t next = UINT64_MAX;
    if (g->state == CLASSIC_PREPARING)
        earlier(&next, g->rebalance_ms);
    if (g->sync_ms > 0)
        earlier(&next, g->sync_ms);
    QUEUE_FOREACH (node, &g->members) {
        const struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (!is_waiting(m))
            earlier(&next, m->expires_ms);
    }
    QUEUE_FOREACH (node, &g->pending)
        earlier(&next, QUEUE_ENTRY(node, struct classic_pending, node)->expires_ms);
    return next;
}

uint64_t classic_run(struct classic *c, uint64_t now_ms)
{
    struct classic_group *g, *following;
    uint64_t next = UINT64_MAX;
    HASH_ITER (hh, c->groups, g, following) {
        run_group(g, now_ms);
        earlier(&next, next_of(g));
        bool unused = g->state == CLASSIC_EMPTY && g->generation == 0 && g->pending_count == 0;
        if (unused) /* only ids have been given out in it */
            classic_group_destroy(g);
    }
    return next;
}

/* ---- steps ---- */

const char *classic_step_group(const struct classic_step *step)
{
    return step->group;
}

const Flotilla__ClassicValue *classic_step_value(const struct classic_step *step)
{
    return step->value;
}

static void assignment_done(struct classic_group *g, const struct classic_step *step, int16_t error,
                            uint64_t now_ms)
{
    if (g->state != CLASSIC_COMPLETING || g->generation != step->generation)
        return;
    g->persisting = false;
    if (error == KAFKA_ERR_NONE) {
        g->state = CLASSIC_STABLE;
        classic_answer_syncs(g, KAFKA_ERR_NONE);
        return;
    }
    classic_answer_syncs(g, error);
    classic_rebalance(g, "the assignment could not be stored", now_ms);
}

static void replacement_done(struct classic_group *g, const struct classic_step *step, int16_t error,
                             uint64_t now_ms)
{
    struct classic_member *m = classic_group_member(g, step->replaced);
    if (m == NULL || !m->joining || g->state != CLASSIC_STABLE)
        return;
    if (error != KAFKA_ERR_NONE) {
        classic_answer_join(g, m, error);
        return;
    }
    /* A leader would compute an assignment that nobody wants: it is told to leave that, or that another
     * leads. */
    bool leads = strcmp(g->leader, m->id) == 0;
    const struct classic_joined answer = {.generation = g->generation,
                                          .protocol_type = g->protocol_type,
                                          .protocol = g->protocol,
                                          .leader = leads && !step->may_skip_assignment ? step->old_leader
                                                                                        : g->leader,
                                          .member_id = m->id,
                                          .skip_assignment = leads && step->may_skip_assignment};
    classic_member_touch(m, now_ms);
    classic_answer_joined(g, m, &answer);
}

static void free_step(struct classic_step *step)
{
    flotilla__classic_value__free_unpacked(step->value, NULL);
    free(step->group);
    free(step->replaced);
    free(step->old_leader);
    free(step);
}

void classic_step_done(struct classic_step *step, int16_t error, uint64_t now_ms)
{
    struct classic *c = step->classic;
    struct classic_group *g = c != NULL ? classic_group_find(c, step->group) : NULL;
    if (c != NULL)
        queue_remove(&step->node);
    if (g != NULL && step->assigns)
        assignment_done(g, step, error, now_ms);
    else if (g != NULL && step->replaced != NULL)
        replacement_done(g, step, error, now_ms);
    free_step(step);
}
