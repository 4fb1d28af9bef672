/* Every call of the public API, again and again, while nodes are killed, frozen and stopped: each ends in its
 * time, with success or an error that says what to do next, and when the nodes are back each succeeds. */
#include "client/cli/local/local.h"
#include "flotilla.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    NODES = 3,
    TIMEOUT_MS = 3000,
    SLACK_MS = 12000, /* for a machine that has other things to do */
    READY_MS = 30000,
    CALM_MS = 60000,
    CALLS_MAX = 16,
    LEAVE_EVERY = 4,                /* rounds of the member */
    CLEAN_ROUNDS = LEAVE_EVERY + 1, /* in a row, when all nodes are back */
};

#define TOPIC "calls"

struct worker;
typedef void (*round_fn)(struct worker *w);

struct worker {
    const char *name;
    round_fn round;
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_consumer *consumer;
    unsigned rounds;
    bool round_failed;
    struct call {
        const char *name;
        unsigned count, failed;
        double worst_ms;
    } calls[CALLS_MAX];
    char error[512];     /* of the present call */
    char complaint[640]; /* "": none */
    _Atomic bool *calm, *stop;
    _Atomic bool done; /* CLEAN_ROUNDS without an error */
    pthread_t thread;
};

/* ---- judging ---- */

static struct call *call_of(struct worker *w, const char *name)
{
    struct call *c = w->calls;
    while (c->name != NULL && strcmp(c->name, name) != 0)
        c++;
    assert_true(c < w->calls + CALLS_MAX);
    c->name = name;
    return c;
}

/* What the faults themselves explain. */
static bool is_explained(int status)
{
    enum flotilla_error_class class = flotilla_error_class_of(status);
    return class == FLOTILLA_CLASS_RETRIABLE || class == FLOTILLA_CLASS_OUTCOME_UNKNOWN ||
           class == FLOTILLA_CLASS_FENCED || status == FLOTILLA_ERR_UNKNOWN_TOPIC ||
           status == FLOTILLA_ERR_UNKNOWN_GROUP || status == FLOTILLA_ERR_NOT_FOUND;
}

static bool judge(struct worker *w, const char *name, uint64_t since_ns, int status)
{
    struct call *c = call_of(w, name);
    double ms = (double)(cli_now_ns() - since_ns) / 1e6;
    c->count++;
    c->failed += status != 0;
    c->worst_ms = ms > c->worst_ms ? ms : c->worst_ms;
    w->round_failed |= status != 0;
    if (w->complaint[0] == '\0' && ms > TIMEOUT_MS + SLACK_MS)
        snprintf(w->complaint, sizeof(w->complaint), "%s took %.0f ms, its time-out is %d ms", name, ms,
                 TIMEOUT_MS);
    if (w->complaint[0] == '\0' && status != 0 && !is_explained(status))
        snprintf(w->complaint, sizeof(w->complaint), "%s: %s: %s", name, flotilla_error_name(status),
                 w->error);
    w->error[0] = '\0';
    return status == 0;
}

