/* One whole node: everything that main.c wires together, without signals and flags, so that several fit in
 * one process (the simulator, tests). Owns every other room's objects. */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "node/base/logger.h"
#include "node/env/env.h"
#include "node/server/config.h"

struct node;

/* Opens the data directory and the journal, starts consensus, cluster, broker and listeners. Returns 0 or an
 * error with a message that says what failed, why, and what to do next; on error everything is released
 * again. */
int node_start(struct env *env, const struct node_config *config, struct node **node, char *message,
               size_t message_size);
/* Planned: no new connections, leaderships handed over (bounded), replicas closed clean. At once (`planned`
 * false): closes without handing over. `stopped` is called when nothing of the node is left. */
void node_stop(struct node *n, bool planned, void (*stopped)(void *data), void *data);
/* Called when the node can't go on by itself (journal failure): the owner exits. */
void node_on_fatal(struct node *n, void (*fatal)(void *data, const char *message), void *data);

uint16_t node_client_port(const struct node *n);
uint16_t node_peer_port(const struct node *n);
uint16_t node_kafka_port(const struct node *n);
uint16_t node_http_port(const struct node *n);
struct logger *node_logger(struct node *n);

#endif
