/* flotilla demo: an order fan-out through the death of a node, with an independent check of what came out. */
#include "client/cli/commands.h"
#include "client/cli/demo_source.h"
#include "client/cli/local.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES = 3,
    PARTITIONS = 6,
    RESTART_AFTER_MS = 3000,
    TICK_MS = 200,
    STATUS_TIMEOUT_MS = 250,
    PLAIN_EVERY_TICKS = 5
};

static const char topic_name[] = "order.created";
static const char *const groups[] = {"email", "inventory", "analytics", "recommendation"};
enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

struct demo {
    const struct cli_command *command;
    struct local_cluster cluster;
    struct fleet fleet;
    struct demo_file file;
    struct flotilla_client *client;
    char bootstrap[256];
    bool json;
    bool live; /* redraw in place */
    unsigned victim;
    uint64_t killed_ns;
    bool restarted;
    uint32_t leads[NODES + 1]; /* by node, of the demo's topic */
    uint64_t started_ns;
    uint64_t last_acknowledged;
    uint64_t last_tick_ns;
    double rate;
    unsigned ticks;
    unsigned drawn_lines;
};

static bool all_partitions_led(const struct flotilla_topic_info *info, uint32_t *leads)
{
    bool all = true;
    memset(leads, 0, (NODES + 1) * sizeof(*leads));
    for (size_t i = 0; i < info->partition_count; i++) {
        uint32_t leader = info->partitions[i]->leader_id;
        leads[leader <= NODES ? leader : 0]++;
        all = all && leader != 0;
    }
    return all;
}

static void observe(struct demo *d)
{
    const struct flotilla_topics *list = NULL;
    if (flotilla_topic_list(d->client, STATUS_TIMEOUT_MS, &list, NULL, 0) != 0) {
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->topics[i]->name, topic_name) == 0) {
            all_partitions_led(list->topics[i], d->leads);
        }
    }
    flotilla_result_free(list);
}

/* ---- the view ---- */

static const char *node_text(const struct demo *d, unsigned id, char *out, size_t size)
{
    if (local_node_state(&d->cluster, id, NULL) == LOCAL_DOWN) {
        snprintf(out, size, "%skilled%s", cli_colour(stdout, CLI_RED), cli_colour(stdout, CLI_PLAIN));
    } else {
        snprintf(out, size, "%sup%s, leads %" PRIu32, cli_colour(stdout, CLI_GREEN),
                 cli_colour(stdout, CLI_PLAIN), d->leads[id]);
    }
    return out;
}

static void print_progress_line(struct demo *d)
{
    char acknowledged[32], text[64];
    const struct fleet *f = &d->fleet;
    printf("%5.1f s  acknowledged %9s  %7.0f/s ", (double)(cli_now_ns() - d->started_ns) / 1e9,
           cli_count(acknowledged, sizeof(acknowledged), f->ledger.acknowledged), d->rate);
    for (unsigned i = 0; i < GROUPS; i++) {
        printf(" %s %" PRIu64, groups[i], (uint64_t)f->reader[i].ledger.distinct);
    }
    for (unsigned id = 1; id <= NODES; id++) {
        printf("  [%u %s]", id, node_text(d, id, text, sizeof(text)));
    }
    putchar('\n');
}

static void bar(uint64_t done, uint64_t all)
{
    enum { WIDTH = 40 };
    unsigned filled = all > 0 ? (unsigned)(done * WIDTH / all) : 0;
    for (unsigned i = 0; i < WIDTH; i++) {
        fputs(i < filled ? "━" : "·", stdout);
    }
}

static void draw_row(struct demo *d, const char *name, uint64_t done, const char *more)
{
    char count[32];
    printf("  %-15s ", name);
    bar(done, d->fleet.count);
    printf(" %9s%s\033[K\n", cli_count(count, sizeof(count), done), more);
    d->drawn_lines++;
}

