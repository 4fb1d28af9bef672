/* Two of three replicas lose a part of a log at a moment at which the third has everything: at no other
 * moment, and the cluster repairs it. */
#include "ground.h"
#include "tests/sim/env_sim.h"
#include "tests/sim/nemesis_pair.h"
#include "tests/sim/probe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct ground ground;
static unsigned damaged; /* a mask of nodes seen with a damaged replica */

static void look_for_damage(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    (void)p;
    if (probe_is_damaged(g))
        *(unsigned *)data |= 1u << (n->id - 1);
}

static unsigned look_at_damage(struct ground *g)
{
    unsigned now = 0;
    for (unsigned i = 0; i < GROUND_NODES; i++)
        if (cluster_node_works(&g->cluster.nodes[i]))
            cluster_each_group(&g->cluster.nodes[i], look_for_damage, &now);
    damaged |= now;
    return now;
}

static unsigned count_down(const struct ground *g)
{
    unsigned down = 0;
    for (unsigned i = 0; i < GROUND_NODES; i++)
        down += g->cluster.nodes[i].node == NULL;
    return down;
}

static bool can_harm(struct ground *g)
{
    struct sim_node *first = &g->cluster.nodes[sim_random(g->sim, GROUND_NODES)];
    return cluster_node_works(first) && nemesis_harm_pair(&g->cluster, first);
}

static bool was_found(struct ground *g)
{
    look_at_damage(g);
    return __builtin_popcount(damaged) == 2;
}

static bool is_whole(struct ground *g)
{
    return look_at_damage(g) == 0 && count_down(g) == 0;
}

/* Nothing was written: no segment is finished. */
static void test_not_without_a_finished_segment(void **state)
{
    (void)state;
    ground_begin(&ground, 5, 0, 0);
    ground_run(&ground, 200);
    for (unsigned i = 0; i < GROUND_NODES; i++)
        assert_false(nemesis_harm_pair(&ground.cluster, &ground.cluster.nodes[i]));
    assert_int_equal(count_down(&ground), 0);
}

static void test_harmed_and_repaired(void **state)
{
    (void)state;
    ground_begin(&ground, 5, 0, 0);
    ground.workload.value_bytes = 4000; /* so that segments are finished soon */
    workload_start(&ground.workload);
    assert_true(ground_run_until(&ground, 20000, can_harm));
    assert_int_equal(counters_get(&ground.counters, "pairs_harmed"), 1);
    assert_int_equal(count_down(&ground), 2);
    unsigned harmed = 0;
    for (unsigned i = 0; i < GROUND_NODES; i++)
        harmed |= (unsigned)(ground.cluster.nodes[i].node == NULL) << i;
    damaged = 0;
    assert_true(ground_run_until(&ground, 10000, was_found));
    assert_int_equal(damaged, harmed);
    assert_true(ground_run_until(&ground, 20000, is_whole));
    assert_int_equal(damaged, harmed);
    assert_string_equal(ground.history.violation, "");
}

/* The third might lack something. */
static void test_not_while_one_is_down(void **state)
{
    (void)state;
    ground_begin(&ground, 5, 0, 0);
    ground.workload.value_bytes = 4000; /* so that segments are finished soon */
    ground.workload.value_bytes = 4000;
    workload_start(&ground.workload);
    ground_run(&ground, 12000);
    cluster_kill(&ground.cluster.nodes[2], 60000 * (uint64_t)GROUND_MS);
    for (unsigned ms = 0; ms < 1000; ms++) {
        ground_step(&ground);
        for (unsigned i = 0; i < 2; i++)
            assert_false(nemesis_harm_pair(&ground.cluster, &ground.cluster.nodes[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_without_a_finished_segment),
        cmocka_unit_test(test_harmed_and_repaired),
        cmocka_unit_test(test_not_while_one_is_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
