#include "proto/error.h"
#include "tests/unit/proto/helper_batch.h"
#include "tests/unit/proto/helper_cmocka.h"
#include <stdlib.h>
#include <string.h>

enum { CRC_COVERS_FROM = 21, LEADER_EPOCH_AT = 12, MAGIC_AT = 16 };

static int setup(void **state)
{
    struct bytes *batch = malloc(sizeof(*batch));

    bytes_init(batch);
    *state = batch;
    return 0;
}

static int teardown(void **state)
{
    struct bytes *batch = *state;

    bytes_close(batch);
    free(batch);
    return 0;
}

static void every_codec_makes_a_valid_batch(void **state)
{
    struct bytes *batch = *state;

    for (int codec = BATCH_NONE; codec <= BATCH_ZSTD; codec++) {
        struct batch_header h;
        char reason[100] = "";
        bytes_clear(batch);
        batch_make(batch, (enum batch_codec)codec, 100);
        assert_int_equal(batch_validate(batch->data, batch->size, &h, reason, sizeof(reason)), 0);
        assert_string_equal(reason, "");
        assert_int_equal(batch_codec_of(&h), codec);
        assert_int_equal(h.record_count, 100);
        assert_int_equal(h.last_offset_delta, 99);
        assert_int_equal(h.base_offset, 0);
        assert_int_equal(h.leader_epoch, -1);
        assert_int_equal(h.base_timestamp_ms, 1700000000000);
        assert_int_equal(h.max_timestamp_ms, 1700000000099);
        assert_int_equal(batch_walk(batch), 100);
    }
}

static void what_does_not_compress_stays_plain(void **state)
{
    struct bytes *batch = *state;

    for (int codec = BATCH_GZIP; codec <= BATCH_ZSTD; codec++) {
        struct batch_header h;
        bytes_clear(batch);
        batch_make(batch, (enum batch_codec)codec, 1);
        assert_int_equal(batch_header_decode(batch->data, batch->size, batch->size, &h), 0);
        assert_int_equal(batch_codec_of(&h), BATCH_NONE);
        assert_int_equal(batch_walk(batch), 1);
    }
}

static void a_builder_is_reusable_and_appends(void **state)
{
    struct bytes *batch = *state;
    struct batch_options options = {BATCH_ZSTD, 0, 77, 3, 1000};
    struct batch_builder b;

    batch_builder_init(&b);
    for (int round = 0; round < 3; round++) {
        struct batch_header h;
        size_t start = batch->size;
        batch_builder_reset(&b);
        assert_int_equal(batch_builder_size(&b), BATCH_HEADER_SIZE);
        for (int i = 0; i < 10 + round; i++)
            batch_builder_add(&b, 5000 * (round + 1), NULL, 0, "vvvvvvvvvvvvvvvvvvvvvvvv", 24, NULL, 0);
        assert_int_equal(batch_builder_finish(&b, &options, batch), 0);
        assert_int_equal(batch_validate(batch->data + start, batch->size - start, &h, NULL, 0), 0);
        assert_int_equal(h.record_count, 10 + round);
        assert_int_equal(h.base_timestamp_ms, 5000 * (round + 1));
        assert_int_equal(h.producer_id, 77);
        assert_int_equal(h.producer_epoch, 3);
        assert_int_equal(h.base_sequence, 1000);
    }
    batch_builder_close(&b);
}

static void finishing_into_gives_the_same_bytes(void **state)
{
    struct bytes *batch = *state;
    struct bytes into;
    struct batch_builder b;

    batch_builder_init(&b);
    bytes_init(&into);
    for (int codec = BATCH_NONE; codec <= BATCH_ZSTD; codec++) {
        struct batch_options options = {(enum batch_codec)codec, 0, 77, 3, 1000};
        for (int count = 1; count <= 100; count += 99) { /* one record does not compress */
            for (int i = 0; i < count; i++)
                batch_builder_add(&b, 5000, NULL, 0, "vvvvvvvvvvvvvvvvvvvvvvvv", 24, NULL, 0);
            bytes_clear(batch);
            assert_int_equal(batch_builder_finish(&b, &options, batch), 0);
            assert_int_equal(batch_builder_finish_into(&b, &options, &into), 0);
            assert_int_equal(into.size, batch->size);
            assert_memory_equal(into.data, batch->data, batch->size);
            bytes_clear(&into);
            batch_builder_give(&b, &into);
            batch_builder_reset(&b);
        }
    }
    bytes_close(&into);
    batch_builder_close(&b);
}

