#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/frame.h"
#include "tests/unit/proto/helper_cmocka.h"
#include <string.h>

static void the_head_s_bytes_are_as_documented(void **state)
{
    (void)state;
    unsigned char head[FRAME_HEAD_SIZE];
    const unsigned char expected[FRAME_HEAD_SIZE] = {0x18, 0x01, 0,    0,    0x04, 0,    0,    0,
                                                     4,    0,    1,    0,    0,    0,    0,    0,
                                                     0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};

    frame_head_encode(head, FRAME_PRODUCE, FRAME_RESPONSE, 0x1122334455667788, 4, 256);
    assert_memory_equal(head, expected, sizeof(head));
}

static void what_is_encoded_is_decoded(void **state)
{
    (void)state;
    const size_t sizes[][2] = {{0, 0}, {1, 0}, {0, 1}, {100, 1 << 20}, {FRAME_MAX_HEADER_SIZE, 0}};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned char head[FRAME_HEAD_SIZE];
        struct frame_head h;
        frame_head_encode(head, FRAME_PUSH, 0, i, sizes[i][0], sizes[i][1]);
        assert_int_equal(frame_head_decode(head, FRAME_MAX_SIZE, &h), 0);
        assert_int_equal(h.type, FRAME_PUSH);
        assert_int_equal(h.flags, 0);
        assert_int_equal(h.correlation, i);
        assert_int_equal(h.header_length, sizes[i][0]);
        assert_int_equal(frame_payload_size(&h), sizes[i][1]);
        assert_int_equal(frame_size(&h), FRAME_HEAD_SIZE + sizes[i][0] + sizes[i][1]);
        assert_null(frame_sniff_foreign(head));
    }
}

static int decode_lengths(uint32_t length, uint32_t header_length, size_t max_size)
{
    unsigned char head[FRAME_HEAD_SIZE] = {0};
    struct frame_head h;

    store_le32(head, length);
    store_le32(head + 4, header_length);
    return frame_head_decode(head, max_size, &h);
}

static void over_long_frames_are_refused(void **state)
{
    (void)state;
    assert_int_equal(decode_lengths(96, 0, 100), 0);
    assert_int_equal(decode_lengths(97, 0, 100), ERR_TOO_LARGE);
    assert_int_equal(decode_lengths(UINT32_MAX, 0, FRAME_MAX_SIZE), ERR_TOO_LARGE);
    assert_int_equal(decode_lengths(UINT32_MAX, UINT32_MAX, FRAME_MAX_SIZE), ERR_TOO_LARGE);
    assert_int_equal(decode_lengths(20, 0, 3), ERR_TOO_LARGE);
    assert_int_equal(decode_lengths(FRAME_MAX_SIZE - 4, FRAME_MAX_HEADER_SIZE, FRAME_MAX_SIZE), 0);
    assert_int_equal(decode_lengths(FRAME_MAX_SIZE - 4, FRAME_MAX_HEADER_SIZE + 1, FRAME_MAX_SIZE),
                     ERR_TOO_LARGE);
}

static void contradicting_lengths_are_refused(void **state)
{
    (void)state;
    assert_int_equal(decode_lengths(20, 0, 1000), 0);
    assert_int_equal(decode_lengths(19, 0, 1000), ERR_PROTOCOL);
    assert_int_equal(decode_lengths(0, 0, 1000), ERR_PROTOCOL);
    assert_int_equal(decode_lengths(30, 10, 1000), 0);
    assert_int_equal(decode_lengths(30, 11, 1000), ERR_PROTOCOL);
    assert_int_equal(decode_lengths(4, FRAME_MAX_HEADER_SIZE, 1000), ERR_PROTOCOL);
}

static void assert_sniffed(const void *data, const char *expected)
{
    const char *name = frame_sniff_foreign(data);
    if (expected == NULL) {
        assert_null(name);
        return;
    }
    assert_non_null(name);
    assert_string_equal(name, expected);
}

static void foreign_protocols_are_named(void **state)
{
    (void)state;
    /* kcat 1.7.1's first bytes: ApiVersions v3, client id "rdkafka" */
    const unsigned char kafka[] = {0, 0, 0, 0x25, 0, 0x12, 0, 3, 0, 0, 0, 1, 0, 7, 'r', 'd'};
    /* a length whose first byte could be a native frame's last */
    const unsigned char kafka_large[] = {0x04, 0, 0, 0, 0, 0, 0, 9};
    const unsigned char tls[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc};
    const unsigned char tls_short[] = {0x16, 0x03, 0x03, 0x00, 0xa5, 0x01, 0x00, 0x00, 0xa1};
    const unsigned char frame_like_tls[] = {0x16, 0x03, 0, 0,
                                            0x02, 0x01, 0, 0}; /* 790 bytes, 258 of header */
    const unsigned char noise[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    assert_sniffed("GET / HTTP/1.1\r\n", "HTTP");
    assert_sniffed("POST /x HTTP/1.1\r\n", "HTTP");
    assert_sniffed("PRI * HTTP/2.0\r\n", "HTTP");
    assert_sniffed(kafka, "Kafka");
    assert_sniffed(kafka_large, "Kafka");
    assert_sniffed(tls, "TLS");
    assert_sniffed(tls_short, "TLS");
    assert_sniffed(noise, NULL);
    assert_sniffed(frame_like_tls, NULL);
}

/* Whatever a client may put into its HELLO, it is never taken for something else. */
static void no_hello_is_foreign(void **state)
{
    (void)state;
    for (size_t header_size = 0; header_size < 65536; header_size++) {
        unsigned char head[FRAME_HEAD_SIZE];
        frame_head_encode(head, FRAME_HELLO, 0, 1, header_size, 0);
        assert_null(frame_sniff_foreign(head));
    }
}

static void types_have_names(void **state)
{
    (void)state;
    assert_string_equal(frame_type_name(FRAME_PRODUCE), "produce");
    assert_string_equal(frame_type_name(FRAME_PEER_CATCHUP), "peer_catchup");
    assert_string_equal(frame_type_name(0), "unknown");
    assert_string_equal(frame_type_name(UINT16_MAX), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_s_bytes_are_as_documented),
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(over_long_frames_are_refused),
        cmocka_unit_test(contradicting_lengths_are_refused),
        cmocka_unit_test(foreign_protocols_are_named),
        cmocka_unit_test(no_hello_is_foreign),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
