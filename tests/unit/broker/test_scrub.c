/* What is stored is read and checked again and again, at its pace. */
#include "node/broker/internal.h"
#include "tests/unit/broker/helper_fake_group.h"

#include "node/base/memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { INTERVAL_MS = 100000, BATCHES = 8, VALUE_SIZE = 256 * 1024, PER_SECOND = 1024 * 1024 };

static int setup(void **state)
{
    struct fixture *f = memory_zalloc(sizeof *f);
    fixture_init(f);
    f->options.scrub_interval_ms = INTERVAL_MS;
    f->options.scrub_bytes_per_s = PER_SECOND;
    f->topic.config.max_message_bytes = 2 * VALUE_SIZE;
    fixture_start(f);
    *state = f;
    return 0;
}

static void add(struct fixture *f, unsigned batches)
{
    const struct batch_spec spec = {.producer_id = -1, .epoch = -1, .sequence = -1, .value_size = VALUE_SIZE};
    for (unsigned i = 0; i < batches; i++) {
        struct produce p;
        produce(f, &p, &spec, -1);
        settle(f);
        assert_int_equal(p.status, 0);
    }
}

static const struct scrub *scrub(const struct fixture *f)
{
    return &f->broker->scrub;
}

static size_t stored_bytes(const struct fixture *f)
{
    size_t size = 0;
    for (unsigned i = 0; i < f->group->count; i++)
        size += f->group->batches[i].bytes.size;
    return size;
}

static void advance(struct fixture *f, uint64_t ms)
{
    fake_env_advance(&f->env, ms);
}

static void test_a_pass_reads_everything_once_at_its_pace(void **state)
{
    struct fixture *f = *state;
    add(f, BATCHES);
    advance(f, INTERVAL_MS / 10 - 1);
    assert_int_equal(f->group->ranges, 0);
    advance(f, 1);
    assert_int_equal(f->group->ranges, 1);
    unsigned steps = 0;
    for (; scrub(f)->passes == 0 && steps < 10000; steps++)
        advance(f, 1);
    assert_int_equal(scrub(f)->bytes, stored_bytes(f));
    size_t least_ms = stored_bytes(f) * 1000 / PER_SECOND;
    assert_in_range(steps, least_ms, least_ms + BATCHES); /* each pause ends with a step of the clock */
    assert_int_equal(f->group->ranges, BATCHES);          /* two do not fit into one read */
}

static void test_passes_begin_an_interval_apart_and_see_what_is_new(void **state)
{
    struct fixture *f = *state;
    add(f, 2);
    advance(f, INTERVAL_MS / 10);
    for (unsigned i = 0; i < 1000; i++)
        advance(f, 1);
    assert_int_equal(scrub(f)->passes, 1);
    size_t first = stored_bytes(f);
    add(f, 1);
    advance(f, INTERVAL_MS - 1001);
    assert_int_equal(scrub(f)->bytes, first);
    advance(f, 1);
    for (unsigned i = 0; i < 1000; i++)
        advance(f, 1);
    assert_int_equal(scrub(f)->passes, 2);
    assert_int_equal(scrub(f)->bytes, first + stored_bytes(f));
}

/* Who writes faster than this reads must not keep it from the other partitions. */
static void test_a_pass_does_not_chase_what_is_written_meanwhile(void **state)
{
    struct fixture *f = *state;
    add(f, 3);
    size_t stored = stored_bytes(f);
    advance(f, INTERVAL_MS / 10);
    for (unsigned i = 0; i < 100 && scrub(f)->passes == 0; i++) {
        add(f, 2);
        advance(f, 1000);
    }
    assert_int_equal(scrub(f)->passes, 1);
    assert_int_equal(scrub(f)->bytes, stored);
}

static void test_damage_does_not_stop_the_pass(void **state)
{
    struct fixture *f = *state;
    add(f, BATCHES);
    f->group->range_status = ERR_CORRUPT;
    advance(f, INTERVAL_MS / 10);
    advance(f, 1);
    assert_int_equal(f->group->ranges, 1); /* no more of this partition */
    assert_int_equal(scrub(f)->passes, 1);
    assert_int_equal(scrub(f)->bytes, 0);
}

static void test_where_retention_was_faster_reading_goes_on_at_the_start(void **state)
{
    struct fixture *f = *state;
    add(f, 1);
    f->group->range_status = ERR_NOT_FOUND;
    advance(f, INTERVAL_MS / 10);
    assert_int_equal(scrub(f)->passes, 0);
    f->group->range_status = 0;
    advance(f, 1);
    assert_int_equal(scrub(f)->bytes, stored_bytes(f));
}

static void test_a_partition_that_closes_under_a_read(void **state)
{
    struct fixture *f = *state;
    add(f, BATCHES);
    f->env.now_ns += INTERVAL_MS / 10 * UINT64_C(1000000);
    timer_heap_run(&f->env.env.timers, f->env.now_ns);
    assert_non_null(scrub(f)->partition);
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    fixture_turn(f);
    assert_null(scrub(f)->partition);
    assert_int_equal(f->cluster.stopped, 1);
    advance(f, INTERVAL_MS); /* there is nothing to read any more */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_pass_reads_everything_once_at_its_pace),
        TEST(test_passes_begin_an_interval_apart_and_see_what_is_new),
        TEST(test_a_pass_does_not_chase_what_is_written_meanwhile),
        TEST(test_damage_does_not_stop_the_pass),
        TEST(test_where_retention_was_faster_reading_goes_on_at_the_start),
        TEST(test_a_partition_that_closes_under_a_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
