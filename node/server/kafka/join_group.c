/* JoinGroup: parked at the coordinator until the group has its next generation. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"
#include <string.h>

enum { OLDEST_WITH_MEMBER_ID = 4, OLDEST_WITH_NULL_PROTOCOL = 7, OLDEST_WITH_SKIPPING = 9, HOST_SIZE = 64 };

static struct kafka_bytes bytes_of(struct classic_bytes b)
{
    return (struct kafka_bytes){b.data, (int32_t)b.size};
}

static bool fill_members(struct kafka_request *r, const struct classic_joined *answer,
                         struct kafka_join_group_response *response)
{
    response->members.items = KAFKA_NEW(&r->arena, join_group_response_member, answer->member_count);
    if (response->members.items == NULL)
        return false;
    response->members.count = (int32_t)answer->member_count;
    for (size_t i = 0; i < answer->member_count; i++) {
        struct kafka_join_group_response_member *m = &response->members.items[i];
        m->member_id = kafka_string_of(answer->members[i].member_id);
        m->group_instance_id = kafka_string_of(answer->members[i].instance_id);
        m->metadata = bytes_of(answer->members[i].subscription);
    }
    return true;
}

void kafka_answer_join(void *data, void *request, const struct classic_joined *answer)
{
    struct kafka_request *r = request;
    struct kafka_join_group_response response = kafka_join_group_response_default;
    (void)data;
    response.error_code = answer->error;
    response.generation_id = answer->generation;
    response.protocol_type = kafka_string_of(answer->protocol_type);
    bool null_protocol = answer->protocol[0] == '\0' && r->header.api_version >= OLDEST_WITH_NULL_PROTOCOL;
    response.protocol_name = kafka_string_of(null_protocol ? NULL : answer->protocol);
    response.leader = kafka_string_of(answer->leader);
    response.member_id = kafka_string_of(answer->member_id);
    response.skip_assignment = answer->skip_assignment;
    if (fill_members(r, answer, &response))
        kafka_respond(r, &response);
    else
        kafka_refuse_too_large(r);
}

static void turn_away(struct kafka_request *r, int16_t error)
{
    const struct kafka_join_group_request *m = r->message;
    struct kafka_join_group_response response = kafka_join_group_response_default;
    response.error_code = error;
    response.member_id = m->member_id;
    kafka_respond(r, &response);
}

static bool take_protocols(struct kafka_request *r, const struct kafka_join_group_request *m,
                           struct classic_join *join)
{
    size_t count = m->protocols.count > 0 ? (size_t)m->protocols.count : 0;
    struct classic_protocol *protocols = arena_alloc(&r->arena, (count + 1) * sizeof(*protocols));
    if (protocols == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct kafka_join_group_request_protocol *p = &m->protocols.items[i];
        protocols[i].name = kafka_request_text(r, p->name);
        protocols[i].metadata = (struct classic_bytes){p->metadata.data, (size_t)p->metadata.size};
        if (protocols[i].name == NULL || p->metadata.size < 0)
            return false;
    }
    join->protocols = protocols;
    join->protocol_count = count;
    return true;
}

/* "/10.0.0.7", as Kafka's tools show it. */
static const char *host_of(struct kafka_request *r)
{
    const char *peer = env_stream_peer(r->connection->base.stream);
    const char *colon = strrchr(peer, ':');
    size_t size = colon != NULL ? (size_t)(colon - peer) : strlen(peer);
    char *host = arena_alloc(&r->arena, size + 2);
    if (host == NULL)
        return NULL;
    host[0] = '/';
    memcpy(host + 1, peer, size);
    host[size + 1] = '\0';
    return host;
}

static bool take(struct kafka_request *r, const struct kafka_join_group_request *m, struct classic_join *join)
{
    struct kafka_member_texts texts;
    if (!kafka_member_texts(r, m->member_id, m->group_instance_id, &texts) || !take_protocols(r, m, join))
        return false;
    join->member_id = texts.member_id;
    join->instance_id = texts.instance_id;
    join->client_id = kafka_request_text(r, r->header.client_id);
    join->client_host = host_of(r);
    join->protocol_type = kafka_request_text(r, m->protocol_type);
    join->session_timeout_ms = m->session_timeout_ms;
    join->rebalance_timeout_ms = m->rebalance_timeout_ms;
    join->needs_member_id = r->header.api_version >= OLDEST_WITH_MEMBER_ID;
    join->may_skip_assignment = r->header.api_version >= OLDEST_WITH_SKIPPING;
    join->request = r;
    return join->client_id != NULL && join->client_host != NULL && join->protocol_type != NULL;
}

void kafka_join_group(struct kafka_request *r)
{
    const struct kafka_join_group_request *m = r->message;
    struct classic_join join = {0};
    struct kafka_group group;
    int16_t error = kafka_find_group(r, m->group_id, &group);
    if (error == KAFKA_ERR_NONE && !take(r, m, &join))
        error = KAFKA_ERR_INVALID_REQUEST;
    if (error != KAFKA_ERR_NONE) {
        turn_away(r, error);
        return;
    }
    join.group = group.name;
    kafka_await_group(r, &group, turn_away);
    classic_coordinator_join(coordinator_classic(group.coordinator), &join);
}
