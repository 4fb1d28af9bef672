/* Consumer groups over the native protocol: group_members.c for members, groups.c for operators, group_push.c
 * for what coordinators have to say. Internal to this room. */
#ifndef SERVER_NATIVE_GROUPS_H
#define SERVER_NATIVE_GROUPS_H

#include "node/group/coordinator.h"
#include "node/server/native/request.h"

/* What a member's request keeps until it is answered. */
struct group_call {
    uint64_t group_id; /* of the coordinator's partition */
};

/* Effects of the coordinators (struct groups_options). */
bool native_push_assignment(void *data, struct engine_connection *c, const struct engine_push *push);
void native_answer_member(void *data, void *request, int status, const char *message, int64_t epoch);

/* The partition whose coordinator on this node (coordinator_of, never NULL) is the group's; NULL: the request
 * has been dealt with. */
struct partition *native_coordinator(struct request *r, const char *group);

/* Committed offsets for an answer, in the request's arena. */
struct offset_list {
    struct request *request;
    Flotilla__CommitOffset **items;
    size_t count, capacity;
    bool too_many; /* for the arena */
};
void offset_list_add(void *list, const struct offset_commit *commit);

#endif
