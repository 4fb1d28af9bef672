/* flotilla local ...: a cluster on this machine, and the faults one wants to try on it. */
#include "client/cli/commands.h"
#include "client/cli/local/local.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_DIRECTORY ".flotilla"
enum { NODES_DEFAULT = 3 };

static const char DIRECTORY_HELP[] = "the cluster's directory";

/* Every `local` command but `start` works on a cluster that exists; what else it takes: */
enum { TAKES_NODE = 1, TAKES_JSON = 2, TAKES_NOW = 4, TAKES_LINES = 8 };

struct local_target {
    struct local_cluster cluster;
    unsigned node; /* 0 when the command takes none */
    bool json;
    bool now;
    bool follow;
    int64_t lines;
};

static int parse_options(const struct cli_command *self, int argc, char **argv, unsigned takes,
                         struct local_target *t, const char **directory, char ***rest)
{
    struct cli_option options[5];
    size_t n = 0;
    int count = 0, positional = takes & TAKES_NODE ? 1 : 0;
    options[n++] = (struct cli_option){"dir", 'd', CLI_TEXT, directory, "DIR", DIRECTORY_HELP, 0, 0};
    if (takes & TAKES_JSON) {
        options[n++] = (struct cli_option){
            "json", 0, CLI_FLAG, &t->json, NULL, "one line of JSON instead of a table", 0, 0};
    }
    if (takes & TAKES_NOW) {
        options[n++] =
            (struct cli_option){"now", 0, CLI_FLAG, &t->now, NULL, "kill -9 instead of a planned stop", 0, 0};
    }
    if (takes & TAKES_LINES) {
        options[n++] = (struct cli_option){
            "lines", 'n', CLI_NUMBER, &t->lines, "N", "how many of the last lines", 1, 1000000};
        options[n++] = (struct cli_option){
            "follow", 'f', CLI_FLAG, &t->follow, NULL, "go on with what is logged from now on", 0, 0};
    }
    return cli_parse(self, options, n, argc, argv, rest, positional, &count, positional);
}

static int parse_target(const struct cli_command *self, int argc, char **argv, unsigned takes,
                        struct local_target *t)
{
    const char *directory = DEFAULT_DIRECTORY;
    char **rest = NULL;
    memset(t, 0, sizeof(*t));
    t->lines = 20;
    int status = parse_options(self, argc, argv, takes, t, &directory, &rest);
    if (status >= 0) {
        return status;
    }
    if (!local_load(&t->cluster, directory)) {
        cli_error(self, "%s", t->cluster.error);
        return CLI_FAILED;
    }
    if (takes & TAKES_NODE) {
        char *end;
        unsigned long id = strtoul(rest[0], &end, 10);
        if (*end != 0 || id < 1 || id > t->cluster.count) {
            cli_error(self, "there is no node \"%s\"; this cluster has nodes 1 to %u", rest[0],
                      t->cluster.count);
            return CLI_USAGE;
        }
        t->node = (unsigned)id;
    }
    return -1;
}

static const char *state_name(enum local_state state)
{
    return state == LOCAL_RUNNING ? "running" : state == LOCAL_PAUSED ? "paused" : "down";
}

/* Resident memory in bytes, 0 when unknown. */
static uint64_t resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    if (fscanf(f, "%*u %lu", &pages) != 1) {
        pages = 0;
    }
    fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void print_status_json(const struct local_cluster *c)
{
    json_t *nodes = json_array();
    for (unsigned i = 0; i < c->count; i++) {
        const struct local_node *n = &c->nodes[i];
        pid_t pid = 0;
        enum local_state state = local_node_state(c, n->id, &pid);
        json_array_append_new(nodes, json_pack("{s:i, s:s, s:i, s:I, s:i, s:i, s:i, s:i}", "id", (int)n->id,
                                               "state", state_name(state), "pid", (int)pid, "rss_bytes",
                                               (json_int_t)(pid != 0 ? resident_bytes(pid) : 0),
                                               "client_port", n->client_port, "kafka_port", n->kafka_port,
                                               "peer_port", n->peer_port, "http_port", n->http_port));
    }
    json_t *root =
        json_pack("{s:s, s:s, s:o}", "directory", c->directory, "cluster_id", c->cluster_id, "nodes", nodes);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}

