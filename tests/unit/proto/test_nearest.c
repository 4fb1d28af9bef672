#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/nearest.h"
#include <string.h>

static const char *const names[] = {"retention.ms", "retention.bytes", "segment.bytes", "segment.ms", "acks"};
enum { NAMES = sizeof names / sizeof names[0] };

static void finds_the_slip(void **state)
{
    (void)state;
    assert_string_equal(nearest_name("retention.m", names, NAMES), "retention.ms");
    assert_string_equal(nearest_name("retentoin.byts", names, NAMES), "retention.bytes");
    assert_string_equal(nearest_name("RETENTION_MS", names, NAMES), "retention.ms");
    assert_string_equal(nearest_name("segment-ms", names, NAMES), "segment.ms");
    assert_string_equal(nearest_name("ack", names, NAMES), "acks");
}

static void says_nothing_about_strangers(void **state)
{
    (void)state;
    assert_null(nearest_name("zookeeper", names, NAMES));
    assert_null(nearest_name("", names, NAMES));
    assert_null(nearest_name("retention.ms", names, 0));
}

static void takes_names_of_any_length(void **state)
{
    (void)state;
    char long_name[4096];
    memset(long_name, 'r', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_null(nearest_name(long_name, names, NAMES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_slip),
        cmocka_unit_test(says_nothing_about_strangers),
        cmocka_unit_test(takes_names_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
