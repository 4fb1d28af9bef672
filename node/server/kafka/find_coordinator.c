#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"

enum { KEY_GROUP = 0, OLDEST_WITH_BATCH = 4 };

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

void kafka_find_coordinator(struct kafka_request *r)
{
    const struct kafka_find_coordinator_request *m = r->message;
    struct kafka_find_coordinator_response response = kafka_find_coordinator_response_default;
    if (r->header.api_version < OLDEST_WITH_BATCH) {
        answer_one(r, m);
        return;
    }
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
