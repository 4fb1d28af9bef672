/* Idle groups cost little, and are there at once when something happens. On simulated hosts. */
#include "helper_simulated.h"
#include "node/consensus/group_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3, QUIET_MS = 2000, IDLE_MS = 10000 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 1);
    simulated_bring_up(&simulated);
    simulated_propose(&simulated, 10, 100);
    sim_run_for(simulated.sim, (uint64_t)QUIET_MS * MS);
    return 0;
}

static struct group *leader(void)
{
    return cluster_leader(cluster, 0)->groups[0].group;
}

static void test_idle_groups_beat_half_as_often(void **state)
{
    (void)state;
    const uint64_t *sent = &cluster_leader(cluster, 0)->consensus->counts.messages_sent;
    uint64_t before = *sent, term = group_term(leader());
    uint64_t beats = (NODES - 1) * IDLE_MS / cluster->heartbeat_ms;
    sim_run_for(simulated.sim, (uint64_t)IDLE_MS * MS);
    assert_in_range(*sent - before, beats * 2 / 5, beats * 3 / 4);
    assert_int_equal(group_term(leader()), term);
    /* And in full once something is appended. */
    simulated_propose(&simulated, 1, 100);
    before = *sent;
    sim_run_for(simulated.sim, 500ull * MS);
    assert_true(*sent - before >= (NODES - 1) * (500 / cluster->heartbeat_ms - 3));
}

/* Followers hear what is committed no later than with all heartbeats. */
static void test_a_commit_gets_around(void **state)
{
    (void)state;
    simulated_propose(&simulated, 1, 100);
    assert_true(simulated_run_until(&simulated, 2 * cluster->heartbeat_ms, simulated_is_settled, &simulated));
}

static bool is_led_by_another(void *data)
{
    for (unsigned i = 0; i < NODES; i++) {
        const struct test_group *t = &cluster->nodes[i].groups[0];
        if (cluster->nodes[i].id != *(uint32_t *)data && group_is_ready_leader(t->group))
            return true;
    }
    return false;
}

static void test_a_silent_leader_is_replaced_in_time(void **state)
{
    (void)state;
    uint32_t silent = cluster_leader(cluster, 0)->id;
    sim_host_isolate(simulated.hosts[silent - 1]);
    /* Two rounds: the first may split the vote. */
    assert_true(
        simulated_run_until(&simulated, 4 * cluster->election_timeout_ms, is_led_by_another, &silent));
    sim_host_rejoin(simulated.hosts[silent - 1]);
    simulated_settle(&simulated);
}

static void test_a_leader_in_the_minority_steps_down(void **state)
{
    (void)state;
    struct group *old = leader();
    uint32_t silent = cluster_leader(cluster, 0)->id;
    sim_host_isolate(simulated.hosts[silent - 1]);
    sim_run_for(simulated.sim, 3 * cluster->election_timeout_ms * MS);
    assert_int_not_equal(group_role(old), GROUP_LEADER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, simulated_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_idle_groups_beat_half_as_often),
        TEST(test_a_commit_gets_around),
        TEST(test_a_silent_leader_is_replaced_in_time),
        TEST(test_a_leader_in_the_minority_steps_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
