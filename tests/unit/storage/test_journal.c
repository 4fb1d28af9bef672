/* The journal: what is durable survives, torn tails are cut, damage is refused. */
#include "node/storage/journal_format.h"
#include "proto/crc32c.h"
#include "tests/unit/storage/helper_log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void wait_durable(struct fixture *f, uint64_t sequence)
{
    RUN_UNTIL(f->env, journal_durable(f->journal) >= sequence);
}

static void reopen(struct fixture *f)
{
    fixture_close_journal(f);
    fixture_open_journal(f);
}

static int try_open(struct fixture *f, char *message, size_t size)
{
    struct journal_options options = {.env = f->env, .path = f->journal_path};

    message[0] = '\0';
    return journal_open(&options, &f->journal, message, size);
}

static struct slice text_slice(const char *text)
{
    return slice_copy(text, strlen(text));
}

static void expect_group(struct fixture *f, uint64_t id, uint64_t term, uint64_t vote, uint64_t floor,
                         bool damaged, const char *snapshot)
{
    struct journal_group g;

    journal_get(f->journal, id, &g);
    assert_int_equal(g.term, term);
    assert_int_equal(g.vote, vote);
    assert_int_equal(g.floor_index, floor);
    assert_int_equal(g.damaged, damaged);
    assert_int_equal(g.snapshot.size, strlen(snapshot));
    if (snapshot[0] != '\0')
        assert_memory_equal(g.snapshot.data, snapshot, strlen(snapshot));
}

static void count_group(void *data, uint64_t group_id)
{
    (void)group_id;
    ++*(int *)data;
}

static void state_survives(void **state)
{
    struct fixture *f = *state;
    struct slice snapshot = text_slice("a snapshot");
    int groups = 0;

    expect_group(f, 7, 0, 0, 0, false, "");
    uint64_t first = journal_put_hard_state(f->journal, 7, 3, 1);
    expect_group(f, 7, 3, 1, 0, false, ""); /* at once; durable later */
    assert_true(journal_durable(f->journal) < first);
    journal_put_snapshot(f->journal, 7, snapshot);
    journal_put_floor_lazy(f->journal, 7, 55);
    journal_put_hard_state(f->journal, 8, 1, 2);
    journal_put_hard_state(f->journal, 9, 1, 2);
    journal_forget(f->journal, 9);
    wait_durable(f, journal_put_damaged(f->journal, 8, true));
    slice_unref(&snapshot);
    for (int i = 0; i < 2; i++) {
        reopen(f);
        expect_group(f, 7, 3, 1, 55, false, "a snapshot");
        expect_group(f, 8, 1, 2, 0, true, "");
        expect_group(f, 9, 0, 0, 0, false, "");
        groups = 0;
        journal_each(f->journal, count_group, &groups);
        assert_int_equal(groups, 2);
    }
    wait_durable(f, journal_put_damaged(f->journal, 8, false));
    reopen(f);
    expect_group(f, 8, 1, 2, 0, false, "");
}

static void expect_fetched(struct fixture *f, uint64_t from, uint64_t after_term)
{
    struct journal_group g;

    journal_get(f->journal, 7, &g);
    assert_int_equal(g.fetched_from, from);
    assert_int_equal(g.fetched_after_term, after_term);
}

static void what_was_fetched_survives(void **state)
{
    struct fixture *f = *state;

    expect_fetched(f, 0, 0);
    wait_durable(f, journal_put_fetched(f->journal, 7, 812, 3));
    reopen(f);
    expect_fetched(f, 812, 3);
    wait_durable(f, journal_put_fetched(f->journal, 7, 0, 0));
    reopen(f);
    expect_fetched(f, 0, 0);
}

static void expect_end(struct fixture *f, bool damaged, uint64_t term, uint64_t index)
{
    struct journal_group g;

    journal_get(f->journal, 7, &g);
    assert_int_equal(g.damaged, damaged);
    assert_int_equal(g.known_end_term, term);
    assert_int_equal(g.known_end_index, index);
}

