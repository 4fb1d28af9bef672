/* The consumer's core against the model cluster: order, credit, changes of leader, positions and commits. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/unit/client/helper_network.h"
#include <string.h>

struct fixture {
    struct network n;
    int64_t next[BROKER_MAX_PARTITIONS]; /* offset that must come next */
    int count;
    int ends;
    int errors;
    int last_error;
    char message[600];
};

static struct fixture *setup(uint32_t partitions, const char *const *options)
{
    struct fixture *f = calloc(1, sizeof(*f));

    network_init(&f->n, partitions, options);
    network_open_consumer(&f->n);
    return f;
}

static void teardown(struct fixture *f)
{
    network_close(&f->n);
    free(f);
}

static void take_records(struct fixture *f, struct flotilla_batch *batch)
{
    const struct flotilla_record *r;

    while ((r = flotilla_batch_next(batch)) != NULL) {
        char text[16] = "";
        memcpy(text, r->value, r->value_size < 15 ? r->value_size : 15);
        assert_int_equal(r->offset, f->next[r->partition]);
        assert_int_equal(atoi(text), r->offset); /* the values are the offsets */
        f->next[r->partition]++;
        f->count++;
    }
    assert_int_equal(flotilla_batch_status(batch), 0);
}

static void take(struct fixture *f, struct flotilla_batch *batch)
{
    switch (flotilla_batch_kind(batch)) {
    case FLOTILLA_BATCH_RECORDS:
        take_records(f, batch);
        break;
    case FLOTILLA_BATCH_END:
        assert_int_equal(flotilla_batch_offset(batch), f->next[flotilla_batch_partition(batch)]);
        f->ends++;
        break;
    case FLOTILLA_BATCH_ERROR:
        f->errors++;
        f->last_error = flotilla_batch_status(batch);
        strncpy(f->message, flotilla_batch_message(batch), sizeof(f->message) - 1);
        break;
    }
    flotilla_batch_release(batch);
}

static void take_all(struct fixture *f)
{
    struct flotilla_batch *batch;

    while ((batch = inbox_poll(f->n.inbox, 0)) != NULL)
        take(f, batch);
}

struct expected {
    struct fixture *f;
    const int *value;
    int target;
};

static bool has_value(struct network *n, void *data)
{
    const struct expected *e = data;

    (void)n;
    take_all(e->f);
    return *e->value >= e->target;
}

static void await(struct fixture *f, const int *value, int target)
{
    struct expected e = {f, value, target};

    network_run_until(&f->n, has_value, &e, 5000 * MS);
}

static void append(struct fixture *f, uint32_t partition, int count)
{
    broker_append(&f->n.broker, partition, (int)f->n.broker.partitions[partition].next_offset, count, 0);
}

static void reads_all_partitions_in_order(void **state)
{
    static const char *const options[] = {"report.end", "true", NULL};
    struct fixture *f = setup(3, options);

    (void)state;
    for (int i = 0; i < 60; i++)
        append(f, (uint32_t)i % 3, 10);
    core_consumer_subscribe(f->n.consumer, "orders", FLOTILLA_PARTITION_ALL, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->count, 600);
    await(f, &f->ends, 3);
    append(f, 1, 5);
    await(f, &f->count, 605);
    await(f, &f->ends, 4);
    teardown(f);
}

/* HELLO, metadata, SUBSCRIBE and every push have fields that this client has never heard of. */
static void passes_over_unknown_fields(void **state)
{
    (void)state;
    static const char *const options[] = {"report.end", "true", NULL};
    struct fixture *f = setup(1, options);
    f->n.broker.is_newer = true;
    append(f, 0, 20);
    core_consumer_subscribe(f->n.consumer, "orders", FLOTILLA_PARTITION_ALL, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->count, 20);
    assert_int_equal(f->errors, 0);
    teardown(f);
}

static void skips_what_lies_before_the_asked_offset(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    append(f, 0, 10);
    append(f, 0, 10);
    f->next[0] = 13;
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_OFFSET, 13);
    await(f, &f->count, 7);
    assert_int_equal(f->next[0], 20);
    teardown(f);
}

static void begins_at_the_end(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    append(f, 0, 10);
    f->next[0] = 10;
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_END, 0);
    network_run(&f->n, 20 * MS);
    append(f, 0, 3);
    await(f, &f->count, 3);
    teardown(f);
}

