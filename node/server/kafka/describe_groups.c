/* DescribeGroups: classic groups in full; of groups of native clients who is in them. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"
#include <string.h>

static struct kafka_string copy(struct kafka_request *r, const char *text)
{
    return kafka_string_of(arena_strndup(&r->arena, text, strlen(text)));
}

static struct kafka_bytes copy_bytes(struct kafka_request *r, struct classic_bytes b)
{
    const char *data = arena_strndup(&r->arena, b.size > 0 ? b.data : "", b.size);
    return (struct kafka_bytes){(const unsigned char *)data, data != NULL ? (int32_t)b.size : 0};
}

static bool describe_classic(struct kafka_request *r, const struct classic_view *view,
                             struct kafka_describe_groups_response_group *g)
{
    g->group_state = kafka_string_of(classic_state_name(view->state));
    g->protocol_type = copy(r, view->protocol_type);
    g->protocol_data = copy(r, view->protocol);
    g->members.items = KAFKA_NEW(&r->arena, describe_groups_response_member, view->member_count);
    if (g->members.items == NULL)
        return false;
    g->members.count = (int32_t)view->member_count;
    for (size_t i = 0; i < view->member_count; i++) {
        const struct classic_view_member *from = &view->members[i];
        struct kafka_describe_groups_response_member *m = &g->members.items[i];
        m->member_id = copy(r, from->member_id);
        m->group_instance_id = from->instance_id != NULL ? copy(r, from->instance_id) : kafka_string_null();
        m->client_id = copy(r, from->client_id);
        m->client_host = copy(r, from->client_host);
        m->member_metadata = copy_bytes(r, from->subscription);
        m->member_assignment = copy_bytes(r, from->assignment);
    }
    return true;
}

static bool describe_native(struct kafka_request *r, const struct group_info *info,
                            struct kafka_describe_groups_response_group *g)
{
    static const char *const states[] = {[GROUP_STATE_EMPTY] = "Empty",
                                         [GROUP_STATE_RECONCILING] = "PreparingRebalance",
                                         [GROUP_STATE_STABLE] = "Stable"};
    g->group_state = kafka_string_of(states[info->state]);
    g->protocol_type = copy(r, info->protocol);
    g->protocol_data = copy(r, info->assignor);
    g->members.items = KAFKA_NEW(&r->arena, describe_groups_response_member, info->members);
    if (g->members.items == NULL)
        return false;
    const struct consumer_member *from = info->group != NULL ? info->group->members : NULL;
    for (; from != NULL && (size_t)g->members.count < info->members; from = from->hh.next) {
        struct kafka_describe_groups_response_member *m = &g->members.items[g->members.count++];
        m->member_id = copy(r, from->id);
        m->client_id = copy(r, from->value->client_id);
        m->client_host = copy(r, from->value->host);
    }
    return true;
}

static bool describe(struct kafka_request *r, const struct kafka_group *group,
                     struct kafka_describe_groups_response_group *g)
{
    const struct classic *groups = classic_coordinator_groups(coordinator_classic(group->coordinator));
    struct classic_view view;
    struct group_info info;
    if (classic_look(groups, group->name, &view)) {
        bool fits = describe_classic(r, &view, g);
        classic_view_close(&view);
        return fits;
    }
    if (coordinator_find_group(group->coordinator, group->name, &info))
        return describe_native(r, &info, g);
    g->group_state = kafka_string_of("Dead");
    return true;
}

void kafka_describe_groups(struct kafka_request *r)
{
    const struct kafka_describe_groups_request *m = r->message;
    struct kafka_describe_groups_response response = kafka_describe_groups_response_default;
    response.groups.items = KAFKA_NEW(&r->arena, describe_groups_response_group, (size_t)m->groups.count);
    bool fits = response.groups.items != NULL;
    for (int32_t i = 0; fits && i < m->groups.count; i++) {
        struct kafka_describe_groups_response_group *g = &response.groups.items[response.groups.count++];
        struct kafka_group group;
        g->group_id = m->groups.items[i];
        g->error_code = kafka_find_group(r, m->groups.items[i], &group);
        if (g->error_code == KAFKA_ERR_NONE)
            fits = describe(r, &group, g);
    }
    if (fits)
        kafka_respond(r, &response);
    else
        kafka_refuse_too_large(r);
}
