/* Each guard as a function, on a group whose core is only a struct: what it lets through, what it changes,
 * and that its switch works. That the defects are real is the simulator's business. */
#include "helper_message.h"
#include "node/consensus/configuration.h"
#include "node/consensus/group_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct consensus consensus;
static struct group group;
static struct raft_progress progress[3];
static struct raft_transfer transfer;

static int set_up(void **state)
{
    const uint32_t ids[] = {1, 2, 3};
    (void)state;
    heap_install();
    memset(&consensus, 0, sizeof consensus);
    memset(&group, 0, sizeof group);
    memset(progress, 0, sizeof progress);
    consensus.options.guards = GUARD_ALL;
    consensus.options.node_id = 1;
    group.consensus = &consensus;
    group.running = true;
    group.raft.id = 1;
    group.raft.current_term = 5;
    group.raft.state = RAFT_FOLLOWER;
    configuration_of_voters(&group.raft.configuration, ids, 3);
    queue_init(&group.held);
    queue_init(&group.held_results);
    queue_init(&group.appends);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    raft_configuration_close(&group.raft.configuration);
    return 0;
}

static void lead(void)
{
    group.raft.state = RAFT_LEADER;
    group.raft.leader_state.progress = progress;
    group.raft.leader_state.change = NULL;
}

static struct message append_of(uint64_t term, uint64_t prev, unsigned n)
{
    struct message message = {.group_id = 1};
    message.m.type = RAFT_IO_APPEND_ENTRIES;
    message.m.server_id = 2;
    message.m.append_entries.term = term;
    message.m.append_entries.prev_log_index = prev;
    message.m.append_entries.n_entries = n;
    return message;
}

static struct message result_of(uint64_t term, uint64_t rejected)
{
    struct message message = {.group_id = 1};
    message.m.type = RAFT_IO_APPEND_ENTRIES_RESULT;
    message.m.server_id = 2;
    message.m.append_entries_result.term = term;
    message.m.append_entries_result.rejected = rejected;
    return message;
}

static void test_ack_cap(void **state)
{
    (void)state;
    struct message heartbeat = append_of(5, 10, 0);
    struct raft_append_entries_result result = {.term = 5,
                                                .last_log_index = 15}; /* 11 to 15: a stale suffix */
    group.raft.last_stored = 15;
    group.current = &heartbeat;
    assert_true(guard_ack_cap(&group, &result));
    assert_int_equal(result.last_log_index, 10);
    /* Later, from an append's completion: what has been accepted in this term still counts. */
    group.current = NULL;
    result.last_log_index = 15;
    assert_true(guard_ack_cap(&group, &result));
    assert_int_equal(result.last_log_index, 10);
    /* Truncated below. */
    guard_match_truncate(&group, 8);
    result.last_log_index = 15;
    assert_true(guard_ack_cap(&group, &result));
    assert_int_equal(result.last_log_index, 7);
    /* A newer term starts from nothing: no acknowledgement at all. */
    group.raft.current_term = result.term = 6;
    assert_false(guard_ack_cap(&group, &result));
    /* Never more than what is stored. */
    struct message entries = append_of(6, 10, 8);
    group.current = &entries;
    result.last_log_index = 18;
    assert_true(guard_ack_cap(&group, &result));
    assert_int_equal(result.last_log_index, 15);
    consensus.options.guards = GUARD_ALL & ~(unsigned)GUARD_ACK_CAP;
    result.last_log_index = 99;
    assert_true(guard_ack_cap(&group, &result));
    assert_int_equal(result.last_log_index, 99);
}

static void test_own_term_commit(void **state)
{
    (void)state;
    struct message result = result_of(5, 0);
    lead();
    group.barrier_index = 20;
    group.raft.last_stored = 19;
    assert_true(guard_own_term_commit(&group, &result));
    group.raft.last_stored = 20;
    assert_false(guard_own_term_commit(&group, &result));
    /* A leader whose barrier the core did not take yet, because an earlier transfer is pending there. */
    group.barrier_index = 0;
    assert_true(guard_own_term_commit(&group, &result));
    group.barrier_index = 20;
    group.raft.last_stored = 19;
    group.raft.state = RAFT_FOLLOWER;
    assert_false(guard_own_term_commit(&group, &result));
    group.raft.state = RAFT_LEADER;
    consensus.options.guards = 0;
    assert_false(guard_own_term_commit(&group, &result));
}

