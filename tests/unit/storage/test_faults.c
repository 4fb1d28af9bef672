/* Full disks heal; failed writes and syncs are final. */
#include "tests/unit/storage/helper_log.h"
#include <string.h>
#include <sys/stat.h>

static void a_full_disk_waits_and_heals(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    unsigned before = f->appended;
    f->faults.allocate_error = ERR_NO_SPACE;
    fixture_random(f, 400); /* more than is allocated */
    RUN_UNTIL(f->env, log_writable(f->log) == ERR_NO_SPACE);
    assert_int_equal(f->failures, 0);
    assert_true(f->appended < before + 400);
    fixture_check_reads(f); /* what waits is in memory */
    /* What had room has been acknowledged, and nothing behind it. */
    assert_true(log_durable_index(f->log) > 0);
    assert_true(log_durable_index(f->log) < log_last_index(f->log));
    f->faults.allocate_error = 0;
    fixture_sync(f);
    assert_int_equal(log_writable(f->log), 0);
    assert_int_equal(f->append_status, 0);
    assert_int_equal(f->appended, before + 400);
    fixture_check(f);
    fixture_crash(f);
    fixture_open(f);
    fixture_check(f);
}

static void a_full_disk_at_a_write_heals_too(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    f->faults.write_error = ERR_NO_SPACE;
    fixture_random(f, 20);
    fixture_truncate(f, log_last_index(f->log) - 5);
    RUN_UNTIL(f->env, log_writable(f->log) == ERR_NO_SPACE);
    f->faults.write_error = 0;
    fixture_sync(f);
    fixture_check(f);
}

static void no_free_descriptor_waits_and_heals(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    f->faults.write_error = ERR_TOO_MANY_FILES;
    fixture_random(f, 20);
    RUN_UNTIL(f->env, log_writable(f->log) != 0);
    assert_int_equal(f->failures, 0);
    f->faults.write_error = 0;
    fixture_sync(f);
    assert_int_equal(log_writable(f->log), 0);
    fixture_check(f);
}

static void a_log_on_a_full_disk_can_be_closed(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    size_t durable = f->model.n;
    f->faults.write_error = ERR_NO_SPACE;
    fixture_random(f, 20);
    RUN_UNTIL(f->env, log_writable(f->log) == ERR_NO_SPACE);
    fixture_close(f, true);
    assert_int_equal(f->append_status, ERR_NO_SPACE);
    assert_int_equal(f->appended, 40);
    f->faults.write_error = 0;
    fixture_open(f);
    assert_false(f->recovery.clean);
    model_truncate(&f->model, durable + 1);
    fixture_check(f);
}

static void fails_for_good(struct fixture *f, int expected)
{
    unsigned before = f->appended;

    fixture_random(f, 10);
    RUN_UNTIL(f->env, f->failures > 0);
    assert_int_equal(f->failure, expected);
    assert_int_equal(log_writable(f->log), expected);
    RUN_UNTIL(f->env, f->appended == before + 10);
    assert_int_equal(f->append_status, expected);
    /* The disk works again; the log does not: what it lost is not known. */
    f->faults.sync_error = 0;
    f->faults.write_error = 0;
    uint64_t durable = log_durable_index(f->log);
    f->append_status = 1;
    fixture_data(f, 1, 10);
    RUN_UNTIL(f->env, f->append_status != 1);
    assert_int_equal(f->append_status, expected);
    assert_int_equal(log_durable_index(f->log), durable);
    assert_int_equal(f->failures, 1);
}

static void a_failed_sync_is_final(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    f->faults.sync_error = ERR_IO;
    fails_for_good(f, ERR_IO);
    assert_int_equal(flusher_stats(f->flusher)->sync_failures, 1);
}

/* Whichever file it was of: here of one that is cut, ... */
static void a_failed_sync_of_a_cut_is_final_and_counted(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    f->faults.sync_error = ERR_NO_SPACE; /* no reason to try again either */
    fixture_truncate(f, log_last_index(f->log) - 5);
    RUN_UNTIL(f->env, f->failures > 0);
    assert_int_equal(f->failure, ERR_IO);
    assert_int_equal(flusher_stats(f->flusher)->sync_failures, 1);
}

