/* How fast replicas are created beside producers. */
#include "node/cluster/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint64_t ms = 1000000;
static const uint64_t now = UINT64_C(5000) * 1000000;

static void want(struct pace *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        pace_note_wanted(p);
}

static struct pace pace_of(uint64_t took_ns)
{
    struct pace p = {0};
    want(&p, 1000);
    for (int i = 0; i < 100; i++)
        pace_note_created(&p, took_ns);
    pace_note_begun(&p, now);
    return p;
}

static void without_producers_there_is_no_pause(void **state)
{
    (void)state;
    struct pace p = pace_of(2 * ms);
    assert_int_equal(pace_next_ns(&p, now, 0), now);
    assert_int_equal(pace_next_ns(&p, now, now - 201 * ms), now);
    assert_int_equal(pace_next_ns(&p, now + 300 * ms, now), now + 300 * ms);
}

static void a_pause_is_several_times_what_a_creation_takes(void **state)
{
    (void)state;
    struct pace p = pace_of(ms / 2);
    assert_in_range(pace_next_ns(&p, now, now - 1 * ms), now + 15 * ms, now + 25 * ms);
    assert_int_equal(pace_next_ns(&p, now + 50 * ms, now), pace_next_ns(&p, now, now));
}

static void the_pause_is_bounded(void **state)
{
    (void)state;
    struct pace quick = pace_of(ms / 100), slow = pace_of(1000 * ms), none = {0};
    assert_int_equal(pace_next_ns(&quick, now, now), now + 2 * ms);
    assert_int_equal(pace_next_ns(&slow, now, now), now + 25 * ms);
    assert_int_equal(pace_next_ns(&none, now, now), now);
}

static void the_pauses_of_a_large_topic_are_bounded_together(void **state)
{
    (void)state;
    struct pace p = pace_of(1000 * ms);
    assert_int_equal(pace_next_ns(&p, now, now), now + 25 * ms);
    want(&p, 24000);
    assert_int_equal(pace_next_ns(&p, now, now), now + 1 * ms);
    pace_note_all_begun(&p);
    want(&p, 1000);
    assert_int_equal(pace_next_ns(&p, now, now), now + 25 * ms);
}

static void few_are_not_held_up_for_long(void **state)
{
    (void)state;
    struct pace p = pace_of(1000 * ms);
    pace_note_all_begun(&p);
    want(&p, 12);
    assert_in_range(pace_next_ns(&p, now, now), now + 1, now + 2 * ms);
    want(&p, 88);
    assert_in_range(pace_next_ns(&p, now, now), now + 5 * ms, now + 15 * ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_producers_there_is_no_pause),
        cmocka_unit_test(a_pause_is_several_times_what_a_creation_takes),
        cmocka_unit_test(the_pause_is_bounded),
        cmocka_unit_test(the_pauses_of_a_large_topic_are_bounded_together),
        cmocka_unit_test(few_are_not_held_up_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
