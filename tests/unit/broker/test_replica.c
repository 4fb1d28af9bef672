/* Replicas as the cluster starts, configures and stops them; retention. */
#include "tests/unit/broker/helper_fake_group.h"

#include "node/base/memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup_unstarted(void **state)
{
    struct fixture *f = memory_zalloc(sizeof *f);
    fixture_init(f);
    f->options.retention_check_ms = 1000;
    f->broker = broker_create(&f->options);
    broker_set_cluster(f->broker, (struct cluster *)f);
    *state = f;
    return 0;
}

static void start(struct fixture *f)
{
    broker_replica_callbacks.start(f->broker, &f->topic, &f->meta,
                                   (struct replica_start){.campaign_at_once = false});
}

static void start_and_open(struct fixture *f)
{
    start(f);
    fixture_turn(f);
}

static void lead(struct fixture *f)
{
    start_and_open(f);
    f->partition = broker_partition(f->broker, 42);
    fake_group_lead(f->group);
    fixture_turn(f);
}

static void stop(struct fixture *f, bool erase)
{
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, erase);
}

static void test_start_and_find(void **state)
{
    struct fixture *f = *state;
    assert_null(broker_partition(f->broker, 42));
    start(f);
    assert_null(broker_partition(f->broker, 42)); /* still opening */
    assert_null(broker_replica_callbacks.group(f->broker, 42));
    fixture_turn(f);
    struct partition *p = broker_partition(f->broker, 42);
    assert_non_null(p);
    assert_int_equal(f->cluster.started, 1);
    assert_int_equal(f->cluster.started_status, 0);
    assert_ptr_equal(broker_replica_callbacks.group(f->broker, 42), f->group);
    assert_string_equal(partition_topic(p), "orders");
    assert_int_equal(partition_index(p), 3);
    assert_int_equal(partition_group_id(p), 42);
    assert_null(partition_state(p));
}

/* Creations give way to producers, and not to what replicas find when they start. */
static void test_only_new_records_count_as_written(void **state)
{
    struct fixture *f = *state;
    start(f);
    fake_group_find(f->group, 3);
    fixture_turn(f);
    f->partition = broker_partition(f->broker, 42);
    fake_group_lead(f->group);
    fixture_turn(f);
    assert_int_equal(partition_high_watermark(f->partition), 3);
    assert_int_equal(broker_replica_callbacks.written_ns(f->broker), 0);
    append_committed(f, 1);
    assert_int_equal(broker_replica_callbacks.written_ns(f->broker), env_now_ns(&f->env.env));
}

static void test_stop_and_start_again(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 1; i <= 3; i++) {
        start_and_open(f);
        stop(f, false);
        assert_null(broker_partition(f->broker, 42));
        fixture_turn(f);
        assert_int_equal(f->cluster.started, i);
        assert_int_equal(f->cluster.stopped, i);
    }
    assert_string_equal(f->env.removed, "");
    assert_int_equal(f->cluster.forgotten, 0);
}

static void test_erase_removes_files_then_the_journal_s_record(void **state)
{
    struct fixture *f = *state;
    start_and_open(f);
    stop(f, true);
    fixture_turn(f);
    assert_string_equal(f->env.removed, "data/groups/42");
    assert_int_equal(f->cluster.forgotten, 42);
    assert_int_equal(f->cluster.stopped, 1);
}

static void test_failed_erase_keeps_the_journal_s_record(void **state)
{
    struct fixture *f = *state;
    f->env.remove_status = ERR_IO;
    start_and_open(f);
    stop(f, true);
    fixture_turn(f);
    assert_int_equal(f->cluster.forgotten, 0);
    assert_int_equal(f->cluster.stopped, 1);
}

static void test_files_of_an_earlier_life_are_erased(void **state)
{
    struct fixture *f = *state;
    f->env.remove_status = ERR_NOT_FOUND;
    stop(f, true);
    fixture_turn(f);
    assert_string_equal(f->env.removed, "data/groups/42");
    assert_int_equal(f->cluster.forgotten, 42);
    assert_int_equal(f->cluster.stopped, 1);
    stop(f, false);
    assert_int_equal(f->cluster.stopped, 2);
}

static void test_failing_open(void **state)
{
    struct fixture *f = *state;
    f->cluster.open_status = ERR_TOO_MANY_FILES; /* at once */
    start(f);
    assert_int_equal(f->cluster.started_status, ERR_TOO_MANY_FILES);
    f->cluster.open_status = 0;
    f->cluster.opened_status = ERR_CORRUPT; /* later */
    start_and_open(f);
    assert_int_equal(f->cluster.started, 2);
    assert_int_equal(f->cluster.started_status, ERR_CORRUPT);
    f->cluster.opened_status = 0;
    start_and_open(f);
    assert_int_equal(f->cluster.started, 3);
    assert_non_null(broker_partition(f->broker, 42));
}

static void test_damage_is_reported_for_repair(void **state)
{
    struct fixture *f = *state;
    start_and_open(f);
    f->group->callbacks->failed(f->group->data, ERR_IO, "the disk");
    assert_int_equal(f->cluster.damaged, 0);
    f->group->callbacks->failed(f->group->data, ERR_CORRUPT, "a flipped bit");
    assert_int_equal(f->cluster.damaged, 1);
}

static void test_stop_while_it_opens(void **state)
{
    struct fixture *f = *state;
    start(f);
    stop(f, true);
    fixture_turn(f);
    assert_int_equal(f->cluster.started, 1);
    assert_int_equal(f->cluster.stopped, 1);
    assert_int_equal(f->cluster.forgotten, 42);
    f->cluster.opened_status = ERR_IO;
    start(f);
    stop(f, false);
    fixture_turn(f);
    assert_int_equal(f->cluster.started, 2);
    assert_int_equal(f->cluster.stopped, 2);
}

