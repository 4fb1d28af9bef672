/* The producer's core against the model cluster: acknowledgements, retries, order, and what is told when it
 * fails. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/unit/client/helper_network.h"
#include <string.h>

enum { MAX_REPORTS = 10000 };

struct reports {
    int count;
    int status[MAX_REPORTS]; /* by record number; 1: none yet */
    int64_t offset[MAX_REPORTS];
    int failed;
    int last_error;
    char message[600];
};

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct reports *r = data;
    int number = (int)(intptr_t)d->opaque;

    assert_int_equal(r->status[number], 1); /* exactly once */
    r->status[number] = d->status;
    r->offset[number] = d->offset;
    r->count++;
    if (d->status != 0) {
        r->failed++;
        r->last_error = d->status;
        strncpy(r->message, d->message, sizeof(r->message) - 1);
    }
}

struct fixture {
    struct network n;
    struct reports r;
};

/* The nodes tell of fewer partitions than there are. */
static struct fixture *setup_telling(uint32_t told, uint32_t partitions, const char *const *options)
{
    struct fixture *f = calloc(1, sizeof(*f));

    for (int i = 0; i < MAX_REPORTS; i++)
        f->r.status[i] = 1;
    network_init(&f->n, partitions, options);
    f->n.broker.partition_count = told;
    network_open_producer(&f->n, on_delivery, &f->r);
    return f;
}

static struct fixture *setup(uint32_t partitions, const char *const *options)
{
    return setup_telling(partitions, partitions, options);
}

static void teardown(struct fixture *f)
{
    network_close(&f->n);
    free(f);
}

struct expected_count {
    struct reports *reports;
    int count;
};

static bool has_count(struct network *n, void *data)
{
    const struct expected_count *e = data;

    accumulator_poll(n->accumulator, 0);
    return e->reports->count >= e->count;
}

static void await_reports(struct fixture *f, int count, uint64_t limit_ms)
{
    struct expected_count e = {&f->r, count};

    network_run_until(&f->n, has_count, &e, limit_ms * MS);
}

static void produce(struct fixture *f, int number)
{
    int rc = network_produce(&f->n, 0, number);
    char message[600];

    accumulator_last_error(f->n.accumulator, message, sizeof(message));
    if (rc != 0)
        fail_msg("record %d: %d %s", number, rc, message);
}

/* The partition's log holds the numbers first, first + 1, ... and nothing else. */
static void assert_log(struct fixture *f, uint32_t partition, int first, int count)
{
    const struct broker_partition *p = &f->n.broker.partitions[partition];
    struct batch_reader reader;
    struct record record;
    int at = 0;

    for (size_t i = 0; i < p->batch_count; i++) {
        assert_int_equal(
            batch_reader_init(&reader, p->batches[i].bytes.data, p->batches[i].bytes.size, 1 << 20), 0);
        while (batch_reader_next(&reader, &record) > 0) {
            char text[16] = "";
            memcpy(text, record.value, record.value_size);
            assert_int_equal(atoi(text), first + at);
            at++;
        }
        batch_reader_close(&reader);
    }
    assert_int_equal(at, count);
}

static void acknowledges_with_offsets(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(network_produce(&f->n, 0, i), 0);
    await_reports(f, 100, 1000);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(f->r.status[i], 0);
        assert_int_equal(f->r.offset[i], i);
    }
    assert_log(f, 0, 0, 100);
    teardown(f);
}

static int lose_answers(struct broker *b, uint32_t partition, const struct batch_header *h)
{
    int *left = b->data;

    (void)partition, (void)h;
    return (*left)-- > 0 ? BROKER_LOSE_ANSWER : 0;
}

