/* Who may join, and as whom. */
#include "node/base/memory.h"
#include "node/group/classic_internal.h"
#include <stdlib.h>
#include <string.h>

enum { MEMBER_ID_SIZE = 320 };

struct joining {
    struct classic *classic;
    struct classic_group *group;
    const struct classic_join *join;
    uint64_t now_ms;
};

static void refuse(const struct joining *j, int16_t error)
{
    classic_refuse_join(j->classic, j->join->request, error, j->join->member_id);
}

static void new_id(const struct joining *j, char *id)
{
    const char *prefix = j->join->instance_id != NULL ? j->join->instance_id : j->join->client_id;
    j->classic->effects->new_id(j->classic->data, prefix, id, MEMBER_ID_SIZE);
}

/* ---- ids that have been given out ---- */

static struct classic_pending *find_pending(const struct classic_group *g, const char *id)
{
    QUEUE_FOREACH (node, &g->pending) {
        struct classic_pending *p = QUEUE_ENTRY(node, struct classic_pending, node);
        if (strcmp(p->id, id) == 0)
            return p;
    }
    return NULL;
}

static void remove_pending(struct classic_group *g, struct classic_pending *p)
{
    queue_remove(&p->node);
    g->pending_count--;
    free(p->id);
    free(p);
}

static void give_id(const struct joining *j)
{
    char id[MEMBER_ID_SIZE];
    struct classic_pending *p = memory_zalloc(sizeof(*p));
    new_id(j, id);
    p->id = memory_strdup(id);
    p->expires_ms = j->now_ms + (uint64_t)j->join->session_timeout_ms;
    queue_push(&j->group->pending, &p->node);
    j->group->pending_count++;
    classic_refuse_join(j->classic, j->join->request, KAFKA_ERR_MEMBER_ID_REQUIRED, id);
}

/* ---- newcomers ---- */

static void park(const struct joining *j, struct classic_member *m)
{
    if (m->joining)
        classic_answer_join(j->group, m, KAFKA_ERR_REBALANCE_IN_PROGRESS); /* a retry takes its place */
    m->joining = true;
    m->join_request = j->join->request;
}

static void add(const struct joining *j, const char *id)
{
    struct classic_group *g = j->group;
    struct classic_member *m = classic_member_create(id, j->join->instance_id);
    if (g->member_count == 0)
        classic_text_set(&g->protocol_type, j->join->protocol_type);
    classic_member_describe(m, j->join);
    classic_member_touch(m, j->now_ms);
    classic_group_add(g, m);
    park(j, m);
    classic_rebalance(g, "a member joins", j->now_ms);
}

static void add_new(const struct joining *j)
{
    char id[MEMBER_ID_SIZE];
    new_id(j, id);
    add(j, id);
}

/* ---- members that join again ---- */

static void rejoin_changed(const struct joining *j, struct classic_member *m, const char *why)
{
    classic_member_describe(m, j->join);
    park(j, m);
    classic_rebalance(j->group, why, j->now_ms);
}

/* The generation stands: the answer of the last rebalance has been lost, or the member only asks. */
static void answer_current(const struct joining *j, struct classic_member *m)
{
    const struct classic_group *g = j->group;
    struct classic_view view;
    bool leads = strcmp(m->id, g->leader) == 0;
    classic_look(j->classic, g->name, &view);
    const struct classic_joined answer = {.generation = g->generation,
                                          .protocol_type = g->protocol_type,
                                          .protocol = g->protocol,
                                          .leader = g->leader,
                                          .member_id = m->id,
                                          .members = leads ? view.members : NULL,
                                          .member_count = leads ? view.member_count : 0};
    classic_member_touch(m, j->now_ms);
    j->classic->effects->joined(j->classic->data, j->join->request, &answer);
    classic_view_close(&view);
}

static void rejoin(const struct joining *j, struct classic_member *m)
{
    struct classic_group *g = j->group;
    bool same = classic_member_is_same(m, j->join);
    switch (g->state) {
    case CLASSIC_PREPARING:
        rejoin_changed(j, m, "a member joins again");
        break;
    case CLASSIC_COMPLETING:
        if (same)
            answer_current(j, m);
        else
            rejoin_changed(j, m, "a member has changed its mind");
        break;
    default:
        if (same && strcmp(m->id, g->leader) != 0)
            answer_current(j, m);
        else
            rejoin_changed(j, m, same ? "the leader asks for it" : "a member has changed its mind");
    }
}

/* ---- static members ---- */