static void sizes_are_what_was_announced(void **state)
{
    struct bytes *batch = *state;
    const struct record_header headers[] = {{"k", 1, NULL, 0}, {"", 0, (const unsigned char *)"value", 5}};
    struct batch_options options = batch_plain_options(BATCH_NONE);
    struct batch_builder b;

    batch_builder_init(&b);
    for (int i = 0; i < 1000; i++) {
        size_t before = batch_builder_size(&b);
        size_t header_count = (size_t)(i % 3);
        batch_builder_add(&b, i % 2 ? INT64_MIN : INT64_MAX, "key", 3, "v", 1, headers, header_count);
        assert_true(batch_builder_size(&b) - before <= batch_record_size_bound(3, 1, headers, header_count));
    }
    assert_int_equal(batch_builder_finish(&b, &options, batch), 0);
    assert_int_equal(batch->size, batch_builder_size(&b));
    batch_builder_close(&b);
}

/* Every byte, every bit: what the CRC covers is caught by it; what it leaves out is caught by its own checks,
 * or is what the leader stamps. */
static void every_corrupt_byte_is_caught(void **state)
{
    struct bytes *batch = *state;

    for (int codec = BATCH_NONE; codec <= BATCH_ZSTD; codec++) {
        bytes_clear(batch);
        batch_make(batch, (enum batch_codec)codec, 20);
        for (size_t at = 0; at < batch->size; at++) {
            bool stamped = at < 8 || (at >= LEADER_EPOCH_AT && at < MAGIC_AT);
            for (unsigned flip = 1; flip < 256; flip++) {
                batch->data[at] ^= (unsigned char)flip;
                assert_int_equal(batch_check(batch), stamped ? 0 : ERR_CORRUPT);
                batch->data[at] ^= (unsigned char)flip;
            }
        }
        assert_int_equal(batch_check(batch), 0);
    }
}

static void every_truncation_is_caught(void **state)
{
    struct bytes *batch = *state;
    struct batch_header h;
    struct batch_reader r;

    batch_make(batch, BATCH_NONE, 20);
    for (size_t size = 0; size < batch->size; size++) {
        /* A copy of its own size, so that a sanitizer sees the first byte read too far. */
        unsigned char *copy = malloc(size + 1);
        memcpy(copy + 1, batch->data, size);
        assert_int_equal(batch_validate(copy + 1, size, &h, NULL, 0), ERR_CORRUPT);
        assert_int_equal(batch_reader_init(&r, copy + 1, size, BATCH_TEST_MAX), ERR_CORRUPT);
        free(copy);
    }
    bytes_put_u8(batch, 0);
    assert_int_equal(batch_check(batch), ERR_CORRUPT);
}

static void headers_are_bounded(void **state)
{
    struct bytes *batch = *state;
    struct batch_header h;

    batch_make(batch, BATCH_NONE, 3);
    size_t size = batch->size;
    assert_int_equal(batch_header_decode(batch->data, BATCH_HEADER_SIZE, size, &h), 0);
    assert_int_equal(h.size, size);
    assert_int_equal(batch_header_decode(batch->data, BATCH_HEADER_SIZE - 1, size, &h), ERR_CORRUPT);
    assert_int_equal(batch_header_decode(batch->data, BATCH_HEADER_SIZE, size - 1, &h), ERR_CORRUPT);
    const uint32_t lengths[] = {0, 48, 0x80000000, UINT32_MAX, UINT32_MAX - 11};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        store_be32(batch->data + 8, lengths[i]);
        assert_int_equal(batch_header_decode(batch->data, size, SIZE_MAX, &h), ERR_CORRUPT);
    }
    for (int magic = 0; magic < 256; magic++) {
        store_be32(batch->data + 8, (uint32_t)size - 12);
        batch->data[MAGIC_AT] = (unsigned char)magic;
        assert_int_equal(batch_header_decode(batch->data, size, size, &h), magic == 2 ? 0 : ERR_CORRUPT);
    }
}

