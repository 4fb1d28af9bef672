/* The judge of votes is judged: a counted vote that is forgotten must be noticed, and one that is kept must
 * not. */
#include "ground.h"
#include "node/cluster/internal.h"
#include "node/consensus/consensus.h"
#include "node/env/sabotage.h"
#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MS = GROUND_MS };

static struct ground ground;

static struct sim_node *deposed;

static bool is_replaced(struct ground *g)
{
    for (unsigned i = 0; i < GROUND_NODES; i++) {
        const struct sim_node *n = &g->cluster.nodes[i];
        if (n != deposed && cluster_node_works(n) && n->node->cluster != NULL &&
            n->node->cluster->group0.is_ready)
            return true;
    }
    return false;
}

/* Two of three elect a leader: both votes were needed. Returns the one that follows. */
static struct sim_node *elect_without_the_leader(struct ground *g)
{
    deposed = ground_controller(g);
    ground_isolate_from_nodes(g, deposed);
    assert_true(ground_run_until(g, 10000, is_replaced));
    assert_true(counters_get(&g->counters, "votes_counted") > 0);
    for (unsigned i = 0; i < GROUND_NODES; i++) {
        struct sim_node *n = &g->cluster.nodes[i];
        if (n != deposed && !n->node->cluster->group0.is_ready)
            return n;
    }
    return NULL;
}

static void test_a_vote_that_is_kept(void **state)
{
    (void)state;
    ground_begin(&ground, 1, 0, 0);
    struct sim_node *voter = elect_without_the_leader(&ground);
    assert_non_null(voter);
    cluster_crash(voter, 10 * MS);
    ground_run(&ground, 1000);
    assert_true(voter->life > 1);
    assert_string_equal(ground.history.violation, "");
}

static void test_a_vote_that_is_forgotten(void **state)
{
    (void)state;
    ground_begin(&ground, 1, 1u << SABOTAGE_VOTE_FORGOTTEN, 0);
    struct sim_node *voter = elect_without_the_leader(&ground);
    assert_non_null(voter);
    cluster_crash(voter, 10 * MS);
    ground_run(&ground, 1000);
    assert_non_null(strstr(ground.history.violation, "has forgotten it"));
}

/* Who has lost its disk has an excuse. */
static void test_an_excuse(void **state)
{
    (void)state;
    ground_begin(&ground, 1, 1u << SABOTAGE_VOTE_FORGOTTEN, 0);
    struct sim_node *voter = elect_without_the_leader(&ground);
    assert_non_null(voter);
    cluster_crash(voter, 10 * MS);
    for (unsigned ms = 0; ms < 1000; ms++) {
        sim_run_for(ground.sim, MS);
        cluster_step(&ground.cluster);
        votes_step(&ground.votes, voter);
    }
    assert_string_equal(ground.history.violation, "");
}

static bool is_unsure(struct ground *g)
{
    return g->votes.unsure != NULL;
}

static bool meets_the_unsure(unsigned guards_off)
{
    ground_begin(&ground, 1, 0, guards_off);
    deposed = ground_controller(&ground);
    for (unsigned i = 0; i < GROUND_NODES; i++)
        sim_disk_latency(ground.cluster.nodes[i].host, 50 * MS, 60 * MS);
    ground_isolate_from_nodes(&ground, deposed);
    return ground_run_until(&ground, 3000, is_unsure);
}

static void test_a_vote_that_is_not_on_disk_yet(void **state)
{
    (void)state;
    assert_true(meets_the_unsure(GUARD_HOLD_UNTIL_DURABLE));
    assert_false(meets_the_unsure(0));
    assert_true(counters_get(&ground.counters, "votes_counted") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_vote_that_is_kept),
        cmocka_unit_test(test_a_vote_that_is_forgotten),
        cmocka_unit_test(test_an_excuse),
        cmocka_unit_test(test_a_vote_that_is_not_on_disk_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