static void repeats_a_lost_answer_under_the_same_sequence(void **state)
{
    struct fixture *f = setup(1, NULL);
    int lose = 3;

    (void)state;
    f->n.broker.on_produce = lose_answers;
    f->n.broker.data = &lose;
    for (int i = 0; i < 10; i++)
        produce(f, i);
    await_reports(f, 10, 1000);
    assert_int_equal(f->r.failed, 0);
    assert_true(f->n.broker.produce_requests >= 4);
    assert_log(f, 0, 0, 10);
    teardown(f);
}

static void follows_a_hint_at_once(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    produce(f, 0);
    await_reports(f, 1, 1000);
    produce(f, 1); /* so that node 2 is connected: */
    broker_move_leader(&f->n.broker, 0, 2);
    await_reports(f, 2, 1000);
    broker_move_leader(&f->n.broker, 0, 1);
    uint64_t before = f->n.now;
    produce(f, 2);
    await_reports(f, 3, 1000);
    assert_true(f->n.now - before < 3 * MS);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 3);
    teardown(f);
}

static void survives_a_dead_leader_within_milliseconds_of_the_election(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    for (int i = 0; i < 20; i++)
        produce(f, i);
    await_reports(f, 20, 1000);
    network_kill(&f->n, 1);
    for (int i = 20; i < 40; i++)
        produce(f, i);
    network_run(&f->n, 30 * MS);
    assert_int_equal(f->r.count, 20);
    broker_move_leader(&f->n.broker, 0, 3);
    uint64_t before = f->n.now;
    await_reports(f, 40, 1000);
    assert_true(f->n.now - before < 15 * MS);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 40);
    teardown(f);
}

/* Each node is asked some ten times a second, and says in full only once what does not change. */
static void asks_for_a_leader_at_a_bounded_rate(void **state)
{
    struct fixture *f = setup(1, NULL);
    struct broker *b = &f->n.broker;

    (void)state;
    produce(f, 0);
    await_reports(f, 1, 1000);
    broker_move_leader(b, 0, 0);
    produce(f, 1);
    network_run(&f->n, 1000 * MS);
    b->metadata_requests = b->metadata_unchanged = 0;
    network_run(&f->n, 2000 * MS);
    assert_in_range(b->metadata_requests, 15 * BROKER_NODES, 25 * BROKER_NODES);
    assert_int_equal(b->metadata_unchanged, b->metadata_requests);
    broker_move_leader(b, 0, 2);
    await_reports(f, 2, 120);
    assert_log(f, 0, 0, 2);
    teardown(f);
}

static int nobody_is_available(struct broker *b, uint32_t partition, const struct batch_header *h)
{
    (void)partition, (void)h;
    return b->data != NULL ? ERR_LEADER_NOT_AVAILABLE : 0;
}

/* Each of them is stuck anew after every pause of its own: one question serves them all. */
static void many_that_are_stuck_ask_no_more_than_one(void **state)
{
    struct fixture *f = setup(BROKER_MAX_PARTITIONS, NULL);
    struct broker *b = &f->n.broker;

    (void)state;
    b->on_produce = nobody_is_available;
    b->data = b;
    for (int i = 0; i < BROKER_MAX_PARTITIONS; i++)
        assert_int_equal(network_produce(&f->n, i, i), 0);
    network_run(&f->n, 1000 * MS);
    b->metadata_requests = b->metadata_unchanged = 0;
    network_run(&f->n, 2000 * MS);
    assert_in_range(b->metadata_requests, 15 * BROKER_NODES, 25 * BROKER_NODES);
    assert_int_equal(b->metadata_unchanged, b->metadata_requests);
    b->data = NULL;
    await_reports(f, BROKER_MAX_PARTITIONS, 120);
    teardown(f);
}

/* Long trouble with one partition is no reason to be slow about another. */
static void a_new_trouble_is_asked_about_at_once(void **state)
{
    struct fixture *f = setup(2, NULL);
    struct broker *b = &f->n.broker;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(network_produce(&f->n, i, i), 0);
    await_reports(f, 2, 1000);
    broker_move_leader(b, 0, 0);
    assert_int_equal(network_produce(&f->n, 0, 2), 0);
    network_run(&f->n, 3000 * MS);
    broker_move_leader(b, 1, b->partitions[1].leader % BROKER_NODES + 1);
    b->gives_hints = false;
    assert_int_equal(network_produce(&f->n, 1, 3), 0);
    await_reports(f, 3, 20);
    teardown(f);
}

