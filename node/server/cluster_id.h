/* The default cluster id: a name-based UUID (RFC 9562, version 5: SHA-1) of the sorted peer list, so that
 * nodes which were given the same list agree on it without talking. */
#ifndef SERVER_CLUSTER_ID_H
#define SERVER_CLUSTER_ID_H

#include "node/server/config.h"

/* Fills config->cluster_id when it is empty. */
void cluster_id_derive(struct node_config *config);

#endif
