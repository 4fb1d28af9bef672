/* The public API, its threads and real sockets, against the model cluster served on the loopback. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "client/include/flotilla.h"
#include "tests/unit/client/helper_server.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTITIONS = 3, RECORDS = 30000, THREADS = 3, TIMEOUT_MS = 20000 };

static struct flotilla_client *connect_to(struct server *s, const char *group)
{
    struct flotilla_options *options = flotilla_options_create();
    struct flotilla_client *client;
    char error[300];

    assert_int_equal(flotilla_options_set(options, "group", group, error, sizeof(error)), 0);
    assert_int_equal(flotilla_options_set(options, "report.end", "true", error, sizeof(error)), 0);
    assert_int_equal(flotilla_options_set(options, "batch.bytes", "16k", error, sizeof(error)), 0);
    if (flotilla_client_create(&client, server_bootstrap(s), options, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    flotilla_options_destroy(options);
    return client;
}

struct tally {
    atomic_int ok;
    atomic_int failed;
};

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct tally *tally = data;

    if (d->status == 0)
        atomic_fetch_add(&tally->ok, 1);
    else
        atomic_fetch_add(&tally->failed, 1);
}

struct worker {
    struct flotilla_producer *producer;
    int number;
    int failed;
};

static void *produce_some(void *data)
{
    struct worker *w = data;
    char value[32];

    for (int i = 0; i < RECORDS / THREADS; i++) {
        int size = sprintf(value, "%d", i);
        if (flotilla_produce(w->producer, "orders", w->number, FLOTILLA_TIMESTAMP_NOW, "key", 3, value,
                             (size_t)size, NULL, 0, NULL) != 0)
            w->failed++;
        if (i % 1000 == 0)
            flotilla_producer_poll(w->producer, 0);
    }
    return NULL;
}

static void produce_from_threads(struct server *s, struct flotilla_producer *producer)
{
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){producer, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, produce_some, &workers[i]), 0);
    }
    for (int i = 0; i < 5; i++)
        server_cut(s);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].failed, 0);
    }
}

/* Each partition was written by one thread, so its values count up. */
static int consume_to_the_end(struct flotilla_consumer *consumer)
{
    int64_t next[PARTITIONS] = {0};
    int count = 0;
    int ends = 0;

    while (ends < PARTITIONS) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, TIMEOUT_MS);
        const struct flotilla_record *r;
        assert_non_null(batch);
        assert_int_not_equal(flotilla_batch_kind(batch), FLOTILLA_BATCH_ERROR);
        ends += flotilla_batch_kind(batch) == FLOTILLA_BATCH_END;
        while ((r = flotilla_batch_next(batch)) != NULL) {
            char text[32] = "";
            memcpy(text, r->value, r->value_size);
            assert_int_equal(r->offset, next[r->partition]);
            assert_int_equal(atoi(text), next[r->partition]);
            assert_memory_equal(r->key, "key", 3);
            next[r->partition]++;
            count++;
        }
        flotilla_batch_release(batch);
    }
    return count;
}

static void produces_and_consumes_while_connections_break(void **state)
{
    struct server *s = server_start(PARTITIONS);
    struct flotilla_client *client = connect_to(s, "g1");
    struct flotilla_producer *producer;
    struct flotilla_consumer *consumer;
    struct tally tally = {0};
    char error[300];

    (void)state;
    assert_int_equal(
        flotilla_producer_create(&producer, client, NULL, on_delivery, &tally, error, sizeof(error)), 0);
    produce_from_threads(s, producer);
    assert_int_equal(flotilla_producer_flush(producer, TIMEOUT_MS), 0);
    assert_int_equal(tally.ok, RECORDS);
    assert_int_equal(tally.failed, 0);
    assert_int_equal(flotilla_producer_pending(producer), 0);

    assert_int_equal(flotilla_consumer_create(&consumer, client, NULL, error, sizeof(error)), 0);
    assert_int_equal(flotilla_consumer_subscribe(consumer, "orders", FLOTILLA_PARTITION_ALL,
                                                 FLOTILLA_START_COMMITTED, 0, error, sizeof(error)),
                     0);
    assert_int_equal(consume_to_the_end(consumer), RECORDS);
    assert_int_equal(flotilla_consumer_lag(consumer, "orders", 0), 0);
    assert_int_equal(flotilla_consumer_commit(consumer, TIMEOUT_MS, error, sizeof(error)), 0);
    assert_int_equal(flotilla_consumer_committed(consumer, "orders", 1), RECORDS / THREADS);
    flotilla_consumer_destroy(consumer);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    server_stop(s);
}

