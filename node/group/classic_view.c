/* What classic groups look like from outside. */
#include "node/base/memory.h"
#include "node/group/classic_internal.h"
#include <stdlib.h>

static void view_group(const struct classic_group *g, struct classic_view *view)
{
    *view = (struct classic_view){.group = g->name,
                                  .state = g->state,
                                  .protocol_type = g->protocol_type,
                                  .protocol = g->protocol,
                                  .generation = g->generation};
}

static void view_member(const struct classic_group *g, const struct classic_member *m,
                        struct classic_view_member *out)
{
    const struct owned_bytes *metadata = classic_member_metadata(m, g->protocol);
    out->member_id = m->id;
    out->instance_id = m->instance_id;
    out->client_id = m->client_id;
    out->client_host = m->client_host;
    if (metadata != NULL)
        out->subscription = owned_bytes_view(metadata);
    out->assignment = owned_bytes_view(&m->assignment);
}

bool classic_look(const struct classic *c, const char *group, struct classic_view *view)
{
    const struct classic_group *g = classic_group_find(c, group);
    if (g == NULL)
        return false;
    view_group(g, view);
    view->members = memory_zalloc((g->member_count + 1) * sizeof(*view->members));
    QUEUE_FOREACH (node, &g->members)
        view_member(g, QUEUE_ENTRY(node, struct classic_member, node), &view->members[view->member_count++]);
    return true;
}

void classic_view_close(struct classic_view *view)
{
    free(view->members);
    view->members = NULL;
}

void classic_each(const struct classic *c, void (*each)(void *data, const struct classic_view *view),
                  void *data)
{
    for (const struct classic_group *g = c->groups; g != NULL; g = g->hh.next) {
        struct classic_view view;
        view_group(g, &view);
        view.member_count = g->member_count;
        each(data, &view);
    }
}

bool classic_has_members(const struct classic *c, const char *group)
{
    const struct classic_group *g = classic_group_find(c, group);
    return g != NULL && (g->member_count > 0 || g->pending_count > 0);
}

void classic_forget_group(struct classic *c, const char *group)
{
    struct classic_group *g = classic_group_find(c, group);
    if (g != NULL && g->member_count == 0)
        classic_group_destroy(g);
}
