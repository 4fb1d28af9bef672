/* What the groups of a node hold in memory together. On simulated hosts. */
#include "helper_simulated.h"
#include "node/consensus/entry_memory.h"
#include "node/consensus/group_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 3, GROUPS = 12, OWN_BYTES = 256 << 10, TOTAL_BYTES = 2 << 20, PAYLOAD = 4000 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

/* Whatever one group does, a share of the second half is left to each. */
static void test_the_second_half_is_shared(void **state)
{
    struct consensus consensus;
    struct group groups[GROUPS];
    (void)state;
    memset(&consensus, 0, sizeof consensus);
    memset(groups, 0, sizeof groups);
    consensus.options.entry_memory_bytes = OWN_BYTES;
    consensus.options.entry_memory_total_bytes = TOTAL_BYTES;
    for (unsigned i = 0; i < GROUPS; i++) {
        groups[i].consensus = &consensus;
        group_map_add(&consensus.groups_by_id, i + 1, &groups[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        entry_memory_add(&groups[i], OWN_BYTES);
        assert_int_equal(entry_memory_budget(&groups[i]), OWN_BYTES);
    }
    entry_memory_add(&groups[4], 1);
    assert_int_equal(entry_memory_budget(&groups[5]), TOTAL_BYTES / 2 / GROUPS);
    assert_int_equal(entry_memory_budget(&groups[0]), TOTAL_BYTES / 2 / GROUPS);
    entry_memory_set(&groups[0], OWN_BYTES / 2);
    assert_int_equal(entry_memory_budget(&groups[0]), OWN_BYTES);
    assert_int_equal(consensus.entry_bytes, 3 * OWN_BYTES + OWN_BYTES / 2 + 1);
    /* Never so little that every entry would make a snapshot. */
    consensus.options.entry_memory_total_bytes = 1;
    assert_int_equal(entry_memory_budget(&groups[0]), 64 << 10);
    group_map_close(&consensus.groups_by_id);
}

static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, GROUPS);
    cluster->entry_memory_bytes = OWN_BYTES;
    cluster->entry_memory_total_bytes = TOTAL_BYTES;
    simulated_bring_up(&simulated);
    return 0;
}

static uint64_t most_held(void)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < NODES; i++) {
        uint64_t bytes = cluster->nodes[i].consensus->entry_bytes;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static uint64_t load_all(unsigned rounds)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned group = 0; group < GROUPS; group++) {
            struct test_node *leader = cluster_leader(cluster, group);
            if (leader)
                cluster_propose(cluster, leader, group, PAYLOAD);
        }
        sim_run_for(simulated.sim, MS);
        most = most_held() > most ? most_held() : most;
    }
    return most;
}

static uint64_t counted_of(const struct group *g)
{
    uint64_t bytes = 0;
    for (uint64_t index = g->raft.last_applied; index > g->raft.log.offset; index--)
        bytes += entry_size(group_entry(g, index));
    return bytes;
}

static void test_all_groups_under_load(void **state)
{
    (void)state;
    uint64_t most = load_all(300);
    assert_true(most > TOTAL_BYTES / 2);
    assert_true(most <= TOTAL_BYTES);
    /* What is counted is what is there. */
    simulated_settle(&simulated);
    for (unsigned i = 0; i < NODES; i++) {
        uint64_t sum = 0;
        for (unsigned group = 0; group < GROUPS; group++)
            sum += counted_of(cluster->nodes[i].groups[group].group);
        assert_in_range(cluster->nodes[i].consensus->entry_bytes, sum - sum / 10, sum + sum / 10);
    }
}

/* What a node keeps of what it reads at its start counts as well. */
static void test_after_a_restart(void **state)
{
    (void)state;
    load_all(300);
    simulated_settle(&simulated);
    simulated_kill_all(&simulated);
    simulated_start_all(&simulated);
    simulated_settle(&simulated);
    assert_in_range(most_held(), 1, TOTAL_BYTES);
    assert_true(load_all(300) <= TOTAL_BYTES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, simulated_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_second_half_is_shared),
        TEST(test_all_groups_under_load),
        TEST(test_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
