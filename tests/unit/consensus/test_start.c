/* Where the log begins is an entry of it: the same on all replicas, whatever happens to them. On simulated
 * disks. */
#include "helper_simulated.h"
#include "node/consensus/group_internal.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NODES = 3, SEGMENT = 64 * 1024, BATCH = 1000 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;
static struct proposal proposal;
static int answer;

static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 1);
    cluster->entry_memory_bytes = SEGMENT;
    cluster->segment_bytes = SEGMENT;
    simulated_bring_up(&simulated);
    return 0;
}

static void on_answer(struct proposal *p, int status)
{
    (void)p;
    answer = status;
}

static bool is_answered(void *data)
{
    (void)data;
    return answer != 1;
}

static struct group *group_of(unsigned node)
{
    return cluster->nodes[node].groups[0].group;
}

static void move_start(int64_t offset)
{
    struct group *leader = cluster_leader(cluster, 0)->groups[0].group;
    int64_t end = log_end_offset(group_log(leader));
    answer = 1;
    assert_int_equal(group_propose_start(leader, &proposal, offset, on_answer), 0);
    assert_true(simulated_run_until(&simulated, 5000, is_answered, NULL));
    assert_int_equal(answer, 0);
    assert_int_equal(log_end_offset(group_log(leader)), end); /* it takes no offset */
}

static bool all_begin_at(void *data)
{
    for (unsigned i = 0; i < NODES; i++)
        if (!cluster->nodes[i].up || cluster->nodes[i].groups[0].start_offset != *(int64_t *)data)
            return false;
    return true;
}

static void expect_start(int64_t offset)
{
    simulated_settle(&simulated);
    assert_true(simulated_run_until(&simulated, 5000, all_begin_at, &offset));
}

static void test_all_replicas_apply_it(void **state)
{
    (void)state;
    simulated_propose(&simulated, 30, BATCH);
    move_start(20);
    simulated_propose(&simulated, 30, BATCH); /* and the log goes on behind it */
    expect_start(20);
    move_start(40);
    expect_start(40);
}

static void test_it_outlives_all_processes(void **state)
{
    (void)state;
    simulated_propose(&simulated, 30, BATCH);
    move_start(20);
    expect_start(20);
    simulated_kill_all(&simulated);
    simulated_start_all(&simulated);
    expect_start(20);
    simulated_propose(&simulated, 200, BATCH); /* into a snapshot */
    simulated_settle(&simulated);
    simulated_kill_all(&simulated);
    simulated_start_all(&simulated);
    expect_start(20);
}

/* Files that hold such entries are sent to a replica that was away. */
static void test_catch_up(void **state)
{
    (void)state;
    unsigned away = cluster_leader(cluster, 0)->id % NODES;
    simulated_kill(&simulated, away);
    for (int64_t i = 1; i <= 10; i++) {
        simulated_propose(&simulated, 50, BATCH);
        move_start(i);
    }
    simulated_start(&simulated, away);
    expect_start(10);
    assert_true(group_of(away)->consensus->counts.catchup_bytes > 0);
}

static bool all_are_trimmed(void *data)
{
    bool all = true;
    for (unsigned i = 0; i < NODES; i++)
        all = group_trim(group_of(i), *(int64_t *)data) == *(int64_t *)data &&
              log_size_bytes(group_log(group_of(i))) < 1000 && all;
    return all;
}

/* Without a write that would bring the next snapshot. */
static void test_an_idle_group_gives_all_its_files_back(void **state)
{
    (void)state;
    int64_t end = 30;
    simulated_propose(&simulated, (uint64_t)end, BATCH);
    move_start(end);
    expect_start(end);
    assert_true(simulated_run_until(&simulated, 5000, all_are_trimmed, &end));
    simulated_kill_all(&simulated);
    simulated_start_all(&simulated);
    expect_start(end);
    simulated_propose(&simulated, 30, BATCH);
    simulated_settle(&simulated);
    assert_int_equal(log_start_offset(group_log(group_of(0))), end);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, simulated_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_all_replicas_apply_it),
        TEST(test_it_outlives_all_processes),
        TEST(test_catch_up),
        TEST(test_an_idle_group_gives_all_its_files_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