/* ... of a segment that is full, ... */
static void a_failed_sync_of_a_finished_segment_is_counted(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 4096;
    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_data(f, 1, 3000);
    fixture_sync(f);
    f->faults.sync_error = ERR_IO;
    fixture_data(f, 1, 3000);
    RUN_UNTIL(f->env, f->failures > 0);
    assert_int_equal(f->failure, ERR_IO);
    assert_int_equal(flusher_stats(f->flusher)->sync_failures, 1);
}

/* ... or of the directory of a new one. */
static void a_failed_sync_of_the_directory_is_counted(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 4096;
    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_data(f, 1, 3000);
    fixture_sync(f);
    f->faults.dir_sync_error = ERR_IO;
    fixture_data(f, 1, 3000);
    RUN_UNTIL(f->env, f->failures > 0);
    f->faults.dir_sync_error = 0;
    assert_int_equal(f->failure, ERR_IO);
    assert_int_equal(flusher_stats(f->flusher)->sync_failures, 1);
}

/* Without a descriptor for the directory, nothing was synced, and nothing has failed. */
static void no_descriptor_for_the_directory_is_no_failed_sync(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 4096;
    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_data(f, 1, 3000);
    fixture_sync(f);
    f->faults.dir_sync_error = ERR_TOO_MANY_FILES;
    fixture_data(f, 1, 3000);
    RUN_UNTIL(f->env, log_writable(f->log) == ERR_NO_SPACE);
    f->faults.dir_sync_error = 0;
    fixture_sync(f);
    assert_int_equal(log_writable(f->log), 0);
    assert_int_equal(f->failures, 0);
    assert_int_equal(flusher_stats(f->flusher)->sync_failures, 0);
}

/* Nor is anything durable before a new log's files have durable names. */
static void a_new_log_waits_for_a_descriptor_for_its_directory(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(env_dir_create(f->env, f->log_directory), 0);
    fixture_open(f);
    f->append_status = 1;
    f->faults.dir_sync_error = ERR_TOO_MANY_FILES;
    fixture_barrier(f, 1);
    RUN_UNTIL(f->env, log_writable(f->log) == ERR_NO_SPACE);
    assert_int_equal(f->append_status, 1);
    assert_int_equal(log_durable_index(f->log), 0);
    f->faults.dir_sync_error = 0;
    fixture_sync(f);
    assert_int_equal(f->append_status, 0);
    assert_int_equal(log_durable_index(f->log), 1);
    assert_int_equal(log_writable(f->log), 0);
    assert_int_equal(f->failures, 0);
}

/* A new log, in a directory that is there. */
static void open_first(struct fixture *f)
{
    assert_int_equal(mkdir(f->log_directory, 0755), 0);
    fixture_open(f);
    f->faults.dir_syncs = 0;
}

/* The names of its first files come after what is in them, ... */
static void the_first_data_is_synced_before_its_name(void **state)
{
    struct fixture *f = *state;

    open_first(f);
    f->faults.sync_error = ERR_IO;
    fixture_barrier(f, 1);
    RUN_UNTIL(f->env, f->failures > 0);
    f->faults.sync_error = 0;
    assert_int_equal(f->faults.dir_syncs, 0);
}

/* ... and nothing is durable without them. */
static void nothing_is_durable_without_its_name(void **state)
{
    struct fixture *f = *state;

    open_first(f);
    f->faults.dir_sync_error = ERR_IO;
    fixture_barrier(f, 1);
    RUN_UNTIL(f->env, f->failures > 0 && f->appended == 1);
    f->faults.dir_sync_error = 0;
    assert_int_equal(f->append_status, ERR_IO);
    assert_int_equal(log_durable_index(f->log), 0);
    assert_int_equal(flusher_stats(f->flusher)->sync_failures, 1);
}