static void administration_names_what_failed(void **state)
{
    struct server *s = server_start(PARTITIONS);
    struct flotilla_client *client = connect_to(s, "");
    const struct flotilla_topic_info *info;
    char error[300];
    int64_t offset;

    (void)state;
    assert_int_equal(flotilla_offset_list(client, "orders", 1, FLOTILLA_OFFSET_END, TIMEOUT_MS, &offset,
                                          error, sizeof(error)),
                     0);
    assert_int_equal(offset, 0);
    assert_int_equal(flotilla_offset_list(client, "orders", 9, FLOTILLA_OFFSET_END, TIMEOUT_MS, &offset,
                                          error, sizeof(error)),
                     FLOTILLA_ERR_UNKNOWN_PARTITION);
    assert_non_null(strstr(error, "orders/9"));
    assert_int_equal(flotilla_offset_list(client, "nowhere", 0, FLOTILLA_OFFSET_END, TIMEOUT_MS, &offset,
                                          error, sizeof(error)),
                     FLOTILLA_ERR_UNKNOWN_TOPIC);
    assert_non_null(strstr(error, "nowhere"));
    assert_int_equal(flotilla_topic_create(client, "new", 1, 1, NULL, 0, TIMEOUT_MS, error, sizeof(error)),
                     0);
    assert_int_equal(flotilla_group_commit(client, "g2", "orders", 1, 77, TIMEOUT_MS, error, sizeof(error)),
                     0);
    /* The model hangs up on what it does not know: the call ends at its deadline. */
    assert_int_not_equal(flotilla_topic_describe(client, "orders", 200, &info, error, sizeof(error)), 0);
    assert_non_null(strstr(error, "gave up"));
    flotilla_client_destroy(client);
    server_stop(s);
}

static void a_cluster_that_is_down_is_told_in_time(void **state)
{
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_options *options = flotilla_options_create();
    char error[300];

    (void)state;
    assert_int_equal(flotilla_client_create(&client, "no port here:x", NULL, error, sizeof(error)),
                     FLOTILLA_ERR_INVALID_ARGUMENT);
    flotilla_options_set(options, "block.ms", "50", NULL, 0);
    assert_int_equal(
        flotilla_client_create(&client, "127.0.0.1:1,localhost:1", options, error, sizeof(error)), 0);
    assert_int_equal(flotilla_producer_create(&producer, client, NULL, NULL, NULL, error, sizeof(error)), 0);
    assert_int_equal(flotilla_produce(producer, "orders", 0, -1, NULL, 0, "x", 1, NULL, 0, NULL),
                     FLOTILLA_ERR_OVERLOADED);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
}

static int32_t always_two(void *data, const char *topic, const void *key, size_t key_size, int32_t count)
{
    (void)topic, (void)key, (void)key_size;
    ++*(int *)data;
    return count > 2 ? 2 : FLOTILLA_PARTITION_ANY;
}

