/* Cuts a byte stream into frames, straight into reference-counted buffers. The frames' format is the native
 * one unless another is given.
 *
 * All connections of a node read into one shared chunk, so that an idle connection holds no buffer at all. A
 * frame that is whole in the chunk is parsed there. What is left over, a frame's beginning, moves to a buffer
 * of the connection's own that has room for the whole frame, and the rest is read right there: a byte is
 * copied once at most. Buffers for big frames grow with what has arrived, not with what the peer announced.
 *
 * A payload is a slice of the buffer it was read into, unless that would keep far more memory alive than the
 * payload is long (a batch stays referenced for as long as it is in a log's tail cache): then it is a copy.
 */
#ifndef SERVER_FRAME_INPUT_H
#define SERVER_FRAME_INPUT_H

#include "node/base/buf.h"
#include "proto/frame.h"

enum {
    READ_CHUNK_SIZE = 256 * 1024,
    /* The first buffer for a bigger frame; from there it grows by factors. */
    READ_FIRST_GROWTH = 1024 * 1024,
    /* Enough of a stream's beginning to tell protocols apart. */
    FRAME_SNIFF_SIZE = 8,
};

struct read_pool {
    struct buf *chunk; /* private */
    size_t held_bytes; /* read-only: of all inputs, for frames that are not whole yet */
};
void read_pool_init(struct read_pool *pool);
void read_pool_close(struct read_pool *pool);

struct frame_input;

struct frame_format {
    size_t head_size; /* bytes that tell how long a frame is */
    /* The whole size of the frame that begins with `head`. 0, ERR_TOO_LARGE or ERR_PROTOCOL. */
    int (*measure)(const struct frame_input *in, const unsigned char *head, size_t *size);
};
extern const struct frame_format frame_input_native;

struct frame_input {
    struct read_pool *pool;            /* private */
    const struct frame_format *format; /* private */
    struct buf *own;                   /* private: NULL when nothing is left over */
    struct buf *source;                /* private: the buffer of `at`, own or the pool's */
    unsigned char *at, *end;           /* private: not parsed yet */
    size_t max_frame_size;             /* may be changed between frames */
    size_t max_header_size;
    size_t last_size; /* private: of the last whole frame */
    bool parsed_any;  /* private: the first frame has been seen */
};

struct client_frame {
    struct frame_head head;
    const unsigned char *header; /* head.header_length bytes, valid until the next frame_input call */
    struct slice payload;        /* the caller owns the reference */
};

/* It borrows `pool`, which outlives it. */
void frame_input_init(struct frame_input *in, struct read_pool *pool, size_t max_frame_size,
                      size_t max_header_size);
void frame_input_init_format(struct frame_input *in, struct read_pool *pool,
                             const struct frame_format *format, size_t max_frame_size);
void frame_input_close(struct frame_input *in);
/* Where the next bytes go; at least one byte of space. What is put there must be reported with
 * frame_input_filled before any other input of the pool is asked for space. */
void frame_input_space(struct frame_input *in, unsigned char **into, size_t *size);
void frame_input_filled(struct frame_input *in, size_t size);
/* Any format: 1: the next frame's bytes, head included, valid until the next frame_input call; 0 and errors
 * as below. */
int frame_input_cut(struct frame_input *in, unsigned char **frame, size_t *size);
/* A reference to a piece of the frame that was cut last, or a copy (see above). The caller owns it. */
struct slice frame_input_take(struct frame_input *in, unsigned char *data, size_t size);
/* Native: 1: a frame; 0: more bytes are needed; ERR_TOO_LARGE, ERR_PROTOCOL: the stream cannot be parsed any
 * further.
 */
int frame_input_next(struct frame_input *in, struct client_frame *frame);
/* Must follow the last frame_input_next of a turn, also when frames are left: moves what is left out of the
 * shared chunk. */
void frame_input_settle(struct frame_input *in);
/* The first FRAME_SNIFF_SIZE bytes of the stream once they are here and until the first frame has been cut;
 * else NULL. */
const void *frame_input_first(const struct frame_input *in);
/* Bytes that are held for a frame which is not whole yet. */
size_t frame_input_held(const struct frame_input *in);

#endif
