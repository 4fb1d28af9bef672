/* A replica whose files were damaged does not campaign until a leader has made it whole, and votes for
 * nobody, or, if it is known where its log had ended, for who has as much. On simulated disks. */
#include "helper_simulated.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3, GROUP_ID = 1, POSITION = 3000 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

static int set_up(void **state)
{
    (void)state;
    simulated_init(&simulated, NODES, 1);
    simulated_start_all(&simulated);
    simulated_settle(&simulated);
    return 0;
}

/* With snapshots far behind the damage: the log is cut before the snapshot. */
static int set_up_snapshots(void **state)
{
    (void)state;
    simulated_init(&simulated, NODES, 1);
    cluster->entry_memory_bytes = 64 * 1024;
    simulated_start_all(&simulated);
    simulated_settle(&simulated);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    simulated_close(&simulated);
    return 0;
}

static bool is_repaired(void *data)
{
    return simulated_is_settled(&simulated) && !simulated_is_damaged(&simulated, *(unsigned *)data);
}

static unsigned a_follower(void)
{
    uint32_t leader = cluster_leader(cluster, 0)->id;
    return leader == NODES ? 0 : NODES - 1;
}

static void test_is_repaired_from_the_leader(void **state)
{
    (void)state;
    simulated_propose(&simulated, 500, 1000);
    sim_run_for(simulated.sim, 3000ull * MS); /* the durability floor is written lazily */
    unsigned victim = a_follower();
    simulated_kill(&simulated, victim);
    simulated_damage(&simulated, victim, POSITION);
    simulated_propose(&simulated, 50, 1000);
    simulated_start(&simulated, victim);
    assert_true(simulated_run_until(&simulated, 2000, simulated_is_settled, &simulated) ||
                simulated_is_damaged(&simulated, victim));
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &victim));
    simulated_propose(&simulated, 50, 1000);
    simulated_settle(&simulated);
}

static bool opened(void *data)
{
    return node_is_open(&cluster->nodes[*(unsigned *)data]);
}

static void fill(void)
{
    simulated_propose(&simulated, 500, 1000);
    simulated_settle(&simulated);
    sim_run_for(simulated.sim, 3000ull * MS); /* the durability floor is written lazily */
}

static bool is_led(void *data)
{
    (void)data;
    return cluster_leader(cluster, 0) != NULL;
}

static bool is_led_and_repaired(void *data)
{
    return is_led(NULL) && !simulated_is_damaged(&simulated, *(unsigned *)data);
}

static bool end_is_known(unsigned node)
{
    struct journal_group state;
    journal_get(cluster->nodes[node].journal, GROUP_ID, &state);
    return state.known_end_index != 0;
}

/* The harmed one and one that lags behind are a majority by number, but not of memories. */
static void test_does_not_elect_a_laggard(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower();
    unsigned whole = cluster_leader(cluster, 0)->id - 1;
    unsigned laggard = NODES - victim - whole;
    simulated_kill(&simulated, laggard);
    simulated_propose(&simulated, 5, 1000);
    sim_run_for(simulated.sim, 3000ull * MS);
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, POSITION);
    simulated_start(&simulated, victim);
    simulated_start(&simulated, laggard);
    assert_true(simulated_run_until(&simulated, 5000, opened, &victim));
    assert_true(simulated_is_damaged(&simulated, victim));
    assert_true(end_is_known(victim));
    sim_run_for(simulated.sim, 5000ull * MS);
    assert_null(cluster_leader(cluster, 0));
    /* With the third one there is a leader, and a repair. */
    simulated_start(&simulated, whole);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &victim));
    /* From then on it counts again. */
    simulated_kill(&simulated, cluster_leader(cluster, 0)->id - 1);
    simulated_settle(&simulated);
}

static void test_does_not_vote_without_a_known_end(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower(), leader = cluster_leader(cluster, 0)->id - 1;
    simulated_kill_all(&simulated);
    cluster->distrusted = victim + 1;
    for (unsigned i = 0; i < NODES; i++)
        if (i != leader)
            simulated_start(&simulated, i);
    sim_run_for(simulated.sim, 5000ull * MS);
    assert_null(cluster_leader(cluster, 0));
    assert_true(simulated_is_damaged(&simulated, victim));
    simulated_start(&simulated, leader);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &victim));
}

/* A journal from before the last terms: for whom it has voted in them is not known. What is left of the log
 * does not tell, but where it had ended does. */
static void test_does_not_vote_with_an_old_journal(void **state)
{
    (void)state;
    struct journal_group before;
    fill();
    unsigned victim = a_follower(), first = cluster_leader(cluster, 0)->id - 1;
    journal_get(cluster->nodes[victim].journal, GROUP_ID, &before);
    simulated_kill(&simulated, first);
    simulated_propose(&simulated, 5, 1000);
    simulated_start(&simulated, first);
    simulated_settle(&simulated);
    sim_run_for(simulated.sim, 3000ull * MS);
    unsigned leader = cluster_leader(cluster, 0)->id - 1;
    if (leader == victim)
        victim = first;
    journal_put_hard_state(cluster->nodes[victim].journal, GROUP_ID, before.term, 0);
    sim_run_for(simulated.sim, 50ull * MS);
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, POSITION);
    for (unsigned i = 0; i < NODES; i++)
        if (i != leader)
            simulated_start(&simulated, i);
    sim_run_for(simulated.sim, 5000ull * MS);
    assert_null(cluster_leader(cluster, 0));
    simulated_start(&simulated, leader);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &victim));
}

