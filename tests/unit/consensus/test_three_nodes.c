/* Three real nodes in one process, over loopback TCP and real files. */
#include "helper_cluster.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WAIT_MS = 20000 }; /* far longer than anything takes, on any machine */

static struct test_cluster cluster;
static struct env *env;

static bool is_down(struct test_cluster *c, void *data)
{
    struct test_node *node = data;
    (void)c;
    return !node->up;
}

static bool acked_enough(struct test_cluster *c, void *data)
{
    return c->acked >= *(uint64_t *)data;
}

static void start_all(void)
{
    for (unsigned i = 0; i < cluster.n; i++)
        node_start(&cluster.nodes[i]);
    assert_true(run_until(&cluster, all_open, NULL, WAIT_MS));
    assert_true(run_until(&cluster, has_leader, NULL, WAIT_MS));
}

static void stop(struct test_node *node, bool clean)
{
    node_stop(node, clean);
    assert_true(run_until(&cluster, is_down, node, WAIT_MS));
}

static int set_up(void **state)
{
    (void)state;
    env = env_uv_create(0);
    cluster_init(&cluster, 3, 1, env);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < cluster.n; i++)
        if (cluster.nodes[i].up)
            stop(&cluster.nodes[i], true);
    assert_string_equal(cluster.violation, "");
    cluster_close(&cluster);
    env_destroy(env);
    return 0;
}

/* Keeps proposing to whoever leads until `count` more are acknowledged. */
static void propose_acked(uint64_t count, size_t payload)
{
    uint64_t target = cluster.acked + count;
    uint64_t deadline = env_clock_ns(env) + 20ull * 1000000000u;
    while (cluster.acked < target && env_clock_ns(env) < deadline) {
        struct test_node *leader = cluster_leader(&cluster, 0);
        for (int i = 0; leader && i < 16; i++)
            cluster_propose(&cluster, leader, 0, payload);
        run_for(&cluster, 1);
    }
    assert_true(cluster.acked >= target);
    run_until(&cluster, nothing_in_flight, NULL, WAIT_MS);
}

static void test_elects_replicates_and_commits(void **state)
{
    (void)state;
    cluster.election_timeout_ms = 5000; /* no other election, however busy the machine */
    start_all();
    assert_int_equal(cluster_leader(&cluster, 0)->id, 1); /* the preferred one campaigned at once */
    propose_acked(2000, 100);
    assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
    assert_int_equal(cluster.lost, 0);
}

static void test_restarts_keep_everything(void **state)
{
    (void)state;
    start_all();
    for (int round = 0; round < 3; round++) {
        propose_acked(100, 100);
        struct test_node *node = &cluster.nodes[round];
        stop(node, round == 1);
        propose_acked(100, 100);
        node_start(node);
        assert_true(run_until(&cluster, all_open, NULL, WAIT_MS));
        assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
    }
    uint64_t before = cluster.acked;
    for (unsigned i = 0; i < cluster.n; i++)
        stop(&cluster.nodes[i], false);
    start_all();
    propose_acked(10, 10);
    assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
    assert_true(cluster.acked >= before + 10);
}

static void test_leader_stop_elects_fast(void **state)
{
    (void)state;
    cluster.election_timeout_ms = 2 * WAIT_MS; /* a time-out would be noticed */
    cluster.heartbeat_ms = 100;
    start_all();
    for (int round = 0; round < 2; round++) {
        propose_acked(50, 100);
        struct test_node *leader = cluster_leader(&cluster, 0);
        uint64_t began = env_clock_ns(env);
        stop(leader, false);
        assert_true(run_until(&cluster, has_leader, NULL, WAIT_MS));
        printf("failover after %.1f ms\n", (double)(env_clock_ns(env) - began) / 1e6);
        propose_acked(50, 100);
        node_start(leader);
        assert_true(run_until(&cluster, all_open, NULL, WAIT_MS));
        assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
    }
}

static bool two_in_sync(struct test_cluster *c, void *data)
{
    (void)c;
    return group_in_sync_count(data) == 2;
}

static bool three_in_sync(struct test_cluster *c, void *data)
{
    (void)c;
    return group_in_sync_count(data) == 3;
}

static void test_dead_follower_is_not_in_sync(void **state)
{
    (void)state;
    cluster.election_timeout_ms = 2 * WAIT_MS; /* its last answer would count for so long */
    cluster.heartbeat_ms = 100;
    start_all();
    propose_acked(10, 100);
    struct test_node *leader = cluster_leader(&cluster, 0);
    unsigned follower = leader->id % 3;
    assert_true(run_until(&cluster, three_in_sync, leader->groups[0].group, WAIT_MS));
    stop(&cluster.nodes[follower], false);
    assert_true(run_until(&cluster, two_in_sync, leader->groups[0].group, WAIT_MS));
    assert_false(group_replica_in_sync(leader->groups[0].group, cluster.nodes[follower].id));
    node_start(&cluster.nodes[follower]);
    assert_true(run_until(&cluster, all_open, NULL, WAIT_MS));
}