static void draw(struct demo *d)
{
    char text[64], rate[64];
    const struct fleet *f = &d->fleet;
    if (d->drawn_lines > 0) {
        printf("\033[%uA", d->drawn_lines);
    }
    d->drawn_lines = 0;
    printf("  nodes          ");
    for (unsigned id = 1; id <= NODES; id++) {
        printf(" %s%u%s %s   ", cli_colour(stdout, CLI_BOLD), id, cli_colour(stdout, CLI_PLAIN),
               node_text(d, id, text, sizeof(text)));
    }
    printf("\033[K\n");
    d->drawn_lines++;
    snprintf(rate, sizeof(rate), "  %.0f/s", d->rate);
    draw_row(d, "acknowledged", f->ledger.acknowledged, rate);
    for (unsigned i = 0; i < GROUPS; i++) {
        draw_row(d, groups[i], f->reader[i].ledger.distinct, "");
    }
    if (d->killed_ns != 0) {
        double recovered = fleet_first_recovery_ms(f);
        printf("  %skill -9 of node %u%s", cli_colour(stdout, CLI_RED), d->victim,
               cli_colour(stdout, CLI_PLAIN));
        printf(recovered >= 0 ? ", next acknowledgement after %.1f ms"
                              : ", waiting for the next acknowledgement",
               recovered);
        printf("%s\033[K\n", d->restarted ? "; node restarted" : "");
        d->drawn_lines++;
    }
    fflush(stdout);
}

static void show(struct demo *d, bool last)
{
    uint64_t now = cli_now_ns(), acknowledged = d->fleet.ledger.acknowledged;
    if (now > d->last_tick_ns) {
        d->rate = (double)(acknowledged - d->last_acknowledged) * 1e9 / (double)(now - d->last_tick_ns);
    }
    d->last_tick_ns = now;
    d->last_acknowledged = acknowledged;
    if (d->json) {
        return;
    }
    if (d->live) {
        draw(d);
    } else if (last || d->ticks % PLAIN_EVERY_TICKS == 0) {
        print_progress_line(d);
        fflush(stdout);
    }
    d->ticks++;
}

static void say(const struct demo *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct demo *d, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!d->json && !d->live) {
        printf("%5.1f s  ", (double)(cli_now_ns() - d->started_ns) / 1e9);
        vprintf(format, arguments);
        putchar('\n');
        fflush(stdout);
    }
    va_end(arguments);
}

/* ---- the fault ---- */

static bool kill_busiest(struct demo *d)
{
    const struct flotilla_topic_info *info = NULL;
    bool affected[LEDGER_PARTITIONS_MAX] = {false};
    char error[256] = "";
    if (flotilla_topic_describe(d->client, topic_name, 5000, &info, error, sizeof(error)) != 0) {
        cli_error(d->command, "cannot learn who leads: %s", error);
        return false;
    }
    all_partitions_led(info, d->leads);
    for (unsigned id = 1; id <= NODES; id++) {
        if (d->victim == 0 || d->leads[id] > d->leads[d->victim]) {
            d->victim = id;
        }
    }
    for (size_t i = 0; i < info->partition_count; i++) {
        affected[i] = info->partitions[i]->leader_id == d->victim;
    }
    flotilla_result_free(info);
    if (!local_signal(&d->cluster, d->victim, SIGKILL)) {
        cli_error(d->command, "%s", d->cluster.error);
        return false;
    }
    fleet_mark_fault(&d->fleet, affected);
    d->killed_ns = cli_now_ns();
    say(d, "kill -9 of node %u, which led %" PRIu32 " of %d partitions", d->victim, d->leads[d->victim],
        PARTITIONS);
    return true;
}

static bool restart_victim(struct demo *d)
{
    d->restarted = true;
    if (!local_wait_down(&d->cluster, d->victim, 5000) || !local_start_node(&d->cluster, d->victim)) {
        cli_error(d->command, "%s", d->cluster.error);
        return false;
    }
    say(d, "node %u restarted; first acknowledgement after the kill had come after %.1f ms", d->victim,
        fleet_first_recovery_ms(&d->fleet));
    return true;
}

