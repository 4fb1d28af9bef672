/* A node whose data directory was emptied comes back while another one that lags is up and the one that has
 * everything is down: two of three disks survive, so nothing that was acknowledged may be lost, even if that
 * means to wait. */
#include "tests/cluster/harness.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void empty_disk(struct scene *s, unsigned node)
{
    char path[4300], command[4400];
    local_node_path(&s->cluster, node, "data", path, sizeof(path));
    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static bool has_leader(struct scene *s)
{
    const struct flotilla_topic_info *info = NULL;
    if (flotilla_topic_describe(s->client, s->topic, 1000, &info, NULL, 0) != 0) {
        return false;
    }
    bool led = info->partitions[0]->leader_id != 0;
    flotilla_result_free(info);
    return led;
}

static void emptied_disk_and_laggard(void **state)
{
    (void)state;
    struct scene *s = scene_start("replaced", 1, SCENE_ENDLESS, 5000);
    scene_wait_acknowledged(s, 2000);
    unsigned whole = scene_leader(s, 0), emptied = whole % 3 + 1, laggard = (whole + 1) % 3 + 1;
    scene_kill(s, laggard);
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 5000);
    scene_kill(s, whole);
    scene_kill(s, emptied);
    uint64_t before = s->fleet.ledger.acknowledged;
    empty_disk(s, emptied);
    scene_start_node(s, emptied);
    scene_start_node(s, laggard);
    /* Several election time-outs, in which the two could elect one of them. */
    for (uint64_t end = cli_now_ns() + 5000000000u; cli_now_ns() < end;) {
        assert_false(has_leader(s) && scene_leader(s, 0) != whole);
        assert_int_equal(s->fleet.ledger.acknowledged, before);
    }
    scene_start_node(s, whole);
    scene_wait_acknowledged(s, before + 1000);
    scene_wait_settled(s);
    scene_end_load(s);
    scene_end(s);
}

/* The emptied node alone, with the others up: it is filled again and may then be needed at once. */
static void emptied_disk_is_filled(void **state)
{
    (void)state;
    struct scene *s = scene_start("filled", 3, SCENE_ENDLESS, 5000);
    scene_wait_acknowledged(s, 4000);
    scene_kill(s, 2);
    empty_disk(s, 2);
    scene_bring_back(s, 2);
    scene_kill(s, 1);
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 3000);
    scene_bring_back(s, 1);
    scene_end_load(s);
    scene_end(s);
}

/* It does not need to live through being filled. */
static void emptied_disk_survives_kills(void **state)
{
    enum { KILLS = 5 };
    (void)state;
    struct scene *s = scene_start("refilled", 3, SCENE_ENDLESS, 5000);
    scene_wait_acknowledged(s, 4000);
    scene_kill(s, 2);
    empty_disk(s, 2);
    for (int i = 0; i < KILLS; i++) {
        scene_start_node(s, 2);
        scene_kill(s, 2);
    }
    scene_start_node(s, 2);
    scene_wait_settled(s);
    scene_kill(s, 1);
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 3000);
    scene_start_node(s, 1);
    scene_wait_settled(s);
    scene_end_load(s);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emptied_disk_is_filled),
        cmocka_unit_test(emptied_disk_survives_kills),
        cmocka_unit_test(emptied_disk_and_laggard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
