/* Draining a node, and the switches that only somebody on the node's own machine may use. */
#include "node/server/native/dispatch.h"
#include "proto/error.h"
#include <stdio.h>

enum { DRAIN_DEFAULT_TIMEOUT_MS = 30000, BLOCKED_PEERS_MAX = 64 };

struct drain_call {
    struct cluster_op op;
    struct request *request;
};

static void on_drained(struct cluster_op *op)
{
    struct drain_call *call = op->data;
    Flotilla__Status status = status_make(op->status, op->message);
    Flotilla__DrainNodeResponse response = FLOTILLA__DRAIN_NODE_RESPONSE__INIT;
    response.status = &status;
    response.still_leads = op->still_leads;
    request_respond(call->request, &response.base);
}

void native_drain_node(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__DrainNodeRequest *m = (const Flotilla__DrainNodeRequest *)message;
    struct drain_call *call = request_state(r, sizeof(*call));
    uint64_t timeout_ms = m->timeout_ms > 0 ? m->timeout_ms : DRAIN_DEFAULT_TIMEOUT_MS;
    call->request = r;
    call->op.data = call;
    cluster_drain_node(r->server->cluster, &call->op, m->node_id, m->drain, timeout_ms, on_drained);
}

static int set_level(struct server *s, const char *name)
{
    int level = log_level_parse(name);
    if (level < 0)
        return ERR_INVALID_ARGUMENT;
    logger_set_level(s->logger, (enum log_level)level);
    LOG(s->logger, LOG_INFO, "log level changed", "log_level=%s", name);
    return 0;
}

static int block_peers(struct server *s, const uint32_t *ids, size_t count)
{
    if (count > BLOCKED_PEERS_MAX)
        return ERR_TOO_LARGE;
    consensus_block_peers(s->consensus, ids, (unsigned)count);
    LOG(s->logger, LOG_WARN, "traffic with peers blocked by request", "blocked=%zu", count);
    return 0;
}

void native_node_control(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__NodeControlRequest *m = (const Flotilla__NodeControlRequest *)message;
    if (!env_stream_is_loopback(r->connection->base.stream)) {
        request_fail(r, ERR_PERMISSION,
                     "node control is allowed from the node's own machine only (loopback)");
        return;
    }
    int rv = 0;
    const char *text = NULL;
    if (m->log_level[0] != '\0' && (rv = set_level(r->server, m->log_level)) != 0)
        text = "log_level must be trace, debug, info, warn or error";
    if (rv == 0 && m->set_blocked_peers)
        rv = block_peers(r->server, m->blocked_peers, m->n_blocked_peers);
    request_fail(r, rv, text);
}
