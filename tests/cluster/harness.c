#include "tests/cluster/harness.h"

#include "client/cli/demo_source.h"
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const readers[] = {"email", "inventory"};

enum { READERS = 2, NODES = 3, TIMEOUT_MS = 60000 };

void wait_until(bool (*condition)(void *data), void *data, int64_t timeout_ms, const char *what)
{
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    while (!condition(data)) {
        if (cli_now_ns() > deadline) {
            fail_msg("not within %" PRId64 " ms: %s", timeout_ms, what);
        }
        cli_sleep_ms(5);
    }
}

static uint64_t choose_seed(void)
{
    const char *given = getenv("SCENE_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)cli_wall_ms();
    print_message("seed %" PRIu64 " (SCENE_SEED replays the test's own choices)\n", seed);
    return seed;
}

unsigned scene_random(struct scene *s, unsigned below)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(s->seed >> 33) % below;
}

struct scene *scene_start(const char *topic, uint32_t partitions, uint64_t count, uint64_t rate)
{
    struct scene *s = calloc(1, sizeof(*s));
    char error[512] = "";
    assert_non_null(s);
    s->seed = choose_seed();
    s->topic = topic;
    if (!local_scratch(&s->cluster, NODES)) {
        fail_msg("%s", s->cluster.error);
    }
    local_bootstrap(&s->cluster, s->bootstrap, sizeof(s->bootstrap));
    assert_int_equal(flotilla_client_create(&s->client, s->bootstrap, NULL, error, sizeof(error)), 0);
    if (flotilla_topic_create(s->client, topic, partitions, NODES, NULL, 0, TIMEOUT_MS, error,
                              sizeof(error)) != 0) {
        fail_msg("cannot create %s: %s", topic, error);
    }
    s->fleet = (struct fleet){.bootstrap = s->bootstrap,
                              .topic = topic,
                              .count = count,
                              .rate = rate,
                              .source = demo_orders,
                              .readers = readers,
                              .reader_count = READERS,
                              .patience_ms = 20000};
    assert_true(fleet_start(&s->fleet));
    return s;
}

void scene_wait_acknowledged(struct scene *s, uint64_t count)
{
    uint64_t seen = s->fleet.ledger.acknowledged, since = cli_now_ns();
    while (s->fleet.ledger.acknowledged < count) {
        uint64_t now = cli_now_ns(), acknowledged = s->fleet.ledger.acknowledged;
        if (acknowledged != seen) {
            seen = acknowledged;
            since = now;
        }
        if (s->fleet.stop || now - since > TIMEOUT_MS * 1000000ull) {
            fail_msg("stuck at %" PRIu64 " of %" PRIu64 " acknowledged: %s; nodes' logs are in %s", seen,
                     count, s->fleet.error, s->cluster.directory);
        }
        cli_sleep_ms(2);
    }
}

void scene_end(struct scene *s)
{
    scene_wait_acknowledged(s, s->fleet.count);
    fleet_join(&s->fleet);
    for (unsigned i = 0; i < READERS; i++) {
        struct ledger_verdict v = ledger_judge(&s->fleet.ledger, &s->fleet.reader[i].ledger);
        print_message("%s: acknowledged %" PRIu64 " read %" PRIu64 " lost %" PRIu64 " duplicated %" PRIu64
                      " out of order %" PRIu64 " altered %" PRIu64 " %s\n",
                      readers[i], v.acknowledged, v.read, v.lost, v.duplicated, v.out_of_order, v.altered,
                      s->fleet.reader[i].error);
        if (!ledger_clean(&v) || v.acknowledged != s->fleet.count) {
            fail_msg("a promise was broken; nodes' files are in %s", s->cluster.directory);
        }
    }
    fleet_close(&s->fleet);
    flotilla_client_destroy(s->client);
    assert_true(local_destroy(&s->cluster));
    free(s);
}

static bool topic_settled(struct scene *s)
{
    const struct flotilla_topic_info *info = NULL;
    bool settled = true;
    if (flotilla_topic_describe(s->client, s->topic, 2000, &info, NULL, 0) != 0) {
        return false;
    }
    for (size_t i = 0; i < info->partition_count; i++) {
        settled = settled && info->partitions[i]->leader_id != 0 &&
                  info->partitions[i]->in_sync_count == info->partitions[i]->replica_count;
    }
    flotilla_result_free(info);
    return settled;
}

static bool settled(void *data)
{
    struct scene *s = data;
    return local_wait_ready(&s->cluster, 1000) && topic_settled(s);
}

void scene_wait_settled(struct scene *s)
{
    wait_until(settled, s, TIMEOUT_MS, "every partition led and in sync on all nodes");
}

unsigned scene_leader(struct scene *s, uint32_t partition)
{
    const struct flotilla_topic_info *info = NULL;
    uint64_t deadline = cli_now_ns() + TIMEOUT_MS * 1000000ull;
    while (cli_now_ns() < deadline) {
        if (flotilla_topic_describe(s->client, s->topic, 2000, &info, NULL, 0) == 0) {
            unsigned leader = info->partitions[partition]->leader_id;
            flotilla_result_free(info);
            if (leader != 0) {
                return leader;
            }
        }
        cli_sleep_ms(5);
    }
    fail_msg("partition %u of %s has no leader", partition, s->topic);
    return 0;
}

void scene_kill(struct scene *s, unsigned node)
{
    if (!local_signal(&s->cluster, node, SIGKILL) || !local_wait_down(&s->cluster, node, TIMEOUT_MS)) {
        fail_msg("%s", s->cluster.error);
    }
}

void scene_start_node(struct scene *s, unsigned node)
{
    if (!local_start_node(&s->cluster, node)) {
        fail_msg("%s", s->cluster.error);
    }
}
