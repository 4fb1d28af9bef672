/* What the controller does without being asked: nodes of the static list into the tables, so that they appear
 * before they have come up for the first time, and the topic for committed offsets. */
#include "node/cluster/controller_request.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>

enum { OFFSETS_REPLICAS = 3 };
/* How long a new cluster waits for all its nodes before it places __consumer_offsets over those that are
 * there. */
static const uint64_t gather_ns = UINT64_C(5000) * NS_PER_MS;

struct duty {
    struct group0_proposal proposal;
    struct cluster *cluster;
    bool *under_way;
};

static void on_done(struct group0_proposal *p, int status)
{
    struct duty *duty = p->data;
    struct cluster *c = duty->cluster;
    *duty->under_way = false;
    if (status == 0 && p->result != 0) {
        LOG(c->logger, LOG_WARN, "a command of the controller's own was refused", "error=%s",
            error_name(p->result));
    }
    free(duty);
    cluster_wake(c);
}

static void propose(struct cluster *c, const Flotilla__MetadataCommand *command, bool *under_way)
{
    struct duty *duty = memory_zalloc(sizeof *duty);
    duty->cluster = c;
    duty->under_way = under_way;
    duty->proposal.data = duty;
    if (group0_propose(&c->group0, &duty->proposal, command, on_done) == 0) {
        *under_way = true;
    } else {
        free(duty);
    }
}

static void register_peer(struct cluster *c, const struct peer_state *peer)
{
    char address[300];
    Flotilla__NodeRecord node = FLOTILLA__NODE_RECORD__INIT;
    Flotilla__RegisterNode body = FLOTILLA__REGISTER_NODE__INIT;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    (void)snprintf(address, sizeof address, "%s:%u", peer->host, peer->port);
    node.id = peer->id;
    node.peer_address = address;
    body.node = &node;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_REGISTER_NODE;
    command.register_node = &body;
    propose(c, &command, &c->controller.is_registering);
}

/* One at a time; true when all are known. */
static bool register_peers(struct cluster *c)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        if (metadata_node(c->group0.metadata, c->peers[i].id) == NULL) {
            if (!c->controller.is_registering) {
                register_peer(c, &c->peers[i]);
            }
            return false;
        }
    }
    return true;
}

static bool all_alive(const struct cluster *c)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        if (!cluster_node_alive(c, c->peers[i].id)) {
            return false;
        }
    }
    return true;
}

static void create_offsets_topic(struct cluster *c)
{
    struct controller *controller = &c->controller;
    if (controller->is_creating_offsets || controller->is_placing ||
        metadata_topic(c->group0.metadata, OFFSETS_TOPIC) != NULL) {
        return;
    }
    if (!all_alive(c) && env_now_ns(c->env) - controller->since_ns < gather_ns) {
        return;
    }
    struct plan plan = {0};
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    if (plan_internal_topic(c, OFFSETS_TOPIC, c->options.offsets_partitions, OFFSETS_REPLICAS, &plan,
                            &command) == 0) {
        propose(c, &command, &controller->is_creating_offsets);
    }
    plan_free(&plan);
}

void controller_step(struct cluster *c)
{
    struct controller *controller = &c->controller;
    if (!c->group0.is_ready) {
        controller->since_ns = 0;
        return;
    }
    if (controller->since_ns == 0) {
        controller->since_ns = env_now_ns(c->env);
    }
    if (register_peers(c)) {
        create_offsets_topic(c);
    }
    controller_place_next(c);
}
