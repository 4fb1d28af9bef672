/* Snappy as Kafka's Java client frames it (xerial's SnappyOutputStream): a magic of 8 bytes, two versions of
 * 4 bytes, then blocks, each with its compressed size in front, big-endian. librdkafka writes one bare snappy
 * block instead; every client reads both. */
#include "proto/codec_internal.h"
#include "proto/error.h"
#include <snappy-c.h>

static const unsigned char xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
enum { XERIAL_HEADER_SIZE = 16, XERIAL_VERSION = 1, XERIAL_BLOCK_SIZE = 32 * 1024 };

int snappy_frame_compress(const void *data, size_t size, struct bytes *out)
{
    const unsigned char *at = data;
    size_t bound = snappy_max_compressed_length(XERIAL_BLOCK_SIZE);

    bytes_append(out, xerial_magic, sizeof(xerial_magic));
    bytes_put_u32(out, XERIAL_VERSION);
    bytes_put_u32(out, XERIAL_VERSION); /* the oldest version that can read this */
    while (size > 0) {
        size_t step = size < XERIAL_BLOCK_SIZE ? size : XERIAL_BLOCK_SIZE;
        size_t compressed_size = bound;
        bytes_reserve(out, sizeof(uint32_t) + bound);
        unsigned char *block = out->data + out->size;
        if (snappy_compress((const char *)at, step, (char *)block + sizeof(uint32_t), &compressed_size) !=
            SNAPPY_OK)
            return ERR_UNKNOWN;
        store_be32(block, (uint32_t)compressed_size);
        out->size += sizeof(uint32_t) + compressed_size;
        at += step;
        size -= step;
    }
    return 0;
}

/* Snappy's best ratio: a 3-byte copy element makes 64 bytes. A block that claims more than this is lying, and
 * must not make us allocate. */
enum { SNAPPY_MAX_RATIO = 64 };

static int snappy_block_decompress(const void *data, size_t size, struct codec_output *o)
{
    size_t length;

    if (snappy_uncompressed_length(data, size, &length) != SNAPPY_OK)
        return ERR_CORRUPT;
    if (length / SNAPPY_MAX_RATIO > size)
        return ERR_CORRUPT;
    if (length > o->left)
        return ERR_TOO_LARGE;
    bytes_reserve(o->out, length + 1); /* + 1: never a null pointer, which snappy does not like */
    if (snappy_uncompress(data, size, (char *)o->out->data + o->out->size, &length) != SNAPPY_OK)
        return ERR_CORRUPT;
    codec_output_advance(o, length);
    return 0;
}

int snappy_frame_decompress(const void *data, size_t size, size_t max_size, struct bytes *out)
{
    struct codec_output o = {out, max_size};
    struct reader r;

    if (size < XERIAL_HEADER_SIZE || memcmp(data, xerial_magic, sizeof(xerial_magic)) != 0)
        return snappy_block_decompress(data, size, &o);
    reader_init(&r, data, size);
    reader_bytes(&r, XERIAL_HEADER_SIZE);
    while (reader_left(&r) > 0) {
        uint32_t block_size = reader_u32(&r);
        const unsigned char *block = reader_bytes(&r, block_size);
        if (r.failed)
            return ERR_CORRUPT;
        int rc = snappy_block_decompress(block, block_size, &o);
        if (rc != 0)
            return rc;
    }
    return 0;
}
