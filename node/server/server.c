#include "node/server/server.h"
#include "node/base/assert.h"
#include "node/cluster/metadata.h"
#include "node/server/kafka/kafka_connection.h"
#include "node/server/kafka/kafka_front.h"
#include "node/server/native/native_connection.h"
#include "node/server/native/request.h"
#include "node/server/parking.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Refused connections that are still being told so; beyond these they are closed without a word. */
    REFUSALS_MAX = 64,
};

void server_init(struct server *s)
{
    ASSERT(s->env != NULL && s->config != NULL);
    read_pool_init(&s->pool);
    queue_init(&s->connections);
    queue_init(&s->spare_requests);
    parking_init(s);
    kafka_front_create(s);
    s->started_ns = env_now_ns(s->env);
    server_metrics_add(s);
}

static void refuse(struct server *s, const struct connection_protocol *protocol, struct env_stream *stream)
{
    char message[120];
    s->counters.refused++;
    if (s->connection_count > s->config->max_connections + REFUSALS_MAX) {
        env_stream_close(stream, NULL, NULL);
        return;
    }
    LOG_LIMITED(&s->refusals, env_now_ms(s->env), env_stream_peer(stream), s->logger, LOG_WARN,
                "refused a client connection: too many", "peer=%s max_connections=%" PRIu32,
                env_stream_peer(stream), s->config->max_connections);
    snprintf(message, sizeof(message), "this node has %" PRIu32 " client connections, its max-connections",
             s->config->max_connections);
    s->connection_count++;
    connection_fail(connection_create(s, protocol, stream), ERR_OVERLOADED, message);
}

static void accept_connection(struct server *s, const struct connection_protocol *protocol,
                              struct env_stream *stream)
{
    if (s->draining) {
        env_stream_close(stream, NULL, NULL);
        return;
    }
    if (s->connection_count >= s->config->max_connections) {
        refuse(s, protocol, stream);
        return;
    }
    s->counters.accepted++;
    s->connection_count++;
    connection_create(s, protocol, stream);
}

static void on_accept(void *data, struct env_stream *stream)
{
    accept_connection(data, &native_protocol, stream);
}

static void on_accept_kafka(void *data, struct env_stream *stream)
{
    accept_connection(data, &kafka_protocol, stream);
}

int server_listen(struct server *s, const char *host, uint16_t port)
{
    return env_listen(s->env, host, port, &s->listener, on_accept, s);
}

int server_listen_kafka(struct server *s, const char *host, uint16_t port)
{
    return env_listen(s->env, host, port, &s->kafka_listener, on_accept_kafka, s);
}

uint16_t server_kafka_port(const struct server *s)
{
    return s->kafka_listener != NULL ? env_listener_port(s->kafka_listener) : 0;
}

uint16_t server_port(const struct server *s)
{
    return s->listener != NULL ? env_listener_port(s->listener) : 0;
}

void server_stop_listening(struct server *s)
{
    if (s->listener != NULL)
        env_listener_close(s->listener);
    s->listener = NULL;
    if (s->kafka_listener != NULL)
        env_listener_close(s->kafka_listener);
    s->kafka_listener = NULL;
}

/* ---- memory ---- */

size_t server_fair_share(const struct server *s)
{
    size_t share = s->config->clients_bytes / 2 / (s->connection_count + 1);
    if (share > SERVER_MOST_SHARE_BYTES)
        return SERVER_MOST_SHARE_BYTES;
    return share < SERVER_LEAST_SHARE_BYTES ? SERVER_LEAST_SHARE_BYTES : share;
}

size_t server_fetch_bytes(const struct server *s, size_t wanted)
{
    size_t share = server_fair_share(s);
    return server_is_full(s) && wanted > share ? share : wanted;
}

/* ---- drain ---- */

static void finish_drain(struct server *s)
{
    void (*drained)(void *data) = s->drained;
    env_timer_stop(s->env, &s->drain_timer);
    s->drained = NULL;
    if (drained != NULL)
        drained(s->drained_data);
}

static void on_drain_timeout(struct env_timer *timer)
{
    struct server *s = QUEUE_ENTRY(timer, struct server, drain_timer);
    while (!queue_empty(&s->connections))
        connection_close(QUEUE_ENTRY(queue_first(&s->connections), struct connection, node));
    if (s->connection_count == 0)
        finish_drain(s);
}

void server_drain(struct server *s, uint64_t timeout_ms, void (*drained)(void *data), void *data)
{
    server_stop_listening(s);
    s->draining = true;
    s->drained = drained;
    s->drained_data = data;
    QUEUE_FOREACH (node, &s->connections) {
        if (timeout_ms > 0)
            connection_drain(QUEUE_ENTRY(node, struct connection, node));
    }
    /* With nobody connected the timer only makes the callback asynchronous. */
    uint64_t wait_ms = s->connection_count == 0 ? 0 : timeout_ms;
    env_timer_start(s->env, &s->drain_timer, wait_ms * 1000000, on_drain_timeout);
}

void server_leader_changed(struct server *s)
{
    s->news++;
    parking_look_soon(s);
}

void server_peer_changed(struct server *s)
{
    s->news++;
}

/* Both parts only grow, so their sum is never the same again once either has changed. */
uint64_t server_view(const struct server *s)
{
    return 1 + s->news + metadata_version(cluster_metadata(s->cluster));
}

void server_connection_closed(struct server *s)
{
    s->connection_count--;
    if (s->connection_count == 0 && s->draining && s->drained != NULL)
        finish_drain(s);
}

void server_close(struct server *s)
{
    ASSERT(s->connection_count == 0 && s->live_requests == 0 && s->unsent_bytes == 0);
    parking_close(s);
    server_metrics_remove(s);
    request_free_spare(s);
    kafka_front_destroy(s);
    read_pool_close(&s->pool);
}
