/* How a group comes to its next generation. */
#include "node/base/memory.h"
#include "node/group/classic_internal.h"
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

void classic_refuse_join(struct classic *c, void *request, int16_t error, const char *member_id)
{
    const struct classic_joined answer = {.error = error,
                                          .generation = -1,
                                          .protocol_type = NULL,
                                          .protocol = "",
                                          .leader = "",
                                          .member_id = member_id};
    c->effects->joined(c->data, request, &answer);
}

void classic_answer_joined(struct classic_group *g, struct classic_member *m,
                           const struct classic_joined *answer)
{
    struct classic *c = g->classic;
    void *request = m->join_request;
    m->joining = false;
    m->join_request = NULL;
    if (request != NULL)
        c->effects->joined(c->data, request, answer);
}

void classic_answer_join(struct classic_group *g, struct classic_member *m, int16_t error)
{
    void *request = m->join_request;
    m->joining = false;
    m->join_request = NULL;
    if (request != NULL)
        classic_refuse_join(g->classic, request, error, m->id);
}

void classic_answer_sync(struct classic_group *g, struct classic_member *m, int16_t error)
{
    struct classic *c = g->classic;
    void *request = m->sync_request;
    struct classic_synced answer = {.error = error};
    m->syncing = false;
    m->sync_request = NULL;
    if (error == KAFKA_ERR_NONE) {
        answer.protocol_type = g->protocol_type;
        answer.protocol = g->protocol;
        answer.assignment = owned_bytes_view(&m->assignment);
    }
    if (request != NULL)
        c->effects->synced(c->data, request, &answer);
}

void classic_answer_syncs(struct classic_group *g, int16_t error)
{
    QUEUE_FOREACH (node, &g->members) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (m->syncing)
            classic_answer_sync(g, m, error);
    }
}

static void note(const struct classic_group *g, const char *member_id, const char *what)
{
    const struct classic *c = g->classic;
    c->effects->note(c->data, g->name, member_id, what, g->generation, g->member_count);
}

/* ---- into PREPARING ---- */

static uint64_t longest_rebalance_ms(const struct classic_group *g)
{
    uint64_t longest = 0;
    QUEUE_FOREACH (node, &g->members) {
        const struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (m->rebalance_timeout_ms > longest)
            longest = m->rebalance_timeout_ms;
    }
    return longest;
}

static void drop_assignments(struct classic_group *g)
{
    QUEUE_FOREACH (node, &g->members)
        owned_bytes_set(&QUEUE_ENTRY(node, struct classic_member, node)->assignment,
                        (struct classic_bytes){0});
}

void classic_rebalance(struct classic_group *g, const char *why, uint64_t now_ms)
{
    const struct classic_settings *settings = &g->classic->settings;
    if (g->state == CLASSIC_PREPARING) {
        /* An initial delay goes on while members keep coming. */
        uint64_t later = now_ms + settings->initial_delay_ms;
        if (g->extends_until_ms > 0)
            g->rebalance_ms = later < g->extends_until_ms ? later : g->extends_until_ms;
        classic_try_complete(g, now_ms);
        return;
    }
    bool first = g->state == CLASSIC_EMPTY;
    if (g->state == CLASSIC_COMPLETING) {
        drop_assignments(g);
        classic_answer_syncs(g, KAFKA_ERR_REBALANCE_IN_PROGRESS);
    }
    g->state = CLASSIC_PREPARING;
    g->persisting = false;
    g->sync_ms = 0;
    g->extends_until_ms = first ? now_ms + longest_rebalance_ms(g) : 0;
    g->rebalance_ms = now_ms + (first ? settings->initial_delay_ms : longest_rebalance_ms(g));
    note(g, "", why);
    classic_try_complete(g, now_ms);
}

/* ---- out of it ---- */

static bool all_joined(const struct classic_group *g)
{
    QUEUE_FOREACH (node, &g->members)
        if (!QUEUE_ENTRY(node, struct classic_member, node)->joining)
            return false;
    return g->pending_count == 0;
}

