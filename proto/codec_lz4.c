#include "proto/codec_internal.h"
#include "proto/error.h"
#include <lz4frame.h>

int lz4_frame_compress(int level, const void *data, size_t size, struct bytes *out)
{
    /* Kafka's Java client reads only frames of independent blocks. */
    LZ4F_preferences_t preferences = {
        .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
        .compressionLevel = level < 0                             ? 0
                            : level > LZ4F_compressionLevel_max() ? LZ4F_compressionLevel_max()
                                                                  : level,
    };
    size_t bound = LZ4F_compressFrameBound(size, &preferences);

    bytes_reserve(out, bound);
    size_t compressed_size = LZ4F_compressFrame(out->data + out->size, bound, data, size, &preferences);
    if (LZ4F_isError(compressed_size))
        return ERR_OUT_OF_MEMORY;
    out->size += compressed_size;
    return 0;
}

/* Returns 1 when all input is used and the last frame is complete, 0 to go on, or an error. */
static int lz4_step(LZ4F_dctx *context, struct reader *r, struct codec_output *o)
{
    unsigned char *at;
    unsigned char probe; /* tells "exactly full" from "more to come" */
    size_t room = codec_output_room(o, reader_left(r), &at);
    size_t written = room > 0 ? room : 1;
    size_t used = reader_left(r);

    size_t hint = LZ4F_decompress(context, room > 0 ? at : &probe, &written, r->at, &used, NULL);
    if (LZ4F_isError(hint))
        return ERR_CORRUPT;
    r->at += used;
    if (room == 0 && written > 0)
        return ERR_TOO_LARGE;
    if (room > 0)
        codec_output_advance(o, written);
    if (hint == 0 && reader_left(r) == 0)
        return 1;
    return used == 0 && written == 0 ? ERR_CORRUPT : 0;
}

int lz4_frame_decompress(const void *data, size_t size, size_t max_size, struct bytes *out)
{
    struct codec_output o = {out, max_size};
    struct reader r;
    LZ4F_dctx *context;
    int rc;

    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)))
        return ERR_OUT_OF_MEMORY;
    reader_init(&r, data, size);
    do {
        rc = lz4_step(context, &r, &o);
    } while (rc == 0);
    LZ4F_freeDecompressionContext(context);
    return rc > 0 ? 0 : rc;
}
