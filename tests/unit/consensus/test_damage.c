/* A replica whose files were damaged does not campaign until a leader has made it whole, and votes for
 * nobody, or, if it is known where its log had ended, for who has as much. On simulated disks. */
#include "helper_simulated.h"
#include "node/consensus/group_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3, GROUP_ID = 1, POSITION = 3000 };

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;

/* 0: the default, with which no test here writes enough for a snapshot. */
static int begin(void **state, size_t entry_memory_bytes)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 1);
    cluster->entry_memory_bytes = entry_memory_bytes;
    simulated_bring_up(&simulated);
    return 0;
}

static int set_up(void **state)
{
    return begin(state, 0);
}

/* With snapshots far behind the damage: the log is cut before the snapshot. */
static int set_up_snapshots(void **state)
{
    return begin(state, 64 * 1024);
}

static unsigned the_leader(void)
{
    return cluster_leader(cluster, 0)->id - 1;
}

static unsigned a_follower(void)
{
    return the_leader() == NODES - 1 ? 0 : NODES - 1;
}

static void fill(void)
{
    simulated_propose(&simulated, 500, 1000);
    simulated_settle(&simulated);
    sim_run_for(simulated.sim, 3000ull * MS); /* the durability floor is written lazily */
}

static void start_all_but(unsigned node)
{
    for (unsigned i = 0; i < NODES; i++)
        if (i != node)
            simulated_start(&simulated, i);
}

/* ---- what is waited for ---- */

static bool opened(void *data)
{
    return node_is_open(&cluster->nodes[*(unsigned *)data]);
}

static void await_open(unsigned node)
{
    assert_true(simulated_run_until(&simulated, 5000, opened, &node));
}

static bool is_repaired(void *data)
{
    return simulated_is_settled(&simulated) && !simulated_is_damaged(&simulated, *(unsigned *)data);
}

static void await_repair(unsigned node)
{
    assert_true(simulated_run_until(&simulated, 20000, is_repaired, &node));
}

static bool is_led(void *data)
{
    (void)data;
    return cluster_leader(cluster, 0) != NULL;
}

static unsigned await_leader(void)
{
    assert_true(simulated_run_until(&simulated, 20000, is_led, NULL));
    return the_leader();
}

static void stays_without_leader(void)
{
    sim_run_for(simulated.sim, 5000ull * MS);
    assert_null(cluster_leader(cluster, 0));
}

static bool is_led_and_repaired(void *data)
{
    return is_led(NULL) && !simulated_is_damaged(&simulated, *(unsigned *)data);
}

static bool end_is_known(unsigned node)
{
    struct journal_group state;
    journal_get(cluster->nodes[node].journal, GROUP_ID, &state);
    return state.known_end_index != 0;
}

/* ---- repair and votes ---- */

static void test_is_repaired_from_the_leader(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower();
    simulated_kill(&simulated, victim);
    simulated_damage(&simulated, victim, POSITION);
    simulated_propose(&simulated, 50, 1000);
    simulated_start(&simulated, victim);
    assert_true(simulated_run_until(&simulated, 2000, simulated_is_settled, &simulated) ||
                simulated_is_damaged(&simulated, victim));
    await_repair(victim);
    simulated_propose(&simulated, 50, 1000);
    simulated_settle(&simulated);
}

static void on_read(struct log_range_req *req, int status)
{
    slice_unref(&req->bytes);
    req->data = status == ERR_CORRUPT ? req : NULL;
}

/* Its node and its links stay, and nothing new is written meanwhile. */
static void test_is_repaired_when_a_read_has_found_the_damage(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower();
    struct test_node *node = &cluster->nodes[victim];
    struct log *log = group_log(node->groups[0].group);
    struct log_range_req read = {0};
    simulated_damage(&simulated, victim, POSITION);
    assert_int_equal(log_read_range(log, &read, log_first_index(log), log_last_index(log), 1 << 20, on_read),
                     0);
    sim_run_for(simulated.sim, 1000ull * MS);
    assert_ptr_equal(read.data, &read);
    assert_true(node->groups[0].failed);
    node_reopen_group(node, 0);
    await_open(victim);
    await_repair(victim);
}

