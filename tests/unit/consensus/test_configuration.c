#include "node/base/prng.h"
#include "node/consensus/configuration.h"
#include "node/consensus/heap.h"
#include "proto/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    (void)state;
    heap_install();
    return 0;
}

static struct raft_buffer encode(const uint32_t *ids, unsigned n)
{
    struct raft_configuration configuration;
    configuration_of_voters(&configuration, ids, n);
    struct raft_buffer buffer = configuration_encode(&configuration);
    raft_configuration_close(&configuration);
    return buffer;
}

static void test_reads_what_the_core_writes(void **state)
{
    (void)state;
    const uint32_t ids[] = {3, 1, 4000000000u};
    struct raft_buffer buffer = encode(ids, 3);
    struct raft_configuration decoded;
    assert_int_equal(configuration_decode(buffer.base, buffer.len, &decoded), 0);
    assert_int_equal(decoded.n, 3);
    for (unsigned i = 0; i < 3; i++) {
        char address[16];
        snprintf(address, sizeof address, "%u", ids[i]);
        assert_int_equal(decoded.servers[i].id, ids[i]);
        assert_string_equal(decoded.servers[i].address, address);
        assert_int_equal(decoded.servers[i].role, RAFT_VOTER);
    }
    raft_configuration_close(&decoded);
    raft_free(buffer.base);
}

/* The same replicas give the same first entry on every node. */
static void test_encoding_is_deterministic(void **state)
{
    (void)state;
    const uint32_t ids[] = {2, 3, 1};
    struct raft_buffer a = encode(ids, 3), b = encode(ids, 3);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.base, b.base, a.len);
    raft_free(a.base);
    raft_free(b.base);
}

static void test_malformed_is_refused(void **state)
{
    (void)state;
    const uint32_t ids[] = {1, 2, 3};
    struct raft_buffer buffer = encode(ids, 3);
    struct raft_configuration decoded;
    size_t live = heap_live_blocks();
    /* 1 + 8 + 3 x (8 + 2 + 1) bytes, then padding */
    for (size_t size = 0; size < 42; size++)
        assert_int_equal(configuration_decode(buffer.base, size, &decoded), ERR_CORRUPT);
    struct prng random;
    prng_init(&random, 7);
    for (int i = 0; i < 20000; i++) {
        unsigned char copy[64];
        assert_true(buffer.len <= sizeof copy);
        memcpy(copy, buffer.base, buffer.len);
        for (int k = 0; k < 3; k++)
            copy[prng_below(&random, buffer.len)] = (unsigned char)prng_next(&random);
        if (configuration_decode(copy, buffer.len, &decoded) == 0)
            raft_configuration_close(&decoded);
    }
    assert_int_equal(heap_live_blocks(), live);
    raft_free(buffer.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_the_core_writes),
        cmocka_unit_test(test_encoding_is_deterministic),
        cmocka_unit_test(test_malformed_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
