/* Connecting: look-up of the name off the loop, then each of its addresses in turn, all within one time-out.
 */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_uv.h"
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lookup;

struct uv_connecting {
    struct uv_stream *stream;
    void (*cb)(void *data, struct env_stream *stream, int status);
    void *data;
    struct env_timer timer;
    struct lookup *lookup; /* NULL: not running */
    struct env_task first_attempt;
    struct sockaddr_storage numeric; /* of a host that is no name; else ss_family is 0 */
    struct addrinfo *addresses;      /* all that the name has */
    struct addrinfo *next;           /* the one to try next */
    int status;                      /* of the last attempt */
};

/* Outlives the stream: a look-up that has begun cannot be stopped. */
struct lookup {
    uv_getaddrinfo_t req;
    struct uv_connecting *connecting; /* NULL: nobody wants it any more */
};

bool uv_address_numeric(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof(*address));
    return uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)address) == 0;
}

/* Lets go of everything but the callback. */
static void release(struct uv_connecting *c)
{
    struct env *env = &c->stream->env->base;
    env_timer_stop(env, &c->timer);
    env_task_cancel(env, &c->first_attempt);
    if (c->lookup != NULL) {
        c->lookup->connecting = NULL;
        uv_cancel((uv_req_t *)&c->lookup->req);
        c->lookup = NULL;
    }
    if (c->addresses != NULL)
        uv_freeaddrinfo(c->addresses);
    c->addresses = NULL;
    c->next = NULL;
}

/* Frees `c` and calls back. */
static void finish(struct uv_connecting *c, int status)
{
    struct uv_stream *s = c->stream;
    void (*cb)(void *data, struct env_stream *stream, int status) = c->cb;
    void *data = c->data;
    release(c);
    free(c);
    s->connecting = NULL;
    cb(data, &s->base, status);
}

static void fail(struct uv_connecting *c, int status)
{
    uv_stream_socket_drop(c->stream);
    finish(c, status);
}

/* On one host, a connect to a port of the ephemeral range where nobody listens may pick that very port for
 * its own end and connect to itself. */
static bool connected_to_itself(const uv_tcp_t *tcp)
{
    struct sockaddr_storage own = {0};
    struct sockaddr_storage peer = {0};
    int own_size = sizeof(own);
    int peer_size = sizeof(peer);
    return uv_tcp_getsockname(tcp, (struct sockaddr *)&own, &own_size) == 0 &&
           uv_tcp_getpeername(tcp, (struct sockaddr *)&peer, &peer_size) == 0 && own_size == peer_size &&
           memcmp(&own, &peer, (size_t)own_size) == 0;
}

static void attempt_next(struct uv_connecting *c);

static void on_connect(uv_connect_t *req, int status)
{
    struct uv_stream *s = req->handle->data;
    if (s == NULL || s->connecting == NULL || s->closing)
        return;
    struct uv_connecting *c = s->connecting;
    c->status = env_uv_error(status);
    if (status == 0 && connected_to_itself(&s->socket->tcp))
        c->status = ERR_CONNECTION_REFUSED;
    if (c->status != 0) {
        attempt_next(c);
        return;
    }
    uv_stream_connected(s);
    finish(c, 0);
}

static int attempt(struct uv_connecting *c, const struct sockaddr *address)
{
    struct uv_stream *s = c->stream;
    int rv = uv_stream_socket_create(s);
    if (rv != 0)
        return rv;
    return env_uv_error(uv_tcp_connect(&s->socket->connect, &s->socket->tcp, address, on_connect));
}

/* Goes on to the next address that takes an attempt; reports the last failure when there is none. */
static void attempt_next(struct uv_connecting *c)
{
    for (;;) {
        uv_stream_socket_drop(c->stream);
        if (c->next == NULL) {
            finish(c, c->status);
            return;
        }
        const struct sockaddr *address = c->next->ai_addr;
        c->next = c->next->ai_next;
        c->status = attempt(c, address);
        if (c->status == 0)
            return;
    }
}

static void on_first_attempt(struct env_task *task)
{
    struct uv_connecting *c = container_of(task, struct uv_connecting, first_attempt);
    c->status = attempt(c, (const struct sockaddr *)&c->numeric);
    if (c->status != 0)
        attempt_next(c);
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = container_of(req, struct lookup, req);
    struct uv_connecting *c = lookup->connecting;
    free(lookup);
    if (c == NULL) {
        uv_freeaddrinfo(addresses);
        return;
    }
    c->lookup = NULL;
    c->addresses = addresses;
    c->next = addresses;
    c->status = status == 0 ? ERR_UNREACHABLE : env_uv_error(status);
    attempt_next(c);
}

static int lookup_start(struct uv_connecting *c, const char *host, uint16_t port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct lookup *lookup = memory_zalloc(sizeof(*lookup));
    lookup->connecting = c;
    int rv = uv_getaddrinfo(&c->stream->env->loop, &lookup->req, on_lookup, host, service, &hints);
    if (rv != 0) {
        free(lookup);
        return rv == UV_EINVAL ? ERR_INVALID_ARGUMENT : env_uv_error(rv);
    }
    c->lookup = lookup;
    return 0;
}

static void on_timeout(struct env_timer *timer)
{
    fail(container_of(timer, struct uv_connecting, timer), ERR_TIMED_OUT);
}

int uv_stream_connect(struct env *env, const char *host, uint16_t port, uint64_t timeout_ns,
                      struct env_stream **stream,
                      void (*cb)(void *data, struct env_stream *stream, int status), void *data)
{
    struct uv_stream *s = uv_stream_create(env_uv_of(env));
    struct uv_connecting *c = memory_zalloc(sizeof(*c));
    c->stream = s;
    c->cb = cb;
    c->data = data;
    snprintf(s->peer, sizeof(s->peer), "%s:%u", host, port);
    if (uv_address_numeric(host, port, &c->numeric)) {
        env_defer(env, &c->first_attempt, on_first_attempt);
    } else {
        int rv = lookup_start(c, host, port);
        if (rv != 0) {
            free(c);
            s->env->open--;
            free(s);
            return rv;
        }
    }
    env_timer_start(env, &c->timer, timeout_ns, on_timeout);
    s->connecting = c;
    *stream = &s->base;
    return 0;
}

void uv_stream_connect_abandon(struct uv_stream *s)
{
    if (s->connecting != NULL)
        release(s->connecting);
}

void uv_stream_connect_cancel(struct uv_stream *s)
{
    if (s->connecting != NULL)
        finish(s->connecting, ERR_CANCELED);
}