static void test_term_hold(void **state)
{
    (void)state;
    struct message newer = append_of(6, 0, 0), same = append_of(5, 0, 0), vote = {.group_id = 1},
                   now = {.group_id = 1};
    assert_false(guard_term_hold(&group, &newer)); /* the disk is quiet */
    group.inflight = 1;
    assert_true(guard_term_hold(&group, &newer));
    assert_false(guard_term_hold(&group, &same));
    now.m.type = RAFT_IO_TIMEOUT_NOW;
    now.m.timeout_now.term = 5;
    assert_true(guard_term_hold(&group, &now));
    vote.m.type = RAFT_IO_REQUEST_VOTE;
    vote.m.request_vote.term = 6;
    vote.m.request_vote.pre_vote = true;
    assert_false(guard_term_hold(&group, &vote));
    vote.m.request_vote.pre_vote = false;
    assert_true(guard_term_hold(&group, &vote));
    /* Order is kept: once something waits, all that follows does. */
    queue_push(&group.held, &newer.node);
    group.inflight = 0;
    assert_true(guard_term_hold(&group, &same));
    queue_remove(&newer.node);
}

static void test_tick_gate(void **state)
{
    (void)state;
    assert_false(guard_tick_gate(&group));
    group.inflight = 1;
    assert_true(guard_tick_gate(&group));
    lead();
    assert_false(guard_tick_gate(&group));
}

static void test_release_step(void **state)
{
    (void)state;
    struct append_op op = {.first = 21, .last = 30, .durable = true};
    lead();
    group.barrier_index = 20;
    group.stored_index = 30;
    progress[1].match_index = 25;
    progress[2].match_index = 10;
    assert_true(guard_release_step(&group, &op)); /* a majority has up to 25 */
    progress[2].match_index = 30;
    assert_false(guard_release_step(&group, &op));
    progress[1].match_index = progress[2].match_index = 0;
    assert_true(guard_release_step(&group, &op));
    struct append_op barrier = {.first = 20, .last = 20, .durable = true};
    assert_false(guard_release_step(&group, &barrier));
    struct message waiting;
    queue_push(&group.held, &waiting.node);
    assert_false(guard_release_step(&group, &op)); /* a newer term waits for the disk to drain */
    queue_remove(&waiting.node);
    group.raft.state = RAFT_FOLLOWER;
    assert_false(guard_release_step(&group, &op));
}

static void test_backoff_hint(void **state)
{
    (void)state;
    struct message append = append_of(5, 30, 1);
    struct raft_append_entries_result result = {.term = 5, .rejected = 30, .last_log_index = 40};
    group.current = &append;
    group.raft.commit_index = 12;
    guard_backoff_hint(&group, &result);
    assert_int_equal(result.last_log_index, 12);
    result.last_log_index = 20; /* shorter than the rejected index: the core's own hint is good */
    guard_backoff_hint(&group, &result);
    assert_int_equal(result.last_log_index, 20);
}

static void test_one_vote(void **state)
{
    (void)state;
    struct message vote = {.group_id = 1};
    vote.m.type = RAFT_IO_REQUEST_VOTE;
    vote.m.request_vote.term = 5;
    vote.m.request_vote.candidate_id = 3;
    group.raft.voted_for = 2;
    assert_false(guard_one_vote(&group, &vote));
    group.raft.transfer = &transfer;
    assert_true(guard_one_vote(&group, &vote));
    vote.m.request_vote.candidate_id = 2;
    assert_false(guard_one_vote(&group, &vote));
}

static void test_configuration(void **state)
{
    (void)state;
    group.raft.last_applied = 10;
    group.raft.configuration_index = 1;
    assert_false(guard_configuration_snapshot(&group));
    group.raft.configuration_uncommitted_index = 11;
    assert_true(guard_configuration_snapshot(&group));
    guard_configuration_installed(&group, 10);
    assert_int_equal(group.raft.configuration_uncommitted_index, 11);
    guard_configuration_installed(&group, 12);
    assert_int_equal(group.raft.configuration_uncommitted_index, 0);
}

static void test_prevote_term(void **state)
{
    (void)state;
    struct raft_request_vote_result result = {.term = 3, .pre_vote = raft_tribool_true};
    guard_prevote_term(&group, &result);
    assert_int_equal(result.term, 5);
    result.term = 6;
    guard_prevote_term(&group, &result);
    assert_int_equal(result.term, 6);
}

