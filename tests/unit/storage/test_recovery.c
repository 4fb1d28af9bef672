/* What recovery makes of files that are not as they were left: torn tails are cut, damage is never. */
#include "proto/bytes.h"
#include "tests/unit/storage/helper_forge.h"
#include "tests/unit/storage/helper_log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One segment: a barrier, then data batches; closed like after kill -9. */
static void small_log(struct fixture *f, int batches, size_t value_size)
{
    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < batches; i++)
        fixture_data(f, 2, value_size);
    fixture_sync(f);
}

static void put_floor(struct fixture *f, uint64_t floor)
{
    uint64_t sequence = journal_put_floor(f->journal, f->options.group_id, floor);

    RUN_UNTIL(f->env, journal_durable(f->journal) >= sequence);
}

static bool is_marked_damaged(struct fixture *f)
{
    struct journal_group state;

    journal_get(f->journal, f->options.group_id, &state);
    return state.damaged;
}

/* ---- torn tails ---- */

static void a_tail_torn_at_any_byte_is_cut(void **state)
{
    struct fixture *f = *state;
    static unsigned char zeros[4096];
    char path[HELPER_PATH_MAX];
    char saved[HELPER_PATH_MAX + 8];

    small_log(f, 3, 40);
    size_t last = f->model.entries[f->model.n - 1].entry.bytes.size;
    uint64_t end = log_size_bytes(f->log);
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    snprintf(saved, sizeof(saved), "%s.saved", path);
    unsigned char *content = malloc(end);
    FILE *in = fopen(path, "rb");
    assert_int_equal(fread(content, 1, end, in), end);
    fclose(in);
    put_floor(f, 3);
    model_truncate(&f->model, f->model.n);
    /* It ends with zeros: the last record's number of headers, and what its random value may end with.
     * Without those nothing is missing. */
    size_t whole = last;
    while (content[end - last + whole - 1] == 0)
        whole--;
    for (size_t kept = 0; kept < whole; kept++) {
        helper_fill(path, 0, content, end);
        helper_fill(path, end - last + kept, zeros, last - kept);
        fixture_open(f);
        assert_int_equal(f->recovery.damaged, false);
        assert_int_equal(f->recovery.torn_bytes > 0, kept >= 8); /* the first byte that is not zero */
        fixture_check_state(f);
        fixture_close(f, false);
        assert_int_equal(fixture_count_files(f, ".damaged"), 0);
    }
    free(content);
    fixture_open(f);
    fixture_data(f, 1, 10);
    fixture_sync(f);
    fixture_check(f);
}

static void a_file_cut_at_any_byte_loses_only_the_last_batch(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    small_log(f, 3, 40);
    size_t last = f->model.entries[f->model.n - 1].entry.bytes.size;
    uint64_t end = log_size_bytes(f->log);
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    helper_truncate(path, end - 1);
    put_floor(f, 3);
    model_truncate(&f->model, f->model.n);
    for (size_t kept = last - 1; kept > 0; kept -= kept > 10 ? 7 : 1) {
        fixture_open(f);
        assert_false(f->recovery.damaged);
        fixture_check(f);
        fixture_close(f, false);
        assert_int_equal(helper_file_size(path), end - last);
        helper_fill(path, end - last, "garbage garbage garbage", kept < 20 ? kept : 20);
    }
}

static void garbage_behind_the_end_is_cut(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    char garbage[3000];

    small_log(f, 5, 100);
    uint64_t end = log_size_bytes(f->log);
    fixture_crash(f);
    for (size_t i = 0; i < sizeof(garbage); i++)
        garbage[i] = (char)(1 + prng_below(&f->prng, 255));
    fixture_segment_path(f, 1, ".log", path);
    helper_fill(path, end, garbage, sizeof(garbage));
    fixture_open(f);
    assert_int_equal(f->recovery.torn_bytes, sizeof(garbage));
    assert_false(f->recovery.damaged);
    fixture_check(f);
    fixture_random(f, 20);
    fixture_sync(f);
    fixture_check(f);
}

/* ---- damage ---- */

