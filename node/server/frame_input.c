#include "node/server/frame_input.h"
#include "node/base/assert.h"
#include "proto/error.h"
#include <string.h>

enum {
    OWN_MIN_SIZE = 16 * 1024,
    /* A slice may keep this many times its own size alive. */
    PIN_FACTOR = 4,
    GROWTH_FACTOR = 4,
    LARGE_FRAME = 64 * 1024,
    PEEK_SIZE =
        4096, /* after a large frame: reads the next one's head and hardly more, as that has to be moved */
};

void read_pool_init(struct read_pool *pool)
{
    pool->chunk = NULL;
    pool->held_bytes = 0;
}

void read_pool_close(struct read_pool *pool)
{
    buf_unref(pool->chunk);
    pool->chunk = NULL;
}

/* A chunk that somebody still references a slice of is left to them. */
static struct buf *read_pool_chunk(struct read_pool *pool)
{
    if (pool->chunk != NULL && pool->chunk->references > 1) {
        buf_unref(pool->chunk);
        pool->chunk = NULL;
    }
    if (pool->chunk == NULL)
        pool->chunk = buf_create(READ_CHUNK_SIZE);
    return pool->chunk;
}

void frame_input_init_format(struct frame_input *in, struct read_pool *pool,
                             const struct frame_format *format, size_t max_frame_size)
{
    *in = (struct frame_input){.pool = pool, .format = format, .max_frame_size = max_frame_size};
}

void frame_input_init(struct frame_input *in, struct read_pool *pool, size_t max_frame_size,
                      size_t max_header_size)
{
    frame_input_init_format(in, pool, &frame_input_native, max_frame_size);
    in->max_header_size = max_header_size;
}

static void set_own(struct frame_input *in, struct buf *own)
{
    in->pool->held_bytes -= frame_input_held(in);
    buf_unref(in->own);
    in->own = own;
    in->pool->held_bytes += frame_input_held(in);
}

void frame_input_close(struct frame_input *in)
{
    set_own(in, NULL);
    in->source = NULL;
    in->at = in->end = NULL;
}

static size_t left(const struct frame_input *in)
{
    return (size_t)(in->end - in->at);
}

void frame_input_space(struct frame_input *in, unsigned char **into, size_t *size)
{
    if (in->own == NULL) {
        in->source = read_pool_chunk(in->pool);
        in->at = in->end = in->source->data;
    }
    *into = in->end;
    *size = (size_t)(in->source->data + in->source->capacity - in->end);
    if (in->own == NULL && in->last_size > LARGE_FRAME)
        *size = PEEK_SIZE;
    ASSERT(*size > 0);
}

void frame_input_filled(struct frame_input *in, size_t size)
{
    ASSERT(size <= (size_t)(in->source->data + in->source->capacity - in->end));
    in->end += size;
}

struct slice frame_input_take(struct frame_input *in, unsigned char *data, size_t size)
{
    if (size == 0)
        return slice_none();
    if (size >= in->source->capacity / PIN_FACTOR)
        return slice_of(in->source, data, size);
    return slice_copy(data, size);
}

int frame_input_cut(struct frame_input *in, unsigned char **frame, size_t *size)
{
    if (left(in) < in->format->head_size)
        return 0;
    int rv = in->format->measure(in, in->at, size);
    if (rv != 0)
        return rv;
    if (left(in) < *size)
        return 0;
    *frame = in->at;
    in->at += *size;
    in->last_size = *size;
    in->parsed_any = true;
    return 1;
}

/* ---- native frames ---- */

static int decode_head(const struct frame_input *in, const unsigned char *at, struct frame_head *head)
{
    int rv = frame_head_decode(at, in->max_frame_size, head);
    if (rv == 0 && head->header_length > in->max_header_size)
        return ERR_TOO_LARGE;
    return rv;
}

static int measure_native(const struct frame_input *in, const unsigned char *at, size_t *size)
{
    struct frame_head head;
    int rv = decode_head(in, at, &head);
    if (rv == 0)
        *size = frame_size(&head);
    return rv;
}

const struct frame_format frame_input_native = {FRAME_HEAD_SIZE, measure_native};

int frame_input_next(struct frame_input *in, struct client_frame *frame)
{
    unsigned char *at = NULL;
    size_t size;
    int rv = frame_input_cut(in, &at, &size);
    if (rv != 1)
        return rv;
    rv = decode_head(in, at, &frame->head);
    ASSERT(rv == 0); /* it has been measured */
    frame->header = at + FRAME_HEAD_SIZE;
    frame->payload = frame_input_take(in, at + FRAME_HEAD_SIZE + frame->head.header_length,
                                      frame_payload_size(&frame->head));
    return 1;
}

/* ---- what is left ---- */

/* How large a buffer the bytes that are left deserve: the whole frame when it is small, otherwise in
 * proportion to what has arrived of it. */
static size_t wanted_capacity(const struct frame_input *in)
{
    size_t held = left(in);
    size_t wanted;
    if (held < in->format->head_size || in->format->measure(in, in->at, &wanted) != 0)
        wanted = OWN_MIN_SIZE;
    size_t bound = held * GROWTH_FACTOR;
    if (bound < READ_FIRST_GROWTH)
        bound = READ_FIRST_GROWTH;
    if (wanted > bound)
        wanted = bound;
    /* Whole frames that wait because the connection is paused, and room for one byte more. */
    if (wanted <= held)
        wanted = held + 1;
    return wanted < OWN_MIN_SIZE ? OWN_MIN_SIZE : wanted;
}

static void move_to_own(struct frame_input *in)
{
    size_t size = left(in);
    struct buf *fresh = buf_create(wanted_capacity(in));
    memcpy(fresh->data, in->at, size);
    set_own(in, fresh);
    in->source = fresh;
    in->at = fresh->data;
    in->end = fresh->data + size;
}

void frame_input_settle(struct frame_input *in)
{
    if (left(in) == 0) {
        frame_input_close(in);
        return;
    }
    bool shared = in->own == NULL;
    if (shared || in->end == in->own->data + in->own->capacity)
        move_to_own(in);
}

const void *frame_input_first(const struct frame_input *in)
{
    return in->parsed_any || left(in) < FRAME_SNIFF_SIZE ? NULL : in->at;
}

size_t frame_input_held(const struct frame_input *in)
{
    return in->own != NULL ? in->own->capacity : 0;
}