static bool has_been_looked_for(struct network *n, void *data)
{
    (void)data;
    return n->broker.list_offset_requests > 0;
}

static void begins_behind_what_was_looked_through_for_a_time(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    append(f, 0, 10);
    f->next[0] = 10;
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_TIME, 5000);
    network_run_until(&f->n, has_been_looked_for, NULL, 1000 * MS);
    append(f, 0, 3); /* young enough, and committed before the answer is there */
    await(f, &f->count, 3);
    teardown(f);
}

/* The node may push no more than the window ahead of what the application released. */
static void grants_credit_only_for_what_was_released(void **state)
{
    static const char *const options[] = {"prefetch.bytes", "64k", NULL};
    struct fixture *f = setup(1, options);

    (void)state;
    for (int i = 0; i < 400; i++)
        broker_append(&f->n.broker, 0, i, 1, 1000);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    network_run(&f->n, 100 * MS);
    assert_in_range(f->n.broker.pushed_bytes, 60 * 1024, 67 * 1024);
    struct flotilla_batch *held[20];
    for (int i = 0; i < 20; i++) {
        held[i] = inbox_poll(f->n.inbox, 0);
        assert_non_null(held[i]);
    }
    network_run(&f->n, 100 * MS);
    assert_in_range(f->n.broker.pushed_bytes, 60 * 1024, 67 * 1024); /* taken is not released */
    for (int i = 0; i < 20; i++)
        take(f, held[i]);
    network_run(&f->n, 100 * MS);
    assert_in_range(f->n.broker.pushed_bytes, 80 * 1024, 88 * 1024);
    await(f, &f->count, 400);
    teardown(f);
}

static void follows_the_leader_from_where_it_was(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    append(f, 0, 100);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->count, 100);
    for (int round = 0; round < 10; round++) {
        uint32_t leader = f->n.broker.partitions[0].leader;
        if (round % 2 == 0) {
            network_kill(&f->n, leader);
            network_run(&f->n, 10 * MS);
        }
        broker_move_leader(&f->n.broker, 0, leader % 3 + 1);
        append(f, 0, 10);
        await(f, &f->count, 100 + 10 * (round + 1));
        f->n.down[leader] = false;
    }
    assert_int_equal(f->errors, 0);
    teardown(f);
}

static void an_offset_out_of_range_follows_the_policy(void **state)
{
    static const char *const options[] = {"offset.reset", "error", NULL};
    struct fixture *f = setup(1, NULL);

    (void)state;
    append(f, 0, 10);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_OFFSET, 50);
    await(f, &f->count, 10); /* earliest */
    teardown(f);

    f = setup(1, options);
    append(f, 0, 10);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_OFFSET, 50);
    await(f, &f->errors, 1);
    assert_int_equal(f->last_error, ERR_OFFSET_OUT_OF_RANGE);
    assert_non_null(strstr(f->message, "orders/0"));
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->count, 10);
    teardown(f);
}

static bool has_asked_to_read(struct network *n, void *data)
{
    (void)data;
    return n->broker.subscribe_requests > 0;
}

/* A leader with a full disk goes ahead with retention; the next one may not have heard of it, and has what
 * the first one had deleted. Nobody goes back for that. */
static void a_start_that_goes_back_takes_no_reader_along(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    for (int i = 0; i < 3; i++)
        append(f, 0, 10);
    f->n.broker.partitions[0].start_offset = 20;
    f->next[0] = 15;
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_OFFSET, 15);
    network_run_until(&f->n, has_asked_to_read, NULL, 5000 * MS);
    f->n.broker.partitions[0].start_offset = 0;
    await(f, &f->count, 15);
    teardown(f);
}

static void unknown_topics_and_partitions_are_told(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    core_consumer_subscribe(f->n.consumer, "nowhere", FLOTILLA_PARTITION_ALL, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->errors, 1);
    assert_int_equal(f->last_error, ERR_UNKNOWN_TOPIC);
    core_consumer_subscribe(f->n.consumer, "orders", 7, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->errors, 2);
    assert_int_equal(f->last_error, ERR_UNKNOWN_PARTITION);
    teardown(f);
}