static void put_end(struct fixture *f, uint64_t term, uint64_t index)
{
    wait_durable(f, journal_put_damaged_before(f->journal, 7, term, index));
}

/* It never goes back, and what is not known any more stays so until the replica is repaired. */
static void a_known_end_survives(void **state)
{
    struct fixture *f = *state;

    put_end(f, 3, 100);
    reopen(f);
    expect_end(f, true, 3, 100);
    put_end(f, 3, 99);
    put_end(f, 2, 200);
    expect_end(f, true, 3, 100);
    put_end(f, 4, 50);
    reopen(f);
    expect_end(f, true, 4, 50);
    put_end(f, 4, 0);
    expect_end(f, true, 0, 0);
    put_end(f, 5, 60);
    reopen(f);
    expect_end(f, true, 0, 0);
    wait_durable(f, journal_put_damaged(f->journal, 7, false));
    expect_end(f, false, 0, 0);
    put_end(f, 3, 100);
    wait_durable(f, journal_put_damaged(f->journal, 7, true));
    reopen(f);
    expect_end(f, true, 0, 0);
}

static void put_end_at_rest(struct fixture *f, uint64_t term, uint64_t index)
{
    wait_durable(f, journal_put_damaged_at_rest(f->journal, 7, term, index));
}

static void expect_rest(struct fixture *f, bool at_rest)
{
    struct journal_group g;

    journal_get(f->journal, 7, &g);
    assert_int_equal(g.at_rest, at_rest);
}

/* While nothing is appended, the end stays known, whatever else turns out to be missing; and no longer. */
static void an_end_at_rest_stays_known(void **state)
{
    struct fixture *f = *state;

    put_end_at_rest(f, 3, 100);
    reopen(f);
    expect_end(f, true, 3, 100);
    expect_rest(f, true);
    put_end_at_rest(f, 0, 0);
    put_end_at_rest(f, 3, 50);
    expect_end(f, true, 3, 100);
    put_end_at_rest(f, 3, 101);
    reopen(f);
    expect_end(f, true, 3, 101);
    expect_rest(f, true);
    put_end(f, 0, 0);
    reopen(f);
    expect_end(f, true, 3, 101);
    expect_rest(f, false);
    put_end_at_rest(f, 3, 60);
    expect_rest(f, true);
    put_end(f, 3, 101);
    put_end_at_rest(f, 0, 0);
    expect_end(f, true, 0, 0);
    expect_rest(f, false);
}

/* Where no end is known, there is none to keep. */
static void an_unknown_end_is_never_at_rest(void **state)
{
    struct fixture *f = *state;

    put_end_at_rest(f, 0, 0);
    expect_end(f, true, 0, 0);
    expect_rest(f, false);
    put_end_at_rest(f, 3, 100);
    expect_end(f, true, 0, 0);
    wait_durable(f, journal_put_damaged(f->journal, 7, false));
    put_end_at_rest(f, 3, 100);
    wait_durable(f, journal_put_damaged(f->journal, 7, false));
    expect_rest(f, false);
    put_end_at_rest(f, 0, 0);
    expect_end(f, true, 0, 0);
    wait_durable(f, journal_put_damaged(f->journal, 7, false));
    put_end_at_rest(f, 3, 100);
    wait_durable(f, journal_put_emptied(f->journal, 7));
    put_end_at_rest(f, 3, 100);
    reopen(f);
    expect_end(f, true, 0, 0);
    expect_rest(f, false);
}

static void expect_emptied(struct fixture *f, bool damaged, bool emptied)
{
    struct journal_group g;

    reopen(f);
    journal_get(f->journal, 7, &g);
    assert_int_equal(g.damaged, damaged);
    assert_int_equal(g.emptied, emptied);
    assert_int_equal(g.known_end_index, 0);
}

