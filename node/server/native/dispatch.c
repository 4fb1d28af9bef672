#include "node/server/native/dispatch.h"
#include "proto/error.h"
#include <stdio.h>

struct handler {
    const ProtobufCMessageDescriptor *request;
    void (*handle)(struct request *r, const ProtobufCMessage *message);
};

static const struct handler handlers[SERVER_REQUEST_TYPES] = {
    [FRAME_HELLO] = {&flotilla__hello_request__descriptor, native_hello},
    [FRAME_METADATA] = {&flotilla__metadata_request__descriptor, native_metadata},
    [FRAME_PRODUCE] = {&flotilla__produce_request__descriptor, native_produce},
    [FRAME_FETCH] = {&flotilla__fetch_request__descriptor, native_fetch},
    [FRAME_LIST_OFFSET] = {&flotilla__list_offset_request__descriptor, native_list_offset},
    [FRAME_SUBSCRIBE] = {&flotilla__subscribe_request__descriptor, native_subscribe},
    [FRAME_CREDIT] = {&flotilla__credit__descriptor, native_credit},
    [FRAME_UNSUBSCRIBE] = {&flotilla__unsubscribe_request__descriptor, native_unsubscribe},
    [FRAME_INIT_PRODUCER] = {&flotilla__init_producer_request__descriptor, native_init_producer},
    [FRAME_CREATE_TOPIC] = {&flotilla__create_topic_request__descriptor, native_create_topic},
    [FRAME_DELETE_TOPIC] = {&flotilla__delete_topic_request__descriptor, native_delete_topic},
    [FRAME_ALTER_TOPIC] = {&flotilla__alter_topic_request__descriptor, native_alter_topic},
    [FRAME_DESCRIBE_TOPIC] = {&flotilla__describe_topic_request__descriptor, native_describe_topic},
    [FRAME_COMMIT_OFFSETS] = {&flotilla__commit_offsets_request__descriptor, native_commit_offsets},
    [FRAME_FETCH_OFFSETS] = {&flotilla__fetch_offsets_request__descriptor, native_fetch_offsets},
    [FRAME_CLUSTER_STATUS] = {&flotilla__cluster_status_request__descriptor, native_cluster_status},
    [FRAME_DRAIN_NODE] = {&flotilla__drain_node_request__descriptor, native_drain_node},
    [FRAME_PING] = {&flotilla__ping_request__descriptor, native_ping},
    [FRAME_NODE_CONTROL] = {&flotilla__node_control_request__descriptor, native_node_control},
    [FRAME_JOIN_GROUP] = {&flotilla__join_group_request__descriptor, native_join_group},
    [FRAME_GROUP_HEARTBEAT] = {&flotilla__group_heartbeat_request__descriptor, native_group_heartbeat},
    [FRAME_LEAVE_GROUP] = {&flotilla__leave_group_request__descriptor, native_leave_group},
    [FRAME_LIST_GROUPS] = {&flotilla__list_groups_request__descriptor, native_list_groups},
    [FRAME_DESCRIBE_GROUP] = {&flotilla__describe_group_request__descriptor, native_describe_group},
    [FRAME_DELETE_GROUP] = {&flotilla__delete_group_request__descriptor, native_delete_group},
};

static const struct handler *find_handler(uint16_t type)
{
    return type < SERVER_REQUEST_TYPES && handlers[type].handle != NULL ? &handlers[type] : NULL;
}

static void refuse_unknown(struct native_connection *c, const struct client_frame *frame)
{
    char message[96];
    snprintf(message, sizeof(message), "this node does not know requests of type %u", frame->head.type);
    c->base.server->counters.protocol_errors++;
    request_send_error(c, frame->head.correlation, ERR_UNSUPPORTED, message);
}

static void run_handler(struct request *r, const struct handler *handler, const struct client_frame *frame)
{
    const ProtobufCMessage *message = protobuf_c_message_unpack(handler->request, arena_allocator(&r->arena),
                                                                frame->head.header_length, frame->header);
    r->server->counters.requests[r->type]++;
    if (message != NULL) {
        r->handle = handler->handle;
        r->message = message;
        r->handle(r, message);
        return;
    }
    char text[96];
    snprintf(text, sizeof(text), "the header of the %s request is malformed", frame_type_name(r->type));
    r->server->counters.protocol_errors++;
    request_fail(r, ERR_PROTOCOL, text);
}

static bool first_frame_ok(struct native_connection *c, const struct client_frame *frame)
{
    if (frame->head.flags & FRAME_RESPONSE) {
        connection_fail(&c->base, ERR_PROTOCOL, "clients send requests, not responses");
        return false;
    }
    if ((c->base.state == CONNECTION_NEW) != (frame->head.type == FRAME_HELLO)) {
        connection_fail(&c->base, ERR_PROTOCOL,
                        c->base.state == CONNECTION_NEW ? "the first frame must be HELLO"
                                                        : "HELLO may be sent once only");
        return false;
    }
    return true;
}

void dispatch_frame(struct native_connection *c, struct client_frame *frame)
{
    const struct handler *handler = find_handler(frame->head.type);
    if (!first_frame_ok(c, frame)) {
        slice_unref(&frame->payload);
        return;
    }
    if (handler == NULL) {
        refuse_unknown(c, frame);
        slice_unref(&frame->payload);
        return;
    }
    struct request *r = request_create(c, frame, frame_size(&frame->head));
    if (c->base.server->draining)
        request_fail(r, ERR_SHUTTING_DOWN, NULL);
    else
        run_handler(r, handler, frame);
}
