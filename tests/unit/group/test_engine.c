/* The coordinator's state machine: what members get when they come, go, hang and die. */
#include "node/group/engine_internal.h"
#include "proto/error.h"
#include "tests/unit/group/helper_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GROUP "email"

static int setup(void **state)
{
    struct world *w = malloc(sizeof(*w));
    world_open(w);
    world_add_topic(w, "orders", 12);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

static struct client *join_one(struct world *w, unsigned number)
{
    struct client *c = world_client(w, number, GROUP);
    client_subscribe(c, "orders");
    client_join(c);
    return c;
}

static void join_many(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        join_one(w, i);
    world_settle(w, 50);
    world_check_stable(w, GROUP);
}

static struct topic_partition place(const struct world *w, uint32_t partition)
{
    struct topic_partition p = {.partition = partition};
    memcpy(p.topic_id, w->topics[0].id, TOPIC_ID_SIZE);
    return p;
}

static int may_commit(const struct world *w, const struct client *c, uint32_t partition)
{
    struct engine_waiter waiter;
    struct topic_partition p = place(w, partition);
    return engine_check_commit(w->engine, c->group, c->id, c->epoch, &p, 1, w->time, &waiter, NULL);
}

/* ---- coming and going ---- */

static void test_first_member_gets_everything(void **state)
{
    struct world *w = *state;
    struct client *c = join_one(w, 0);
    world_settle(w, 20);
    assert_int_equal(c->reading.count, 12);
    assert_true(c->stable);
    world_check_stable(w, GROUP);
    assert_int_equal(w->steps_made, 1);
}

static void test_nothing_is_told_before_it_is_committed(void **state)
{
    struct world *w = *state;
    struct client *c = join_one(w, 0);
    w->time.now_ms += 10;
    world_run(w);
    assert_int_equal(w->step_count, 1);
    assert_true(queue_empty(&c->inbox));
    world_commit(w, 0);
    client_read(c, true); /* the answer first */
    assert_int_equal(c->status, 0);
    assert_int_equal(c->reading.count, 0);
    client_read(c, true);
    assert_int_equal(c->reading.count, 12);
}

static void test_joins_at_once_are_one_step(void **state)
{
    struct world *w = *state;
    join_many(w, 6);
    assert_int_equal(w->steps_made, 1);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(w->clients[i].reading.count, 2);
}

static void test_only_what_moves_is_revoked(void **state)
{
    struct world *w = *state;
    join_many(w, 3);
    for (unsigned i = 0; i < 3; i++)
        w->clients[i].moved_in = w->clients[i].moved_out = 0;
    struct client *c = join_one(w, 3);
    world_settle(w, 50);
    world_check_stable(w, GROUP);
    assert_int_equal(c->reading.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(w->clients[i].moved_in, 0);
        assert_int_equal(w->clients[i].moved_out, 1);
    }
}

static void test_handed_over_only_once_let_go(void **state)
{
    struct world *w = *state;
    join_many(w, 1);
    struct client *old = &w->clients[0], *new = join_one(w, 1);
    w->time.now_ms += 10;
    world_run(w);
    world_commit(w, 0);
    client_read(new, true);
    client_read(new, true);
    assert_int_equal(new->reading.count, 0); /* the old one has not let go */
    client_read(old, false);
    assert_int_equal(old->reading.count, 6);
    for (int i = 0; i < 20; i++) { /* nor has it said so */
        world_pass(w, 1000);
        engine_heartbeat(w->engine, GROUP, old->id, old->epoch, NULL, w->time);
        client_heartbeat(new);
    }
    assert_int_equal(w->step_count, 0);
    assert_int_equal(may_commit(w, old, new->reading.count == 0 ? 0 : 1), 0);
    client_heartbeat(old);
    world_settle(w, 10);
    assert_int_equal(new->reading.count, 6);
    world_check_stable(w, GROUP);
}

static void test_leaving_hands_over(void **state)
{
    struct world *w = *state;
    join_many(w, 3);
    for (unsigned i = 0; i < 3; i++)
        w->clients[i].moved_out = 0;
    client_leave(&w->clients[1]);
    world_settle(w, 20);
    world_check_stable(w, GROUP);
    assert_int_equal(w->clients[0].reading.count, 6);
    assert_int_equal(w->clients[0].moved_out + w->clients[2].moved_out, 0);
    assert_int_equal(w->deaths, 0);
    assert_int_equal(may_commit(w, &w->clients[1], 0), ERR_UNKNOWN_MEMBER);
}

static void test_more_members_than_partitions(void **state)
{
    struct world *w = *state;
    join_many(w, 15);
    unsigned idle = 0;
    struct client *busy = NULL;
    for (unsigned i = 0; i < 15; i++) {
        idle += w->clients[i].reading.count == 0;
        if (w->clients[i].reading.count == 1)
            busy = &w->clients[i];
        assert_true(w->clients[i].reading.count <= 1);
    }
    assert_int_equal(idle, 3);
    client_leave(busy);
    world_settle(w, 20);
    world_check_stable(w, GROUP);
}

static void test_last_one_out_leaves_an_empty_group(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    client_leave(&w->clients[0]);
    client_leave(&w->clients[1]);
    world_settle(w, 20);
    const struct consumer_group *g = group_table_find(&w->table, GROUP);
    assert_null(g->members);
    assert_true(g->empty_since_ms > 0);
    int64_t epoch = g->epoch;
    join_many(w, 1);
    g = group_table_find(&w->table, GROUP);
    assert_int_equal(g->empty_since_ms, 0);
    assert_true(g->epoch > epoch);
}

/* ---- death ---- */

static void test_lost_connection_starts_the_grace(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    client_disconnect(&w->clients[1]);
    world_settle(w, 900);
    assert_int_equal(w->clients[0].reading.count, 6);
    world_settle(w, 200);
    assert_int_equal(w->clients[0].reading.count, 12);
    assert_int_equal(w->deaths, 1);
    assert_int_equal(may_commit(w, &w->clients[1], 0), ERR_UNKNOWN_MEMBER);
}

static void test_back_within_the_grace_nobody_notices(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    struct client *c = &w->clients[1];
    int64_t epoch = w->clients[0].epoch;
    unsigned moved = c->moved_in;
    client_disconnect(c);
    world_settle(w, 500);
    client_join(c);
    world_settle(w, 2000);
    world_check_stable(w, GROUP);
    assert_int_equal(w->deaths, 0);
    assert_int_equal(w->clients[0].epoch, epoch);
    assert_int_equal(c->moved_in, moved);
    assert_int_equal(c->reading.count, 6);
}

static void test_silence_is_death_after_the_session(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    w->clients[1].joined = false; /* it hangs: no heartbeat */
    world_settle(w, 9000);
    assert_int_equal(w->deaths, 0);
    world_settle(w, 1500);
    assert_int_equal(w->deaths, 1);
    assert_int_equal(w->clients[1].lost, 1); /* the push reaches it once it wakes */
    world_settle(w, 100);
    world_check_stable(w, GROUP);
    assert_int_equal(w->clients[1].reading.count, 6); /* joined anew */
}

static void test_commits_are_heartbeats(void **state)
{
    struct world *w = *state;
    join_many(w, 1);
    struct client *c = &w->clients[0];
    for (int i = 0; i < 5; i++) {
        world_pass(w, 8000);
        assert_int_equal(may_commit(w, c, 0), 0);
    }
    assert_int_equal(w->step_count, 0);
    world_pass(w, 11000);
    assert_int_equal(w->step_count, 1);
}

static void test_not_letting_go_is_death_too(void **state)
{
    struct world *w = *state;
    w->clients[0].world = NULL;
    join_many(w, 1);
    struct client *old = &w->clients[0], *new = join_one(w, 1);
    w->time.now_ms += 10;
    world_run(w);
    world_commit(w, 0);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(new->reading.count, 0);
        world_pass(w, 1000);
        engine_heartbeat(w->engine, GROUP, old->id, old->epoch, NULL, w->time);
        engine_heartbeat(w->engine, GROUP, new->id, 0, NULL, w->time);
        world_run(w);
        world_commit(w, 0);
        while (!queue_empty(&new->inbox))
            client_read(new, true);
    }
    assert_int_equal(w->deaths, 1);
    assert_int_equal(new->reading.count, 12);
    assert_int_equal(may_commit(w, old, 0), ERR_UNKNOWN_MEMBER);
}

