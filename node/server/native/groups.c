/* Groups as operators see them: which there are, who is in them, and away with them. */
#include "node/server/native/groups.h"
#include "node/base/memory.h"
#include "node/server/native/dispatch.h"
#include "node/server/native/lookup.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

static char *copy_text(struct request *r, const char *text)
{
    char *copy = arena_strndup(&r->arena, text, strlen(text));
    return copy != NULL ? copy : (char *)(uintptr_t) "";
}

static void fill_info(struct request *r, const struct group_info *from, Flotilla__GroupInfo *to)
{
    flotilla__group_info__init(to);
    to->group = copy_text(r, from->name);
    to->state = (char *)(uintptr_t)group_state_name(from->state);
    to->protocol = copy_text(r, from->protocol);
    to->assignor = copy_text(r, from->assignor[0] == '\0' && from->members > 0 ? "sticky" : from->assignor);
    to->epoch = from->epoch;
    to->members = (uint32_t)from->members;
}

/* ---- list ---- */

struct list_call {
    struct request *request;
    Flotilla__GroupInfo **found;
    size_t count, capacity;
    bool too_many;
};

static bool grow(struct list_call *call)
{
    size_t capacity = call->capacity == 0 ? 64 : call->capacity * 2;
    Flotilla__GroupInfo **found = request_array(call->request, capacity, sizeof(*found));
    if (found == NULL)
        return false;
    if (call->count > 0)
        memcpy(found, call->found, call->count * sizeof(*found));
    call->found = found;
    call->capacity = capacity;
    return true;
}

static Flotilla__GroupInfo *add_info(struct list_call *call)
{
    Flotilla__GroupInfo *to = request_array(call->request, 1, sizeof(*to));
    if (to == NULL || (call->count == call->capacity && !grow(call))) {
        call->too_many = true;
        return NULL;
    }
    return call->found[call->count++] = to;
}

static void list_group(void *data, const struct group_info *info)
{
    struct list_call *call = data;
    Flotilla__GroupInfo *to = add_info(call);
    if (to != NULL)
        fill_info(call->request, info, to);
}

static const char *state_of_classic(enum classic_state state)
{
    static const char *const names[] = {
        [CLASSIC_EMPTY] = "empty",
        [CLASSIC_PREPARING] = "preparing-rebalance",
        [CLASSIC_COMPLETING] = "completing-rebalance",
        [CLASSIC_STABLE] = "stable",
    };
    return names[state];
}

static void fill_classic(struct request *r, const struct classic_view *from, Flotilla__GroupInfo *to)
{
    flotilla__group_info__init(to);
    to->group = copy_text(r, from->group);
    to->state = (char *)(uintptr_t)state_of_classic(from->state);
    to->protocol = (char *)(uintptr_t) "classic";
    to->assignor = copy_text(r, from->protocol);
    to->epoch = from->generation;
    to->members = (uint32_t)from->member_count;
}

static void list_classic(void *data, const struct classic_view *view)
{
    struct list_call *call = data;
    Flotilla__GroupInfo *to = add_info(call);
    if (to != NULL)
        fill_classic(call->request, view, to);
}

static void list_partition(struct list_call *call, uint64_t group_id)
{
    uint32_t leader_id;
    int32_t epoch;
    struct partition *p = broker_partition(call->request->server->broker, group_id);
    if (p == NULL || partition_check_leader(p, &leader_id, &epoch) != 0)
        return;
    struct coordinator *c = coordinator_of(p);
    if (c == NULL)
        return;
    coordinator_each_group(c, list_group, call);
    classic_each(classic_coordinator_groups(coordinator_classic(c)), list_classic, call);
}

void native_list_groups(struct request *r, const ProtobufCMessage *message)
{
    (void)message;
    struct list_call call = {.request = r};
    const struct topic_meta *topic = metadata_topic(cluster_metadata(r->server->cluster), OFFSETS_TOPIC);
    for (uint32_t i = 0; topic != NULL && i < topic->partition_count; i++)
        list_partition(&call, topic->partitions[i].group_id);
    if (call.too_many) {
        request_fail(r, ERR_TOO_LARGE, NULL);
        return;
    }
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__ListGroupsResponse response = FLOTILLA__LIST_GROUPS_RESPONSE__INIT;
    response.status = &status;
    response.groups = call.found;
    response.n_groups = call.count;
    request_respond(r, &response.base);
}

/* ---- describe ---- */

struct describe_call {
    struct request *request;
    uint64_t group_id;
    struct read_index_req read_index;
};

struct described_member {
    Flotilla__GroupMember member;
    struct packed_partitions assigned, target;
};

static void describe_member(const struct coordinator *c, const char *group,
                            const struct consumer_member *from, struct described_member *to)
{
    Flotilla__GroupMember *m = &to->member;
    flotilla__group_member__init(m);
    m->member_id = from->id;
    m->instance_id = from->value->instance_id;
    m->client_id = from->value->client_id;
    m->host = from->value->host;
    m->rack = from->value->rack;
    m->epoch = from->share.epoch;
    m->topics = from->value->topics;
    m->n_topics = from->value->n_topics;
    m->pattern = from->value->pattern;
    partition_set_pack(&from->share.assigned, &to->assigned);
    partition_set_pack(&from->share.target, &to->target);
    m->assigned = to->assigned.pointers;
    m->n_assigned = to->assigned.count;
    m->target = to->target.pointers;
    m->n_target = to->target.count;
    m->heartbeat_age_ms = coordinator_heartbeat_age_ms(c, group, from->id);
}

/* On the heap, because the request's memory goes with its answer. */
struct described_members {
    struct described_member *items;
    Flotilla__GroupMember **pointers;
    size_t count;
};

