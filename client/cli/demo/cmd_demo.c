/* flotilla demo: an order fan-out through the death of a node, with an independent check of what came out. */
#include "client/cli/commands.h"
#include "client/cli/demo/source.h"
#include "client/cli/demo/view.h"
#include "client/cli/local/guard.h"

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
    SECONDS_MIN = 5 /* however few messages: time to see the kill */
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
    struct guard guard;
    struct demo_view view;
    bool json;
    bool keep;
    unsigned victim; /* 0: none yet */
    uint64_t killed_ns;
    bool recovery_told;
    bool restarted;
    uint32_t leads[NODES + 1]; /* by node, of the demo's topic; [0]: led by nobody */
    struct demo_node_view nodes[NODES];
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

static void show(struct demo *d, bool last)
{
    for (unsigned id = 1; id <= NODES; id++) {
        d->nodes[id - 1].down = local_node_state(&d->cluster, id, NULL) == LOCAL_DOWN;
        d->nodes[id - 1].leads = d->leads[id];
    }
    demo_view_show(&d->view, &d->fleet, d->nodes, NODES, last);
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
    demo_view_say(&d->view, "kill -9 of node %u, which led %" PRIu32 " of %d partitions", d->victim,
                  d->leads[d->victim], PARTITIONS);
    return true;
}

static bool restart_victim(struct demo *d)
{
    d->restarted = true;
    if (!local_wait_down(&d->cluster, d->victim, 5000) || !local_start_node(&d->cluster, d->victim)) {
        cli_error(d->command, "%s", d->cluster.error);
        return false;
    }
    demo_view_say(&d->view, "node %u started again", d->victim);
    return true;
}

static void tell_recovery(struct demo *d)
{
    double recovery_ms = fleet_first_recovery_ms(&d->fleet);
    if (!d->recovery_told && recovery_ms >= 0) {
        d->recovery_told = true;
        demo_view_say(&d->view, "its records are acknowledged again, %.1f ms after the kill", recovery_ms);
    }
}

static bool restart_is_due(const struct demo *d)
{
    return d->killed_ns != 0 && !d->restarted && cli_now_ns() - d->killed_ns > RESTART_AFTER_MS * 1000000ull;
}

static bool steer(struct demo *d)
{
    bool ok = true;
    while (ok && !fleet_finished(&d->fleet)) {
        cli_sleep_ms(TICK_MS);
        if (d->killed_ns == 0 && d->fleet.ledger.acknowledged >= d->fleet.count / 2) {
            ok = kill_busiest(d);
        } else if (restart_is_due(d)) {
            ok = restart_victim(d);
        }
        tell_recovery(d);
        observe(d);
        show(d, false);
    }
    return ok && (d->killed_ns == 0 || d->restarted || restart_victim(d));
}

/* ---- the verdict ---- */

struct result {
    struct ledger_verdict total; /* summed over the groups */
    uint64_t read[GROUPS];
    bool clean;    /* nothing acknowledged was lost, repeated, reordered or altered */
    bool complete; /* and everything was acknowledged */
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
    r.complete = r.total.acknowledged == d->fleet.count;
    return r;
}

/* null: there was no kill, or no acknowledgement after it. */
static json_t *milliseconds_json(double milliseconds)
{
    return milliseconds >= 0 ? json_real(milliseconds) : json_null();
}

