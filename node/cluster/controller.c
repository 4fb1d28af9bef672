/* The controller's side of the operations: checks a request against the tables, decides what the tables
 * cannot (placement, group ids), proposes the command to group 0 and answers once it is applied. */
#include "node/cluster/controller_request.h"
#include "node/cluster/placement.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

static void finish(struct controller_request *r, int status)
{
    queue_remove(&r->node);
    if (status == 0) {
        r->answer(r->data, 0, &r->reply);
    } else {
        r->answer(r->data, status, NULL);
    }
    flotilla__controller_request__free_unpacked(r->request, NULL);
    free(r);
}

int controller_refuse(struct controller_request *r, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(r->message, sizeof r->message, format, arguments);
    va_end(arguments);
    r->reply.error = error;
    r->reply.message = r->message;
    return error;
}

/* ---- proposing ---- */

static bool needs_placement(const struct controller_request *r)
{
    return r->request->request_case == FLOTILLA__CONTROLLER_REQUEST__REQUEST_CREATE_TOPIC ||
           r->request->request_case == FLOTILLA__CONTROLLER_REQUEST__REQUEST_ALTER_TOPIC;
}

static void on_applied(struct group0_proposal *p, int status)
{
    struct controller_request *r = p->data;
    struct cluster *c = r->cluster;
    bool placed = needs_placement(r);
    r->reply.version = p->version;
    r->reply.first_producer_id = p->first_producer_id;
    if (status == 0 && p->result != 0) {
        (void)controller_refuse(r, p->result, "%s", error_text(p->result));
    } else if (status == 0 && r->summary[0] != '\0') {
        LOG(c->logger, LOG_INFO, "metadata changed", "%s", r->summary);
    }
    finish(r, status);
    if (placed) {
        c->controller.is_placing = false;
        controller_place_next(c);
    }
}

/* Returns whether the proposal is on its way; otherwise the request is finished. */
static bool propose(struct controller_request *r, const Flotilla__MetadataCommand *command)
{
    r->proposal.data = r;
    int rc = group0_propose(&r->cluster->group0, &r->proposal, command, on_applied);
    if (rc != 0) {
        finish(r, rc);
    }
    return rc == 0;
}

/* A request that was refused, or that needs no command: answers with what stands in the reply. */
static void answer_now(struct controller_request *r)
{
    r->reply.version = metadata_version(r->cluster->group0.metadata);
    finish(r, 0);
}

static bool propose_planned(struct controller_request *r)
{
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    bool is_create = r->request->request_case == FLOTILLA__CONTROLLER_REQUEST__REQUEST_CREATE_TOPIC;
    struct plan plan = {0};
    enum plan_result result = is_create ? plan_create(r, &plan, &command) : plan_alter(r, &plan, &command);
    bool proposed = false;
    if (result == PLAN_PROPOSE) {
        proposed = propose(r, &command);
    } else {
        answer_now(r);
    }
    plan_free(&plan);
    return proposed;
}

void controller_place_next(struct cluster *c)
{
    struct controller *controller = &c->controller;
    while (!controller->is_placing && !controller->is_creating_offsets &&
           !queue_empty(&controller->placing)) {
        struct controller_request *r =
            QUEUE_ENTRY(queue_first(&controller->placing), struct controller_request, node);
        queue_remove(&r->node);
        /* Set first: an answer may bring the next request from inside. */
        controller->is_placing = true;
        controller->is_placing = propose_planned(r);
    }
}

/* ---- the simple requests ---- */

static void serve_delete(struct controller_request *r)
{
    const char *name = r->request->delete_topic;
    const struct topic_meta *topic = metadata_topic(r->cluster->group0.metadata, name);
    if (topic == NULL) {
        (void)controller_refuse(r, ERR_UNKNOWN_TOPIC, "there is no topic %.249s", name);
        answer_now(r);
        return;
    }
    if (topic->internal) {
        (void)controller_refuse(r, ERR_INVALID_ARGUMENT, "%s is internal: committed offsets are kept in it",
                                name);
        answer_now(r);
        return;
    }
    (void)snprintf(r->summary, sizeof r->summary, "change=delete_topic topic=%s", topic->name);
    uint8_t id[TOPIC_ID_SIZE];
    memcpy(id, topic->id, sizeof id);
    Flotilla__DeleteTopic body = FLOTILLA__DELETE_TOPIC__INIT;
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    body.id = (ProtobufCBinaryData){sizeof id, id};
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_DELETE_TOPIC;
    command.delete_topic = &body;
    (void)propose(r, &command);
}

static void serve_drain(struct controller_request *r)
{
    Flotilla__DrainNode *body = r->request->drain_node;
    if (metadata_node(r->cluster->group0.metadata, body->node_id) == NULL) {
        (void)controller_refuse(r, ERR_NOT_FOUND, "there is no node %" PRIu32, body->node_id);
        answer_now(r);
        return;
    }
    (void)snprintf(r->summary, sizeof r->summary, "change=%s node_id=%" PRIu32,
                   body->draining ? "drain" : "undrain", body->node_id);
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_DRAIN_NODE;
    command.drain_node = body;
    (void)propose(r, &command);
}

