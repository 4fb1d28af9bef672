/* What clients are told about the nodes: registered ones, and those of the static list that have not
 * registered yet. Internal to this room. */
#ifndef SERVER_NATIVE_NODE_INFO_H
#define SERVER_NATIVE_NODE_INFO_H

#include "node/server/native/request.h"

/* In id order, in the request's arena; NULL when its bound is reached. */
Flotilla__NodeInfo **node_info_all(struct request *r, size_t *count);

#endif
