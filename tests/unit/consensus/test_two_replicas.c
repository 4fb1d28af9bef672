/* Of two replicas each has everything that was ever committed: a damaged one helps the other to lead, and
 * only that. On simulated disks. */
#include "helper_simulated.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 2, GROUP_ID = 1, IN_THE_FIRST_ENTRY = 40, IN_THE_SECOND = 200, LATER = 3000 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 1);
    cluster->abstains_when_new = true; /* two that are both new don't wait for each other */
    simulated_bring_up(&simulated);
    return 0;
}

static unsigned leader(void)
{
    return cluster_leader(cluster, 0)->id - 1;
}

static void fill(void)
{
    simulated_propose(&simulated, 500, 1000);
    simulated_settle(&simulated);
    sim_run_for(simulated.sim, 3000ull * MS); /* the durability floor is written lazily */
}

static bool is_repaired(void *data)
{
    return simulated_is_settled(&simulated) && !simulated_is_damaged(&simulated, *(unsigned *)data);
}

static bool is_led(void *data)
{
    (void)data;
    return cluster_leader(cluster, 0) != NULL;
}

static void no_leader_comes(void)
{
    assert_false(simulated_run_until(&simulated, 10000, is_led, NULL));
}

static void check_repair_of(unsigned victim, uint64_t damage_at)
{
    fill();
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, damage_at);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &victim));
    simulated_propose(&simulated, 50, 1000);
    /* From then on it counts again. */
    simulated_kill(&simulated, 1 - victim);
    simulated_start(&simulated, 1 - victim);
    simulated_settle(&simulated);
}

static void test_a_damaged_follower_is_repaired(void **state)
{
    (void)state;
    check_repair_of(1 - leader(), LATER);
}

static void test_a_damaged_leader_is_repaired(void **state)
{
    (void)state;
    check_repair_of(leader(), LATER);
}

/* Not even the first entry, which tells the core that it belongs to a group. */
static void test_one_that_has_lost_everything_is_repaired(void **state)
{
    (void)state;
    check_repair_of(leader(), IN_THE_FIRST_ENTRY);
}

static void test_both_damaged_wait(void **state)
{
    (void)state;
    fill();
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, 0, LATER);
    simulated_damage(&simulated, 1, LATER);
    simulated_start_all(&simulated);
    no_leader_comes();
    assert_true(simulated_is_damaged(&simulated, 0) && simulated_is_damaged(&simulated, 1));
}

/* Nothing of what was acknowledged is left, and nobody may pretend otherwise. */
static void nobody_leads_after(uint64_t damage_at, uint64_t last_index)
{
    fill();
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, 0, damage_at);
    simulated_empty(&simulated, 1);
    simulated_start_all(&simulated);
    no_leader_comes();
    assert_int_equal(log_last_index(group_log(cluster->nodes[0].groups[0].group)), last_index);
    assert_true(simulated_is_damaged(&simulated, 0));
}

static void test_a_damaged_one_does_not_elect_an_emptied_one(void **state)
{
    (void)state;
    nobody_leads_after(IN_THE_SECOND, 1);
}

static void test_one_that_has_lost_everything_does_not_elect_an_emptied_one(void **state)
{
    (void)state;
    nobody_leads_after(IN_THE_FIRST_ENTRY, 0);
}

static bool both_know_the_group(void *data)
{
    (void)data;
    return simulated_is_settled(&simulated) && group_joined(cluster->nodes[0].groups[0].group) &&
           group_joined(cluster->nodes[1].groups[0].group);
}

/* It elects the one that has everything, and knows from then on what was there before it came. */
static void test_an_emptied_one_joins(void **state)
{
    (void)state;
    fill();
    uint64_t committed = cluster->committed;
    simulated_kill_all(&simulated);
    simulated_empty(&simulated, 1);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 10000, both_know_the_group, NULL));
    assert_int_equal(cluster_leader(cluster, 0)->id, 1);
    assert_int_equal(cluster->nodes[1].groups[0].joins, 1);
    assert_true(cluster->nodes[1].groups[0].joined_at >= committed);
}

/* Its last entries were never committed, but make its log the newer one, so that the core would refuse the
 * other its vote for ever. */
static void test_a_damaged_one_gives_up_what_the_other_lacks(void **state)
{
    (void)state;
    fill();
    unsigned ahead = leader();
    sim_link_cut(simulated.hosts[0], simulated.hosts[1]);
    sim_link_cut(simulated.hosts[1], simulated.hosts[0]);
    for (int i = 0; i < 5; i++)
        assert_true(cluster_propose(cluster, &cluster->nodes[ahead], 0, 100));
    journal_put_damaged(cluster->nodes[ahead].journal, GROUP_ID, true);
    sim_run_for(simulated.sim, 50ull * MS);
    assert_true(log_last_index(group_log(cluster->nodes[ahead].groups[0].group)) >
                log_last_index(group_log(cluster->nodes[1 - ahead].groups[0].group)));
    simulated_kill_all(&simulated);
    sim_heal_all(simulated.sim);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &ahead));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, simulated_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_damaged_follower_is_repaired),
        TEST(test_a_damaged_leader_is_repaired),
        TEST(test_one_that_has_lost_everything_is_repaired),
        TEST(test_both_damaged_wait),
        TEST(test_a_damaged_one_does_not_elect_an_emptied_one),
        TEST(test_one_that_has_lost_everything_does_not_elect_an_emptied_one),
        TEST(test_an_emptied_one_joins),
        TEST(test_a_damaged_one_gives_up_what_the_other_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