/* A node that was just restarted, or is cut off, tells of a topic as it was. */
static void a_partition_that_a_node_does_not_know_yet_is_waited_for(void **state)
{
    struct fixture *f = setup(3, NULL);

    (void)state;
    append(f, 2, 10);
    f->n.broker.partition_count = 1;
    core_consumer_subscribe(f->n.consumer, "orders", 2, FLOTILLA_START_BEGINNING, 0);
    network_run(&f->n, 500 * MS);
    assert_int_equal(f->errors, 0);
    f->n.broker.partition_count = 3;
    await(f, &f->count, 10);
    teardown(f);
}

static void damaged_batches_never_reach_the_application(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    append(f, 0, 10);
    append(f, 0, 10);
    f->n.broker.partitions[0].batches[1].bytes.data[80] ^= 1;
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->errors, 1);
    assert_int_equal(f->last_error, ERR_CORRUPT);
    assert_int_equal(f->count, 10);
    teardown(f);
}

struct committed {
    int count;
    int status;
};

static void on_commit(void *data, int status, const char *message)
{
    struct committed *c = data;

    (void)message;
    c->count++;
    c->status = status;
}

static void commits_only_what_is_finished(void **state)
{
    static const char *const options[] = {"group", "g1", NULL};
    struct fixture *f = setup(1, options);
    struct committed committed = {0};
    struct core_commit commit = {.timeout_ns = 1000 * MS, .cb = on_commit, .data = &committed};

    (void)state;
    for (int i = 0; i < 3; i++)
        append(f, 0, 10);
    core_consumer_subscribe(f->n.consumer, "orders", FLOTILLA_PARTITION_ALL, FLOTILLA_START_COMMITTED, 0);
    network_run(&f->n, 100 * MS);
    struct flotilla_batch *first = inbox_poll(f->n.inbox, 0);
    struct flotilla_batch *second = inbox_poll(f->n.inbox, 0);
    assert_non_null(first);
    assert_non_null(second);
    take(f, second->first_offset == 0 ? second : first); /* checks that offsets begin at 0 */
    assert_int_equal(f->count, 10);
    struct flotilla_batch *open = second;
    for (int i = 0; i < 4; i++)
        assert_int_equal(flotilla_batch_next(open)->offset, 10 + i);
    core_consumer_commit(f->n.consumer, &commit);
    network_run(&f->n, 100 * MS);
    assert_int_equal(committed.count, 1);
    assert_int_equal(committed.status, 0);
    assert_int_equal(f->n.broker.partitions[0].committed[1], 13); /* the fourth is still being worked on */
    flotilla_batch_release(open);

    /* A second consumer of the group goes on there, also when the coordinator moves. */
    network_close_consumer(&f->n);
    network_open_consumer(&f->n);
    f->n.broker.offsets.leader = 2;
    f->n.broker.offsets.epoch++;
    f->next[0] = 13;
    f->count = 0;
    core_consumer_subscribe(f->n.consumer, "orders", FLOTILLA_PARTITION_ALL, FLOTILLA_START_COMMITTED, 0);
    await(f, &f->count, 17);
    core_consumer_commit(f->n.consumer, &commit);
    network_run(&f->n, 100 * MS);
    assert_int_equal(f->n.broker.partitions[0].committed[1], 30);
    teardown(f);
}

/* Of any of its partitions. */
static void a_commit_without_metadata_sends_none(void **state)
{
    static const char *const options[] = {"group", "g1", NULL};
    struct fixture *f = setup(3, options);
    struct core_commit commit = {.timeout_ns = 1000 * MS};

    (void)state;
    for (uint32_t partition = 0; partition < 3; partition++)
        append(f, partition, 10);
    core_consumer_subscribe(f->n.consumer, "orders", FLOTILLA_PARTITION_ALL, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->count, 30);
    core_consumer_commit(f->n.consumer, &commit);
    network_run(&f->n, 50 * MS);
    for (uint32_t partition = 0; partition < 3; partition++)
        assert_int_equal(f->n.broker.partitions[partition].committed[1], 10);
    assert_int_equal(f->n.broker.metadata_size, 0);
    teardown(f);
}