#define ERROR_OF(w) (w)->error, sizeof((w)->error)
#define CALL(w, function, ...)                                                                               \
    __extension__({                                                                                          \
        uint64_t call_began_ns = cli_now_ns();                                                               \
        judge(w, #function, call_began_ns, function(__VA_ARGS__));                                           \
    })

/* ---- administration ---- */

static void topics_round(struct worker *w)
{
    const char *const config[] = {"retention.ms", "3600000"};
    const struct flotilla_topics *list = NULL;
    const struct flotilla_topic_info *info = NULL;
    char name[32];
    snprintf(name, sizeof(name), "topic-%u", w->rounds);
    CALL(w, flotilla_topic_list, w->client, TIMEOUT_MS, &list, ERROR_OF(w));
    flotilla_result_free(list);
    if (!CALL(w, flotilla_topic_create, w->client, name, 1, NODES, NULL, 0, TIMEOUT_MS, ERROR_OF(w)))
        return;
    CALL(w, flotilla_topic_describe, w->client, name, TIMEOUT_MS, &info, ERROR_OF(w));
    flotilla_result_free(info);
    CALL(w, flotilla_topic_alter, w->client, name, 2, config, 1, NULL, 0, TIMEOUT_MS, ERROR_OF(w));
    CALL(w, flotilla_topic_delete, w->client, name, TIMEOUT_MS, ERROR_OF(w));
}

static void groups_round(struct worker *w)
{
    const struct flotilla_group_offset one = {.topic = TOPIC, .partition = 1, .offset = w->rounds};
    const struct flotilla_group_offset *const all[] = {&one};
    const struct flotilla_offsets *offsets = NULL;
    const struct flotilla_groups *groups = NULL;
    const struct flotilla_group_description *description = NULL;
    int64_t end = 0;
    bool there =
        CALL(w, flotilla_group_commit, w->client, "admin", TOPIC, 0, w->rounds, TIMEOUT_MS, ERROR_OF(w));
    there &= CALL(w, flotilla_group_commit_all, w->client, "admin", all, 1, TIMEOUT_MS, ERROR_OF(w));
    CALL(w, flotilla_group_offsets, w->client, "admin", NULL, TIMEOUT_MS, &offsets, ERROR_OF(w));
    flotilla_result_free(offsets);
    CALL(w, flotilla_group_list, w->client, TIMEOUT_MS, &groups, ERROR_OF(w));
    flotilla_result_free(groups);
    CALL(w, flotilla_group_describe, w->client, "admin", TIMEOUT_MS, &description, ERROR_OF(w));
    flotilla_result_free(description);
    CALL(w, flotilla_offset_list, w->client, TOPIC, 0, FLOTILLA_OFFSET_END, TIMEOUT_MS, &end, ERROR_OF(w));
    if (there)
        CALL(w, flotilla_group_delete, w->client, "admin", NULL, TIMEOUT_MS, ERROR_OF(w));
}

static void cluster_round(struct worker *w)
{
    const struct flotilla_cluster_info *info = NULL;
    CALL(w, flotilla_cluster_status, w->client, TIMEOUT_MS, &info, ERROR_OF(w));
    flotilla_result_free(info);
    uint32_t node = 1 + w->rounds % NODES, left = 0;
    CALL(w, flotilla_cluster_drain, w->client, node, 0, TIMEOUT_MS, &left, ERROR_OF(w));
    CALL(w, flotilla_node_control, w->client, node, "info", NULL, 0, TIMEOUT_MS, ERROR_OF(w));
}

/* ---- producing ---- */

static void producer_round(struct worker *w)
{
    int64_t offset = -1;
    CALL(w, flotilla_produce_sync, w->producer, TOPIC, 0, FLOTILLA_TIMESTAMP_NOW, "k", 1, "value", 5, NULL, 0,
         &offset, ERROR_OF(w));
    for (int i = 0; i < 10; i++)
        CALL(w, flotilla_produce, w->producer, TOPIC, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, NULL, 0,
             "value", 5, NULL, 0, NULL);
    flotilla_producer_poll(w->producer, 0);
    CALL(w, flotilla_producer_flush, w->producer, TIMEOUT_MS + 1000);
}

/* ---- consuming ---- */

/* Polls a little; what could not be read counts as the call's error. */
static void take(struct worker *w)
{
    for (int i = 0; i < 5; i++) {
        uint64_t since_ns = cli_now_ns();
        struct flotilla_batch *batch = flotilla_consumer_poll(w->consumer, 20);
        int status = 0;
        if (batch != NULL && flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
            status = flotilla_batch_status(batch);
            snprintf(w->error, sizeof(w->error), "%s", flotilla_batch_message(batch));
        }
        while (batch != NULL && flotilla_batch_next(batch) != NULL)
            ;
        flotilla_batch_release(batch);
        judge(w, "flotilla_consumer_poll", since_ns, status);
    }
}

static void join(struct worker *w)
{
    static const char *const topics[] = {TOPIC};
    CALL(w, flotilla_consumer_join, w->consumer, topics, 1, NULL, NULL, NULL, ERROR_OF(w));
}

static void on_committed(void *data, int status, const char *message)
{
    (void)data, (void)status, (void)message;
}

static void commit_one(struct worker *w)
{
    const struct flotilla_membership *m = NULL;
    CALL(w, flotilla_consumer_membership, w->consumer, &m);
    int32_t partition = m != NULL && m->partition_count > 0 ? m->partitions[0]->partition : -1;
    flotilla_result_free(m);
    int64_t at = partition >= 0 ? flotilla_consumer_position(w->consumer, TOPIC, partition) : -1;
    if (at < 0)
        w->round_failed = true; /* no success without having been tried */
    else
        CALL(w, flotilla_consumer_commit_offset, w->consumer, TOPIC, partition, at, "by hand", TIMEOUT_MS,
             ERROR_OF(w));
    if (at >= 0)
        CALL(w, flotilla_consumer_seek, w->consumer, TOPIC, partition, FLOTILLA_START_OFFSET, at,
             ERROR_OF(w));
}

static void member_round(struct worker *w)
{
    take(w);
    CALL(w, flotilla_consumer_commit, w->consumer, TIMEOUT_MS, ERROR_OF(w));
    CALL(w, flotilla_consumer_commit_async, w->consumer, on_committed, NULL);
    commit_one(w);
    if (w->rounds % LEAVE_EVERY == LEAVE_EVERY - 1) {
        CALL(w, flotilla_consumer_leave, w->consumer, TIMEOUT_MS, ERROR_OF(w));
        join(w);
    }
}

static void reader_round(struct worker *w)
{
    CALL(w, flotilla_consumer_subscribe, w->consumer, TOPIC, 0, FLOTILLA_START_BEGINNING, 0, ERROR_OF(w));
    uint64_t since_ns = cli_now_ns();
    int status = FLOTILLA_ERR_TIMED_OUT;
    while (status != 0 && cli_now_ns() - since_ns < TIMEOUT_MS * 1000000ull) {
        take(w);
        status = flotilla_consumer_wait(w->consumer, TOPIC, 0, 1, 0);
    }
    judge(w, "flotilla_consumer_wait", since_ns, status);
    CALL(w, flotilla_consumer_pause, w->consumer, TOPIC, 0);
    CALL(w, flotilla_consumer_resume, w->consumer, TOPIC, 0);
    w->round_failed |= flotilla_consumer_lag(w->consumer, TOPIC, 0) < 0 ||
                       flotilla_consumer_high_watermark(w->consumer, TOPIC, 0) < 1;
    CALL(w, flotilla_consumer_unsubscribe, w->consumer, TOPIC, 0);
}

/* ---- workers ---- */

static void *work(void *argument)
{
    struct worker *w = argument;
    unsigned clean = 0;
    while (!*w->stop) {
        bool was_calm = *w->calm;
        w->round_failed = false;
        w->round(w);
        w->rounds++;
        clean = was_calm && !w->round_failed ? clean + 1 : 0;
        if (clean == CLEAN_ROUNDS)
            w->done = true;
    }
    return NULL;
}

static void open_worker(struct worker *w, const char *bootstrap)
{
    struct flotilla_options *o = flotilla_options_create();
    char error[256] = "";
    flotilla_options_set(o, "delivery.timeout.ms", "3000", NULL, 0);
    flotilla_options_set(o, "group", w->name, NULL, 0);
    int status = flotilla_client_create(&w->client, bootstrap, o, error, sizeof(error));
    if (status == 0 && w->round == producer_round)
        status = flotilla_producer_create(&w->producer, w->client, o, NULL, NULL, error, sizeof(error));
    if (status == 0 && (w->round == member_round || w->round == reader_round))
        status = flotilla_consumer_create(&w->consumer, w->client, o, error, sizeof(error));
    flotilla_options_destroy(o);
    if (status != 0)
        fail_msg("%s: %s", w->name, error);
    if (w->round == member_round)
        join(w);
}

static void close_worker(struct worker *w)
{
    flotilla_producer_destroy(w->producer);
    flotilla_consumer_destroy(w->consumer);
    flotilla_client_destroy(w->client);
    for (const struct call *c = w->calls; c->name != NULL; c++)
        print_message("%-34s %6u calls, %4u failed, at most %5.0f ms\n", c->name, c->count, c->failed,
                      c->worst_ms);
}

/* ---- the cluster ---- */

static void strike(struct local_cluster *c, unsigned node, int signal, int64_t for_ms)
{
    print_message("signal %d to node %u\n", signal, node);
    assert_true(local_signal(c, node, signal));
    cli_sleep_ms(for_ms); /* what is under test goes on meanwhile */
    if (signal == SIGSTOP)
        assert_true(local_signal(c, node, SIGCONT));
    else
        assert_true(local_wait_down(c, node, READY_MS) && local_start_node(c, node));
    assert_true(local_wait_ready(c, READY_MS));
}

static void wait_for(const struct worker *workers, size_t count)
{
    uint64_t deadline_ns = cli_now_ns() + CALM_MS * 1000000ull;
    for (size_t i = 0; i < count; i++) {
        while (!workers[i].done && workers[i].complaint[0] == '\0' && cli_now_ns() < deadline_ns)
            cli_sleep_ms(10);
        if (!workers[i].done && workers[i].complaint[0] == '\0')
            print_error("%s: no rounds without an error since all nodes are back\n", workers[i].name);
    }
}

static void every_call_ends_well(void **state)
{
    static const struct {
        const char *name;
        round_fn round;
    } kinds[] = {{"topics", topics_round},     {"groups", groups_round}, {"cluster", cluster_round},
                 {"producer", producer_round}, {"member", member_round}, {"reader", reader_round}};
    enum { WORKERS = sizeof(kinds) / sizeof(kinds[0]) };
    struct worker workers[WORKERS] = {0};
    struct local_cluster *c = *state;
    _Atomic bool calm = false, stop = false;
    char bootstrap[256];
    local_bootstrap(c, bootstrap, sizeof(bootstrap));
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i].name = kinds[i].name;
        workers[i].round = kinds[i].round;
        workers[i].calm = &calm;
        workers[i].stop = &stop;
        open_worker(&workers[i], bootstrap);
    }
    assert_int_equal(flotilla_topic_create(workers[0].client, TOPIC, 3, NODES, NULL, 0, READY_MS, NULL, 0),
                     0);
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    strike(c, 1, SIGKILL, 300);
    strike(c, 2, SIGSTOP, 1200);
    strike(c, 3, SIGTERM, 300);
    strike(c, 2, SIGKILL, 0);
    calm = true;
    wait_for(workers, WORKERS);
    stop = true;
    for (size_t i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    bool all = true;
    for (size_t i = 0; i < WORKERS; i++) {
        if (workers[i].complaint[0] != '\0')
            print_error("%s: %s\n", workers[i].name, workers[i].complaint);
        all &= workers[i].complaint[0] == '\0' && workers[i].done;
        close_worker(&workers[i]);
    }
    assert_true(all);
}

static int open_cluster(void **state)
{
    struct local_cluster *c = calloc(1, sizeof(*c));
    *state = c;
    return c != NULL && local_scratch(c, NODES) ? 0 : -1;
}

static int close_cluster(void **state)
{
    local_destroy(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_ends_well, open_cluster, close_cluster)};
    return cmocka_run_group_tests_name("cluster/api_calls", tests, NULL, NULL);
}
