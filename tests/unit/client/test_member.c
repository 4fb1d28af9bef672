/* A group's member against a coordinator that does as the test says: what is taken, kept and let go when. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/unit/client/helper_network.h"
#include <string.h>

enum { PARTITIONS = 4 };

struct fixture {
    struct network n;
    int64_t next[PARTITIONS]; /* offset that must come next; -1: any */
    int count;
    int errors;
    int last_error;
    unsigned events[3]; /* by enum flotilla_rebalance */
    uint32_t last[3];   /* partitions, as bits */
};

static const char *const plain[] = {"group", "g1", "session.timeout.ms", "3000", NULL};

static struct fixture *setup(const char *const *options, bool tells)
{
    static const char *const topics[] = {"orders"};
    struct core_join join = {.topics = topics, .topic_count = 1, .tells = tells};
    struct fixture *f = calloc(1, sizeof(*f));

    network_init(&f->n, PARTITIONS, options != NULL ? options : plain);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        f->n.broker.partitions[i].leader = 2 + i % 2; /* the coordinator's node leads nothing else */
    network_open_consumer(&f->n);
    core_consumer_join(f->n.consumer, &join);
    return f;
}

static void teardown(struct fixture *f)
{
    network_close(&f->n);
    free(f);
}

static void append(struct fixture *f, uint32_t partition, int count)
{
    broker_append(&f->n.broker, partition, (int)f->n.broker.partitions[partition].next_offset, count, 0);
}

static void take(struct fixture *f, struct flotilla_batch *batch)
{
    const struct flotilla_record *r;

    if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
        f->errors++;
        f->last_error = flotilla_batch_status(batch);
    }
    while ((r = flotilla_batch_next(batch)) != NULL) {
        assert_int_equal(r->offset, f->next[r->partition]);
        f->next[r->partition]++;
        f->count++;
    }
    flotilla_batch_release(batch);
}

static void hear(struct fixture *f)
{
    struct inbox_rebalance *r;

    while ((r = inbox_take_rebalance(f->n.inbox, 0)) != NULL) {
        f->events[r->event]++;
        f->last[r->event] = 0;
        for (size_t i = 0; i < r->count; i++)
            f->last[r->event] |= 1u << inbox_partition_index(r->partitions[i]);
        inbox_end_rebalance(f->n.inbox, r);
    }
}

static void take_all(struct fixture *f)
{
    struct flotilla_batch *batch;

    hear(f);
    while ((batch = inbox_poll(f->n.inbox, 0)) != NULL)
        take(f, batch);
}

/* Runs for a while with an application that polls. */
static void run(struct fixture *f, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        network_run(&f->n, MS);
        take_all(f);
    }
}

/* The member whom the group knows. */
static struct broker_member *member(struct fixture *f)
{
    for (unsigned i = 0; i < f->n.broker.member_count; i++)
        if (f->n.broker.members[i].is_known)
            return &f->n.broker.members[i];
    fail_msg("nobody joined");
    return NULL;
}

static int64_t committed(const struct fixture *f, uint32_t partition)
{
    return f->n.broker.partitions[partition].committed[1];
}

static uint32_t owned(struct fixture *f)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (core_consumer_owns(f->n.consumer, "orders", i))
            bits |= 1u << i;
    return bits;
}

static void reads_what_is_assigned(void **state)
{
    struct fixture *f = setup(NULL, true);

    (void)state;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        append(f, i, 10);
    f->n.broker.partitions[2].committed[1] = 7;
    f->next[2] = 7;
    run(f, 20);
    assert_int_equal(member(f)->joins, 1);
    assert_int_equal(member(f)->topics, 1);
    assert_int_equal(f->count, 0);
    broker_member_push(&f->n.broker, member(f), 0x5);
    run(f, 20);
    assert_int_equal(f->count, 13);
    assert_int_equal(f->events[FLOTILLA_ASSIGNED], 1);
    assert_int_equal(f->last[FLOTILLA_ASSIGNED], 0x5);
    assert_int_equal(member(f)->owned, 0x5); /* reported at once, not with the next heartbeat */
    assert_int_equal(member(f)->told_epoch, member(f)->epoch);
    unsigned before = member(f)->heartbeats;
    run(f, 1000);
    assert_in_range(member(f)->heartbeats, before + 4, before + 6);
    teardown(f);
}

