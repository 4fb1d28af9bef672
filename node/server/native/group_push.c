/* What coordinators have to say: pushes of assignments, and answers to members that had to wait for the log.
 */
#include "node/base/memory.h"
#include "node/server/native/groups.h"
#include "node/server/native/lookup.h"
#include "node/server/native/subscription.h"
#include "proto/error.h"

bool native_push_assignment(void *data, struct engine_connection *connection, const struct engine_push *push)
{
    (void)data;
    struct native_connection *c = container_of(connection, struct native_connection, members);
    if (!native_is_open(c) || c->base.unsent_bytes > PUSH_WINDOW_BYTES)
        return false;
    Flotilla__Status status = status_make(push->status, push->message);
    Flotilla__GroupAssignment message = FLOTILLA__GROUP_ASSIGNMENT__INIT;
    struct packed_partitions assigned = {0};
    if (push->assigned != NULL)
        partition_set_pack(push->assigned, &assigned);
    message.status = &status;
    message.group = (char *)(uintptr_t)push->group;
    message.member_id = (char *)(uintptr_t)push->member_id;
    message.member_epoch = push->epoch;
    message.assigned = assigned.pointers;
    message.n_assigned = assigned.count;
    message.stable = push->stable;
    native_send(c, FRAME_GROUP_ASSIGNMENT, 0, 0, &message.base, NULL, 0);
    packed_partitions_close(&assigned);
    return true;
}

static void answer_join(struct request *r, int64_t epoch)
{
    const Flotilla__JoinGroupRequest *m = (const Flotilla__JoinGroupRequest *)r->message;
    const struct node_config *config = r->server->config;
    uint64_t session_ms =
        m->session_timeout_ms > 0 ? m->session_timeout_ms : config->group_session_timeout_ms;
    uint64_t interval_ms =
        config->group_heartbeat_ms < session_ms / 3 ? config->group_heartbeat_ms : session_ms / 3;
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__JoinGroupResponse response = FLOTILLA__JOIN_GROUP_RESPONSE__INIT;
    response.status = &status;
    response.member_epoch = epoch;
    response.heartbeat_interval_ms = (uint32_t)(interval_ms > 0 ? interval_ms : 1);
    request_respond(r, &response.base);
}

void native_answer_member(void *data, void *request, int status, const char *message, int64_t epoch)
{
    (void)data;
    struct request *r = request;
    const struct group_call *call = r->state;
    if (status == 0 && r->type == FRAME_JOIN_GROUP)
        answer_join(r, epoch);
    else
        lookup_fail(r, status, message, call->group_id);
}
