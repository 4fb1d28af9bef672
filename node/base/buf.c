#include "node/base/buf.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

struct buf *buf_create(size_t capacity)
{
    ASSERT(capacity <= SIZE_MAX - sizeof(struct buf));
    struct buf *b = memory_alloc(sizeof(*b) + capacity);
    b->capacity = capacity;
    b->references = 1;
    return b;
}

struct buf *buf_ref(struct buf *b)
{
    ASSERT(b->references > 0 && b->references < UINT32_MAX);
    b->references++;
    return b;
}

void buf_unref(struct buf *b)
{
    if (b == NULL)
        return;
    ASSERT(b->references > 0);
    if (--b->references == 0)
        free(b);
}

struct slice slice_of(struct buf *b, unsigned char *data, size_t size)
{
    ASSERT(data >= b->data && size <= b->capacity);
    ASSERT((size_t)(data - b->data) <= b->capacity - size);
    return (struct slice){buf_ref(b), data, size};
}

struct slice slice_ref(struct slice s)
{
    if (s.owner != NULL)
        buf_ref(s.owner);
    return s;
}

struct slice slice_sub(struct slice s, size_t from, size_t size)
{
    ASSERT(from <= s.size && size <= s.size - from);
    struct slice sub = slice_ref(s);
    if (from > 0)
        sub.data += from;
    sub.size = size;
    return sub;
}

struct slice slice_copy(const void *data, size_t size)
{
    struct buf *b = buf_create(size);
    if (size > 0)
        memcpy(b->data, data, size);
    return (struct slice){b, b->data, size};
}

void slice_unref(struct slice *s)
{
    buf_unref(s->owner);
    *s = slice_none();
}
