/* Record batches from the network: whatever the bytes, they are refused or consistent. */
#include "node/base/assert.h"
#include "proto/batch.h"
#include "proto/crc32c.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_UNCOMPRESSED = 1024 * 1024, LENGTH_AT = 8, MAGIC_AT = 16, CRC_AT = 17, ATTRIBUTES_AT = 21 };

/* Reads each byte that the record points to, for the sanitizer to judge. */
static uint32_t record_touch(const struct record *r)
{
    uint32_t sum = crc32c(crc32c(0, r->key, r->key_size), r->value, r->value_size);

    for (size_t i = 0; i < r->header_count; i++)
        sum = crc32c(crc32c(sum, r->headers[i].key, r->headers[i].key_size), r->headers[i].value,
                     r->headers[i].value_size);
    return sum;
}

/* Returns the number of records, or an error. What was read is added to `copy` unless that is NULL. */
static int batch_walk(const uint8_t *data, size_t size, size_t max_uncompressed, struct batch_builder *copy,
                      uint32_t *sum)
{
    struct batch_reader r;
    struct record record;
    int64_t last_offset = 0;
    int count = 0;
    int rc = batch_reader_init(&r, data, size, max_uncompressed);

    if (rc != 0)
        return rc;
    while ((rc = batch_reader_next(&r, &record)) == 1) {
        if (count > 0)
            ASSERT((uint64_t)record.offset - (uint64_t)last_offset <= INT32_MAX);
        last_offset = record.offset;
        *sum ^= record_touch(&record) + (uint32_t)count;
        if (copy != NULL)
            batch_builder_add(copy, record.timestamp_ms, record.key, record.key_size, record.value,
                              record.value_size, record.headers, record.header_count);
        count++;
    }
    batch_reader_close(&r);
    return rc == 0 ? count : rc;
}

/* What could be read can be written anew with another codec, and reads the same. */
static void check_rebuild(struct batch_builder *b, int count, uint32_t sum)
{
    struct batch_options options = {.codec = (enum batch_codec)(sum % 5), .producer_id = -1};
    struct batch_header header;
    struct bytes out;
    uint32_t sum_again = 0;

    bytes_init(&out);
    ASSERT(batch_builder_finish(b, &options, &out) == 0);
    ASSERT(batch_validate(out.data, out.size, &header, NULL, 0) == 0);
    ASSERT(batch_walk(out.data, out.size, batch_builder_size(b), NULL, &sum_again) == count);
    ASSERT(sum_again == sum);
    bytes_close(&out);
}

static void check_walk(const uint8_t *data, size_t size)
{
    struct batch_builder copy;
    struct batch_header header;
    char reason[64];
    uint32_t sum = 0;

    batch_builder_init(&copy);
    int valid = batch_validate(data, size, &header, reason, sizeof(reason));
    int count = batch_walk(data, size, MAX_UNCOMPRESSED, &copy, &sum);
    if (valid == 0 && batch_codec_of(&header) == BATCH_NONE)
        ASSERT(count == header.record_count);
    if (count > 0)
        check_rebuild(&copy, count, sum);
    batch_builder_close(&copy);
}

static void check_control(const uint8_t *data, size_t size)
{
    struct batch_control control;

    if (batch_control_decode(data, size, &control) == 0)
        ASSERT(control.payload_size == size - BATCH_HEADER_SIZE - BATCH_CONTROL_BODY_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes copy;

    check_walk(data, size);
    check_control(data, size);
    if (size < BATCH_HEADER_SIZE)
        return 0;

    /* Once more with what a fuzzer cannot guess put right, so that it gets to the records. */
    bytes_init(&copy);
    bytes_append(&copy, data, size);
    store_be32(copy.data + LENGTH_AT, (uint32_t)(size - BATCH_LENGTH_OFFSET));
    copy.data[MAGIC_AT] = 2;
    store_be32(copy.data + CRC_AT, crc32c(0, copy.data + ATTRIBUTES_AT, size - ATTRIBUTES_AT));
    check_walk(copy.data, size);
    check_control(copy.data, size);
    bytes_close(&copy);
    return 0;
}
