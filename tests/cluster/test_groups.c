/* Consumer groups with real nodes: whatever happens to members and coordinator, everything acknowledged is
 * processed; and as long as members come and go in order, nothing is processed twice. */
#include "client/cli/crew.h"
#include "client/cli/local.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(in_order_exactly_once, end_crew),
        cmocka_unit_test_teardown(a_killed_member_is_replaced, end_crew),
        cmocka_unit_test_teardown(a_frozen_member_is_replaced_and_comes_back, end_crew),
        cmocka_unit_test_teardown(nobody_notices_a_dead_coordinator, end_crew),
    };
    return cmocka_run_group_tests(tests, open_site, close_site);
}
