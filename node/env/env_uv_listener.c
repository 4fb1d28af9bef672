/* Listening: our own accept loop on a plain socket. libuv's cannot be paused, and out of file descriptors it
 * would either spin or throw waiting connections away. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_uv.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    ACCEPTS_PER_EVENT = 64, /* then others get their turn */
};
static const uint64_t PAUSE_NS = 50 * 1000000u;

struct uv_listener {
    struct env_listener base;
    struct env_uv *env;
    int fd;
    uint16_t port;
    uv_poll_t poll;
    struct env_timer pause; /* runs while we are out of file descriptors */
    bool closing;
    void (*cb)(void *data, struct env_stream *stream);
    void *data;
};

static uint16_t listener_port(const struct env_listener *listener)
{
    return ((const struct uv_listener *)listener)->port;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct uv_listener, poll));
}

static void listener_close(struct env_listener *listener)
{
    struct uv_listener *l = (struct uv_listener *)listener;
    ASSERT(!l->closing);
    l->closing = true;
    l->env->open--;
    env_timer_stop(&l->env->base, &l->pause);
    uv_close((uv_handle_t *)&l->poll, on_poll_closed);
    close(l->fd);
}

static const struct env_listener_ops listener_ops = {
    .port = listener_port,
    .close = listener_close,
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void on_pause_over(struct env_timer *timer)
{
    struct uv_listener *l = container_of(timer, struct uv_listener, pause);
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

/* Connections wait in the backlog meanwhile. */
static void pause_accepting(struct uv_listener *l)
{
    uv_poll_stop(&l->poll);
    env_timer_start(&l->env->base, &l->pause, PAUSE_NS, on_pause_over);
}

static bool out_of_resources(int cause)
{
    return cause == EMFILE || cause == ENFILE || cause == ENOBUFS || cause == ENOMEM;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct uv_listener *l = container_of(poll, struct uv_listener, poll);
    for (int i = 0; i < ACCEPTS_PER_EVENT && !l->closing; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0 && out_of_resources(errno)) {
            pause_accepting(l);
            return;
        }
        struct uv_stream *stream;
        if (fd >= 0 && uv_stream_accepted(l->env, fd, &stream) == 0)
            l->cb(l->data, &stream->base);
        /* any other error belongs to that one connection, which is gone */
    }
}

/* ---- open ---- */

/* Blocks for a name; listeners are opened at start-up. */
static int resolve(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    if (uv_address_numeric(host, port, address))
        return 0;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return ERR_UNREACHABLE;
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    return 0;
}

static socklen_t address_size(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static int bind_and_listen(int fd, const struct sockaddr_storage *address)
{
    int on = 1;
    int off = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return error_from_errno(errno);
    if (address->ss_family == AF_INET6) /* "::" takes IPv4 too */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (const struct sockaddr *)address, address_size(address)) != 0 || listen(fd, BACKLOG) != 0)
        return error_from_errno(errno);
    return 0;
}

static int open_socket(const char *host, uint16_t port, int *fd)
{
    struct sockaddr_storage address;
    int rv = resolve(host, port, &address);
    if (rv != 0)
        return rv;
    *fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return error_from_errno(errno);
    rv = bind_and_listen(*fd, &address);
    if (rv != 0)
        close(*fd);
    return rv;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

int uv_listener_listen(struct env *env, const char *host, uint16_t port, struct env_listener **listener,
                       void (*cb)(void *data, struct env_stream *stream), void *data)
{
    int fd;
    int rv = open_socket(host, port, &fd);
    if (rv != 0)
        return rv;
    struct uv_listener *l = memory_zalloc(sizeof(*l));
    l->base.ops = &listener_ops;
    l->env = env_uv_of(env);
    l->fd = fd;
    l->port = bound_port(fd);
    l->cb = cb;
    l->data = data;
    rv = uv_poll_init(&l->env->loop, &l->poll, fd);
    if (rv != 0) {
        close(fd);
        free(l);
        return env_uv_error(rv);
    }
    rv = uv_poll_start(&l->poll, UV_READABLE, on_poll);
    ASSERT(rv == 0);
    l->env->open++;
    *listener = &l->base;
    return 0;
}
