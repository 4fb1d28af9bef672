/* The judge is judged: each wrong history must be noticed, and right ones must not. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "proto/error.h"
#include "tests/sim/history.h"
#include <string.h>

struct record {
    unsigned char value[HISTORY_VALUE_MAX];
    size_t size;
    unsigned producer;
    uint32_t sequence;
};

struct scene {
    struct counters counters;
    struct history history;
};

static void begin(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    history_init(&s->history, &s->counters);
}

static void send_at(struct scene *s, unsigned producer, struct record *r, int64_t timestamp_ms)
{
    r->producer = producer;
    r->size = history_next_value(&s->history, producer, 10, r->value);
    r->sequence = history_sent(&s->history, producer, 0, 0, timestamp_ms);
}

static void send(struct scene *s, unsigned producer, struct record *r)
{
    send_at(s, producer, r, 0);
}

static void deliver(struct scene *s, const struct record *r, int status, int64_t offset)
{
    history_delivered(&s->history, r->producer, r->sequence, status, offset);
}

static void read_at(struct scene *s, const struct record *r, int64_t offset)
{
    history_read(&s->history, "a reader", 0, 0, offset, r->value, r->size);
}

static void assert_noticed(const struct scene *s, const char *words)
{
    if (strstr(s->history.violation, words) == NULL)
        fail_msg("expected \"%s\", got \"%s\"", words, s->history.violation);
}

static void assert_right(const struct scene *s)
{
    assert_string_equal(s->history.violation, "");
}

static void test_right_histories_pass(void **state)
{
    struct scene s;
    struct record a, b, c;
    (void)state;
    begin(&s);
    unsigned first = history_add_producer(&s.history, -1, true);
    unsigned second = history_add_producer(&s.history, 1, false);
    send(&s, first, &a);
    send(&s, first, &b);
    send(&s, second, &c);
    read_at(&s, &b, 1); /* before its acknowledgement */
    deliver(&s, &a, 0, 0);
    deliver(&s, &b, 0, 1);
    deliver(&s, &c, 0, 2); /* acks=1: it may be lost */
    read_at(&s, &a, 0);
    read_at(&s, &b, 1);
    history_end_told(&s.history, 0, 0, 2, 2);
    history_check_complete(&s.history, 0, 0, 2);
    assert_right(&s);
    history_close(&s.history);
}

static void test_a_lost_record_is_noticed(void **state)
{
    struct scene s;
    struct record a, b;
    (void)state;
    begin(&s);
    unsigned p = history_add_producer(&s.history, -1, true);
    send(&s, p, &a);
    send(&s, p, &b);
    deliver(&s, &a, 0, 0);
    deliver(&s, &b, 0, 1);
    read_at(&s, &b, 1);
    assert_right(&s);
    history_check_complete(&s.history, 0, 0, 2);
    assert_noticed(&s, "lost: offset 0");
    history_close(&s.history);
}

static void test_a_lost_end_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    send(&s, history_add_producer(&s.history, -1, true), &a);
    deliver(&s, &a, 0, 0);
    read_at(&s, &a, 0);
    history_check_complete(&s.history, 0, 0, 0);
    assert_noticed(&s, "topic0/0 ends at 0");
    history_close(&s.history);
}

static void test_another_record_at_an_offset_is_noticed(void **state)
{
    struct scene s;
    struct record a, b;
    (void)state;
    begin(&s);
    unsigned p = history_add_producer(&s.history, -1, true);
    send(&s, p, &a);
    send(&s, p, &b);
    deliver(&s, &a, 0, 0);
    read_at(&s, &b, 0);
    assert_noticed(&s, "offset 0 of topic0/0 holds record 1");
    history_close(&s.history);
}

static void test_a_duplicate_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    send(&s, history_add_producer(&s.history, -1, true), &a);
    read_at(&s, &a, 0);
    read_at(&s, &a, 1);
    assert_noticed(&s, "stands twice");
    history_close(&s.history);
}

static void test_an_offset_that_moved_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    send(&s, history_add_producer(&s.history, 1, false), &a);
    deliver(&s, &a, 0, 5);
    read_at(&s, &a, 6);
    assert_noticed(&s, "was acknowledged at offset 5");
    history_close(&s.history);
}

