/* Consumer groups with real nodes: whatever happens to members and coordinator, everything acknowledged is
 * processed; and as long as members come and go in order, nothing is processed twice. */
#include "client/cli/local/local.h"
#include "client/cli/workload/crew.h"
#include "tests/cluster/harness.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 3, PARTITIONS = 12, RATE = 2000, TIMEOUT_MS = 20000 };

struct site {
    struct local_cluster cluster;
    struct flotilla_client *client;
    char bootstrap[256];
    struct crew crew; /* of the test that runs */
    bool has_crew;
};

static int open_site(void **state)
{
    struct site *s = calloc(1, sizeof(*s));
    char error[512] = "";
    *state = s;
    if (s == NULL || !local_scratch(&s->cluster, NODES)) {
        return -1;
    }
    local_bootstrap(&s->cluster, s->bootstrap, sizeof(s->bootstrap));
    return flotilla_client_create(&s->client, s->bootstrap, NULL, error, sizeof(error));
}

static int close_site(void **state)
{
    struct site *s = *state;
    flotilla_client_destroy(s->client);
    local_destroy(&s->cluster);
    free(s);
    return 0;
}

/* Also after a test that failed: its members must not disturb the next one. */
static int end_crew(void **state)
{
    struct site *s = *state;
    if (s->has_crew) {
        crew_close(&s->crew);
    }
    s->has_crew = false;
    return 0;
}

static struct crew *start_crew(struct site *s, const char *topic, const char *const *options)
{
    char error[512] = "";
    if (flotilla_topic_create(s->client, topic, PARTITIONS, 3, NULL, 0, TIMEOUT_MS, error, sizeof(error)) !=
        0) {
        fail_msg("%s", error);
    }
    s->crew = (struct crew){.bootstrap = s->bootstrap,
                            .topic = topic,
                            .group = topic,
                            .partitions = PARTITIONS,
                            .rate = RATE,
                            .options = options};
    s->has_crew = true;
    assert_true(crew_start(&s->crew));
    return &s->crew;
}

static void wait_stable(struct crew *c)
{
    if (crew_wait_stable(c, crew_size(c), cli_now_ns(), TIMEOUT_MS) < 0) {
        fail_msg("%u members are not stable; %s", crew_size(c), c->error);
    }
}

static int join(struct crew *c, bool as_process)
{
    int member = crew_join(c, as_process);
    if (member == CREW_NOBODY) {
        fail_msg("%s", c->error);
    }
    return member;
}

static bool has_processed(void *data)
{
    const struct crew *c = data;
    return c->processed >= c->acknowledged / 2 && c->acknowledged >= RATE / 2;
}

static void finish(struct crew *c)
{
    uint64_t lost = crew_finish(c, TIMEOUT_MS);
    print_message("acknowledged %llu, processed %llu, twice %llu, never %llu\n",
                  (unsigned long long)c->acknowledged, (unsigned long long)c->processed,
                  (unsigned long long)c->duplicates, (unsigned long long)lost);
    assert_string_equal(c->error, "");
    assert_true(c->acknowledged > 0);
    assert_int_equal(lost, 0);
}

static void in_order_exactly_once(void **state)
{
    struct crew *c = start_crew(*state, "in-order", NULL);
    static const unsigned sizes[] = {1, 3, 6, 14, 4, 2};
    int members[16];
    unsigned size = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        while (size < sizes[i]) {
            members[size++] = join(c, false);
        }
        while (size > sizes[i]) {
            assert_true(crew_leave(c, members[--size]));
        }
        wait_stable(c); /* with 14 members, two stand by */
    }
    wait_until(has_processed, c, TIMEOUT_MS, "records are processed");
    finish(c);
    assert_int_equal(c->duplicates, 0);
}

static void a_killed_member_is_replaced(void **state)
{
    struct crew *c = start_crew(*state, "killed", NULL);
    join(c, false);
    join(c, false);
    int victim = join(c, true);
    wait_stable(c);
    wait_until(has_processed, c, TIMEOUT_MS, "records are processed");
    crew_watch(c);
    assert_true(crew_signal(c, victim, SIGKILL));
    double ms = crew_wait_taken_over(c, victim, TIMEOUT_MS);
    print_message("taken over after %.0f ms\n", ms);
    assert_true(ms >= 0);
    wait_stable(c);
    finish(c);
}

