/* Walks the batches of a segment file from a known place on. Blocking, for worker threads and start-up. */
#ifndef STORAGE_WALKER_H
#define STORAGE_WALKER_H

#include "node/env/env.h"
#include "node/storage/place.h"

struct walker {
    struct place at;       /* of the next batch; where the walk stopped after an error */
    struct env_file *file; /* private from here */
    uint64_t end;
    size_t max_batch_bytes;
    bool whole;
    unsigned char *chunk;
    size_t capacity;
    size_t size;
    uint64_t chunk_position;
};

/* Reads nothing from position `end` on. `whole`: each batch is read and its CRC checked; otherwise headers
 * only (control batches are always read whole, unchecked). The file is not owned. */
void walker_init(struct walker *w, struct env_file *file, const struct place *from, uint64_t end,
                 size_t max_batch_bytes, bool whole);
void walker_close(struct walker *w);
/* 1: `header` and, when `bytes` is not NULL and the batch was read whole, its bytes (valid until the next
 * call); 0: exactly at the end; ERR_CORRUPT: what stands at w->at is not a batch that continues the log; else
 * the error of the read. */
int walker_next(struct walker *w, struct batch_header *header, const unsigned char **bytes);

/* Moves a header walk to the batch that holds `index` (or `offset`): w->at is the place before it. 1: there;
 * 0: the end came first; or an error. */
int walker_seek_index(struct walker *w, uint64_t index);
int walker_seek_offset(struct walker *w, int64_t offset);

#endif