void classic_try_complete(struct classic_group *g, uint64_t now_ms)
{
    if (g->state != CLASSIC_PREPARING)
        return;
    bool delayed = g->extends_until_ms > 0 && now_ms < g->rebalance_ms && g->member_count > 0;
    if (!delayed && all_joined(g))
        classic_complete_join(g, now_ms);
}

/* A static member may be away for as long as its session lasts. */
static void drop_those_who_did_not_join(struct classic_group *g)
{
    for (struct queue *node = queue_first(&g->members), *next; node != &g->members; node = next) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        next = node->next;
        if (m->joining || m->instance_id != NULL)
            continue;
        note(g, m->id, "did not join the rebalance in time");
        classic_group_remove(g, m);
    }
}

static struct classic_member *first_joined(const struct classic_group *g)
{
    QUEUE_FOREACH (node, &g->members) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (m->joining)
            return m;
    }
    return NULL;
}

static void become_empty(struct classic_group *g, uint64_t now_ms)
{
    g->state = CLASSIC_EMPTY;
    g->generation++;
    g->rebalance_ms = g->extends_until_ms = 0;
    classic_text_set(&g->protocol, "");
    classic_text_set(&g->leader, "");
    note(g, "", "the group is empty");
    classic_group_replicate(g, classic_step_create(g), now_ms);
}

static struct classic_view_member *list_members(const struct classic_group *g)
{
    struct classic_view_member *list = memory_zalloc((g->member_count + 1) * sizeof(*list));
    size_t n = 0;
    QUEUE_FOREACH (node, &g->members) {
        const struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        const struct owned_bytes *metadata = classic_member_metadata(m, g->protocol);
        list[n].member_id = m->id;
        list[n].instance_id = m->instance_id;
        if (metadata != NULL)
            list[n].subscription = owned_bytes_view(metadata);
        n++;
    }
    return list;
}

static void tell_generation(struct classic_group *g, uint64_t now_ms)
{
    struct classic_view_member *members = list_members(g);
    for (struct queue *node = queue_first(&g->members), *next; node != &g->members; node = next) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        bool leads = strcmp(m->id, g->leader) == 0;
        next = node->next;
        m->synced = false;
        if (!m->joining)
            continue;
        classic_member_touch(m, now_ms);
        const struct classic_joined answer = {.generation = g->generation,
                                              .protocol_type = g->protocol_type,
                                              .protocol = g->protocol,
                                              .leader = g->leader,
                                              .member_id = m->id,
                                              .members = leads ? members : NULL,
                                              .member_count = leads ? g->member_count : 0};
        classic_answer_joined(g, m, &answer);
    }
    free(members);
}

void classic_complete_join(struct classic_group *g, uint64_t now_ms)
{
    drop_those_who_did_not_join(g);
    if (g->member_count == 0) {
        become_empty(g, now_ms);
        return;
    }
    struct classic_member *leader = classic_group_member(g, g->leader);
    if (leader == NULL || !leader->joining)
        leader = first_joined(g);
    if (leader == NULL) { /* static members, all of them away */
        g->rebalance_ms = now_ms + longest_rebalance_ms(g);
        return;
    }
    classic_text_set(&g->leader, leader->id);
    classic_group_choose_protocol(g);
    drop_assignments(g);
    g->generation++;
    g->state = CLASSIC_COMPLETING;
    g->extends_until_ms = 0;
    g->sync_ms = now_ms + longest_rebalance_ms(g);
    note(g, g->leader, "a new generation begins");
    tell_generation(g, now_ms);
}

/* ---- members that go ---- */

void classic_member_gone(struct classic_group *g, struct classic_member *m, const char *why, uint64_t now_ms)
{
    note(g, m->id, why);
    if (m->joining)
        classic_answer_join(g, m, KAFKA_ERR_UNKNOWN_MEMBER_ID);
    if (m->syncing)
        classic_answer_sync(g, m, KAFKA_ERR_UNKNOWN_MEMBER_ID);
    classic_group_remove(g, m);
    if (g->state == CLASSIC_PREPARING)
        classic_try_complete(g, now_ms);
    else
        classic_rebalance(g, "a member is gone", now_ms);
}
