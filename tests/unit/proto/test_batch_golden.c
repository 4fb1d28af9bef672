/* Batches built by a Kafka client (tests/golden/README.md). */
#include "tests/unit/proto/helper_batch.h"
#include "tests/unit/proto/helper_cmocka.h"
#include <stdio.h>
#include <string.h>

enum { RECORDS = 50 };
static const int64_t base_timestamp_ms = 1700000000000;

struct expected {
    int64_t timestamp_ms;
    char key[16];
    char value[400];
    size_t value_size;
    unsigned char trace[2];
    struct record_header headers[3];
    size_t header_count;
    bool null_key;
    bool null_value;
};

/* The same rules as record() in tests/golden/make_batches.py. */
static void expected_record(int i, struct expected *e)
{
    memset(e, 0, sizeof(*e));
    e->timestamp_ms = i == 10 ? base_timestamp_ms - 5 : base_timestamp_ms + i * 1000;
    e->null_key = i % 3 == 0;
    if (i % 3 == 2)
        snprintf(e->key, sizeof(e->key), "key-%d", i);
    e->null_value = i % 5 == 4;
    for (int n = 0; n < i % 20 && !e->null_value; n++)
        e->value_size +=
            (size_t)snprintf(e->value + e->value_size, sizeof(e->value) - e->value_size, "value %d;", i);
    e->trace[0] = (unsigned char)i;
    e->trace[1] = 255;
    e->headers[0] = (struct record_header){"trace", 5, e->trace, 2};
    e->headers[1] = (struct record_header){"empty", 5, (const unsigned char *)"", 0};
    e->headers[2] = (struct record_header){"null", 4, NULL, 0};
    e->header_count = i % 4 == 2 ? 3 : 0;
}

static void golden_read(const char *name, struct bytes *out)
{
    char path[300];
    int byte;

    snprintf(path, sizeof(path), "%s/batch/%s.bin", GOLDEN_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((byte = fgetc(file)) != EOF)
        bytes_put_u8(out, (uint8_t)byte);
    fclose(file);
}

static void assert_nullable(const unsigned char *data, size_t size, const void *expected,
                            size_t expected_size, bool null)
{
    assert_int_equal(data == NULL, null);
    assert_int_equal(size, expected_size);
    if (!null)
        assert_memory_equal(data, expected, size);
}

static void assert_record(const struct record *r, int i)
{
    struct expected e;

    expected_record(i, &e);
    assert_int_equal(r->offset, i);
    assert_int_equal(r->timestamp_ms, e.timestamp_ms);
    assert_nullable(r->key, r->key_size, e.key, strlen(e.key), e.null_key);
    assert_nullable(r->value, r->value_size, e.value, e.value_size, e.null_value);
    assert_int_equal(r->header_count, e.header_count);
    for (size_t h = 0; h < e.header_count; h++) {
        assert_int_equal(r->headers[h].key_size, e.headers[h].key_size);
        assert_memory_equal(r->headers[h].key, e.headers[h].key, e.headers[h].key_size);
        assert_nullable(r->headers[h].value, r->headers[h].value_size, e.headers[h].value,
                        e.headers[h].value_size, e.headers[h].value == NULL);
    }
}

static void assert_golden(const char *name, enum batch_codec codec, int count)
{
    struct bytes batch;
    struct batch_header h;
    struct batch_reader r;
    struct record record;

    bytes_init(&batch);
    golden_read(name, &batch);
    assert_int_equal(batch_validate(batch.data, batch.size, &h, NULL, 0), 0);
    assert_int_equal(batch_codec_of(&h), codec);
    assert_int_equal(h.record_count, count);
    assert_int_equal(h.base_timestamp_ms, base_timestamp_ms);
    assert_int_equal(h.max_timestamp_ms, base_timestamp_ms + (count - 1) * 1000);
    assert_int_equal(batch_reader_init(&r, batch.data, batch.size, BATCH_TEST_MAX), 0);
    for (int i = 0; i < count; i++) {
        assert_int_equal(batch_reader_next(&r, &record), 1);
        assert_record(&record, i);
    }
    assert_int_equal(batch_reader_next(&r, &record), 0);
    batch_reader_close(&r);
    bytes_close(&batch);
}

static void batches_of_a_kafka_client_are_read(void **state)
{
    (void)state;
    assert_golden("none", BATCH_NONE, RECORDS);
    assert_golden("gzip", BATCH_GZIP, RECORDS);
    assert_golden("snappy_xerial", BATCH_SNAPPY, RECORDS);
    assert_golden("snappy_bare", BATCH_SNAPPY, RECORDS);
    assert_golden("lz4", BATCH_LZ4, RECORDS);
    assert_golden("zstd", BATCH_ZSTD, RECORDS);
    assert_golden("zstd_stream", BATCH_ZSTD, RECORDS);
    assert_golden("idempotent", BATCH_NONE, RECORDS);
    assert_golden("single", BATCH_NONE, 1);
}

static void build_expected(const struct batch_options *options, int count, struct bytes *out)
{
    struct batch_builder b;

    batch_builder_init(&b);
    for (int i = 0; i < count; i++) {
        struct expected e;
        expected_record(i, &e);
        batch_builder_add(&b, e.timestamp_ms, e.null_key ? NULL : e.key, strlen(e.key),
                          e.null_value ? NULL : e.value, e.value_size, e.headers, e.header_count);
    }
    assert_int_equal(batch_builder_finish(&b, options, out), 0);
    batch_builder_close(&b);
}

/* kafka-python leaves the leader epoch 0 where we write -1; the leader overwrites it and the CRC does not
 * cover it. */
static void assert_same_bytes(const char *name, const struct batch_options *options, int count)
{
    struct bytes ours;
    struct bytes theirs;

    bytes_init(&ours);
    bytes_init(&theirs);
    build_expected(options, count, &ours);
    golden_read(name, &theirs);
    batch_stamp(ours.data, 0, 0);
    batch_stamp(theirs.data, 0, 0);
    assert_int_equal(ours.size, theirs.size);
    assert_memory_equal(ours.data, theirs.data, ours.size);
    bytes_close(&ours);
    bytes_close(&theirs);
}

static void our_builder_writes_the_same_bytes(void **state)
{
    (void)state;
    struct batch_options plain = batch_plain_options(BATCH_NONE);
    struct batch_options idempotent = {BATCH_NONE, 0, 4711, 3, 2147483600};

    assert_same_bytes("none", &plain, RECORDS);
    assert_same_bytes("single", &plain, 1);
    assert_same_bytes("idempotent", &idempotent, RECORDS);
}

static void producer_fields_are_where_they_belong(void **state)
{
    (void)state;
    struct bytes batch;
    struct batch_header h;

    bytes_init(&batch);
    golden_read("idempotent", &batch);
    assert_int_equal(batch_header_decode(batch.data, batch.size, batch.size, &h), 0);
    assert_int_equal(h.producer_id, 4711);
    assert_int_equal(h.producer_epoch, 3);
    assert_int_equal(h.base_sequence, 2147483600);
    bytes_close(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_a_kafka_client_are_read),
        cmocka_unit_test(our_builder_writes_the_same_bytes),
        cmocka_unit_test(producer_fields_are_where_they_belong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