/* In the turn in which the last that it lacked comes, a read finds more damage: the word about that stays. */
static void test_who_has_failed_is_not_repaired(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower();
    struct test_node *node = &cluster->nodes[victim];
    struct group *g = node->groups[0].group;
    repair_note_end(g, log_last_term(g->log), log_last_index(g->log));
    g->repair_term = g->raft.current_term;
    g->repair_commit = g->raft.commit_index;
    group_fail(g, ERR_CORRUPT, "a read has found damage");
    group_after(g);
    sim_run_for(simulated.sim, 1000ull * MS);
    assert_true(node->groups[0].failed);
    assert_true(simulated_is_damaged(&simulated, victim));
    node_reopen_group(node, 0);
    await_open(victim);
    await_repair(victim);
}

/* Its own snapshot is newer than the one that it is sent: what lies between the two is applied again. */
static void test_an_older_snapshot_takes_the_place_of_its_own(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower();
    simulated_kill(&simulated, victim);
    cluster->entry_memory_bytes = 4 * 1024;
    simulated_start(&simulated, victim);
    for (unsigned round = 0; round < 4; round++) {
        simulated_settle(&simulated);
        simulated_propose(&simulated, 41, 1000);
        simulated_settle(&simulated);
        sim_run_for(simulated.sim, 3000ull * MS); /* snapshots reach the journal lazily */
        simulated_kill(&simulated, victim);
        simulated_damage(&simulated, victim, POSITION);
        simulated_start(&simulated, victim);
        await_repair(victim);
    }
    simulated_propose(&simulated, 50, 1000);
    simulated_settle(&simulated);
}

/* The harmed one and one that lags behind are a majority by number, but not of memories. */
static void test_does_not_elect_a_laggard(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower();
    unsigned whole = the_leader();
    unsigned laggard = NODES - victim - whole;
    simulated_kill(&simulated, laggard);
    simulated_propose(&simulated, 5, 1000);
    sim_run_for(simulated.sim, 3000ull * MS);
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, POSITION);
    simulated_start(&simulated, victim);
    simulated_start(&simulated, laggard);
    await_open(victim);
    assert_true(simulated_is_damaged(&simulated, victim));
    assert_true(end_is_known(victim));
    stays_without_leader();
    /* With the third one there is a leader, and a repair. */
    simulated_start(&simulated, whole);
    await_repair(victim);
    /* From then on it counts again. */
    simulated_kill(&simulated, the_leader());
    simulated_settle(&simulated);
}

static void test_does_not_vote_without_a_known_end(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower(), leader = the_leader();
    simulated_kill_all(&simulated);
    cluster->distrusted = victim + 1;
    start_all_but(leader);
    stays_without_leader();
    assert_true(simulated_is_damaged(&simulated, victim));
    simulated_start(&simulated, leader);
    await_repair(victim);
}

/* A journal from before the last terms: for whom it has voted in them is not known. What is left of the log
 * does not tell, but where it had ended does. */
static void test_does_not_vote_with_an_old_journal(void **state)
{
    (void)state;
    struct journal_group before;
    fill();
    unsigned victim = a_follower(), first = the_leader();
    journal_get(cluster->nodes[victim].journal, GROUP_ID, &before);
    simulated_kill(&simulated, first);
    simulated_propose(&simulated, 5, 1000);
    simulated_start(&simulated, first);
    simulated_settle(&simulated);
    sim_run_for(simulated.sim, 3000ull * MS);
    unsigned leader = the_leader();
    if (leader == victim)
        victim = first;
    journal_put_hard_state(cluster->nodes[victim].journal, GROUP_ID, before.term, 0);
    sim_run_for(simulated.sim, 50ull * MS);
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, POSITION);
    start_all_but(leader);
    stays_without_leader();
    simulated_start(&simulated, leader);
    await_repair(victim);
}

struct handed_over {
    unsigned to, victim;
    int status;
};

static void on_handed_over(void *data, int status)
{
    ((struct handed_over *)data)->status = status;
}

static bool leads(void *data)
{
    return is_led(NULL) && the_leader() == ((struct handed_over *)data)->to;
}

static struct log *log_of(unsigned node)
{
    return group_log(cluster->nodes[node].groups[0].group);
}

static bool has_first_entry_of_term(void *data)
{
    const struct handed_over *h = data;
    return log_last_term(log_of(h->victim)) == log_last_term(log_of(h->to));
}

/* Who learns of a new term by its first entry loses the power right then. Its disk has done nothing wrong:
 * the entry is not in the log before the term is in the journal. */
