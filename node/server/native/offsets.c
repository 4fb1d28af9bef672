/* Committed offsets of named groups, at the group's coordinator. */
#include "node/group/offsets.h"
#include "node/base/memory.h"
#include "node/server/native/dispatch.h"
#include "node/server/native/groups.h"
#include "node/server/native/lookup.h"
#include "proto/error.h"
#include <string.h>

/* ---- commit ---- */

struct commit_call {
    struct request *request;
    uint64_t group_id;
    struct offsets_commit_req commit;
};

static void on_committed(struct offsets_commit_req *req, int status)
{
    struct commit_call *call = req->data;
    lookup_fail(call->request, status, req->message, call->group_id);
}

static int unpack_commits(struct request *r, const Flotilla__CommitOffsetsRequest *m,
                          struct offset_commit **commits)
{
    *commits = request_array(r, m->n_offsets, sizeof(**commits));
    if (*commits == NULL)
        return ERR_TOO_LARGE;
    for (size_t i = 0; i < m->n_offsets; i++) {
        const Flotilla__CommitOffset *from = m->offsets[i];
        struct offset_commit *to = &(*commits)[i];
        if (from->topic_id.len != TOPIC_ID_SIZE || from->offset < 0)
            return ERR_INVALID_ARGUMENT;
        memcpy(to->topic_id, from->topic_id.data, TOPIC_ID_SIZE);
        to->partition = from->partition;
        to->offset = from->offset;
        to->leader_epoch = from->leader_epoch;
        to->metadata = from->metadata;
    }
    return 0;
}

void native_commit_offsets(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__CommitOffsetsRequest *m = (const Flotilla__CommitOffsetsRequest *)message;
    struct offset_commit *commits;
    int rv = unpack_commits(r, m, &commits);
    if (rv != 0) {
        request_fail(r, rv,
                     rv == ERR_TOO_LARGE
                         ? NULL
                         : "a committed offset needs a topic id of 16 bytes and an offset >= 0");
        return;
    }
    struct partition *coordinator = lookup_coordinator(r, m->group);
    if (coordinator == NULL)
        return;
    struct coordinator *c = coordinator_of(coordinator);
    if (c != NULL && classic_has_members(classic_coordinator_groups(coordinator_classic(c)), m->group)) {
        request_fail(r, ERR_GROUP_NOT_EMPTY, NULL); /* they commit by the Kafka protocol */
        return;
    }
    struct commit_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(coordinator);
    call->commit.data = call;
    offsets_commit_as(coordinator, &call->commit, m->group, m->member_id, m->member_epoch, commits,
                      m->n_offsets, on_committed);
}

/* ---- the list in an answer ---- */

static bool grow(struct offset_list *list)
{
    size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
    Flotilla__CommitOffset **items = request_array(list->request, capacity, sizeof(*items));
    if (items == NULL)
        return false;
    if (list->count > 0)
        memcpy(items, list->items, list->count * sizeof(*items));
    list->items = items;
    list->capacity = capacity;
    return true;
}

void offset_list_add(void *data, const struct offset_commit *commit)
{
    struct offset_list *list = data;
    struct arena *arena = &list->request->arena;
    Flotilla__CommitOffset *o = request_array(list->request, 1, sizeof(*o));
    void *id = request_array(list->request, 1, TOPIC_ID_SIZE);
    if (o == NULL || id == NULL || (list->count == list->capacity && !grow(list))) {
        list->too_many = true;
        return;
    }
    flotilla__commit_offset__init(o);
    memcpy(id, commit->topic_id, TOPIC_ID_SIZE);
    o->topic_id = (ProtobufCBinaryData){TOPIC_ID_SIZE, id};
    o->partition = commit->partition;
    o->offset = commit->offset;
    o->leader_epoch = commit->leader_epoch;
    o->commit_time_ms = commit->commit_time_ms;
    char *metadata =
        commit->metadata != NULL ? arena_strndup(arena, commit->metadata, strlen(commit->metadata)) : NULL;
    if (metadata != NULL)
        o->metadata = metadata;
    list->items[list->count++] = o;
}

/* ---- fetch ---- */

struct offsets_call {
    struct request *request;
    uint64_t group_id;
    const Flotilla__FetchOffsetsRequest *message; /* in the request's arena */
    struct read_index_req read_index;
};

static void answer_offsets(struct offsets_call *call, struct partition *coordinator)
{
    const Flotilla__FetchOffsetsRequest *m = call->message;
    const uint8_t *topic_id = m->topic_id.len == 0 ? NULL : m->topic_id.data;
    struct offset_list list = {.request = call->request};
    int rv = offsets_each(coordinator, m->group, topic_id, offset_list_add, &list);
    if (list.too_many)
        rv = ERR_TOO_LARGE;
    if (rv != 0) {
        lookup_fail(call->request, rv, NULL, call->group_id);
        return;
    }
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__FetchOffsetsResponse response = FLOTILLA__FETCH_OFFSETS_RESPONSE__INIT;
    response.status = &status;
    response.n_offsets = list.count;
    response.offsets = list.items;
    request_respond(call->request, &response.base);
}

static void on_leadership_confirmed(struct read_index_req *req, int status)
{
    struct offsets_call *call = req->data;
    struct partition *coordinator = broker_partition(call->request->server->broker, call->group_id);
    if (status == 0 && coordinator == NULL)
        status = ERR_NOT_LEADER;
    if (status != 0)
        lookup_fail(call->request, status, NULL, call->group_id);
    else
        answer_offsets(call, coordinator);
}

void native_fetch_offsets(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__FetchOffsetsRequest *m = (const Flotilla__FetchOffsetsRequest *)message;
    if (m->topic_id.len != 0 && m->topic_id.len != TOPIC_ID_SIZE) {
        request_fail(r, ERR_INVALID_ARGUMENT, "a topic id has 16 bytes");
        return;
    }
    struct partition *coordinator = lookup_coordinator(r, m->group);
    if (coordinator == NULL)
        return;
    struct offsets_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->group_id = partition_group_id(coordinator);
    call->message = m;
    call->read_index.data = call;
    int rv = group_read_index(partition_group(coordinator), &call->read_index, on_leadership_confirmed);
    if (rv != 0)
        lookup_fail(r, rv, NULL, call->group_id);
}