static bool same_subscription(const struct classic_group *g, const struct classic_member *m,
                              const struct classic_join *join)
{
    const struct owned_bytes *known = classic_member_metadata(m, g->protocol);
    for (size_t i = 0; i < join->protocol_count && known != NULL; i++)
        if (strcmp(join->protocols[i].name, g->protocol) == 0)
            return known->size == join->protocols[i].metadata.size &&
                   (known->size == 0 ||
                    memcmp(known->data, join->protocols[i].metadata.data, known->size) == 0);
    return false;
}

/* The old process, should it still be there, must not go on. */
static void fence(struct classic_group *g, struct classic_member *m)
{
    if (m->joining)
        classic_answer_join(g, m, KAFKA_ERR_FENCED_INSTANCE_ID);
    if (m->syncing)
        classic_answer_sync(g, m, KAFKA_ERR_FENCED_INSTANCE_ID);
}

/* The same instance in a new process: it takes over the member under a new id. */
static void replace(const struct joining *j, struct classic_member *m)
{
    struct classic_group *g = j->group;
    char id[MEMBER_ID_SIZE];
    bool leads = strcmp(m->id, g->leader) == 0;
    bool stands = g->state == CLASSIC_STABLE && same_subscription(g, m, j->join);
    char *old_leader = memory_strdup(g->leader);
    new_id(j, id);
    fence(g, m);
    classic_text_set(&m->id, id);
    if (leads)
        classic_text_set(&g->leader, id);
    classic_member_touch(m, j->now_ms);
    if (!stands) {
        free(old_leader);
        rejoin_changed(j, m, "a static member is back with another subscription");
        return;
    }
    classic_member_describe(m, j->join);
    park(j, m);
    struct classic_step *step = classic_step_create(g);
    step->replaced = memory_strdup(id);
    step->may_skip_assignment = j->join->may_skip_assignment;
    step->old_leader = old_leader;
    classic_group_replicate(g, step, j->now_ms);
}

/* ---- the request ---- */

static void join_unnamed(const struct joining *j)
{
    const struct classic_join *join = j->join;
    struct classic_member *m =
        join->instance_id != NULL ? classic_group_instance(j->group, join->instance_id) : NULL;
    if (m != NULL)
        replace(j, m);
    else if (join->instance_id == NULL && join->needs_member_id)
        give_id(j);
    else
        add_new(j);
}

static void join_named(const struct joining *j)
{
    const struct classic_join *join = j->join;
    struct classic_group *g = j->group;
    struct classic_pending *pending = find_pending(g, join->member_id);
    struct classic_member *m = classic_group_member(g, join->member_id);
    struct classic_member *instance =
        join->instance_id != NULL ? classic_group_instance(g, join->instance_id) : NULL;
    if (instance != NULL && instance != m) {
        refuse(j, KAFKA_ERR_FENCED_INSTANCE_ID);
    } else if (m != NULL) {
        rejoin(j, m);
    } else if (pending != NULL && join->instance_id == NULL) {
        remove_pending(g, pending);
        add(j, join->member_id);
    } else {
        refuse(j, KAFKA_ERR_UNKNOWN_MEMBER_ID);
    }
}

static int16_t check(const struct joining *j)
{
    const struct classic_settings *settings = &j->classic->settings;
    const struct classic_join *join = j->join;
    if (join->session_timeout_ms < 0 || (uint32_t)join->session_timeout_ms < settings->session_min_ms ||
        (uint32_t)join->session_timeout_ms > settings->session_max_ms)
        return KAFKA_ERR_INVALID_SESSION_TIMEOUT;
    if (j->group == NULL && join->member_id[0] != '\0')
        return KAFKA_ERR_UNKNOWN_MEMBER_ID;
    if (j->group == NULL && settings->groups_max != 0 &&
        HASH_COUNT(j->classic->groups) >= settings->groups_max)
        return KAFKA_ERR_POLICY_VIOLATION;
    if (!classic_group_accepts(j->group, join))
        return KAFKA_ERR_INCONSISTENT_GROUP_PROTOCOL;
    bool known = j->group != NULL && classic_group_member(j->group, join->member_id) != NULL;
    if (j->group != NULL && !known &&
        j->group->member_count + j->group->pending_count >= (size_t)settings->members_max)
        return KAFKA_ERR_GROUP_MAX_SIZE_REACHED;
    return KAFKA_ERR_NONE;
}

void classic_join(struct classic *c, const struct classic_join *join, uint64_t now_ms)
{
    struct joining j = {c, classic_group_find(c, join->group), join, now_ms};
    int16_t error = check(&j);
    if (error != KAFKA_ERR_NONE) {
        refuse(&j, error);
        return;
    }
    if (j.group == NULL)
        j.group = classic_group_create(c, join->group);
    if (join->member_id[0] == '\0')
        join_unnamed(&j);
    else
        join_named(&j);
}