/* Nothing is lost: the third one has it all, and each of the two knows how much that must be. */
static void test_two_of_three_harmed_elect_the_third(void **state)
{
    (void)state;
    fill();
    unsigned whole = a_follower();
    simulated_kill_all(&simulated);
    for (unsigned i = 0; i < NODES; i++)
        if (i != whole)
            simulated_damage(&simulated, i, POSITION + 1000 * i);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 20000, is_led, NULL));
    assert_int_equal(cluster_leader(cluster, 0)->id, whole + 1);
    for (unsigned i = 0; i < NODES; i++)
        assert_true(simulated_run_until(&simulated, 20000, is_repaired, &i));
    simulated_kill(&simulated, whole);
    simulated_propose(&simulated, 50, 1000);
}

/* One of the two is enough, and it is repaired as well when it has lost its leader meanwhile. */
static void test_a_harmed_one_loses_its_leader(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower(), leader = cluster_leader(cluster, 0)->id - 1;
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, POSITION);
    for (unsigned i = 0; i < NODES; i++)
        if (i != leader)
            simulated_start(&simulated, i);
    for (int round = 0; round < 3; round++) {
        assert_true(simulated_run_until(&simulated, 20000, is_led, NULL));
        unsigned first = cluster_leader(cluster, 0)->id - 1;
        if (simulated_is_damaged(&simulated, victim))
            assert_true(first != victim);
        if (first == victim)
            break;
        simulated_kill(&simulated, first);
        simulated_start(&simulated, first);
    }
    assert_true(simulated_run_until(&simulated, 20000, is_led_and_repaired, &victim));
    simulated_start(&simulated, leader);
    simulated_settle(&simulated);
}

/* ---- starting over ---- */

static void trim_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        if (cluster->nodes[i].up)
            group_trim(cluster->nodes[i].groups[0].group, INT64_MAX);
}

static bool is_damaged(void *data)
{
    unsigned node = *(unsigned *)data;
    return node_is_open(&cluster->nodes[node]) && simulated_is_damaged(&simulated, node);
}

/* Retention has overtaken it; in the middle of what it is sent instead, its leader dies. */
static unsigned begin_to_start_over(void)
{
    fill();
    unsigned victim = a_follower();
    simulated_kill(&simulated, victim);
    for (int i = 0; i < 4; i++)
        simulated_propose(&simulated, 30, 20000);
    sim_run_for(simulated.sim, 3000ull * MS); /* snapshots reach the journal lazily */
    simulated_propose(&simulated, 1, 100);
    trim_all();
    simulated_start(&simulated, victim);
    assert_true(simulated_run_until(&simulated, 20000, is_damaged, &victim));
    return victim;
}

static void test_one_that_starts_over_votes(void **state)
{
    (void)state;
    if (cluster->entry_memory_bytes == 0)
        return; /* no snapshots, nothing to be overtaken by */
    unsigned victim = begin_to_start_over();
    unsigned leader = cluster_leader(cluster, 0)->id - 1, other = NODES - victim - leader;
    sim_run_for(simulated.sim, 5ull * MS);
    simulated_kill(&simulated, leader);
    simulated_kill(&simulated, victim);
    simulated_start(&simulated, victim);
    assert_true(simulated_run_until(&simulated, 5000, opened, &victim));
    assert_true(end_is_known(victim)); /* the record has outlived it */
    assert_true(simulated_run_until(&simulated, 20000, is_led, NULL));
    assert_int_equal(cluster_leader(cluster, 0)->id, other + 1);
    assert_true(simulated_run_until(&simulated, 20000, is_led_and_repaired, &victim));
    simulated_propose(&simulated, 20, 1000);
    simulated_start(&simulated, leader);
    simulated_settle(&simulated);
}

/* One starts over, another one is harmed: nothing is lost either. */
static void test_one_starts_over_and_one_is_harmed(void **state)
{
    (void)state;
    if (cluster->entry_memory_bytes == 0)
        return;
    unsigned victim = begin_to_start_over();
    unsigned leader = cluster_leader(cluster, 0)->id - 1, other = NODES - victim - leader;
    sim_run_for(simulated.sim, 5ull * MS);
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, leader, POSITION);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 20000, is_led, NULL));
    assert_int_equal(cluster_leader(cluster, 0)->id, other + 1);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &leader));
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &victim));
}

static bool has_joined(void *data)
{
    struct test_group *t = &cluster->nodes[*(unsigned *)data].groups[0];
    uint64_t index;
    return t->open && group_joined(t->group, &index);
}