/* More damage does not make a replaced disk an old one. */
static void a_replaced_disk_is_one_until_it_is_repaired(void **state)
{
    struct fixture *f = *state;

    wait_durable(f, journal_put_damaged(f->journal, 7, true));
    expect_emptied(f, true, false);
    wait_durable(f, journal_put_emptied(f->journal, 7));
    expect_emptied(f, true, true);
    put_end(f, 3, 100);
    expect_emptied(f, true, true);
    wait_durable(f, journal_put_damaged(f->journal, 7, true));
    expect_emptied(f, true, true);
    wait_durable(f, journal_put_damaged(f->journal, 7, false));
    expect_emptied(f, false, false);
    wait_durable(f, journal_put_damaged(f->journal, 7, true));
    expect_emptied(f, true, false);
}

static uint32_t file_version(struct fixture *f)
{
    unsigned char header[JOURNAL_HEADER_SIZE];
    uint64_t round;
    uint32_t version;
    FILE *in = fopen(f->journal_path, "rb");

    assert_int_equal(fread(header, 1, sizeof(header), in), sizeof(header));
    fclose(in);
    assert_int_equal(journal_header_decode(header, sizeof(header), &version, &round), 0);
    return version;
}

static void make_version_1(struct fixture *f)
{
    unsigned char header[JOURNAL_HEADER_SIZE] = {'F', 'L', 'J', 'L', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1};

    store_be32(header + sizeof(header) - 4, crc32c(0, header, sizeof(header) - 4));
    helper_fill(f->journal_path, 0, header, sizeof(header));
    assert_int_equal(file_version(f), 1);
}

/* What an older version cannot read must not stand in a file that looks as if it could. */
static void an_older_version_s_file_is_rewritten_first(void **state)
{
    struct fixture *f = *state;

    wait_durable(f, journal_put_hard_state(f->journal, 7, 3, 1));
    fixture_close_journal(f);
    make_version_1(f);
    fixture_open_journal(f);
    expect_group(f, 7, 3, 1, 0, false, "");
    assert_int_equal(file_version(f), 1);
    wait_durable(f, journal_put_fetched(f->journal, 7, 812, 3));
    assert_int_equal(file_version(f), JOURNAL_VERSION);
    wait_durable(f, journal_put_hard_state(f->journal, 7, 4, 2));
    reopen(f);
    expect_group(f, 7, 4, 2, 0, false, "");
    expect_fetched(f, 812, 3);
}

/* The view that get handed out may be put back. */
static void a_snapshot_may_be_put_back(void **state)
{
    struct fixture *f = *state;
    struct slice snapshot = text_slice("the snapshot");
    struct journal_group g;

    journal_put_snapshot(f->journal, 7, snapshot);
    slice_unref(&snapshot);
    journal_get(f->journal, 7, &g);
    wait_durable(f, journal_put_snapshot(f->journal, 7, g.snapshot));
    expect_group(f, 7, 0, 0, 0, false, "the snapshot");
}

static void a_thousand_groups_cost_a_few_syncs(void **state)
{
    struct fixture *f = *state;
    uint64_t last = 0;

    f->faults.syncs = 0;
    for (uint64_t id = 0; id < 1000; id++)
        last = journal_put_hard_state(f->journal, id, id, id % 3);
    wait_durable(f, last);
    assert_in_range(f->faults.syncs, 1, 3);
    reopen(f);
    for (uint64_t id = 0; id < 1000; id++)
        expect_group(f, id, id, id % 3, 0, false, "");
}

/* With the next one that somebody needs. False: that took so long, on a busy disk, that the lazy one may have
 * come by itself. */
