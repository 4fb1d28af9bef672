/* Keeps this node's record in the tables as it is: addresses, ports, rack, software. */
#include "node/cluster/internal.h"
#include "proto/error.h"
#include <string.h>

static const uint64_t refused_pause_ns = UINT64_C(5000) * NS_PER_MS;

static bool is_registered(const struct cluster *c)
{
    const struct node_meta *self = &c->self;
    const struct node_meta *node = metadata_node(c->group0.metadata, self->id);
    return node != NULL && strcmp(node->peer_address, self->peer_address) == 0 &&
           strcmp(node->client_host, self->client_host) == 0 && strcmp(node->rack, self->rack) == 0 &&
           strcmp(node->software, self->software) == 0 && node->client_port == self->client_port &&
           node->kafka_port == self->kafka_port && node->http_port == self->http_port;
}

static void on_answer(void *data, int status, const Flotilla__ControllerAnswer *answer, bool uncertain)
{
    (void)uncertain;
    struct cluster *c = data;
    c->membership.is_registering = false;
    if (status == 0 && answer->error == 0) {
        c->membership.version = answer->version;
        return;
    }
    int error = status != 0 ? status : answer->error;
    char reason[256];
    c->membership.not_before_ns = env_now_ns(c->env) + refused_pause_ns;
    if (error != ERR_SHUTTING_DOWN) {
        LOG(c->logger, LOG_WARN, "cannot register this node, will try again", "error=%s reason=%s",
            error_name(error),
            logger_quote(reason, sizeof reason, status == 0 ? answer->message : error_text(error)));
    }
}

void membership_step(struct cluster *c)
{
    if (c->membership.is_registering || cluster_controller(c) == 0 || is_registered(c) ||
        metadata_version(c->group0.metadata) < c->membership.version ||
        env_now_ns(c->env) < c->membership.not_before_ns) {
        return;
    }
    Flotilla__ControllerRequest request = FLOTILLA__CONTROLLER_REQUEST__INIT;
    Flotilla__RegisterNode body = FLOTILLA__REGISTER_NODE__INIT;
    Flotilla__NodeRecord node = FLOTILLA__NODE_RECORD__INIT;
    node.id = c->self.id;
    node.peer_address = c->self.peer_address;
    node.client_host = c->self.client_host;
    node.client_port = c->self.client_port;
    node.kafka_port = c->self.kafka_port;
    node.http_port = c->self.http_port;
    node.rack = c->self.rack;
    node.software = c->self.software;
    body.node = &node;
    request.request_case = FLOTILLA__CONTROLLER_REQUEST__REQUEST_REGISTER_NODE;
    request.register_node = &body;
    c->membership.is_registering = true;
    request_send(c, &request, OPERATION_TIMEOUT_MS, on_answer, c);
}
