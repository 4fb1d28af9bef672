/* The log against a model: append, read, roll, truncate, reset, retention, reopen. */
#include "tests/unit/storage/helper_log.h"
#include <stdio.h>
#include <string.h>

static void a_new_log_is_empty(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    assert_int_equal(log_first_index(f->log), 1);
    assert_int_equal(log_last_index(f->log), 0);
    assert_int_equal(log_start_offset(f->log), 0);
    assert_int_equal(log_end_offset(f->log), 0);
    assert_int_equal(log_size_bytes(f->log), 0);
    assert_false(f->recovery.damaged);
    fixture_reopen(f, true);
    assert_int_equal(log_last_index(f->log), 0);
    fixture_barrier(f, 1);
    fixture_sync(f);
    fixture_check(f);
}

static void random_entries_survive(void **state, bool clean)
{
    struct fixture *f = *state;

    fixture_open(f);
    for (int i = 0; i < 5; i++) {
        fixture_random(f, 60);
        fixture_check_state(f);
        fixture_sync(f);
        fixture_check(f);
        fixture_reopen(f, clean);
        assert_int_equal(f->recovery.clean, clean);
        assert_int_equal(f->recovery.damaged, false);
        assert_int_equal(f->recovery.torn_bytes, 0);
        fixture_check(f);
    }
    assert_true(fixture_count_files(f, ".log") > 2);
}

static void a_blank_log_is_opened_without_a_look_at_its_directory(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(env_dir_create(f->env, f->log_directory), 0);
    f->options.is_blank = true;
    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    fixture_check(f);
    f->options.is_blank = false;
    fixture_crash(f);
    fixture_open(f);
    fixture_check(f);
}

static void entries_survive_a_clean_restart(void **state)
{
    random_entries_survive(state, true);
}

static void entries_survive_an_unclean_restart(void **state)
{
    random_entries_survive(state, false);
}

static void entries_survive_kill_9(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    for (int i = 0; i < 5; i++) {
        fixture_random(f, 60);
        fixture_sync(f);
        fixture_crash(f);
        fixture_open(f);
        assert_false(f->recovery.clean);
        fixture_check(f);
    }
}

static void what_is_on_its_way_is_loaded_too(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 20);
    assert_true(log_durable_index(f->log) < log_last_index(f->log));
    fixture_check_load(f);
    fixture_sync(f);
    fixture_check_load(f);
}

static void a_clean_restart_reads_no_segment(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 300);
    fixture_sync(f);
    fixture_close(f, true);
    f->faults.bytes_read = 0;
    fixture_open(f);
    assert_true(f->recovery.clean);
    assert_int_equal(f->recovery.scanned_bytes, 0);
    assert_true(f->faults.bytes_read < log_size_bytes(f->log) / 2);
    /* The marker outlives a kill as long as nothing is written. */
    fixture_crash(f);
    fixture_open(f);
    assert_true(f->recovery.clean);
    fixture_data(f, 1, 10);
    fixture_sync(f);
    fixture_crash(f);
    fixture_open(f);
    assert_false(f->recovery.clean);
    fixture_check(f);
}

static void append_callbacks_come_in_order(void **state)
{
    struct fixture *f = *state;
    uint64_t last = 0;
    unsigned calls = 200;

    fixture_open(f);
    fixture_random(f, calls);
    while (f->appended < calls) {
        helper_turn(f->env);
        assert_true(f->append_index >= last);
        assert_true(f->append_index <= log_durable_index(f->log));
        last = f->append_index;
    }
    assert_int_equal(f->append_status, 0);
    assert_int_equal(last, log_last_index(f->log));
    /* Far fewer rounds than calls: group commit. */
    assert_true(flusher_stats(f->flusher)->rounds < calls / 4);
}

/* What a peer sends need not be true. */
static void what_does_not_continue_the_log_is_told(void **state)
{
    struct fixture *f = *state;
    fixture_open(f);
    fixture_barrier(f, 5);
    fixture_data(f, 10, 100);
    const struct log_entry next = {.index = 3, .term = 5, .kind = LOG_DATA};
    const struct log_entry barrier = {.index = 3, .term = 6, .kind = LOG_BARRIER};
    struct slice good = helper_batch(f, 10, 5, 3, 100, 1), newer = helper_batch(f, 13, 6, 3, 100, 1),
                 gap = helper_batch(f, 11, 5, 3, 100, 1);
    struct log_entry two[2] = {next, barrier};
    two[0].bytes = good;
    two[1].index = 4;
    assert_int_equal(log_continues(f->log, two, 2), 2);
    two[1].term = 4; /* terms do not go back */
    assert_int_equal(log_continues(f->log, two, 2), 1);
    two[1] = (struct log_entry){.index = 4, .term = 6, .kind = LOG_DATA, .bytes = newer};
    assert_int_equal(log_continues(f->log, two, 2), 1); /* and begin with a barrier */
    two[0].index = 2;
    assert_int_equal(log_continues(f->log, two, 2), 0);
    two[0] = next;
    two[0].bytes = gap;
    assert_int_equal(log_continues(f->log, two, 1), 0);
    two[0].bytes = (struct slice){good.owner, good.data, good.size - 1};
    assert_int_equal(log_continues(f->log, two, 1), 0);
    two[0].bytes = good;
    two[0].term = 6; /* not what the batch says */
    assert_int_equal(log_continues(f->log, two, 1), 0);
    slice_unref(&good);
    slice_unref(&newer);
    slice_unref(&gap);
}