/* Nothing is heard of a consumer that is gone: its commits end before. */
static void destroying_completes_commits_first(void **state)
{
    static const char *const options[] = {"group", "g1", NULL};
    struct fixture *f = setup(1, options);
    struct committed sent = {0}, waiting = {0};
    struct core_commit commit = {.timeout_ns = 1000 * MS, .cb = on_commit, .data = &sent};

    (void)state;
    append(f, 0, 10);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    await(f, &f->count, 10);
    core_consumer_commit(f->n.consumer, &commit);
    commit.data = &waiting;
    core_consumer_commit(f->n.consumer, &commit);
    network_close_consumer(&f->n);
    assert_int_equal(sent.count, 1);
    assert_int_equal(sent.status, ERR_OUTCOME_UNKNOWN);
    assert_int_equal(waiting.count, 1);
    assert_int_equal(waiting.status, ERR_CANCELED);
    network_run(&f->n, 100 * MS);
    assert_int_equal(sent.count, 1);
    assert_int_equal(f->n.broker.partitions[0].committed[1], 10); /* it was on its way */
    teardown(f);
}

/* Batches that are released out of order do not carry the committed offset over one that is still out. */
static void an_unreleased_batch_holds_the_committed_offset_back(void **state)
{
    static const char *const options[] = {"group", "g1", NULL};
    struct fixture *f = setup(1, options);
    struct core_commit commit = {.timeout_ns = 1000 * MS};

    (void)state;
    for (int i = 0; i < 3; i++)
        append(f, 0, 10);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    network_run(&f->n, 100 * MS);
    struct flotilla_batch *batches[3];
    for (int i = 0; i < 3; i++)
        batches[i] = inbox_poll(f->n.inbox, 0);
    while (flotilla_batch_next(batches[2]) != NULL)
        ;
    flotilla_batch_release(batches[2]);
    core_consumer_commit(f->n.consumer, &commit);
    network_run(&f->n, 50 * MS);
    assert_true(f->n.broker.partitions[0].committed[1] <= 0);
    for (int i = 0; i < 2; i++) {
        while (flotilla_batch_next(batches[i]) != NULL)
            ;
        flotilla_batch_release(batches[i]);
    }
    core_consumer_commit(f->n.consumer, &commit);
    network_run(&f->n, 50 * MS);
    assert_int_equal(f->n.broker.partitions[0].committed[1], 30);
    teardown(f);
}

static void seeking_drops_what_was_prefetched(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    for (int i = 0; i < 10; i++)
        append(f, 0, 10);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    network_run(&f->n, 100 * MS);
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_OFFSET, 42);
    f->next[0] = 42;
    await(f, &f->count, 58);
    inbox_pause(f->n.inbox, "orders", 0, true);
    append(f, 0, 10);
    network_run(&f->n, 100 * MS);
    take_all(f);
    assert_int_equal(f->count, 58);
    inbox_pause(f->n.inbox, "orders", 0, false);
    await(f, &f->count, 68);
    core_consumer_unsubscribe(f->n.consumer, "orders", FLOTILLA_PARTITION_ALL);
    append(f, 0, 10);
    network_run(&f->n, 100 * MS);
    take_all(f);
    assert_int_equal(f->count, 68);
    teardown(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_partitions_in_order),
        cmocka_unit_test(passes_over_unknown_fields),
        cmocka_unit_test(skips_what_lies_before_the_asked_offset),
        cmocka_unit_test(begins_at_the_end),
        cmocka_unit_test(begins_behind_what_was_looked_through_for_a_time),
        cmocka_unit_test(grants_credit_only_for_what_was_released),
        cmocka_unit_test(follows_the_leader_from_where_it_was),
        cmocka_unit_test(an_offset_out_of_range_follows_the_policy),
        cmocka_unit_test(a_start_that_goes_back_takes_no_reader_along),
        cmocka_unit_test(unknown_topics_and_partitions_are_told),
        cmocka_unit_test(a_partition_that_a_node_does_not_know_yet_is_waited_for),
        cmocka_unit_test(damaged_batches_never_reach_the_application),
        cmocka_unit_test(commits_only_what_is_finished),
        cmocka_unit_test(a_commit_without_metadata_sends_none),
        cmocka_unit_test(destroying_completes_commits_first),
        cmocka_unit_test(an_unreleased_batch_holds_the_committed_offset_back),
        cmocka_unit_test(seeking_drops_what_was_prefetched),
    };
    return cmocka_run_group_tests_name("client/consumer", tests, NULL, NULL);
}
