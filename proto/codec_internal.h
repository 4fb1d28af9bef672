/* Private to codec*.c: one pair of functions per codec, with the contracts of codec_compress and
 * codec_decompress. */
#ifndef PROTO_CODEC_INTERNAL_H
#define PROTO_CODEC_INTERNAL_H

#include "proto/bytes.h"
#include <stdbool.h>
#define ZLIB_CONST
#include <zlib.h>
#include <zstd.h>

struct gzip_encoder {
    z_stream stream;
    int level;
    bool ready;
};

int gzip_compress(struct gzip_encoder *e, int level, const void *data, size_t size, struct bytes *out);
void gzip_encoder_close(struct gzip_encoder *e);
int gzip_decompress(const void *data, size_t size, size_t max_size, struct bytes *out);

int snappy_frame_compress(const void *data, size_t size, struct bytes *out);
int snappy_frame_decompress(const void *data, size_t size, size_t max_size, struct bytes *out);

int lz4_frame_compress(int level, const void *data, size_t size, struct bytes *out);
int lz4_frame_decompress(const void *data, size_t size, size_t max_size, struct bytes *out);

/* `*context` is created at the first call; free it with ZSTD_freeCCtx. */
int zstd_frame_compress(ZSTD_CCtx **context, int level, const void *data, size_t size, struct bytes *out);
int zstd_frame_decompress(const void *data, size_t size, size_t max_size, struct bytes *out);

/* An output that grows step by step up to a maximum, for codecs that do not say how much will come. */
struct codec_output {
    struct bytes *out;
    size_t left; /* of the maximum */
};
/* Room for the next piece: begins at the end of `out`; at least one byte, or 0 when the maximum is reached.
 */
size_t codec_output_room(struct codec_output *o, size_t input_size, unsigned char **at);
void codec_output_advance(struct codec_output *o, size_t size);

#endif