static void notices_a_frozen_leader_by_its_silence(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    produce(f, 0);
    await_reports(f, 1, 1000);
    f->n.frozen[1] = true;
    produce(f, 1);
    network_run(&f->n, 5 * MS);
    broker_move_leader(&f->n.broker, 0, 2);
    await_reports(f, 2, 1200);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 2);
    teardown(f);
}

static int say_nothing_at_node_1(struct broker *b, uint32_t partition, const struct batch_header *h)
{
    (void)h;
    return b->partitions[partition].leader == 1 ? BROKER_SAY_NOTHING : 0;
}

/* It answers pings, so it is not silent; but others know of a newer leader. */
static void leaves_a_leader_that_is_cut_off_from_its_quorum(void **state)
{
    static const char *const options[] = {"batch.bytes", "1k", NULL};
    struct fixture *f = setup(1, options);

    (void)state;
    produce(f, 0);
    f->n.broker.on_produce = say_nothing_at_node_1;
    for (int i = 1; i < 300; i++)
        produce(f, i);
    network_run(&f->n, 500 * MS);
    broker_move_leader(&f->n.broker, 0, 2);
    await_reports(f, 300, 800);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 300);
    teardown(f);
}

static int refuse_nth(struct broker *b, uint32_t partition, const struct batch_header *h)
{
    (void)partition, (void)h;
    return b->produce_requests == *(unsigned *)b->data ? ERR_OVERLOADED : 0;
}

static void keeps_the_order_when_one_of_several_in_flight_fails(void **state)
{
    static const char *const options[] = {"batch.bytes", "1k", "linger.ms", "0", NULL};
    struct fixture *f = setup(1, options);
    unsigned fails_at = 4;

    (void)state;
    f->n.broker.on_produce = refuse_nth;
    f->n.broker.data = &fails_at;
    for (int i = 0; i < 2000; i++)
        produce(f, i);
    await_reports(f, 2000, 2000);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 2000);
    teardown(f);
}

/* A leader without memory of the producer takes any sequence as the first: it must see the first batch first.
 */
static void the_first_batch_of_a_sequence_goes_alone(void **state)
{
    static const char *const options[] = {"batch.bytes", "1k", "linger.ms", "0", NULL};
    struct fixture *f = setup(1, options);
    unsigned fails_at = 1;

    (void)state;
    f->n.broker.is_careless = true;
    f->n.broker.on_produce = refuse_nth;
    f->n.broker.data = &fails_at;
    for (int i = 0; i < 1000; i++)
        produce(f, i);
    await_reports(f, 1000, 2000);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 1000);
    teardown(f);
}

static int refuse_second_record_for_a_while(struct broker *b, uint32_t partition,
                                            const struct batch_header *h)
{
    unsigned *times = b->data;

    (void)partition;
    if (h->base_sequence != 1 || *times == 0)
        return 0;
    --*times;
    return ERR_OVERLOADED;
}

/* With acks=1 the next leader may have lost all that was acknowledged, and know the producer no more than at
 * the beginning. */
static void the_first_batch_for_another_leader_goes_alone_too(void **state)
{
    static const char *const options[] = {"batch.bytes", "1k", "linger.ms", "0", NULL};
    struct fixture *f = setup(1, options);
    unsigned times = 5;

    (void)state;
    f->n.broker.is_careless = true;
    produce(f, 0);
    await_reports(f, 1, 1000);
    f->n.broker.on_produce = refuse_second_record_for_a_while;
    f->n.broker.data = &times;
    f->n.broker.partitions[0].batches[0].producer_id = -1;
    broker_move_leader(&f->n.broker, 0, 2);
    for (int i = 1; i < 1000; i++)
        produce(f, i);
    await_reports(f, 1000, 2000);
    assert_int_equal(times, 0);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 1000);
    teardown(f);
}

