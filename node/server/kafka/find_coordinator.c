/* FindCoordinator: who leads the partitions in which groups are kept. */
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/leader_wait.h"
#include "node/server/kafka/lookup.h"

enum {
    KEY_GROUP = 0,
    OLDEST_WITH_BATCH = 4,
    AWAIT_MAX = 100, /* groups: for more, an election is not waited out */
};

static void find(struct kafka_request *r, struct kafka_string key, int8_t key_type,
                 struct kafka_find_coordinator_response_coordinator *c)
{
    const struct metadata *tables = cluster_metadata(r->server->cluster);
    const char *group = kafka_request_text(r, key);
    c->key = key;
    c->node_id = c->port = -1;
    if (key_type != KEY_GROUP) {
        c->error_code = KAFKA_ERR_INVALID_REQUEST;
        c->error_message = kafka_string_of("transactions are not supported");
        return;
    }
    if (group == NULL || group[0] == '\0') {
        c->error_code = KAFKA_ERR_INVALID_GROUP_ID;
        return;
    }
    const struct node_meta *node = metadata_node(tables, kafka_coordinator_of(r->server, group));
    if (node == NULL || node->kafka_port == 0 || !cluster_node_alive(r->server->cluster, node->id)) {
        c->error_code = KAFKA_ERR_COORDINATOR_NOT_AVAILABLE;
        return;
    }
    c->node_id = (int32_t)node->id;
    c->host = kafka_node_host(r, node);
    c->port = node->kafka_port;
}

static void answer_one(struct kafka_request *r, const struct kafka_find_coordinator_request *m)
{
    struct kafka_find_coordinator_response_coordinator c =
        kafka_find_coordinator_response_coordinator_default;
    struct kafka_find_coordinator_response response = kafka_find_coordinator_response_default;
    find(r, m->key, m->key_type, &c);
    response.error_code = c.error_code;
    response.error_message = c.error_message;
    response.node_id = c.node_id;
    response.host = c.host;
    response.port = c.port;
    kafka_respond(r, &response);
}

static void answer_all(struct kafka_request *r, const struct kafka_find_coordinator_request *m)
{
    struct kafka_find_coordinator_response response = kafka_find_coordinator_response_default;
    response.coordinators.items =
        KAFKA_NEW(&r->arena, find_coordinator_response_coordinator, (size_t)m->coordinator_keys.count);
    if (response.coordinators.items == NULL) {
        kafka_refuse_too_large(r);
        return;
    }
    response.coordinators.count = m->coordinator_keys.count;
    for (int32_t i = 0; i < m->coordinator_keys.count; i++)
        find(r, m->coordinator_keys.items[i], m->key_type, &response.coordinators.items[i]);
    kafka_respond(r, &response);
}

static void answer(struct kafka_request *r)
{
    if (r->header.api_version < OLDEST_WITH_BATCH)
        answer_one(r, r->message);
    else
        answer_all(r, r->message);
}

static bool is_led(struct kafka_request *r, struct kafka_string key, uint64_t *group_id)
{
    const char *group = kafka_request_text(r, key);
    *group_id = group != NULL ? kafka_coordinator_partition(r->server, group) : 0;
    return *group_id == 0 || kafka_is_led(r->server, *group_id);
}

static bool settled(struct kafka_request *r, uint64_t *group_id)
{
    const struct kafka_find_coordinator_request *m = r->message;
    if (m->key_type != KEY_GROUP)
        return true;
    if (r->header.api_version < OLDEST_WITH_BATCH)
        return is_led(r, m->key, group_id);
    for (int32_t i = 0; i < m->coordinator_keys.count && m->coordinator_keys.count <= AWAIT_MAX; i++)
        if (!is_led(r, m->coordinator_keys.items[i], group_id))
            return false;
    return true;
}

void kafka_find_coordinator(struct kafka_request *r)
{
    kafka_request_state(r, sizeof(struct leader_wait));
    kafka_await_leaders(r, settled, answer);
}
