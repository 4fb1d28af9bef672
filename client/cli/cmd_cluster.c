/* flotilla cluster ... */
#include "client/cli/commands.h"
#include "client/cli/connect.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

/* What a node led that has just died has no leader until the others notice; without a majority for good. */
static uint32_t leaderless(const struct flotilla_cluster_info *info)
{
    uint32_t count = info->leaderless;
    for (size_t i = 0; i < info->node_count; i++) {
        count += info->nodes[i]->alive ? 0 : info->nodes[i]->leads;
    }
    return count;
}

static size_t nodes_alive(const struct flotilla_cluster_info *info)
{
    size_t count = 0;
    for (size_t i = 0; i < info->node_count; i++) {
        count += info->nodes[i]->alive != 0;
    }
    return count;
}

/* The last one known, unless it is down. */
static uint32_t controller(const struct flotilla_cluster_info *info)
{
    for (size_t i = 0; i < info->node_count; i++) {
        if (info->nodes[i]->id == info->controller_id && !info->nodes[i]->alive) {
            return 0;
        }
    }
    return info->controller_id;
}

static void print_cluster_json(const struct flotilla_cluster_info *info)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < info->node_count; i++) {
        const struct flotilla_node_info *n = info->nodes[i];
        json_array_append_new(
            nodes, json_pack("{s:I, s:s, s:I, s:b, s:b, s:I, s:I, s:I, s:I}", "id", (json_int_t)n->id, "host",
                             n->host, "port", (json_int_t)n->port, "alive", n->alive, "draining", n->draining,
                             "leads", (json_int_t)n->leads, "preferred", (json_int_t)n->preferred, "replicas",
                             (json_int_t)n->replicas, "uptime_ms", (json_int_t)n->uptime_ms));
    }
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "cluster_id", info->cluster_id, "controller",
                  (json_int_t)controller(info), "topics", (json_int_t)info->topics, "partitions",
                  (json_int_t)info->partitions, "leaderless", (json_int_t)leaderless(info),
                  "under_replicated", (json_int_t)info->under_replicated, "nodes", nodes);
    cli_print_json(root);
}

static const char *node_state(const struct flotilla_node_info *n)
{
    return !n->alive ? "down" : n->draining ? "draining" : "up";
}

