#include "tests/cluster/harness.h"

#include "client/cli/demo/source.h"
#include "tests/cluster/scrape.h"
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
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

/* ---- what a failed test leaves behind ---- */

/* cmocka leaves a failed test by longjmp: only a variable of the program knows what it had started. */
static struct scene *live;

static void take_down_leftover(void)
{
    struct scene *s = live;
    if (s == NULL) {
        return;
    }
    live = NULL;
    s->fleet.stop = true;
    local_stop(&s->cluster, true, 10000);
    fprintf(stderr, "the failed test's nodes are stopped, their files are in %s\n", s->cluster.directory);
}

static void set_live(struct scene *s)
{
    static bool registered;
    if (!registered) {
        registered = true;
        atexit(take_down_leftover);
    }
    take_down_leftover();
    live = s;
}

/* ---- start ---- */

static void start_nodes(struct scene *s, const struct scene_options *o)
{
    const char *base = getenv("TMPDIR");
    char directory[1024];
    struct cli_list node_options = {(const char **)(uintptr_t)o->node_options, o->node_option_count};
    snprintf(directory, sizeof(directory), "%s/flotilla-XXXXXX",
             base != NULL && base[0] != 0 ? base : "/tmp");
    assert_non_null(mkdtemp(directory));
    if (!local_create(&s->cluster, directory, NODES, 0, &node_options)) {
        fail_msg("%s", s->cluster.error);
    }
    s->cluster.owned = true;
    set_live(s);
    if (o->prepare != NULL) {
        o->prepare(s);
    }
    for (unsigned node = 1; node <= NODES; node++) {
        scene_start_node(s, node);
    }
    if (!local_wait_ready(&s->cluster, TIMEOUT_MS)) {
        fail_msg("%s", s->cluster.error);
    }
}

static void create_topic(struct scene *s, const struct scene_options *o)
{
    char error[512] = "";
    local_bootstrap(&s->cluster, s->bootstrap, sizeof(s->bootstrap));
    assert_int_equal(flotilla_client_create(&s->client, s->bootstrap, NULL, error, sizeof(error)), 0);
    if (flotilla_topic_create(s->client, o->topic, o->partitions, NODES, o->config, o->config_count,
                              TIMEOUT_MS, error, sizeof(error)) != 0) {
        fail_msg("cannot create %s: %s", o->topic, error);
    }
}

struct scene *scene_start_with(const struct scene_options *o)
{
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->seed = choose_seed();
    s->topic = o->topic;
    start_nodes(s, o);
    create_topic(s, o);
    s->fleet = (struct fleet){.bootstrap = s->bootstrap,
                              .topic = o->topic,
                              .count = o->count,
                              .rate = o->rate,
                              .source = demo_orders,
                              .readers = readers,
                              .reader_count = READERS,
                              .patience_ms = 20000};
    assert_true(fleet_start(&s->fleet));
    return s;
}

struct scene *scene_start(const char *topic, uint32_t partitions, uint64_t count, uint64_t rate)
{
    struct scene_options options = {.topic = topic, .partitions = partitions, .count = count, .rate = rate};
    return scene_start_with(&options);
}

/* ---- load ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void scene_wait_acknowledged(struct scene *s, uint64_t count)
{
    uint64_t seen = s->fleet.ledger.acknowledged, since = cli_now_ns();
    while (s->fleet.ledger.acknowledged < least(count, s->fleet.count)) {
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

void scene_end_load(struct scene *s)
{
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 2000);
    fleet_enough(&s->fleet);
}

/* ---- judgement ---- */

static void judge(struct scene *s, const struct ledger_reader *reader, const char *error)
{
    struct ledger_verdict v = ledger_judge(&s->fleet.ledger, reader);
    print_message("%s: acknowledged %" PRIu64 " read %" PRIu64 " lost %" PRIu64 " duplicated %" PRIu64
                  " out of order %" PRIu64 " altered %" PRIu64 " %s\n",
                  reader->name, v.acknowledged, v.read, v.lost, v.duplicated, v.out_of_order, v.altered,
                  error);
    if (!ledger_clean(&v) || v.acknowledged != s->fleet.count) {
        fail_msg("a promise was broken; nodes' files are in %s", s->cluster.directory);
    }
}

void scene_judge(struct scene *s)
{
    scene_wait_acknowledged(s, s->fleet.count);
    fleet_join(&s->fleet);
    for (unsigned i = 0; i < READERS; i++) {
        judge(s, &s->fleet.reader[i].ledger, s->fleet.reader[i].error);
    }
    s->judged = true;
}

struct audit {
    struct scene *scene;
    char scratch[1024];
};

static const void *audit_expected(void *data, uint64_t number, size_t *size)
{
    struct audit *a = data;
    const struct fleet_source *source = &a->scene->fleet.source;
    const void *key, *value;
    size_t key_size;
    source->message(source->data, number, &key, &key_size, &value, size, a->scratch, sizeof(a->scratch));
    return value;
}

static void audit_batch(struct audit *a, struct flotilla_batch *batch, struct ledger_reader *reader)
{
    const struct flotilla_record *record;
    if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
        fail_msg("reading again: %s; nodes' files are in %s", flotilla_batch_message(batch),
                 a->scene->cluster.directory);
    }
    while ((record = flotilla_batch_next(batch)) != NULL) {
        ledger_read(reader, record, audit_expected, a);
    }
    flotilla_batch_release(batch);
}