static uint64_t known_end(struct fixture *f)
{
    struct journal_group state;

    journal_get(f->journal, f->options.group_id, &state);
    assert_int_equal(state.known_end_index, f->recovery.known_end_index);
    assert_int_equal(state.known_end_term, f->recovery.known_end_term);
    return state.known_end_index;
}

static void expect_damage_at(struct fixture *f, uint64_t index)
{
    fixture_open(f);
    assert_true(f->recovery.damaged);
    assert_int_equal(f->recovery.damaged_index, index);
    assert_true(strlen(f->recovery.message) > 20);
    assert_true(is_marked_damaged(f));
    model_truncate(&f->model, index);
    fixture_check(f);
}

/* Any flipped bit of a batch at or below the floor, in whatever field, is found and is damage. */
static void flips_below_the_floor_are_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    small_log(f, 4, 30);
    size_t size = f->model.entries[2].entry.bytes.size;
    uint64_t last_index = log_last_index(f->log);
    uint64_t end = log_size_bytes(f->log);
    uint64_t third = end - 2 * size; /* of entries 2 .. 5, the 4th */
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    unsigned char *content = malloc(end);
    FILE *in = fopen(path, "rb");
    assert_int_equal(fread(content, 1, end, in), end);
    fclose(in);
    struct model whole = f->model;
    struct model_entry *copy = malloc(whole.n * sizeof(*copy));
    size_t known = 0;
    for (size_t i = 0; i < size; i++) {
        put_floor(f, last_index);
        journal_put_damaged(f->journal, f->options.group_id, false);
        helper_fill(path, 0, content, end);
        helper_flip(path, third + i, (unsigned char)(1u << prng_below(&f->prng, 8)));
        memcpy(copy, whole.entries, whole.n * sizeof(*copy));
        for (size_t k = 0; k < whole.n; k++)
            slice_ref(copy[k].entry.bytes);
        f->model = whole;
        f->model.entries = copy;
        expect_damage_at(f, 4);
        /* No entry too early, whatever the bit says; and most bits say nothing of where the next batch
         * begins. */
        uint64_t end_index = known_end(f);
        assert_true(end_index == 0 || (end_index == last_index && f->recovery.known_end_term == 1));
        known += end_index != 0;
        model_truncate(&f->model, 1);
        fixture_close(f, false);
        assert_int_equal(fixture_count_files(f, ".damaged"), 1);
    }
    assert_true(known > size / 2);
    free(copy);
    free(content);
    f->model = whole;
}

/* Offsets go on where a damaged size leads to, although an entry is passed over. */
static void a_wrong_size_hides_no_entry(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    unsigned char length[4];

    small_log(f, 3, 30);
    uint64_t at = log_size_bytes(f->log);
    fixture_data(f, 2, 30);
    size_t size = f->model.entries[f->model.n - 1].entry.bytes.size;
    fixture_sync(f);
    uint64_t before = log_size_bytes(f->log);
    fixture_barrier(f, 2);
    fixture_sync(f);
    size_t barrier = log_size_bytes(f->log) - before;
    fixture_data(f, 2, 30);
    fixture_sync(f);
    put_floor(f, log_last_index(f->log));
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    store_be32(length, (uint32_t)(size + barrier - 12));
    helper_fill(path, at + 8, length, sizeof(length));
    expect_damage_at(f, 5);
    assert_int_equal(known_end(f), 0);
}

/* A flip, and the end of the file is gone: what remains behind the flip is not all. */
static void an_end_below_the_floor_is_not_known(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    small_log(f, 9, 100);
    size_t size = f->model.entries[1].entry.bytes.size;
    uint64_t end = log_size_bytes(f->log);
    put_floor(f, log_last_index(f->log));
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    helper_flip(path, end - 5 * size + 100, 4);
    helper_truncate(path, end - size);
    expect_damage_at(f, 6);
    assert_int_equal(known_end(f), 0);
}

static void flips_of_a_control_batch_are_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    fixture_open(f);
    fixture_barrier(f, 3);
    fixture_data(f, 1, 50);
    fixture_sync(f);
    put_floor(f, 2);
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    helper_flip(path, prng_below(&f->prng, BATCH_HEADER_SIZE + BATCH_CONTROL_BODY_SIZE + 7), 1);
    expect_damage_at(f, 1);
    assert_int_equal(log_last_index(f->log), 0);
}

