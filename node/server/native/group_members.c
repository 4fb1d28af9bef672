/* Members of groups: joining, telling that they live and what they own, leaving. */
#include "node/base/memory.h"
#include "node/group/assignor.h"
#include "node/server/native/dispatch.h"
#include "node/server/native/groups.h"
#include "node/server/native/lookup.h"
#include "proto/error.h"
#include <stdio.h>
#include <string.h>

enum {
    TEXT_MAX = 255, /* bytes of an instance id or a rack */
    SUBSCRIPTION_TOPICS_MAX = 1000,
    SUBSCRIPTION_BYTES_MAX = 64 * 1024,
    TIMEOUT_MIN_MS = 100,
    TIMEOUT_MAX_MS = 60 * 60 * 1000,
};

struct partition *native_coordinator(struct request *r, const char *group)
{
    size_t size = strlen(group);
    if (size == 0 || size > GROUP_NAME_MAX) {
        request_fail(r, ERR_INVALID_GROUP, NULL);
        return NULL;
    }
    struct partition *p = lookup_coordinator(r, group);
    if (p == NULL)
        return NULL;
    if (coordinator_of(p) != NULL)
        return p;
    request_fail(r, ERR_COORDINATOR_LOADING, NULL);
    return NULL;
}

/* For requests that coordinators answer: native_answer_member. */
static struct coordinator *begin(struct request *r, const char *group)
{
    struct partition *p = native_coordinator(r, group);
    if (p == NULL)
        return NULL;
    struct group_call *call = request_state(r, sizeof(*call));
    call->group_id = partition_group_id(p);
    return coordinator_of(p);
}

/* ---- joining ---- */

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < '!' || *text > '~')
            return false;
    return true;
}

static const char *check_member_id(const char *id)
{
    size_t size = strlen(id);
    return size >= 1 && size <= GROUP_MEMBER_ID_MAX && is_printable(id)
               ? NULL
               : "member_id needs 1 to 64 printable characters";
}

static bool timeout_fits(uint32_t ms)
{
    return ms == 0 || (ms >= TIMEOUT_MIN_MS && ms <= TIMEOUT_MAX_MS);
}

static const char *check_subscription(const Flotilla__JoinGroupRequest *m)
{
    size_t bytes = 0;
    if (m->n_topics == 0 && m->pattern[0] == '\0')
        return "topics or a pattern must be given";
    if (m->n_topics > SUBSCRIPTION_TOPICS_MAX || strlen(m->pattern) > TOPIC_NAME_MAX)
        return "a member subscribes to at most 1000 topics, and a pattern of at most 249 bytes";
    for (size_t i = 0; i < m->n_topics; i++) {
        if (topic_name_check(m->topics[i]) != 0)
            return "a topic's name is invalid";
        bytes += strlen(m->topics[i]);
    }
    return bytes <= SUBSCRIPTION_BYTES_MAX ? NULL : "the names of the topics are over 64 KiB together";
}

static const char *check_join(const Flotilla__JoinGroupRequest *m)
{
    const char *wrong = check_member_id(m->member_id);
    if (wrong == NULL)
        wrong = check_subscription(m);
    if (wrong != NULL)
        return wrong;
    if (m->member_epoch < 0)
        return "member_epoch is negative";
    if (strlen(m->instance_id) > TEXT_MAX || strlen(m->rack) > TEXT_MAX)
        return "instance_id and rack have at most 255 bytes";
    if (assignor_find(m->assignor) == NULL)
        return "assignor must be sticky, range or round-robin";
    if (!timeout_fits(m->session_timeout_ms) || !timeout_fits(m->grace_ms) ||
        !timeout_fits(m->revocation_timeout_ms))
        return "timeouts are 100 ms to one hour; 0: the node's default";
    return NULL;
}

/* A copy on the heap: it outlives the request, as the log's. */
static Flotilla__MemberValue *describe(const struct request *r, const Flotilla__JoinGroupRequest *m)
{
    char host[128];
    snprintf(host, sizeof(host), "%s", env_stream_peer(r->connection->base.stream));
    char *port = strrchr(host, ':');
    if (port != NULL)
        *port = '\0';
    Flotilla__MemberValue value = FLOTILLA__MEMBER_VALUE__INIT;
    value.instance_id = m->instance_id;
    value.client_id = r->connection->client_id;
    value.host = host;
    value.rack = m->rack;
    value.topics = m->topics;
    value.n_topics = m->n_topics;
    value.pattern = m->pattern;
    value.assignor = m->assignor;
    value.session_timeout_ms = m->session_timeout_ms;
    value.grace_ms = m->grace_ms;
    value.revocation_timeout_ms = m->revocation_timeout_ms;
    struct bytes packed;
    bytes_init(&packed);
    size_t size = flotilla__member_value__get_packed_size(&value);
    flotilla__member_value__pack(&value, bytes_extend(&packed, size));
    Flotilla__MemberValue *copy = flotilla__member_value__unpack(NULL, size, packed.data);
    bytes_close(&packed);
    return copy;
}

void native_join_group(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__JoinGroupRequest *m = (const Flotilla__JoinGroupRequest *)message;
    struct engine_join join = {
        .group = m->group, .member_id = m->member_id, .epoch = m->member_epoch, .request = r};
    const char *wrong = check_join(m);
    if (wrong == NULL && partition_set_unpack(m->owned, m->n_owned, &join.owned) != 0)
        wrong = "owned partitions need a topic id of 16 bytes";
    if (wrong != NULL) {
        partition_set_close(&join.owned);
        request_fail(r, ERR_INVALID_ARGUMENT, wrong);
        return;
    }
    struct coordinator *c = begin(r, m->group);
    if (c != NULL) {
        join.value = describe(r, m);
        join.connection = &r->connection->members;
    }
    if (c != NULL && join.value != NULL)
        coordinator_join(c, &join);
    else if (c != NULL)
        request_fail(r, ERR_INVALID_ARGUMENT, "a text is not UTF-8");
    partition_set_close(&join.owned);
}

/* ---- heartbeats ---- */

void native_group_heartbeat(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__GroupHeartbeatRequest *m = (const Flotilla__GroupHeartbeatRequest *)message;
    struct partition_set owned = {0};
    if (partition_set_unpack(m->owned, m->n_owned, &owned) != 0) {
        partition_set_close(&owned);
        request_fail(r, ERR_INVALID_ARGUMENT, "owned partitions need a topic id of 16 bytes");
        return;
    }
    struct coordinator *c = begin(r, m->group);
    if (c != NULL) {
        int status = coordinator_heartbeat(c, m->group, m->member_id, m->member_epoch,
                                           m->reports_owned ? &owned : NULL);
        request_fail(r, status, NULL);
    }
    partition_set_close(&owned);
}

/* ---- leaving ---- */

void native_leave_group(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__LeaveGroupRequest *m = (const Flotilla__LeaveGroupRequest *)message;
    if (m->member_id[0] == '\0' && m->instance_id[0] == '\0') {
        request_fail(r, ERR_INVALID_ARGUMENT, "member_id or instance_id must be given");
        return;
    }
    struct coordinator *c = begin(r, m->group);
    if (c != NULL)
        coordinator_leave(c, m->group, m->member_id, m->instance_id, r);
}
