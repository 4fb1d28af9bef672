/* The judge of groups is judged: each wrong history must be noticed, and right ones must not. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/sim/group_history.h"
#include <string.h>

struct scene {
    struct counters counters;
    struct history history;
    struct group_history group;
    unsigned old_owner, new_owner;
};

/* Offsets 0 to 9 are processed, and 5 is committed, by the first owner; a second one follows. */
static void begin(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    history_init(&s->history, &s->counters);
    group_history_init(&s->group, "crew", &s->history);
    s->old_owner = group_history_begin_tenure(&s->group);
    group_history_first(&s->group, "a", 0, 0, 0, s->group.commits);
    for (int64_t offset = 0; offset < 10; offset++)
        group_history_processed(&s->group, 0, 0, offset);
    group_history_committed(&s->group, "a", 0, 0, s->old_owner, 5, false);
    s->new_owner = group_history_begin_tenure(&s->group);
}

static void end(struct scene *s, const char *words)
{
    if (words == NULL)
        assert_string_equal(s->history.violation, "");
    else if (strstr(s->history.violation, words) == NULL)
        fail_msg("expected \"%s\", got \"%s\"", words, s->history.violation);
    group_history_close(&s->group);
    history_close(&s->history);
}

static void test_right_histories_pass(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_first(&s.group, "b", 0, 0, 5, s.group.commits);
    group_history_processed(&s.group, 0, 0, 5); /* again: at least once */
    group_history_committed(&s.group, "b", 0, 0, s.new_owner, 6, false);
    assert_int_equal(group_history_prefix(&s.group, 0, 0), 10);
    assert_int_equal(counters_get(&s.counters, "member_records_again"), 1);
    end(&s, NULL);
}

static void test_the_answer_to_an_old_commit_may_come_late(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_committed(&s.group, "b", 0, 0, s.new_owner, 8, false);
    assert_true(group_history_is_superseded(&s.group, 0, 0, s.old_owner));
    group_history_committed(&s.group, "a", 0, 0, s.old_owner, 6, false);
    end(&s, NULL);
}

static void test_skipped_records_are_noticed(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_first(&s.group, "b", 0, 0, 11, s.group.commits);
    end(&s, "has not processed offset 10");
}

static void test_a_start_before_what_was_committed_is_noticed(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_first(&s.group, "b", 0, 0, 4, s.group.commits);
    end(&s, "had committed 5");
}

/* It was frozen with the record before it, and has not yet heard that another owner went on. */
static void test_a_sleeper_may_begin_before_what_was_committed(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_first(&s.group, "b", 0, 0, 4, s.group.commits - 1);
    end(&s, NULL);
}

static void test_a_commit_of_what_nobody_processed_is_noticed(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_processed(&s.group, 0, 0, 11);
    group_history_committed(&s.group, "a", 0, 0, s.old_owner, 12, false);
    end(&s, "nobody has processed offset 10");
}

static void test_a_commit_that_goes_back_is_noticed(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_committed(&s.group, "b", 0, 0, s.new_owner, 4, false);
    end(&s, "goes back from 5 to 4");
}

static void test_a_commit_after_a_later_owners_is_noticed(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    group_history_committed(&s.group, "b", 0, 0, s.new_owner, 8, false);
    group_history_committed(&s.group, "a", 0, 0, s.old_owner, 9,
                            group_history_is_superseded(&s.group, 0, 0, s.old_owner));
    end(&s, "a later owner had committed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_histories_pass),
        cmocka_unit_test(test_the_answer_to_an_old_commit_may_come_late),
        cmocka_unit_test(test_skipped_records_are_noticed),
        cmocka_unit_test(test_a_start_before_what_was_committed_is_noticed),
        cmocka_unit_test(test_a_sleeper_may_begin_before_what_was_committed),
        cmocka_unit_test(test_a_commit_of_what_nobody_processed_is_noticed),
        cmocka_unit_test(test_a_commit_that_goes_back_is_noticed),
        cmocka_unit_test(test_a_commit_after_a_later_owners_is_noticed),
    };
    return cmocka_run_group_tests_name("sim/group_history", tests, NULL, NULL);
}
