/* The compression codecs of record batches, in the framings that Kafka clients write: gzip members, snappy in
 * xerial's blocks (bare snappy is read as well), LZ4 frames with independent blocks, Zstandard frames. */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H

#include "proto/batch.h"
#include "proto/bytes.h"
#include <stddef.h>

/* Contexts of the codecs that are costly to set up; kept from batch to batch. Not thread-safe. */
struct codec_encoder;

struct codec_encoder *codec_encoder_create(void);    /* aborts on out-of-memory; sets up nothing yet */
void codec_encoder_destroy(struct codec_encoder *e); /* NULL is fine */

/* Appends `data` compressed to `out`. `level` 0 is the codec's default, others are clamped to the codec's
 * range (and ignored by snappy). Not for BATCH_NONE. Returns 0, or ERR_OUT_OF_MEMORY with `out` as it was. */
int codec_compress(struct codec_encoder *e, enum batch_codec codec, int level, const void *data, size_t size,
                   struct bytes *out);

/* Appends `data` decompressed to `out`, at most `max_size` bytes; not for BATCH_NONE. Memory grows with what
 * was really decompressed, not with what the data claims. Returns 0, ERR_TOO_LARGE, ERR_CORRUPT,
 * ERR_OUT_OF_MEMORY, or ERR_UNSUPPORTED for an unknown codec; after an error `out` may hold a part. */
int codec_decompress(enum batch_codec codec, const void *data, size_t size, size_t max_size,
                     struct bytes *out);

#endif
