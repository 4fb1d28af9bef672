#include "proto/bytes.h"
#include "tests/unit/proto/helper_cmocka.h"
#include "tests/unit/proto/helper_random.h"

static const struct {
    int64_t value;
    size_t size;
    unsigned char bytes[VARINT_MAX_SIZE];
} varints[] = {
    {0, 1, {0x00}},
    {-1, 1, {0x01}},
    {1, 1, {0x02}},
    {63, 1, {0x7e}},
    {-64, 1, {0x7f}},
    {64, 2, {0x80, 0x01}},
    {-65, 2, {0x81, 0x01}},
    {8191, 2, {0xfe, 0x7f}},
    {8192, 3, {0x80, 0x80, 0x01}},
    {INT32_MAX, 5, {0xfe, 0xff, 0xff, 0xff, 0x0f}},
    {INT32_MIN, 5, {0xff, 0xff, 0xff, 0xff, 0x0f}},
    {INT64_MAX, 10, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
    {INT64_MIN, 10, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
};
enum { VARINT_COUNT = sizeof(varints) / sizeof(varints[0]) };

static void put_varint(struct bytes *b, int64_t value)
{
    bytes_reserve(b, VARINT_MAX_SIZE);
    b->size = (size_t)(varint_store(b->data + b->size, value) - b->data);
}

static void varints_have_their_known_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARINT_COUNT; i++) {
        struct bytes b;
        struct reader r;

        bytes_init(&b);
        put_varint(&b, varints[i].value);
        assert_int_equal(b.size, varints[i].size);
        assert_memory_equal(b.data, varints[i].bytes, b.size);
        assert_int_equal(varint_size(varints[i].value), b.size);
        reader_init(&r, b.data, b.size);
        assert_int_equal(reader_varint(&r), varints[i].value);
        assert_false(r.failed);
        assert_int_equal(reader_left(&r), 0);
        bytes_close(&b);
    }
}

static void random_varints_survive(void **state)
{
    (void)state;
    struct prng p;
    struct bytes b;

    random_init(&p, __func__);
    bytes_init(&b);
    for (int i = 0; i < 100000; i++) {
        struct reader r;
        int64_t value = (int64_t)(prng_next(&p) >> prng_below(&p, 64));
        if (prng_below(&p, 2) == 0)
            value = -value;
        bytes_clear(&b);
        put_varint(&b, value);
        assert_int_equal(varint_size(value), b.size);
        reader_init(&r, b.data, b.size);
        assert_int_equal(reader_varint(&r), value);
    }
    bytes_close(&b);
}

static void truncated_varints_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARINT_COUNT; i++) {
        for (size_t size = 0; size < varints[i].size; size++) {
            struct reader r;
            reader_init(&r, varints[i].bytes, size);
            assert_int_equal(reader_varint(&r), 0);
            assert_true(r.failed);
        }
    }
}

static void varints_over_64_bits_fail(void **state)
{
    (void)state;
    const unsigned char too_big[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    const unsigned char endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    struct reader r;

    reader_init(&r, too_big, sizeof(too_big));
    assert_int_equal(reader_varint(&r), 0);
    assert_true(r.failed);
    reader_init(&r, endless, sizeof(endless));
    assert_int_equal(reader_varint(&r), 0);
    assert_true(r.failed);
}

static void a_reader_that_failed_stays_failed(void **state)
{
    (void)state;
    const unsigned char data[] = {1, 2, 3};
    struct reader r;

    reader_init(&r, data, sizeof(data));
    assert_int_equal(reader_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(reader_u16(&r), 0);
    assert_int_equal(reader_varint(&r), 0);
    assert_null(reader_bytes(&r, 1));
    assert_true(r.failed);
}

static void a_reader_takes_exactly_to_its_end(void **state)
{
    (void)state;
    struct bytes b;
    struct reader r;

    bytes_init(&b);
    bytes_put_u8(&b, 0x12);
    bytes_put_u16(&b, 0x3456);
    bytes_put_u32(&b, 0x789abcde);
    bytes_put_u64(&b, 0x0102030405060708);
    bytes_append(&b, "xyz", 3);
    assert_int_equal(b.size, 18);
    assert_int_equal(b.data[1], 0x34); /* big-endian */

    reader_init(&r, b.data, b.size);
    assert_int_equal(reader_u8(&r), 0x12);
    assert_int_equal(reader_u16(&r), 0x3456);
    assert_int_equal(reader_u32(&r), 0x789abcde);
    assert_int_equal(reader_u64(&r), 0x0102030405060708);
    assert_memory_equal(reader_bytes(&r, 3), "xyz", 3);
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.failed);
    assert_null(reader_bytes(&r, SIZE_MAX));
    assert_true(r.failed);
    bytes_close(&b);
}

static void loads_and_stores_work_unaligned(void **state)
{
    (void)state;
    unsigned char data[16];

    for (size_t at = 0; at < 8; at++) {
        store_be64(data + at, 0x1122334455667788);
        assert_int_equal(data[at], 0x11);
        assert_int_equal(load_be64(data + at), 0x1122334455667788);
        store_le64(data + at, 0x1122334455667788);
        assert_int_equal(data[at], 0x88);
        assert_int_equal(load_le64(data + at), 0x1122334455667788);
        store_be32(data + at, 0x11223344);
        assert_int_equal(load_le32(data + at), 0x44332211);
        store_le16(data + at, 0x1122);
        assert_int_equal(load_be16(data + at), 0x2211);
    }
}

static void growth_keeps_what_was_there(void **state)
{
    (void)state;
    struct bytes b;

    bytes_init(&b);
    for (uint32_t i = 0; i < 10000; i++)
        bytes_put_u32(&b, i);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(load_be32(b.data + 4 * i), i);
    size_t capacity = b.capacity;
    bytes_clear(&b);
    assert_int_equal(b.size, 0);
    assert_int_equal(b.capacity, capacity);
    bytes_close(&b);
    assert_null(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_have_their_known_bytes),
        cmocka_unit_test(random_varints_survive),
        cmocka_unit_test(truncated_varints_fail),
        cmocka_unit_test(varints_over_64_bits_fail),
        cmocka_unit_test(a_reader_that_failed_stays_failed),
        cmocka_unit_test(a_reader_takes_exactly_to_its_end),
        cmocka_unit_test(loads_and_stores_work_unaligned),
        cmocka_unit_test(growth_keeps_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
