#include "client/driver/connection.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SLICES = 64 };

static void connection_begin(struct driver_connection *c, const struct sockaddr *address);

static void connection_begin_next(struct driver_connection *c)
{
    const struct addrinfo *next = c->address;

    c->address = next->ai_next;
    connection_begin(c, next->ai_addr);
}

/* ---- the end ---- */

static void connection_ended(struct driver_connection *c)
{
    struct driver *driver = c->driver;

    if (c->addresses != NULL)
        uv_freeaddrinfo(c->addresses);
    c->addresses = c->address = NULL;
    c->is_busy = c->is_connected = c->is_closing = c->has_output = false;
    core_advance(driver->core, uv_hrtime());
    core_disconnected(driver->core, c->number, c->reason);
}

static void on_closed(uv_handle_t *handle)
{
    struct driver_connection *c = handle->data;

    c->is_open = false;
    if (!c->is_connected && !c->is_closing && c->address != NULL)
        connection_begin_next(c); /* the host has another address */
    else
        connection_ended(c);
}

static void connection_fail(struct driver_connection *c, int reason)
{
    c->reason = reason;
    if (c->is_open && !uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void driver_connection_close(void *data, uint32_t number)
{
    struct driver *driver = data;
    struct driver_connection *c = driver->connections[number];

    c->is_closing = true;
    if (c->is_resolving)
        uv_cancel((uv_req_t *)&c->resolve);
    else
        connection_fail(c, ERR_CLOSED);
}

/* ---- input ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct driver_connection *c = handle->data;
    unsigned char *data;
    size_t size;

    (void)suggested;
    core_receive_buffer(c->driver->core, c->number, &data, &size);
    *buf = uv_buf_init((char *)data, size < UINT32_MAX ? (unsigned)size : UINT32_MAX);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct driver_connection *c = stream->data;

    (void)buf;
    if (size < 0) {
        connection_fail(c, size == UV_EOF ? ERR_CONNECTION_LOST : error_from_errno((int)size));
    } else if (size > 0) {
        core_advance(c->driver->core, uv_hrtime());
        core_received(c->driver->core, c->number, (size_t)size);
    }
}

/* ---- connecting ---- */

static void on_connected(uv_connect_t *request, int status)
{
    struct driver_connection *c = request->data;

    if (status != 0) {
        connection_fail(c, error_from_errno(status));
        return;
    }
    if (c->is_closing)
        return;
    c->is_connected = true;
    uv_tcp_nodelay(&c->tcp, 1);
    core_advance(c->driver->core, uv_hrtime());
    core_connected(c->driver->core, c->number);
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

/* A failure ends in on_closed, never here. */
static void connection_begin(struct driver_connection *c, const struct sockaddr *address)
{
    uv_tcp_init(&c->driver->loop, &c->tcp);
    c->tcp.data = c;
    c->connect.data = c;
    c->is_open = true;
    int rc = uv_tcp_connect(&c->connect, &c->tcp, address, on_connected);
    if (rc != 0)
        connection_fail(c, error_from_errno(rc));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct driver_connection *c = request->data;

    c->is_resolving = false;
    c->addresses = c->address = addresses;
    c->reason = ERR_UNREACHABLE;
    if (status != 0 || c->is_closing || addresses == NULL)
        connection_ended(c);
    else
        connection_begin_next(c);
}

static struct driver_connection *connection_get(struct driver *driver, uint32_t number)
{
    struct driver_connection *c = driver->connections[number];

    if (c != NULL)
        return c;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        abort();
    c->driver = driver;
    c->number = number;
    driver->connections[number] = c;
    return c;
}

static bool is_numeric(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    return uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)address) == 0;
}

void driver_connection_open(void *data, uint32_t number, const char *host, uint16_t port)
{
    struct driver *driver = data;
    struct driver_connection *c = connection_get(driver, number);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct sockaddr_storage address;
    char service[8];

    c->is_busy = true;
    if (is_numeric(host, port, &address)) {
        connection_begin(c, (const struct sockaddr *)&address);
        return;
    }
    snprintf(service, sizeof(service), "%u", port);
    c->is_resolving = true;
    c->resolve.data = c;
    if (uv_getaddrinfo(&driver->loop, &c->resolve, on_resolved, host, service, &hints) != 0)
        abort(); /* only for arguments that are out of bounds, or without memory */
}

/* ---- output ---- */

void driver_connection_output(void *data, uint32_t number)
{
    struct driver *driver = data;

    driver->connections[number]->has_output = true;
    driver->has_output = true;
}

static void on_written(uv_write_t *request, int status)
{
    struct driver_connection *c = request->data;

    c->is_writing = false;
    if (status != 0) {
        connection_fail(c, error_from_errno(status));
        return;
    }
    core_advance(c->driver->core, uv_hrtime());
    core_sent(c->driver->core, c->number, c->write_size);
    driver_connection_output(c->driver, c->number);
}

static size_t output_take(struct driver_connection *c, uv_buf_t bufs[MAX_SLICES], size_t *size)
{
    struct core_slice slices[MAX_SLICES];
    size_t count = core_output(c->driver->core, c->number, slices, MAX_SLICES);

    *size = 0;
    for (size_t i = 0; i < count; i++) {
        bufs[i] = uv_buf_init((char *)slices[i].data, (unsigned)slices[i].size);
        *size += slices[i].size;
    }
    return count;
}

/* Sends what fits the socket's buffer; the rest is left to the loop, one write at a time. */
static void connection_flush(struct driver_connection *c)
{
    uv_buf_t bufs[MAX_SLICES];
    size_t size;

    c->has_output = false;
    while (c->is_connected && !c->is_writing && !uv_is_closing((uv_handle_t *)&c->tcp)) {
        size_t count = output_take(c, bufs, &size);
        if (count == 0)
            return;
        int sent = uv_try_write((uv_stream_t *)&c->tcp, bufs, (unsigned)count);
        if (sent >= 0) {
            core_sent(c->driver->core, c->number, (size_t)sent);
            if ((size_t)sent == size)
                continue;
        } else if (sent != UV_EAGAIN) {
            connection_fail(c, error_from_errno(sent));
            return;
        }
        count = output_take(c, bufs, &c->write_size);
        if (count == 0)
            return;
        c->write.data = c;
        c->is_writing = true;
        int rc = uv_write(&c->write, (uv_stream_t *)&c->tcp, bufs, (unsigned)count, on_written);
        if (rc != 0) {
            c->is_writing = false;
            connection_fail(c, error_from_errno(rc));
        }
    }
}

void driver_connections_flush(struct driver *driver)
{
    while (driver->has_output) {
        driver->has_output = false;
        for (uint32_t i = 0; i < CORE_MAX_CONNECTIONS; i++)
            if (driver->connections[i] != NULL && driver->connections[i]->has_output)
                connection_flush(driver->connections[i]);
    }
}

void driver_connections_close(struct driver *driver)
{
    for (uint32_t i = 0; i < CORE_MAX_CONNECTIONS; i++)
        if (driver->connections[i] != NULL && driver->connections[i]->is_busy)
            driver_connection_close(driver, i);
}

void driver_connections_free(struct driver *driver)
{
    for (uint32_t i = 0; i < CORE_MAX_CONNECTIONS; i++)
        free(driver->connections[i]);
}
