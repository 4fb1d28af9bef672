/* Requests for a partition whose leader is just changing wait here for a moment instead of being sent away:
 * nobody could say where to. That is the case while an election or a hand-over is under way, or before a new
 * leader's first entry is committed.
 *
 * Requests for one partition keep their order: as long as one waits, later ones queue up behind it. Internal
 * to this room. */
#ifndef SERVER_NATIVE_PARKING_H
#define SERVER_NATIVE_PARKING_H

#include "node/server/native/request.h"

enum {
    PARKING_MAX_MS = 250, /* then the client hears that there is no leader */
    PARKING_LOOK_MS = 5,
};

void parking_init(struct server *s);
/* Whether the request must wait because an earlier one for the same partition does. */
bool parking_must_follow(const struct request *r, uint64_t group_id);
/* Whether it may wait at all: not after its time is up, nor when the node stops. */
bool parking_allows(const struct request *r);
/* The handler will be called again with the same message; it must not have taken anything from the request.
 */
void parking_add(struct request *r, uint64_t group_id);
/* Something about leaders has changed: have another look at the end of this turn. */
void parking_look_soon(struct server *s);
/* Nobody waits any more. */
void parking_close(struct server *s);

#endif
