#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/metrics.h"
#include "node/base/prng.h"
#include <stdlib.h>

enum { SAMPLES = 20000 };

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void empty_is_zero(void **state)
{
    (void)state;
    struct histogram h = {0};
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
}

static void every_value_is_below_the_end_of_its_bucket(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        for (uint64_t around = 0; around < 3; around++) {
            struct histogram h = {0};
            uint64_t value = ((uint64_t)1 << bits) - 1 + around;
            histogram_record(&h, value);
            histogram_record(&h, UINT64_MAX); /* so that the maximum does not hide the bucket's end */
            uint64_t upper = histogram_quantile(&h, 0.5);
            assert_true(upper >= value);
            if (value >= 1024 && value < ((uint64_t)1 << 36))
                assert_true(upper - value <= value / 8);
        }
    }
}

static void quantiles_are_within_an_eighth(void **state)
{
    (void)state;
    static uint64_t samples[SAMPLES];
    struct histogram h = {0};
    struct prng p;
    prng_init(&p, 1);
    for (int i = 0; i < SAMPLES; i++) {
        samples[i] = 2000 + (prng_next(&p) >> (30 + prng_below(&p, 20)));
        histogram_record(&h, samples[i]);
    }
    qsort(samples, SAMPLES, sizeof(samples[0]), compare);
    const double quantiles[] = {0, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        size_t rank = (size_t)(quantiles[i] * SAMPLES);
        uint64_t exact = samples[rank == 0 ? 0 : rank - 1];
        uint64_t estimate = histogram_quantile(&h, quantiles[i]);
        assert_true(estimate >= exact);
        assert_true(estimate <= exact + exact / 8 + 1);
    }
    assert_int_equal(histogram_quantile(&h, 1), h.max_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_is_zero),
        cmocka_unit_test(every_value_is_below_the_end_of_its_bucket),
        cmocka_unit_test(quantiles_are_within_an_eighth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