static void zeros_in_place_of_synced_entries_are_damage(void **state)
{
    struct fixture *f = *state;
    static unsigned char zeros[4096];
    char path[HELPER_PATH_MAX];

    small_log(f, 10, 100);
    uint64_t end = log_size_bytes(f->log);
    size_t size = f->model.entries[1].entry.bytes.size;
    put_floor(f, log_last_index(f->log));
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    helper_fill(path, end - 3 * size, zeros, 3 * size);
    expect_damage_at(f, 9);
    assert_int_equal(known_end(f), 0);
    /* Once on record, and cut, the next start goes on from there. */
    fixture_reopen(f, false);
    assert_false(f->recovery.damaged);
    assert_true(is_marked_damaged(f));
    fixture_check(f);
}

/* A node that dies again and again within a second would never note it later. */
static void what_was_recovered_is_noted_at_once(void **state)
{
    struct fixture *f = *state;
    struct journal_group group;

    small_log(f, 5, 100);
    journal_get(f->journal, f->options.group_id, &group);
    assert_int_equal(group.floor_index, 0);
    fixture_crash(f);
    put_floor(f, 0);
    fixture_open(f);
    journal_get(f->journal, f->options.group_id, &group);
    assert_int_equal(group.floor_index, log_last_index(f->log));
}

/* Without any floor: what stands further behind than one round can reach proves that the bad batch had been
 * synced. */
static void a_valid_batch_far_behind_proves_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    f->options.segment_bytes = 64 << 20;
    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < 40; i++)
        fixture_data(f, 1, 500000);
    fixture_sync(f);
    size_t size = f->model.entries[1].entry.bytes.size;
    uint64_t end = log_size_bytes(f->log);
    fixture_crash(f);
    put_floor(f, 0);
    fixture_segment_path(f, 1, ".log", path);
    uint64_t third = end - 38 * size;
    helper_flip(path, third + 200, 4);
    expect_damage_at(f, 4);
}

static void the_same_within_reach_of_a_round_is_a_torn_tail(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    f->options.segment_bytes = 1 << 20;
    small_log(f, 40, 1000);
    size_t size = f->model.entries[1].entry.bytes.size;
    uint64_t end = log_size_bytes(f->log);
    fixture_crash(f);
    put_floor(f, 0);
    fixture_segment_path(f, 1, ".log", path);
    helper_flip(path, end - 10 * size + 200, 4);
    fixture_open(f);
    assert_false(f->recovery.damaged);
    assert_in_range(f->recovery.torn_bytes, 10 * size - 8, 10 * size - 1); /* it ends in a zero, or several */
    model_truncate(&f->model, 32);
    fixture_check(f);
}

/* ---- whole files ---- */

static void several_segments(struct fixture *f)
{
    f->options.segment_bytes = 10000;
    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < 60; i++)
        fixture_data(f, 1, 900);
    fixture_sync(f);
    assert_true(fixture_count_files(f, ".log") >= 5);
}

/* Base indexes of the second and the third segment. */
static void inner_segments(struct fixture *f, uint64_t *second, uint64_t *third)
{
    char path[HELPER_PATH_MAX];
    uint64_t found[2] = {0, 0};
    int n = 0;

    for (uint64_t i = 2; i <= log_last_index(f->log) && n < 2; i++) {
        fixture_segment_path(f, i, ".log", path);
        if (helper_file_exists(path))
            found[n++] = i;
    }
    *second = found[0];
    *third = found[1];
    assert_true(found[1] > found[0]);
}

static void a_missing_segment_is_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    uint64_t second, third;

    several_segments(f);
    inner_segments(f, &second, &third);
    uint64_t last = log_last_index(f->log);
    fixture_crash(f);
    fixture_segment_path(f, second, ".log", path);
    remove(path);
    expect_damage_at(f, second);
    assert_int_equal(known_end(f), last);
    assert_int_equal(f->recovery.known_end_term, 1);
    assert_non_null(strstr(f->recovery.message, "missing"));
    assert_true(fixture_count_files(f, ".damaged") >= 3);
    fixture_random(f, 10);
    fixture_sync(f);
    fixture_reopen(f, false);
    assert_false(f->recovery.damaged);
    fixture_check(f);
}