static void test_configure(void **state)
{
    struct fixture *f = *state;
    f->topic.config.segment_bytes = 12345;
    broker_replica_callbacks.configure(f->broker, &f->topic, &f->meta); /* unknown: nothing */
    start_and_open(f);
    f->topic.config.segment_bytes = 54321;
    broker_replica_callbacks.configure(f->broker, &f->topic, &f->meta);
    assert_int_equal(f->group->configured_segment_bytes, 54321);
}

static void test_retention(void **state)
{
    struct fixture *f = *state;
    lead(f);
    append_committed(f, 10);
    struct produce p;
    produce_plain(f, &p, 10, ACKS_ALL);
    f->group->retention_offset = 15;
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->count, 2); /* no limits are set */

    f->topic.config.retention_ms = 5000;
    broker_replica_callbacks.configure(f->broker, &f->topic, &f->meta);
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->retention_oldest_ms, f->env.wall_ms - 5000);
    assert_int_equal(f->group->count, 3);
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->count, 3);                      /* it is on its way */
    assert_int_equal(partition_start_offset(f->partition), 0); /* and counts once it is committed */
    assert_int_equal(f->group->start_offset, 0);
    settle(f);
    assert_int_equal(partition_start_offset(f->partition), 10); /* what was not committed then stays */
    assert_int_equal(f->group->start_offset, 10);
    assert_int_equal(partition_high_watermark(f->partition), 20);
    f->group->retention_offset = 5; /* never back */
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->count, 3);
    assert_int_equal(partition_start_offset(f->partition), 10);
}

static void lead_with_retention(struct fixture *f)
{
    f->topic.config.retention_ms = 5000;
    lead(f);
    append_committed(f, 20);
}

/* Their clocks and segments differ: what one of them would delete, another still serves. */
static void test_followers_leave_retention_to_the_leader(void **state)
{
    struct fixture *f = *state;
    lead_with_retention(f);
    fake_group_lose(f->group, 2, 0);
    f->group->retention_offset = 15;
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->start_offset, 0);
    assert_int_equal(partition_start_offset(f->partition), 0);

    f->group->callbacks->start_moved(f->group->data, 12); /* as the leader has decided */
    fixture_turn(f);
    assert_int_equal(f->group->start_offset, 12);
    assert_int_equal(partition_start_offset(f->partition), 12);
    f->group->callbacks->start_moved(f->group->data, 11);
    assert_int_equal(partition_start_offset(f->partition), 12);
}

/* A deposed leader's proposal may be lost; whoever leads next decides anew. */
static void test_retention_is_proposed_again(void **state)
{
    struct fixture *f = *state;
    lead_with_retention(f);
    f->group->retention_offset = 15;
    f->group->refuse = ERR_OVERLOADED;
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->count, 1);
    f->group->refuse = 0;
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->count, 2);
    fake_group_lose(f->group, 2, 0);
    fake_env_advance(&f->env, 1000);
    assert_int_equal(partition_start_offset(f->partition), 0);
    fake_group_lead(f->group);
    fake_env_advance(&f->env, 1000);
    settle(f);
    assert_int_equal(partition_start_offset(f->partition), 15);
}

/* The entry that moves the start has no room, and what is in its way is what it would delete. */
static void test_what_one_replica_deleted_gets_into_the_log(void **state)
{
    struct fixture *f = *state;
    lead_with_retention(f);
    f->group->retention_offset = 15;
    f->group->writable = ERR_NO_SPACE;
    f->group->refuse = ERR_READ_ONLY;
    fake_env_advance(&f->env, 1000);
    assert_int_equal(f->group->start_offset, 15);
    assert_int_equal(partition_start_offset(f->partition), 15);
    fake_group_lose(f->group, 2, 0);
    f->group->writable = f->group->refuse = 0;
    fake_group_lead(f->group);
    fixture_turn(f);
    assert_int_equal(f->group->count, 2); /* the others hear of it before the next round */
    settle(f);
    f->meta.start_offset = 18; /* deleted on request */
    broker_replica_callbacks.configure(f->broker, &f->topic, &f->meta);
    assert_int_equal(partition_start_offset(f->partition), 18);
    assert_int_equal(f->group->start_offset, 18);
    assert_int_equal(f->group->count, 3);
    settle(f);
}

static void test_the_start_is_in_the_snapshot(void **state)
{
    struct fixture *f = *state;
    lead(f);
    append_committed(f, 20);
    f->group->callbacks->start_moved(f->group->data, 12);
    struct bytes snapshot;
    bytes_init(&snapshot);
    f->group->callbacks->snapshot(f->group->data, &snapshot);
    f->group->callbacks->restore(f->group->data, NULL, 0, 0);
    f->group->start_offset = 0;
    assert_int_equal(partition_start_offset(f->partition), 0);
    f->group->callbacks->restore(f->group->data, snapshot.data, snapshot.size, 20);
    assert_int_equal(partition_start_offset(f->partition), 12);
    bytes_close(&snapshot);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_unstarted, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_start_and_find),
        TEST(test_only_new_records_count_as_written),
        TEST(test_stop_and_start_again),
        TEST(test_erase_removes_files_then_the_journal_s_record),
        TEST(test_failed_erase_keeps_the_journal_s_record),
        TEST(test_files_of_an_earlier_life_are_erased),
        TEST(test_failing_open),
        TEST(test_damage_is_reported_for_repair),
        TEST(test_stop_while_it_opens),
        TEST(test_configure),
        TEST(test_retention),
        TEST(test_followers_leave_retention_to_the_leader),
        TEST(test_retention_is_proposed_again),
        TEST(test_what_one_replica_deleted_gets_into_the_log),
        TEST(test_the_start_is_in_the_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
