/* A node that led hundreds of groups dies, and the others are slow to elect: the second in line must not get
 * into the first one's way, or both wait for a whole election time-out. On simulated disks. */
#include "helper_simulated.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    NODES = 3,
    GROUPS = 300,
    SLOW_SYNC_MS = 25, /* of a loaded disk; a vote has to wait for one or two syncs before it is sent */
    FAST_MS = 300      /* below the election time-out, which a split vote waits for */
};

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

/* Elected; its barrier may still be on its way to the slow disks. */
static bool has_elected(unsigned group)
{
    for (unsigned i = 0; i < NODES; i++)
        if (cluster->nodes[i].up && cluster->nodes[i].groups[group].role == GROUP_LEADER)
            return true;
    return false;
}

static bool all_have_elected(void *data)
{
    (void)data;
    for (unsigned group = 0; group < GROUPS; group++)
        if (!has_elected(group))
            return false;
    return true;
}

static bool all_are_led(void *data)
{
    (void)data;
    return has_leader(cluster, NULL);
}

static unsigned busiest_node(void)
{
    unsigned led[NODES] = {0}, busiest = 0;
    for (unsigned group = 0; group < GROUPS; group++)
        led[cluster_leader(cluster, group)->id - 1]++;
    for (unsigned i = 1; i < NODES; i++)
        busiest = led[i] > led[busiest] ? i : busiest;
    return busiest;
}

static void test_votes_of_hundreds_of_groups_do_not_split(void **state)
{
    (void)state;
    simulated_init(&simulated, NODES, GROUPS);
    simulated_start_all(&simulated);
    assert_true(simulated_run_until(&simulated, 20000, all_are_led, NULL));
    sim_run_for(simulated.sim, 2000ull * MS);
    for (unsigned i = 0; i < NODES; i++)
        sim_disk_latency(simulated.hosts[i], SLOW_SYNC_MS * MS, SLOW_SYNC_MS * MS);
    simulated_kill(&simulated, busiest_node());
    assert_true(simulated_run_until(&simulated, FAST_MS, all_have_elected, NULL));
    simulated_close(&simulated);
}

static unsigned leader_of_first(void)
{
    return cluster_leader(cluster, 0)->id - 1;
}

static bool is_led(void *data)
{
    (void)data;
    return cluster_leader(cluster, 0) != NULL;
}

/* Who has voted leaves the candidate the time for its syncs, whichever of the two has the slower disk. */
static void test_slow_syncs_depose_nobody(void **state)
{
    (void)state;
    for (unsigned slow_ms = 2; slow_ms <= 120; slow_ms += 2) {
        simulated_init(&simulated, NODES, 1);
        cluster->election_timeout_ms = 60000; /* a time-out would be noticed */
        cluster->heartbeat_ms = 100;
        simulated_bring_up(&simulated);
        simulated_propose(&simulated, 20, 100);
        unsigned leader = leader_of_first();
        for (unsigned i = 0; i < NODES; i++)
            sim_disk_latency(simulated.hosts[i], MS, slow_ms * MS);
        for (unsigned i = 0; i < 20; i++)
            cluster_propose(cluster, &cluster->nodes[leader], 0, 100);
        sim_run_for(simulated.sim, slow_ms % 7 * MS);
        simulated_kill(&simulated, leader);
        if (!simulated_run_until(&simulated, 3000, is_led, NULL))
            fail_msg("no leader with syncs of up to %u ms", slow_ms);
        simulated_close(&simulated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_votes_of_hundreds_of_groups_do_not_split),
                                       cmocka_unit_test(test_slow_syncs_depose_nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
