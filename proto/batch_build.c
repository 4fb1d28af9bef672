#include "proto/batch.h"
#include "proto/batch_internal.h"
#include "proto/codec.h"
#include "proto/error.h"
#include "proto/record.h"

void batch_builder_init(struct batch_builder *b)
{
    *b = (struct batch_builder){0};
}

void batch_builder_close(struct batch_builder *b)
{
    bytes_close(&b->bytes);
    codec_encoder_destroy(b->encoder);
    batch_builder_init(b);
}

void batch_builder_reset(struct batch_builder *b)
{
    bytes_clear(&b->bytes);
    b->count = 0;
}

void batch_builder_give(struct batch_builder *b, struct bytes *memory)
{
    if (memory->capacity > b->bytes.capacity) {
        bytes_close(&b->bytes);
        b->bytes = *memory;
        bytes_init(memory);
    }
    bytes_clear(&b->bytes);
}

/* Lengths and counts fit this many bytes: they are bounded by int32. */
enum { VARINT32_MAX_SIZE = 5 };

size_t batch_record_size_bound(size_t key_size, size_t value_size, const struct record_header *headers,
                               size_t header_count)
{
    /* length, attributes, two deltas (the offset's is an int32), two lengths, header count */
    size_t bound = 5 * VARINT32_MAX_SIZE + 1 + VARINT_MAX_SIZE + key_size + value_size;

    for (size_t i = 0; i < header_count; i++)
        bound += 2 * VARINT32_MAX_SIZE + headers[i].key_size + headers[i].value_size;
    return bound;
}

static size_t nullable_size(const void *data, size_t size)
{
    return data != NULL ? varint_size((int64_t)size) + size : 1;
}

static unsigned char *nullable_store(unsigned char *at, const void *data, size_t size)
{
    if (data == NULL)
        return varint_store(at, -1);
    at = varint_store(at, (int64_t)size);
    memcpy(at, data, size);
    return at + size;
}

static size_t headers_size(const struct record_header *headers, size_t count)
{
    size_t size = varint_size((int64_t)count);

    for (size_t i = 0; i < count; i++)
        size += varint_size((int64_t)headers[i].key_size) + headers[i].key_size +
                nullable_size(headers[i].value, headers[i].value_size);
    return size;
}

static unsigned char *headers_store(unsigned char *at, const struct record_header *headers, size_t count)
{
    at = varint_store(at, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        at = varint_store(at, (int64_t)headers[i].key_size);
        if (headers[i].key_size > 0)
            memcpy(at, headers[i].key, headers[i].key_size);
        at += headers[i].key_size;
        at = nullable_store(at, headers[i].value, headers[i].value_size);
    }
    return at;
}

/* Timestamps may be any int64; their difference wraps here and wraps back in the reader. */
static int64_t batch_builder_timestamp_delta(struct batch_builder *b, int64_t timestamp_ms)
{
    if (b->count == 0) {
        b->base_timestamp_ms = timestamp_ms;
        b->max_timestamp_ms = timestamp_ms;
    } else if (timestamp_ms > b->max_timestamp_ms) {
        b->max_timestamp_ms = timestamp_ms;
    }
    return (int64_t)((uint64_t)timestamp_ms - (uint64_t)b->base_timestamp_ms);
}

void batch_builder_add(struct batch_builder *b, int64_t timestamp_ms, const void *key, size_t key_size,
                       const void *value, size_t value_size, const struct record_header *headers,
                       size_t header_count)
{
    int64_t timestamp_delta = batch_builder_timestamp_delta(b, timestamp_ms);
    int64_t offset_delta = b->count;
    size_t size = 1 + varint_size(timestamp_delta) + varint_size(offset_delta) +
                  nullable_size(key, key_size) + nullable_size(value, value_size) +
                  headers_size(headers, header_count);

    if (b->bytes.size == 0)
        bytes_extend(&b->bytes, BATCH_HEADER_SIZE);
    bytes_reserve(&b->bytes, VARINT_MAX_SIZE + size);
    unsigned char *at = b->bytes.data + b->bytes.size;
    at = varint_store(at, (int64_t)size);
    *at++ = 0; /* attributes */
    at = varint_store(at, timestamp_delta);
    at = varint_store(at, offset_delta);
    at = nullable_store(at, key, key_size);
    at = nullable_store(at, value, value_size);
    at = headers_store(at, headers, header_count);
    b->bytes.size = (size_t)(at - b->bytes.data);
    b->count++;
}

size_t batch_builder_size(const struct batch_builder *b)
{
    return b->bytes.size > 0 ? b->bytes.size : BATCH_HEADER_SIZE;
}

/* Puts the compressed records behind the header's place, or nothing when that would not make them smaller.
 * Sets the codec that was really used. */
static int batch_builder_compress(struct batch_builder *b, enum batch_codec *codec, int level,
                                  struct bytes *out)
{
    size_t start = out->size;

    if (*codec == BATCH_NONE)
        return 0;
    if (b->encoder == NULL)
        b->encoder = codec_encoder_create();
    bytes_extend(out, BATCH_HEADER_SIZE);
    int rc = codec_compress(b->encoder, *codec, level, b->bytes.data + BATCH_HEADER_SIZE,
                            b->bytes.size - BATCH_HEADER_SIZE, out);
    if (rc == 0 && out->size - start < b->bytes.size)
        return 0;
    out->size = start;
    *codec = BATCH_NONE;
    return rc;
}

static void batch_builder_seal(const struct batch_builder *b, const struct batch_options *options,
                               enum batch_codec codec, unsigned char *data, size_t size)
{
    struct batch_header header = {
        .base_offset = 0,
        .size = (uint32_t)size,
        .leader_epoch = -1,
        .attributes = (uint16_t)codec,
        .last_offset_delta = b->count - 1,
        .base_timestamp_ms = b->base_timestamp_ms,
        .max_timestamp_ms = b->max_timestamp_ms,
        .producer_id = options->producer_id,
        .producer_epoch = options->producer_epoch,
        .base_sequence = options->base_sequence,
        .record_count = b->count,
    };

    batch_seal(data, &header);
}

int batch_builder_finish(struct batch_builder *b, const struct batch_options *options, struct bytes *out)
{
    enum batch_codec codec = options->codec;
    size_t start = out->size;

    if (b->bytes.size > INT32_MAX)
        return ERR_TOO_LARGE;
    int rc = batch_builder_compress(b, &codec, options->level, out);
    if (rc != 0)
        return rc;
    if (codec == BATCH_NONE)
        bytes_append(out, b->bytes.data, b->bytes.size);
    batch_builder_seal(b, options, codec, out->data + start, out->size - start);
    return 0;
}

int batch_builder_finish_into(struct batch_builder *b, const struct batch_options *options, struct bytes *out)
{
    enum batch_codec codec = options->codec;

    if (b->bytes.size > INT32_MAX)
        return ERR_TOO_LARGE;
    int rc = batch_builder_compress(b, &codec, options->level, out);
    if (rc != 0)
        return rc;
    if (codec == BATCH_NONE) {
        struct bytes plain = b->bytes;
        b->bytes = *out;
        *out = plain;
    }
    batch_builder_seal(b, options, codec, out->data, out->size);
    return 0;
}