static void truncates_at_random_with_appends_in_flight(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    for (int i = 0; i < 60; i++) {
        fixture_random(f, 1 + (unsigned)prng_below(&f->prng, 30));
        if (prng_below(&f->prng, 2) == 0)
            fixture_sync(f);
        else if (prng_below(&f->prng, 2) == 0)
            helper_turn(f->env);
        uint64_t back = prng_below(&f->prng, prng_below(&f->prng, 4) == 0 ? f->model.n : 20);
        if (back < f->model.n)
            fixture_truncate(f, model_last_index(&f->model) - back);
        fixture_check_state(f);
        fixture_check_reads(f);
        if (prng_below(&f->prng, 5) == 0) {
            fixture_sync(f);
            fixture_check(f);
            fixture_crash(f);
            fixture_open(f);
            assert_false(f->recovery.damaged);
            fixture_check(f);
        } else if (prng_below(&f->prng, 8) == 0) {
            fixture_sync(f);
            fixture_reopen(f, true);
            fixture_check(f);
        }
    }
    assert_int_equal(f->failures, 0);
}

static void truncation_cuts_everything(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 200);
    fixture_truncate(f, 1);
    fixture_sync(f);
    assert_int_equal(fixture_count_files(f, ".log"), 1);
    fixture_random(f, 10);
    fixture_sync(f);
    fixture_check(f);
    fixture_reopen(f, false);
    fixture_check(f);
}

/* The old suffix must be gone from the file before the new one is there, or a crash could bring it back
 * behind it. */
static void a_truncated_suffix_leaves_no_trace(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct log_recovery *r = &f->recovery;

    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < 50; i++)
        fixture_data(f, 1, 100);
    fixture_sync(f);
    fixture_truncate(f, 10);
    fixture_sync(f);
    uint64_t size = log_size_bytes(f->log);
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    assert_true(helper_file_size(path) >= size);
    fixture_open(f);
    assert_int_equal(r->torn_bytes, 0);
    fixture_check(f);
}

static void reset_starts_anew(void **state)
{
    struct fixture *f = *state;

    fixture_open(f);
    fixture_random(f, 100);
    fixture_reset(f, 5000, 7, 123456);
    assert_int_equal(log_first_index(f->log), 5000);
    assert_int_equal(log_last_index(f->log), 4999);
    assert_int_equal(log_durable_index(f->log), 4999);
    assert_int_equal(log_start_offset(f->log), 123456);
    assert_int_equal(log_last_term(f->log), 7);
    fixture_data(f, 3, 100); /* the same term goes on */
    fixture_random(f, 50);
    fixture_sync(f);
    fixture_check(f);
    fixture_crash(f);
    fixture_open(f);
    assert_false(f->recovery.damaged);
    assert_int_equal(log_first_index(f->log), 5000);
    fixture_check(f);
    /* Backwards too, and an empty log remembers where it stands. */
    fixture_reset(f, 20, 3, 7);
    RUN_UNTIL(f->env, fixture_count_files(f, ".log") == 1);
    fixture_reopen(f, false);
    assert_int_equal(log_first_index(f->log), 20);
    assert_int_equal(log_last_term(f->log), 3);
    assert_int_equal(log_end_offset(f->log), 7);
    assert_false(f->recovery.damaged);
}

static void segments_roll_by_size(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 10000;
    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < 100; i++)
        fixture_data(f, 1, 1000);
    fixture_sync(f);
    assert_in_range(fixture_count_files(f, ".log"), 11, 13);
    log_configure(f->log, 1000000, 0);
    for (int i = 0; i < 100; i++)
        fixture_data(f, 1, 1000);
    fixture_sync(f);
    assert_in_range(fixture_count_files(f, ".log"), 11, 13);
    fixture_check(f);
    /* A batch larger than a segment gets one of its own. */
    log_configure(f->log, 1000, 0);
    fixture_data(f, 1, 50000);
    fixture_data(f, 1, 50000);
    fixture_sync(f);
    assert_in_range(fixture_count_files(f, ".log"), 13, 15);
    fixture_check(f);
}