static void test_a_power_loss_is_not_an_old_journal(void **state)
{
    enum { ROUNDS = 40, STEP_NS = 100000 };
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned from = await_leader(), victim = a_follower();
        struct handed_over h = {.to = NODES - from - victim, .victim = victim};
        sim_link_cut(simulated.hosts[h.to], simulated.hosts[victim]); /* it is not asked for a vote */
        group_transfer(cluster->nodes[from].groups[0].group, h.to + 1, on_handed_over, &h);
        assert_true(simulated_run_until(&simulated, 20000, leads, &h));
        sim_disk_latency(simulated.hosts[victim], MS / 10, 5 * MS);
        sim_link_reset(simulated.hosts[h.to], simulated.hosts[victim]);
        sim_link_heal(simulated.hosts[h.to], simulated.hosts[victim]);
        assert_true(simulated_run_until(&simulated, 20000, has_first_entry_of_term, &h));
        sim_run_for(simulated.sim, round * STEP_NS);
        simulated_crash(&simulated, victim);
        simulated_start(&simulated, victim);
        await_open(victim);
        assert_false(simulated_is_damaged(&simulated, victim));
        simulated_propose(&simulated, 1, 100);
        simulated_settle(&simulated);
    }
}

/* Nothing is lost: the third one has it all, and each of the two knows how much that must be. */
static void test_two_of_three_harmed_elect_the_third(void **state)
{
    (void)state;
    fill();
    unsigned whole = a_follower();
    simulated_kill_all(&simulated);
    for (unsigned i = 0; i < NODES; i++)
        if (i != whole)
            simulated_damage(&simulated, i, POSITION + 1000 * i);
    simulated_start_all(&simulated);
    assert_int_equal(await_leader(), whole);
    for (unsigned i = 0; i < NODES; i++)
        await_repair(i);
    simulated_kill(&simulated, whole);
    simulated_propose(&simulated, 50, 1000);
}

static bool has_begun_to_cut(void *data)
{
    struct journal_group state;
    journal_get(cluster->nodes[*(unsigned *)data].journal, GROUP_ID, &state);
    return state.at_rest;
}

/* Both lose power while they cut off what is damaged, at another moment in each round: what has been cut by
 * then does not make them forget how much they had. */
static void test_two_of_three_lose_power_while_they_cut(void **state)
{
    enum { ROUNDS = 6, STEP_NS = 800000 };
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        fill();
        unsigned whole = a_follower();
        simulated_kill_all(&simulated);
        for (unsigned i = 0; i < NODES; i++) {
            if (i == whole)
                continue;
            sim_disk_latency(simulated.hosts[i], MS / 2, MS);
            simulated_damage(&simulated, i, POSITION + 1000 * i);
            simulated_start(&simulated, i);
            assert_true(simulated_run_until(&simulated, 5000, has_begun_to_cut, &i));
            sim_run_for(simulated.sim, round * STEP_NS);
            simulated_crash(&simulated, i);
        }
        simulated_start_all(&simulated);
        assert_int_equal(await_leader(), whole);
        for (unsigned i = 0; i < NODES; i++)
            await_repair(i);
        simulated_settle(&simulated);
    }
}

/* One of the two is enough, and it is repaired as well when it has lost its leader meanwhile. */
static void test_a_harmed_one_loses_its_leader(void **state)
{
    (void)state;
    fill();
    unsigned victim = a_follower(), leader = the_leader();
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, victim, POSITION);
    start_all_but(leader);
    for (int round = 0; round < 3; round++) {
        unsigned first = await_leader();
        if (simulated_is_damaged(&simulated, victim))
            assert_true(first != victim);
        if (first == victim)
            break;
        simulated_kill(&simulated, first);
        simulated_start(&simulated, first);
    }
    assert_true(simulated_run_until(&simulated, 20000, is_led_and_repaired, &victim));
    simulated_start(&simulated, leader);
    simulated_settle(&simulated);
}

/* ---- starting over ---- */

static void trim_all(void)
{
    for (unsigned i = 0; i < NODES; i++)
        if (cluster->nodes[i].up)
            group_trim(cluster->nodes[i].groups[0].group, INT64_MAX);
}

static bool is_damaged(void *data)
{
    unsigned node = *(unsigned *)data;
    return node_is_open(&cluster->nodes[node]) && simulated_is_damaged(&simulated, node);
}

/* Retention has overtaken it; in the middle of what it is sent instead, its leader dies. */
static unsigned begin_to_start_over(void)
{
    fill();
    unsigned victim = a_follower();
    simulated_kill(&simulated, victim);
    for (int i = 0; i < 4; i++)
        simulated_propose(&simulated, 30, 20000);
    sim_run_for(simulated.sim, 3000ull * MS); /* snapshots reach the journal lazily */
    simulated_propose(&simulated, 1, 100);
    trim_all();
    simulated_start(&simulated, victim);
    assert_true(simulated_run_until(&simulated, 20000, is_damaged, &victim));
    return victim;
}

