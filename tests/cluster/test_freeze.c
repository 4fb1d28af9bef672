/* Frozen nodes, cut links and planned stops. */
#include "tests/cluster/harness.h"
#include "tests/cluster/raw.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

struct leader_elsewhere {
    struct scene *scene;
    unsigned old;
};

static bool led_by_another(void *data)
{
    struct leader_elsewhere *e = data;
    unsigned leader = scene_leader(e->scene, 0);
    return leader != e->old;
}

/* A leader that is frozen and comes back must neither acknowledge nor serve anything stale. */
static void frozen_leader(void **state)
{
    (void)state;
    struct scene *s = scene_start("frozen", 1, 30000, 5000);
    scene_wait_acknowledged(s, 5000);
    unsigned old = scene_leader(s, 0);
    assert_true(local_signal(&s->cluster, old, SIGSTOP));
    uint64_t before = s->fleet.ledger.acknowledged;
    scene_wait_acknowledged(s, before + 3000);
    assert_true(local_signal(&s->cluster, old, SIGCONT));
    scene_wait_settled(s);
    scene_end(s);
}

static int node_bootstrap(struct scene *s, unsigned node, char *out, size_t size)
{
    return snprintf(out, size, "127.0.0.1:%u", s->cluster.nodes[node - 1].client_port);
}

/* A raw connection to the cut-off node itself: it neither acknowledges a record nor tells where the log ends.
 */
static void assert_serves_nothing(struct scene *s, unsigned node)
{
    const struct flotilla_topic_info *info = NULL;
    int64_t end = -1;
    assert_int_equal(flotilla_topic_describe(s->client, s->topic, 10000, &info, NULL, 0), 0);
    int fd = raw_connect(s->cluster.nodes[node - 1].client_port);
    assert_true(fd >= 0);
    assert_true(raw_hello(fd));
    assert_int_not_equal(raw_produce(fd, info->id, 0, "written on an island", 3000), 0);
    close(fd);
    fd = raw_connect(s->cluster.nodes[node - 1].client_port);
    assert_true(raw_hello(fd));
    assert_int_not_equal(raw_list_end(fd, info->id, 0, &end, 3000), 0);
    close(fd);
    flotilla_result_free(info);
}

static void block(struct scene *s, unsigned node, const uint32_t *peers, size_t count)
{
    char bootstrap[64], error[256] = "";
    struct flotilla_client *client = NULL;
    node_bootstrap(s, node, bootstrap, sizeof(bootstrap));
    assert_int_equal(flotilla_client_create(&client, bootstrap, NULL, NULL, 0), 0);
    if (flotilla_node_control(client, node, NULL, peers, count, 5000, error, sizeof(error)) != 0) {
        fail_msg("node control: %s", error);
    }
    flotilla_client_destroy(client);
}

/* The leader is cut off from both others: it acknowledges and serves nothing from the moment of the cut, they
 * go on without it, and all heals. */
static void minority(void **state)
{
    (void)state;
    struct scene *s = scene_start("mainland", 1, 40000, 5000);
    scene_wait_acknowledged(s, 3000);
    unsigned cut = scene_leader(s, 0);
    uint32_t others[2] = {cut % 3 + 1, (cut + 1) % 3 + 1};
    block(s, cut, others, 2);
    assert_serves_nothing(s, cut);
    struct leader_elsewhere elsewhere = {s, cut};
    wait_until(led_by_another, &elsewhere, 20000, "the majority elects another leader");
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 3000);
    assert_serves_nothing(s, cut);
    block(s, cut, others, 0);
    scene_wait_settled(s);
    scene_end(s);
}

/* Every node restarted as planned, one after the other: no record may fail. */
static void rolling_restart(void **state)
{
    (void)state;
    struct scene *s = scene_start("rolling", 6, 40000, 5000);
    for (unsigned node = 1; node <= 3; node++) {
        scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 2000);
        assert_true(local_signal(&s->cluster, node, SIGTERM));
        if (!local_wait_down(&s->cluster, node, 30000)) {
            fail_msg("%s", s->cluster.error);
        }
        scene_start_node(s, node);
        scene_wait_settled(s);
    }
    assert_int_equal(s->fleet.ledger.failed, 0);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frozen_leader),
        cmocka_unit_test(minority),
        cmocka_unit_test(rolling_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
