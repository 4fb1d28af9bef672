/* kill -9 in every form: everything acknowledged is read back exactly once, in order. */
#include "tests/cluster/harness.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

static double survivors(struct scene *s, unsigned a, unsigned b, const char *series)
{
    return scene_metric(s, a, series) + scene_metric(s, b, series);
}

static void leader(void **state)
{
    (void)state;
    struct scene *s = scene_start("kill-leader", 3, 30000, 10000);
    scene_wait_acknowledged(s, 10000);
    unsigned victim = scene_leader(s, 0), left = victim % 3 + 1, other = left % 3 + 1;
    assert_true(scene_metric(s, victim, "flotilla_produce_seconds_count{stage=\"replicate\"") > 0);
    double begun = survivors(s, left, other, "flotilla_raft_elections_total");
    double won = survivors(s, left, other, "flotilla_raft_elections_won_total");
    scene_kill(s, victim);
    scene_wait_acknowledged(s, 20000);
    /* Metrics tell of it: its leaderships, one partition's at least, were fought for and won by the others.
     */
    assert_true(survivors(s, left, other, "flotilla_raft_elections_total") > begun);
    assert_true(survivors(s, left, other, "flotilla_raft_elections_won_total") > won);
    scene_start_node(s, victim);
    scene_end(s);
}

static void follower(void **state)
{
    (void)state;
    struct scene *s = scene_start("kill-follower", 1, 20000, 10000);
    scene_wait_acknowledged(s, 5000);
    unsigned victim = scene_leader(s, 0) % 3 + 1;
    scene_kill(s, victim);
    scene_wait_acknowledged(s, 15000);
    scene_bring_back(s, victim);
    scene_end(s);
}

static void all_at_once(void **state)
{
    (void)state;
    struct scene *s = scene_start("kill-all", 3, 30000, 10000);
    for (unsigned round = 0; round < 2; round++) {
        scene_wait_acknowledged(s, 8000 + round * 10000);
        for (unsigned node = 1; node <= 3; node++) {
            assert_true(local_signal(&s->cluster, node, SIGKILL));
        }
        for (unsigned node = 1; node <= 3; node++) {
            assert_true(local_wait_down(&s->cluster, node, 10000));
            scene_start_node(s, node);
        }
    }
    scene_end(s);
}

static void while_it_starts(void **state)
{
    (void)state;
    struct scene *s = scene_start("kill-starting", 3, SCENE_ENDLESS, 8000);
    unsigned victim = 2;
    scene_wait_acknowledged(s, 4000);
    scene_kill(s, victim);
    for (unsigned round = 0; round < 12; round++) {
        scene_start_node(s, victim);
        cli_sleep_ms((int64_t)scene_random(s, 120)); /* the moment of death is the point, not a wait */
        scene_kill(s, victim);
    }
    scene_bring_back(s, victim);
    scene_end_load(s);
    scene_end(s);
}

/* One node after the other, under load; a majority is always alive. */
static void loop(void **state)
{
    (void)state;
    struct scene *s = scene_start("kill-loop", 6, SCENE_ENDLESS, 6000);
    for (unsigned round = 1; round <= 8; round++) {
        scene_wait_acknowledged(s, round * 4000);
        unsigned victim = scene_random(s, 2) == 0 ? scene_leader(s, 0) : scene_random(s, 3) + 1;
        scene_kill(s, victim);
        scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 1000);
        scene_bring_back(s, victim);
    }
    scene_end_load(s);
    scene_end(s);
}

/* Any of them, one, two or all at once; under load, and never waiting for calm. */
static void random_sets(void **state)
{
    (void)state;
    struct scene *s = scene_start("kill-sets", 3, SCENE_ENDLESS, 5000);
    for (unsigned round = 1; round <= 10; round++) {
        scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 1000);
        unsigned set = 1 + scene_random(s, 7);
        print_message("round %u: nodes%s%s%s\n", round, set & 1 ? " 1" : "", set & 2 ? " 2" : "",
                      set & 4 ? " 3" : "");
        for (unsigned node = 1; node <= 3; node++) {
            if (set & 1u << (node - 1)) {
                assert_true(local_signal(&s->cluster, node, SIGKILL));
            }
        }
        cli_sleep_ms((int64_t)scene_random(s, 400)); /* how long they are away is the point, not a wait */
        for (unsigned node = 1; node <= 3; node++) {
            if (set & 1u << (node - 1)) {
                assert_true(local_wait_down(&s->cluster, node, 10000));
                scene_start_node(s, node);
            }
        }
    }
    scene_wait_settled(s);
    scene_end_load(s);
    scene_judge(s);
    scene_audit(s);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leader),          cmocka_unit_test(follower), cmocka_unit_test(all_at_once),
        cmocka_unit_test(while_it_starts), cmocka_unit_test(loop),     cmocka_unit_test(random_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