static void segments_roll_by_age(void **state)
{
    struct fixture *f = *state;
    uint64_t start_ms;

    f->options.segment_ms = 30;
    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_sync(f);
    start_ms = env_clock_ns(f->env) / MS;
    RUN_UNTIL(f->env, env_clock_ns(f->env) / MS > start_ms + 60);
    fixture_data(f, 1, 10);
    fixture_sync(f);
    assert_int_equal(fixture_count_files(f, ".log"), 2);
    fixture_check(f);
}

static void an_idle_partition_costs_little(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    f->options.segment_bytes = 1 << 30;
    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_sync(f);
    fixture_segment_path(f, 1, ".log", path);
    assert_in_range(helper_file_size(path), 1, 128 * 1024);
    fixture_close(f, true);
    assert_in_range(helper_file_size(path), 1, 1024);
}

static void prefix_goes_by_whole_segments(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 10000;
    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < 100; i++)
        fixture_data(f, 2, 500);
    fixture_sync(f);
    unsigned before = fixture_count_files(f, ".log");
    log_truncate_prefix(f->log, 101, UINT64_MAX);
    assert_int_equal(log_start_offset(f->log), 101);
    assert_true(log_first_index(f->log) > 30 && log_first_index(f->log) <= 52);
    RUN_UNTIL(f->env, fixture_count_files(f, ".log") < before - 3);
    fixture_check(f);
    struct log_read_req req;
    assert_int_equal(fixture_read(f, &req, 100, 200, 1000), ERR_OFFSET_OUT_OF_RANGE);
    /* The limit holds: nothing from this entry on may go. */
    uint64_t limit = 60;
    log_truncate_prefix(f->log, 200, limit);
    assert_true(log_first_index(f->log) <= limit);
    assert_true(log_start_offset(f->log) <= 2 * (int64_t)limit);
    fixture_check(f);
    fixture_reopen(f, false);
    assert_true(log_start_offset(f->log) <= 120);
    fixture_check(f);
    log_truncate_prefix(f->log, 200, UINT64_MAX);
    fixture_sync(f);
    fixture_reopen(f, true);
    fixture_check_state(f);
}

static void retention_follows_size_and_time(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 10000;
    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < 100; i++)
        fixture_data_at(f, 1, 950, 1000 + i);
    fixture_sync(f);
    assert_int_equal(log_retention_offset(f->log, -1, -1, 100), 0);
    int64_t by_size = log_retention_offset(f->log, 50000, -1, 100);
    assert_in_range(by_size, 40, 51);
    assert_int_equal(log_retention_offset(f->log, 0, -1, 25), log_retention_offset(f->log, -1, 1025, 25));
    int64_t by_time = log_retention_offset(f->log, -1, 1070, 100);
    assert_in_range(by_time, 60, 70);
    assert_true(log_retention_offset(f->log, -1, 1070, 30) <= 30);
    log_truncate_prefix(f->log, by_time, UINT64_MAX);
    assert_int_equal(log_start_offset(f->log), by_time);
    /* When even the newest record has expired, and this stands in the log, all can go before it. */
    assert_int_equal(log_retention_offset(f->log, -1, 5000, 100), 100);
    fixture_start(f, 99);
    uint64_t last = log_last_index(f->log);
    fixture_start(f, 100);
    fixture_sync(f);
    log_truncate_prefix(f->log, 100, last + 1);
    fixture_check_state(f);
    assert_int_equal(log_start_offset(f->log), 100);
    assert_int_equal(log_first_index(f->log), last + 1);
    fixture_data(f, 1, 10);
    fixture_sync(f);
    fixture_check(f);
}

static void reads_respect_limits(void **state)
{
    struct fixture *f = *state;
    struct log_read_req req;

    for (int cached = 0; cached < 2; cached++) {
        f->options.cache_bytes = cached == 1 ? 1 << 20 : 0;
        fixture_open(f);
        if (f->model.n == 0)
            fixture_barrier(f, 1);
        for (int i = 0; i < 20; i++)
            fixture_data(f, 3, 100);
        fixture_barrier(f, f->model.term + 1);
        fixture_data(f, 3, 100);
        fixture_sync(f);
        int64_t end = log_end_offset(f->log);
        assert_int_equal(fixture_read(f, &req, end, end, 1000), 0);
        assert_int_equal(req.n, 0);
        assert_int_equal(req.next_offset, end);
        assert_int_equal(fixture_read(f, &req, end + 1, end + 1, 1000), ERR_OFFSET_OUT_OF_RANGE);
        assert_int_equal(fixture_read(f, &req, -1, end, 1000), ERR_OFFSET_OUT_OF_RANGE);
        /* A batch that ends above the limit is not there. */
        assert_int_equal(fixture_read(f, &req, end - 3, end - 1, 1000), 0);
        assert_int_equal(req.n, 0);
        assert_int_equal(req.next_offset, end - 3);
        /* Offsets inside a batch give the whole batch; control batches are cut out. */
        assert_int_equal(fixture_read(f, &req, end - 4, end, 100000), 0);
        assert_int_equal(req.size, 2 * f->model.entries[f->model.n - 1].entry.bytes.size);
        assert_int_equal(req.n, 2);
        assert_int_equal(req.next_offset, end);
        helper_read_close(&req);
        fixture_close(f, true);
    }
}

