#include "node/consensus/frame_reader.h"
#include <string.h>

enum {
    CHUNK_SIZE = 128 * 1024,
    MIN_READ = 2048,
    LARGE_FRAME = 64 * 1024,
    PEEK_SIZE =
        4096, /* after a large frame: reads the next one's head and hardly more, as that has to be moved */
};

void frame_reader_init(struct frame_reader *r, size_t max_size)
{
    *r = (struct frame_reader){.max_size = max_size};
}

void frame_reader_close(struct frame_reader *r)
{
    buf_unref(r->chunk);
    r->chunk = NULL;
}

/* Goes on in a fresh buffer, which begins with what is not parsed yet. */
static void change_chunk(struct frame_reader *r, size_t capacity)
{
    struct buf *old = r->chunk;
    size_t left = r->end - r->start;
    r->chunk = buf_create(capacity);
    if (old && left > 0)
        memcpy(r->chunk->data, old->data + r->start, left);
    r->start = 0;
    r->end = left;
    buf_unref(old);
}

void frame_reader_alloc(struct frame_reader *r, unsigned char **into, size_t *size)
{
    if (!r->chunk || (r->start == r->end && r->chunk->capacity - r->end < MIN_READ))
        change_chunk(r, r->last_size > LARGE_FRAME ? PEEK_SIZE : CHUNK_SIZE);
    *into = r->chunk->data + r->end;
    *size = r->chunk->capacity - r->end;
}

/* Makes room for the rest of a frame that has begun. */
static int make_room(struct frame_reader *r)
{
    size_t left = r->end - r->start;
    size_t need = MIN_READ;
    if (left >= FRAME_HEAD_SIZE) {
        struct frame_head head;
        int rv = frame_head_decode(r->chunk->data + r->start, r->max_size, &head);
        if (rv != 0)
            return rv;
        need = frame_size(&head);
    }
    if (left > 0 && r->start + need > r->chunk->capacity)
        change_chunk(r, need > CHUNK_SIZE / 2 ? need : CHUNK_SIZE);
    return 0;
}

int frame_reader_feed(struct frame_reader *r, size_t n, int (*each)(void *data, const struct frame *frame),
                      void *data)
{
    r->end += n;
    while (r->end - r->start >= FRAME_HEAD_SIZE) {
        unsigned char *at = r->chunk->data + r->start;
        struct frame frame;
        int rv = frame_head_decode(at, r->max_size, &frame.head);
        if (rv != 0)
            return rv;
        size_t size = frame_size(&frame.head);
        if (r->end - r->start < size)
            break;
        frame.header = at + FRAME_HEAD_SIZE;
        frame.payload.owner = r->chunk;
        frame.payload.data = at + FRAME_HEAD_SIZE + frame.head.header_length;
        frame.payload.size = frame_payload_size(&frame.head);
        r->start += size;
        r->last_size = size;
        rv = each(data, &frame);
        if (rv != 0)
            return rv;
    }
    return make_room(r);
}
