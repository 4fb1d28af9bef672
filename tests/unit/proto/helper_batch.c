#include "tests/unit/proto/helper_batch.h"
#include "proto/crc32c.h"
#include <stdio.h>

struct batch_options batch_plain_options(enum batch_codec codec)
{
    return (struct batch_options){
        .codec = codec, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
}

void batch_make(struct bytes *out, enum batch_codec codec, int count)
{
    const struct record_header headers[] = {{"trace", 5, (const unsigned char *)"\1\2", 2},
                                            {"none", 4, NULL, 0}};
    struct batch_options options = batch_plain_options(codec);
    struct batch_builder b;

    batch_builder_init(&b);
    for (int i = 0; i < count; i++) {
        char text[64];
        int size = snprintf(text, sizeof(text), "value value value %d", i);
        batch_builder_add(&b, 1700000000000 + i, i % 3 == 0 ? NULL : "key", i % 3 == 0 ? 0 : 3,
                          i % 7 == 6 ? NULL : text, i % 7 == 6 ? 0 : (size_t)size, headers,
                          i % 4 == 3 ? 2 : 0);
    }
    if (batch_builder_finish(&b, &options, out) != 0)
        out->size = 0;
    batch_builder_close(&b);
}

int batch_check(const struct bytes *batch)
{
    struct batch_header header;
    char reason[100];

    return batch_validate(batch->data, batch->size, &header, reason, sizeof(reason));
}

int batch_walk(const struct bytes *batch)
{
    struct batch_reader r;
    struct record record;
    int count = 0;
    int rc = batch_reader_init(&r, batch->data, batch->size, BATCH_TEST_MAX);

    if (rc != 0)
        return rc;
    while ((rc = batch_reader_next(&r, &record)) == 1)
        count++;
    batch_reader_close(&r);
    return rc == 0 ? count : rc;
}

void batch_reseal(struct bytes *batch)
{
    store_be32(batch->data + 17, crc32c(0, batch->data + 21, batch->size - 21));
}

void batch_forge(struct bytes *out, enum batch_codec codec, const void *records, size_t size)
{
    bytes_clear(out);
    bytes_put_u64(out, 0);
    bytes_put_u32(out, (uint32_t)(BATCH_HEADER_SIZE - BATCH_LENGTH_OFFSET + size));
    bytes_put_u32(out, UINT32_MAX);
    bytes_put_u8(out, 2);
    bytes_put_u32(out, 0);
    bytes_put_u16(out, (uint16_t)codec);
    bytes_put_u32(out, 0);
    bytes_put_u64(out, 0);
    bytes_put_u64(out, 0);
    bytes_put_u64(out, UINT64_MAX);
    bytes_put_u16(out, UINT16_MAX);
    bytes_put_u32(out, UINT32_MAX);
    bytes_put_u32(out, 1);
    bytes_append(out, records, size);
    batch_reseal(out);
}