/* Only what moves is touched; and it moves when the application is done with it, not before. */
static void lets_go_of_what_is_finished_and_committed(void **state)
{
    struct fixture *f = setup(NULL, true);

    (void)state;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        append(f, i, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0xf);
    network_run(&f->n, 20 * MS);
    hear(f);
    struct flotilla_batch *held = inbox_poll(f->n.inbox, 0);
    int32_t moving = flotilla_batch_partition(held);
    uint32_t staying = 0xf & ~(1u << moving);
    unsigned subscriptions = f->n.broker.subscribe_requests;
    assert_non_null(flotilla_batch_next(held));
    broker_member_push(&f->n.broker, member(f), staying);
    append(f, (uint32_t)moving, 5); /* must not be delivered any more */
    run(f, 500);
    assert_int_equal(f->count, 30);
    assert_int_equal(f->last[FLOTILLA_REVOKED], 1u << moving);
    assert_int_equal(member(f)->owned, 0xf); /* still being worked on */
    assert_int_equal(committed(f, (uint32_t)moving), -1);
    f->next[moving] = 1;
    take(f, held);
    assert_int_equal(f->count, 39);
    run(f, 20);
    assert_int_equal(committed(f, (uint32_t)moving), 10);
    assert_int_equal(member(f)->owned, staying);
    assert_int_equal(f->n.broker.subscribe_requests, subscriptions);
    run(f, 100);
    assert_int_equal(f->count, 39);
    teardown(f);
}

/* A partition that comes back begins where its other owner stopped, not where this one did, and not with an
 * answer about the group's offsets from before. */
static void begins_where_the_last_owner_stopped(void **state)
{
    struct fixture *f = setup(NULL, false);

    (void)state;
    append(f, 0, 10);
    append(f, 1, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x3);
    run(f, 20);
    assert_int_equal(f->count, 20);
    broker_member_push(&f->n.broker, member(f), 0x1);
    run(f, 20);
    assert_int_equal(committed(f, 1), 10);
    append(f, 1, 10);
    f->n.broker.partitions[1].committed[1] = 15; /* by the other one */
    f->next[1] = 15;
    append(f, 2, 10);
    broker_member_push(&f->n.broker, member(f), 0x5); /* this asks for the offsets of the topic */
    network_step(&f->n, f->n.now + MS / 20);
    f->n.broker.partitions[1].committed[1] = 18;
    f->next[1] = 18;
    broker_member_push(&f->n.broker, member(f), 0x7);
    run(f, 20);
    assert_int_equal(f->next[1], 20);
    assert_int_equal(f->count, 20 + 10 + 2);
    teardown(f);
}

/* The old coordinator's answer about the group's offsets arrives after the new one has assigned more. */
static void an_answer_from_before_is_too_old(void **state)
{
    struct fixture *f = setup(NULL, false);

    (void)state;
    append(f, 0, 10);
    append(f, 1, 20);
    run(f, 20);
    f->n.broker.partitions[1].committed[1] = 15;
    unsigned asked = f->n.broker.fetch_offsets_requests;
    broker_member_push(&f->n.broker, member(f), 0x1);
    while (f->n.broker.fetch_offsets_requests == asked)
        network_step(&f->n, f->n.now + MS / 100);
    f->n.frozen[1] = true; /* its answer is on the way */
    f->n.broker.offsets.leader = 2;
    f->n.broker.offsets.epoch++;
    run(f, 600);
    assert_int_equal(member(f)->joins, 2);
    f->n.broker.partitions[1].committed[1] = 18; /* by the owner before */
    f->next[1] = 18;
    broker_member_push(&f->n.broker, member(f), 0x3);
    run(f, 10);
    assert_int_equal(f->count, 0);
    f->n.frozen[1] = false;
    run(f, 100);
    assert_int_equal(f->next[1], 20);
    assert_int_equal(f->count, 12);
    teardown(f);
}

static void comes_back_after_a_lost_connection_unnoticed(void **state)
{
    struct fixture *f = setup(NULL, true);

    (void)state;
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0xf);
    run(f, 20);
    unsigned subscriptions = f->n.broker.subscribe_requests;
    network_cut(&f->n, 1);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        append(f, i, 10);
    run(f, 200);
    assert_int_equal(member(f)->joins, 2);
    assert_int_equal(member(f)->owned, 0xf);
    assert_int_equal(f->count, 40);
    assert_int_equal(f->n.broker.subscribe_requests, subscriptions);
    assert_int_equal(f->events[FLOTILLA_ASSIGNED], 1);
    assert_int_equal(f->events[FLOTILLA_REVOKED] + f->events[FLOTILLA_LOST], 0);
    teardown(f);
}

