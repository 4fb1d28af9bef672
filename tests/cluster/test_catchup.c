/* Followers that were away for so long that entries in memory don't reach back to them: they are sent files.
 */
#include "tests/cluster/damage.h"
#include "tests/cluster/harness.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *const small_memory[] = {"--cache-bytes=64KiB", "--entry-memory-bytes=256KiB",
                                           "--retention-check=100ms"};

static int64_t start_offset(struct scene *s)
{
    const struct flotilla_topic_info *info = NULL;
    if (flotilla_topic_describe(s->client, s->topic, 5000, &info, NULL, 0) != 0) {
        return -1;
    }
    int64_t offset = info->partitions[0]->log_start_offset;
    flotilla_result_free(info);
    return offset;
}

static bool beginning_is_gone(void *data)
{
    return start_offset(data) > 0;
}

/* Everything that retention has left is read from the node that was away, as their leader. */
static void read_what_is_left(struct scene *s, uint64_t at_least)
{
    struct flotilla_consumer *consumer = NULL;
    char error[512] = "";
    uint64_t records = 0, began = cli_now_ns();
    int64_t next = -1, end = (int64_t)s->fleet.count;
    assert_int_equal(flotilla_consumer_create(&consumer, s->client, NULL, error, sizeof(error)), 0);
    assert_int_equal(
        flotilla_consumer_subscribe(consumer, s->topic, 0, FLOTILLA_START_BEGINNING, 0, error, sizeof(error)),
        0);
    while (next < end && cli_now_ns() - began < 20000000000u) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 50);
        const struct flotilla_record *record;
        if (batch == NULL) {
            continue;
        }
        if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
            fail_msg("%s", flotilla_batch_message(batch));
        }
        while ((record = flotilla_batch_next(batch)) != NULL) {
            assert_true(next == -1 || record->offset == next);
            next = record->offset + 1;
            records++;
        }
        flotilla_batch_release(batch);
    }
    flotilla_consumer_destroy(consumer);
    assert_int_equal(next, end);
    assert_true(records >= at_least);
}

static void away(const char *topic, bool with_retention)
{
    static const char *const config[] = {"segment.bytes", "262144", "retention.bytes", "1048576"};
    struct scene_options options = {.topic = topic,
                                    .partitions = 1,
                                    .count = 40000,
                                    .rate = 8000,
                                    .config = config,
                                    .config_count = with_retention ? 2 : 1,
                                    .node_options = small_memory,
                                    .node_option_count = 3};
    struct scene *s = scene_start_with(&options);
    scene_wait_acknowledged(s, 3000);
    unsigned node = scene_leader(s, 0); /* the preferred one: it gets its leadership back */
    scene_kill(s, node);
    scene_wait_acknowledged(s, 30000);
    if (with_retention) {
        wait_until(beginning_is_gone, s, 20000, "retention deletes the beginning");
        assert_true(start_offset(s) > 3000);
    }
    long from = scene_log_size(s, node);
    scene_bring_back(s, node);
    assert_true(scene_log_has(s, node, from, "catch-up done"));
    assert_true(scene_metric(s, node, "flotilla_raft_catchups_total") >= 1); /* since it started */
    /* Retention leaves about 1 MiB to fetch. */
    assert_true(scene_metric(s, node, "flotilla_raft_catchup_bytes_total") > 1 << 19);
    scene_wait_leader(s, node);
    scene_judge(s);
    if (with_retention) {
        read_what_is_left(s, 2000);
    } else {
        scene_audit(s);
    }
    scene_end(s);
}

static void long_absence(void **state)
{
    (void)state;
    away("away", false);
}

static void absence_beyond_retention(void **state)
{
    (void)state;
    away("away-too-long", true);
}

/* kill -9 of the one that catches up and of the one that it catches up from, at any moment of it. */
static void interrupted(void **state)
{
    static const char *const config[] = {"segment.bytes", "262144"};
    static const char *const throttled[] = {"--cache-bytes=64KiB", "--entry-memory-bytes=256KiB",
                                            "--catchup-bytes-per-second=1MiB"};
    (void)state;
    struct scene_options options = {.topic = "interrupted",
                                    .partitions = 1,
                                    .count = SCENE_ENDLESS,
                                    .rate = 5000,
                                    .config = config,
                                    .config_count = 1,
                                    .node_options = throttled,
                                    .node_option_count = 3};
    struct scene *s = scene_start_with(&options);
    scene_wait_acknowledged(s, 1000);
    unsigned node = scene_leader(s, 0);
    scene_kill(s, node);
    scene_wait_acknowledged(s, 20000);
    for (unsigned round = 0; round < 4; round++) {
        long from = scene_log_size(s, node);
        scene_start_node(s, node);
        scene_wait_log(s, node, from, "catch-up from files");
        cli_sleep_ms((int64_t)scene_random(s, 700)); /* the moment is the point, not a wait */
        unsigned victim = round % 2 == 0 ? node : scene_leader(s, 0);
        scene_kill(s, victim);
        if (victim != node) {
            scene_start_node(s, victim);
            scene_kill(s, node);
        }
    }
    scene_bring_back(s, node);
    scene_end_load(s);
    scene_judge(s);
    scene_wait_leader(s, node);
    scene_audit(s);
    scene_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_absence),
        cmocka_unit_test(absence_beyond_retention),
        cmocka_unit_test(interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
