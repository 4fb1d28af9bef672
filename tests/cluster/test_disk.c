/* Damaged, cut, swapped and missing segments and indexes on one node: found, named in its log and repaired
 * from the others. Never wrong data, and nothing acknowledged is lost. */
#include "tests/cluster/harms.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The preferred leader is harmed, so that afterwards everything is read from its repaired files. */
static void harm_node(struct scene *s, unsigned node, const struct harm *harm)
{
    struct damage_files files;
    long from = scene_log_size(s, node);
    uint64_t began = cli_now_ns();
    if (harm->planned) {
        scene_stop_node(s, node);
    } else {
        scene_kill(s, node);
    }
    scene_find_files(s, node, &files);
    assert_true(harm->apply(&files));
    scene_bring_back(s, node);
    scene_wait_leader(s, node);
    scene_audit(s);
    scene_wait_settled(s);
    print_message("%s: %.1f s\n", harm->name, (double)(cli_now_ns() - began) / 1e9);
    if (harm->found && !scene_log_has(s, node, from, "damaged")) {
        fail_msg("%s: node %u says nothing of it in %s", harm->name, node, s->cluster.directory);
    }
    if (harm->found) {
        scene_wait_log(s, node, from, "replica is repaired");
    }
    scene_stop_node(s, node);
    scene_verify(s, node);
    scene_bring_back(s, node);
}

static void stopped_node(void **state)
{
    (void)state;
    const char *only = getenv("ONLY_HARM");
    struct scene *s = scene_start_files("harmed", 12000, 12000, false);
    unsigned node = scene_leader(s, 0);
    scene_judge(s);
    scene_wait_settled(s);
    cli_sleep_ms(2500); /* the durability floor lags by a second or two; that lag is documented */
    for (size_t i = 0; i < HARM_COUNT; i++) {
        if (only == NULL || strstr(harms[i].name, only) != NULL) {
            harm_node(s, node, &harms[i]);
        }
    }
    scene_end(s);
}

/* Two of three at once. The third one has everything, each of the two knows how much that is, and they elect
 * it. */
static void two_of_three(void **state)
{
    (void)state;
    struct scene *s = scene_start_files("two-harmed", 12000, 12000, false);
    unsigned whole = scene_random(s, 3) + 1;
    struct damage_files files;
    long from[4];
    scene_judge(s);
    scene_wait_settled(s);
    for (unsigned node = 1; node <= 3; node++) {
        from[node] = scene_log_size(s, node);
        scene_kill(s, node);
    }
    for (unsigned node = 1; node <= 3; node++) {
        scene_find_files(s, node, &files);
        if (node != whole) {
            assert_true((node % 2 == 0 ? harm_truncate_sealed : harm_delete_sealed)(&files));
        }
        scene_start_node(s, node);
    }
    scene_wait_settled(s);
    for (unsigned node = 1; node <= 3; node++) {
        if (node != whole) {
            scene_wait_log(s, node, from[node], "replica is repaired");
        }
    }
    scene_audit(s);
    scene_kill(s, whole);
    scene_audit(s);
    scene_start_node(s, whole);
    scene_end(s);
}

/* ---- while it runs ---- */

/* The leader's own files rot under it: the read that finds it is answered from a healthy replica, and the
 * leader repairs itself. */
static void running_leader(void **state)
{
    (void)state;
    struct scene *s = scene_start_files("rotting", 12000, 12000, false);
    struct damage_files files;
    scene_judge(s);
    for (unsigned round = 0; round < 3; round++) {
        scene_wait_settled(s);
        unsigned node = scene_leader(s, 0);
        long from = scene_log_size(s, node);
        scene_find_files(s, node, &files);
        assert_true((round == 0   ? harm_flip_sealed
                     : round == 1 ? harm_zero_sealed
                                  : harm_truncate_sealed)(&files));
        scene_audit(s);
        scene_wait_log(s, node, from, "damaged segment");
        scene_wait_log(s, node, from, "replica is repaired");
        scene_wait_settled(s);
        scene_wait_leader(s, node);
        scene_audit(s);
    }
    scene_end(s);
}

/* What rots where nobody reads is found all the same: on a follower, and of all segments in turn. */
static void rot_that_nobody_reads(void **state)
{
    (void)state;
    struct scene *s = scene_start_files("unread", 12000, 12000, true);
    struct damage_files files;
    scene_judge(s);
    scene_wait_settled(s);
    unsigned node = scene_leader(s, 0) % 3 + 1;
    long from = scene_log_size(s, node);
    scene_find_files(s, node, &files);
    assert_true(harm_flip_sealed(&files));
    scene_wait_log(s, node, from, "damaged segment");
    scene_wait_log(s, node, from, "replica is repaired");
    scene_wait_settled(s);
    scene_end(s);
}

/* A node that lost a part of its log, again and again, under load. Always the same one: what nobody reads is
 * found late, and with another node harmed before that is repaired, what is written meanwhile has no
 * majority. */
static void harm_under_load(void **state)
{
    (void)state;
    struct scene *s = scene_start_files("harmed-under-load", SCENE_ENDLESS, 4000, false);
    struct damage_files files;
    scene_wait_acknowledged(s, 8000);
    unsigned node = scene_random(s, 3) + 1;
    for (unsigned round = 0; round < 5; round++) {
        const struct harm *harm = &harms[scene_random(s, HARM_COUNT)];
        print_message("node %u: %s\n", node, harm->name);
        scene_kill(s, node);
        scene_find_files(s, node, &files);
        assert_true(harm->apply(&files));
        scene_bring_back(s, node);
    }
    scene_end_load(s);
    scene_judge(s);
    scene_audit(s);
    scene_end(s);
}

int main(void)
{
    const char *only = getenv("ONLY_TEST");
    if (only != NULL) {
        cmocka_set_test_filter(only);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_node),    cmocka_unit_test(two_of_three),
        cmocka_unit_test(running_leader),  cmocka_unit_test(rot_that_nobody_reads),
        cmocka_unit_test(harm_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