static void test_connection_lost_while_joining(void **state)
{
    struct world *w = *state;
    struct client *c = join_one(w, 0);
    w->time.now_ms += 10;
    world_run(w);
    client_disconnect(c);
    world_commit(w, 0);
    assert_non_null(world_member(w, c));
    world_settle(w, 1200);
    assert_null(world_member(w, c));
}

/* The coordinator's process is stopped for a minute and goes on: it knows that it has not listened. */
static void test_a_stalled_coordinator_blames_nobody(void **state)
{
    struct world *w = *state;
    join_many(w, 3);
    world_settle(w, 500);
    w->time.now_ms += 60000;
    world_run(w);
    assert_int_equal(w->step_count, 0);
    world_settle(w, 3000);
    assert_int_equal(w->deaths, 0);
    w->clients[1].joined = false; /* one hangs all the same */
    world_settle(w, 12000);
    assert_int_equal(w->deaths, 1);
}

/* ---- static members ---- */

static struct client *join_static(struct world *w, unsigned number, const char *instance_id)
{
    struct client *c = world_client(w, number, GROUP);
    c->instance_id = instance_id;
    client_subscribe(c, "orders");
    client_join(c);
    return c;
}

static void test_static_member_restarts_unnoticed(void **state)
{
    struct world *w = *state;
    struct client *other = join_static(w, 0, "a"), *before = join_static(w, 1, "b");
    world_settle(w, 20);
    struct partition_set had;
    partition_set_copy(&had, &before->reading);
    client_disconnect(before);
    world_settle(w, 5000); /* longer than the grace, shorter than the session */
    assert_int_equal(w->deaths, 0);
    unsigned moved = other->moved_in + other->moved_out;
    struct client *after = join_static(w, 2, "b"); /* a new process, a new id */
    world_settle(w, 20);
    world_check_stable(w, GROUP);
    assert_true(partition_set_equal(&after->reading, &had));
    assert_int_equal(other->moved_in + other->moved_out, moved);
    assert_null(world_member(w, before));
    partition_set_close(&had);
}