/* A new leader does not know yet what its predecessor had committed. What it announces must not pass for
 * everything that there was before a newcomer came, or the newcomer would take old partitions for new. */
static void test_a_newcomer_believes_ready_leaders_only(void **state)
{
    (void)state;
    simulated_propose(&simulated, 50, 100);
    simulated_settle(&simulated);
    uint64_t committed = cluster->committed;
    simulated_kill_all(&simulated);
    unsigned emptied = 2;
    cluster->abstains_when_new = true;
    simulated_empty(&simulated, emptied);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 5000, has_joined, &emptied));
    uint64_t index = 0;
    assert_true(group_joined(cluster->nodes[emptied].groups[0].group, &index));
    assert_true(index >= committed);
    simulated_settle(&simulated);
}

static bool has_heard_nobody(void *data)
{
    const struct test_node *node = &cluster->nodes[*(unsigned *)data];
    const struct test_group *t = &node->groups[0];
    uint64_t index;
    return t->open && !group_joined(t->group, &index) &&
           log_last_index(group_log(t->group)) > cluster->committed;
}

/* Made leader before any leader has told it what is committed, it knows that itself, and does not take old
 * partitions for new. */
static void test_a_newcomer_that_leads_at_once_knows_what_was_there(void **state)
{
    (void)state;
    simulated_propose(&simulated, 50, 100);
    simulated_settle(&simulated);
    uint64_t committed = cluster->committed;
    simulated_kill_all(&simulated);
    unsigned emptied = 2;
    cluster->abstains_when_new = true;
    simulated_empty(&simulated, emptied);
    for (unsigned i = 0; i < NODES; i++) /* it has the entries long before they are known to be committed */
        sim_disk_latency(simulated.hosts[i], 40ull * MS, 60ull * MS);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 5000, has_heard_nobody, &emptied));
    for (unsigned i = 0; i < NODES; i++)
        if (cluster->nodes[i].groups[0].role == GROUP_LEADER)
            simulated_kill(&simulated, i);
    assert_true(simulated_run_until(&simulated, 5000, has_joined, &emptied));
    uint64_t index = 0;
    assert_int_equal(cluster->nodes[emptied].groups[0].role, GROUP_LEADER);
    assert_true(group_joined(cluster->nodes[emptied].groups[0].group, &index));
    assert_true(index >= committed);
}

/* It knows no term, and nobody has told it one: that is no sign of having everything. */
static void test_one_that_has_lost_everything_waits_for_a_leader(void **state)
{
    (void)state;
    unsigned laggard = a_follower(), whole = cluster_leader(cluster, 0)->id - 1;
    unsigned emptied = NODES - laggard - whole;
    simulated_kill(&simulated, laggard);
    simulated_propose(&simulated, 50, 100);
    simulated_kill_all(&simulated);
    simulated_empty(&simulated, emptied);
    cluster->distrusted = emptied + 1;
    simulated_start(&simulated, emptied);
    simulated_start(&simulated, laggard);
    sim_run_for(simulated.sim, 5000ull * MS);
    assert_null(cluster_leader(cluster, 0));
    assert_true(simulated_is_damaged(&simulated, emptied));
    simulated_start(&simulated, whole);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &emptied));
}

static void test_a_failing_disk_stops_one_replica_only(void **state)
{
    (void)state;
    simulated_propose(&simulated, 50, 1000);
    unsigned leader = cluster_leader(cluster, 0)->id - 1;
    struct test_group *t = &cluster->nodes[leader].groups[0];
    sim_disk_fail_writes(simulated.hosts[leader], 1000000);
    for (int i = 0; i < 2000 && !t->failed; i++) {
        if (group_is_ready_leader(t->group))
            cluster_propose(cluster, &cluster->nodes[leader], 0, 100);
        sim_run_for(simulated.sim, MS);
    }
    assert_true(t->failed);
    assert_int_equal(group_role(t->group), GROUP_FAILED);
    uint64_t acked = cluster->acked;
    simulated_propose(&simulated, 50, 100);
    assert_true(cluster->acked >= acked + 50);
    assert_true(cluster_leader(cluster, 0)->id != leader + 1);
}

int main(void)
{
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down),                                                \
        cmocka_unit_test_setup_teardown(name, set_up_snapshots, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_is_repaired_from_the_leader),
        TEST(test_does_not_elect_a_laggard),
        TEST(test_does_not_vote_without_a_known_end),
        TEST(test_does_not_vote_with_an_old_journal),
        TEST(test_two_of_three_harmed_elect_the_third),
        TEST(test_a_harmed_one_loses_its_leader),
        TEST(test_one_that_starts_over_votes),
        TEST(test_one_starts_over_and_one_is_harmed),
        TEST(test_a_newcomer_believes_ready_leaders_only),
        TEST(test_a_newcomer_that_leads_at_once_knows_what_was_there),
        TEST(test_one_that_has_lost_everything_waits_for_a_leader),
        TEST(test_a_failing_disk_stops_one_replica_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
