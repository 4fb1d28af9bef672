/* A replica whose files were damaged neither votes nor campaigns until a leader has made it whole. On
 * simulated disks. */
#include "helper_simulated.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3, POSITION = 3000 };

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

static void test_does_not_vote(void **state)
{
    (void)state;
    simulated_propose(&simulated, 500, 1000);
    sim_run_for(simulated.sim, 3000ull * MS);
    unsigned victim = a_follower();
    unsigned leader = cluster_leader(cluster, 0)->id - 1;
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, POSITION);
    /* The damaged one and the other follower: a majority by number, but not of memories. */
    for (unsigned i = 0; i < NODES; i++)
        if (i != leader)
            simulated_start(&simulated, i);
    assert_true(simulated_run_until(&simulated, 5000, opened, &victim));
    assert_true(simulated_is_damaged(&simulated, victim));
    sim_run_for(simulated.sim, 5000ull * MS);
    assert_null(cluster_leader(cluster, 0));
    /* With the third one there is a leader, and a repair. */
    simulated_start(&simulated, leader);
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &victim));
    /* From then on it counts again. */
    simulated_kill(&simulated, cluster_leader(cluster, 0)->id - 1);
    simulated_settle(&simulated);
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
        TEST(test_does_not_vote),
        TEST(test_a_newcomer_believes_ready_leaders_only),
        TEST(test_a_newcomer_that_leads_at_once_knows_what_was_there),
        TEST(test_one_that_has_lost_everything_waits_for_a_leader),
        TEST(test_a_failing_disk_stops_one_replica_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
