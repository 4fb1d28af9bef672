/* What consumer groups (node/group/) need of the server: the cluster's topics, answers to requests, and
 * pushes on members' connections. Internal to this room. */
#ifndef SERVER_GROUP_FRONT_H
#define SERVER_GROUP_FRONT_H

#include "node/group/coordinator.h"
#include "node/server/server.h"

struct group_front;

/* The server's public fields have been filled; its cluster may follow until the first loop turn. */
struct group_front *group_front_create(struct server *s);
void group_front_destroy(struct group_front *f); /* NULL is fine */
struct groups *group_front_groups(struct group_front *f);

#endif