/* What it commits when it wakes up is refused; it comes back as a new member. */
static void a_frozen_member_is_replaced_and_comes_back(void **state)
{
    static const char *const options[] = {"session.timeout.ms", "1500", NULL};
    struct crew *c = start_crew(*state, "frozen", options);
    join(c, false);
    int victim = join(c, true);
    wait_stable(c);
    wait_until(has_processed, c, TIMEOUT_MS, "records are processed");
    crew_watch(c);
    assert_true(crew_signal(c, victim, SIGSTOP));
    double ms = crew_wait_taken_over(c, victim, TIMEOUT_MS);
    print_message("taken over after %.0f ms\n", ms);
    assert_true(ms >= 0);
    assert_true(crew_signal(c, victim, SIGCONT));
    wait_stable(c);
    finish(c);
}

static unsigned coordinator(struct site *s, const char *group)
{
    const struct flotilla_topic_info *info = NULL;
    assert_int_equal(flotilla_topic_describe(s->client, "__consumer_offsets", TIMEOUT_MS, &info, NULL, 0), 0);
    unsigned node =
        info->partitions[flotilla_group_partition(group, (int32_t)info->partition_count)]->leader_id;
    flotilla_result_free(info);
    return node;
}

static void nobody_notices_a_dead_coordinator(void **state)
{
    struct site *s = *state;
    struct crew *c = start_crew(s, "coordinator", NULL);
    for (int i = 0; i < 3; i++) {
        join(c, false);
    }
    wait_stable(c);
    wait_until(has_processed, c, TIMEOUT_MS, "records are processed");
    unsigned rebalances = crew_rebalances(c), node = coordinator(s, c->group);
    assert_true(local_signal(&s->cluster, node, SIGKILL));
    assert_true(crew_wait_commit(c, cli_now_ns(), TIMEOUT_MS) >= 0);
    wait_stable(c);
    assert_true(local_wait_down(&s->cluster, node, 10000));
    assert_true(local_start_node(&s->cluster, node));
    assert_true(local_wait_ready(&s->cluster, 30000));
    assert_true(crew_wait_commit(c, cli_now_ns(), TIMEOUT_MS) >= 0);
    wait_stable(c);
    assert_int_equal(crew_rebalances(c), rebalances);
    finish(c);
    assert_int_equal(c->duplicates, 0);
}

/* ---- members one by one ---- */

struct reader {
    struct flotilla_consumer *consumer;
    unsigned events[3]; /* by enum flotilla_rebalance */
    long records;
};

static void note(void *data, struct flotilla_consumer *consumer, enum flotilla_rebalance event,
                 const struct flotilla_partition *const *partitions, size_t count)
{
    struct reader *r = data;
    (void)consumer, (void)partitions, (void)count;
    r->events[event]++;
}

static void open_reader(struct reader *r, struct site *s, const char *topic, const char *pattern,
                        const char *const *options)
{
    struct flotilla_options *o = flotilla_options_create();
    char error[512] = "";
    memset(r, 0, sizeof(*r));
    for (; *options != NULL; options += 2) {
        assert_int_equal(flotilla_options_set(o, options[0], options[1], error, sizeof(error)), 0);
    }
    assert_int_equal(flotilla_consumer_create(&r->consumer, s->client, o, error, sizeof(error)), 0);
    assert_int_equal(
        flotilla_consumer_join(r->consumer, &topic, topic != NULL, pattern, note, r, error, sizeof(error)),
        0);
    flotilla_options_destroy(o);
}

static void read_on(struct reader *r)
{
    struct flotilla_batch *batch;
    while ((batch = flotilla_consumer_poll(r->consumer, 0)) != NULL) {
        assert_int_not_equal(flotilla_batch_kind(batch), FLOTILLA_BATCH_ERROR);
        while (flotilla_batch_next(batch) != NULL) {
            r->records++;
        }
        flotilla_batch_release(batch);
    }
}

struct share {
    struct reader *readers;
    size_t count;
    size_t partitions; /* of all together */
};

static bool has_share(void *data)
{
    const struct share *s = data;
    size_t owned = 0;
    bool stable = true;
    for (size_t i = 0; i < s->count; i++) {
        const struct flotilla_membership *m = NULL;
        read_on(&s->readers[i]);
        assert_int_equal(flotilla_consumer_membership(s->readers[i].consumer, &m), 0);
        owned += m->partition_count;
        stable &= m->is_stable != 0;
        flotilla_result_free(m);
    }
    return stable && owned == s->partitions;
}

static void await_share(struct reader *readers, size_t count, size_t partitions)
{
    struct share s = {readers, count, partitions};
    wait_until(has_share, &s, TIMEOUT_MS, "every partition has a reader");
}