static void count_reports(void *data, const struct flotilla_delivery *d)
{
    assert_int_equal(d->status, 0);
    assert_null(d->opaque);
    ++*(int *)data;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

/* One thread with a loop of its own: a record that is waited for, a partitioner, descriptors to poll, totals.
 */
static void works_in_an_event_loop(void **state)
{
    struct server *s = server_start(PARTITIONS);
    struct flotilla_options *options = flotilla_options_create();
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_consumer *consumer;
    const struct flotilla_statistics *totals;
    int chosen = 0, reports = 0;
    int64_t offset = -1;
    char error[300];

    (void)state;
    flotilla_options_set_partitioner(options, always_two, &chosen);
    assert_int_equal(flotilla_client_create(&client, server_bootstrap(s), NULL, error, sizeof(error)), 0);
    assert_int_equal(flotilla_producer_create(&producer, client, options, count_reports, &reports, NULL, 0),
                     0);
    assert_int_equal(flotilla_produce_sync(producer, "orders", FLOTILLA_PARTITION_ANY, -1, "k", 1, "a", 1,
                                           NULL, 0, &offset, error, sizeof(error)),
                     0);
    assert_int_equal(offset, 0);
    assert_int_equal(flotilla_produce_sync(producer, "nowhere", 0, -1, NULL, 0, "a", 1, NULL, 0, &offset,
                                           error, sizeof(error)),
                     FLOTILLA_ERR_UNKNOWN_TOPIC);
    assert_non_null(strstr(error, "nowhere"));
    assert_int_equal(flotilla_producer_poll(producer, 0), 1); /* settled, but not reported to the callback */
    assert_int_equal(reports, 0);
    assert_false(is_readable(flotilla_producer_fd(producer), 0));
    assert_int_equal(
        flotilla_produce(producer, "orders", FLOTILLA_PARTITION_ANY, -1, NULL, 0, "b", 1, NULL, 0, NULL), 0);
    assert_true(is_readable(flotilla_producer_fd(producer), TIMEOUT_MS));
    assert_int_equal(flotilla_producer_poll(producer, 0), 1);
    assert_int_equal(reports, 1);
    assert_false(is_readable(flotilla_producer_fd(producer), 0));
    assert_int_equal(chosen, 2);

    assert_int_equal(flotilla_consumer_create(&consumer, client, NULL, error, sizeof(error)), 0);
    int fd = flotilla_consumer_fd(consumer);
    assert_false(is_readable(fd, 0));
    assert_int_equal(
        flotilla_consumer_subscribe(consumer, "orders", 2, FLOTILLA_START_BEGINNING, 0, error, sizeof(error)),
        0);
    for (int records = 0; records < 2;) {
        assert_true(is_readable(fd, TIMEOUT_MS));
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 0);
        assert_non_null(batch);
        while (flotilla_batch_next(batch) != NULL)
            records++;
        flotilla_batch_release(batch);
    }
    assert_false(is_readable(fd, 0));
    assert_int_equal(flotilla_consumer_wait(consumer, "orders", 2, 2, TIMEOUT_MS), 0);
    assert_int_equal(flotilla_consumer_wait(consumer, "orders", 2, 3, 10), FLOTILLA_ERR_TIMED_OUT);
    assert_int_equal(flotilla_client_statistics(client, &totals), 0);
    assert_int_equal(totals->records_acknowledged, 2);
    assert_int_equal(totals->records_received, 2);
    assert_true(totals->bytes_sent > 0 && totals->bytes_received > 0 && totals->connections > 0);
    flotilla_result_free(totals);
    flotilla_consumer_destroy(consumer);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    server_stop(s);
}

/* 0, or the number of the check that failed. */
static int checks_in_a_child(struct flotilla_client *client, struct flotilla_producer *producer,
                             struct flotilla_consumer *consumer)
{
    const struct flotilla_topics *list;
    char error[300] = "";

    if (flotilla_produce(producer, "orders", 0, -1, NULL, 0, "x", 1, NULL, 0, NULL) !=
        FLOTILLA_ERR_UNSUPPORTED)
        return 1;
    if (flotilla_producer_flush(producer, -1) != FLOTILLA_ERR_UNSUPPORTED)
        return 2;
    if (flotilla_consumer_poll(consumer, -1) != NULL)
        return 3;
    if (flotilla_topic_list(client, -1, &list, error, sizeof(error)) != FLOTILLA_ERR_UNSUPPORTED ||
        strstr(error, "forked") == NULL)
        return 4;
    flotilla_consumer_destroy(consumer);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    return 0;
}

static void a_forked_process_is_told(void **state)
{
    struct server *s = server_start(PARTITIONS);
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_consumer *consumer;
    int status = -1;

    (void)state;
    assert_int_equal(flotilla_client_create(&client, server_bootstrap(s), NULL, NULL, 0), 0);
    assert_int_equal(flotilla_producer_create(&producer, client, NULL, NULL, NULL, NULL, 0), 0);
    assert_int_equal(flotilla_consumer_create(&consumer, client, NULL, NULL, 0), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* what hangs is a failure too */
        _exit(checks_in_a_child(client, producer, consumer));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(
        flotilla_produce_sync(producer, "orders", 0, -1, NULL, 0, "x", 1, NULL, 0, NULL, NULL, 0), 0);
    flotilla_consumer_destroy(consumer);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(produces_and_consumes_while_connections_break),
        cmocka_unit_test(administration_names_what_failed),
        cmocka_unit_test(a_cluster_that_is_down_is_told_in_time),
        cmocka_unit_test(works_in_an_event_loop),
        cmocka_unit_test(a_forked_process_is_told),
    };
    return cmocka_run_group_tests_name("client/api", tests, NULL, NULL);
}