static bool steer(struct demo *d)
{
    bool ok = true;
    while (ok && !fleet_finished(&d->fleet)) {
        cli_sleep_ms(TICK_MS);
        if (d->killed_ns == 0 && d->fleet.ledger.acknowledged >= d->fleet.count / 2) {
            ok = kill_busiest(d);
        } else if (d->killed_ns != 0 && !d->restarted &&
                   cli_now_ns() - d->killed_ns > RESTART_AFTER_MS * 1000000ull) {
            ok = restart_victim(d);
        }
        observe(d);
        show(d, false);
    }
    return ok;
}

/* ---- the verdict ---- */

struct result {
    struct ledger_verdict total; /* the worst over the groups */
    uint64_t read[GROUPS];
    bool clean;
};

static struct result judge(const struct demo *d)
{
    struct result r = {.clean = true};
    r.total.acknowledged = d->fleet.ledger.acknowledged;
    for (unsigned i = 0; i < GROUPS; i++) {
        struct ledger_verdict v = ledger_judge(&d->fleet.ledger, &d->fleet.reader[i].ledger);
        r.read[i] = v.read;
        r.total.lost += v.lost;
        r.total.duplicated += v.duplicated;
        r.total.out_of_order += v.out_of_order;
        r.total.altered += v.altered;
        r.clean = r.clean && ledger_clean(&v);
    }
    r.clean = r.clean && r.total.acknowledged == d->fleet.count && d->fleet.ledger.failed == 0;
    return r;
}

static void print_json(const struct demo *d, const struct result *r)
{
    json_t *read = json_object();
    for (unsigned i = 0; i < GROUPS; i++) {
        json_object_set_new(read, groups[i], json_integer((json_int_t)r->read[i]));
    }
    json_t *root = json_pack(
        "{s:I, s:o, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "acked", (json_int_t)r->total.acknowledged, "read",
        read, "lost", (json_int_t)r->total.lost, "duplicated", (json_int_t)r->total.duplicated,
        "out_of_order", (json_int_t)r->total.out_of_order, "altered", (json_int_t)r->total.altered,
        "failover_ms", fleet_first_recovery_ms(&d->fleet), "failover_last_ms",
        fleet_last_recovery_ms(&d->fleet), "killed_node", (json_int_t)d->victim);
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static void count_row(struct cli_table *t, const char *name, uint64_t count)
{
    char text[32];
    cli_table_cell(t, "%s", name);
    cli_table_cell(t, "%s", cli_count(text, sizeof(text), count));
}

static void print_table(const struct demo *d, const struct result *r)
{
    static const char *const headings[] = {"RESULT", ""};
    static const bool right[] = {false, true};
    char name[64];
    struct cli_table *t = cli_table_create(headings, right, 2);
    count_row(t, "acknowledged", r->total.acknowledged);
    for (unsigned i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof(name), "read by %s", groups[i]);
        count_row(t, name, r->read[i]);
    }
    count_row(t, "lost", r->total.lost);
    count_row(t, "duplicated", r->total.duplicated);
    count_row(t, "out of order", r->total.out_of_order);
    count_row(t, "altered", r->total.altered);
    cli_table_cell(t, "kill -9 of node %u to the next acknowledgement, ms", d->victim);
    cli_table_cell(t, "%.1f", fleet_first_recovery_ms(&d->fleet));
    cli_table_cell(t, "the same, slowest of its partitions, ms");
    cli_table_cell(t, "%.1f", fleet_last_recovery_ms(&d->fleet));
    putchar('\n');
    cli_table_print(t, stdout);
    cli_table_destroy(t);
    printf("\n%s%s%s\n", cli_colour(stdout, r->clean ? CLI_GREEN : CLI_RED),
           r->clean ? "Nothing acknowledged was lost." : "DATA WAS LOST OR DAMAGED.",
           cli_colour(stdout, CLI_PLAIN));
}

/* ---- */

