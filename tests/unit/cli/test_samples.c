/* Latency samples: quantiles of all of them, and of the typical window. */
#include "client/cli/bench/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WINDOW = 100 };

/* Windows of 100 samples of 1 to 100 ms; the slow ones take ten times as long. */
static void fill(struct samples *s, unsigned windows, unsigned slow)
{
    for (unsigned w = 0; w < windows; w++) {
        for (unsigned i = WINDOW; i > 0; i--) {
            samples_add(s, i * (w < slow ? 10000000ull : 1000000ull));
        }
    }
}

static void a_few_slow_windows_do_not_change_the_median_one(void **state)
{
    (void)state;
    struct samples s = {NULL, 0, 0, false};
    fill(&s, 5, 2);
    assert_true(samples_windows_ms(&s, WINDOW, 0.99) == 100);
    assert_true(samples_ms(&s, 0.99) > 900);
    samples_close(&s);
}

static void most_windows_being_slow_is_seen(void **state)
{
    (void)state;
    struct samples s = {NULL, 0, 0, false};
    fill(&s, 5, 3);
    assert_true(samples_windows_ms(&s, WINDOW, 0.5) == 510);
    samples_close(&s);
}

static void an_unfinished_window_does_not_count(void **state)
{
    (void)state;
    struct samples s = {NULL, 0, 0, false};
    assert_true(samples_windows_ms(&s, WINDOW, 0.99) < 0);
    fill(&s, 1, 0);
    samples_add(&s, 9000000000ull);
    assert_true(samples_windows_ms(&s, WINDOW, 0.99) == 100);
    samples_close(&s);
}

static void sorted_samples_have_no_windows(void **state)
{
    (void)state;
    struct samples s = {NULL, 0, 0, false};
    fill(&s, 2, 1);
    assert_true(samples_ms(&s, 0) == 1);
    assert_true(samples_windows_ms(&s, WINDOW, 0.99) < 0);
    samples_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_slow_windows_do_not_change_the_median_one),
        cmocka_unit_test(most_windows_being_slow_is_seen),
        cmocka_unit_test(an_unfinished_window_does_not_count),
        cmocka_unit_test(sorted_samples_have_no_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
