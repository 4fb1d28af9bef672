/* An established TCP stream: reads straight into the owner's memory, writes straight out of the slices. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_uv.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEEPALIVE_S = 60 };

static const struct env_stream_ops stream_ops;

static struct uv_stream *stream_of(struct env_stream *stream)
{
    return (struct uv_stream *)stream;
}

/* ---- create ---- */

struct uv_stream *uv_stream_create(struct env_uv *env)
{
    struct uv_stream *s = memory_zalloc(sizeof(*s));
    s->base.ops = &stream_ops;
    s->env = env;
    s->completed_tail = &s->completed;
    env->open++;
    return s;
}

int uv_stream_socket_create(struct uv_stream *s)
{
    ASSERT(s->socket == NULL);
    struct uv_socket *socket = memory_zalloc(sizeof(*socket));
    int rv = uv_tcp_init(&s->env->loop, &socket->tcp);
    if (rv != 0) {
        free(socket);
        return env_uv_error(rv);
    }
    uv_tcp_nodelay(&socket->tcp, 1);
    /* The other host may vanish without a word: who is silent for a minute is asked whether it is there. */
    uv_tcp_keepalive(&socket->tcp, 1, KEEPALIVE_S);
    socket->tcp.data = s;
    s->socket = socket;
    return 0;
}

static void on_dropped_socket_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct uv_socket, tcp));
}

void uv_stream_socket_drop(struct uv_stream *s)
{
    if (s->socket == NULL)
        return;
    s->socket->tcp.data = NULL;
    uv_close((uv_handle_t *)&s->socket->tcp, on_dropped_socket_closed);
    s->socket = NULL;
}

static void peer_print(struct uv_stream *s, const struct sockaddr_storage *address)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        const unsigned char *bytes = in6->sin6_addr.s6_addr;
        s->loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
                      (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && bytes[12] == 127);
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        snprintf(s->peer, sizeof(s->peer), "[%s]:%u", text, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        s->loopback = (ntohl(in->sin_addr.s_addr) >> 24) == 127;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        snprintf(s->peer, sizeof(s->peer), "%s:%u", text, ntohs(in->sin_port));
    }
}

static void local_host_print(struct uv_stream *s, const struct sockaddr_storage *own)
{
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)own)->sin6_addr;
    if (own->ss_family != AF_INET6)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)own)->sin_addr, s->local_host, sizeof(s->local_host));
    else if (IN6_IS_ADDR_V4MAPPED(in6))
        inet_ntop(AF_INET, &in6->s6_addr[12], s->local_host, sizeof(s->local_host));
    else
        inet_ntop(AF_INET6, in6, s->local_host, sizeof(s->local_host));
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET6)
        return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)a)->sin6_addr,
                                  &((const struct sockaddr_in6 *)b)->sin6_addr);
    return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

void uv_stream_connected(struct uv_stream *s)
{
    struct sockaddr_storage address = {0}, own = {0};
    int size = sizeof(address), own_size = sizeof(own);
    s->connected = true;
    if (uv_tcp_getpeername(&s->socket->tcp, (struct sockaddr *)&address, &size) != 0)
        return;
    peer_print(s, &address);
    /* A machine that talks to itself by its own name does so from that name's address. */
    if (uv_tcp_getsockname(&s->socket->tcp, (struct sockaddr *)&own, &own_size) != 0)
        return;
    s->loopback = s->loopback || same_host(&address, &own);
    local_host_print(s, &own);
}

static void uv_stream_free(struct uv_stream *s)
{
    free(s);
}

int uv_stream_accepted(struct env_uv *env, int fd, struct uv_stream **stream)
{
    struct uv_stream *s = uv_stream_create(env);
    int rv = uv_stream_socket_create(s);
    if (rv == 0)
        rv = env_uv_error(uv_tcp_open(&s->socket->tcp, fd));
    if (rv != 0) {
        close(fd);
        uv_stream_socket_drop(s);
        env->open--;
        uv_stream_free(s);
        return rv;
    }
    uv_stream_connected(s);
    *stream = s;
    return 0;
}

