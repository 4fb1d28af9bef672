#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/base/log_limit.h"

static void one_line_per_host_and_interval(void **state)
{
    (void)state;
    struct log_limit l = {0};
    assert_int_equal(log_limit_pass(&l, 5, "refused", "10.0.0.1:1000"), 0);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(log_limit_pass(&l, 6 + i, "refused", i % 2 ? "10.0.0.1:1" : "10.0.0.1:65000"), -1);
    assert_int_equal(log_limit_pass(&l, 7, "refused", "10.0.0.2:1000"), 0); /* another host */
    assert_int_equal(log_limit_pass(&l, 8, "garbage", "10.0.0.1:1000"), 0); /* another reason */
    assert_int_equal(log_limit_pass(&l, 5 + LOG_LIMIT_INTERVAL_MS, "refused", "10.0.0.1:7"), 500);
    assert_int_equal(log_limit_pass(&l, 6 + 2 * LOG_LIMIT_INTERVAL_MS, "refused", "10.0.0.1:7"), 0);
}

/* However many hosts there are, so many lines and no more. */
static void many_hosts_share(void **state)
{
    (void)state;
    struct log_limit l = {0};
    unsigned lines = 0;
    for (unsigned i = 0; i < 10000; i++) {
        char peer[32];
        snprintf(peer, sizeof(peer), "[fe80::%x]:9", i);
        lines += log_limit_pass(&l, 1, "refused", peer) >= 0;
    }
    assert_int_equal(lines, LOG_LIMIT_HOSTS + 1);
    assert_int_equal(log_limit_pass(&l, 1 + LOG_LIMIT_INTERVAL_MS, "refused", "[fe80::270f]:9"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_per_host_and_interval),
        cmocka_unit_test(many_hosts_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
