#include "node/server/native/dispatch.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SOFTWARE "flotillad/" FLOTILLA_VERSION

static int settle_version(const Flotilla__HelloRequest *m, uint32_t *version, char *message,
                          size_t message_size)
{
    uint32_t high = m->max_version < FRAME_PROTOCOL_MAX ? m->max_version : FRAME_PROTOCOL_MAX;
    uint32_t low = m->min_version > FRAME_PROTOCOL_MIN ? m->min_version : FRAME_PROTOCOL_MIN;
    *version = high;
    if (low <= high)
        return 0;
    snprintf(message, message_size,
             "the client speaks protocol versions %" PRIu32 " to %" PRIu32 ", this node %d to %d",
             m->min_version, m->max_version, FRAME_PROTOCOL_MIN, FRAME_PROTOCOL_MAX);
    return ERR_UNSUPPORTED_VERSION;
}

static int check_hello(const struct server *s, const Flotilla__HelloRequest *m, uint32_t *version,
                       char *message, size_t message_size)
{
    int rv = settle_version(m, version, message, message_size);
    if (rv != 0)
        return rv;
    if (m->cluster_id[0] == '\0' || strcmp(m->cluster_id, s->config->cluster_id) == 0)
        return 0;
    snprintf(message, message_size, "this node belongs to cluster %.63s, the client asked for %.63s",
             s->config->cluster_id, m->cluster_id);
    return ERR_CLUSTER_MISMATCH;
}

void native_hello(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__HelloRequest *m = (const Flotilla__HelloRequest *)message;
    struct connection *c = &r->connection->base;
    struct server *s = r->server;
    char reason[256];
    uint32_t version;
    int rv = check_hello(s, m, &version, reason, sizeof(reason));
    if (rv != 0) {
        LOG_REFUSAL(c, "refused a client", "peer=%s error=%s", env_stream_peer(c->stream), error_name(rv));
        request_fail(r, rv, reason);
        connection_finish(c);
        return;
    }
    env_timer_stop(s->env, &c->timer);
    c->state = CONNECTION_OPEN;
    c->input.max_frame_size = FRAME_MAX_SIZE;
    c->input.max_header_size = NATIVE_HEADER_MAX_SIZE;
    snprintf(r->connection->client_id, sizeof(r->connection->client_id), "%s", m->client_id);
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__HelloResponse response = FLOTILLA__HELLO_RESPONSE__INIT;
    response.status = &status;
    response.version = version;
    response.node_id = s->config->node_id;
    response.cluster_id = (char *)(uintptr_t)s->config->cluster_id;
    response.software = (char *)(uintptr_t)SOFTWARE;
    response.max_frame_size = FRAME_MAX_SIZE;
    request_respond(r, &response.base);
}

void native_ping(struct request *r, const ProtobufCMessage *message)
{
    (void)message;
    request_fail(r, 0, NULL); /* a status alone, of success */
}