static void test_static_predecessor_is_fenced(void **state)
{
    struct world *w = *state;
    struct client *before = join_static(w, 0, "a");
    world_settle(w, 20);
    struct client *after = join_static(w, 1, "a");
    w->time.now_ms += 10;
    world_run(w);
    world_commit(w, 0);
    client_read(after, true);
    assert_int_equal(may_commit(w, before, 0), ERR_UNKNOWN_MEMBER);
    assert_int_equal(may_commit(w, after, 0), 0);
    client_read(before, true);
    assert_int_equal(before->lost, 1);
}

static void test_two_predecessors_in_one_step(void **state)
{
    struct world *w = *state;
    struct client *first = join_static(w, 0, "a"), *second = join_static(w, 1, "a");
    world_pass(w, 10);
    assert_int_equal(w->step_count, 1);
    world_commit(w, 0);
    client_read(first, true);
    client_read(second, true);
    assert_int_equal(first->status, ERR_FENCED_MEMBER);
    assert_int_equal(second->status, 0);
    assert_null(world_member(w, first));
}

static void test_operator_removes_a_static_member(void **state)
{
    struct world *w = *state;
    struct client *c = join_static(w, 0, "a");
    world_settle(w, 20);
    engine_leave(w->engine, GROUP, "", "a", NULL, w->time);
    world_run(w);
    world_commit(w, 0);
    assert_int_equal(w->last_answer, 0);
    assert_null(world_member(w, c));
    client_read(c, true);
    assert_int_equal(c->lost, 1);
}