static void print_status(const struct local_cluster *c)
{
    static const char *const headings[] = {"NODE",    "STATE", "PID",   "MEMORY",
                                           "CLIENTS", "KAFKA", "PEERS", "HTTP"};
    static const bool right[] = {true, false, true, true, true, true, true, true};
    struct cli_table *table = cli_table_create(headings, right, 8);
    for (unsigned i = 0; i < c->count; i++) {
        const struct local_node *n = &c->nodes[i];
        pid_t pid = 0;
        char memory[32] = "-";
        enum local_state state = local_node_state(c, n->id, &pid);
        if (pid != 0) {
            cli_bytes(memory, sizeof(memory), resident_bytes(pid));
        }
        cli_table_cell(table, "%u", n->id);
        cli_table_cell(table, "%s", state_name(state));
        cli_table_cell(table, pid != 0 ? "%d" : "-", (int)pid);
        cli_table_cell(table, "%s", memory);
        cli_table_cell(table, "%u", n->client_port);
        cli_table_cell(table, "%u", n->kafka_port);
        cli_table_cell(table, "%u", n->peer_port);
        cli_table_cell(table, "%u", n->http_port);
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
}

/* A cluster keeps the shape it was laid out with. */
static void warn_about_ignored(const struct cli_command *self, const struct local_cluster *c, int64_t nodes,
                               int64_t port_base, const struct cli_list *node_options)
{
    if ((nodes != 0 && nodes != c->count) || (port_base != 0 && port_base != c->nodes[0].client_port) ||
        node_options->count > 0) {
        cli_error(self,
                  "%s holds a cluster of %u nodes from port %u already; it is started as it is, and "
                  "--nodes, --port-base and --node-option do not change it. `flotilla local destroy "
                  "--dir %s` makes room for another",
                  c->directory, c->count, c->nodes[0].client_port, c->directory);
    }
}

static int start(const struct cli_command *self, int argc, char **argv)
{
    const char *directory = DEFAULT_DIRECTORY;
    int64_t nodes = 0, port_base = 0, timeout_ms = 30000;
    bool json = false;
    struct cli_list node_options = {NULL, 0};
    struct cli_option options[] = {
        {"nodes", 'n', CLI_NUMBER, &nodes, "N", "how many nodes (default: 3)", 1, LOCAL_NODES_MAX},
        {"dir", 'd', CLI_TEXT, &directory, "DIR", DIRECTORY_HELP, 0, 0},
        {"port-base", 'p', CLI_NUMBER, &port_base, "PORT",
         "first port; ten are set aside per node (default: a free range)", 1024, 65000},
        {"node-option", 'o', CLI_LIST, &node_options, "--X=Y",
         "a further option for every flotillad; repeatable", 0, 0},
        {"timeout", 't', CLI_DURATION, &timeout_ms, "TIME", "how long to wait until the cluster is ready", 1,
         3600000},
        {"json", 0, CLI_FLAG, &json, NULL, "one line of JSON instead of a table", 0, 0},
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 6, argc, argv, &rest, 0, &count, 0);
    struct local_cluster c;
    if (status >= 0) {
        return status;
    }
    bool exists = local_load(&c, directory);
    if (exists) {
        warn_about_ignored(self, &c, nodes, port_base, &node_options);
    }
    bool ok = exists || local_create(&c, directory, nodes != 0 ? (unsigned)nodes : NODES_DEFAULT, port_base,
                                     &node_options);
    cli_list_free(&node_options);
    for (unsigned id = 1; ok && id <= c.count; id++) {
        ok = local_node_state(&c, id, NULL) != LOCAL_DOWN || local_start_node(&c, id);
    }
    if (!ok || !local_wait_ready(&c, timeout_ms)) {
        cli_error(self, "%s", c.error);
        return CLI_FAILED;
    }
    json ? print_status_json(&c) : print_status(&c);
    return CLI_OK;
}

static int status(const struct cli_command *self, int argc, char **argv)
{
    struct local_target t;
    int parsed = parse_target(self, argc, argv, TAKES_JSON, &t);
    if (parsed >= 0) {
        return parsed;
    }
    t.json ? print_status_json(&t.cluster) : print_status(&t.cluster);
    return CLI_OK;
}

static int environment(const struct cli_command *self, int argc, char **argv)
{
    struct local_target t;
    int parsed = parse_target(self, argc, argv, 0, &t);
    if (parsed >= 0) {
        return parsed;
    }
    char bootstrap[256];
    local_bootstrap(&t.cluster, bootstrap, sizeof(bootstrap));
    printf("export FLOTILLA_BOOTSTRAP=%s\nexport KAFKA_BOOTSTRAP=", bootstrap);
    for (unsigned i = 0; i < t.cluster.count; i++) {
        printf("%s127.0.0.1:%u", i > 0 ? "," : "", t.cluster.nodes[i].kafka_port);
    }
    printf("\nexport FLOTILLA_HTTP=http://127.0.0.1:%u\n", t.cluster.nodes[0].http_port);
    return CLI_OK;
}

static int signal_node(const struct cli_command *self, int argc, char **argv, int signal, bool wait)
{
    struct local_target t;
    int parsed = parse_target(self, argc, argv, TAKES_NODE, &t);
    if (parsed >= 0) {
        return parsed;
    }
    if (!local_signal(&t.cluster, t.node, signal) || (wait && !local_wait_down(&t.cluster, t.node, 10000))) {
        cli_error(self, "%s", t.cluster.error);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int kill_node(const struct cli_command *self, int argc, char **argv)
{
    return signal_node(self, argc, argv, SIGKILL, true);
}

static int pause_node(const struct cli_command *self, int argc, char **argv)
{
    return signal_node(self, argc, argv, SIGSTOP, false);
}

static int resume_node(const struct cli_command *self, int argc, char **argv)
{
    return signal_node(self, argc, argv, SIGCONT, false);
}

static int restart_node(const struct cli_command *self, int argc, char **argv)
{
    struct local_target t;
    int parsed = parse_target(self, argc, argv, TAKES_NODE | TAKES_NOW, &t);
    if (parsed >= 0) {
        return parsed;
    }
    bool ok = true;
    if (local_node_state(&t.cluster, t.node, NULL) != LOCAL_DOWN) {
        if (local_node_state(&t.cluster, t.node, NULL) == LOCAL_PAUSED) {
            local_signal(&t.cluster, t.node, SIGCONT);
        }
        ok = local_signal(&t.cluster, t.node, t.now ? SIGKILL : SIGTERM) &&
             local_wait_down(&t.cluster, t.node, 30000);
    }
    if (!ok || !local_start_node(&t.cluster, t.node)) {
        cli_error(self, "%s", t.cluster.error);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int stop(const struct cli_command *self, int argc, char **argv)
{
    struct local_target t;
    int parsed = parse_target(self, argc, argv, TAKES_NOW, &t);
    if (parsed >= 0) {
        return parsed;
    }
    local_stop(&t.cluster, t.now, 30000);
    return CLI_OK;
}

static int destroy(const struct cli_command *self, int argc, char **argv)
{
    struct local_target t;
    int parsed = parse_target(self, argc, argv, 0, &t);
    if (parsed >= 0) {
        return parsed;
    }
    if (!local_destroy(&t.cluster)) {
        cli_error(self, "%s", t.cluster.error);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int logs(const struct cli_command *self, int argc, char **argv)
{
    struct local_target t;
    int parsed = parse_target(self, argc, argv, TAKES_NODE | TAKES_LINES, &t);
    if (parsed >= 0) {
        return parsed;
    }
    char path[4300], count[32];
    local_node_path(&t.cluster, t.node, "log", path, sizeof(path));
    snprintf(count, sizeof(count), "%" PRId64, t.lines);
    execlp("tail", "tail", "-n", count, t.follow ? "-F" : "--", path, (char *)NULL);
    cli_error(self, "cannot run tail; the log is in %s", path);
    return CLI_FAILED;
}

const struct cli_command cmd_local_start = {
    "local start", "", "Start a cluster on this machine, or what is down of one that exists",
    "  flotilla local start --nodes 3 --dir /tmp/fleet\n  eval \"$(flotilla local env --dir /tmp/fleet)\"",
    start};
const struct cli_command cmd_local_status = {"local status", "",
                                             "Nodes of a local cluster: state, memory, ports",
                                             "  flotilla local status --dir /tmp/fleet", status};
const struct cli_command cmd_local_env = {
    "local env", "", "Print the variables that point other commands at the cluster",
    "  eval \"$(flotilla local env)\"; flotilla cluster status", environment};
const struct cli_command cmd_local_kill = {"local kill", "NODE", "kill -9 a node, as a crash would",
                                           "  flotilla local kill 2", kill_node};
const struct cli_command cmd_local_pause = {"local pause", "NODE",
                                            "Freeze a node (SIGSTOP), as a stalled machine would",
                                            "  flotilla local pause 2", pause_node};
const struct cli_command cmd_local_resume = {"local resume", "NODE", "Let a frozen node go on (SIGCONT)",
                                             "  flotilla local resume 2", resume_node};
const struct cli_command cmd_local_restart = {"local restart", "NODE",
                                              "Stop a node if it runs (planned, or --now) and start it again",
                                              "  flotilla local restart 2", restart_node};
const struct cli_command cmd_local_stop = {"local stop", "",
                                           "Stop all nodes: planned (SIGTERM), or --now (kill -9)",
                                           "  flotilla local stop\n  flotilla local stop --now", stop};
const struct cli_command cmd_local_destroy = {"local destroy", "",
                                              "Kill all nodes and remove the cluster's directory",
                                              "  flotilla local destroy --dir /tmp/fleet", destroy};
const struct cli_command cmd_local_logs = {"local logs", "NODE", "The last lines that a node has logged",
                                           "  flotilla local logs 1 -n 50\n  flotilla local logs 2 --follow",
                                           logs};
