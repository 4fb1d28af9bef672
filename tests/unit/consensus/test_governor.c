/* Turns of bulk work: at once on an idle node, evenly spread at the rate where something is appended. */
#include "node/base/memory.h"
#include "node/consensus/governor.h"
#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS       ((uint64_t)1000000)
#define NS_PER_S (1000 * MS)

enum { READERS = 5, PIECE = GOVERNOR_PIECE_BYTES, LARGE = 8 * GOVERNOR_PIECE_BYTES };

/* Takes its next turn as soon as one is over. */
struct old_reader {
    struct governor_turn turn;
    size_t bytes; /* of each piece */
    uint64_t turns;
    bool stopped;
};

struct fixture {
    struct sim *sim;
    struct env *env;
    struct governor governor;
    struct old_reader readers[READERS];
    struct env_timer append;
    uint64_t appends_take_ns;
    uint64_t last_turn_ns;
    uint64_t longest_gap_ns;
};

static struct fixture fixture;

static int set_up(void **state)
{
    *state = NULL;
    fixture = (struct fixture){.sim = sim_create(1), .appends_take_ns = MS / 5};
    fixture.env = sim_host_env(sim_host_create(fixture.sim, "a"));
    governor_init(&fixture.governor, fixture.env, NULL);
    for (unsigned i = 0; i < READERS; i++) {
        governor_turn_init(&fixture.readers[i].turn);
        fixture.readers[i].bytes = PIECE;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < READERS; i++)
        governor_withdraw(&fixture.governor, &fixture.readers[i].turn);
    governor_close(&fixture.governor);
    env_timer_stop(fixture.env, &fixture.append);
    sim_destroy(fixture.sim);
    return 0;
}

/* ---- an open loop of appends ---- */

static void on_append(struct env_timer *timer)
{
    governor_note_append(&fixture.governor, fixture.appends_take_ns, 1024);
    env_timer_start(fixture.env, timer, MS, on_append);
}

/* Hurt by whatever is done: the rate stays at its floor. */
static void append_slowly(void)
{
    on_append(&fixture.append);
    sim_run_for(fixture.sim, NS_PER_S);
    fixture.appends_take_ns = 5 * MS;
    sim_run_for(fixture.sim, NS_PER_S);
}

/* ---- readers ---- */

static void on_turn(struct governor_turn *turn)
{
    struct old_reader *r = container_of(turn, struct old_reader, turn);
    do {
        uint64_t now_ns = env_now_ns(fixture.env);
        uint64_t gap_ns = now_ns - fixture.last_turn_ns;
        if (fixture.last_turn_ns != 0 && gap_ns > fixture.longest_gap_ns)
            fixture.longest_gap_ns = gap_ns;
        fixture.last_turn_ns = now_ns;
        r->turns++;
        governor_spent(&fixture.governor, r->bytes);
    } while (!r->stopped && governor_take(&fixture.governor, turn, on_turn));
}

static void start(struct old_reader *r)
{
    r->turns = 0;
    if (governor_take(&fixture.governor, &r->turn, on_turn))
        on_turn(&r->turn);
}

static void test_an_idle_node_gives_every_turn_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(governor_take(&fixture.governor, &fixture.readers[0].turn, on_turn));
        governor_spent(&fixture.governor, LARGE);
    }
    assert_int_equal(governor_piece(&fixture.governor, LARGE, 0), LARGE);
    assert_int_equal(fixture.governor.bytes, 10000ull * LARGE);
}

static void test_bytes_are_bounded_while_appends_are_hurt(void **state)
{
    (void)state;
    append_slowly();
    assert_int_equal(governor_piece(&fixture.governor, LARGE, 0), PIECE);
    assert_int_equal(governor_piece(&fixture.governor, 1, 0), 1);
    assert_int_equal(governor_piece(&fixture.governor, LARGE, MS), PIECE);
    assert_int_equal(governor_piece(&fixture.governor, LARGE, 8 * MS), BULK_FLOOR_BYTES_PER_S / 125);
    assert_int_equal(governor_piece(&fixture.governor, LARGE, NS_PER_S), LARGE);
    for (unsigned i = 0; i < READERS; i++)
        start(&fixture.readers[i]);
    uint64_t before = fixture.governor.bytes;
    sim_run_for(fixture.sim, NS_PER_S);
    uint64_t floor = BULK_FLOOR_BYTES_PER_S;
    assert_in_range(fixture.governor.bytes - before, floor * 95 / 100, floor * 105 / 100);
    /* One by one, not in bursts, and nobody more often than the others. */
    assert_true(fixture.longest_gap_ns < 2 * PIECE * NS_PER_S / floor);
    for (unsigned i = 0; i < READERS; i++)
        assert_in_range(fixture.readers[i].turns, fixture.readers[0].turns - 2, fixture.readers[0].turns);
}

/* Sizes are known afterwards: a turn with more in it takes longer until the next, one with less less. */
static void test_a_turn_costs_what_was_done_in_it(void **state)
{
    (void)state;
    append_slowly();
    struct old_reader *large = &fixture.readers[0], *small = &fixture.readers[1];
    large->bytes = LARGE;
    start(large);
    sim_run_for(fixture.sim, NS_PER_S);
    uint64_t floor = BULK_FLOOR_BYTES_PER_S;
    assert_in_range(large->turns * LARGE, floor * 95 / 100, floor * 105 / 100);
    large->stopped = true;
    sim_run_for(fixture.sim, NS_PER_S);
    small->bytes = PIECE / 8;
    start(small);
    sim_run_for(fixture.sim, NS_PER_S);
    assert_in_range(small->turns * small->bytes, floor * 95 / 100, floor * 105 / 100);
}

static void test_the_limit_ends_with_the_appends(void **state)
{
    (void)state;
    append_slowly();
    struct old_reader *a = &fixture.readers[0], *b = &fixture.readers[1];
    a->stopped = b->stopped = true;
    a->bytes = 1000 * PIECE;
    assert_true(governor_take(&fixture.governor, &a->turn, on_turn));
    on_turn(&a->turn);
    assert_false(governor_take(&fixture.governor, &b->turn, on_turn));
    env_timer_stop(fixture.env, &fixture.append);
    sim_run_for(fixture.sim, 200 * MS);
    assert_int_equal(b->turns, 1);
}

static void test_who_has_withdrawn_gets_no_turn(void **state)
{
    (void)state;
    append_slowly();
    struct old_reader *a = &fixture.readers[0], *b = &fixture.readers[1], *c = &fixture.readers[2];
    a->stopped = b->stopped = c->stopped = true;
    assert_true(governor_take(&fixture.governor, &a->turn, on_turn));
    assert_false(governor_take(&fixture.governor, &b->turn, on_turn));
    assert_false(governor_take(&fixture.governor, &c->turn, on_turn));
    governor_withdraw(&fixture.governor, &b->turn);
    governor_withdraw(&fixture.governor, &b->turn);
    sim_run_for(fixture.sim, NS_PER_S);
    assert_int_equal(b->turns, 0);
    assert_int_equal(c->turns, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_idle_node_gives_every_turn_at_once), TEST(test_bytes_are_bounded_while_appends_are_hurt),
        TEST(test_a_turn_costs_what_was_done_in_it),      TEST(test_the_limit_ends_with_the_appends),
        TEST(test_who_has_withdrawn_gets_no_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