static void describe_members(const struct coordinator *c, const struct group_info *info,
                             struct described_members *out)
{
    out->count = 0;
    out->items = memory_alloc((info->members + 1) * sizeof(out->items[0]));
    out->pointers = memory_alloc((info->members + 1) * sizeof(out->pointers[0]));
    const struct consumer_member *m = info->group != NULL ? info->group->members : NULL;
    for (; m != NULL; m = m->hh.next) {
        if (m->value == NULL)
            continue;
        struct described_member *to = &out->items[out->count];
        describe_member(c, info->name, m, to);
        out->pointers[out->count++] = &to->member;
    }
}

static void described_members_close(struct described_members *d)
{
    for (size_t i = 0; i < d->count; i++) {
        packed_partitions_close(&d->items[i].assigned);
        packed_partitions_close(&d->items[i].target);
    }
    free(d->items);
    free(d->pointers);
}

/* What a classic group's members own only they can read. */
static void describe_classic(const struct classic_view *view, struct described_members *out)
{
    out->count = 0;
    out->items = memory_zalloc((view->member_count + 1) * sizeof(out->items[0]));
    out->pointers = memory_alloc((view->member_count + 1) * sizeof(out->pointers[0]));
    for (size_t i = 0; i < view->member_count; i++) {
        const struct classic_view_member *from = &view->members[i];
        Flotilla__GroupMember *to = &out->items[out->count].member;
        flotilla__group_member__init(to);
        to->member_id = (char *)(uintptr_t)from->member_id;
        if (from->instance_id != NULL)
            to->instance_id = (char *)(uintptr_t)from->instance_id;
        to->client_id = (char *)(uintptr_t)from->client_id;
        to->host = (char *)(uintptr_t)from->client_host;
        to->epoch = view->generation;
        out->pointers[out->count++] = to;
    }
}

/* Closes `members`. */
static void respond(struct request *r, struct partition *p, Flotilla__GroupInfo *group,
                    struct described_members *members)
{
    struct offset_list offsets = {.request = r};
    (void)offsets_each(p, group->group, NULL, offset_list_add, &offsets);
    if (offsets.too_many) {
        request_fail(r, ERR_TOO_LARGE, NULL);
        described_members_close(members);
        return;
    }
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__DescribeGroupResponse response = FLOTILLA__DESCRIBE_GROUP_RESPONSE__INIT;
    response.status = &status;
    response.info = group;
    response.members = members->pointers;
    response.n_members = members->count;
    response.offsets = offsets.items;
    response.n_offsets = offsets.count;
    request_respond(r, &response.base);
    described_members_close(members);
}

static int describe_group(struct request *r, struct partition *p, const char *name)
{
    struct coordinator *c = coordinator_of(p);
    struct group_info info;
    struct classic_view view;
    Flotilla__GroupInfo group;
    struct described_members members;
    bool known = coordinator_find_group(c, name, &info);
    if (info.members == 0 && classic_look(classic_coordinator_groups(coordinator_classic(c)), name, &view)) {
        fill_classic(r, &view, &group);
        describe_classic(&view, &members);
        respond(r, p, &group, &members);
        classic_view_close(&view);
        return 0;
    }
    if (!known)
        return ERR_UNKNOWN_GROUP;
    fill_info(r, &info, &group);
    describe_members(c, &info, &members);
    respond(r, p, &group, &members);
    return 0;
}

static void on_confirmed(struct read_index_req *req, int status)
{
    struct describe_call *call = req->data;
    struct request *r = call->request;
    const Flotilla__DescribeGroupRequest *m = (const Flotilla__DescribeGroupRequest *)r->message;
    struct partition *p = broker_partition(r->server->broker, call->group_id);
    uint64_t group_id = call->group_id;
    if (status == 0 && (p == NULL || coordinator_of(p) == NULL))
        status = ERR_NOT_LEADER;
    if (status == 0)
        status = describe_group(r, p, m->group);
    if (status != 0)
        lookup_fail(r, status, NULL, group_id);
}

void native_describe_group(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__DescribeGroupRequest *m = (const Flotilla__DescribeGroupRequest *)message;
    struct partition *p = lookup_coordinator(r, m->group);
    if (p == NULL)
        return;
    struct describe_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(p);
    call->read_index.data = call;
    int rv = group_read_index(partition_group(p), &call->read_index, on_confirmed);
    if (rv != 0)
        lookup_fail(r, rv, NULL, call->group_id);
}

/* ---- delete ---- */

struct delete_call {
    struct request *request;
    uint64_t group_id;
    struct group_forget_req forget;
};

static void on_forgotten(struct group_forget_req *req, int status)
{
    struct delete_call *call = req->data;
    lookup_fail(call->request, status, NULL, call->group_id);
}

static void delete_group(struct request *r, const Flotilla__DeleteGroupRequest *m,
                         const struct partition_set *offsets)
{
    struct partition *p = native_coordinator(r, m->group);
    if (p == NULL)
        return;
    struct delete_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(p);
    call->forget.data = call;
    coordinator_forget(coordinator_of(p), m->group, m->n_offsets > 0 ? offsets : NULL, &call->forget,
                       on_forgotten);
}

void native_delete_group(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__DeleteGroupRequest *m = (const Flotilla__DeleteGroupRequest *)message;
    struct partition_set offsets = {0};
    if (partition_set_unpack(m->offsets, m->n_offsets, &offsets) == 0)
        delete_group(r, m, &offsets);
    else
        request_fail(r, ERR_INVALID_ARGUMENT, "offsets need a topic id of 16 bytes");
    partition_set_close(&offsets);
}
