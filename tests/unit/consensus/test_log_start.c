/* Leaders keep more of the log in memory than some of their followers, and messages are repeated: what a
 * follower gets may begin before what it has kept. On simulated disks. */
#include "helper_simulated.h"
#include "node/consensus/group_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 3 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 1);
    cluster->entry_memory_bytes = 64 * 1024;
    simulated_bring_up(&simulated);
    return 0;
}

static struct group *leader_group(void)
{
    return cluster_leader(cluster, 0)->groups[0].group;
}

static struct test_group *a_follower(void)
{
    return &cluster->nodes[cluster_leader(cluster, 0)->id % NODES].groups[0];
}

/* The leader remembers everything, the others little. */
static void grow_apart(void)
{
    cluster_leader(cluster, 0)->consensus->options.entry_memory_bytes = 1 << 30;
    simulated_propose(&simulated, 300, 1000);
    simulated_settle(&simulated);
    assert_int_equal(leader_group()->raft.log.offset, 0);
    assert_true(a_follower()->group->raft.log.offset > 0);
}

static bool has_sent(void *data)
{
    return group_progress(leader_group(), a_follower()->node->id)->last_send != *(raft_time *)data;
}

/* As after answers of a process that had nothing, or were late. Between two heartbeats, when no answer is
 * under way that would mend it at once. */
static void step_back_to(uint64_t next_index)
{
    struct raft_progress *progress = group_progress(leader_group(), a_follower()->node->id);
    assert_non_null(progress);
    raft_time last_send = progress->last_send;
    assert_true(simulated_run_until(&simulated, 100, has_sent, &last_send));
    sim_run_for(simulated.sim, 5ull * MS);
    memset(progress, 0, sizeof *progress);
    progress->next_index = next_index;
}

static bool follower_matches(void *data)
{
    const struct raft_progress *progress = group_progress(leader_group(), a_follower()->node->id);
    (void)data;
    return progress && progress->match_index == raft_last_index(&leader_group()->raft);
}

static void follower_survives_from(uint64_t next_index)
{
    struct test_group *follower = a_follower();
    uint64_t term = follower->group->raft.current_term;
    step_back_to(next_index);
    assert_true(simulated_run_until(&simulated, 5000, follower_matches, NULL));
    simulated_propose(&simulated, 20, 1000);
    simulated_settle(&simulated);
    assert_false(follower->failed);
    assert_int_equal(follower->group->raft.current_term, term);
    assert_int_equal(follower->group->raft.last_applied, leader_group()->raft.last_applied);
}

static void test_from_the_first_entry(void **state)
{
    (void)state;
    grow_apart();
    follower_survives_from(1);
}

static void test_from_compacted_entries(void **state)
{
    (void)state;
    grow_apart();
    uint64_t offset = a_follower()->group->raft.log.offset;
    follower_survives_from(2);
    follower_survives_from(offset);
    follower_survives_from(offset + 1);
    follower_survives_from(a_follower()->group->raft.log.snapshot.last_index);
}

/* All of it at once, and only a part that ends before the follower's snapshot. */
static void test_in_small_pieces(void **state)
{
    (void)state;
    grow_apart();
    simulated_propose(&simulated, 1500, 1000); /* more than one message takes */
    simulated_settle(&simulated);
    follower_survives_from(1);
}

/* Something else where this replica's entries are committed: never said yes to, and the core's way out of it
 * leaves its memory whole. */
static void contradict(uint64_t prev, uint64_t prev_term, unsigned n)
{
    struct test_group *follower = a_follower();
    struct message message = {.group_id = follower->group->id, .m = {.type = RAFT_IO_APPEND_ENTRIES}};
    struct raft_append_entries *a = &message.m.append_entries;
    queue_init(&message.node);
    message.m.server_id = cluster_leader(cluster, 0)->id;
    *a = (struct raft_append_entries){.term = follower->group->raft.current_term,
                                      .prev_log_index = prev,
                                      .prev_log_term = prev_term,
                                      .n_entries = n};
    a->entries = n > 0 ? raft_calloc(n, sizeof *a->entries) : NULL;
    void *batch = n > 0 ? heap_batch_create(n, 0) : NULL;
    for (unsigned i = 0; i < n; i++)
        a->entries[i] = (struct raft_entry){.term = a->term + 1, .type = RAFT_COMMAND, .batch = batch};
    group_receive(follower->group, &message);
    sim_run_for(simulated.sim, MS);
    assert_true(follower->failed);
}

static void test_a_contradiction_in_compacted_entries(void **state)
{
    (void)state;
    grow_apart();
    contradict(1, a_follower()->group->raft.current_term + 1, 0);
}

static void test_a_contradiction_up_to_the_snapshot(void **state)
{
    (void)state;
    grow_apart();
    contradict(1, 1, (unsigned)a_follower()->group->raft.log.snapshot.last_index);
}

static void test_a_contradiction_in_memory(void **state)
{
    (void)state;
    grow_apart();
    const struct raft *raft = &a_follower()->group->raft;
    contradict(raft->commit_index - 2, raft->current_term, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, simulated_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_from_the_first_entry),
        TEST(test_from_compacted_entries),
        TEST(test_in_small_pieces),
        TEST(test_a_contradiction_in_compacted_entries),
        TEST(test_a_contradiction_up_to_the_snapshot),
        TEST(test_a_contradiction_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
