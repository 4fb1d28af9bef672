/* Fetch: what is returned, and when a waiting fetch wakes. */
#include "tests/unit/broker/helper_fake_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_BYTES = 1 << 20, FOREVER_MS = 1000000 };

struct fetch {
    struct fetch_req req;
    unsigned answers;
    int status;
};

static void on_fetched(struct fetch_req *req, int status)
{
    struct fetch *t = (struct fetch *)req;
    t->answers++;
    t->status = status;
}

static void fetch(struct fixture *f, struct fetch *t, int64_t offset, size_t max_bytes, size_t min_bytes,
                  uint64_t wait_ms)
{
    t->answers = 0;
    partition_fetch(f->partition, &t->req, offset, max_bytes, min_bytes, wait_ms * 1000000, on_fetched);
    assert_int_equal(t->answers, 0); /* never from inside */
    fixture_turn(f);
}

/* The answer holds `batches` batches and goes on at `next`; it is released. */
static void assert_got(struct fetch *t, unsigned batches, int64_t next)
{
    assert_int_equal(t->answers, 1);
    assert_int_equal(t->status, 0);
    assert_int_equal(t->req.read.n, batches);
    assert_int_equal(t->req.read.next_offset, next);
    for (unsigned i = 0; i < t->req.read.n; i++)
        slice_unref(&t->req.read.slices[i]);
}

static void assert_failed_with(const struct fetch *t, int status)
{
    assert_int_equal(t->answers, 1);
    assert_int_equal(t->status, status);
    assert_int_equal(t->req.read.n, 0);
}

static void append_uncommitted(struct fixture *f, struct produce *p, int32_t count)
{
    produce_plain(f, p, count, ACKS_ALL);
    fixture_turn(f);
}

/* ---- what is there ---- */

static void test_reads_from_the_batch_that_holds_the_offset(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++)
        append_committed(f, 10);
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, 0);
    assert_got(&t, 3, 30);
    assert_int_equal(t.req.high_watermark, 30);
    assert_int_equal(t.req.start_offset, 0);
    fetch(f, &t, 15, MAX_BYTES, 1, 0); /* inside the second: the whole of it */
    assert_int_equal(t.answers, 1);
    struct batch_header header;
    assert_int_equal(
        batch_header_decode(t.req.read.slices[0].data, t.req.read.slices[0].size, MAX_BYTES, &header), 0);
    assert_int_equal(header.base_offset, 10);
    assert_got(&t, 2, 30);
    fetch(f, &t, 0, 1, 1, 0); /* at least one */
    assert_got(&t, 1, 10);
}

static void test_out_of_range(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 10);
    append_committed(f, 10);
    f->group->start_offset = 10;
    struct fetch t;
    fetch(f, &t, 9, MAX_BYTES, 1, FOREVER_MS);
    assert_failed_with(&t, ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(t.req.start_offset, 10);
    assert_int_equal(t.req.high_watermark, 20);
    fetch(f, &t, -1, MAX_BYTES, 1, FOREVER_MS);
    assert_failed_with(&t, ERR_OFFSET_OUT_OF_RANGE);
}

/* A deposed leader that does not know it yet has not got what its successor has committed. */
static void test_beyond_the_end_is_refused_by_a_confirmed_leader_only(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 20);
    struct fetch t;
    fetch(f, &t, 21, MAX_BYTES, 1, FOREVER_MS);
    assert_int_equal(t.answers, 0);
    fixture_confirm(f, ERR_NOT_LEADER);
    assert_failed_with(&t, ERR_NOT_LEADER);

    fetch(f, &t, 21, MAX_BYTES, 1, FOREVER_MS);
    assert_int_equal(t.answers, 0);
    fixture_confirm(f, 0);
    assert_failed_with(&t, ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(t.req.high_watermark, 20);
}

static void test_the_log_may_grow_up_to_the_offset_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct fetch t;
    fetch(f, &t, 5, MAX_BYTES, 1, FOREVER_MS);
    append_committed(f, 5);
    fixture_confirm(f, 0);
    assert_int_equal(t.answers, 0); /* waits at the end */
    append_committed(f, 1);
    assert_got(&t, 1, 6);
}