/* One field changed, with a CRC that matches: what a faulty or hostile client could send. */
static void assert_refused(struct bytes *batch, size_t at, size_t width, uint64_t value, const char *why)
{
    struct bytes copy;
    struct batch_header h;
    char reason[100] = "";

    bytes_init(&copy);
    bytes_append(&copy, batch->data, batch->size);
    if (width == 2)
        store_be16(copy.data + at, (uint16_t)value);
    else if (width == 4)
        store_be32(copy.data + at, (uint32_t)value);
    else
        store_be64(copy.data + at, value);
    batch_reseal(&copy);
    assert_int_equal(batch_validate(copy.data, copy.size, &h, reason, sizeof(reason)), ERR_INVALID_ARGUMENT);
    assert_string_equal(reason, why);
    char short_reason[5] = "";
    batch_validate(copy.data, copy.size, &h, short_reason, sizeof(short_reason));
    assert_int_equal(strlen(short_reason), 4);
    bytes_close(&copy);
}

static void well_formed_but_wrong_is_refused(void **state)
{
    struct bytes *batch = *state;

    batch_make(batch, BATCH_NONE, 3);
    for (unsigned codec = 5; codec < 8; codec++)
        assert_refused(batch, 21, 2, codec, "unknown compression codec");
    assert_refused(batch, 21, 2, 0x20, "control batches are not for clients");
    assert_refused(batch, 57, 4, 0, "no records");
    assert_refused(batch, 57, 4, (uint64_t)-3, "no records");
    assert_refused(batch, 57, 4, 4, "record count and last offset delta disagree");
    assert_refused(batch, 57, 4, 0x80000000, "no records");
    assert_refused(batch, 23, 4, 1, "record count and last offset delta disagree");
    assert_refused(batch, 23, 4, (uint64_t)-1, "record count and last offset delta disagree");
    assert_refused(batch, 35, 8, 5, "max timestamp is before base timestamp");
}

static void records_must_count_as_the_header_says(void **state)
{
    struct bytes *batch = *state;

    for (int claimed = 1; claimed < 6; claimed++) {
        bytes_clear(batch);
        batch_make(batch, BATCH_NONE, 3);
        store_be32(batch->data + 57, (uint32_t)claimed);
        store_be32(batch->data + 23, (uint32_t)claimed - 1);
        batch_reseal(batch);
        assert_int_equal(batch_check(batch), claimed == 3 ? 0 : ERR_INVALID_ARGUMENT);
        assert_int_equal(batch_walk(batch), claimed == 3 ? 3 : ERR_CORRUPT);
    }
}

/* Records changed under a matching CRC: the parser must refuse or accept, never read beyond. */
static void mangled_records_never_escape(void **state)
{
    struct bytes *batch = *state;
    int refused = 0;

    batch_make(batch, BATCH_NONE, 8);
    for (size_t at = BATCH_HEADER_SIZE; at < batch->size; at++) {
        unsigned char good = batch->data[at];
        for (int value = 0; value < 256; value++) {
            batch->data[at] = (unsigned char)value;
            batch_reseal(batch);
            bool valid = batch_check(batch) == 0;
            int count = batch_walk(batch);
            assert_true(valid ? count == 8 : true);
            refused += !valid;
        }
        batch->data[at] = good;
    }
    assert_true(refused > 1000);
}

static void a_stamp_leaves_the_crc_alone(void **state)
{
    struct bytes *batch = *state;
    struct batch_header h;
    struct batch_reader r;
    struct record record;

    batch_make(batch, BATCH_LZ4, 50);
    batch_stamp(batch->data, 123456789012, 7);
    assert_int_equal(batch_validate(batch->data, batch->size, &h, NULL, 0), 0);
    assert_int_equal(h.base_offset, 123456789012);
    assert_int_equal(h.leader_epoch, 7);
    assert_int_equal(batch_next_offset(&h), 123456789062);
    assert_int_equal(batch_reader_init(&r, batch->data, batch->size, BATCH_TEST_MAX), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(batch_reader_next(&r, &record), 1);
        assert_int_equal(record.offset, 123456789012 + i);
    }
    assert_int_equal(batch_reader_next(&r, &record), 0);
    assert_int_equal(batch_reader_next(&r, &record), 0);
    batch_reader_close(&r);
}