static int refuse_all(struct broker *b, uint32_t partition, const struct batch_header *h)
{
    (void)partition, (void)h;
    return *(int *)b->data;
}

static void gives_up_at_the_delivery_timeout_and_says_what_is_certain(void **state)
{
    static const char *const options[] = {"delivery.timeout.ms", "500", NULL};
    struct fixture *f = setup(1, options);
    int error = ERR_READ_ONLY;

    (void)state;
    f->n.broker.on_produce = refuse_all;
    f->n.broker.data = &error;
    produce(f, 0);
    await_reports(f, 1, 600);
    assert_int_equal(f->r.status[0], ERR_READ_ONLY); /* certainly not written */
    assert_non_null(strstr(f->r.message, "orders/0"));
    assert_non_null(strstr(f->r.message, "node 1"));

    error = ERR_OUTCOME_UNKNOWN;
    produce(f, 1);
    await_reports(f, 2, 600);
    assert_int_equal(f->r.status[1], ERR_OUTCOME_UNKNOWN);

    error = 0; /* and a new sequence begins */
    produce(f, 2);
    await_reports(f, 3, 600);
    assert_int_equal(f->r.status[2], 0);
    assert_log(f, 0, 2, 1);
    teardown(f);
}

static int refuse_once(struct broker *b, uint32_t partition, const struct batch_header *h)
{
    int error = *(int *)b->data;

    (void)partition, (void)h;
    *(int *)b->data = 0;
    return error;
}

static void goes_on_after_a_batch_that_is_too_large(void **state)
{
    static const char *const options[] = {"batch.bytes", "1k", NULL};
    struct fixture *f = setup(1, options);
    int error = ERR_TOO_LARGE;

    (void)state;
    produce(f, 9000);
    await_reports(f, 1, 1000);
    f->n.broker.on_produce = refuse_once;
    f->n.broker.data = &error;
    for (int i = 0; i < 500; i++)
        produce(f, i);
    await_reports(f, 501, 2000);
    assert_true(f->r.failed > 0 && f->r.failed < 200);
    assert_int_equal(f->r.last_error, ERR_TOO_LARGE);
    for (int i = 1; i < 500; i++) /* what was written is in order */
        if (f->r.status[i] == 0 && f->r.status[i - 1] == 0)
            assert_int_equal(f->r.offset[i], f->r.offset[i - 1] + 1);
    teardown(f);
}

static void ends_when_it_is_fenced(void **state)
{
    struct fixture *f = setup(1, NULL);
    int error = ERR_FENCED_PRODUCER;

    (void)state;
    f->n.broker.on_produce = refuse_once;
    f->n.broker.data = &error;
    produce(f, 0);
    await_reports(f, 1, 1000);
    assert_int_equal(f->r.status[0], ERR_FENCED_PRODUCER);
    assert_int_equal(network_produce(&f->n, 0, 1), ERR_FENCED_PRODUCER);
    teardown(f);
}

static void without_idempotence_an_unknown_outcome_is_told(void **state)
{
    static const char *const options[] = {"idempotence", "false", NULL};
    struct fixture *f = setup(1, options);
    int lose = 1;

    (void)state;
    f->n.broker.on_produce = lose_answers;
    f->n.broker.data = &lose;
    produce(f, 0);
    await_reports(f, 1, 1000);
    assert_int_equal(f->r.status[0], ERR_OUTCOME_UNKNOWN);
    produce(f, 1);
    await_reports(f, 2, 1000);
    assert_int_equal(f->r.status[1], 0);
    assert_log(f, 0, 0, 2);
    teardown(f);
}

