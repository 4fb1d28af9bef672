/* From a frame to its handler: one table of request types, in dispatch.c; one file per kind of request beside
 * it. */
#ifndef SERVER_NATIVE_DISPATCH_H
#define SERVER_NATIVE_DISPATCH_H

#include "node/server/native/request.h"

/* Takes over the frame's payload. */
void dispatch_frame(struct native_connection *c, struct client_frame *frame);

/* Handlers. `message` is of the type's own request, unpacked in the request's arena. */
void native_hello(struct request *r, const ProtobufCMessage *message);
void native_ping(struct request *r, const ProtobufCMessage *message);
void native_metadata(struct request *r, const ProtobufCMessage *message);
void native_produce(struct request *r, const ProtobufCMessage *message);
void native_fetch(struct request *r, const ProtobufCMessage *message);
void native_list_offset(struct request *r, const ProtobufCMessage *message);
void native_subscribe(struct request *r, const ProtobufCMessage *message);
void native_credit(struct request *r, const ProtobufCMessage *message);
void native_unsubscribe(struct request *r, const ProtobufCMessage *message);
void native_init_producer(struct request *r, const ProtobufCMessage *message);
void native_create_topic(struct request *r, const ProtobufCMessage *message);
void native_delete_topic(struct request *r, const ProtobufCMessage *message);
void native_alter_topic(struct request *r, const ProtobufCMessage *message);
void native_describe_topic(struct request *r, const ProtobufCMessage *message);
void native_commit_offsets(struct request *r, const ProtobufCMessage *message);
void native_fetch_offsets(struct request *r, const ProtobufCMessage *message);
void native_cluster_status(struct request *r, const ProtobufCMessage *message);
void native_drain_node(struct request *r, const ProtobufCMessage *message);
void native_node_control(struct request *r, const ProtobufCMessage *message);
void native_join_group(struct request *r, const ProtobufCMessage *message);
void native_group_heartbeat(struct request *r, const ProtobufCMessage *message);
void native_leave_group(struct request *r, const ProtobufCMessage *message);
void native_list_groups(struct request *r, const ProtobufCMessage *message);
void native_describe_group(struct request *r, const ProtobufCMessage *message);
void native_delete_group(struct request *r, const ProtobufCMessage *message);

#endif
