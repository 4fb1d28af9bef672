#include "proto/error.h"
#include "tests/unit/proto/helper_batch.h"
#include "tests/unit/proto/helper_cmocka.h"

static struct batch_control example(void)
{
    return (struct batch_control){
        .type = BATCH_CONTROL_CHANGE,
        .index = 0x1122334455667788,
        .term = 9,
        .next_offset = 1000,
        .payload = (const unsigned char *)"configuration",
        .payload_size = 13,
    };
}

static void what_is_encoded_is_decoded(void **state)
{
    (void)state;
    struct batch_control in = example();
    struct batch_control out;
    struct batch_header h;
    struct bytes b;

    bytes_init(&b);
    bytes_append(&b, "before", 6); /* it appends */
    batch_control_encode(&b, &in);
    const unsigned char *data = b.data + 6;
    size_t size = b.size - 6;
    assert_int_equal(size, BATCH_HEADER_SIZE + BATCH_CONTROL_BODY_SIZE + 13);
    assert_int_equal(batch_header_decode(data, size, size, &h), 0);
    assert_true(batch_crc_ok(data, &h));
    assert_true(batch_is_control(&h));
    assert_int_equal(h.leader_epoch, 9);
    assert_int_equal(h.producer_id, -1);
    assert_int_equal(h.record_count, 0);
    assert_int_equal(batch_next_offset(&h), 1000); /* takes no offset */
    assert_int_equal(batch_control_decode(data, size, &out), 0);
    assert_int_equal(out.type, BATCH_CONTROL_CHANGE);
    assert_int_equal(out.index, in.index);
    assert_int_equal(out.term, 9);
    assert_int_equal(out.next_offset, 1000);
    assert_int_equal(out.payload_size, 13);
    assert_memory_equal(out.payload, "configuration", 13);
    bytes_close(&b);
}

static void an_empty_payload_is_fine(void **state)
{
    (void)state;
    struct batch_control in = {.type = BATCH_CONTROL_BARRIER, .index = 1, .term = 1};
    struct batch_control out;
    struct bytes b;

    bytes_init(&b);
    batch_control_encode(&b, &in);
    assert_int_equal(batch_control_decode(b.data, b.size, &out), 0);
    assert_int_equal(out.type, BATCH_CONTROL_BARRIER);
    assert_int_equal(out.payload_size, 0);
    bytes_close(&b);
}

static void every_corrupt_byte_is_caught(void **state)
{
    (void)state;
    struct batch_control control = example();
    struct batch_header h;
    struct bytes b;

    bytes_init(&b);
    batch_control_encode(&b, &control);
    for (size_t at = 0; at < b.size; at++) {
        b.data[at] ^= 0x10;
        bool caught = batch_header_decode(b.data, b.size, b.size, &h) != 0 || h.size != b.size ||
                      !batch_crc_ok(b.data, &h) || batch_control_decode(b.data, b.size, &control) != 0;
        assert_true(caught); /* base offset and epoch, too: their copies in the body differ */
        b.data[at] ^= 0x10;
    }
    bytes_close(&b);
}

static void a_start_comes_with_its_offset(void **state)
{
    (void)state;
    static const struct {
        int64_t offset;
        int status;
    } cases[] = {{0, 0}, {1, 0}, {1000, 0}, {1001, ERR_CORRUPT}, {-1, ERR_CORRUPT}, {INT64_MIN, ERR_CORRUPT}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct batch_control control;
        struct bytes b;
        bytes_init(&b);
        batch_start_encode(&b, 7, 3, 1000, cases[i].offset);
        assert_int_equal(b.size, BATCH_START_SIZE);
        assert_int_equal(batch_control_decode(b.data, b.size, &control), cases[i].status);
        assert_int_equal(control.type, BATCH_CONTROL_START);
        assert_int_equal(control.index, 7);
        assert_int_equal(control.term, 3);
        assert_int_equal(control.next_offset, 1000);
        assert_int_equal(control.start_offset, cases[i].offset);
        bytes_close(&b);
    }
}

static void malformed_ones_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint16_t value;
    } changes[] = {
        {61, 0}, {61, 3}, {61, 4}, {63, 1}, {21, 0}, {21, 0x21}, {23, 0}, {57, 1},
    };
    struct batch_control control = example();
    struct bytes b;

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        bytes_init(&b);
        control = example();
        batch_control_encode(&b, &control);
        store_be16(b.data + changes[i].at, changes[i].value);
        batch_reseal(&b);
        assert_int_equal(batch_control_decode(b.data, b.size, &control), ERR_CORRUPT);
        bytes_close(&b);
    }
}

static void truncated_ones_are_refused(void **state)
{
    (void)state;
    struct batch_control control = {.type = BATCH_CONTROL_BARRIER, .index = 1, .term = 1};
    struct bytes b;

    bytes_init(&b);
    batch_control_encode(&b, &control);
    for (size_t size = 0; size < b.size; size++) {
        assert_int_equal(batch_control_decode(b.data, size, &control), ERR_CORRUPT);
        if (size >= BATCH_HEADER_SIZE) {
            store_be32(b.data + 8, (uint32_t)size - BATCH_LENGTH_OFFSET);
            assert_int_equal(batch_control_decode(b.data, size, &control), ERR_CORRUPT);
        }
        store_be32(b.data + 8, (uint32_t)b.size - BATCH_LENGTH_OFFSET);
    }
    bytes_close(&b);
}

static void they_hold_no_records_and_no_client_may_send_them(void **state)
{
    (void)state;
    struct batch_control control = example();
    struct bytes b;

    bytes_init(&b);
    batch_control_encode(&b, &control);
    assert_int_equal(batch_walk(&b), 0);
    assert_int_equal(batch_check(&b), ERR_INVALID_ARGUMENT);
    bytes_close(&b);
}

static void a_data_batch_is_not_one(void **state)
{
    (void)state;
    struct batch_control control;
    struct bytes b;

    bytes_init(&b);
    batch_make(&b, BATCH_NONE, 10);
    assert_int_equal(batch_control_decode(b.data, b.size, &control), ERR_CORRUPT);
    bytes_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(an_empty_payload_is_fine),
        cmocka_unit_test(every_corrupt_byte_is_caught),
        cmocka_unit_test(a_start_comes_with_its_offset),
        cmocka_unit_test(malformed_ones_are_refused),
        cmocka_unit_test(truncated_ones_are_refused),
        cmocka_unit_test(they_hold_no_records_and_no_client_may_send_them),
        cmocka_unit_test(a_data_batch_is_not_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