static void print_json(const struct demo *d, const struct result *r)
{
    json_t *read = json_object();
    for (unsigned i = 0; i < GROUPS; i++) {
        json_object_set_new(read, groups[i], json_integer((json_int_t)r->read[i]));
    }
    json_t *root = json_pack(
        "{s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:I}", "acked", (json_int_t)r->total.acknowledged, "read",
        read, "lost", (json_int_t)r->total.lost, "duplicated", (json_int_t)r->total.duplicated,
        "out_of_order", (json_int_t)r->total.out_of_order, "altered", (json_int_t)r->total.altered,
        "failover_ms", milliseconds_json(fleet_first_recovery_ms(&d->fleet)), "failover_last_ms",
        milliseconds_json(fleet_last_recovery_ms(&d->fleet)), "killed_node", (json_int_t)d->victim);
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

static void milliseconds_row(struct cli_table *t, const char *name, double milliseconds)
{
    cli_table_cell(t, "%s", name);
    cli_table_cell(t, milliseconds >= 0 ? "%.1f ms" : "-", milliseconds);
}

static void print_conclusion(const struct result *r, uint64_t count)
{
    bool good = r->clean && r->complete;
    printf("\n%s", cli_colour(stdout, good ? CLI_GREEN : CLI_RED));
    if (!r->clean) {
        fputs("ACKNOWLEDGED DATA WAS LOST OR DAMAGED.", stdout);
    } else if (!r->complete) {
        printf("Nothing acknowledged was lost, but %" PRIu64 " messages were not acknowledged.",
               count - r->total.acknowledged);
    } else {
        fputs("Nothing acknowledged was lost.", stdout);
    }
    printf("%s\n", cli_colour(stdout, CLI_PLAIN));
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
    if (d->victim != 0) {
        snprintf(name, sizeof(name), "kill -9 of node %u to the next acknowledgement", d->victim);
        milliseconds_row(t, name, fleet_first_recovery_ms(&d->fleet));
        milliseconds_row(t, "the same for the slowest of its partitions", fleet_last_recovery_ms(&d->fleet));
    }
    putchar('\n');
    cli_table_print(t, stdout);
    cli_table_destroy(t);
    print_conclusion(r, d->fleet.count);
}

/* ---- */

static bool prepare(struct demo *d)
{
    char error[512] = "", count[32];
    demo_view_say(&d->view, "starting %d nodes", NODES);
    if (!(d->keep ? local_scratch_kept : local_scratch)(&d->cluster, NODES)) {
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
    demo_view_say(&d->view, "%s: %d partitions, %d replicas; %s messages to %d groups", topic_name,
                  PARTITIONS, NODES, cli_count(count, sizeof(count), d->fleet.count), GROUPS);
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
    return !r.clean ? CLI_DATA_LOSS : ok && r.complete && error[0] == 0 ? CLI_OK : CLI_FAILED;
}

static int run_demo(struct demo *d)
{
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
    demo_view_close(&d->view);
    int status = report(d, ok);
    fleet_close(&d->fleet);
    return status;
}

static bool choose_source(struct demo *d, const char *path, uint64_t rate)
{
    char reason[512];
    d->fleet.source = demo_orders;
    if (path != NULL) {
        if (!demo_file_load(&d->file, path, reason, sizeof(reason))) {
            cli_error(d->command, "%s", reason);
            return false;
        }
        d->fleet.source = demo_file_source(&d->file);
        d->fleet.count = d->file.lines;
    }
    uint64_t slowest = 1 + d->fleet.count / SECONDS_MIN;
    d->fleet.rate = rate < slowest ? rate : slowest;
    return true;
}

static int run_guarded(struct demo *d)
{
    if (!guard_start(&d->guard, &d->cluster, d->keep, demo_view_restore_terminal)) {
        cli_error(d->command, "cannot start threads");
        return CLI_FAILED;
    }
    demo_view_init(&d->view, d->json);
    int status = run_demo(d);
    flotilla_client_destroy(d->client);
    guard_stop(&d->guard);
    if (d->keep) {
        fprintf(stderr, "the cluster runs on: flotilla local status --dir %s\n", d->cluster.directory);
    } else if (d->cluster.directory[0] != 0) {
        local_destroy(&d->cluster);
    }
    return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct demo *d = calloc(1, sizeof(*d));
    const char *path = NULL;
    int64_t messages = 200000, rate = 12500;
    if (d == NULL) {
        abort();
    }
    struct cli_option options[] = {
        {"file", 'f', CLI_TEXT, &path, "PATH", "send this file line by line instead of orders", 0, 0},
        {"messages", 'n', CLI_NUMBER, &messages, "N", "how many orders", 100, 100000000},
        {"rate", 'r', CLI_NUMBER, &rate, "N", "messages per second, at most", 1, 10000000},
        {"keep", 'k', CLI_FLAG, &d->keep, NULL, "leave the cluster running and say where it is", 0, 0},
        {"json", 0, CLI_FLAG, &d->json, NULL, "one line of JSON at the end instead of the view", 0, 0},
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 5, argc, argv, &rest, 0, &count, 0);
    if (status < 0) {
        d->command = self;
        d->fleet.count = (uint64_t)messages;
        status = choose_source(d, path, (uint64_t)rate) ? run_guarded(d) : CLI_FAILED;
        demo_file_close(&d->file);
    }
    free(d);
    return status;
}

const struct cli_command cmd_demo = {
    "demo", "", "Three nodes, 200,000 orders, four groups, one kill -9: see what is lost (nothing)",
    "  flotilla demo\n  flotilla demo --file /var/log/syslog --rate 5000\n  flotilla demo --json | tail -n 1",
    run};