static void test_cancel_and_stop_while_leadership_is_confirmed(void **state)
{
    struct fixture *f = *state;
    struct fetch t;
    fetch(f, &t, 5, MAX_BYTES, 1, FOREVER_MS);
    partition_fetch_cancel(&t.req);
    fixture_turn(f);
    assert_int_equal(t.answers, 0);
    fixture_confirm(f, 0);
    assert_failed_with(&t, ERR_CANCELED);

    fetch(f, &t, 5, MAX_BYTES, 1, FOREVER_MS);
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    fixture_turn(f);
    assert_failed_with(&t, ERR_NOT_LEADER);
}

static void test_uncommitted_records_are_not_served(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 10);
    struct produce p;
    append_uncommitted(f, &p, 10);
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, 0);
    assert_got(&t, 1, 10);
    fetch(f, &t, 10, MAX_BYTES, 1, 0);
    assert_got(&t, 0, 10);
    fetch(f, &t, 15, MAX_BYTES, 1, 0); /* between high watermark and end: no error */
    assert_got(&t, 0, 15);
    fetch(f, &t, 20, MAX_BYTES, 1, 0);
    assert_got(&t, 0, 20);
    settle(f);
}

/* ---- waiting ---- */

static void test_waits_for_the_high_watermark(void **state)
{
    struct fixture *f = *state;
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    struct produce p;
    append_uncommitted(f, &p, 10);
    assert_int_equal(t.answers, 0);
    fake_group_commit(f->group, 1);
    assert_int_equal(t.answers, 0); /* not inside apply */
    fixture_turn(f);
    assert_got(&t, 1, 10);
}

static void test_wait_ends_with_nothing(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 10);
    struct fetch t;
    fetch(f, &t, 10, MAX_BYTES, 1, 500);
    fake_env_advance(&f->env, 499);
    assert_int_equal(t.answers, 0);
    fake_env_advance(&f->env, 1);
    assert_got(&t, 0, 10);
}

static void test_min_bytes(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 1);
    size_t one = f->group->batches[0].bytes.size;
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 3 * one, FOREVER_MS);
    append_committed(f, 1);
    assert_int_equal(t.answers, 0);
    append_committed(f, 1);
    assert_got(&t, 3, 3);
    fetch(f, &t, 0, MAX_BYTES, 4 * one, 100);
    fake_env_advance(&f->env, 100); /* less than asked, but time is over */
    assert_got(&t, 3, 3);
}

static void test_full_answer_does_not_wait_for_min_bytes(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < LOG_READ_MAX_SLICES + 1; i++)
        append_committed(f, 1);
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    assert_got(&t, LOG_READ_MAX_SLICES, LOG_READ_MAX_SLICES);
    fetch(f, &t, 0, 1, MAX_BYTES, FOREVER_MS);
    assert_got(&t, 1, 1);
}

static void test_waits_above_the_high_watermark(void **state)
{
    struct fixture *f = *state;
    struct produce p, q;
    append_uncommitted(f, &p, 10);
    append_uncommitted(f, &q, 10);
    struct fetch t;
    fetch(f, &t, 15, MAX_BYTES, 1, FOREVER_MS);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_int_equal(t.answers, 0);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_got(&t, 1, 20);
}