/* ---- read ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    struct uv_stream *s = handle->data;
    unsigned char *into = NULL;
    size_t size = 0;
    s->callbacks.alloc(s->data, &into, &size);
    ASSERT(into != NULL && size > 0);
    *buf = uv_buf_init((char *)into, size < INT32_MAX ? (unsigned)size : INT32_MAX);
}

static void read_end(struct uv_stream *s, int status)
{
    s->reading = false;
    s->read_ended = true;
    s->callbacks.read(s->data, status);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    struct uv_stream *s = handle->data;
    if (n > 0) {
        s->callbacks.read(s->data, n);
    } else if (n < 0) {
        uv_read_stop(handle);
        read_end(s, env_uv_error((int)n));
    }
}

static void on_read_task(struct env_task *task)
{
    struct uv_stream *s = container_of(task, struct uv_stream, read_task);
    read_end(s, s->read_status);
}

static void stream_read_resume(struct env_stream *stream)
{
    struct uv_stream *s = stream_of(stream);
    ASSERT(s->connected && s->callbacks.read != NULL);
    if (s->closing || s->reading || s->read_ended)
        return;
    s->reading = true;
    int rv = uv_read_start((uv_stream_t *)&s->socket->tcp, on_alloc, on_read);
    if (rv != 0) { /* broken by now: the owner hears of it like of any read error */
        s->read_status = env_uv_error(rv);
        env_defer(&s->env->base, &s->read_task, on_read_task);
    }
}

static void stream_read_start(struct env_stream *stream, const struct env_stream_callbacks *callbacks,
                              void *data)
{
    struct uv_stream *s = stream_of(stream);
    s->callbacks = *callbacks;
    s->data = data;
    stream_read_resume(stream);
}

static void stream_read_stop(struct env_stream *stream)
{
    struct uv_stream *s = stream_of(stream);
    if (!s->reading)
        return;
    s->reading = false;
    env_task_cancel(&s->env->base, &s->read_task);
    uv_read_stop((uv_stream_t *)&s->socket->tcp);
}

/* ---- write ---- */

static void write_release(struct env_write *req)
{
    for (unsigned i = 0; i < req->n; i++)
        slice_unref(&req->slices[i]);
    free(req->slices);
    req->slices = NULL;
    req->n = 0;
}

/* Calls the callbacks of the writes that have ended by now, in order. */
static void complete_writes(struct uv_stream *s)
{
    struct env_write *req = s->completed;
    s->completed = NULL;
    s->completed_tail = &s->completed;
    while (req != NULL) {
        struct env_write *next = req->private_;
        req->cb(req, req->status);
        req = next;
    }
}

static void on_completed_task(struct env_task *task)
{
    complete_writes(container_of(task, struct uv_stream, completed_task));
}

static void complete_later(struct uv_stream *s, struct env_write *req, int status)
{
    req->status = status;
    req->private_ = NULL;
    *s->completed_tail = req;
    s->completed_tail = (struct env_write **)&req->private_;
    env_defer(&s->env->base, &s->completed_task, on_completed_task);
}

/* A write of which libuv holds the rest. */
struct queued_write {
    uv_write_t uv;
    struct uv_stream *stream;
    struct env_write *req;
};

static void on_written(uv_write_t *uv, int status)
{
    struct queued_write *queued = container_of(uv, struct queued_write, uv);
    struct uv_stream *s = queued->stream;
    struct env_write *req = queued->req;
    free(queued);
    s->queued--;
    complete_writes(s); /* earlier ones, which ended in the submitting call */
    write_release(req);
    req->cb(req, env_uv_error(status));
}