static void follows_the_coordinator_unnoticed(void **state)
{
    struct fixture *f = setup(NULL, true);

    (void)state;
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x3);
    run(f, 20);
    unsigned subscriptions = f->n.broker.subscribe_requests;
    f->n.broker.offsets.leader = 2; /* told by the old one */
    f->n.broker.offsets.epoch++;
    broker_member_fence(&f->n.broker, member(f), ERR_NOT_LEADER);
    run(f, 100);
    assert_int_equal(member(f)->joins, 2);
    f->n.broker.offsets.leader = 3; /* found out by a heartbeat */
    f->n.broker.offsets.epoch++;
    run(f, 400);
    assert_int_equal(member(f)->joins, 3);
    network_kill(&f->n, 3); /* dead */
    f->n.broker.partitions[1].leader = 2;
    f->n.broker.offsets.leader = 1;
    f->n.broker.offsets.epoch++;
    run(f, 300);
    assert_int_equal(member(f)->joins, 4);
    assert_int_equal(member(f)->owned, 0x3);
    assert_int_equal(f->events[FLOTILLA_ASSIGNED], 1);
    assert_int_equal(f->events[FLOTILLA_REVOKED] + f->events[FLOTILLA_LOST], 0);
    assert_in_range(f->n.broker.subscribe_requests, subscriptions, subscriptions + 1); /* of node 3's */
    teardown(f);
}

static void a_fenced_member_owns_nothing_and_joins_anew(void **state)
{
    struct fixture *f = setup(NULL, true);
    struct core_commit commit = {.timeout_ns = 1000 * MS};

    (void)state;
    append(f, 0, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x1);
    network_run(&f->n, 20 * MS);
    hear(f);
    struct flotilla_batch *held = inbox_poll(f->n.inbox, 0);
    assert_non_null(held);
    struct broker_member *old = member(f);
    broker_member_fence(&f->n.broker, old, ERR_FENCED_MEMBER);
    old->assigned = 0; /* somebody else's by now */
    network_run(&f->n, 20 * MS);
    assert_int_equal(owned(f), 0);
    take(f, held);
    core_consumer_commit(f->n.consumer, &commit); /* nothing that it could commit */
    run(f, 50);
    assert_int_equal(f->events[FLOTILLA_LOST], 1);
    assert_int_equal(f->last[FLOTILLA_LOST], 0x1);
    assert_int_equal(committed(f, 0), -1);
    assert_int_equal(f->n.broker.commits_refused, 0);
    assert_int_equal(member(f)->owned, 0);
    f->next[0] = 0;
    broker_member_push(&f->n.broker, member(f), 0x1);
    run(f, 20);
    assert_int_equal(f->count, 20);
    teardown(f);
}

/* The commit of 10 is under way for `outage_ms`, and one of 9 waits for its end, when the coordinator gives
 * the member up, lets somebody else go on to 20, and gives the partition back. Whichever comes first then,
 * the commit or the join. */
static void lose_while_committing(unsigned outage_ms)
{
    struct fixture *f = setup(NULL, true);
    struct core_commit commit = {.timeout_ns = 10000 * MS};
    struct core_commit behind_it = {.topic = "orders", .offset = 9, .timeout_ns = 10000 * MS};

    append(f, 0, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x1);
    run(f, 20);
    assert_int_equal(f->count, 10);
    struct broker_member *m = member(f);
    f->n.broker.offsets.leader = 0;
    core_consumer_commit(f->n.consumer, &commit);
    core_consumer_commit(f->n.consumer, &behind_it);
    append(f, 0, 10);
    run(f, outage_ms);
    assert_int_equal(committed(f, 0), -1);
    m->is_known = false;
    m->owned = m->revoking = 0;
    f->n.broker.partitions[0].committed[1] = 20;
    f->n.broker.offsets.leader = 1;
    f->n.broker.offsets.epoch++;
    run(f, 600);
    assert_int_equal(f->events[FLOTILLA_LOST], 1);
    assert_int_equal(m->owned, 0x1);
    assert_int_equal(committed(f, 0), 20);
    teardown(f);
}

static void a_commit_of_an_earlier_life_undoes_nothing(void **state)
{
    (void)state;
    for (unsigned outage_ms = 20; outage_ms < 420; outage_ms += 10)
        lose_while_committing(outage_ms);
}

