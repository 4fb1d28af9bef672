#include "proto/codec_internal.h"
#include "proto/error.h"
#include <limits.h>

enum { GZIP_WINDOW_BITS = 15 + 16 /* the largest window, with a gzip header */, GZIP_MEMORY_LEVEL = 8 };

static int gzip_encoder_prepare(struct gzip_encoder *e, int level)
{
    if (level == 0)
        level = Z_DEFAULT_COMPRESSION;
    else if (level < 1)
        level = 1;
    else if (level > 9)
        level = 9;

    if (e->ready && e->level == level)
        return deflateReset(&e->stream) == Z_OK ? 0 : ERR_UNKNOWN;
    gzip_encoder_close(e);
    if (deflateInit2(&e->stream, level, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return ERR_OUT_OF_MEMORY;
    e->level = level;
    e->ready = true;
    return 0;
}

void gzip_encoder_close(struct gzip_encoder *e)
{
    if (e->ready)
        deflateEnd(&e->stream);
    *e = (struct gzip_encoder){0};
}

int gzip_compress(struct gzip_encoder *e, int level, const void *data, size_t size, struct bytes *out)
{
    int rc = gzip_encoder_prepare(e, level);
    if (rc != 0)
        return rc;
    size_t bound = deflateBound(&e->stream, size);
    if (size > UINT_MAX || bound > UINT_MAX)
        return ERR_TOO_LARGE;

    bytes_reserve(out, bound);
    e->stream.next_in = (const Bytef *)data;
    e->stream.avail_in = (uInt)size;
    e->stream.next_out = out->data + out->size;
    e->stream.avail_out = (uInt)bound;
    if (deflate(&e->stream, Z_FINISH) != Z_STREAM_END)
        return ERR_UNKNOWN;
    out->size += bound - e->stream.avail_out;
    return 0;
}

/* Inflates into the room there is. Returns 1 at the end of the last member, 0 to go on, or an error. */
static int gzip_step(z_stream *stream, struct codec_output *o)
{
    unsigned char *at;
    size_t room = codec_output_room(o, stream->avail_in, &at);
    if (room > UINT_MAX)
        room = UINT_MAX;
    unsigned char probe; /* tells "exactly full" from "more to come" */
    bool full = room == 0;

    stream->next_out = full ? &probe : at;
    stream->avail_out = full ? 1 : (uInt)room;
    int rc = inflate(stream, Z_NO_FLUSH);
    if (full && stream->avail_out == 0)
        return ERR_TOO_LARGE;
    if (!full)
        codec_output_advance(o, room - stream->avail_out);
    if (rc == Z_STREAM_END)
        return stream->avail_in == 0 ? 1 : inflateReset(stream) == Z_OK ? 0 : ERR_UNKNOWN;
    if (rc == Z_MEM_ERROR)
        return ERR_OUT_OF_MEMORY;
    if (rc != Z_OK || (stream->avail_in == 0 && stream->avail_out > 0))
        return ERR_CORRUPT;
    return 0;
}

int gzip_decompress(const void *data, size_t size, size_t max_size, struct bytes *out)
{
    struct codec_output o = {out, max_size};
    z_stream stream = {0};
    int rc;

    if (size > UINT_MAX)
        return ERR_TOO_LARGE;
    if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK)
        return ERR_OUT_OF_MEMORY;
    stream.next_in = (const Bytef *)data;
    stream.avail_in = (uInt)size;
    do {
        rc = gzip_step(&stream, &o);
    } while (rc == 0);
    inflateEnd(&stream);
    return rc > 0 ? 0 : rc;
}
