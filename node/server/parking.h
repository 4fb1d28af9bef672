/* Requests for a partition whose leader is just changing wait here for a moment instead of being sent away:
 * nobody could say where to. That is the case while an election or a hand-over is under way, or before a new
 * leader's first entry is committed.
 *
 * Requests for one partition keep their order: as long as one waits, later ones queue up behind it. Internal
 * to this room. */
#ifndef SERVER_PARKING_H
#define SERVER_PARKING_H

#include "node/server/server.h"

enum {
    PARKING_MAX_MS = 250, /* then the client hears that there is no leader */
    PARKING_LOOK_MS = 5,
};

/* Embedded in what waits. */
struct parked {
    bool out_of_turn;  /* set by its owner: it waits behind nobody */
    struct queue node; /* private from here */
    uint64_t group_id;
    uint64_t sequence; /* order of arrival at the node */
    uint64_t since_ns;
    void (*again)(struct parked *p);
};

void parking_init(struct server *s);
/* Something that may have to wait has arrived; `again` will be called to try once more. */
void parking_arrive(struct server *s, struct parked *p, void (*again)(struct parked *p));
/* Whether it must wait because an earlier one for the same partition does. */
bool parking_must_follow(const struct server *s, const struct parked *p, uint64_t group_id);
/* Whether waiting can help: the partition took nothing because leadership is on its way to somebody not known
 * yet, its time is not up, and the node does not stop. */
bool parking_may_help(const struct server *s, const struct parked *p, int error, uint64_t group_id);
void parking_add(struct server *s, struct parked *p, uint64_t group_id);
/* Only while it waits. */
void parking_remove(struct parked *p);
/* Something about leaders has changed: have another look at the end of this turn. */
void parking_look_soon(struct server *s);
/* Nobody waits any more. */
void parking_close(struct server *s);

#endif