void scene_audit(struct scene *s)
{
    struct audit a = {.scene = s};
    struct ledger_reader reader;
    struct flotilla_consumer *consumer = NULL;
    char error[512] = "";
    uint64_t progress = cli_now_ns();
    assert_true(s->judged);
    ledger_reader_init(&reader, "audit", s->fleet.count);
    assert_int_equal(flotilla_consumer_create(&consumer, s->client, NULL, error, sizeof(error)), 0);
    assert_int_equal(flotilla_consumer_subscribe(consumer, s->topic, FLOTILLA_PARTITION_ALL,
                                                 FLOTILLA_START_BEGINNING, 0, error, sizeof(error)),
                     0);
    while (reader.distinct < s->fleet.count && cli_now_ns() - progress < 20000000000u) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 50);
        if (batch != NULL) {
            progress = cli_now_ns();
            audit_batch(&a, batch, &reader);
        }
    }
    flotilla_consumer_destroy(consumer);
    judge(s, &reader, "");
    ledger_reader_close(&reader);
}

/* ---- end ---- */

/* What no node may ever say, whatever is done to it. */
static void check_logs(struct scene *s)
{
    static const char *const alarms[] = {"assertion failed", "runtime error:", "ERROR: AddressSanitizer",
                                         "ERROR: LeakSanitizer", "ERROR: ThreadSanitizer"};
    for (unsigned node = 1; node <= NODES; node++) {
        for (size_t i = 0; i < sizeof(alarms) / sizeof(alarms[0]); i++) {
            if (scene_log_has(s, node, 0, alarms[i])) {
                fail_msg("node %u: \"%s\" in %s/node-%u/log", node, alarms[i], s->cluster.directory, node);
            }
        }
    }
}

void scene_end(struct scene *s)
{
    if (!s->judged) {
        scene_judge(s);
    }
    local_stop(&s->cluster, false, 10000);
    check_logs(s);
    live = NULL;
    fleet_close(&s->fleet);
    flotilla_client_destroy(s->client);
    if (!local_destroy(&s->cluster)) {
        fail_msg("%s", s->cluster.error);
    }
    free(s);
}

/* ---- waiting ---- */

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

struct wanted_leader {
    struct scene *scene;
    unsigned node;
};

static bool leads(void *data)
{
    const struct wanted_leader *w = data;
    return scene_leader(w->scene, 0) == w->node;
}

void scene_wait_leader(struct scene *s, unsigned node)
{
    struct wanted_leader w = {s, node};
    wait_until(leads, &w, TIMEOUT_MS, "leadership comes to the wanted node");
}

/* ---- nodes ---- */

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

void scene_bring_back(struct scene *s, unsigned node)
{
    scene_start_node(s, node);
    scene_wait_settled(s);
}

void scene_stop_node(struct scene *s, unsigned node)
{
    if (!local_signal(&s->cluster, node, SIGTERM) || !local_wait_down(&s->cluster, node, TIMEOUT_MS)) {
        fail_msg("%s", s->cluster.error);
    }
}

double scene_metric(struct scene *s, unsigned node, const char *series)
{
    double sum = 0;
    for (unsigned i = 0; i < NODES; i++) {
        if (node == 0 || node == i + 1) {
            double value = scrape_metric(s->cluster.nodes[i].http_port, series);
            sum += value > 0 ? value : 0;
        }
    }
    return sum;
}

/* ---- their logs ---- */

static char *read_log(struct scene *s, unsigned node, long from, size_t *size)
{
    char path[4300];
    local_node_path(&s->cluster, node, "log", path, sizeof(path));
    FILE *f = fopen(path, "re");
    *size = 0;
    if (f == NULL) {
        return NULL;
    }
    fseek(f, 0, SEEK_END);
    long end = ftell(f);
    char *text = end > from ? malloc((size_t)(end - from)) : NULL;
    if (text != NULL && fseek(f, from, SEEK_SET) == 0) {
        *size = fread(text, 1, (size_t)(end - from), f);
    }
    fclose(f);
    return text;
}

long scene_log_size(struct scene *s, unsigned node)
{
    size_t size;
    free(read_log(s, node, 0, &size));
    return (long)size;
}

bool scene_log_has(struct scene *s, unsigned node, long from, const char *text)
{
    size_t size;
    char *log = read_log(s, node, from, &size);
    bool found = log != NULL && memmem(log, size, text, strlen(text)) != NULL;
    free(log);
    return found;
}

struct wanted_line {
    struct scene *scene;
    unsigned node;
    long from;
    const char *text;
};

static bool line_is_there(void *data)
{
    const struct wanted_line *w = data;
    return scene_log_has(w->scene, w->node, w->from, w->text);
}

void scene_wait_log(struct scene *s, unsigned node, long from, const char *text)
{
    struct wanted_line w = {s, node, from, text};
    char what[256];
    snprintf(what, sizeof(what), "node %u logs \"%s\"", node, text);
    wait_until(line_is_there, &w, TIMEOUT_MS, what);
}
