/* The model's coordinator of groups: it does as the test says, and keeps what it was told. */
#include "tests/unit/client/helper_broker.h"
#include <stdio.h>
#include <string.h>

enum { HEARTBEAT_MS = 200 };

struct broker_member *broker_member_find(struct broker *b, const char *id)
{
    for (unsigned i = 0; i < b->member_count; i++)
        if (strcmp(b->members[i].id, id) == 0)
            return &b->members[i];
    return NULL;
}

static void push(struct broker *b, struct broker_member *member, int error)
{
    Flotilla__GroupAssignment m = FLOTILLA__GROUP_ASSIGNMENT__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    Flotilla__GroupPartitions list = FLOTILLA__GROUP_PARTITIONS__INIT;
    Flotilla__GroupPartitions *lists = &list;
    uint32_t numbers[BROKER_MAX_PARTITIONS];

    if (member->session == NULL)
        return;
    list.topic_id.data = b->topic_id;
    list.topic_id.len = 16;
    list.partitions = numbers;
    for (uint32_t i = 0; i < b->partition_count; i++)
        if ((member->assigned >> i & 1) != 0)
            numbers[list.n_partitions++] = i;
    status.error = error;
    m.status = &status;
    m.group = "g1";
    m.member_id = member->id;
    m.member_epoch = member->epoch;
    m.assigned = &lists;
    m.n_assigned = list.n_partitions > 0;
    m.stable = member->owned == member->assigned;
    broker_session_send(member->session, FRAME_GROUP_ASSIGNMENT, 0, 0, &m.base, NULL, 0);
}

uint32_t broker_member_holds(const struct broker_member *member)
{
    return member->assigned | member->owned | member->revoking;
}

void broker_member_push(struct broker *b, struct broker_member *member, uint32_t assigned)
{
    member->revoking |= member->assigned & ~assigned;
    member->assigned = assigned;
    member->epoch++;
    push(b, member, 0);
}

void broker_member_fence(struct broker *b, struct broker_member *member, int error)
{
    member->is_known = error == ERR_NOT_LEADER;
    push(b, member, error);
}

static uint32_t owned_bits(Flotilla__GroupPartitions *const *lists, size_t count)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < lists[i]->n_partitions; j++)
            bits |= 1u << lists[i]->partitions[j];
    return bits;
}

static void answer(struct broker_session *s, const struct frame_head *head, const ProtobufCMessage *m)
{
    broker_session_send(s, head->type, FRAME_RESPONSE, head->correlation, m, NULL, 0);
}

static int take_error(int *error)
{
    int taken = *error;

    *error = 0;
    return taken;
}

static struct broker_member *member_get(struct broker *b, const Flotilla__JoinGroupRequest *request)
{
    struct broker_member *member = broker_member_find(b, request->member_id);

    if (member == NULL) {
        member = &b->members[b->member_count++ % BROKER_MEMBERS];
        memset(member, 0, sizeof(*member));
        snprintf(member->id, sizeof(member->id), "%s", request->member_id);
    }
    return member;
}

static void on_join(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__JoinGroupRequest *request =
        flotilla__join_group_request__unpack(NULL, head->header_length, data);
    Flotilla__JoinGroupResponse m = FLOTILLA__JOIN_GROUP_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    struct broker_member *member = NULL;

    m.status = &status;
    if (broker_check_leader(s, &s->broker->offsets, &status))
        status.error = take_error(&s->broker->refuse_join);
    if (status.error == 0) {
        member = member_get(s->broker, request);
        if (request->member_epoch > 0 && !member->is_known)
            status.error = ERR_UNKNOWN_MEMBER;
    }
    if (status.error == 0) {
        member->is_known = true;
        member->session = s;
        member->joins++;
        member->topics = request->n_topics;
        snprintf(member->pattern, sizeof(member->pattern), "%s", request->pattern);
        snprintf(member->instance_id, sizeof(member->instance_id), "%s", request->instance_id);
        member->owned = owned_bits(request->owned, request->n_owned);
        member->epoch++;
        if (request->member_epoch == 0)
            member->joined_epoch = member->epoch;
        m.member_epoch = member->epoch;
        m.heartbeat_interval_ms = HEARTBEAT_MS;
    }
    answer(s, head, &m.base);
    if (status.error == 0)
        push(s->broker, member, 0);
    flotilla__join_group_request__free_unpacked(request, NULL);
}

static void on_heartbeat(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__GroupHeartbeatRequest *request =
        flotilla__group_heartbeat_request__unpack(NULL, head->header_length, data);
    Flotilla__GroupHeartbeatResponse m = FLOTILLA__GROUP_HEARTBEAT_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    struct broker_member *member = broker_member_find(s->broker, request->member_id);

    m.status = &status;
    if (broker_check_leader(s, &s->broker->offsets, &status))
        status.error = take_error(&s->broker->refuse_heartbeat);
    if (status.error == 0 && (member == NULL || !member->is_known))
        status.error = ERR_UNKNOWN_MEMBER;
    if (status.error == 0) {
        member->heartbeats++;
        member->told_epoch = request->member_epoch;
        if (request->reports_owned) {
            member->owned = owned_bits(request->owned, request->n_owned);
            if (member->told_epoch >= member->epoch)
                member->revoking = 0;
        }
    }
    answer(s, head, &m.base);
    flotilla__group_heartbeat_request__free_unpacked(request, NULL);
}

static void on_leave(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__LeaveGroupRequest *request =
        flotilla__leave_group_request__unpack(NULL, head->header_length, data);
    Flotilla__LeaveGroupResponse m = FLOTILLA__LEAVE_GROUP_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    struct broker_member *member = broker_member_find(s->broker, request->member_id);

    m.status = &status;
    if (broker_check_leader(s, &s->broker->offsets, &status) && (member == NULL || !member->is_known))
        status.error = ERR_UNKNOWN_MEMBER;
    if (status.error == 0) {
        member->leaves++;
        member->is_known = false;
        member->assigned = member->owned = member->revoking = 0;
    }
    answer(s, head, &m.base);
    flotilla__leave_group_request__free_unpacked(request, NULL);
}

bool broker_group_frame(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    switch (head->type) {
    case FRAME_JOIN_GROUP:
        on_join(s, head, data);
        return true;
    case FRAME_GROUP_HEARTBEAT:
        on_heartbeat(s, head, data);
        return true;
    case FRAME_LEAVE_GROUP:
        on_leave(s, head, data);
        return true;
    default:
        return false;
    }
}