static void test_an_altered_record_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    send(&s, history_add_producer(&s.history, -1, true), &a);
    a.value[a.size - 1] ^= 1;
    read_at(&s, &a, 0);
    assert_noticed(&s, "nobody sent");
    history_close(&s.history);
}

static void test_an_invented_record_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    a.size = history_next_value(&s.history, history_add_producer(&s.history, -1, true), 0, a.value);
    read_at(&s, &a, 0); /* it was never accepted */
    assert_noticed(&s, "nobody sent");
    history_close(&s.history);
}

static void test_a_certain_failure_that_is_read_is_noticed(void **state)
{
    struct scene s;
    struct record a, b;
    (void)state;
    begin(&s);
    unsigned p = history_add_producer(&s.history, -1, false);
    send(&s, p, &a);
    send(&s, p, &b);
    deliver(&s, &a, ERR_TIMED_OUT, -1); /* may have been written */
    read_at(&s, &a, 0);
    assert_right(&s);
    deliver(&s, &b, ERR_OVERLOADED, -1);
    read_at(&s, &b, 1);
    assert_noticed(&s, "certainly not written");
    history_close(&s.history);
}

static void test_wrong_order_is_noticed(void **state)
{
    struct scene s;
    struct record a, b;
    (void)state;
    begin(&s);
    unsigned p = history_add_producer(&s.history, -1, true);
    send(&s, p, &a);
    send(&s, p, &b);
    read_at(&s, &b, 0);
    read_at(&s, &a, 1);
    assert_right(&s);
    history_check_complete(&s.history, 0, 0, 2);
    assert_noticed(&s, "stands behind it");
    history_close(&s.history);
}

static void test_a_second_report_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    send(&s, history_add_producer(&s.history, -1, true), &a);
    deliver(&s, &a, 0, 0);
    deliver(&s, &a, 0, 0);
    assert_noticed(&s, "reported twice");
    history_close(&s.history);
}

static void test_an_end_before_the_end_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    send(&s, history_add_producer(&s.history, -1, true), &a);
    deliver(&s, &a, 0, 0);
    history_end_told(&s.history, 0, 0, history_end(&s.history, 0, 0), 0);
    assert_noticed(&s, "was said to be 0");
    history_close(&s.history);
}

static void test_a_record_that_is_young_enough_and_passed_over_is_noticed(void **state)
{
    struct scene s;
    struct record old, young, next;
    (void)state;
    begin(&s);
    unsigned p = history_add_producer(&s.history, -1, true);
    send_at(&s, p, &old, 100);
    send_at(&s, p, &young, 200);
    send_at(&s, p, &next, 200);
    deliver(&s, &old, 0, 0);
    deliver(&s, &young, 0, 1);
    deliver(&s, &next, 0, 2);
    history_first_from_time(&s.history, "a reader", 0, 0, 1, 150);
    assert_right(&s);
    history_first_from_time(&s.history, "a reader", 0, 0, 2, 150);
    assert_noticed(&s, "offset 1 is as young");
    history_close(&s.history);
}

static void test_a_denied_topic_is_noticed(void **state)
{
    struct scene s;
    struct record a;
    (void)state;
    begin(&s);
    send(&s, history_add_producer(&s.history, -1, true), &a);
    deliver(&s, &a, ERR_UNKNOWN_TOPIC, -1);
    assert_noticed(&s, "does not exist");
    history_close(&s.history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_histories_pass),
        cmocka_unit_test(test_a_lost_record_is_noticed),
        cmocka_unit_test(test_a_lost_end_is_noticed),
        cmocka_unit_test(test_another_record_at_an_offset_is_noticed),
        cmocka_unit_test(test_a_duplicate_is_noticed),
        cmocka_unit_test(test_an_offset_that_moved_is_noticed),
        cmocka_unit_test(test_an_altered_record_is_noticed),
        cmocka_unit_test(test_an_invented_record_is_noticed),
        cmocka_unit_test(test_a_certain_failure_that_is_read_is_noticed),
        cmocka_unit_test(test_wrong_order_is_noticed),
        cmocka_unit_test(test_a_second_report_is_noticed),
        cmocka_unit_test(test_an_end_before_the_end_is_noticed),
        cmocka_unit_test(test_a_record_that_is_young_enough_and_passed_over_is_noticed),
        cmocka_unit_test(test_a_denied_topic_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
