/* Which replica a request is about, and who leads it when it isn't this node. Internal to this room. */
#ifndef SERVER_NATIVE_LOOKUP_H
#define SERVER_NATIVE_LOOKUP_H

#include "node/server/native/request.h"

/* The error's status, with who leads `group_id` as far as this node knows. */
Flotilla__Status lookup_status(struct server *s, int error, const char *message, uint64_t group_id);
/* The replica of a topic's partition that this node leads and serves. On an error the status says what is
 * wrong and who leads. */
int lookup_leader(struct server *s, const ProtobufCBinaryData *topic_id, uint32_t index,
                  struct partition **partition, Flotilla__Status *status);
/* The replica of __consumer_offsets that coordinates the group, likewise. */
int lookup_coordinator(struct server *s, const char *group, struct partition **partition,
                       Flotilla__Status *status);
/* Answers a request whose partition answered with an error: adds who leads now when that is what the client
 * must know. */
void lookup_fail(struct request *r, int error, const char *message, uint64_t group_id);

#endif
