/* A received frame whose payload is handed to the application without a copy: the last batch that is released
 * frees it, on whatever thread. */
#ifndef CLIENT_CORE_BUFFER_H
#define CLIENT_CORE_BUFFER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

struct core_buffer {
    atomic_uint references;
    size_t size;
    unsigned char data[];
};

/* One reference. NULL when there is no memory: the size comes from a peer. */
static inline struct core_buffer *core_buffer_create(size_t size)
{
    struct core_buffer *b = malloc(sizeof(*b) + size);

    if (b != NULL) {
        atomic_init(&b->references, 1);
        b->size = size;
    }
    return b;
}

static inline struct core_buffer *core_buffer_ref(struct core_buffer *b)
{
    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return b;
}

static inline void core_buffer_unref(struct core_buffer *b)
{
    if (b != NULL && atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) == 1)
        free(b);
}

#endif