static void acks_0_is_done_when_it_is_sent(void **state)
{
    static const char *const options[] = {"acks", "0", NULL};
    struct fixture *f = setup(1, options);

    (void)state;
    for (int i = 0; i < 10; i++)
        produce(f, i);
    await_reports(f, 10, 100);
    assert_int_equal(f->r.offset[3], -1);
    assert_log(f, 0, 0, 10);
    teardown(f);
}

static void begins_a_new_sequence_when_the_leader_has_forgotten(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    produce(f, 0);
    await_reports(f, 1, 1000);
    f->n.broker.partitions[0].batches[0].producer_id = -1; /* as after acks=1 and a lost leader */
    produce(f, 1);
    await_reports(f, 2, 1000);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, 2);
    teardown(f);
}

static void bounds_its_buffer(void **state)
{
    static const char *const options[] = {"buffer.bytes", "64k", NULL};
    struct fixture *f = setup(1, options);
    int accepted = 0;

    (void)state;
    for (uint32_t i = 1; i <= 3; i++)
        network_kill(&f->n, i);
    while (accepted < MAX_REPORTS && network_produce(&f->n, 0, accepted) == 0)
        accepted++;
    assert_in_range(accepted, 500, 2500);
    assert_int_equal(network_produce(&f->n, 0, accepted), ERR_OVERLOADED);
    for (uint32_t i = 1; i <= 3; i++)
        f->n.down[i] = false;
    await_reports(f, accepted, 1000);
    assert_int_equal(f->r.failed, 0);
    assert_log(f, 0, 0, accepted);
    teardown(f);
}

/* As fast as an application can: no batch is taken before it is full, and none may hold on to its partition.
 */
static void records_without_key_go_round_the_partitions(void **state)
{
    static const char *const options[] = {"batch.bytes", "1k", NULL};
    struct fixture *f = setup(3, options);

    (void)state;
    for (int i = 0; i < 3000; i++)
        assert_int_equal(network_produce(&f->n, FLOTILLA_PARTITION_ANY, i), 0);
    await_reports(f, 3000, 10000);
    size_t least = SIZE_MAX, most = 0;
    for (uint32_t i = 0; i < 3; i++) {
        const struct broker_partition *p = &f->n.broker.partitions[i];
        least = p->batch_count < least ? p->batch_count : least;
        most = p->batch_count > most ? p->batch_count : most;
    }
    assert_true(least > 10);
    assert_true(most <= least + 2);
    teardown(f);
}

static void an_unknown_topic_is_refused(void **state)
{
    static const char *const options[] = {NULL};
    struct fixture *f = calloc(1, sizeof(*f));

    (void)state;
    network_init(&f->n, 1, options);
    f->n.broker.topic_exists = false;
    network_open_producer(&f->n, on_delivery, &f->r);
    assert_int_equal(network_produce(&f->n, 0, 0), ERR_OVERLOADED);
    network_run(&f->n, 1500 * MS);
    assert_int_equal(network_produce(&f->n, 0, 0), ERR_UNKNOWN_TOPIC);
    char message[200];
    accumulator_last_error(f->n.accumulator, message, sizeof(message));
    assert_non_null(strstr(message, "orders"));
    f->n.broker.topic_exists = true;
    assert_int_equal(network_produce(&f->n, 0, 0), ERR_OVERLOADED); /* asked for again */
    network_run(&f->n, 50 * MS);
    for (int i = 0; i < MAX_REPORTS; i++)
        f->r.status[i] = 1;
    assert_int_equal(network_produce(&f->n, 0, 0), 0);
    await_reports(f, 1, 1000);
    teardown(f);
}