/* Hands what stands behind the first `sent` bytes to libuv. */
static void queue_rest(struct uv_stream *s, struct env_write *req, uv_buf_t *bufs, unsigned n, size_t sent)
{
    while (sent >= bufs->len) {
        sent -= bufs->len;
        bufs++;
        n--;
    }
    bufs->base += sent;
    bufs->len -= sent;

    struct queued_write *queued = memory_alloc(sizeof(*queued));
    queued->stream = s;
    queued->req = req;
    int rv = uv_write(&queued->uv, (uv_stream_t *)&s->socket->tcp, bufs, n, on_written);
    if (rv == 0) {
        s->queued++;
        return;
    }
    free(queued);
    write_release(req);
    complete_later(s, req, env_uv_error(rv));
}

static void write_bufs(struct uv_stream *s, struct env_write *req, uv_buf_t *bufs, unsigned n)
{
    int sent = 0;
    if (s->queued == 0 && req->size > 0)
        sent = uv_try_write((uv_stream_t *)&s->socket->tcp, bufs, n);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0 || (size_t)sent == req->size) {
        write_release(req);
        complete_later(s, req, sent < 0 ? env_uv_error(sent) : 0);
    } else {
        queue_rest(s, req, bufs, n, (size_t)sent);
    }
}

static int stream_write(struct env_stream *stream, struct env_write *req, const struct slice *slices,
                        unsigned n, void (*cb)(struct env_write *req, int status))
{
    enum { SMALL = 64 };
    struct uv_stream *s = stream_of(stream);
    if (s->closing || !s->connected)
        return ERR_CLOSED;
    uv_buf_t small[SMALL];
    uv_buf_t *bufs = n <= SMALL ? small : memory_alloc(n * sizeof(*bufs));
    req->cb = cb;
    req->slices = memory_dup(slices, n * sizeof(*slices));
    req->n = n;
    req->size = 0;
    for (unsigned i = 0; i < n; i++) {
        bufs[i].base = (char *)slices[i].data;
        bufs[i].len = slices[i].size;
        req->size += slices[i].size;
    }
    write_bufs(s, req, bufs, n);
    if (bufs != small)
        free(bufs);
    return 0;
}

static size_t stream_pending(const struct env_stream *stream)
{
    const struct uv_stream *s = (const struct uv_stream *)stream;
    return s->socket == NULL ? 0 : uv_stream_get_write_queue_size((const uv_stream_t *)&s->socket->tcp);
}

static const char *stream_peer(const struct env_stream *stream)
{
    return ((const struct uv_stream *)stream)->peer;
}

static const char *stream_local_host(const struct env_stream *stream)
{
    return ((const struct uv_stream *)stream)->local_host;
}

static bool stream_is_loopback(const struct env_stream *stream)
{
    return ((const struct uv_stream *)stream)->loopback;
}

/* ---- close ---- */

/* libuv has ended its writes with UV_ECANCELED by now. */
static void close_finish(struct uv_stream *s)
{
    uv_stream_connect_cancel(s);
    complete_writes(s);
    env_task_cancel(&s->env->base, &s->completed_task);
    if (s->close_cb != NULL)
        s->close_cb(s->close_data);
    uv_stream_free(s);
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct uv_stream *s = handle->data;
    free(s->socket);
    close_finish(s);
}

static void on_close_task(struct env_task *task)
{
    close_finish(container_of(task, struct uv_stream, close_task));
}

static void stream_close(struct env_stream *stream, void (*cb)(void *data), void *data)
{
    struct uv_stream *s = stream_of(stream);
    ASSERT(!s->closing);
    s->closing = true;
    s->reading = false;
    s->close_cb = cb;
    s->close_data = data;
    s->env->open--;
    env_task_cancel(&s->env->base, &s->read_task);
    uv_stream_connect_abandon(s);
    if (s->socket != NULL)
        uv_close((uv_handle_t *)&s->socket->tcp, on_socket_closed);
    else
        env_defer(&s->env->base, &s->close_task, on_close_task);
}

static const struct env_stream_ops stream_ops = {
    .read_start = stream_read_start,
    .read_stop = stream_read_stop,
    .read_resume = stream_read_resume,
    .write = stream_write,
    .pending = stream_pending,
    .peer = stream_peer,
    .local_host = stream_local_host,
    .is_loopback = stream_is_loopback,
    .close = stream_close,
};
