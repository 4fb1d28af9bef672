/* struct node, shared by node.c (start), node_stop.c and node_metrics.c. */
#ifndef SERVER_NODE_INTERNAL_H
#define SERVER_NODE_INTERNAL_H

#include "node/broker/partition.h"
#include "node/consensus/consensus.h"
#include "node/server/http/endpoints.h"
#include "node/server/node.h"
#include "node/server/server.h"
#include "node/storage/journal.h"
#include "node/storage/log.h"

struct node_metrics;

struct node {
    struct env *env;
    struct node_config config;
    struct logger *logger;
    struct metrics metrics;
    struct node_metrics *registered;
    struct data_dir *data_dir;
    struct journal *journal;
    struct flusher *flusher;
    struct consensus *consensus;
    struct broker *broker;
    struct cluster *cluster;
    struct server server;
    bool server_open;
    struct http *http;
    struct endpoints endpoints;
    struct node_meta self;
    char peer_address[300];

    bool started;
    bool stopping;
    bool clean;
    bool failed;
    void (*fatal)(void *data, const char *message);
    void *fatal_data;
    void (*stopped)(void *data);
    void *stopped_data;
};

/* node_metrics.c: what no room below registers by itself. */
void node_metrics_add(struct node *n);
void node_metrics_remove(struct node *n);

#endif
