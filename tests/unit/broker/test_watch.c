/* Watchers: told once per turn, removed when the partition is no longer served here. */
#include "tests/unit/broker/helper_fake_group.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct watcher {
    struct partition_watcher watcher;
    unsigned moved;
    unsigned ended;
    int status;
    struct watcher *unwatch; /* from inside the callback */
};

static void on_moved(struct partition_watcher *w, int status)
{
    struct watcher *t = (struct watcher *)w;
    t->status = status;
    if (status == 0)
        t->moved++;
    else
        t->ended++;
    if (t->unwatch != NULL)
        partition_unwatch(&t->unwatch->watcher);
}

static void watch(struct fixture *f, struct watcher *t)
{
    *t = (struct watcher){0};
    assert_int_equal(partition_watch(f->partition, &t->watcher, on_moved), 0);
}

static void test_told_once_per_turn(void **state)
{
    struct fixture *f = *state;
    struct watcher a, b;
    watch(f, &a);
    watch(f, &b);
    struct produce p[3];
    for (int i = 0; i < 3; i++)
        produce_plain(f, &p[i], 1, ACKS_ALL);
    fixture_turn(f);
    assert_int_equal(a.moved, 0); /* nothing is committed */
    fake_group_commit(f->group, 3);
    assert_int_equal(a.moved, 0); /* not inside apply */
    fixture_turn(f);
    assert_int_equal(a.moved, 1);
    assert_int_equal(b.moved, 1);
    partition_unwatch(&a.watcher);
    partition_unwatch(&a.watcher);
    append_committed(f, 1);
    assert_int_equal(a.moved, 1);
    assert_int_equal(b.moved, 2);
    partition_unwatch(&b.watcher);
}

static void test_unwatching_inside_the_callback(void **state)
{
    struct fixture *f = *state;
    struct watcher a, b, c;
    watch(f, &a);
    watch(f, &b);
    watch(f, &c);
    a.unwatch = &b; /* one that is still to be told */
    c.unwatch = &c; /* itself */
    append_committed(f, 1);
    append_committed(f, 1);
    assert_int_equal(a.moved, 2);
    assert_int_equal(b.moved, 0);
    assert_int_equal(c.moved, 1);
    partition_unwatch(&a.watcher);
}

static void test_lost_leadership_ends_it(void **state)
{
    struct fixture *f = *state;
    struct watcher a;
    watch(f, &a);
    fake_group_lose(f->group, 2, 0);
    assert_int_equal(a.ended, 0); /* not inside the group's callback */
    fixture_turn(f);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, ERR_NOT_LEADER);
    struct watcher b = {0};
    assert_int_equal(partition_watch(f->partition, &b.watcher, on_moved), ERR_NOT_LEADER);
    fake_group_lead(f->group);
    append_committed(f, 1);
    assert_int_equal(a.moved + a.ended, 1);
}

static void test_stop_ends_it(void **state)
{
    struct fixture *f = *state;
    struct watcher a;
    watch(f, &a);
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    assert_int_equal(a.ended, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_told_once_per_turn),
        TEST(test_unwatching_inside_the_callback),
        TEST(test_lost_leadership_ends_it),
        TEST(test_stop_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
