/* A replica dies while it is being sent files: what it has fetched is much more than its core may hold in
 * memory, and is not the core's yet. On simulated disks. */
#include "helper_simulated.h"
#include "node/consensus/group_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3, GROUP_ID = 1, BUDGET = 64 * 1024, PAYLOAD = 20000, BATCHES = 400 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;
static unsigned behind; /* node */

static struct test_node *third(void)
{
    return &cluster->nodes[(behind + 1) % NODES];
}

/* The third one keeps everything in memory. */
static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 1);
    cluster->entry_memory_bytes = BUDGET;
    simulated_bring_up(&simulated);
    simulated_propose(&simulated, 20, 1000);
    simulated_settle(&simulated);
    behind = cluster_leader(cluster, 0)->id % NODES;
    third()->consensus->options.entry_memory_bytes = 1 << 30;
    simulated_kill(&simulated, behind);
    simulated_propose(&simulated, BATCHES, PAYLOAD);
    simulated_start(&simulated, behind);
    return 0;
}

static struct group *group(void)
{
    return cluster->nodes[behind].groups[0].group;
}

static size_t bytes_in_memory(void)
{
    const struct group *g = group();
    size_t bytes = 0;
    for (uint64_t index = g->raft.log.offset + 1; group_entry(g, index); index++)
        bytes += entry_size(group_entry(g, index));
    return bytes;
}

static bool has_fetched(void *data)
{
    return node_is_open(&cluster->nodes[behind]) &&
           log_durable_index(group_log(group())) > raft_last_index(&group()->raft) + *(unsigned *)data;
}

static bool is_open(void *data)
{
    (void)data;
    return node_is_open(&cluster->nodes[behind]);
}

static void restart(void)
{
    simulated_kill(&simulated, behind);
    simulated_start(&simulated, behind);
    assert_true(simulated_run_until(&simulated, 5000, is_open, NULL));
}

static void fetch_more_than(unsigned entries)
{
    assert_true(simulated_run_until(&simulated, 20000, has_fetched, &entries));
}

static void test_what_was_fetched_is_not_loaded(void **state)
{
    (void)state;
    fetch_more_than(BATCHES / 2);
    restart();
    assert_true(bytes_in_memory() < BUDGET);
    simulated_settle(&simulated);
    assert_int_equal(group()->raft.last_applied, cluster->committed);
}

/* Nor is it fetched again: the catch-up goes on where it stood. */
static void test_it_goes_on_where_it_stood(void **state)
{
    (void)state;
    uint64_t twice = 0;
    for (unsigned round = 1; round <= 3; round++) {
        fetch_more_than(round * BATCHES / 5);
        uint64_t had = log_durable_index(group_log(group()));
        restart();
        assert_true(bytes_in_memory() < BUDGET);
        assert_true(log_last_index(group_log(group())) >= had);
        twice += group()->consensus->counts.catchup_bytes;
    }
    simulated_settle(&simulated);
    assert_true(group()->consensus->counts.catchup_bytes < (uint64_t)BATCHES * PAYLOAD * 3 / 4);
    assert_int_equal(twice, 0);
}

static uint64_t fetched_from(void)
{
    struct journal_group state;
    journal_get(cluster->nodes[behind].journal, GROUP_ID, &state);
    return state.fetched_from;
}

static void check_that_all_is_its_own(void)
{
    simulated_propose(&simulated, 5, 1000);
    sim_run_for(simulated.sim, 500ull * MS);
    assert_int_equal(fetched_from(), 0);
    uint64_t last = raft_last_index(&group()->raft);
    assert_int_equal(last, raft_last_index(&cluster_leader(cluster, 0)->groups[0].group->raft));
    simulated_kill_all(&simulated);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 5000, is_open, NULL));
    assert_true(raft_last_index(&group()->raft) >= last);
    simulated_settle(&simulated);
}

static void test_what_is_installed_is_its_own(void **state)
{
    (void)state;
    fetch_more_than(BATCHES / 2);
    assert_true(fetched_from() != 0);
    simulated_settle(&simulated);
    check_that_all_is_its_own();
}

static void test_what_replaces_it_is_its_own(void **state)
{
    (void)state;
    fetch_more_than(BATCHES / 2);
    uint64_t had = log_last_index(group_log(group()));
    struct test_node *leader = cluster_leader(cluster, 0);
    assert_ptr_not_equal(leader, third());
    simulated_kill(&simulated, leader->id - 1);
    simulated_propose(&simulated, 5, 1000);
    assert_ptr_equal(cluster_leader(cluster, 0), third());
    assert_true(raft_last_index(&group()->raft) > had);
    assert_int_equal(group()->consensus->counts.catchups_done, 0);
    check_that_all_is_its_own();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, simulated_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_fetched_is_not_loaded),
        TEST(test_it_goes_on_where_it_stood),
        TEST(test_what_is_installed_is_its_own),
        TEST(test_what_replaces_it_is_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