static void the_tail_is_served_from_memory(void **state)
{
    struct fixture *f = *state;
    struct log_read_req req = {0};

    f->options.cache_bytes = 1 << 20;
    fixture_open(f);
    fixture_barrier(f, 1);
    f->faults.hold_syncs = true;
    fixture_data(f, 1, 1000);
    helper_turn(f->env);
    /* Not durable here yet, but perhaps committed by the others. */
    assert_int_equal(log_durable_index(f->log), 0);
    assert_int_equal(log_read(f->log, &req, 0, 1, 1 << 20, NULL), 1);
    assert_int_equal(req.n, 1);
    /* No copy: the very bytes that were appended. */
    assert_ptr_equal(req.slices[0].data, f->model.entries[1].entry.bytes.data);
    helper_read_close(&req);
    f->faults.hold_syncs = false;
    fixture_sync(f);
    f->faults.reads = 0;
    assert_int_equal(log_read(f->log, &req, 0, 1, 1 << 20, NULL), 1);
    helper_read_close(&req);
    assert_int_equal(f->faults.reads, 0);
}

static void a_log_that_has_gone_quiet_holds_little(void **state)
{
    struct fixture *f = *state;
    struct log_read_req req = {0};

    f->options.cache_bytes = 1 << 20;
    fixture_open(f);
    fixture_barrier(f, 1);
    for (unsigned i = 0; i < 20; i++)
        fixture_data(f, 1, 10000);
    fixture_sync(f);
    int64_t end = log_end_offset(f->log);
    RUN_UNTIL(f->env, !log_is_cached(f->log, end - 7));
    /* Who waits at the end still finds the newest. */
    assert_true(log_is_cached(f->log, end - 5));
    assert_int_equal(fixture_read(f, &req, end - 20, end, 1 << 20), 0);
    assert_true(req.next_offset > end - 20);
    helper_read_close(&req);
    fixture_data(f, 1, 10000);
    fixture_sync(f);
    assert_true(log_is_cached(f->log, end));
}

static void on_canceled(struct log_read_req *req, int status)
{
    *(int *)req->data = status;
}

static void close_cancels_reads_and_completes_appends(void **state)
{
    struct fixture *f = *state;
    int outcome = 1;
    struct log_read_req req = {.data = &outcome};

    f->options.cache_bytes = 0;
    fixture_open(f);
    fixture_random(f, 20);
    fixture_sync(f);
    fixture_random(f, 20);
    assert_int_equal(log_read(f->log, &req, 0, log_end_offset(f->log), 100, on_canceled), 0);
    fixture_close(f, true);
    assert_int_equal(outcome, ERR_CANCELED);
    assert_int_equal(req.n, 0);
    assert_int_equal(f->appended, 40);
    assert_int_equal(f->append_status, 0);
    fixture_open(f);
    assert_true(f->recovery.clean);
    fixture_check(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_log_is_empty),
        TEST(a_blank_log_is_opened_without_a_look_at_its_directory),
        TEST(entries_survive_a_clean_restart),
        TEST(entries_survive_an_unclean_restart),
        TEST(entries_survive_kill_9),
        TEST(what_is_on_its_way_is_loaded_too),
        TEST(a_clean_restart_reads_no_segment),
        TEST(append_callbacks_come_in_order),
        TEST(what_does_not_continue_the_log_is_told),
        TEST(truncates_at_random_with_appends_in_flight),
        TEST(truncation_cuts_everything),
        TEST(a_truncated_suffix_leaves_no_trace),
        TEST(reset_starts_anew),
        TEST(segments_roll_by_size),
        TEST(segments_roll_by_age),
        TEST(an_idle_partition_costs_little),
        TEST(prefix_goes_by_whole_segments),
        TEST(retention_follows_size_and_time),
        TEST(reads_respect_limits),
        TEST(the_tail_is_served_from_memory),
        TEST(a_log_that_has_gone_quiet_holds_little),
        TEST(close_cancels_reads_and_completes_appends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