static void log_append_time_overrides_every_record(void **state)
{
    struct bytes *batch = *state;
    struct batch_reader r;
    struct record record;

    batch_make(batch, BATCH_SNAPPY, 50);
    batch_set_log_append_time(batch->data, batch->size, 42); /* the past: still valid */
    assert_int_equal(batch_check(batch), 0);
    assert_int_equal(batch_reader_init(&r, batch->data, batch->size, BATCH_TEST_MAX), 0);
    assert_true(batch_is_log_append_time(&r.header));
    assert_int_equal(batch_codec_of(&r.header), BATCH_SNAPPY);
    while (batch_reader_next(&r, &record) == 1)
        assert_int_equal(record.timestamp_ms, 42);
    batch_reader_close(&r);
}

/* What compaction leaves: deltas with gaps, the last one gone. */
static void a_compacted_batch_keeps_its_offsets(void **state)
{
    struct bytes *batch = *state;
    const unsigned char records[] = {0x0c, 0, 0, 0x02, 0x01, 0x01, 0, 0x0c, 0, 0, 0x08, 0x01, 0x01, 0};
    struct batch_reader r;
    struct record record;

    batch_forge(batch, BATCH_NONE, records, sizeof(records));
    store_be32(batch->data + 23, 9);
    store_be32(batch->data + 57, 2);
    batch_stamp(batch->data, 100, 1);
    batch_reseal(batch);
    assert_int_equal(batch_reader_init(&r, batch->data, batch->size, 0), 0);
    assert_int_equal(batch_reader_next(&r, &record), 1);
    assert_int_equal(record.offset, 101);
    assert_int_equal(batch_reader_next(&r, &record), 1);
    assert_int_equal(record.offset, 104);
    assert_int_equal(batch_reader_next(&r, &record), 0);
    assert_int_equal(batch_next_offset(&r.header), 110);
    batch_reader_close(&r);

    store_be32(batch->data + 23, 3); /* the second delta is beyond the batch now */
    assert_int_equal(batch_walk(batch), ERR_CORRUPT);
}

static void one_reader_walks_many_batches(void **state)
{
    struct bytes *batch = *state;
    struct batch_reader r = {0};
    struct record record;

    for (int round = 0; round < 20; round++) {
        int count = 0;
        bytes_clear(batch);
        batch_make(batch, (enum batch_codec)(round % 5), 30 + round);
        assert_int_equal(batch_reader_reset(&r, batch->data, batch->size, BATCH_TEST_MAX), 0);
        while (batch_reader_next(&r, &record) == 1)
            count++;
        assert_int_equal(count, 30 + round);
        assert_int_equal(batch_reader_reset(&r, batch->data, batch->size - 1, BATCH_TEST_MAX), ERR_CORRUPT);
        assert_int_equal(batch_reader_next(&r, &record), 0);
    }
    batch_reader_close(&r);
}

static void codecs_have_names(void **state)
{
    (void)state;
    for (int codec = BATCH_NONE; codec <= BATCH_ZSTD; codec++)
        assert_int_equal(batch_codec_parse(batch_codec_name((enum batch_codec)codec)), codec);
    assert_string_equal(batch_codec_name(BATCH_ZSTD), "zstd");
    assert_string_equal(batch_codec_name((enum batch_codec)5), "unknown");
    assert_int_equal(batch_codec_parse("brotli"), -1);
    assert_int_equal(batch_codec_parse(""), -1);
}

#define BATCH_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BATCH_TEST(every_codec_makes_a_valid_batch),
        BATCH_TEST(what_does_not_compress_stays_plain),
        BATCH_TEST(a_builder_is_reusable_and_appends),
        BATCH_TEST(finishing_into_gives_the_same_bytes),
        BATCH_TEST(sizes_are_what_was_announced),
        BATCH_TEST(every_corrupt_byte_is_caught),
        BATCH_TEST(every_truncation_is_caught),
        BATCH_TEST(headers_are_bounded),
        BATCH_TEST(well_formed_but_wrong_is_refused),
        BATCH_TEST(records_must_count_as_the_header_says),
        BATCH_TEST(mangled_records_never_escape),
        BATCH_TEST(a_stamp_leaves_the_crc_alone),
        BATCH_TEST(log_append_time_overrides_every_record),
        BATCH_TEST(a_compacted_batch_keeps_its_offsets),
        BATCH_TEST(one_reader_walks_many_batches),
        cmocka_unit_test(codecs_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
