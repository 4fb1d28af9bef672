/* Wakes the loop from another thread, by an eventfd of our own. uv_async of libuv before 1.45 makes the loop
 * spin, and then give up its processor, until the sending thread has come back from the write that woke the
 * loop: tens of microseconds when both share a processor, milliseconds when others want it too. */
#include "node/base/assert.h"
#include "node/env/env_uv.h"
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct loop_wake *wake = poll->data;
    uint64_t times;
    (void)status;
    (void)events;
    if (read(wake->fd, &times, sizeof(times)) == sizeof(times))
        wake->cb(wake);
}

void loop_wake_init(struct loop_wake *wake, uv_loop_t *loop, void (*cb)(struct loop_wake *wake))
{
    wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ASSERT(wake->fd >= 0);
    wake->cb = cb;
    int rv = uv_poll_init(loop, &wake->poll, wake->fd);
    ASSERT(rv == 0);
    wake->poll.data = wake;
    rv = uv_poll_start(&wake->poll, UV_READABLE, on_readable);
    ASSERT(rv == 0);
    uv_unref((uv_handle_t *)&wake->poll);
}

void loop_wake_send(struct loop_wake *wake)
{
    static const uint64_t once = 1;
    ssize_t n;
    do {
        n = write(wake->fd, &once, sizeof(once));
    } while (n < 0 && errno == EINTR);
    ASSERT(n == sizeof(once) || errno == EAGAIN); /* full: it will wake anyway */
}

static void on_closed(uv_handle_t *handle)
{
    struct loop_wake *wake = handle->data;
    close(wake->fd);
    wake->closed(wake);
}

void loop_wake_close(struct loop_wake *wake, void (*closed)(struct loop_wake *wake))
{
    wake->closed = closed;
    uv_close((uv_handle_t *)&wake->poll, on_closed);
}