static void a_missing_last_segment_is_damage_below_the_floor(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    uint64_t last = 0;

    several_segments(f);
    put_floor(f, log_last_index(f->log));
    for (uint64_t i = 1; i <= log_last_index(f->log); i++) {
        fixture_segment_path(f, i, ".log", path);
        if (helper_file_exists(path))
            last = i;
    }
    fixture_crash(f);
    fixture_segment_path(f, last, ".log", path);
    remove(path);
    expect_damage_at(f, last);
}

static void all_files_missing_is_damage(void **state)
{
    struct fixture *f = *state;

    small_log(f, 5, 100);
    put_floor(f, 6);
    fixture_close(f, true);
    assert_int_equal(env_dir_remove(f->env, f->log_directory), 0);
    expect_damage_at(f, 1);
}

static void swapped_segments_are_damage(void **state)
{
    struct fixture *f = *state;
    char a[HELPER_PATH_MAX], b[HELPER_PATH_MAX], c[HELPER_PATH_MAX];
    uint64_t second, third;

    several_segments(f);
    inner_segments(f, &second, &third);
    fixture_crash(f);
    fixture_segment_path(f, second, ".log", a);
    fixture_segment_path(f, third, ".log", b);
    fixture_segment_path(f, 1, ".tmp", c);
    assert_int_equal(rename(a, c) | rename(b, a) | rename(c, b), 0);
    expect_damage_at(f, second);
}

static void an_empty_segment_in_the_middle_is_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    uint64_t second, third;

    several_segments(f);
    inner_segments(f, &second, &third);
    fixture_crash(f);
    fixture_segment_path(f, second, ".log", path);
    helper_truncate(path, 0);
    expect_damage_at(f, second);
}

/* Index files are derived: whatever happens to them, the log is the same. */
static void index_files_are_rebuilt(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    several_segments(f);
    fixture_sync(f);
    for (int how = 0; how < 4; how++) {
        fixture_close(f, how % 2 == 0);
        for (uint64_t i = 1; i <= f->model.n; i++) {
            fixture_segment_path(f, i, ".idx", path);
            if (!helper_file_exists(path) || prng_below(&f->prng, 2) == 0)
                continue;
            if (how == 0)
                remove(path);
            else if (how == 1)
                helper_truncate(path, prng_below(&f->prng, helper_file_size(path)));
            else
                helper_flip(path, prng_below(&f->prng, helper_file_size(path)), 1);
        }
        fixture_open(f);
        assert_false(f->recovery.damaged);
        fixture_check(f);
        fixture_random(f, 5);
        fixture_sync(f);
    }
}

/* A batch's checksum leaves out its base offset: nothing but its place tells that it is wrong. The very first
 * one has none before it, and offset 0 is where every log has begun. */
static void the_first_of_all_segments_begins_at_0(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    for (int barrier_first = 0; barrier_first < 2; barrier_first++) {
        fixture_open(f);
        if (barrier_first)
            fixture_barrier(f, 1);
        fixture_data(f, 2, 100);
        fixture_sync(f);
        fixture_crash(f);
        fixture_segment_path(f, 1, ".idx", path);
        remove(path);
        fixture_segment_path(f, 1, ".log", path);
        helper_flip(path, prng_below(&f->prng, 8), (unsigned char)(1 << prng_below(&f->prng, 7)));
        fixture_open(f);
        assert_int_equal(log_last_index(f->log), 0);
        assert_int_equal(log_end_offset(f->log), 0);
        model_truncate(&f->model, 1);
        fixture_check(f);
        fixture_close(f, true);
    }
}

static void leftovers_of_a_died_creation_are_removed(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    small_log(f, 5, 100);
    fixture_crash(f);
    fixture_segment_path(f, 999, ".idx", path);
    helper_fill(path, 0, "junk", 4);
    fixture_open(f);
    assert_false(f->recovery.damaged);
    assert_false(helper_file_exists(path));
    fixture_check(f);
}

