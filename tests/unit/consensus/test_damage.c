/* A replica whose files were damaged neither votes nor campaigns until a leader has made it whole. On
 * simulated disks. */
#include "helper_cluster.h"
#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

static void kill_node(unsigned i)
{
    sim_host_kill(hosts[i]);
    node_forget(&cluster.nodes[i]);
    cluster.nodes[i].logger = NULL;
}

static int set_up_with(uint64_t entry_memory_bytes)
{
    sim = sim_create(42);
    cluster_init_bare(&cluster, 3, 1);
    cluster.segment_bytes = 256 * 1024;
    cluster.entry_memory_bytes = entry_memory_bytes;
    for (unsigned i = 0; i < 3; i++) {
        struct test_node *node = &cluster.nodes[i];
        snprintf(node->host, sizeof node->host, "n%u", i + 1);
        node->port = 9292;
        hosts[i] = sim_host_create(sim, node->host);
        start(i);
    }
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(0);
}

/* With snapshots far behind the damage: the log is cut before the snapshot. */
static int set_up_snapshots(void **state)
{
    (void)state;
    return set_up_with(64 * 1024);
}

static int tear_down(void **state)
{
    (void)state;
    sim_destroy(sim);
    for (unsigned i = 0; i < 3; i++)
        cluster.nodes[i].logger = NULL;
    assert_string_equal(cluster.violation, "");
    cluster_close(&cluster);
    return 0;
}

static bool settled(void *data)
{
    (void)data;
    return all_open(&cluster, NULL) && has_leader(&cluster, NULL) && all_applied(&cluster, NULL);
}

static void propose_acked(uint64_t count, size_t payload)
{
    uint64_t target = cluster.acked + count;
    for (int i = 0; i < 20000 && cluster.acked < target; i++) {
        struct test_node *leader = cluster_leader(&cluster, 0);
        if (leader)
            cluster_propose(&cluster, leader, 0, payload);
        sim_run_for(sim, MS);
    }
    assert_true(cluster.acked >= target);
}

static bool is_damaged(unsigned i)
{
    struct journal_group state;
    journal_get(cluster.nodes[i].journal, 1, &state);
    return state.damaged;
}

static bool is_repaired(void *data)
{
    return settled(NULL) && !is_damaged(*(unsigned *)data);
}

struct segments {
    char first[64];
    char last[64];
};

static void note_segment(void *data, const char *name)
{
    struct segments *s = data;
    size_t length = strlen(name);
    if (length < 5 || strcmp(name + length - 4, ".log") != 0)
        return;
    if (!s->first[0])
        snprintf(s->first, sizeof s->first, "%s", name);
    snprintf(s->last, sizeof s->last, "%s", name);
}

/* A bit of the oldest segment; or, with snapshots, of the newest one: an older one would not even be read.
 * The node must be down; a process is needed to look at its disk. */
static void damage(unsigned i)
{
    struct segments segments = {"", ""};
    char directory[300], path[400];
    snprintf(directory, sizeof directory, "%s/g0", cluster.nodes[i].dir);
    struct env *env = sim_host_restart(hosts[i]);
    assert_int_equal(env_dir_list(env, directory, note_segment, &segments), 0);
    assert_true(segments.first[0]);
    sim_host_kill(hosts[i]);
    snprintf(path, sizeof path, "%s/%s", directory,
             cluster.entry_memory_bytes ? segments.last : segments.first);
    assert_int_equal(sim_disk_flip(hosts[i], path, 3000), 0);
}

static unsigned a_follower(void)
{
    uint32_t leader = cluster_leader(&cluster, 0)->id;
    return leader == 3 ? 0 : 2;
}

static void test_is_repaired_from_the_leader(void **state)
{
    (void)state;
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
    propose_acked(500, 1000);
    sim_run_for(sim, 3000ull * MS); /* the durability floor is written lazily */
    unsigned victim = a_follower();
    kill_node(victim);
    damage(victim);
    propose_acked(50, 1000);
    start(victim);
    assert_true(sim_run_until(sim, 2000ull * MS, settled, NULL) || is_damaged(victim));
    assert_true(sim_run_until(sim, 20000ull * MS, is_repaired, &victim));
    propose_acked(50, 1000);
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
}

static bool opened(void *data)
{
    return node_is_open(&cluster.nodes[*(unsigned *)data]);
}

static void test_does_not_vote(void **state)
{
    (void)state;
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
    propose_acked(500, 1000);
    sim_run_for(sim, 3000ull * MS);
    unsigned victim = a_follower();
    unsigned leader = cluster_leader(&cluster, 0)->id - 1;
    for (unsigned i = 0; i < 3; i++)
        kill_node(i);
    damage(victim);
    /* The damaged one and the other follower: a majority by number, but not of memories. */
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            start(i);
    assert_true(sim_run_until(sim, 5000ull * MS, opened, &victim));
    assert_true(is_damaged(victim));
    sim_run_for(sim, 5000ull * MS);
    assert_null(cluster_leader(&cluster, 0));
    /* With the third one there is a leader, and a repair. */
    start(leader);
    assert_true(sim_run_until(sim, 20000ull * MS, is_repaired, &victim));
    /* From then on it counts again. */
    kill_node(cluster_leader(&cluster, 0)->id - 1);
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
}

static bool has_joined(void *data)
{
    struct test_group *t = &cluster.nodes[*(unsigned *)data].groups[0];
    uint64_t index;
    return t->open && group_joined(t->group, &index);
}

/* A new leader does not know yet what its predecessor had committed. What it announces must not pass for
 * everything that there was before a newcomer came, or the newcomer would take old partitions for new. */
static void test_a_newcomer_believes_ready_leaders_only(void **state)
{
    (void)state;
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
    propose_acked(50, 100);
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
    uint64_t committed = cluster.committed;
    for (unsigned i = 0; i < 3; i++)
        kill_node(i);
    unsigned emptied = 2;
    cluster.abstains_when_new = true;
    snprintf(cluster.nodes[emptied].dir, sizeof cluster.nodes[emptied].dir, "/replaced");
    for (unsigned i = 0; i < 3; i++)
        start(i);
    assert_true(sim_run_until(sim, 5000ull * MS, has_joined, &emptied));
    uint64_t index = 0;
    assert_true(group_joined(cluster.nodes[emptied].groups[0].group, &index));
    assert_true(index >= committed);
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
}

static void test_a_failing_disk_stops_one_replica_only(void **state)
{
    (void)state;
    assert_true(sim_run_until(sim, 5000ull * MS, settled, NULL));
    propose_acked(50, 1000);
    unsigned leader = cluster_leader(&cluster, 0)->id - 1;
    struct test_group *t = &cluster.nodes[leader].groups[0];
    sim_disk_fail_writes(hosts[leader], 1000000);
    for (int i = 0; i < 2000 && !t->failed; i++) {
        if (group_is_ready_leader(t->group))
            cluster_propose(&cluster, &cluster.nodes[leader], 0, 100);
        sim_run_for(sim, MS);
    }
    assert_true(t->failed);
    assert_int_equal(group_role(t->group), GROUP_FAILED);
    uint64_t acked = cluster.acked;
    propose_acked(50, 100);
    assert_true(cluster.acked >= acked + 50);
    assert_true(cluster_leader(&cluster, 0)->id != leader + 1);
}

int main(void)
{
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down),                                                \
        cmocka_unit_test_setup_teardown(name, set_up_snapshots, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_is_repaired_from_the_leader),
        TEST(test_does_not_vote),
        TEST(test_a_newcomer_believes_ready_leaders_only),
        TEST(test_a_failing_disk_stops_one_replica_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