static void serve_register(struct controller_request *r)
{
    Flotilla__RegisterNode *body = r->request->register_node;
    if (body->node == NULL || cluster_peer_state(r->cluster, body->node->id) == NULL) {
        (void)controller_refuse(r, ERR_NOT_FOUND, "the node is not in the controller's list of peers");
        answer_now(r);
        return;
    }
    (void)snprintf(r->summary, sizeof r->summary, "change=register node_id=%" PRIu32, body->node->id);
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_REGISTER_NODE;
    command.register_node = body;
    (void)propose(r, &command);
}

static void serve_allocate(struct controller_request *r)
{
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_ALLOCATE_PRODUCER_IDS;
    command.allocate_producer_ids = r->request->allocate_producer_ids;
    (void)propose(r, &command);
}

static void serve_delete_records(struct controller_request *r)
{
    Flotilla__DeleteRecords *body = r->request->delete_records;
    bool known = body->id.len == TOPIC_ID_SIZE &&
                 metadata_topic_by_id(r->cluster->group0.metadata, body->id.data) != NULL;
    if (!known) {
        (void)controller_refuse(r, ERR_UNKNOWN_TOPIC, "there is no such topic");
        answer_now(r);
        return;
    }
    Flotilla__MetadataCommand command = FLOTILLA__METADATA_COMMAND__INIT;
    command.command_case = FLOTILLA__METADATA_COMMAND__COMMAND_DELETE_RECORDS;
    command.delete_records = body;
    (void)propose(r, &command);
}

static void serve(struct controller_request *r)
{
    switch (r->request->request_case) {
    case FLOTILLA__CONTROLLER_REQUEST__REQUEST_CREATE_TOPIC:
    case FLOTILLA__CONTROLLER_REQUEST__REQUEST_ALTER_TOPIC:
        queue_push(&r->cluster->controller.placing, &r->node);
        controller_place_next(r->cluster);
        break;
    case FLOTILLA__CONTROLLER_REQUEST__REQUEST_DELETE_TOPIC:
        serve_delete(r);
        break;
    case FLOTILLA__CONTROLLER_REQUEST__REQUEST_DRAIN_NODE:
        serve_drain(r);
        break;
    case FLOTILLA__CONTROLLER_REQUEST__REQUEST_REGISTER_NODE:
        serve_register(r);
        break;
    case FLOTILLA__CONTROLLER_REQUEST__REQUEST_ALLOCATE_PRODUCER_IDS:
        serve_allocate(r);
        break;
    case FLOTILLA__CONTROLLER_REQUEST__REQUEST_DELETE_RECORDS:
        serve_delete_records(r);
        break;
    default:
        (void)controller_refuse(r, ERR_UNSUPPORTED,
                                "the controller does not know this request: it runs an older version");
        answer_now(r);
        break;
    }
}

void controller_serve(struct cluster *c, const void *request, size_t size, controller_answer_cb answer,
                      void *data)
{
    if (!c->group0.is_ready || c->phase != CLUSTER_RUNNING) {
        answer(data, ERR_NOT_LEADER, NULL);
        return;
    }
    Flotilla__ControllerRequest *unpacked = flotilla__controller_request__unpack(NULL, size, request);
    if (unpacked == NULL) {
        answer(data, ERR_PROTOCOL, NULL);
        return;
    }
    struct controller_request *r = memory_zalloc(sizeof *r);
    r->cluster = c;
    r->request = unpacked;
    r->answer = answer;
    r->data = data;
    flotilla__controller_answer__init(&r->reply);
    queue_init(&r->node);
    serve(r);
}

void controller_close(struct cluster *c)
{
    struct queue *placing = &c->controller.placing;
    while (!queue_empty(placing)) {
        finish(QUEUE_ENTRY(queue_first(placing), struct controller_request, node), ERR_NOT_LEADER);
    }
}

/* ---- requests of other nodes ---- */

struct ticket {
    struct consensus *consensus;
    uint64_t number;
};

static void answer_ticket(void *data, int status, const Flotilla__ControllerAnswer *answer)
{
    struct ticket *ticket = data;
    struct bytes packed;
    bytes_init(&packed);
    if (status == 0) {
        size_t size = flotilla__controller_answer__get_packed_size(answer);
        flotilla__controller_answer__pack(answer, bytes_extend(&packed, size));
    }
    consensus_forward_answer(ticket->consensus, ticket->number, status, packed.data, packed.size);
    bytes_close(&packed);
    free(ticket);
}

void cluster_forwarded(struct cluster *c, uint64_t ticket_number, uint16_t type, const void *header,
                       size_t size)
{
    if (type != FORWARD_CONTROLLER_REQUEST) {
        consensus_forward_answer(c->options.consensus, ticket_number, ERR_UNSUPPORTED, NULL, 0);
        return;
    }
    struct ticket *ticket = memory_alloc(sizeof *ticket);
    *ticket = (struct ticket){.consensus = c->options.consensus, .number = ticket_number};
    controller_serve(c, header, size, answer_ticket, ticket);
}
