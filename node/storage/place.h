/* A place in a log: where a batch stands and what must be true of it. Walking batch by batch from a known
 * place checks the fields that a batch's CRC does not cover: the base offset must continue, and the epoch
 * must be the term in force. */
#ifndef STORAGE_PLACE_H
#define STORAGE_PLACE_H

#include "proto/batch.h"

struct place {
    uint64_t position;        /* of the next batch, in its segment */
    uint64_t index;           /* of the next batch */
    int64_t offset;           /* that the next data batch must take */
    uint64_t term;            /* of the entry before; 0: unknown, the next batch's counts */
    int64_t max_timestamp_ms; /* of the segment's batches before; -1: none */
};

enum { PLACE_MORE = 0, PLACE_BATCH = 1 };

/* Looks at the batch that begins at `data`.
 * PLACE_BATCH: it continues the log, and `at` stands behind it. With `check_crc`, all of it was checked;
 * without, a data batch needs only its header to be there. PLACE_MORE: header->size bytes are needed to tell.
 * ERR_CORRUPT: this is not the batch that must stand here. */
int place_step(struct place *at, const unsigned char *data, size_t available, size_t max_batch_bytes,
               bool check_crc, struct batch_header *header);

#endif