static bool prepare(struct demo *d)
{
    char error[512] = "";
    say(d, "starting %d nodes", NODES);
    if (!local_scratch(&d->cluster, NODES)) {
        cli_error(d->command, "%s", d->cluster.error);
        return false;
    }
    local_bootstrap(&d->cluster, d->bootstrap, sizeof(d->bootstrap));
    int status = flotilla_client_create(&d->client, d->bootstrap, NULL, error, sizeof(error));
    if (status == 0) {
        status = flotilla_topic_create(d->client, topic_name, PARTITIONS, NODES, NULL, 0, 20000, error,
                                       sizeof(error));
    }
    if (status != 0) {
        cli_error(d->command, "%s", error);
        return false;
    }
    say(d, "created %s: %d partitions, %d replicas; sending %" PRIu64 " messages to %d groups", topic_name,
        PARTITIONS, NODES, d->fleet.count, GROUPS);
    return true;
}

static int report(struct demo *d, bool ok)
{
    struct result r = judge(d);
    d->json ? print_json(d, &r) : print_table(d, &r);
    const char *error = d->fleet.error;
    for (unsigned i = 0; error[0] == 0 && i < GROUPS; i++) {
        error = d->fleet.reader[i].error;
    }
    if (error[0] != 0) {
        cli_error(d->command, "%s", error);
    }
    return !r.clean ? CLI_DATA_LOSS : ok && error[0] == 0 ? CLI_OK : CLI_FAILED;
}

static int run_demo(struct demo *d)
{
    d->started_ns = d->last_tick_ns = cli_now_ns();
    if (!prepare(d)) {
        return CLI_FAILED;
    }
    d->fleet.bootstrap = d->bootstrap;
    d->fleet.topic = topic_name;
    d->fleet.readers = groups;
    d->fleet.reader_count = GROUPS;
    d->fleet.patience_ms = 15000;
    if (!fleet_start(&d->fleet)) {
        cli_error(d->command, "cannot start threads");
        return CLI_FAILED;
    }
    bool ok = steer(d);
    d->fleet.stop = d->fleet.stop || !ok;
    fleet_join(&d->fleet);
    show(d, true);
    int status = report(d, ok);
    fleet_close(&d->fleet);
    return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct demo *d = calloc(1, sizeof(*d));
    const char *path = NULL;
    int64_t messages = 200000, rate = 12500;
    bool keep = false;
    if (d == NULL) {
        abort();
    }
    struct cli_option options[] = {
        {"file", 'f', CLI_TEXT, &path, "PATH", "send this file line by line instead of orders", 0, 0},
        {"messages", 'n', CLI_NUMBER, &messages, "N", "how many orders", 100, 100000000},
        {"rate", 'r', CLI_NUMBER, &rate, "N", "messages per second", 1, 10000000},
        {"keep", 'k', CLI_FLAG, &keep, NULL, "leave the cluster running and say where it is", 0, 0},
        {"json", 0, CLI_FLAG, &d->json, NULL, "one line of JSON at the end instead of the view", 0, 0},
    };
    char **rest = NULL, reason[512];
    int count = 0;
    int status = cli_parse(self, options, 5, argc, argv, &rest, 0, &count, 0);
    if (status >= 0) {
        free(d);
        return status;
    }
    d->command = self;
    d->live = !d->json && cli_is_terminal(stdout);
    d->fleet.source = demo_orders;
    d->fleet.count = (uint64_t)messages;
    d->fleet.rate = (uint64_t)rate;
    if (path != NULL) {
        if (!demo_file_load(&d->file, path, reason, sizeof(reason))) {
            cli_error(self, "%s", reason);
            free(d);
            return CLI_FAILED;
        }
        d->fleet.source = demo_file_source(&d->file);
        d->fleet.count = d->file.lines;
    }
    status = run_demo(d);
    flotilla_client_destroy(d->client);
    if (keep) {
        fprintf(stderr, "the cluster runs on: flotilla local status --dir %s\n", d->cluster.directory);
    } else if (d->cluster.directory[0] != 0) {
        local_destroy(&d->cluster);
    }
    demo_file_close(&d->file);
    free(d);
    return status;
}

const struct cli_command cmd_demo = {
    "demo", "", "Three nodes, 200,000 orders, four groups, one kill -9: see what is lost (nothing)",
    "  flotilla demo\n  flotilla demo --file /var/log/syslog --rate 5000\n  flotilla demo --json | tail -n 1",
    run};