/* ---- topics ---- */

static void test_patterns_pick_up_new_topics(void **state)
{
    struct world *w = *state;
    world_add_topic(w, "__consumer_offsets", 4);
    for (unsigned i = 0; i < 2; i++) {
        struct client *c = world_client(w, i, GROUP);
        c->pattern = "*";
        client_join(c);
    }
    world_settle(w, 20);
    assert_int_equal(w->clients[0].reading.count, 6);
    world_add_topic(w, "audit", 3);
    world_settle(w, 20);
    world_check_stable(w, GROUP);
    size_t total = w->clients[0].reading.count + w->clients[1].reading.count;
    assert_int_equal(total, 15);
    assert_true(w->clients[0].reading.count >= 7 && w->clients[1].reading.count >= 7);
}

static void test_pattern_language(void **state)
{
    (void)state;

    assert_true(topic_pattern_matches("order.*", "order.new"));
    assert_false(topic_pattern_matches("order.*", "orders"));
    assert_true(topic_pattern_matches("*", "x"));
    assert_true(topic_pattern_matches("a?c", "abc"));
    assert_false(topic_pattern_matches("a?c", "ac"));
    assert_true(topic_pattern_matches("*-eu-*", "orders-eu-1"));
    assert_true(topic_pattern_matches("*.log", "a.log.log"));
    assert_false(topic_pattern_matches("a*b", "abc"));
    assert_true(topic_pattern_matches("a**", "a"));
}

static void test_partitions_are_added_while_running(void **state)
{
    struct world *w = *state;
    join_many(w, 3);
    w->topics[0].partition_count = 24;
    engine_topics_changed(w->engine);
    world_settle(w, 20);
    world_check_stable(w, GROUP);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(w->clients[i].reading.count, 8);
        assert_int_equal(w->clients[i].moved_out, 0);
    }
}

static void test_different_subscriptions(void **state)
{
    struct world *w = *state;
    world_add_topic(w, "audit", 6);
    struct client *a = world_client(w, 0, GROUP), *b = world_client(w, 1, GROUP),
                  *both = world_client(w, 2, GROUP);
    client_subscribe(a, "orders");
    client_subscribe(b, "audit");
    client_subscribe(both, "orders");
    client_subscribe(both, "audit");
    client_subscribe(both, "not-there-yet");
    client_join(a);
    client_join(b);
    client_join(both);
    world_settle(w, 20);
    world_check_stable(w, GROUP);
    world_add_topic(w, "not-there-yet", 5);
    world_settle(w, 20);
    world_check_stable(w, GROUP);
}

static void test_deleted_topic_is_let_go(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    w->topic_count = 0;
    engine_topics_changed(w->engine);
    world_settle(w, 20);
    assert_int_equal(w->clients[0].reading.count, 0);
    assert_true(consumer_group_is_stable(group_table_find(&w->table, GROUP)));
}

/* ---- the coordinator ---- */

static void test_fail_over_is_not_noticed(void **state)
{
    struct world *w = *state;
    join_many(w, 3);
    int64_t epochs[3];
    unsigned moved = 0;
    for (unsigned i = 0; i < 3; i++) {
        epochs[i] = w->clients[i].epoch;
        moved += w->clients[i].moved_in + w->clients[i].moved_out;
    }
    world_fail_over(w, 0);
    world_settle(w, 8000);
    world_check_stable(w, GROUP);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(w->clients[i].epoch, epochs[i]);
        moved -= w->clients[i].moved_in + w->clients[i].moved_out;
    }
    assert_int_equal(moved, 0);
    assert_int_equal(w->deaths, 0);
}

static void test_new_coordinator_waits_for_a_session(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    client_disconnect(&w->clients[1]); /* its grace was 1 s; the new coordinator knows nothing of it */
    world_fail_over(w, 0);
    world_settle(w, 9000);
    assert_int_equal(w->deaths, 0);
    world_settle(w, 2000);
    assert_int_equal(w->deaths, 1);
    assert_int_equal(w->clients[0].reading.count, 12);
}