static void a_replaced_static_member_stops(void **state)
{
    static const char *const options[] = {"group", "g1", "group.instance.id", "till-7", NULL};
    struct fixture *f = setup(options, false);

    (void)state;
    append(f, 0, 10);
    run(f, 20);
    assert_string_equal(member(f)->instance_id, "till-7");
    broker_member_push(&f->n.broker, member(f), 0x1);
    run(f, 20);
    broker_member_fence(&f->n.broker, member(f), ERR_FENCED_MEMBER);
    run(f, 500);
    assert_int_equal(f->errors, 1);
    assert_int_equal(f->last_error, ERR_FENCED_MEMBER);
    assert_int_equal(f->n.broker.member_count, 1);
    assert_int_equal(f->n.broker.members[0].joins, 1);
    teardown(f);
}

static void an_application_that_does_not_poll_is_replaced(void **state)
{
    static const char *const options[] = {"group", "g1", "max.poll.interval.ms", "500", NULL};
    struct fixture *f = setup(options, true);

    (void)state;
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x1);
    run(f, 1500); /* polls */
    struct broker_member *first = member(f);
    assert_int_equal(first->leaves, 0);
    network_run(&f->n, 800 * MS);
    assert_int_equal(first->leaves, 1);
    assert_false(first->is_known);
    network_run(&f->n, 2000 * MS);
    assert_int_equal(f->n.broker.member_count, 1);
    run(f, 50);
    assert_int_equal(f->events[FLOTILLA_LOST], 1);
    assert_int_equal(f->n.broker.member_count, 2);
    assert_int_equal(member(f)->joins, 1);
    teardown(f);
}

static void on_left(void *data, int status, const char *message)
{
    (void)message;
    *(int *)data = status;
}

static void leaving_commits_and_says_so(void **state)
{
    struct fixture *f = setup(NULL, false);
    int status = 1;
    struct core_leave leave = {.timeout_ns = 1000 * MS, .cb = on_left, .data = &status};

    (void)state;
    append(f, 0, 10);
    append(f, 1, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x3);
    run(f, 20);
    struct broker_member *left = member(f);
    core_consumer_leave(f->n.consumer, &leave);
    network_run(&f->n, 50 * MS);
    assert_int_equal(status, 0);
    assert_int_equal(left->leaves, 1);
    assert_int_equal(committed(f, 0), 10);
    assert_int_equal(committed(f, 1), 10);
    append(f, 0, 10);
    run(f, 500);
    assert_int_equal(f->count, 20);
    assert_int_equal(f->n.broker.member_count, 1);
    teardown(f);
}

/* What it had before it left is somebody else's. */
static void one_that_joins_again_owns_nothing_yet(void **state)
{
    static const char *const topics[] = {"orders"};
    struct core_join join = {.topics = topics, .topic_count = 1, .tells = true};
    struct fixture *f = setup(NULL, true);
    int status = 1;
    struct core_leave leave = {.timeout_ns = 1000 * MS, .cb = on_left, .data = &status};
    struct core_commit commit = {.timeout_ns = 1000 * MS};

    (void)state;
    append(f, 0, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x1);
    run(f, 20);
    core_consumer_commit(f->n.consumer, &commit); /* so that nothing is left to do when it leaves */
    run(f, 20);
    core_consumer_leave(f->n.consumer, &leave);
    run(f, 50);
    assert_int_equal(status, 0);
    unsigned assigned = f->events[FLOTILLA_ASSIGNED];
    core_consumer_join(f->n.consumer, &join);
    append(f, 0, 10);
    run(f, 50);
    assert_int_equal(f->n.broker.member_count, 2); /* as somebody new */
    assert_int_equal(f->events[FLOTILLA_ASSIGNED], assigned);
    assert_false(core_consumer_owns(f->n.consumer, "orders", 0));
    assert_int_equal(f->count, 10);
    broker_member_push(&f->n.broker, &f->n.broker.members[1], 0x1);
    run(f, 50);
    assert_int_equal(f->count, 20);
    teardown(f);
}

/* Two threads may leave, or one leave and another destroy: nobody waits for ever. */
static void each_of_two_leaves_ends(void **state)
{
    struct fixture *f = setup(NULL, false);
    int first = 1, second = 1;
    struct core_leave leave = {.timeout_ns = 1000 * MS, .cb = on_left, .data = &first};

    (void)state;
    append(f, 0, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x1);
    run(f, 20);
    core_consumer_leave(f->n.consumer, &leave);
    leave.data = &second;
    core_consumer_leave(f->n.consumer, &leave);
    network_run(&f->n, 50 * MS);
    assert_int_equal(first, ERR_CANCELED);
    assert_int_equal(second, 0);
    teardown(f);
}

