/* Plots do what plot.h says, in that order, and leave nothing behind. */
#include "ground.h"
#include "tests/sim/env_sim.h"
#include "tests/sim/env_sim_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define F(name) (1u << FAULT_##name)

static struct ground ground;

static void test_names(void **state)
{
    unsigned kind = PLOTS;
    (void)state;
    for (unsigned k = 0; k < PLOTS; k++) {
        assert_true(plot_parse(plot_name((enum plot_kind)k), &kind));
        assert_int_equal(kind, k);
    }
    assert_false(plot_parse("comedy", &kind));
}

static void test_only_what_may_occur(void **state)
{
    unsigned drawn[PLOTS] = {0};
    (void)state;
    struct sim *sim = sim_create(7);
    assert_int_equal(plot_choose(sim, F(ISOLATE), PLOT_DEPOSED), PLOT_DEPOSED);
    assert_int_equal(plot_choose(sim, F(ISOLATE), PLOT_AMNESIA), NO_PLOT);
    assert_int_equal(plot_choose(sim, F(CUT), PLOT_AMNESIA), NO_PLOT);
    assert_int_equal(plot_choose(sim, F(CUT) | F(KILL), PLOT_AMNESIA), PLOT_AMNESIA);
    assert_int_equal(plot_choose(sim, FAULTS_ALL, NO_PLOT), NO_PLOT);
    for (unsigned i = 0; i < 200; i++) {
        drawn[plot_choose(sim, FAULTS_ALL, PLOT_OF_SEED)]++;
        assert_int_equal(plot_choose(sim, 0, PLOT_OF_SEED), NO_PLOT);
    }
    assert_int_equal(drawn[PLOT_OF_SEED], 0);
    for (unsigned k = NO_PLOT; k < PLOTS; k++)
        assert_true(drawn[k] > 0);
    sim_destroy(sim);
}

static bool is_under_way(struct ground *g)
{
    return g->nemesis.plot.phase > 0;
}

static bool is_over(struct ground *g)
{
    return g->nemesis.plot.phase == 0;
}

static bool is_cut(const struct sim_host *a, const struct sim_host *b)
{
    return a->sim->cut[a->index][b->index] && b->sim->cut[b->index][a->index];
}

static void assert_mended(const struct ground *g)
{
    for (unsigned i = 0; i < g->sim->host_count; i++) {
        assert_int_equal(g->sim->hosts[i]->drift_ppm, 0);
        for (unsigned k = 0; k < g->sim->host_count; k++)
            assert_false(g->sim->cut[i][k]);
    }
    for (unsigned i = 0; i < GROUND_NODES; i++)
        assert_false(g->cluster.nodes[i].frozen);
}

/* With users: what is led, and by whom, is theirs. */
static void begin(unsigned faults, enum plot_kind plot)
{
    ground_begin(&ground, 3, 0, 0);
    workload_start(&ground.workload);
    ground_run(&ground, 500);
    ground_plot(&ground, faults, plot);
}

static void test_deposed(void **state)
{
    (void)state;
    begin(F(ISOLATE), PLOT_DEPOSED);
    assert_true(ground_run_until(&ground, 5000, is_under_way));
    const struct sim_node *leader = ground.nemesis.plot.node;
    for (unsigned i = 0; i < GROUND_NODES; i++)
        if (&ground.cluster.nodes[i] != leader)
            assert_true(is_cut(leader->host, ground.cluster.nodes[i].host));
    assert_false(is_cut(leader->host, ground.workload.admin_host));
    for (unsigned i = 0; i < WORKLOAD_MACHINES; i++) {
        bool believes = (ground.nemesis.plot.believers >> i & 1) != 0;
        assert_int_equal(is_cut(leader->host, ground.workload.machines[i].host), !believes);
    }
    assert_true(leader->host->drift_ppm < 0);
    assert_true(ground_run_until(&ground, 10000, is_over));
    assert_int_equal(counters_get(&ground.counters, "plot deposed"), 1);
    assert_mended(&ground);
}

static bool a_voter_was_betrayed(struct ground *g)
{
    return counters_get(&g->counters, "voters_betrayed") > 0;
}

static void test_betrayed(void **state)
{
    (void)state;
    begin(F(CRASH) | F(SPLIT), PLOT_BETRAYED);
    assert_true(ground_run_until(&ground, 5000, is_under_way));
    const struct sim_node *voter = ground.nemesis.plot.node;
    unsigned life = voter->life;
    for (unsigned i = 0; i < GROUND_NODES; i++) /* its candidates do not see each other */
        for (unsigned k = 0; k < GROUND_NODES; k++) {
            const struct sim_node *a = &ground.cluster.nodes[i], *b = &ground.cluster.nodes[k];
            assert_int_equal(is_cut(a->host, b->host), a != b && a != voter && b != voter);
        }
    assert_true(ground_run_until(&ground, 20000, a_voter_was_betrayed));
    assert_true(voter->node == NULL || voter->life > life); /* it may be back at once */
    assert_true(ground_run_until(&ground, 10000, is_over));
    assert_mended(&ground);
}

static bool all_was_forgotten(struct ground *g)
{
    return counters_get(&g->counters, "plot amnesia complete") > 0;
}

static void test_amnesia(void **state)
{
    unsigned lives[GROUND_NODES];
    (void)state;
    begin(F(CUT) | F(KILL), PLOT_AMNESIA);
    assert_true(ground_run_until(&ground, 10000, is_under_way));
    const struct sim_host *deaf = ground.workload.machines[ground.nemesis.plot.machine].host;
    for (unsigned i = 0; i < GROUND_NODES; i++) {
        const struct sim_host *node = ground.cluster.nodes[i].host;
        assert_true(ground.sim->cut[node->index][deaf->index]);
        assert_false(ground.sim->cut[deaf->index][node->index]);
        lives[i] = ground.cluster.nodes[i].life;
    }
    assert_true(ground_run_until(&ground, 60000, all_was_forgotten));
    assert_true(ground_run_until(&ground, 10000, is_over));
    for (unsigned i = 0; i < GROUND_NODES; i++)
        assert_true(ground.cluster.nodes[i].life > lives[i]);
    assert_mended(&ground);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_only_what_may_occur),
        cmocka_unit_test(test_deposed), cmocka_unit_test(test_betrayed),
        cmocka_unit_test(test_amnesia),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
