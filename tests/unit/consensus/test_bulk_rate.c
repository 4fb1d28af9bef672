/* The rate of bulk work: what lowers it, what raises it, and what it never falls below. */
#include "node/consensus/bulk_rate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define US       ((uint64_t)1000)
#define MS       (1000 * US)
#define NS_PER_S (1000 * MS)

enum { QUIET_US = 200, HURT_US = 2000, MANY = 4096 };

/* A node to which a record of 1 KiB is appended every millisecond, on a clock of the test's own. */
struct load {
    struct bulk_rate rate;
    uint64_t now_ns;
    size_t bytes;
};

static void begin(struct load *l)
{
    *l = (struct load){.now_ns = NS_PER_S, .bytes = 1024};
    bulk_rate_init(&l->rate);
}

static uint64_t rate(const struct load *l)
{
    return bulk_rate_now(&l->rate, l->now_ns);
}

static void append_for(struct load *l, uint64_t ms, uint64_t took_us)
{
    for (uint64_t i = 0; i < ms; i++) {
        l->now_ns += MS;
        bulk_rate_note(&l->rate, l->now_ns, took_us * US, l->bytes);
    }
}

static void test_no_limit_where_nothing_is_appended(void **state)
{
    (void)state;
    struct load l;
    begin(&l);
    assert_true(rate(&l) == BULK_UNLIMITED);
    append_for(&l, 1, QUIET_US);
    assert_true(rate(&l) == BULK_FLOOR_BYTES_PER_S);
    l.now_ns += 51 * MS;
    assert_true(rate(&l) == BULK_UNLIMITED);
}

static void test_rises_while_appends_are_not_delayed(void **state)
{
    (void)state;
    struct load l;
    begin(&l);
    uint64_t last = 0;
    for (unsigned s = 0; s < 10; s++) {
        append_for(&l, 1000, QUIET_US);
        assert_true(rate(&l) > last);
        last = rate(&l);
    }
    assert_true(last >= 5 * (uint64_t)BULK_FLOOR_BYTES_PER_S);
    assert_int_equal(l.rate.times_lowered, 0);
}

static void test_falls_to_the_floor_within_a_second_when_appends_are_delayed(void **state)
{
    (void)state;
    struct load l;
    begin(&l);
    append_for(&l, 20000, QUIET_US);
    uint64_t before = rate(&l);
    append_for(&l, 120, HURT_US);
    assert_in_range(rate(&l), before / 8, before / 2);
    append_for(&l, 1000, HURT_US);
    assert_true(rate(&l) == BULK_FLOOR_BYTES_PER_S);
    append_for(&l, 1000, QUIET_US);
    assert_true(rate(&l) > BULK_FLOOR_BYTES_PER_S);
}

/* What happens now and then to any disk, and delays that nobody notices. */
static void test_is_not_impressed_by_little(void **state)
{
    (void)state;
    struct load l;
    begin(&l);
    append_for(&l, 1000, 20);
    append_for(&l, 1000, 100);
    assert_int_equal(l.rate.times_lowered, 0);
    begin(&l);
    append_for(&l, 1000, QUIET_US);
    append_for(&l, 1000, QUIET_US * 19 / 10);
    for (unsigned i = 0; i < 20; i++) {
        append_for(&l, 1, HURT_US);
        append_for(&l, 99, QUIET_US);
    }
    assert_int_equal(l.rate.times_lowered, 0);
}

/* A disk that has become slower for good, or producers that send much more, are not to be mistaken for
 * bulk work's doing for ever. */
static void test_learns_a_new_base(void **state)
{
    (void)state;
    struct load l;
    begin(&l);
    append_for(&l, 2000, QUIET_US);
    append_for(&l, 60000, HURT_US);
    assert_true(rate(&l) > BULK_FLOOR_BYTES_PER_S);
    append_for(&l, 2000, 3 * HURT_US);
    assert_true(rate(&l) == BULK_FLOOR_BYTES_PER_S);
    append_for(&l, 1000, QUIET_US); /* and at once when it is better than thought */
    append_for(&l, 1000, HURT_US);
    assert_true(rate(&l) == BULK_FLOOR_BYTES_PER_S);
}

/* Else who has fallen behind while much is written would never come to the end. */
static void test_gains_on_what_is_appended(void **state)
{
    (void)state;
    struct load l;
    begin(&l);
    append_for(&l, 1000, QUIET_US);
    l.bytes = 100 * 1024; /* a hundred MiB in a second */
    append_for(&l, 2000, HURT_US);
    uint64_t appended = 1000 * l.bytes;
    assert_in_range(rate(&l), BULK_FLOOR_APPENDED * appended * 95 / 100,
                    BULK_FLOOR_APPENDED * appended * 105 / 100);
    l.bytes = 1024;
    append_for(&l, 2000, HURT_US);
    assert_true(rate(&l) == BULK_FLOOR_BYTES_PER_S);
}

/* Twenty appends in a second still say something, and a pause between them is not taken for their time. */
static void test_few_appends(void **state)
{
    (void)state;
    struct load l;
    begin(&l);
    for (unsigned i = 0; i < MANY; i++) {
        l.now_ns += 45 * MS;
        bulk_rate_note(&l.rate, l.now_ns, QUIET_US * US, l.bytes);
    }
    uint64_t before = rate(&l);
    assert_true(before > BULK_FLOOR_BYTES_PER_S);
    for (unsigned i = 0; i < 16; i++) {
        l.now_ns += 45 * MS;
        bulk_rate_note(&l.rate, l.now_ns, HURT_US * US, l.bytes);
    }
    assert_true(rate(&l) <= before / 2);
    l.now_ns += 3600 * NS_PER_S;
    append_for(&l, 1000, QUIET_US);
    assert_true(rate(&l) < before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit_where_nothing_is_appended),
        cmocka_unit_test(test_rises_while_appends_are_not_delayed),
        cmocka_unit_test(test_falls_to_the_floor_within_a_second_when_appends_are_delayed),
        cmocka_unit_test(test_is_not_impressed_by_little),
        cmocka_unit_test(test_learns_a_new_base),
        cmocka_unit_test(test_gains_on_what_is_appended),
        cmocka_unit_test(test_few_appends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