/* A disk that is full in between does not make them be forgotten. */
static void a_name_is_synced_when_there_is_room_at_last(void **state)
{
    struct fixture *f = *state;

    open_first(f);
    f->faults.allocate_error = ERR_NO_SPACE;
    fixture_barrier(f, 1);
    RUN_UNTIL(f->env, log_writable(f->log) == ERR_NO_SPACE);
    assert_int_equal(f->faults.dir_syncs, 0);
    f->faults.allocate_error = 0;
    fixture_sync(f);
    assert_int_equal(f->faults.dir_syncs, 1);
    fixture_data(f, 1, 10);
    fixture_sync(f);
    assert_int_equal(f->faults.dir_syncs, 1);
}

/* Nor does a want of descriptors, or make anything durable. */
static void a_name_is_synced_when_there_are_descriptors_at_last(void **state)
{
    struct fixture *f = *state;

    open_first(f);
    f->append_status = 1;
    f->faults.dir_sync_error = ERR_TOO_MANY_FILES;
    fixture_barrier(f, 1);
    RUN_UNTIL(f->env, log_writable(f->log) == ERR_NO_SPACE);
    assert_int_equal(f->append_status, 1);
    assert_int_equal(log_durable_index(f->log), 0);
    f->faults.dir_sync_error = 0;
    fixture_sync(f);
    assert_int_equal(f->append_status, 0);
    assert_int_equal(f->faults.dir_syncs, 1);
    assert_int_equal(flusher_stats(f->flusher)->sync_failures, 0);
}

/* fdatasync may say ENOSPC after it has dropped the pages: no reason to try again. */
static void a_sync_that_finds_no_space_is_final_too(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_sync(f);
    f->faults.sync_error = ERR_NO_SPACE;
    fails_for_good(f, ERR_IO);
}

static void a_failed_write_is_final(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    f->faults.write_error = ERR_IO;
    fails_for_good(f, ERR_IO);
}

static void a_failed_read_is_final(void **state)
{
    struct fixture *f = *state;
    struct log_read_req req;

    f->options.cache_bytes = 0;
    fixture_open(f);
    fixture_random(f, 50);
    fixture_sync(f);
    f->faults.read_error = ERR_IO;
    assert_int_equal(fixture_read(f, &req, 0, log_end_offset(f->log), 1000), ERR_IO);
    assert_int_equal(f->failures, 1);
    assert_int_equal(log_writable(f->log), ERR_IO);
}

static void failed_logs_close_and_leave_what_was_synced(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 50);
    fixture_sync(f);
    size_t durable = f->model.n;
    f->faults.write_error = ERR_IO;
    fixture_random(f, 50);
    fixture_close(f, true);
    f->faults.write_error = 0;
    assert_int_equal(f->appended, 100);
    fixture_open(f);
    assert_false(f->recovery.clean);
    assert_false(f->recovery.damaged);
    model_truncate(&f->model, durable + 1);
    fixture_check(f);
}

/* One pwritev and one sync for whatever gathered, and nothing per record. */
static void a_round_is_one_write_and_one_sync(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 1 << 20;
    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_data(f, 1, 30000);
    fixture_sync(f);
    f->faults.writes = 0;
    f->faults.syncs = 0;
    for (int i = 0; i < 100; i++)
        fixture_data(f, 10, 10);
    fixture_sync(f);
    assert_int_equal(f->faults.writes, 1);
    assert_int_equal(f->faults.syncs, 1);
}

/* ---- the journal ---- */

struct journal_outcome {
    int failures;
    int status;
};

static void on_journal_failed(void *data, int status)
{
    struct journal_outcome *o = data;

    o->failures++;
    o->status = status;
}

static void reopen_journal(struct fixture *f, struct journal_outcome *o)
{
    struct journal_options options = {
        .env = f->env, .path = f->journal_path, .failed = on_journal_failed, .data = o};
    char message[256];

    fixture_close_journal(f);
    assert_int_equal(journal_open(&options, &f->journal, message, sizeof(message)), 0);
}

