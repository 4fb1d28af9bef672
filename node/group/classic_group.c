#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/group/classic_internal.h"
#include <stdlib.h>
#include <string.h>

void classic_text_set(char **text, const char *value)
{
    char *copy = memory_strdup(value);
    free(*text);
    *text = copy;
}

struct classic_group *classic_group_find(const struct classic *c, const char *name)
{
    struct classic_group *g;
    HASH_FIND_STR(c->groups, name, g);
    return g;
}

struct classic_group *classic_group_create(struct classic *c, const char *name)
{
    struct classic_group *g = memory_zalloc(sizeof(*g));
    g->classic = c;
    g->name = memory_strdup(name);
    g->protocol_type = memory_strdup("");
    g->protocol = memory_strdup("");
    g->leader = memory_strdup("");
    queue_init(&g->members);
    queue_init(&g->pending);
    HASH_ADD_KEYPTR(hh, c->groups, g->name, strlen(g->name), g);
    return g;
}

static void drop_pending(struct classic_group *g)
{
    while (!queue_empty(&g->pending)) {
        struct classic_pending *p = QUEUE_ENTRY(queue_first(&g->pending), struct classic_pending, node);
        queue_remove(&p->node);
        free(p->id);
        free(p);
    }
}

void classic_group_destroy(struct classic_group *g)
{
    while (!queue_empty(&g->members))
        classic_group_remove(g, QUEUE_ENTRY(queue_first(&g->members), struct classic_member, node));
    drop_pending(g);
    HASH_DEL(g->classic->groups, g);
    free(g->name);
    free(g->protocol_type);
    free(g->protocol);
    free(g->leader);
    free(g);
}

struct classic_member *classic_group_member(const struct classic_group *g, const char *id)
{
    QUEUE_FOREACH (node, &g->members) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (strcmp(m->id, id) == 0)
            return m;
    }
    return NULL;
}

struct classic_member *classic_group_instance(const struct classic_group *g, const char *instance_id)
{
    QUEUE_FOREACH (node, &g->members) {
        struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        if (m->instance_id != NULL && strcmp(m->instance_id, instance_id) == 0)
            return m;
    }
    return NULL;
}

void classic_group_add(struct classic_group *g, struct classic_member *m)
{
    queue_push(&g->members, &m->node);
    g->member_count++;
}

void classic_group_remove(struct classic_group *g, struct classic_member *m)
{
    queue_remove(&m->node);
    g->member_count--;
    classic_member_destroy(m);
}

/* ---- protocols ---- */

static bool all_know(const struct classic_group *g, const char *protocol)
{
    QUEUE_FOREACH (node, &g->members)
        if (classic_member_metadata(QUEUE_ENTRY(node, struct classic_member, node), protocol) == NULL)
            return false;
    return true;
}

bool classic_group_accepts(const struct classic_group *g, const struct classic_join *join)
{
    if (join->protocol_count == 0 || join->protocol_type[0] == '\0')
        return false;
    if (g == NULL || g->member_count == 0)
        return true;
    if (strcmp(g->protocol_type, join->protocol_type) != 0)
        return false;
    for (size_t i = 0; i < join->protocol_count; i++)
        if (all_know(g, join->protocols[i].name))
            return true;
    return false;
}

/* Each member has one vote, for the first of its protocols that all know. */
static size_t votes_for(const struct classic_group *g, const char *protocol)
{
    size_t votes = 0;
    QUEUE_FOREACH (node, &g->members) {
        const struct classic_member *m = QUEUE_ENTRY(node, struct classic_member, node);
        size_t i = 0;
        while (i < m->protocol_count && !all_know(g, m->protocols[i].name))
            i++;
        if (i < m->protocol_count && strcmp(m->protocols[i].name, protocol) == 0)
            votes++;
    }
    return votes;
}

void classic_group_choose_protocol(struct classic_group *g)
{
    const struct classic_member *first = QUEUE_ENTRY(queue_first(&g->members), struct classic_member, node);
    const char *best = "";
    size_t most = 0;
    for (size_t i = 0; i < first->protocol_count; i++) {
        const char *name = first->protocols[i].name;
        size_t votes = all_know(g, name) ? votes_for(g, name) : 0;
        if (votes > most) {
            best = name;
            most = votes;
        }
    }
    classic_text_set(&g->protocol, best);
}

/* ---- the record ---- */

static ProtobufCBinaryData binary(const struct owned_bytes *b)
{
    return b != NULL ? (ProtobufCBinaryData){b->size, b->data} : (ProtobufCBinaryData){0, NULL};
}

static void describe_member(const struct classic_group *g, const struct classic_member *m,
                            Flotilla__ClassicMember *out)
{
    flotilla__classic_member__init(out);
    out->member_id = m->id;
    if (m->instance_id != NULL)
        out->instance_id = m->instance_id;
    out->client_id = m->client_id;
    out->client_host = m->client_host;
    out->session_timeout_ms = m->session_timeout_ms;
    out->rebalance_timeout_ms = m->rebalance_timeout_ms;
    out->subscription = binary(classic_member_metadata(m, g->protocol));
    out->assignment = binary(&m->assignment);
}

static Flotilla__ClassicValue *copy_of(const Flotilla__ClassicValue *value)
{
    size_t size = flotilla__classic_value__get_packed_size(value);
    uint8_t *bytes = memory_alloc(size + 1);
    flotilla__classic_value__pack(value, bytes);
    Flotilla__ClassicValue *copy = flotilla__classic_value__unpack(NULL, size, bytes);
    ASSERT(copy != NULL);
    free(bytes);
    return copy;
}

static Flotilla__ClassicValue *describe(const struct classic_group *g, uint64_t now_ms)
{
    Flotilla__ClassicValue value = FLOTILLA__CLASSIC_VALUE__INIT;
    Flotilla__ClassicMember *members = memory_alloc((g->member_count + 1) * sizeof(*members));
    Flotilla__ClassicMember **list = memory_alloc((g->member_count + 1) * sizeof(*list));
    value.protocol_type = g->protocol_type;
    value.protocol = g->protocol;
    value.leader = g->leader;
    value.generation = g->generation;
    value.members = list;
    QUEUE_FOREACH (node, &g->members) {
        list[value.n_members] = &members[value.n_members];
        describe_member(g, QUEUE_ENTRY(node, struct classic_member, node), list[value.n_members++]);
    }
    if (value.n_members == 0)
        value.empty_since_ms = (int64_t)now_ms + g->classic->wall_offset_ms;
    Flotilla__ClassicValue *copy = copy_of(&value);
    free(list);
    free(members);
    return copy;
}

struct classic_step *classic_step_create(struct classic_group *g)
{
    struct classic_step *step = memory_zalloc(sizeof(*step));
    step->classic = g->classic;
    step->group = memory_strdup(g->name);
    step->generation = g->generation;
    return step;
}

void classic_group_replicate(struct classic_group *g, struct classic_step *step, uint64_t now_ms)
{
    struct classic *c = g->classic;
    step->value = describe(g, now_ms);
    queue_push(&c->steps, &step->node);
    c->effects->replicate(c->data, step);
}