static void test_many_waiters_wake_once_per_turn(void **state)
{
    struct fixture *f = *state;
    enum { WAITERS = 50 };
    struct fetch *t = calloc(WAITERS, sizeof *t);
    for (int i = 0; i < WAITERS; i++)
        fetch(f, &t[i], 0, MAX_BYTES, 1, FOREVER_MS);
    struct produce p[3];
    for (int i = 0; i < 3; i++)
        produce_plain(f, &p[i], 1, ACKS_ALL);
    fake_group_commit(f->group, 3);
    fixture_turn(f);
    for (int i = 0; i < WAITERS; i++)
        assert_got(&t[i], 3, 3);
    free(t);
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS); /* waiting */
    partition_fetch_cancel(&t.req);
    assert_int_equal(t.answers, 0);
    fixture_turn(f);
    assert_failed_with(&t, ERR_CANCELED);

    append_committed(f, 1);
    t.answers = 0; /* answered, callback due: the slices are released */
    partition_fetch(f->partition, &t.req, 0, MAX_BYTES, 1, 0, on_fetched);
    partition_fetch_cancel(&t.req);
    fixture_turn(f);
    assert_failed_with(&t, ERR_CANCELED);
    assert_int_equal(f->group->batches[0].bytes.owner->references, 1);

    f->group->async_reads = true; /* the log is reading */
    t.answers = 0;
    partition_fetch(f->partition, &t.req, 0, MAX_BYTES, 1, 0, on_fetched);
    partition_fetch_cancel(&t.req);
    fixture_turn(f);
    assert_failed_with(&t, ERR_CANCELED);
    assert_int_equal(f->group->batches[0].bytes.owner->references, 1);
}

/* ---- reads from the disk ---- */

static void test_asynchronous_read(void **state)
{
    struct fixture *f = *state;
    f->group->async_reads = true;
    append_committed(f, 10);
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    assert_got(&t, 1, 10);
}

static void test_commit_during_an_asynchronous_read_is_not_missed(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 1);
    size_t one = f->group->batches[0].bytes.size;
    f->group->async_reads = true;
    f->group->hold_reads = true;
    struct fetch t;
    t.answers = 0;
    partition_fetch(f->partition, &t.req, 0, MAX_BYTES, 2 * one, FOREVER_MS * 1000000ull, on_fetched);
    struct produce p;
    produce_plain(f, &p, 1, ACKS_ALL);
    fake_group_commit(f->group, 1);
    fixture_turn(f); /* all waiters have been woken */
    f->group->hold_reads = false;
    fake_group_release_reads(f->group);
    fixture_turn(f);
    assert_got(&t, 2, 2);
}

static void test_time_over_during_an_asynchronous_read(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 1);
    f->group->async_reads = true;
    struct fetch t;
    t.answers = 0;
    partition_fetch(f->partition, &t.req, 0, MAX_BYTES, MAX_BYTES, 1000000, on_fetched);
    f->env.now_ns += 2000000;
    fixture_turn(f);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.status, 0);
    for (unsigned i = 0; i < t.req.read.n; i++)
        slice_unref(&t.req.read.slices[i]);
}

static void test_damage_sends_the_client_to_another_replica(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 1);
    f->group->async_reads = true;
    f->group->read_status = ERR_CORRUPT;
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    assert_failed_with(&t, ERR_REPLICA_FAILED);
}

/* ---- leadership ---- */

static void test_follower_does_not_serve(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 1);
    fake_group_lose(f->group, 2, 0);
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    assert_failed_with(&t, ERR_NOT_LEADER);
}

static void test_lost_leadership_ends_the_wait(void **state)
{
    struct fixture *f = *state;
    struct fetch t;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    fake_group_lose(f->group, 2, 0);
    fixture_turn(f);
    assert_failed_with(&t, ERR_NOT_LEADER);
}

static void test_stop_ends_waits_and_reads(void **state)
{
    struct fixture *f = *state;
    struct fetch waiting, reading;
    fetch(f, &waiting, 0, MAX_BYTES, 1, FOREVER_MS);
    append_committed(f, 1);
    assert_got(&waiting, 1, 1);
    fetch(f, &waiting, 1, MAX_BYTES, 1, FOREVER_MS);
    f->group->async_reads = true;
    reading.answers = 0;
    partition_fetch(f->partition, &reading.req, 0, MAX_BYTES, 1, 0, on_fetched);
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    fixture_turn(f);
    assert_failed_with(&waiting, ERR_NOT_LEADER);
    assert_failed_with(&reading, ERR_NOT_LEADER);
    assert_int_equal(f->cluster.stopped, 1);
}

/* ---- old records ---- */