static void test_failed_step_is_tried_again(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    client_disconnect(&w->clients[1]);
    world_pass(w, 1001);
    assert_int_equal(w->step_count, 1);
    world_commit(w, ERR_OVERLOADED);
    assert_int_equal(w->deaths, 0);
    world_settle(w, 500);
    assert_int_equal(w->deaths, 1);
    assert_int_equal(w->clients[0].reading.count, 12);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    struct world *w = *state;
    struct client *c = world_client(w, 0, GROUP);
    client_subscribe(c, "orders");
    c->epoch = 7; /* from a group that is not there any more */
    client_join(c);
    w->time.now_ms += 10;
    world_run(w);
    world_commit(w, 0);
    assert_int_equal(w->last_answer, ERR_UNKNOWN_MEMBER);
    assert_int_equal(engine_heartbeat(w->engine, "nobody", "x", 0, NULL, w->time), ERR_UNKNOWN_MEMBER);
    engine_leave(w->engine, GROUP, "stranger", "", NULL, w->time);
    world_run(w);
    assert_int_equal(w->last_answer, ERR_UNKNOWN_MEMBER);
}

static void test_group_full(void **state)
{
    struct world *w = *state;
    engine_destroy(w->engine);
    w->settings.members_max = 2;
    w->engine = NULL;
    group_table_clear(&w->table);
    world_open(w);
    world_add_topic(w, "orders", 12);
    w->settings.members_max = 2;
    world_fail_over(w, 0);
    struct client *c = NULL;
    for (unsigned i = 0; i < 3; i++)
        c = join_one(w, i);
    w->time.now_ms += 10;
    world_run(w);
    world_commit(w, 0);
    client_read(c, true);
    assert_int_equal(c->status, ERR_GROUP_FULL);
}

static struct client *join_group(struct world *w, unsigned number, const char *group)
{
    struct client *c = world_client(w, number, group);
    client_subscribe(c, "orders");
    client_join(c);
    w->time.now_ms += 10;
    world_run(w);
    world_commit(w, 0);
    client_read(c, true);
    return c;
}

static void test_one_group_too_many(void **state)
{
    struct world *w = *state;
    engine_destroy(w->engine);
    w->engine = NULL;
    group_table_clear(&w->table);
    world_open(w);
    world_add_topic(w, "orders", 12);
    w->settings.groups_max = 1;
    world_fail_over(w, 0);
    assert_int_equal(join_group(w, 0, GROUP)->status, 0);
    assert_int_equal(join_group(w, 1, GROUP)->status, 0);
    assert_int_equal(join_group(w, 2, "another")->status, ERR_INVALID_GROUP);
}

static void on_wait_over(struct engine_waiter *waiter)
{
    waiter->cb = NULL;
}

static void test_commits_wait_for_a_step(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    struct engine_waiter waiter;
    struct topic_partition mine = w->clients[1].reading.items[0];
    struct client *c = &w->clients[1];
    client_disconnect(c);
    world_pass(w, 1001);
    assert_int_equal(
        engine_check_commit(w->engine, GROUP, c->id, c->epoch, &mine, 1, w->time, &waiter, on_wait_over),
        ENGINE_WAIT);
    world_commit(w, 0);
    assert_null(waiter.cb);
    assert_int_equal(
        engine_check_commit(w->engine, GROUP, c->id, c->epoch, &mine, 1, w->time, &waiter, on_wait_over),
        ERR_UNKNOWN_MEMBER);
    struct client *other = &w->clients[0];
    assert_int_equal(engine_check_commit(w->engine, GROUP, other->id, other->epoch, &mine, 1, w->time,
                                         &waiter, on_wait_over),
                     0);
    assert_int_equal(engine_check_commit(w->engine, GROUP, "", 0, &mine, 1, w->time, &waiter, on_wait_over),
                     ERR_GROUP_NOT_EMPTY);
}