/* ---- the marker ---- */

static void a_stale_or_broken_marker_is_not_believed(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    char marker[HELPER_PATH_MAX + 16];

    small_log(f, 5, 100);
    snprintf(marker, sizeof(marker), "%s/clean", f->log_directory);
    fixture_segment_path(f, 1, ".log", path);
    fixture_close(f, true);
    helper_flip(marker, prng_below(&f->prng, helper_file_size(marker)), 16);
    fixture_open(f);
    assert_false(f->recovery.clean);
    fixture_check(f);
    fixture_close(f, true);
    /* A file that is not the size that the marker knows. */
    helper_fill(path, helper_file_size(path), "\0\0\0", 3);
    fixture_open(f);
    assert_false(f->recovery.clean);
    assert_false(f->recovery.damaged);
    assert_false(helper_file_exists(marker));
    fixture_check(f);
}

/* ---- damage that is found later ---- */

static void a_read_that_finds_damage_stops_the_replica(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct log_read_req req;

    several_segments(f);
    fixture_close(f, true);
    fixture_segment_path(f, 1, ".log", path);
    helper_flip(path, 2500, 8);
    f->options.cache_bytes = 0;
    fixture_open(f);
    assert_true(f->recovery.clean); /* sealed segments are trusted until they are read */
    assert_int_equal(fixture_read(f, &req, 0, 100, 1 << 20), ERR_CORRUPT);
    assert_int_equal(f->failures, 1);
    assert_int_equal(f->failure, ERR_CORRUPT);
    assert_true(is_marked_damaged(f));
    assert_int_equal(log_writable(f->log), ERR_CORRUPT);
}

/* Nothing has been appended since, so that what is lost until the next start tells nothing new. */
static void where_a_log_ended_stays_known_when_its_end_is_lost(void **state)
{
    struct fixture *f = *state;
    struct log_read_req req;
    struct journal_group group;
    char path[HELPER_PATH_MAX];
    uint64_t second, third;

    several_segments(f);
    inner_segments(f, &second, &third);
    fixture_close(f, true);
    fixture_segment_path(f, 1, ".log", path);
    helper_flip(path, 2500, 8);
    f->options.cache_bytes = 0;
    fixture_open(f);
    uint64_t last = log_last_index(f->log);
    put_floor(f, last);
    assert_int_equal(fixture_read(f, &req, 0, 100, 1 << 20), ERR_CORRUPT);
    fixture_crash(f);
    for (uint64_t i = third; i <= last; i++) {
        fixture_segment_path(f, i, ".log", path);
        remove(path);
    }
    fixture_open(f);
    assert_true(f->recovery.damaged);
    assert_int_equal(f->recovery.known_end_index, 0);
    journal_get(f->journal, f->options.group_id, &group);
    assert_int_equal(group.known_end_index, last);
    assert_int_equal(group.known_end_term, 1);
    assert_false(group.at_rest);
}

static void another_groups_files_are_damage(void **state)
{
    struct fixture *f = *state;

    several_segments(f);
    fixture_sync(f);
    fixture_close(f, true);
    f->options.group_id++; /* as if the directories had been swapped */
    fixture_open(f);
    assert_true(f->recovery.damaged);
    assert_int_equal(log_last_index(f->log), 0);
    assert_non_null(strstr(f->recovery.message, "another partition"));
    assert_true(fixture_count_files(f, ".damaged") >= 3);
}

static unsigned batches_in(uint64_t base_index, uint64_t next_base_index)
{
    return (unsigned)(next_base_index - base_index);
}

static void expect_another_file(struct fixture *f, uint64_t index)
{
    expect_damage_at(f, index);
    assert_non_null(strstr(f->recovery.message, "another"));
    assert_true(fixture_count_files(f, ".damaged") > 0);
}

static void a_fitting_file_of_another_log_is_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    uint64_t second, third;

    several_segments(f);
    inner_segments(f, &second, &third);
    fixture_close(f, true);
    fixture_segment_path(f, second, ".log", path);
    helper_forge(path, 0);
    expect_another_file(f, second);
    assert_true(known_end(f) > third);
}

