/* Offsets by name and by time. */
#include "tests/unit/broker/helper_fake_group.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct list {
    struct list_offset_req req;
    unsigned answers;
    int status;
};

static void on_listed(struct list_offset_req *req, int status)
{
    struct list *t = (struct list *)req;
    t->answers++;
    t->status = status;
}

static void list(struct fixture *f, struct list *t, int64_t timestamp_ms)
{
    t->answers = 0;
    partition_list_offset(f->partition, &t->req, timestamp_ms, on_listed);
    assert_int_equal(t->answers, 0); /* never from inside */
    fixture_turn(f);
}

static void assert_found(const struct list *t, int64_t offset, int64_t timestamp_ms)
{
    assert_int_equal(t->answers, 1);
    assert_int_equal(t->status, 0);
    assert_int_equal(t->req.offset, offset);
    assert_int_equal(t->req.timestamp_ms, timestamp_ms);
}

static void append_at(struct fixture *f, int64_t timestamp_ms)
{
    struct produce p;
    produce(f, &p, &(struct batch_spec){.producer_id = -1, .timestamp_ms = timestamp_ms}, ACKS_ALL);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_int_equal(p.status, 0);
}

static void test_end_is_confirmed_first(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 5);
    struct produce p;
    produce_plain(f, &p, 5, ACKS_ALL);
    struct list t;
    list(f, &t, OFFSET_END);
    assert_int_equal(t.answers, 0);
    fixture_confirm(f, 0);
    assert_found(&t, 5, -1); /* committed, not the log's end */
    assert_int_equal(t.req.leader_epoch, f->group->term);
    list(f, &t, OFFSET_END);
    fixture_confirm(f, ERR_NOT_LEADER); /* a deposed leader must not answer */
    assert_int_equal(t.status, ERR_NOT_LEADER);
    assert_int_equal(t.req.offset, -1);
    settle(f);
}

static void test_start(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 5);
    append_committed(f, 5);
    f->group->start_offset = 5;
    struct list t;
    list(f, &t, OFFSET_START);
    assert_found(&t, 5, -1);
}

static void test_by_time(void **state)
{
    struct fixture *f = *state;
    append_at(f, 1000);
    append_at(f, 3000);
    append_at(f, 2000);
    struct list t;
    list(f, &t, 1001);
    assert_found(&t, 1, 3000);
    list(f, &t, 0);
    assert_found(&t, 0, 1000);
    list(f, &t, OFFSET_MAX_TIMESTAMP);
    fixture_confirm(f, 0);
    assert_found(&t, 1, 3000);
}

static void test_that_nothing_is_so_young_is_confirmed_first(void **state)
{
    struct fixture *f = *state;
    append_at(f, 1000);
    struct list t;
    list(f, &t, 1001);
    assert_int_equal(t.answers, 0);
    append_at(f, 2000);
    fixture_confirm(f, 0);
    assert_found(&t, -1, -1);
    assert_int_equal(t.req.end_offset, 1); /* what came meanwhile lies behind it */
    list(f, &t, 3000);
    fixture_confirm(f, ERR_NOT_LEADER);
    assert_int_equal(t.status, ERR_NOT_LEADER);
}

static void test_uncommitted_records_are_not_found(void **state)
{
    struct fixture *f = *state;
    append_at(f, 1000);
    struct produce p;
    produce(f, &p, &(struct batch_spec){.producer_id = -1, .timestamp_ms = 2000}, ACKS_ALL);
    struct list t;
    list(f, &t, 2000);
    fixture_confirm(f, 0);
    assert_found(&t, -1, -1);
    settle(f);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    struct list t;
    list(f, &t, -4);
    assert_int_equal(t.status, ERR_INVALID_ARGUMENT);
    fake_group_lose(f->group, 2, 0);
    list(f, &t, OFFSET_START);
    assert_int_equal(t.status, ERR_NOT_LEADER);
}

static void test_stop_answers_what_is_outstanding(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 1);
    struct list end, time;
    list(f, &end, OFFSET_END);
    time.answers = 0;
    partition_list_offset(f->partition, &time.req, 0, on_listed);
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    fixture_turn(f);
    assert_int_equal(end.answers, 1);
    assert_int_equal(end.status, ERR_NOT_LEADER);
    assert_int_equal(time.answers, 1);
    assert_int_equal(time.status, ERR_NOT_LEADER);
    assert_int_equal(f->cluster.stopped, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_end_is_confirmed_first),
        TEST(test_start),
        TEST(test_that_nothing_is_so_young_is_confirmed_first),
        TEST(test_by_time),
        TEST(test_uncommitted_records_are_not_found),
        TEST(test_refusals),
        TEST(test_stop_answers_what_is_outstanding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