static void test_follower_catches_up_through_entries(void **state)
{
    (void)state;
    start_all();
    propose_acked(10, 100);
    stop(&cluster.nodes[2], false);
    propose_acked(500, 1000);
    node_start(&cluster.nodes[2]);
    assert_true(run_until(&cluster, all_open, NULL, WAIT_MS));
    assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
}

static void test_follower_catches_up_through_files(void **state)
{
    (void)state;
    cluster.entry_memory_bytes = 256 * 1024;
    start_all();
    propose_acked(10, 100);
    stop(&cluster.nodes[2], false);
    propose_acked(2000, 4000);
    struct test_node *leader = cluster_leader(&cluster, 0);
    assert_true(group_snapshot_index(leader->groups[0].group) > 100);
    node_start(&cluster.nodes[2]);
    assert_true(run_until(&cluster, all_open, NULL, WAIT_MS));
    assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
    assert_true(group_snapshot_index(cluster.nodes[2].groups[0].group) > 100);
    propose_acked(100, 4000);
    assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
}

struct transfer {
    bool done;
    int status;
};

static void on_transferred(void *data, int status)
{
    struct transfer *t = data;
    t->done = true;
    t->status = status;
}

static bool transfer_done(struct test_cluster *c, void *data)
{
    (void)c;
    return ((struct transfer *)data)->done;
}

static void test_transfer(void **state)
{
    (void)state;
    cluster.election_timeout_ms = WAIT_MS; /* that is for how long it is tried */
    start_all();
    for (uint32_t target = 2; target <= 4; target++) {
        propose_acked(50, 100);
        struct test_node *leader = cluster_leader(&cluster, 0);
        struct transfer t = {.done = false};
        uint32_t to = (target - 1) % 3 + 1;
        for (int i = 0; i < 20; i++)
            cluster_propose(&cluster, leader, 0, 100);
        assert_int_equal(group_transfer(leader->groups[0].group, to, on_transferred, &t), 0);
        assert_true(run_until(&cluster, transfer_done, &t, WAIT_MS));
        assert_int_equal(t.status, 0);
        assert_true(run_until(&cluster, has_leader, NULL, WAIT_MS));
        assert_int_equal(cluster_leader(&cluster, 0)->id, to);
    }
    assert_int_equal(cluster.lost, 0);
}

static bool other_leads(struct test_cluster *c, void *data)
{
    struct test_node *leader = cluster_leader(c, 0);
    return leader && leader != data;
}

static void test_minority_commits_nothing(void **state)
{
    (void)state;
    start_all();
    propose_acked(50, 100);
    struct test_node *leader = cluster_leader(&cluster, 0);
    uint32_t all[] = {1, 2, 3};
    uint64_t acked = cluster.acked;
    consensus_block_peers(leader->consensus, all, 3);
    for (int i = 0; i < 10; i++)
        cluster_propose(&cluster, leader, 0, 100);
    assert_true(run_until(&cluster, other_leads, leader, WAIT_MS));
    assert_int_equal(cluster.acked, acked);
    propose_acked(50, 100);
    consensus_block_peers(leader->consensus, NULL, 0);
    assert_true(run_until(&cluster, all_applied, NULL, WAIT_MS));
    assert_true(run_until(&cluster, nothing_in_flight, NULL, WAIT_MS));
    assert_int_equal(cluster.lost, 10);
    assert_true(acked_enough(&cluster, &(uint64_t){acked + 50}));
}

struct reading {
    struct read_index_req req;
    bool done;
    int status;
};

static void on_read(struct read_index_req *req, int status)
{
    struct reading *r = req->data;
    r->done = true;
    r->status = status;
}

static bool read_done(struct test_cluster *c, void *data)
{
    (void)c;
    return ((struct reading *)data)->done;
}

static void test_read_index(void **state)
{
    (void)state;
    start_all();
    struct test_node *leader = cluster_leader(&cluster, 0);
    struct reading first = {.req = {.data = &first}}, second = {.req = {.data = &second}};
    assert_int_equal(group_read_index(leader->groups[0].group, &first.req, on_read), 0);
    assert_int_equal(group_read_index(leader->groups[0].group, &second.req, on_read), 0);
    assert_true(run_until(&cluster, read_done, &first, WAIT_MS));
    assert_true(run_until(&cluster, read_done, &second, WAIT_MS));
    assert_int_equal(first.status, 0);
    assert_int_equal(second.status, 0);
    /* A leader that is cut off can't confirm. */
    uint32_t all[] = {1, 2, 3};
    consensus_block_peers(leader->consensus, all, 3);
    struct reading cut = {.req = {.data = &cut}};
    assert_int_equal(group_read_index(leader->groups[0].group, &cut.req, on_read), 0);
    assert_true(run_until(&cluster, read_done, &cut, WAIT_MS));
    assert_int_equal(cut.status, ERR_NOT_LEADER);
}