static bool lazy_put_comes_with_the_next(struct fixture *f)
{
    f->faults.syncs = 0;
    uint64_t start_ns = env_clock_ns(f->env);
    uint64_t lazy = journal_put_snapshot_lazy(f->journal, 7, slice_none());
    for (int i = 0; i < 10; i++)
        helper_turn(f->env);
    unsigned before = f->faults.syncs;
    wait_durable(f, journal_put_hard_state(f->journal, 8, 1, 1));
    assert_true(journal_durable(f->journal) > lazy);
    if (env_clock_ns(f->env) - start_ns >= 900 * MS)
        return false;
    assert_int_equal(before, 0);
    assert_int_equal(f->faults.syncs, 1);
    return true;
}

static void lazy_puts_need_no_sync_of_their_own(void **state)
{
    struct fixture *f = *state;
    int attempts = 1;

    while (!lazy_put_comes_with_the_next(f))
        assert_true(++attempts < 20);
    /* Or by itself, after about a second. */
    uint64_t start_ns = env_clock_ns(f->env);
    wait_durable(f, journal_put_snapshot_lazy(f->journal, 7, slice_none()));
    assert_true(env_clock_ns(f->env) - start_ns >= 500 * MS);
}

static void closing_writes_lazy_puts(void **state)
{
    struct fixture *f = *state;

    journal_put_floor_lazy(f->journal, 7, 99);
    reopen(f);
    expect_group(f, 7, 0, 0, 99, false, "");
}

struct ordered {
    struct journal_wait wait;
    int *counter;
    int order;
};

static void on_waited(struct journal_wait *wait, int status)
{
    assert_int_equal(status, 0);
    struct ordered *o = (struct ordered *)wait;

    o->order = ++*o->counter;
}

static void waits_end_in_order(void **state)
{
    struct fixture *f = *state;
    int counter = 0;
    struct ordered a = {.counter = &counter}, b = {.counter = &counter}, c = {.counter = &counter};

    uint64_t first = journal_put_hard_state(f->journal, 1, 1, 1);
    uint64_t second = journal_put_hard_state(f->journal, 2, 1, 1);
    journal_wait(f->journal, &b.wait, second, on_waited);
    journal_wait(f->journal, &a.wait, first, on_waited);
    journal_wait(f->journal, &c.wait, second, on_waited);
    journal_wait_cancel(&c.wait);
    assert_int_equal(counter, 0);
    RUN_UNTIL(f->env, counter == 2);
    assert_int_equal(a.order, 1);
    assert_int_equal(b.order, 2);
    assert_int_equal(c.order, 0);
    journal_wait(f->journal, &c.wait, second, on_waited);
    assert_int_equal(c.order, 3);
}

static void a_grown_journal_is_rewritten(void **state)
{
    struct fixture *f = *state;
    uint64_t term = 0;
    uint64_t before = 0;
    struct slice snapshot = slice_copy("0123456789", 10);

    journal_put_emptied(f->journal, 7);
    journal_put_damaged_at_rest(f->journal, 998, 3, 100);
    journal_put_snapshot(f->journal, 999, snapshot);
    slice_unref(&snapshot);
    for (;;) {
        term++;
        for (uint64_t id = 1; id <= 500; id++)
            journal_put_hard_state(f->journal, id, term, id);
        wait_durable(f, journal_put_hard_state(f->journal, 1, term, 1));
        uint64_t size = helper_file_size(f->journal_path);
        if (size < before)
            break;
        assert_true(size < 4 << 20);
        before = size;
    }
    assert_true(before >= 768 << 10);
    assert_true(helper_file_size(f->journal_path) < before / 4);
    /* It goes on in the new file. */
    wait_durable(f, journal_put_hard_state(f->journal, 500, term + 7, 500));
    reopen(f);
    for (uint64_t id = 1; id < 500; id++)
        expect_group(f, id, term, id, 0, id == 7, "");
    expect_group(f, 500, term + 7, 500, 0, false, "");
    expect_group(f, 999, 0, 0, 0, false, "0123456789");
    expect_emptied(f, true, true);
    struct journal_group g;
    journal_get(f->journal, 998, &g);
    assert_true(g.damaged && g.at_rest && !g.emptied);
    assert_int_equal(g.known_end_index, 100);
}