/* It begins as it should: what had been there before a part of it was replaced. */
static void an_older_copy_of_a_segment_is_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    uint64_t second, third;

    several_segments(f);
    inner_segments(f, &second, &third);
    fixture_crash(f);
    fixture_segment_path(f, second, ".log", path);
    helper_forge(path, batches_in(second, third) / 2);
    expect_another_file(f, second);
}

static void a_fitting_last_file_is_damage_and_no_end(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    small_log(f, 20, 100);
    fixture_close(f, true);
    fixture_segment_path(f, 1, ".log", path);
    helper_forge(path, 5);
    expect_another_file(f, 1);
    assert_int_equal(known_end(f), 0);
}

/* Once damage is on record, the next opening checks every byte, whatever indexes and marker say. */
static void known_damage_is_searched_for(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    several_segments(f);
    fixture_sync(f);
    fixture_close(f, true);
    journal_put_damaged(f->journal, f->options.group_id, true);
    fixture_open(f);
    assert_false(f->recovery.clean);
    assert_false(f->recovery.damaged); /* nothing was found after all */
    fixture_check(f);
    fixture_close(f, true);
    fixture_segment_path(f, 1, ".log", path);
    helper_flip(path, 2500, 8);
    fixture_open(f);
    assert_true(f->recovery.damaged);
    assert_true(log_last_index(f->log) < f->recovery.damaged_index);
}

static void a_few_entries(struct fixture *f, uint64_t term)
{
    fixture_barrier(f, term);
    fixture_data_at(f, 3, 50, 1000);
    fixture_sync(f);
}

/* What takes the place of entries that were cut for damage may be just as long: no index of the old ones may
 * vouch for it. */
static void a_cut_for_damage_unfinishes_the_index(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];

    fixture_open(f);
    a_few_entries(f, 4);
    fixture_close(f, true);
    fixture_segment_path(f, 1, ".log", path);
    helper_flip(path, 30, 8);
    journal_put_damaged(f->journal, f->options.group_id, true);
    fixture_open(f);
    assert_true(f->recovery.damaged);
    assert_int_equal(log_last_index(f->log), 0);
    model_truncate(&f->model, 1);
    a_few_entries(f, 6);
    journal_put_damaged(f->journal, f->options.group_id, false);
    fixture_crash(f);
    fixture_open(f);
    assert_int_equal(log_last_term(f->log), 6);
    fixture_check(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tail_torn_at_any_byte_is_cut),
        TEST(a_file_cut_at_any_byte_loses_only_the_last_batch),
        TEST(garbage_behind_the_end_is_cut),
        TEST(flips_below_the_floor_are_damage),
        TEST(what_was_recovered_is_noted_at_once),
        TEST(a_wrong_size_hides_no_entry),
        TEST(an_end_below_the_floor_is_not_known),
        TEST(flips_of_a_control_batch_are_damage),
        TEST(zeros_in_place_of_synced_entries_are_damage),
        TEST(a_cut_for_damage_unfinishes_the_index),
        TEST(a_valid_batch_far_behind_proves_damage),
        TEST(the_same_within_reach_of_a_round_is_a_torn_tail),
        TEST(a_missing_segment_is_damage),
        TEST(a_missing_last_segment_is_damage_below_the_floor),
        TEST(all_files_missing_is_damage),
        TEST(swapped_segments_are_damage),
        TEST(an_empty_segment_in_the_middle_is_damage),
        TEST(index_files_are_rebuilt),
        TEST(the_first_of_all_segments_begins_at_0),
        TEST(leftovers_of_a_died_creation_are_removed),
        TEST(a_stale_or_broken_marker_is_not_believed),
        TEST(a_read_that_finds_damage_stops_the_replica),
        TEST(where_a_log_ended_stays_known_when_its_end_is_lost),
        TEST(another_groups_files_are_damage),
        TEST(a_fitting_file_of_another_log_is_damage),
        TEST(an_older_copy_of_a_segment_is_damage),
        TEST(a_fitting_last_file_is_damage_and_no_end),
        TEST(known_damage_is_searched_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
