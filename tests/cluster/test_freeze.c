/* Frozen nodes, cut links and planned stops. */
#include "tests/cluster/harness.h"
#include "tests/cluster/raw.h"
#include "tests/cluster/scrape.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
    struct scene *s = scene_start("frozen", 1, SCENE_ENDLESS, 5000);
    scene_wait_acknowledged(s, 5000);
    unsigned old = scene_leader(s, 0);
    assert_true(local_signal(&s->cluster, old, SIGSTOP));
    uint64_t before = s->fleet.ledger.acknowledged;
    scene_wait_acknowledged(s, before + 3000);
    assert_true(local_signal(&s->cluster, old, SIGCONT));
    scene_wait_settled(s);
    scene_end_load(s);
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
    struct scene *s = scene_start("mainland", 1, SCENE_ENDLESS, 5000);
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
    scene_end_load(s);
    scene_end(s);
}

/* Asks the nodes for /readyz all the time: one that was ready stays so until it is restarted itself. */
struct probe {
    struct scene *scene;
    pthread_t thread;
    _Atomic unsigned restarting; /* node; 0: none */
    _Atomic bool stop;
    bool ready[3];
    unsigned asked, flips;
    char answer[256]; /* of the first flip */
};

static void probe_node(struct probe *p, unsigned node)
{
    int status = 0;
    char *body = scrape(p->scene->cluster.nodes[node - 1].http_port, "/readyz", &status);
    if (p->restarting == node || (status != 200 && !p->ready[node - 1])) {
        p->ready[node - 1] = false;
    } else {
        p->asked++;
        p->ready[node - 1] = status == 200;
        if (status != 200 && p->flips++ == 0) {
            snprintf(p->answer, sizeof(p->answer), "node %u: %d %.200s", node, status,
                     body != NULL ? body : "no answer");
        }
    }
    free(body);
}

static void *probe_run(void *data)
{
    struct probe *p = data;
    for (unsigned node = 1; !p->stop; node = node % 3 + 1) {
        probe_node(p, node);
        cli_sleep_ms(2);
    }
    return NULL;
}

/* Every node restarted as planned, one after the other: no record may fail, and no other node's readiness
 * may flip while leaderships move away and back. */
static void rolling_restart(void **state)
{
    (void)state;
    struct scene *s = scene_start("rolling", 6, SCENE_ENDLESS, 5000);
    struct probe probe = {.scene = s};
    assert_int_equal(pthread_create(&probe.thread, NULL, probe_run, &probe), 0);
    for (unsigned node = 1; node <= 3; node++) {
        scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 2000);
        probe.restarting = node;
        assert_true(local_signal(&s->cluster, node, SIGTERM));
        if (!local_wait_down(&s->cluster, node, 30000)) {
            fail_msg("%s", s->cluster.error);
        }
        scene_bring_back(s, node);
        probe.restarting = 0;
    }
    scene_wait_settled(s);
    probe.stop = true;
    pthread_join(probe.thread, NULL);
    print_message("asked %u times whether a ready node is ready, %u flips %s\n", probe.asked, probe.flips,
                  probe.answer);
    assert_int_equal(s->fleet.ledger.failed, 0);
    assert_int_equal(probe.flips, 0);
    scene_end_load(s);
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
