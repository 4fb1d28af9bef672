#include "proto/crc32c.h"
#include "tests/unit/proto/helper_cmocka.h"
#include "tests/unit/proto/helper_random.h"
#include <string.h>

/* RFC 3720, B.4, and the usual check value. */
static void known_vectors(void **state)
{
    (void)state;
    unsigned char data[48];

    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    memset(data, 0, 32);
    assert_int_equal(crc32c(0, data, 32), 0x8A9136AA);
    memset(data, 0xff, 32);
    assert_int_equal(crc32c(0, data, 32), 0x62A8AB43);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, data, 32), 0x46DD794E);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)(31 - i);
    assert_int_equal(crc32c(0, data, 32), 0x113FDB5C);
}

static uint32_t crc32c_bit_by_bit(const unsigned char *data, size_t size)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
    }
    return ~crc;
}

static void agrees_with_the_definition_at_every_size_and_alignment(void **state)
{
    (void)state;
    struct prng p;
    unsigned char data[600];

    random_init(&p, __func__);
    random_fill(&p, data, sizeof(data));
    for (size_t from = 0; from < 16; from++)
        for (size_t size = 0; size + from <= sizeof(data); size += 1 + size / 16)
            assert_int_equal(crc32c(0, data + from, size), crc32c_bit_by_bit(data + from, size));
}

static void chains_at_every_split(void **state)
{
    (void)state;
    struct prng p;
    unsigned char data[257];

    random_init(&p, __func__);
    random_fill(&p, data, sizeof(data));
    uint32_t whole = crc32c(0, data, sizeof(data));
    for (size_t split = 0; split <= sizeof(data); split++)
        assert_int_equal(crc32c(crc32c(0, data, split), data + split, sizeof(data) - split), whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(agrees_with_the_definition_at_every_size_and_alignment),
        cmocka_unit_test(chains_at_every_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
