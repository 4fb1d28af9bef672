#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/prng.h"

static void the_seed_determines_the_sequence(void **state)
{
    (void)state;
    struct prng a;
    struct prng b;
    struct prng c;
    int same = 0;
    prng_init(&a, 42);
    prng_init(&b, 42);
    prng_init(&c, 43);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = prng_next(&a);
        assert_true(value == prng_next(&b));
        same += value == prng_next(&c);
    }
    assert_int_equal(same, 0);
}

/* xoshiro256** as published, from the state 1, 2, 3, 4. */
static void matches_the_reference(void **state)
{
    (void)state;
    const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240u};
    struct prng p = {.state = {1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_true(prng_next(&p) == expected[i]);
}

static void below_is_uniform(void **state)
{
    (void)state;
    enum { BOUND = 6, DRAWS = 60000 };
    unsigned counts[BOUND] = {0};
    struct prng p;
    prng_init(&p, 7);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t value = prng_below(&p, BOUND);
        assert_true(value < BOUND);
        counts[value]++;
    }
    for (int i = 0; i < BOUND; i++)
        assert_in_range(counts[i], DRAWS / BOUND - 500, DRAWS / BOUND + 500);
    assert_int_equal(prng_below(&p, 1), 0);
    /* a quarter of all draws does not divide evenly here; without rejection the multiples of 3 would come
     * half of the time */
    unsigned multiples = 0;
    for (int i = 0; i < 3000; i++)
        multiples += prng_below(&p, UINT64_C(3) << 62) % 3 == 0;
    assert_in_range(multiples, 900, 1100);
    /* with a bound just above 2^63 nearly every second draw is rejected */
    for (int i = 0; i < 100; i++)
        assert_true(prng_below(&p, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seed_determines_the_sequence),
        cmocka_unit_test(matches_the_reference),
        cmocka_unit_test(below_is_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
