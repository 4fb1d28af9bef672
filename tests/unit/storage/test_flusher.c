/* Who gets the flusher's turns: those that are written to before those that are being created. */
#include "node/base/memory.h"
#include "node/storage/flusher.h"
#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { PARALLEL = 4, NEWCOMERS = 100, TURN_NS = 1000 };

struct client {
    struct flusher_client base;
    unsigned started;
};

static struct sim *sim;
static struct flusher *flusher;
static struct client old, fresh[NEWCOMERS];
static unsigned running;

static void on_start(struct flusher_client *base)
{
    container_of(base, struct client, base)->started++;
    running++;
}

static void submit(struct client *client)
{
    flusher_submit(flusher, &client->base);
}

static void turn(void)
{
    sim_run_for(sim, TURN_NS);
}

static void finish_one(void)
{
    running--;
    flusher_finished(flusher, NULL);
    turn();
}

static unsigned newcomers_started(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < NEWCOMERS; i++)
        n += fresh[i].started;
    return n;
}

static int set_up(void **state)
{
    (void)state;
    sim = sim_create(1);
    flusher = flusher_create(sim_host_env(sim_host_create(sim, "a")), PARALLEL);
    old = (struct client){.started = 0};
    flusher_client_init(&old.base, on_start);
    submit(&old);
    turn();
    finish_one();
    for (unsigned i = 0; i < NEWCOMERS; i++) {
        fresh[i] = (struct client){.started = 0};
        flusher_client_init(&fresh[i].base, on_start);
        submit(&fresh[i]);
    }
    turn();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (running > 0)
        finish_one();
    flusher_destroy(flusher);
    sim_destroy(sim);
    return 0;
}

static void test_newcomers_leave_turns_free(void **state)
{
    (void)state;
    assert_int_equal(newcomers_started(), PARALLEL / 2);
    submit(&old);
    turn();
    assert_int_equal(old.started, 2); /* at once, beside a hundred that wait */
}

static void test_all_get_their_turn_once(void **state)
{
    (void)state;
    while (running > 0) {
        assert_true(running <= PARALLEL / 2);
        finish_one();
    }
    assert_int_equal(newcomers_started(), NEWCOMERS);
}

static void test_who_had_a_turn_is_no_newcomer(void **state)
{
    (void)state;
    assert_int_equal(fresh[0].started, 1);
    submit(&fresh[0]);
    turn();
    assert_int_equal(fresh[0].started, 2);
}

/* However much there is to do, a new leader's first write has its turn. */
static void test_newcomers_are_not_starved(void **state)
{
    static struct client busy[2 * PARALLEL];
    (void)state;
    while (running > 0)
        finish_one();
    for (unsigned i = 0; i < 2 * PARALLEL; i++) {
        busy[i] = (struct client){.started = 0};
        flusher_client_init(&busy[i].base, on_start);
        busy[i].base.had_a_turn = true;
        submit(&busy[i]);
    }
    for (unsigned i = 0; i < NEWCOMERS; i++) {
        fresh[i].base.had_a_turn = false;
        submit(&fresh[i]);
    }
    turn();
    unsigned before = newcomers_started();
    for (unsigned i = 0; i < 100; i++) {
        for (unsigned k = 0; k < 2 * PARALLEL; k++)
            submit(&busy[k]);
        finish_one();
    }
    assert_in_range(newcomers_started() - before, 15, 25);
    for (unsigned k = 0; k < 2 * PARALLEL; k++)
        flusher_withdraw(&busy[k].base);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_newcomers_leave_turns_free),
        TEST(test_all_get_their_turn_once),
        TEST(test_who_had_a_turn_is_no_newcomer),
        TEST(test_newcomers_are_not_starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