static void print_cluster(const struct flotilla_cluster_info *info)
{
    static const char *const headings[] = {"NODE", "STATE", "ADDRESS", "LEADS", "PREFERRED", "REPLICAS"};
    static const bool right[] = {true, false, false, true, true, true};
    printf("cluster %s, ", info->cluster_id);
    printf(controller(info) != 0 ? "controller %" PRIu32 : "no controller", controller(info));
    printf(", %" PRIu32 " topics, %" PRIu32 " partitions", info->topics, info->partitions);
    printf(", %s%" PRIu32 " without leader, %" PRIu32 " under-replicated%s\n\n",
           leaderless(info) + info->under_replicated > 0 ? cli_colour(stdout, CLI_YELLOW) : "",
           leaderless(info), info->under_replicated, cli_colour(stdout, CLI_PLAIN));
    struct cli_table *table = cli_table_create(headings, right, 6);
    for (size_t i = 0; i < info->node_count; i++) {
        const struct flotilla_node_info *n = info->nodes[i];
        cli_table_cell(table, "%" PRIu32, n->id);
        cli_table_cell(table, "%s", node_state(n));
        cli_table_cell(table, "%s:%u", n->host, n->port);
        cli_table_cell(table, "%" PRIu32, n->leads);
        cli_table_cell(table, "%" PRIu32, n->preferred);
        cli_table_cell(table, "%" PRIu32, n->replicas);
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
    if (2 * nodes_alive(info) <= info->node_count) {
        printf("\n%sOnly %zu of %zu nodes are up: that is no majority, and nothing is acknowledged until one "
               "more is back.%s\n",
               cli_colour(stdout, CLI_RED), nodes_alive(info), info->node_count,
               cli_colour(stdout, CLI_PLAIN));
    }
}

static int status(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
    const struct flotilla_cluster_info *info = NULL;
    int rc = cli_begin(self, &s, options, 3, argc, argv, 0, 0);
    if (rc < 0) {
        rc = cli_end(self, &s,
                     flotilla_cluster_status(s.client, (int)s.target.timeout_ms, &info, CLI_ERROR(s)));
    }
    if (rc >= 0) {
        return rc;
    }
    s.target.json ? print_cluster_json(info) : print_cluster(info);
    flotilla_result_free(info);
    return CLI_OK;
}

/* 0 after saying that `text` is no node number. */
static uint32_t parse_node(const struct cli_command *self, const char *text)
{
    char *end;
    unsigned long id = strtoul(text, &end, 10);
    if (end == text || *end != 0 || id == 0 || id > UINT32_MAX) {
        cli_error(self, "a node is named by its number, not \"%s\"; `flotilla cluster status` lists them",
                  text);
        return 0;
    }
    return (uint32_t)id;
}

static int drain(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    bool undo = false;
    struct cli_option options[] = {
        {"undo", 'u', CLI_FLAG, &undo, NULL, "let the node lead again", 0, 0},
        CLI_TARGET_OPTIONS(s.target),
    };
    uint32_t left = 0;
    int rc = cli_begin(self, &s, options, 4, argc, argv, 1, 1);
    if (rc >= 0) {
        return rc;
    }
    uint32_t id = parse_node(self, s.rest[0]);
    if (id != 0) {
        rc = flotilla_cluster_drain(s.client, id, !undo, (int)s.target.timeout_ms, &left, CLI_ERROR(s));
    }
    rc = cli_end(self, &s, id != 0 ? rc : 0);
    if (rc >= 0 || id == 0) {
        return id != 0 ? rc : CLI_USAGE;
    }
    if (s.target.json) {
        printf("{\"node\":%" PRIu32 ",\"draining\":%s,\"still_leads\":%" PRIu32 "}\n", id,
               undo ? "false" : "true", left);
    } else if (undo) {
        printf("node %" PRIu32 " may lead again\n", id);
    } else {
        printf("node %" PRIu32 " is draining and leads %" PRIu32 " partitions\n", id, left);
    }
    return CLI_OK;
}

static int log_level(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
    int rc = cli_begin(self, &s, options, 3, argc, argv, 2, 2);
    if (rc >= 0) {
        return rc;
    }
    uint32_t id = parse_node(self, s.rest[0]);
    if (id != 0) {
        rc = flotilla_node_control(s.client, id, s.rest[1], NULL, 0, (int)s.target.timeout_ms, CLI_ERROR(s));
    }
    rc = cli_end(self, &s, id != 0 ? rc : 0);
    if (rc >= 0 || id == 0) {
        return id != 0 ? rc : CLI_USAGE;
    }
    printf(s.target.json ? "{\"node\":%" PRIu32 ",\"log_level\":\"%s\"}\n" : "node %" PRIu32 " logs at %s\n",
           id, s.rest[1]);
    return CLI_OK;
}

const struct cli_command cmd_cluster_status = {
    "cluster status", "", "Nodes, who leads how much, what is not well",
    "  flotilla cluster status\n  flotilla cluster status --json", status};
const struct cli_command cmd_cluster_drain = {
    "cluster drain", "NODE", "Move all leadership away from a node, before maintenance",
    "  flotilla cluster drain 2\n  flotilla cluster drain 2 --undo", drain};
const struct cli_command cmd_cluster_log_level = {
    "cluster log-level", "NODE LEVEL",
    "Set how much a node logs, until it is restarted; from that node's machine",
    "  flotilla cluster log-level 2 debug\n  flotilla cluster log-level 2 info", log_level};