static void test_commits_of_others_partitions_are_refused(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    struct engine_waiter waiter;
    for (unsigned i = 0; i < 2; i++) {
        struct topic_partition theirs = w->clients[1 - i].reading.items[0];
        assert_int_equal(engine_check_commit(w->engine, GROUP, w->clients[i].id, w->clients[i].epoch, &theirs,
                                             1, w->time, &waiter, NULL),
                         ERR_FENCED_MEMBER);
    }
}

/* It was given up, others had what it had read, and now it is back under the same name. */
static void test_commits_of_an_earlier_life_are_refused(void **state)
{
    struct world *w = *state;
    join_many(w, 2);
    struct engine_waiter waiter;
    struct client *c = &w->clients[1];
    int64_t before = c->epoch;
    client_disconnect(c);
    world_pass(w, 1001);
    world_commit(w, 0);
    world_settle(w, 50);
    assert_null(world_member(w, c));
    partition_set_close(&c->reading);
    partition_set_close(&c->assigned);
    assert_int_equal(join_one(w, 1)->status, 0);
    world_settle(w, 50);
    struct topic_partition mine = c->reading.items[0];
    assert_int_equal(engine_check_commit(w->engine, GROUP, c->id, before, &mine, 1, w->time, &waiter, NULL),
                     ERR_FENCED_MEMBER);
    assert_int_equal(engine_check_commit(w->engine, GROUP, c->id, c->epoch, &mine, 1, w->time, &waiter, NULL),
                     0);
    world_fail_over(w, 0);
    assert_int_equal(engine_check_commit(w->engine, GROUP, c->id, before, &mine, 1, w->time, &waiter, NULL),
                     ERR_FENCED_MEMBER);
}

static void test_assignor_of_the_oldest_counts(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 3; i++) {
        struct client *c = world_client(w, i, GROUP);
        c->assignor = i == 0 ? "range" : "sticky";
        client_subscribe(c, "orders");
        client_join(c);
    }
    world_settle(w, 20);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(w->clients[i].reading.count, 4);
        assert_int_equal(w->clients[i].reading.items[0].partition, 4 * i);
        assert_int_equal(w->clients[i].reading.items[3].partition, 4 * i + 3);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_member_gets_everything),
        TEST(test_nothing_is_told_before_it_is_committed),
        TEST(test_joins_at_once_are_one_step),
        TEST(test_only_what_moves_is_revoked),
        TEST(test_handed_over_only_once_let_go),
        TEST(test_leaving_hands_over),
        TEST(test_more_members_than_partitions),
        TEST(test_last_one_out_leaves_an_empty_group),
        TEST(test_lost_connection_starts_the_grace),
        TEST(test_back_within_the_grace_nobody_notices),
        TEST(test_silence_is_death_after_the_session),
        TEST(test_commits_are_heartbeats),
        TEST(test_not_letting_go_is_death_too),
        TEST(test_connection_lost_while_joining),
        TEST(test_a_stalled_coordinator_blames_nobody),
        TEST(test_static_member_restarts_unnoticed),
        TEST(test_static_predecessor_is_fenced),
        TEST(test_two_predecessors_in_one_step),
        TEST(test_operator_removes_a_static_member),
        TEST(test_patterns_pick_up_new_topics),
        TEST(test_pattern_language),
        TEST(test_partitions_are_added_while_running),
        TEST(test_different_subscriptions),
        TEST(test_deleted_topic_is_let_go),
        TEST(test_fail_over_is_not_noticed),
        TEST(test_new_coordinator_waits_for_a_session),
        TEST(test_failed_step_is_tried_again),
        TEST(test_commits_wait_for_a_step),
        TEST(test_refusals),
        TEST(test_group_full),
        TEST(test_one_group_too_many),
        TEST(test_commits_of_others_partitions_are_refused),
        TEST(test_commits_of_an_earlier_life_are_refused),
        TEST(test_assignor_of_the_oldest_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
