/* DescribeCluster: the nodes and who of them is the controller. */
#include "node/server/kafka/cluster_view.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"

enum { ENDPOINT_BROKERS = 1, ENDPOINT_CONTROLLERS = 2 };

struct listing {
    const struct kafka_request *request;
    bool with_fenced;
    struct kafka_describe_cluster_response *response;
};

static void add_node(void *data, const struct node_meta *node)
{
    struct listing *l = data;
    bool alive = cluster_node_alive(l->request->server->cluster, node->id);
    if (node->kafka_port == 0 || (!alive && !l->with_fenced))
        return;
    struct kafka_describe_cluster_response_broker *broker =
        &l->response->brokers.items[l->response->brokers.count++];
    broker->broker_id = (int32_t)node->id;
    broker->host = kafka_node_host(l->request, node);
    broker->port = node->kafka_port;
    broker->is_fenced = !alive;
    if (node->rack != NULL && node->rack[0] != '\0')
        broker->rack = kafka_string_of(node->rack);
}

static bool fill(struct kafka_request *r, struct kafka_describe_cluster_response *response)
{
    const struct kafka_describe_cluster_request *m = r->message;
    const struct metadata *tables = cluster_metadata(r->server->cluster);
    struct listing listing = {r, m->include_fenced_brokers, response};
    response->brokers.items =
        KAFKA_NEW(&r->arena, describe_cluster_response_broker, metadata_node_count(tables));
    if (response->brokers.items == NULL)
        return false;
    metadata_each_node(tables, add_node, &listing);
    response->cluster_id = kafka_string_of(cluster_id(r->server->cluster));
    response->controller_id = kafka_controller_id(r->server);
    return true;
}

void kafka_describe_cluster(struct kafka_request *r)
{
    const struct kafka_describe_cluster_request *m = r->message;
    struct kafka_describe_cluster_response response = kafka_describe_cluster_response_default;
    response.endpoint_type = m->endpoint_type;
    if (m->endpoint_type != ENDPOINT_BROKERS) {
        bool known = m->endpoint_type == ENDPOINT_CONTROLLERS;
        response.error_code =
            known ? KAFKA_ERR_MISMATCHED_ENDPOINT_TYPE : KAFKA_ERR_UNSUPPORTED_ENDPOINT_TYPE;
        response.error_message = kafka_string_of("this port is that of brokers");
    } else if (!fill(r, &response)) {
        kafka_refuse_too_large(r);
        return;
    }
    kafka_respond(r, &response);
}