/* ---- what is on disk ---- */

/* Three frames: terms 1, 2, 3. Returns where each ends. */
static void three_frames(struct fixture *f, uint64_t ends[4])
{
    ends[0] = JOURNAL_HEADER_SIZE;
    for (uint64_t term = 1; term <= 3; term++) {
        wait_durable(f, journal_put_hard_state(f->journal, 1, term, 1));
        ends[term] = ends[term - 1] + JOURNAL_FRAME_HEADER_SIZE + JOURNAL_RECORD_HEADER_SIZE + 16;
    }
    fixture_close_journal(f);
}

static void a_tail_torn_at_any_byte_is_cut(void **state)
{
    struct fixture *f = *state;
    static unsigned char zeros[64];
    unsigned char frame[64];
    uint64_t ends[4];

    three_frames(f, ends);
    size_t size = ends[3] - ends[2];
    FILE *in = fopen(f->journal_path, "rb");
    fseek(in, (long)ends[2], SEEK_SET);
    assert_int_equal(fread(frame, 1, size, in), size);
    fclose(in);
    for (size_t kept = 0; kept < size - 1; kept++) {
        helper_fill(f->journal_path, ends[2], frame, kept);
        helper_fill(f->journal_path, ends[2] + kept, zeros, size - kept);
        fixture_open_journal(f);
        expect_group(f, 1, 2, 1, 0, false, "");
        fixture_close_journal(f);
    }
    fixture_open_journal(f);
    wait_durable(f, journal_put_hard_state(f->journal, 1, 9, 1));
    reopen(f);
    expect_group(f, 1, 9, 1, 0, false, "");
}

static void damage_before_the_tail_is_refused(void **state)
{
    struct fixture *f = *state;
    uint64_t ends[4];
    char message[256];

    three_frames(f, ends);
    for (uint64_t at = 0; at < ends[2]; at++) {
        unsigned char mask = (unsigned char)(1u << prng_below(&f->prng, 8));
        helper_flip(f->journal_path, at, mask);
        int status = try_open(f, message, sizeof(message));
        if (status == 0)
            print_error("flip at %llu was not seen\n", (unsigned long long)at);
        assert_int_equal(status, ERR_CORRUPT);
        assert_non_null(strstr(message, f->journal_path));
        assert_non_null(strstr(message, "byte"));
        helper_flip(f->journal_path, at, mask);
    }
    f->journal = NULL;
    fixture_open_journal(f);
    expect_group(f, 1, 3, 1, 0, false, "");
}

static void a_file_that_is_no_journal_is_refused(void **state)
{
    struct fixture *f = *state;
    char message[256];

    fixture_close_journal(f);
    helper_truncate(f->journal_path, 0);
    assert_int_equal(try_open(f, message, sizeof(message)), ERR_CORRUPT);
    helper_fill(f->journal_path, 0, "hello hello hello hello hello hello hello", 40);
    assert_int_equal(try_open(f, message, sizeof(message)), ERR_CORRUPT);
    f->journal = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(state_survives),
        TEST(what_was_fetched_survives),
        TEST(a_known_end_survives),
        TEST(an_end_at_rest_stays_known),
        TEST(an_unknown_end_is_never_at_rest),
        TEST(a_replaced_disk_is_one_until_it_is_repaired),
        TEST(an_older_version_s_file_is_rewritten_first),
        TEST(a_snapshot_may_be_put_back),
        TEST(a_thousand_groups_cost_a_few_syncs),
        TEST(lazy_puts_need_no_sync_of_their_own),
        TEST(closing_writes_lazy_puts),
        TEST(waits_end_in_order),
        TEST(a_grown_journal_is_rewritten),
        TEST(a_tail_torn_at_any_byte_is_cut),
        TEST(damage_before_the_tail_is_refused),
        TEST(a_file_that_is_no_journal_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
