/* Which replica a request is about, and who leads it when it isn't this node. Internal to this room. */
#ifndef SERVER_NATIVE_LOOKUP_H
#define SERVER_NATIVE_LOOKUP_H

#include "node/server/native/request.h"

/* The error's status, with who leads `group_id` as far as this node knows. */
Flotilla__Status lookup_status(struct server *s, int error, const char *message, uint64_t group_id);
/* What to answer about something that is not in this node's tables: `error`, or ERR_LEADER_NOT_AVAILABLE
 * while they may be behind the cluster's. Nobody must be told that a topic is not there because a node has
 * just started. */
int lookup_missing(const struct server *s, int error);
/* The replica of a topic's partition, which this node leads and serves; NULL: the request has been dealt
 * with. Either it has been answered, with who leads, or it waits until that is known and its handler is
 * called again (server/parking.h). */
struct partition *lookup_leader(struct request *r, const ProtobufCBinaryData *topic_id, uint32_t index);
/* The replica of __consumer_offsets that coordinates the group, likewise. */
struct partition *lookup_coordinator(struct request *r, const char *group);
/* Answers a request whose partition answered with an error: adds who leads now when that is what the client
 * must know. */
void lookup_fail(struct request *r, int error, const char *message, uint64_t group_id);
/* The partition took nothing because leadership is on its way to somebody not known yet: worth waiting for.
 */
bool lookup_may_wait(const struct request *r, int error, uint64_t group_id);

#endif
