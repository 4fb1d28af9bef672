/* A node whose disk was replaced has forgotten what it had acknowledged and voted: until a leader has brought
 * it up to date it helps nobody to lead, however often it dies on the way. New groups form all the same. On
 * simulated disks. */
#include "helper_simulated.h"
#include "proto/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3, GROUP_ID = 1 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

static void init(void)
{
    simulated_init(&simulated, NODES, 1);
    cluster->abstains_when_new = true;
}

static int set_up(void **state)
{
    (void)state;
    init();
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

static unsigned the_leader(void)
{
    return cluster_leader(cluster, 0)->id - 1;
}

static unsigned a_follower(void)
{
    return the_leader() == NODES - 1 ? 0 : NODES - 1;
}

static const struct group *group_of(unsigned node)
{
    return cluster->nodes[node].groups[0].group;
}

static bool is_emptied(unsigned node)
{
    struct journal_group state;
    journal_get(cluster->nodes[node].journal, GROUP_ID, &state);
    return state.emptied;
}

static void start_all_but(unsigned node)
{
    for (unsigned i = 0; i < NODES; i++)
        if (i != node)
            simulated_start(&simulated, i);
}

/* Nobody hears it, nor does it hear anybody. */
static void cut_off(unsigned node)
{
    for (unsigned i = 0; i < NODES; i++)
        if (i != node) {
            sim_link_cut(simulated.hosts[node], simulated.hosts[i]);
            sim_link_cut(simulated.hosts[i], simulated.hosts[node]);
        }
}

static void replace_disk(unsigned node)
{
    simulated_kill(&simulated, node);
    simulated_empty(&simulated, node);
    simulated_start(&simulated, node);
}

/* ---- what is waited for ---- */

static bool opened(void *data)
{
    return node_is_open(&cluster->nodes[*(unsigned *)data]);
}

static void await_open(unsigned node)
{
    assert_true(simulated_run_until(&simulated, 5000, opened, &node));
}

static bool has_joined(void *data)
{
    unsigned node = *(unsigned *)data;
    return node_is_open(&cluster->nodes[node]) && group_joined(group_of(node));
}

static void await_joined(unsigned node)
{
    assert_true(simulated_run_until(&simulated, 20000, has_joined, &node));
}

static bool is_led(void *data)
{
    (void)data;
    return cluster_leader(cluster, 0) != NULL;
}

static void stays_without_leader(void)
{
    assert_false(simulated_run_until(&simulated, 5000, is_led, NULL));
}

/* Something has been stored, and not everything. */
static bool is_on_its_way(void *data)
{
    unsigned node = *(unsigned *)data;
    return node_is_open(&cluster->nodes[node]) && log_last_index(group_log(group_of(node))) > 1;
}

/* ---- a replaced disk ---- */

/* All are down, and one has lost its disk. */
static unsigned lose_a_disk(void)
{
    enum { EMPTIED = 2 };
    simulated_propose(&simulated, 50, 100);
    simulated_settle(&simulated);
    simulated_kill_all(&simulated);
    simulated_empty(&simulated, EMPTIED);
    return EMPTIED;
}

static void knows_what_was_there(unsigned node, uint64_t committed)
{
    await_joined(node);
    assert_int_equal(cluster->nodes[node].groups[0].joins, 1);
    assert_true(cluster->nodes[node].groups[0].joined_at >= committed);
    assert_false(simulated_is_damaged(&simulated, node));
    simulated_settle(&simulated);
}

/* A new leader does not know yet what its predecessor had committed. What it announces must not pass for
 * everything that there was before a newcomer came, or the newcomer would take old partitions for new. */
static void test_believes_ready_leaders_only(void **state)
{
    (void)state;
    unsigned emptied = lose_a_disk();
    uint64_t committed = cluster->committed;
    simulated_start_all(&simulated);
    knows_what_was_there(emptied, committed);
}

/* It has heard of terms, from candidates, but of nothing that is committed: it is as new as before. */
static void starts_again_before_any_leader(bool harmed)
{
    unsigned emptied = lose_a_disk();
    uint64_t committed = cluster->committed;
    simulated_start(&simulated, emptied);
    await_open(emptied);
    journal_put_hard_state(cluster->nodes[emptied].journal, GROUP_ID, 9, 0);
    if (harmed)
        journal_put_damaged(cluster->nodes[emptied].journal, GROUP_ID, true);
    sim_run_for(simulated.sim, 100ull * MS);
    simulated_kill(&simulated, emptied);
    simulated_start(&simulated, emptied);
    await_open(emptied);
    assert_false(group_joined(group_of(emptied)));
    start_all_but(emptied);
    knows_what_was_there(emptied, committed);
}

static void test_starts_again_before_any_leader(void **state)
{
    (void)state;
    starts_again_before_any_leader(false);
}

static void test_starts_again_harmed_before_any_leader(void **state)
{
    (void)state;
    starts_again_before_any_leader(true);
}

/* One lags, one has lost its disk and dies again while the leader fills it, and then the leader dies. The
 * laggard lacks what the other two had acknowledged. */
static void dies_while_it_joins(bool after_a_restart)
{
    unsigned leader = the_leader(), laggard = a_follower(), emptied = NODES - leader - laggard;
    uint64_t committed;
    if (after_a_restart) { /* the leader is none that founded the group */
        simulated_kill_all(&simulated);
        simulated_start_all(&simulated);
        assert_true(simulated_run_until(&simulated, 20000, is_led, NULL));
        leader = the_leader(), laggard = a_follower(), emptied = NODES - leader - laggard;
    }
    simulated_propose(&simulated, 100, 1000);
    simulated_settle(&simulated);
    cut_off(laggard);
    simulated_propose(&simulated, 1000, 10000);
    committed = cluster->committed;
    sim_disk_latency(simulated.hosts[emptied], 10ull * MS, 20ull * MS);
    replace_disk(emptied);
    assert_true(simulated_run_until(&simulated, 5000, is_on_its_way, &emptied));
    assert_true(log_last_index(group_log(group_of(emptied))) < committed);
    simulated_kill(&simulated, leader);
    simulated_kill(&simulated, emptied);
    sim_heal_all(simulated.sim);
    simulated_start(&simulated, emptied);
    await_open(emptied);
    assert_false(group_joined(group_of(emptied)));
    stays_without_leader();
    assert_true(is_emptied(emptied));
    simulated_start(&simulated, leader);
    knows_what_was_there(emptied, committed);
    assert_false(is_emptied(emptied));
}

static void test_dies_while_it_joins(void **state)
{
    (void)state;
    dies_while_it_joins(true);
}

/* The group's first leader leads still, and remembers that this one was no stranger. */
static void test_dies_while_it_joins_the_founder(void **state)
{
    (void)state;
    dies_while_it_joins(false);
}

static void test_votes_once_it_has_joined(void **state)
{
    (void)state;
    unsigned leader = the_leader(), emptied = a_follower();
    simulated_propose(&simulated, 50, 100);
    replace_disk(emptied);
    await_joined(emptied);
    simulated_settle(&simulated);
    simulated_kill(&simulated, leader);
    simulated_propose(&simulated, 50, 100);
}

/* ---- a deposed leader ---- */

static bool propose_all(struct test_node *node)
{
    bool taken = true;
    for (int i = 0; i < 20 && taken; i++)
        taken = cluster_propose(cluster, node, 0, 100);
    return taken;
}

/* A leader stood still while the others elected another one. One of the two has lost its disk since, and
 * hears the old one first, which is cut off from the new one, and believes in itself still. */
static unsigned depose(unsigned *emptied)
{
    unsigned old = the_leader(), leader;
    simulated_propose(&simulated, 50, 100);
    simulated_settle(&simulated);
    sim_host_freeze(simulated.hosts[old]);
    cut_off(old);
    for (leader = old; leader == old; leader = the_leader())
        sim_run_for(simulated.sim, MS);
    simulated_propose(&simulated, 50, 100);
    *emptied = NODES - old - leader;
    cut_off(leader);
    sim_link_heal(simulated.hosts[old], simulated.hosts[*emptied]);
    sim_link_heal(simulated.hosts[*emptied], simulated.hosts[old]);
    replace_disk(*emptied);
    sim_host_thaw(simulated.hosts[old]);
    return old;
}

static void test_helps_no_deposed_leader(void **state)
{
    unsigned emptied, old = depose(&emptied);
    uint64_t acked = cluster->acked, committed = cluster->committed;
    (void)state;
    assert_true(propose_all(&cluster->nodes[old]));
    assert_true(simulated_run_until(&simulated, 1000, is_on_its_way, &emptied));
    sim_run_for(simulated.sim, 2000ull * MS);
    assert_int_equal(cluster->acked, acked);
    assert_false(group_joined(group_of(emptied)));
    sim_heal_all(simulated.sim);
    knows_what_was_there(emptied, committed);
}

static void on_read(struct read_index_req *req, int status)
{
    *(int *)req->data = status;
}

/* Nor does it confirm to it that it leads. */
static void test_confirms_no_deposed_leader(void **state)
{
    unsigned emptied, old = depose(&emptied);
    int status = 1;
    struct read_index_req req = {.data = &status};
    (void)state;
    assert_true(propose_all(&cluster->nodes[old]));
    assert_true(simulated_run_until(&simulated, 1000, is_on_its_way, &emptied));
    assert_int_equal(group_read_index((struct group *)group_of(old), &req, on_read), 0);
    sim_run_for(simulated.sim, 2000ull * MS);
    assert_int_equal(status, ERR_NOT_LEADER);
}

/* Nothing is written, so that the leader must have an entry of its own to prove that it leads. */
static void test_joins_an_idle_group(void **state)
{
    unsigned emptied = a_follower();
    (void)state;
    simulated_propose(&simulated, 50, 100);
    simulated_settle(&simulated);
    uint64_t committed = cluster->committed;
    replace_disk(emptied);
    knows_what_was_there(emptied, committed);
}

/* Without the others' word there is none. */
static void test_does_not_join_without_a_majority(void **state)
{
    unsigned leader = the_leader(), laggard = a_follower(), emptied = NODES - leader - laggard;
    (void)state;
    simulated_propose(&simulated, 50, 100);
    simulated_settle(&simulated);
    cut_off(laggard);
    replace_disk(emptied);
    assert_true(simulated_run_until(&simulated, 5000, is_on_its_way, &emptied));
    sim_run_for(simulated.sim, 2000ull * MS);
    assert_false(group_joined(group_of(emptied)));
    sim_heal_all(simulated.sim);
    await_joined(emptied);
}

/* ---- forming ---- */

/* It was never there: there is nothing that it could have forgotten. */
static void test_a_founder_may_come_late(void **state)
{
    enum { LATE = 2 };
    (void)state;
    init();
    start_all_but(LATE);
    simulated_propose(&simulated, 50, 100);
    simulated_start(&simulated, LATE);
    await_joined(LATE);
    simulated_settle(&simulated);
    assert_int_equal(cluster->nodes[LATE].groups[0].joins, 0);
    assert_false(is_emptied(LATE));
}

/* In all moments of the first half second, and one of them at another moment than the others. */
static void test_dying_while_it_forms_leaves_no_deadlock(void **state)
{
    enum { ROUNDS = 60 };
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        init();
        for (unsigned i = 0; i < NODES; i++)
            sim_disk_latency(simulated.hosts[i], MS, (1 + round % 7) * MS);
        simulated_start_all(&simulated);
        sim_run_for(simulated.sim, round * 8 * MS);
        simulated_crash(&simulated, (unsigned)(round % NODES));
        sim_run_for(simulated.sim, round % 5 * MS);
        for (unsigned i = 0; i < NODES; i++)
            if (i != round % NODES)
                simulated_crash(&simulated, i);
        simulated_start_all(&simulated);
        assert_true(simulated_run_until(&simulated, 20000, simulated_is_settled, &simulated));
        simulated_propose(&simulated, 1, 100);
        simulated_close(&simulated);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_believes_ready_leaders_only),
        TEST(test_starts_again_before_any_leader),
        TEST(test_starts_again_harmed_before_any_leader),
        TEST(test_dies_while_it_joins),
        TEST(test_dies_while_it_joins_the_founder),
        TEST(test_votes_once_it_has_joined),
        TEST(test_helps_no_deposed_leader),
        TEST(test_confirms_no_deposed_leader),
        TEST(test_joins_an_idle_group),
        TEST(test_does_not_join_without_a_majority),
        cmocka_unit_test_teardown(test_a_founder_may_come_late, tear_down),
        cmocka_unit_test(test_dying_while_it_forms_leaves_no_deadlock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