static void test_one_that_starts_over_votes(void **state)
{
    (void)state;
    unsigned victim = begin_to_start_over();
    unsigned leader = the_leader(), other = NODES - victim - leader;
    sim_run_for(simulated.sim, 5ull * MS);
    simulated_kill(&simulated, leader);
    simulated_kill(&simulated, victim);
    simulated_start(&simulated, victim);
    await_open(victim);
    assert_true(end_is_known(victim)); /* the record has outlived it */
    assert_int_equal(await_leader(), other);
    assert_true(simulated_run_until(&simulated, 20000, is_led_and_repaired, &victim));
    simulated_propose(&simulated, 20, 1000);
    simulated_start(&simulated, leader);
    simulated_settle(&simulated);
}

/* One starts over, another one is harmed: nothing is lost either. */
static void test_one_starts_over_and_one_is_harmed(void **state)
{
    (void)state;
    unsigned victim = begin_to_start_over();
    unsigned leader = the_leader(), other = NODES - victim - leader;
    sim_run_for(simulated.sim, 5ull * MS);
    simulated_kill_all(&simulated);
    simulated_damage(&simulated, leader, POSITION);
    simulated_start_all(&simulated);
    assert_int_equal(await_leader(), other);
    await_repair(leader);
    await_repair(victim);
}

/* It knows no term, and nobody has told it one: that is no sign of having everything. */
static void test_one_that_has_lost_everything_waits_for_a_leader(void **state)
{
    (void)state;
    unsigned laggard = a_follower(), whole = the_leader();
    unsigned emptied = NODES - laggard - whole;
    simulated_kill(&simulated, laggard);
    simulated_propose(&simulated, 50, 100);
    simulated_kill_all(&simulated);
    simulated_empty(&simulated, emptied);
    cluster->distrusted = emptied + 1;
    simulated_start(&simulated, emptied);
    simulated_start(&simulated, laggard);
    stays_without_leader();
    assert_true(simulated_is_damaged(&simulated, emptied));
    simulated_start(&simulated, whole);
    await_repair(emptied);
}

static void test_a_failing_disk_stops_one_replica_only(void **state)
{
    (void)state;
    simulated_propose(&simulated, 50, 1000);
    unsigned leader = the_leader();
    struct test_group *t = &cluster->nodes[leader].groups[0];
    sim_disk_fail_writes(simulated.hosts[leader], 1000000);
    for (int i = 0; i < 2000 && !t->failed; i++) {
        if (group_is_ready_leader(t->group))
            cluster_propose(cluster, &cluster->nodes[leader], 0, 100);
        sim_run_for(simulated.sim, MS);
    }
    assert_true(t->failed);
    assert_int_equal(group_role(t->group), GROUP_FAILED);
    uint64_t acked = cluster->acked;
    simulated_propose(&simulated, 50, 100);
    assert_true(cluster->acked >= acked + 50);
    assert_true(cluster_leader(cluster, 0)->id != leader + 1);
}

int main(void)
{
#define WITH_SNAPSHOTS(name) cmocka_unit_test_setup_teardown(name, set_up_snapshots, simulated_tear_down)
#define TEST(name)           cmocka_unit_test_setup_teardown(name, set_up, simulated_tear_down), WITH_SNAPSHOTS(name)
    const struct CMUnitTest tests[] = {
        TEST(test_is_repaired_from_the_leader),
        cmocka_unit_test_setup_teardown(test_is_repaired_when_a_read_has_found_the_damage, set_up,
                                        simulated_tear_down),
        TEST(test_who_has_failed_is_not_repaired),
        WITH_SNAPSHOTS(test_an_older_snapshot_takes_the_place_of_its_own),
        TEST(test_does_not_elect_a_laggard),
        TEST(test_does_not_vote_without_a_known_end),
        TEST(test_does_not_vote_with_an_old_journal),
        TEST(test_a_power_loss_is_not_an_old_journal),
        TEST(test_two_of_three_harmed_elect_the_third),
        TEST(test_two_of_three_lose_power_while_they_cut),
        TEST(test_a_harmed_one_loses_its_leader),
        WITH_SNAPSHOTS(test_one_that_starts_over_votes),
        WITH_SNAPSHOTS(test_one_starts_over_and_one_is_harmed),
        TEST(test_one_that_has_lost_everything_waits_for_a_leader),
        TEST(test_a_failing_disk_stops_one_replica_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