/* Of a coordinator that is cut off nothing is heard, and it may have given everything away. */
static void the_lease_ends_by_itself(void **state)
{
    struct fixture *f = setup(NULL, true);

    (void)state;
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x3);
    run(f, 20);
    f->n.broker.offsets.leader = 0; /* nobody coordinates */
    f->n.broker.offsets.epoch++;
    run(f, 2500);
    assert_int_equal(owned(f), 0x3);
    run(f, 1000);
    assert_int_equal(owned(f), 0);
    assert_int_equal(f->events[FLOTILLA_LOST], 1);
    f->n.broker.offsets.leader = 2;
    f->n.broker.offsets.epoch++;
    run(f, 500);
    assert_int_equal(member(f)->joins, 2);
    teardown(f);
}

static void topics_of_a_pattern_are_found_by_their_ids(void **state)
{
    struct core_join join = {.pattern = "ord*"};
    struct fixture *f = calloc(1, sizeof(*f));

    (void)state;
    network_init(&f->n, PARTITIONS, plain);
    network_open_consumer(&f->n);
    core_consumer_join(f->n.consumer, &join);
    append(f, 3, 10);
    run(f, 50);
    assert_string_equal(member(f)->pattern, "ord*");
    broker_member_push(&f->n.broker, member(f), 0xf);
    run(f, 100);
    assert_int_equal(f->count, 10);
    assert_int_equal(member(f)->owned, 0xf);
    teardown(f);
}

/* The coordinator may know of partitions that this client's metadata does not name yet. */
static void partitions_that_were_added_are_waited_for(void **state)
{
    struct fixture *f = setup(NULL, false);

    (void)state;
    f->n.broker.partition_count = 2;
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x3);
    run(f, 20);
    f->n.broker.partition_count = PARTITIONS;
    append(f, 3, 10);
    broker_member_push(&f->n.broker, member(f), 0xf);
    run(f, 100);
    assert_int_equal(f->errors, 0);
    assert_int_equal(f->count, 10);
    teardown(f);
}

/* An offset that the application seeks to when it is told of the assignment counts, not the committed one. */
static void seeks_and_metadata(void **state)
{
    struct fixture *f = setup(NULL, true);
    struct core_commit commit = {
        .timeout_ns = 1000 * MS, .topic = "orders", .offset = 6, .metadata = "by hand"};

    (void)state;
    append(f, 0, 10);
    run(f, 20);
    broker_member_push(&f->n.broker, member(f), 0x1);
    network_run(&f->n, 20 * MS);
    hear(f);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_OFFSET, 6);
    f->next[0] = 6;
    run(f, 20);
    assert_int_equal(f->count, 4);
    core_consumer_commit(f->n.consumer, &commit);
    run(f, 20);
    assert_int_equal(committed(f, 0), 6);
    assert_string_equal(f->n.broker.metadata, "by hand");
    assert_true(inbox_wait_finished(f->n.inbox, "orders", 0, 10, 0));
    assert_false(inbox_wait_finished(f->n.inbox, "orders", 0, 11, 0));
    teardown(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_assigned),
        cmocka_unit_test(lets_go_of_what_is_finished_and_committed),
        cmocka_unit_test(begins_where_the_last_owner_stopped),
        cmocka_unit_test(an_answer_from_before_is_too_old),
        cmocka_unit_test(comes_back_after_a_lost_connection_unnoticed),
        cmocka_unit_test(follows_the_coordinator_unnoticed),
        cmocka_unit_test(a_fenced_member_owns_nothing_and_joins_anew),
        cmocka_unit_test(a_commit_of_an_earlier_life_undoes_nothing),
        cmocka_unit_test(a_replaced_static_member_stops),
        cmocka_unit_test(an_application_that_does_not_poll_is_replaced),
        cmocka_unit_test(leaving_commits_and_says_so),
        cmocka_unit_test(one_that_joins_again_owns_nothing_yet),
        cmocka_unit_test(each_of_two_leaves_ends),
        cmocka_unit_test(the_lease_ends_by_itself),
        cmocka_unit_test(topics_of_a_pattern_are_found_by_their_ids),
        cmocka_unit_test(partitions_that_were_added_are_waited_for),
        cmocka_unit_test(seeks_and_metadata),
    };
    return cmocka_run_group_tests_name("client/member", tests, NULL, NULL);
}