static void make_topic(struct site *s, const char *topic, uint32_t partitions)
{
    char error[512] = "";
    if (flotilla_topic_create(s->client, topic, partitions, 3, NULL, 0, TIMEOUT_MS, error, sizeof(error)) !=
        0) {
        fail_msg("%s", error);
    }
}

static void a_restarted_static_member_gets_its_place_back(void **state)
{
    static const char *const options[][5] = {{"group", "static", "group.instance.id", "a", NULL},
                                             {"group", "static", "group.instance.id", "b", NULL}};
    struct site *s = *state;
    struct reader readers[2];
    make_topic(s, "static", 4);
    open_reader(&readers[0], s, "static", NULL, options[0]);
    open_reader(&readers[1], s, "static", NULL, options[1]);
    await_share(readers, 2, 4);
    unsigned before = readers[0].events[FLOTILLA_ASSIGNED] + readers[0].events[FLOTILLA_REVOKED];
    flotilla_consumer_destroy(readers[1].consumer);
    open_reader(&readers[1], s, "static", NULL, options[1]);
    await_share(readers, 2, 4);
    assert_int_equal(readers[0].events[FLOTILLA_ASSIGNED] + readers[0].events[FLOTILLA_REVOKED], before);
    assert_int_equal(flotilla_consumer_leave(readers[1].consumer, TIMEOUT_MS, NULL, 0), 0);
    await_share(readers, 1, 4);
    flotilla_consumer_destroy(readers[1].consumer);
    flotilla_consumer_destroy(readers[0].consumer);
}

static void new_topics_and_partitions_are_picked_up(void **state)
{
    static const char *const options[] = {"group", "pattern", NULL};
    struct site *s = *state;
    struct reader readers[2];
    make_topic(s, "pick.one", 2);
    open_reader(&readers[0], s, NULL, "pick.*", options);
    open_reader(&readers[1], s, NULL, "pick.*", options);
    await_share(readers, 2, 2);
    make_topic(s, "pick.two", 3);
    await_share(readers, 2, 5);
    assert_int_equal(flotilla_topic_alter(s->client, "pick.one", 4, NULL, 0, NULL, 0, TIMEOUT_MS, NULL, 0),
                     0);
    await_share(readers, 2, 7);
    flotilla_consumer_destroy(readers[1].consumer);
    await_share(readers, 1, 7);
    flotilla_consumer_destroy(readers[0].consumer);
}

/* With at-most-once what was returned is committed, whether it is finished or not. */
static void at_most_once_commits_first(void **state)
{
    static const char *const options[] = {"group", "most", "processing", "at-most-once", NULL};
    struct site *s = *state;
    struct reader r;
    struct flotilla_producer *producer;
    make_topic(s, "most", 1);
    assert_int_equal(flotilla_producer_create(&producer, s->client, NULL, NULL, NULL, NULL, 0), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(flotilla_produce_sync(producer, "most", 0, FLOTILLA_TIMESTAMP_NOW, NULL, 0, "x", 1,
                                               NULL, 0, NULL, NULL, 0),
                         0);
    }
    flotilla_producer_destroy(producer);
    open_reader(&r, s, "most", NULL, options);
    struct flotilla_batch *batch = flotilla_consumer_poll(r.consumer, TIMEOUT_MS);
    assert_non_null(batch);
    const struct flotilla_offsets *offsets = NULL;
    assert_int_equal(flotilla_group_offsets(s->client, "most", "most", TIMEOUT_MS, &offsets, NULL, 0), 0);
    assert_int_equal(offsets->count, 1);
    assert_true(offsets->offsets[0]->offset > flotilla_batch_offset(batch));
    flotilla_result_free(offsets);
    flotilla_batch_release(batch);
    flotilla_consumer_destroy(r.consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(in_order_exactly_once, end_crew),
        cmocka_unit_test_teardown(a_killed_member_is_replaced, end_crew),
        cmocka_unit_test_teardown(a_frozen_member_is_replaced_and_comes_back, end_crew),
        cmocka_unit_test(a_restarted_static_member_gets_its_place_back),
        cmocka_unit_test(new_topics_and_partitions_are_picked_up),
        cmocka_unit_test(at_most_once_commits_first),
        cmocka_unit_test_teardown(nobody_notices_a_dead_coordinator, end_crew),
    };
    return cmocka_run_group_tests(tests, open_site, close_site);
}