static void test_single_voter(void **state)
{
    (void)state;
    struct raft_configuration single;
    const uint32_t self = 1, other = 2;
    assert_false(guard_single_voter(&group, &group.raft.configuration));
    configuration_of_voters(&single, &self, 1);
    assert_true(guard_single_voter(&group, &single));
    raft_configuration_close(&single);
    configuration_of_voters(&single, &other, 1);
    assert_false(guard_single_voter(&group, &single));
    raft_configuration_close(&single);
}

static void test_retry_at_once(void **state)
{
    (void)state;
    struct message rejected = result_of(5, 7), accepted = result_of(5, 0);
    lead();
    progress[1].last_send = progress[2].last_send = 1000;
    guard_retry_at_once(&group, &accepted);
    assert_int_equal(progress[1].last_send, 1000);
    guard_retry_at_once(&group, &rejected);
    assert_int_equal(progress[1].last_send, 0);
    assert_int_equal(progress[2].last_send, 1000);
    assert_int_equal(consensus_guard_counts(&consensus)[11], 1);
}

static struct raft_append_entries *entries_from(struct message *message, uint64_t prev, unsigned n)
{
    struct raft_append_entries *a = &message->m.append_entries;
    *message = append_of(5, prev, n);
    a->prev_log_term = 2;
    a->entries = n > 0 ? raft_calloc(n, sizeof *a->entries) : NULL;
    void *batch = n > 0 ? heap_batch_create(n, 0) : NULL;
    for (unsigned i = 0; i < n; i++)
        a->entries[i] = (struct raft_entry){.term = prev + 1 + i < 20 ? 2 : 3, .batch = batch};
    return a;
}

static void test_log_start(void **state)
{
    (void)state;
    struct message message;
    size_t live = heap_live_blocks();
    group.raft.log.offset = 15;
    group.raft.log.snapshot.last_index = 20;
    group.raft.log.snapshot.last_term = 3;
    /* What goes beyond the snapshot keeps what is new; the term at the snapshot is compared by the core. */
    struct raft_append_entries *a = entries_from(&message, 0, 22);
    a->leader_commit = 22;
    guard_log_start(&group, &message);
    assert_int_equal(a->prev_log_index, 20);
    assert_int_equal(a->prev_log_term, 3);
    assert_int_equal(a->n_entries, 2);
    assert_int_equal(a->leader_commit, 22);
    message_clear(&message);
    /* What ends before is a heartbeat that proves no more than the snapshot. */
    a = entries_from(&message, 15, 3);
    a->leader_commit = 22;
    guard_log_start(&group, &message);
    assert_int_equal(a->prev_log_index, 20);
    assert_int_equal(a->prev_log_term, 3);
    assert_int_equal(a->n_entries, 0);
    assert_null(a->entries);
    assert_int_equal(a->leader_commit, 20);
    /* An entry that can't be there: the core gets to see that it contradicts what is committed. */
    a = entries_from(&message, 14, 2);
    a->entries[1].term = 4;
    guard_log_start(&group, &message);
    assert_int_equal(a->prev_log_index, 20);
    assert_int_equal(a->prev_log_term, 4);
    assert_int_equal(consensus_guard_counts(&consensus)[13], 3);
    /* Left alone: what begins in memory, is of an older term, or finds the whole log in memory. */
    entries_from(&message, 16, 2);
    guard_log_start(&group, &message);
    message_clear(&message);
    entries_from(&message, 0, 2);
    message.m.append_entries.term = 4;
    guard_log_start(&group, &message);
    message_clear(&message);
    entries_from(&message, 0, 2);
    group.raft.log.offset = 0;
    guard_log_start(&group, &message);
    message_clear(&message);
    assert_int_equal(consensus_guard_counts(&consensus)[13], 3);
    assert_int_equal(heap_live_blocks(), live);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_ack_cap),      TEST(test_own_term_commit), TEST(test_term_hold),
        TEST(test_tick_gate),    TEST(test_release_step),    TEST(test_backoff_hint),
        TEST(test_one_vote),     TEST(test_configuration),   TEST(test_prevote_term),
        TEST(test_single_voter), TEST(test_retry_at_once),   TEST(test_log_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