static void test_single_node(void **state)
{
    (void)state;
    cluster_close(&cluster);
    cluster_init(&cluster, 1, 1, env);
    cluster.entry_memory_bytes = 64 * 1024;
    uint64_t term = 0;
    for (int round = 0; round < 3; round++) {
        start_all();
        assert_true(cluster.nodes[0].groups[0].term > term); /* never twice in one term */
        term = cluster.nodes[0].groups[0].term;
        propose_acked(300, 500);
        struct reading r = {.req = {.data = &r}};
        assert_int_equal(group_read_index(cluster.nodes[0].groups[0].group, &r.req, on_read), 0);
        assert_true(run_until(&cluster, read_done, &r, WAIT_MS));
        assert_int_equal(r.status, 0);
        stop(&cluster.nodes[0], round == 1);
    }
    assert_int_equal(cluster.lost, 0);
}

struct forwarding {
    struct forward_req req;
    bool done;
    int status;
    char answer[32];
};

static void on_answer(struct forward_req *req, int status, const void *header, size_t size)
{
    struct forwarding *f = req->data;
    f->done = true;
    f->status = status;
    snprintf(f->answer, sizeof f->answer, "%.*s", (int)size, (const char *)header);
}

static bool forward_done(struct test_cluster *c, void *data)
{
    (void)c;
    return ((struct forwarding *)data)->done;
}

static void test_forward(void **state)
{
    (void)state;
    start_all();
    struct consensus *c = cluster.nodes[0].consensus;
    struct forwarding echoed = {.req = {.data = &echoed}}, silent = {.req = {.data = &silent}},
                      cut = {.req = {.data = &cut}};
    assert_int_equal(consensus_forward(c, 2, &echoed.req, FORWARD_ECHO, "hello", 5, 2000, on_answer), 0);
    assert_int_equal(consensus_forward(c, 2, &silent.req, FORWARD_SILENCE, "hello", 5, 50, on_answer), 0);
    assert_true(run_until(&cluster, forward_done, &echoed, WAIT_MS));
    assert_int_equal(echoed.status, 0);
    assert_string_equal(echoed.answer, "hello");
    assert_true(run_until(&cluster, forward_done, &silent, WAIT_MS));
    assert_int_equal(silent.status, ERR_TIMED_OUT);
    /* The link breaks: the outcome is unknown, and known at once. */
    assert_int_equal(consensus_forward(c, 3, &cut.req, FORWARD_SILENCE, "x", 1, 60000, on_answer), 0);
    stop(&cluster.nodes[2], false);
    assert_true(run_until(&cluster, forward_done, &cut, WAIT_MS));
    assert_int_equal(cut.status, ERR_CONNECTION_LOST);
    assert_int_equal(consensus_forward(c, 3, &cut.req, FORWARD_ECHO, "x", 1, 60000, on_answer),
                     ERR_UNREACHABLE);
}

static bool all_know_leaders(struct test_cluster *c, void *data)
{
    (void)data;
    for (unsigned g = 0; g < c->n_groups; g++) {
        struct test_node *leader = cluster_leader(c, g);
        for (unsigned i = 0; i < c->n; i++)
            if (c->nodes[i].up &&
                (!leader || consensus_leader_of(c->nodes[i].consensus, g + 1, NULL) != leader->id))
                return false;
    }
    return true;
}

static void test_many_groups(void **state)
{
    (void)state;
    cluster_close(&cluster);
    cluster_init(&cluster, 3, 60, env);
    cluster.election_timeout_ms = 2 * WAIT_MS;
    cluster.heartbeat_ms = 100;
    start_all();
    assert_true(run_until(&cluster, all_know_leaders, NULL, WAIT_MS));
    for (unsigned g = 0; g < cluster.n_groups; g++) {
        assert_int_equal(cluster_leader(&cluster, g)->id, g % 3 + 1); /* the preferred one of each */
        for (int i = 0; i < 5; i++)
            assert_true(cluster_propose(&cluster, cluster_leader(&cluster, g), g, 100));
    }
    assert_true(run_until(&cluster, nothing_in_flight, NULL, WAIT_MS));
    assert_int_equal(cluster.acked, 60 * 5);
    uint64_t began = env_clock_ns(env);
    stop(&cluster.nodes[1], false);
    assert_true(run_until(&cluster, has_leader, NULL, WAIT_MS));
    printf("20 groups failed over after %.1f ms\n", (double)(env_clock_ns(env) - began) / 1e6);
    assert_true(run_until(&cluster, all_know_leaders, NULL, WAIT_MS));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_elects_replicates_and_commits),
        TEST(test_restarts_keep_everything),
        TEST(test_leader_stop_elects_fast),
        TEST(test_dead_follower_is_not_in_sync),
        TEST(test_follower_catches_up_through_entries),
        TEST(test_follower_catches_up_through_files),
        TEST(test_transfer),
        TEST(test_minority_commits_nothing),
        TEST(test_read_index),
        TEST(test_single_node),
        TEST(test_forward),
        TEST(test_many_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
