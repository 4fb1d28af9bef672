/* The defect that guard G1 makes up for, step by step, on simulated nodes: an old leader's stale suffix is
 * taken for a match, so that the new leader acknowledges records that only itself has. */
#include "helper_cluster.h"
#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MS = 1000000 };

static struct test_cluster cluster;
static struct sim *sim;
static struct sim_host *hosts[3];

static void start(unsigned i)
{
    struct test_node *node = &cluster.nodes[i];
    node->env = sim_host_env(hosts[i]) ? sim_host_env(hosts[i]) : sim_host_restart(hosts[i]);
    node_start(node);
}

static void set_up(unsigned guards, uint64_t seed)
{
    sim = sim_create(seed);
    cluster_init_bare(&cluster, 3, 1);
    cluster.guards = guards;
    for (unsigned i = 0; i < 3; i++) {
        struct test_node *node = &cluster.nodes[i];
        snprintf(node->host, sizeof node->host, "n%u", i + 1);
        node->port = 9292;
        hosts[i] = sim_host_create(sim, node->host);
        start(i);
    }
}

static void tear_down(void)
{
    sim_destroy(sim);
    for (unsigned i = 0; i < 3; i++)
        cluster.nodes[i].logger = NULL;
    cluster_close(&cluster);
}

static bool settled(void *data)
{
    (void)data;
    return all_open(&cluster, NULL) && has_leader(&cluster, NULL);
}

static bool other_leads(void *data)
{
    struct test_node *leader = cluster_leader(&cluster, 0);
    return leader && leader != data;
}

static bool acked(void *data)
{
    return cluster.acked >= *(uint64_t *)data;
}

static void propose(unsigned i, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        assert_true(cluster_propose(&cluster, &cluster.nodes[i], 0, 100));
}

static void link_both(unsigned a, unsigned b, bool cut)
{
    (cut ? sim_link_cut : sim_link_heal)(hosts[a], hosts[b]);
    (cut ? sim_link_cut : sim_link_heal)(hosts[b], hosts[a]);
}

static unsigned play(void)
{
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
    unsigned old = cluster_leader(&cluster, 0)->id - 1;
    uint64_t target = 50;
    propose(old, 50);
    assert_true(sim_run_until(sim, 1000ull * MS, acked, &target));

    /* The old leader alone writes a long suffix. */
    sim_host_isolate(hosts[old]);
    propose(old, 300);
    assert_true(sim_run_until(sim, 5000ull * MS, other_leads, &cluster.nodes[old]));
    unsigned leader = cluster_leader(&cluster, 0)->id - 1;
    unsigned third = 3 - old - leader;
    target = cluster.acked + 100;
    propose(leader, 100);
    assert_true(sim_run_until(sim, 1000ull * MS, acked, &target));

    /* The new leader writes alone, too, and is then heard by the old one, whose disk is slow. */
    link_both(leader, third, true);
    target = cluster.acked + 50;
    propose(leader, 50);
    sim_run_for(sim, 2 * MS);
    sim_disk_latency(hosts[old], 60ull * MS, 70ull * MS);
    link_both(leader, old, false);
    assert_true(sim_run_until(sim, 2000ull * MS, acked, &target));

    /* It has just acknowledged: who has the last record on disk, and not the old leader's suffix of the first
     * term? */
    uint64_t index = group_commit_index(cluster.nodes[leader].groups[0].group);
    unsigned copies = 0;
    for (unsigned i = 0; i < 3; i++)
        copies += log_durable_index(group_log(cluster.nodes[i].groups[0].group)) >= index &&
                  (i != old || log_last_term(group_log(cluster.nodes[i].groups[0].group)) > 2);
    return copies;
}

static unsigned copies_when_acknowledged(unsigned guards, uint64_t seed)
{
    set_up(guards, seed);
    unsigned copies = play();
    tear_down();
    return copies;
}

static void test_with_the_guard_a_majority_has_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_true(copies_when_acknowledged(GUARD_ALL, seed) >= 2);
}

static void test_without_it_one_node_alone_has_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_int_equal(copies_when_acknowledged(GUARD_ALL & ~(unsigned)GUARD_ACK_CAP, seed), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_the_guard_a_majority_has_it),
        cmocka_unit_test(test_without_it_one_node_alone_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
