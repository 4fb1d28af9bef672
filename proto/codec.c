#include "proto/codec.h"
#include "proto/codec_internal.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

static const char *const codec_names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
enum { CODEC_COUNT = sizeof(codec_names) / sizeof(codec_names[0]) };

int batch_codec_parse(const char *name)
{
    for (int i = 0; i < CODEC_COUNT; i++)
        if (strcmp(codec_names[i], name) == 0)
            return i;
    return -1;
}

const char *batch_codec_name(enum batch_codec codec)
{
    return (unsigned)codec < CODEC_COUNT ? codec_names[codec] : "unknown";
}

struct codec_encoder {
    struct gzip_encoder gzip;
    ZSTD_CCtx *zstd;
};

struct codec_encoder *codec_encoder_create(void)
{
    struct codec_encoder *e = calloc(1, sizeof(*e));
    if (e == NULL)
        abort();
    return e;
}

void codec_encoder_destroy(struct codec_encoder *e)
{
    if (e == NULL)
        return;
    gzip_encoder_close(&e->gzip);
    ZSTD_freeCCtx(e->zstd);
    free(e);
}

int codec_compress(struct codec_encoder *e, enum batch_codec codec, int level, const void *data, size_t size,
                   struct bytes *out)
{
    switch (codec) {
    case BATCH_GZIP:
        return gzip_compress(&e->gzip, level, data, size, out);
    case BATCH_SNAPPY:
        return snappy_frame_compress(data, size, out);
    case BATCH_LZ4:
        return lz4_frame_compress(level, data, size, out);
    case BATCH_ZSTD:
        return zstd_frame_compress(&e->zstd, level, data, size, out);
    case BATCH_NONE:
    default:
        return ERR_UNSUPPORTED;
    }
}

int codec_decompress(enum batch_codec codec, const void *data, size_t size, size_t max_size,
                     struct bytes *out)
{
    switch (codec) {
    case BATCH_GZIP:
        return gzip_decompress(data, size, max_size, out);
    case BATCH_SNAPPY:
        return snappy_frame_decompress(data, size, max_size, out);
    case BATCH_LZ4:
        return lz4_frame_decompress(data, size, max_size, out);
    case BATCH_ZSTD:
        return zstd_frame_decompress(data, size, max_size, out);
    case BATCH_NONE:
    default:
        return ERR_UNSUPPORTED;
    }
}

size_t codec_output_room(struct codec_output *o, size_t input_size, unsigned char **at)
{
    enum { MIN_STEP = 4096, USUAL_RATIO = 4 };
    size_t step = o->out->size + input_size * USUAL_RATIO; /* at least doubles what is there */

    if (step < MIN_STEP)
        step = MIN_STEP;
    if (step > o->left)
        step = o->left;
    bytes_reserve(o->out, step);
    *at = o->out->data + o->out->size;
    return step;
}

void codec_output_advance(struct codec_output *o, size_t size)
{
    o->out->size += size;
    o->left -= size;
}
