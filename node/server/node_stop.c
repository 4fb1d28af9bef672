/* The end of a node, step by step; each goes on when the room below has called back. Also undoes a start that
 * failed half-way, so every step passes over what is not there.
 *
 *   hand leaderships over -> answer and close clients -> close replicas and group 0 -> links -> journal ->
 * the rest */
#include "node/server/group_front.h"
#include "node/server/node_internal.h"
#include <inttypes.h>
#include <stdlib.h>

enum { DRAIN_CLIENTS_MS = 2000 };

static void on_journal_closed(void *data)
{
    struct node *n = data;
    void (*stopped)(void *data) = n->stopped;
    void *stopped_data = n->stopped_data;
    if (n->flusher != NULL)
        flusher_destroy(n->flusher);
    if (n->data_dir != NULL)
        data_dir_close(n->data_dir);
    if (n->server_open)
        server_close(&n->server);
    metrics_close(&n->metrics);
    if (n->started)
        LOG(n->logger, LOG_INFO, "stopped", "clean=%d", n->clean);
    logger_destroy(n->logger);
    free(n);
    stopped(stopped_data);
}

static void close_journal(void *data)
{
    struct node *n = data;
    n->consensus = NULL;
    if (n->journal != NULL)
        journal_close(n->journal, on_journal_closed, n);
    else
        on_journal_closed(n);
}

static void close_consensus(void *data)
{
    struct node *n = data;
    n->cluster = NULL;
    node_metrics_remove(n);
    if (n->broker != NULL)
        broker_destroy(n->broker);
    group_front_destroy(n->server.groups);
    n->server.groups = NULL;
    if (n->consensus != NULL)
        consensus_close(n->consensus, close_journal, n);
    else
        close_journal(n);
}

static void close_cluster(void *data)
{
    struct node *n = data;
    n->http = NULL;
    n->endpoints.cluster = NULL;
    if (n->cluster != NULL)
        cluster_close(n->cluster, n->clean, close_consensus, n);
    else
        close_consensus(n);
}

static void stop_http(void *data)
{
    struct node *n = data;
    if (n->http != NULL)
        http_stop(n->http, close_cluster, n);
    else
        close_cluster(n);
}

static void drain_clients(struct node *n, uint64_t timeout_ms)
{
    if (n->server_open)
        server_drain(&n->server, timeout_ms, stop_http, n);
    else
        stop_http(n);
}

static void on_handed_over(void *data, unsigned still_leads)
{
    struct node *n = data;
    LOG(n->logger, still_leads == 0 ? LOG_INFO : LOG_WARN, "leaderships handed over", "still_leads=%u",
        still_leads);
    drain_clients(n, DRAIN_CLIENTS_MS);
}

void node_stop(struct node *n, bool planned, void (*stopped)(void *data), void *data)
{
    n->stopping = true;
    n->endpoints.stopping = true;
    n->clean = planned && !n->failed;
    n->stopped = stopped;
    n->stopped_data = data;
    if (n->server_open)
        server_stop_listening(&n->server);
    bool others = n->config.peer_count > 1;
    if (planned && others && n->cluster != NULL && n->config.shutdown_timeout_ms > 0 && !n->failed) {
        LOG(n->logger, LOG_INFO, "stopping: handing leaderships over", "timeout_ms=%" PRIu64,
            n->config.shutdown_timeout_ms);
        cluster_hand_over(n->cluster, n->config.shutdown_timeout_ms, on_handed_over, n);
    } else {
        drain_clients(n, planned ? DRAIN_CLIENTS_MS : 0);
    }
}
