/* Who waits for a leader is asked again in order of arrival, and only if it is its turn. On a simulated
 * clock. */
#include "node/base/memory.h"
#include "node/server/parking.h"
#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WAITERS = 4, GROUP = 7, OTHER_GROUP = 8 };

struct fixture;

struct waiter {
    struct parked parked;
    struct fixture *fixture;
    char name;
    uint64_t group_id;
    bool is_served;
};

struct fixture {
    struct sim *sim;
    struct server server;
    struct waiter waiters[WAITERS];
    bool has_leader;
    char asked[64]; /* names, in order */
};

static void on_again(struct parked *p)
{
    struct waiter *w = container_of(p, struct waiter, parked);
    struct fixture *f = w->fixture;
    size_t n = strlen(f->asked);
    assert_true(n + 1 < sizeof(f->asked));
    f->asked[n] = w->name;
    if (f->has_leader)
        w->is_served = true;
    else
        parking_add(&f->server, p, w->group_id);
}

/* a, b and c for one partition, d for another; they arrive in this order. */
static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){.sim = sim_create(1)};
    f.server.env = sim_host_env(sim_host_create(f.sim, "node"));
    parking_init(&f.server);
    for (unsigned i = 0; i < WAITERS; i++) {
        struct waiter *w = &f.waiters[i];
        *w = (struct waiter){
            .fixture = &f, .name = (char)('a' + i), .group_id = i == WAITERS - 1 ? OTHER_GROUP : GROUP};
        parking_arrive(&f.server, &w->parked, on_again);
    }
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    parking_close(&f->server);
    sim_destroy(f->sim);
    return 0;
}

static void park_all(struct fixture *f)
{
    for (unsigned i = 0; i < WAITERS; i++)
        parking_add(&f->server, &f->waiters[i].parked, f->waiters[i].group_id);
}

/* As often as it looks. */
static void look_once(struct fixture *f)
{
    memset(f->asked, 0, sizeof(f->asked));
    sim_run_for(f->sim, PARKING_LOOK_MS * UINT64_C(1000000) * 11 / 10);
}

static void leader_comes(struct fixture *f)
{
    memset(f->asked, 0, sizeof(f->asked));
    f->has_leader = true;
    parking_look_soon(&f->server);
    sim_run_for(f->sim, UINT64_C(1000000));
    for (unsigned i = 0; i < WAITERS; i++)
        assert_true(f->waiters[i].is_served);
}

static void who_would_only_queue_up_is_not_asked(void **state)
{
    struct fixture *f = *state;
    park_all(f);
    for (unsigned i = 0; i < 3; i++) {
        look_once(f);
        assert_string_equal(f->asked, "ad");
    }
    leader_comes(f);
    assert_string_equal(f->asked, "abcd");
}

static void who_waits_behind_nobody_is_asked(void **state)
{
    struct fixture *f = *state;
    f->waiters[2].parked.out_of_turn = true;
    park_all(f);
    look_once(f);
    assert_string_equal(f->asked, "acd");
    leader_comes(f);
    assert_string_equal(f->asked, "abcd");
}

/* One that has been to the partition meanwhile comes back after later ones. */
static void the_order_is_that_of_arrival(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = WAITERS; i-- > 0;)
        parking_add(&f->server, &f->waiters[i].parked, f->waiters[i].group_id);
    assert_false(parking_must_follow(&f->server, &f->waiters[0].parked, GROUP));
    assert_true(parking_must_follow(&f->server, &f->waiters[1].parked, GROUP));
    assert_false(parking_must_follow(&f->server, &f->waiters[3].parked, OTHER_GROUP));
    look_once(f);
    assert_string_equal(f->asked, "ad");
    leader_comes(f);
    assert_string_equal(f->asked, "abcd");
}

static void the_next_one_takes_the_place_of_one_that_is_gone(void **state)
{
    struct fixture *f = *state;
    park_all(f);
    parking_remove(&f->waiters[0].parked);
    look_once(f);
    assert_string_equal(f->asked, "bd");
    f->waiters[0].is_served = true;
    leader_comes(f);
    assert_string_equal(f->asked, "bcd");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_would_only_queue_up_is_not_asked),
        TEST(who_waits_behind_nobody_is_asked),
        TEST(the_order_is_that_of_arrival),
        TEST(the_next_one_takes_the_place_of_one_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
