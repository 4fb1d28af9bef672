/* Cuts a stream of bytes into frames without copying: payloads are slices of the receive buffer, which goes
 * on as long as anybody holds one. A frame that does not fit into the rest of the buffer gets a buffer of its
 * own. */
#ifndef CONSENSUS_FRAME_READER_H
#define CONSENSUS_FRAME_READER_H

#include "node/base/buf.h"
#include "proto/frame.h"

struct frame_reader {
    struct buf *chunk; /* private */
    size_t start;      /* first byte that is not parsed yet */
    size_t end;        /* where the next bytes go */
    size_t last_size;  /* of the last whole frame */
    size_t max_size;   /* of a frame; may be changed at any time */
};

struct frame {
    struct frame_head head;
    const unsigned char *header; /* valid during the callback */
    struct slice payload;        /* without a reference of its own; slice_ref to keep it */
};

void frame_reader_init(struct frame_reader *r, size_t max_size);
void frame_reader_close(struct frame_reader *r);
/* For env_stream_callbacks.alloc. */
void frame_reader_alloc(struct frame_reader *r, unsigned char **into, size_t *size);
/* `n` bytes arrived. Calls `each` per whole frame until it returns nonzero, which is then returned: the
 * reader may be gone by then and is not touched any more. Negative: the bytes are no frame. */
int frame_reader_feed(struct frame_reader *r, size_t n, int (*each)(void *data, const struct frame *frame),
                      void *data);

#endif