/* Appends that take ever longer: old data is read at the floor's rate, and a turn has just been had. */
static void make_busy(struct fixture *f)
{
    for (unsigned i = 0; i < 100; i++) {
        fake_env_advance(&f->env, 1);
        governor_note_append(&f->governor, (i + 1) * 1000000ull, 1024);
    }
    struct governor_turn turn;
    governor_turn_init(&turn);
    assert_true(governor_take(&f->governor, &turn, NULL));
    governor_spent(&f->governor, 2 * GOVERNOR_PIECE_BYTES);
}

static void test_old_records_give_way(void **state)
{
    struct fixture *f = *state;
    struct fetch old, newest;
    append_committed(f, 1);
    make_busy(f);
    fetch(f, &newest, 0, MAX_BYTES, 1, 0); /* from memory */
    assert_got(&newest, 1, 1);
    f->group->async_reads = true;
    fetch(f, &old, 0, MAX_BYTES, 1, FOREVER_MS);
    assert_int_equal(old.answers, 0);
    fake_env_advance(&f->env, 1);
    assert_int_equal(old.answers, 0);
    fake_env_advance(&f->env, 10);
    assert_got(&old, 1, 1);
    assert_int_equal(f->governor.wait_ns.count, 1);
}

static void test_old_records_are_read_in_small_pieces(void **state)
{
    struct fixture *f = *state;
    struct fetch t;
    size_t bytes = 0;
    while (bytes < 2 * GOVERNOR_PIECE_BYTES) {
        append_committed(f, 1000);
        bytes += f->group->batches[f->group->count - 1].bytes.size;
    }
    f->group->async_reads = true;
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    assert_true(t.req.read.size > GOVERNOR_PIECE_BYTES);
    assert_got(&t, t.req.read.n, t.req.read.next_offset);
    make_busy(f);
    fetch(f, &t, 0, MAX_BYTES, 1, FOREVER_MS);
    fake_env_advance(&f->env, 10);
    assert_true(t.req.read.size <= GOVERNOR_PIECE_BYTES);
    assert_got(&t, t.req.read.n, t.req.read.next_offset);
}

static void test_cancel_and_stop_while_giving_way(void **state)
{
    struct fixture *f = *state;
    struct fetch canceled, stopped;
    append_committed(f, 1);
    make_busy(f);
    f->group->async_reads = true;
    fetch(f, &canceled, 0, MAX_BYTES, 1, FOREVER_MS);
    fetch(f, &stopped, 0, MAX_BYTES, 1, FOREVER_MS);
    partition_fetch_cancel(&canceled.req);
    fixture_turn(f);
    assert_failed_with(&canceled, ERR_CANCELED);
    assert_int_equal(stopped.answers, 0);
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    fixture_turn(f);
    assert_failed_with(&stopped, ERR_NOT_LEADER);
    assert_int_equal(f->cluster.stopped, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reads_from_the_batch_that_holds_the_offset),
        TEST(test_out_of_range),
        TEST(test_beyond_the_end_is_refused_by_a_confirmed_leader_only),
        TEST(test_the_log_may_grow_up_to_the_offset_meanwhile),
        TEST(test_cancel_and_stop_while_leadership_is_confirmed),
        TEST(test_uncommitted_records_are_not_served),
        TEST(test_waits_for_the_high_watermark),
        TEST(test_wait_ends_with_nothing),
        TEST(test_min_bytes),
        TEST(test_full_answer_does_not_wait_for_min_bytes),
        TEST(test_waits_above_the_high_watermark),
        TEST(test_many_waiters_wake_once_per_turn),
        TEST(test_cancel),
        TEST(test_asynchronous_read),
        TEST(test_commit_during_an_asynchronous_read_is_not_missed),
        TEST(test_time_over_during_an_asynchronous_read),
        TEST(test_damage_sends_the_client_to_another_replica),
        TEST(test_follower_does_not_serve),
        TEST(test_lost_leadership_ends_the_wait),
        TEST(test_stop_ends_waits_and_reads),
        TEST(test_old_records_give_way),
        TEST(test_old_records_are_read_in_small_pieces),
        TEST(test_cancel_and_stop_while_giving_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
