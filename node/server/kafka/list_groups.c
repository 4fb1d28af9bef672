/* ListGroups: those that this node coordinates; a client asks every node. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"
#include "proto/error.h"
#include <string.h>
#include <strings.h>

struct listing {
    struct kafka_request *request;
    const struct kafka_list_groups_request *asked;
    const struct classic *classic;                   /* of the coordinator at hand */
    struct kafka_list_groups_response_group *groups; /* in the arena */
    size_t count, capacity;
    bool full;
};

static bool grow(struct listing *l)
{
    size_t capacity = l->capacity == 0 ? 64 : l->capacity * 2;
    struct kafka_list_groups_response_group *groups =
        KAFKA_NEW(&l->request->arena, list_groups_response_group, capacity);
    if (groups == NULL)
        return false;
    if (l->count > 0)
        memcpy(groups, l->groups, l->count * sizeof(*groups));
    l->groups = groups;
    l->capacity = capacity;
    return true;
}

static bool wanted(const struct kafka_string *list, int32_t count, const char *value)
{
    for (int32_t i = 0; i < count; i++)
        if ((size_t)list[i].size == strlen(value) && strncasecmp(list[i].data, value, strlen(value)) == 0)
            return true;
    return count <= 0;
}

static void add(struct listing *l, const char *name, const char *state, const char *protocol_type,
                const char *type)
{
    struct kafka_request *r = l->request;
    if (!wanted(l->asked->states_filter.items, l->asked->states_filter.count, state) ||
        !wanted(l->asked->types_filter.items, l->asked->types_filter.count, type))
        return;
    if (l->full || (l->count == l->capacity && !grow(l))) {
        l->full = true;
        return;
    }
    struct kafka_list_groups_response_group *g = &l->groups[l->count];
    const char *own_name = arena_strndup(&r->arena, name, strlen(name));
    const char *own_type = arena_strndup(&r->arena, protocol_type, strlen(protocol_type));
    l->full = own_name == NULL || own_type == NULL;
    if (l->full)
        return;
    g->group_id = kafka_string_of(own_name);
    g->protocol_type = kafka_string_of(own_type);
    g->group_state = kafka_string_of(state);
    g->group_type = kafka_string_of(type);
    l->count++;
}

static void add_classic(void *data, const struct classic_view *view)
{
    add(data, view->group, classic_state_name(view->state), view->protocol_type, "classic");
}

static void add_other(void *data, const struct group_info *info)
{
    struct listing *l = data;
    struct classic_view view;
    if (classic_look(l->classic, info->name, &view)) { /* it has been listed, and has offsets besides */
        classic_view_close(&view);
        return;
    }
    add(l, info->name, info->state == GROUP_STATE_EMPTY ? "Empty" : "Stable", info->protocol, "classic");
}

static void add_partition(struct listing *l, uint64_t group_id)
{
    struct partition *partition = broker_partition(l->request->server->broker, group_id);
    struct coordinator *coordinator = partition != NULL ? coordinator_of(partition) : NULL;
    if (coordinator == NULL)
        return;
    l->classic = classic_coordinator_groups(coordinator_classic(coordinator));
    classic_each(l->classic, add_classic, l);
    coordinator_each_group(coordinator, add_other, l);
}

void kafka_list_groups(struct kafka_request *r)
{
    const struct topic_meta *topic = metadata_topic(cluster_metadata(r->server->cluster), OFFSETS_TOPIC);
    struct kafka_list_groups_response response = kafka_list_groups_response_default;
    struct listing l = {.request = r, .asked = r->message};
    for (uint32_t i = 0; topic != NULL && i < topic->partition_count; i++)
        add_partition(&l, topic->partitions[i].group_id);
    if (l.full) {
        kafka_refuse_too_large(r);
        return;
    }
    response.groups.items = l.groups;
    response.groups.count = (int32_t)l.count;
    kafka_respond(r, &response);
}
