/* A file descriptor that is readable as long as its owner has something for the application. Used under the
 * owner's lock. */
#ifndef CLIENT_CORE_NOTIFY_H
#define CLIENT_CORE_NOTIFY_H

#include "proto/error.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct notify {
    bool is_open; /* somebody wants it */
    bool is_raised;
    int fd;
};

static inline int notify_open(struct notify *n)
{
    if (n->is_open)
        return n->fd;
    n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (n->fd < 0)
        return error_from_errno(errno);
    n->is_open = true;
    return n->fd;
}

static inline void notify_close(struct notify *n)
{
    if (n->is_open)
        close(n->fd);
    n->is_open = false;
}

/* An eventfd of ours can neither be full nor, when raised, empty. */
static inline void notify_set(struct notify *n, bool raised)
{
    uint64_t value = 1;

    if (!n->is_open || n->is_raised == raised)
        return;
    n->is_raised = raised;
    ssize_t size = raised ? write(n->fd, &value, sizeof(value)) : read(n->fd, &value, sizeof(value));
    (void)size;
}

#endif