static void a_journal_on_a_full_disk_waits(void **state)
{
    struct fixture *f = *state;
    struct journal_outcome o = {0};
    struct journal_group g;

    reopen_journal(f, &o);
    f->faults.write_error = ERR_NO_SPACE;
    uint64_t first = journal_put_hard_state(f->journal, 1, 5, 2);
    for (int i = 0; i < 10; i++)
        helper_turn(f->env);
    uint64_t second = journal_put_hard_state(f->journal, 2, 6, 3);
    for (int i = 0; i < 10; i++)
        helper_turn(f->env);
    assert_true(journal_durable(f->journal) < first);
    assert_int_equal(o.failures, 0);
    f->faults.write_error = 0;
    RUN_UNTIL(f->env, journal_durable(f->journal) >= second);
    reopen_journal(f, &o);
    journal_get(f->journal, 1, &g);
    assert_int_equal(g.term, 5);
    journal_get(f->journal, 2, &g);
    assert_int_equal(g.vote, 3);
}

static void on_waited(struct journal_wait *wait, int status)
{
    *(int *)wait->data = status;
}

static void a_failed_journal_sync_is_fatal(void **state)
{
    struct fixture *f = *state;
    struct journal_outcome o = {0};
    int waited[2] = {1, 1};
    struct journal_wait waits[2] = {{.data = &waited[0]}, {.data = &waited[1]}};

    reopen_journal(f, &o);
    f->faults.sync_error = ERR_IO;
    uint64_t sequence = journal_put_hard_state(f->journal, 1, 5, 2);
    journal_wait(f->journal, &waits[0], sequence, on_waited);
    RUN_UNTIL(f->env, o.failures > 0);
    assert_int_equal(o.status, ERR_IO);
    assert_int_equal(waited[0], ERR_IO);
    journal_wait(f->journal, &waits[1], sequence, on_waited);
    assert_int_equal(waited[1], ERR_IO);
    f->faults.sync_error = 0;
    journal_put_hard_state(f->journal, 1, 6, 2);
    for (int i = 0; i < 20; i++)
        helper_turn(f->env);
    assert_true(journal_durable(f->journal) < sequence);
    assert_int_equal(o.failures, 1);
}

/* A cut waits until the journal knows of it: with the journal, the log is lost, but it can be closed. */
static void a_failed_journal_stops_a_log_that_waits_for_it(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    fixture_reopen(f, true); /* leaves a floor */
    f->faults.hold_syncs = true;
    f->faults.sync_error = ERR_IO;
    fixture_truncate(f, log_last_index(f->log) - 3);
    f->faults.hold_syncs = false;
    RUN_UNTIL(f->env, f->append_status == ERR_IO);
    assert_int_equal(f->failures, 1);
    fixture_close(f, true);
    f->faults.sync_error = 0;
}

/* Shutting down in the same moment does not cancel it. */
static void closing_waits_for_a_cut_that_waits_for_the_journal(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    fixture_reopen(f, true);
    fixture_truncate(f, log_last_index(f->log) - 3);
    helper_turn(f->env);
    fixture_close(f, true);
    assert_int_equal(f->append_status, 0);
    fixture_open(f);
    assert_true(f->recovery.clean);
    fixture_check(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_waits_and_heals),
        TEST(a_full_disk_at_a_write_heals_too),
        TEST(no_free_descriptor_waits_and_heals),
        TEST(a_log_on_a_full_disk_can_be_closed),
        TEST(a_failed_sync_is_final),
        TEST(a_failed_sync_of_a_cut_is_final_and_counted),
        TEST(a_failed_sync_of_a_finished_segment_is_counted),
        TEST(a_failed_sync_of_the_directory_is_counted),
        TEST(no_descriptor_for_the_directory_is_no_failed_sync),
        TEST(a_new_log_waits_for_a_descriptor_for_its_directory),
        TEST(the_first_data_is_synced_before_its_name),
        TEST(nothing_is_durable_without_its_name),
        TEST(a_name_is_synced_when_there_is_room_at_last),
        TEST(a_name_is_synced_when_there_are_descriptors_at_last),
        TEST(a_sync_that_finds_no_space_is_final_too),
        TEST(a_failed_write_is_final),
        TEST(a_failed_read_is_final),
        TEST(failed_logs_close_and_leave_what_was_synced),
        TEST(a_round_is_one_write_and_one_sync),
        TEST(a_journal_on_a_full_disk_waits),
        TEST(a_failed_journal_sync_is_fatal),
        TEST(a_failed_journal_stops_a_log_that_waits_for_it),
        TEST(closing_waits_for_a_cut_that_waits_for_the_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
