/* Reference-counted buffers and slices of them: what is read from a socket is the same memory that goes to the file, to
 * the followers and to waiting fetches.
 *
 * Thread rule: reference counts are plain integers and belong to the loop. A worker thread may read (or fill) the bytes
 * of a slice whose reference the loop holds for it. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    size_t capacity; /* read-only */
    uint32_t references; /* private */
    unsigned char data[];
};

/* One reference, owned by the caller. Aborts on out-of-memory. */
struct buf *buf_create(size_t capacity);
struct buf *buf_ref(struct buf *b);
void buf_unref(struct buf *b); /* NULL is fine */

/* A view that holds one reference on `owner`. `owner` may be NULL for static bytes, which need no reference. */
struct slice {
    struct buf *owner;
    unsigned char *data;
    size_t size;
};

static inline struct slice slice_none(void)
{
    return (struct slice){NULL, NULL, 0};
}
/* A new reference to [data, data + size) within b. */
struct slice slice_of(struct buf *b, unsigned char *data, size_t size);
/* A new slice with a reference of its own. */
struct slice slice_ref(struct slice s);
struct slice slice_sub(struct slice s, size_t from, size_t size);
/* A copy in a fresh buffer. */
struct slice slice_copy(const void *data, size_t size);
/* Drops the reference and empties the slice. */
void slice_unref(struct slice *s);

#endif
