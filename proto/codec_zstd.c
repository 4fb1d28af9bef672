#include "proto/codec_internal.h"
#include "proto/error.h"

int zstd_frame_compress(ZSTD_CCtx **context, int level, const void *data, size_t size, struct bytes *out)
{
    if (*context == NULL)
        *context = ZSTD_createCCtx();
    if (*context == NULL)
        return ERR_OUT_OF_MEMORY;
    if (level > ZSTD_maxCLevel())
        level = ZSTD_maxCLevel();
    size_t bound = ZSTD_compressBound(size);
    bytes_reserve(out, bound);
    /* Level 0 is the library's name for its default, too. */
    size_t compressed_size = ZSTD_compressCCtx(*context, out->data + out->size, bound, data, size, level);
    if (ZSTD_isError(compressed_size))
        return ERR_OUT_OF_MEMORY;
    out->size += compressed_size;
    return 0;
}

/* Returns 1 when all input is used and the last frame is complete, 0 to go on, or an error. */
static int zstd_step(ZSTD_DCtx *context, ZSTD_inBuffer *in, struct codec_output *o)
{
    unsigned char *at;
    unsigned char probe; /* tells "exactly full" from "more to come" */
    size_t room = codec_output_room(o, in->size - in->pos, &at);
    ZSTD_outBuffer piece = {room > 0 ? at : &probe, room > 0 ? room : 1, 0};
    size_t before = in->pos;

    size_t hint = ZSTD_decompressStream(context, &piece, in);
    if (ZSTD_isError(hint))
        return ERR_CORRUPT;
    if (room == 0 && piece.pos > 0)
        return ERR_TOO_LARGE;
    if (room > 0)
        codec_output_advance(o, piece.pos);
    if (hint == 0 && in->pos == in->size)
        return 1;
    return in->pos == before && piece.pos == 0 ? ERR_CORRUPT : 0;
}

static int zstd_decompress_stream(ZSTD_DCtx *context, const void *data, size_t size, struct codec_output *o)
{
    ZSTD_inBuffer in = {data, size, 0};
    int rc;

    do {
        rc = zstd_step(context, &in, o);
    } while (rc == 0);
    return rc > 0 ? 0 : rc;
}

/* A single frame that names its size needs no window of its own: it is decompressed in one go, straight into
 * place. A claim is believed only as far as it can be true of this much input, or is small anyway. */
static bool zstd_one_shot_size(const void *data, size_t size, size_t max_size, size_t *content_size)
{
    enum { SMALL = 1024 * 1024, BELIEVABLE_RATIO = 64 };
    unsigned long long claimed = ZSTD_getFrameContentSize(data, size);

    if (claimed == ZSTD_CONTENTSIZE_UNKNOWN || claimed == ZSTD_CONTENTSIZE_ERROR || claimed > max_size)
        return false;
    if (claimed > SMALL && claimed / BELIEVABLE_RATIO > size)
        return false;
    *content_size = (size_t)claimed;
    return ZSTD_findFrameCompressedSize(data, size) == size;
}

int zstd_frame_decompress(const void *data, size_t size, size_t max_size, struct bytes *out)
{
    struct codec_output o = {out, max_size};
    size_t content_size;
    int rc = 0;
    ZSTD_DCtx *context = ZSTD_createDCtx();
    if (context == NULL)
        return ERR_OUT_OF_MEMORY;

    if (zstd_one_shot_size(data, size, max_size, &content_size)) {
        bytes_reserve(out, content_size);
        size_t n = ZSTD_decompressDCtx(context, out->data + out->size, content_size, data, size);
        if (ZSTD_isError(n))
            rc = ERR_CORRUPT;
        else
            codec_output_advance(&o, n);
    } else {
        rc = zstd_decompress_stream(context, data, size, &o);
    }
    ZSTD_freeDCtx(context);
    return rc;
}