/* A node that was just restarted, or is cut off, tells of a topic as it was. */
static void a_partition_that_a_node_does_not_know_yet_is_waited_for(void **state)
{
    struct fixture *f = setup_telling(1, 3, NULL);

    (void)state;
    assert_int_equal(network_produce(&f->n, 0, 0), 0);
    assert_int_equal(network_produce(&f->n, 2, 1), ERR_OVERLOADED);
    network_run(&f->n, 500 * MS);
    assert_int_equal(network_produce(&f->n, 2, 1), ERR_OVERLOADED);
    f->n.broker.partition_count = 3;
    network_run(&f->n, 500 * MS);
    assert_int_equal(network_produce(&f->n, 2, 1), 0);
    await_reports(f, 2, 1000);
    teardown(f);
}

static void a_partition_that_nobody_knows_is_refused(void **state)
{
    struct fixture *f = setup_telling(1, 3, NULL);
    char message[200];

    (void)state;
    network_run(&f->n, 5000 * MS);
    assert_int_equal(network_produce(&f->n, 2, 0), ERR_OVERLOADED);
    network_run(&f->n, 1500 * MS);
    assert_int_equal(network_produce(&f->n, 0, 0), 0); /* others are not in its way */
    assert_int_equal(network_produce(&f->n, 2, 0), ERR_UNKNOWN_PARTITION);
    accumulator_last_error(f->n.accumulator, message, sizeof(message));
    assert_string_equal(message, "topic orders has no partition 2: it has 1");
    f->n.broker.partition_count = 3;
    assert_int_equal(network_produce(&f->n, 2, 1), ERR_OVERLOADED); /* asked for again */
    network_run(&f->n, 500 * MS);
    assert_int_equal(network_produce(&f->n, 2, 1), 0);
    await_reports(f, 2, 1000);
    teardown(f);
}

static void destroying_reports_everything(void **state)
{
    struct fixture *f = setup(1, NULL);

    (void)state;
    network_kill(&f->n, 1);
    network_run(&f->n, 10 * MS);
    for (int i = 0; i < 50; i++)
        produce(f, i);
    network_close_producer(&f->n);
    assert_int_equal(f->r.count, 50);
    assert_int_equal(f->r.failed, 50);
    teardown(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledges_with_offsets),
        cmocka_unit_test(repeats_a_lost_answer_under_the_same_sequence),
        cmocka_unit_test(follows_a_hint_at_once),
        cmocka_unit_test(survives_a_dead_leader_within_milliseconds_of_the_election),
        cmocka_unit_test(asks_for_a_leader_at_a_bounded_rate),
        cmocka_unit_test(many_that_are_stuck_ask_no_more_than_one),
        cmocka_unit_test(a_new_trouble_is_asked_about_at_once),
        cmocka_unit_test(notices_a_frozen_leader_by_its_silence),
        cmocka_unit_test(leaves_a_leader_that_is_cut_off_from_its_quorum),
        cmocka_unit_test(keeps_the_order_when_one_of_several_in_flight_fails),
        cmocka_unit_test(the_first_batch_of_a_sequence_goes_alone),
        cmocka_unit_test(the_first_batch_for_another_leader_goes_alone_too),
        cmocka_unit_test(gives_up_at_the_delivery_timeout_and_says_what_is_certain),
        cmocka_unit_test(goes_on_after_a_batch_that_is_too_large),
        cmocka_unit_test(ends_when_it_is_fenced),
        cmocka_unit_test(without_idempotence_an_unknown_outcome_is_told),
        cmocka_unit_test(acks_0_is_done_when_it_is_sent),
        cmocka_unit_test(begins_a_new_sequence_when_the_leader_has_forgotten),
        cmocka_unit_test(bounds_its_buffer),
        cmocka_unit_test(records_without_key_go_round_the_partitions),
        cmocka_unit_test(an_unknown_topic_is_refused),
        cmocka_unit_test(a_partition_that_a_node_does_not_know_yet_is_waited_for),
        cmocka_unit_test(a_partition_that_nobody_knows_is_refused),
        cmocka_unit_test(destroying_reports_everything),
    };
    return cmocka_run_group_tests_name("client/producer", tests, NULL, NULL);
}
