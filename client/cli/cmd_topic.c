/* flotilla topic ... */
#include "client/cli/commands.h"
#include "client/cli/connect.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* "name=value" items as the pairs that the library takes. The result's strings are its own. */
static char **config_pairs(const struct cli_command *self, const struct cli_list *list)
{
    char **pairs = calloc(2 * list->count + 1, sizeof(*pairs));
    if (pairs == NULL) {
        abort();
    }
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        if (equals == NULL) {
            cli_error(self, "--config takes NAME=VALUE, not \"%s\"", list->items[i]);
            for (size_t k = 0; k < 2 * i; k++) {
                free(pairs[k]);
            }
            free(pairs);
            return NULL;
        }
        pairs[2 * i] = strndup(list->items[i], (size_t)(equals - list->items[i]));
        pairs[2 * i + 1] = strdup(equals + 1);
    }
    return pairs;
}

static void free_pairs(char **pairs, size_t count)
{
    if (pairs == NULL) {
        return;
    }
    for (size_t i = 0; i < 2 * count; i++) {
        free(pairs[i]);
    }
    free(pairs);
}

static int create(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    int64_t partitions = 0, replicas = 0;
    struct cli_list config = {NULL, 0};
    struct cli_option options[] = {
        {"partitions", 'p', CLI_NUMBER, &partitions, "N", "how many (default: the cluster's)", 1, 10000},
        {"replicas", 'r', CLI_NUMBER, &replicas, "N", "copies of each (default: the cluster's)", 1, 7},
        {"config", 'c', CLI_LIST, &config, "NAME=VALUE", "a setting of the topic; repeatable", 0, 0},
        CLI_TARGET_OPTIONS(s.target),
    };
    int status = cli_begin(self, &s, options, 6, argc, argv, 1, 1);
    char **pairs = status < 0 ? config_pairs(self, &config) : NULL;
    if (status < 0 && pairs == NULL) {
        cli_end(self, &s, 0);
        status = CLI_USAGE;
    } else if (status < 0) {
        status = cli_end(self, &s,
                         flotilla_topic_create(s.client, s.rest[0], (uint32_t)partitions, (uint32_t)replicas,
                                               (const char *const *)pairs, config.count,
                                               (int)s.target.timeout_ms, CLI_ERROR(s)));
    }
    free_pairs(pairs, config.count);
    cli_list_free(&config);
    if (status >= 0) {
        return status;
    }
    printf(s.target.json ? "{\"topic\":\"%s\",\"created\":true}\n" : "created %s\n", s.rest[0]);
    return CLI_OK;
}

static void print_topic_row(struct cli_table *table, const struct flotilla_topic_info *topic)
{
    size_t leaderless = 0;
    for (size_t i = 0; i < topic->partition_count; i++) {
        leaderless += topic->partitions[i]->leader_id == 0;
    }
    cli_table_cell(table, "%s", topic->name);
    cli_table_cell(table, "%zu", topic->partition_count);
    cli_table_cell(table, "%zu", topic->partition_count > 0 ? topic->partitions[0]->replica_count : 0);
    cli_table_cell(table, "%zu", leaderless);
}

static json_t *numbers_json(const uint32_t *numbers, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, json_integer(numbers[i]));
    }
    return array;
}

static json_t *topic_json(const struct flotilla_topic_info *topic)
{
    json_t *partitions = json_array(), *config = json_object();
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct flotilla_partition_info *p = topic->partitions[i];
        json_array_append_new(
            partitions,
            json_pack("{s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I}", "partition", (json_int_t)p->index,
                      "leader", (json_int_t)p->leader_id, "leader_epoch", (json_int_t)p->leader_epoch,
                      "replicas", numbers_json(p->replicas, p->replica_count), "in_sync",
                      numbers_json(p->in_sync, p->in_sync_count), "log_start_offset",
                      (json_int_t)p->log_start_offset, "high_watermark", (json_int_t)p->high_watermark,
                      "end_offset", (json_int_t)p->end_offset, "size_bytes", (json_int_t)p->size_bytes));
    }
    for (size_t i = 0; i < topic->config_count; i++) {
        json_object_set_new(config, topic->config[i]->name, json_string(topic->config[i]->value));
    }
    return json_pack("{s:s, s:b, s:o, s:o}", "topic", topic->name, "internal", topic->internal, "partitions",
                     partitions, "config", config);
}

static void print_topics(const struct flotilla_topics *list, bool all)
{
    static const char *const headings[] = {"TOPIC", "PARTITIONS", "REPLICAS", "LEADERLESS"};
    static const bool right[] = {false, true, true, true};
    struct cli_table *table = cli_table_create(headings, right, 4);
    for (size_t i = 0; i < list->count; i++) {
        if (all || !list->topics[i]->internal) {
            print_topic_row(table, list->topics[i]);
        }
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
}

static void print_topics_json(const struct flotilla_topics *list, bool all)
{
    json_t *root = json_array();
    for (size_t i = 0; i < list->count; i++) {
        if (all || !list->topics[i]->internal) {
            json_array_append_new(root, topic_json(list->topics[i]));
        }
    }
    cli_print_json(root);
}

static int list_topics(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    bool all = false;
    struct cli_option options[] = {
        {"all", 'a', CLI_FLAG, &all, NULL, "internal topics too", 0, 0},
        CLI_TARGET_OPTIONS(s.target),
    };
    const struct flotilla_topics *list = NULL;
    int status = cli_begin(self, &s, options, 4, argc, argv, 0, 0);
    if (status < 0) {
        status =
            cli_end(self, &s, flotilla_topic_list(s.client, (int)s.target.timeout_ms, &list, CLI_ERROR(s)));
    }
    if (status >= 0) {
        return status;
    }
    s.target.json ? print_topics_json(list, all) : print_topics(list, all);
    flotilla_result_free(list);
    return CLI_OK;
}

static void ids_text(char *out, size_t size, const uint32_t *ids, size_t count)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%" PRIu32, i > 0 ? "," : "", ids[i]);
    }
}

static void offset_cell(struct cli_table *table, int64_t offset)
{
    cli_table_cell(table, offset >= 0 ? "%" PRId64 : "-", offset);
}

static void print_description(const struct flotilla_topic_info *topic)
{
    static const char *const headings[] = {"PARTITION", "LEADER", "EPOCH",          "REPLICAS",
                                           "IN SYNC",   "START",  "HIGH WATERMARK", "SIZE"};
    static const bool right[] = {true, true, true, false, false, true, true, true};
    struct cli_table *table = cli_table_create(headings, right, 8);
    for (size_t i = 0; i < topic->partition_count; i++) {
        const struct flotilla_partition_info *p = topic->partitions[i];
        char replicas[64], in_sync[64], bytes[32];
        ids_text(replicas, sizeof(replicas), p->replicas, p->replica_count);
        ids_text(in_sync, sizeof(in_sync), p->in_sync, p->in_sync_count);
        cli_table_cell(table, "%" PRIu32, p->index);
        cli_table_cell(table, p->leader_id != 0 ? "%" PRIu32 : "none", p->leader_id);
        cli_table_cell(table, "%" PRId32, p->leader_epoch);
        cli_table_cell(table, "%s", replicas);
        cli_table_cell(table, "%s", in_sync[0] != 0 ? in_sync : "-");
        offset_cell(table, p->log_start_offset);
        offset_cell(table, p->high_watermark);
        cli_table_cell(table, "%s",
                       p->size_bytes >= 0 ? cli_bytes(bytes, sizeof(bytes), (uint64_t)p->size_bytes) : "-");
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
    putchar('\n');
    static const char *const config_headings[] = {"SETTING", "VALUE", ""};
    table = cli_table_create(config_headings, NULL, 3);
    for (size_t i = 0; i < topic->config_count; i++) {
        cli_table_cell(table, "%s", topic->config[i]->name);
        cli_table_cell(table, "%s", topic->config[i]->value);
        cli_table_cell(table, "%s", topic->config[i]->is_default ? "default" : "set");
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
}

static int describe(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
    const struct flotilla_topic_info *topic = NULL;
    int status = cli_begin(self, &s, options, 3, argc, argv, 1, 1);
    if (status < 0) {
        status = cli_end(
            self, &s,
            flotilla_topic_describe(s.client, s.rest[0], (int)s.target.timeout_ms, &topic, CLI_ERROR(s)));
    }
    if (status >= 0) {
        return status;
    }
    s.target.json ? cli_print_json(topic_json(topic)) : print_description(topic);
    flotilla_result_free(topic);
    return CLI_OK;
}

struct alteration {
    int64_t partitions;
    struct cli_list config;
    struct cli_list reset;
};

static int apply(const struct cli_command *self, struct cli_session *s, const struct alteration *a)
{
    char **pairs = NULL;
    int status = 0;
    if (a->partitions == 0 && a->config.count == 0 && a->reset.count == 0) {
        cli_error(self, "nothing to change: give --partitions, --config or --reset");
    } else {
        pairs = config_pairs(self, &a->config);
    }
    if (pairs != NULL) {
        status = flotilla_topic_alter(s->client, s->rest[0], (uint32_t)a->partitions,
                                      (const char *const *)pairs, a->config.count, a->reset.items,
                                      a->reset.count, (int)s->target.timeout_ms, CLI_ERROR(*s));
    }
    free_pairs(pairs, a->config.count);
    status = cli_end(self, s, status);
    return pairs != NULL ? status : CLI_USAGE;
}

static int alter(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct alteration a = {0};
    struct cli_option options[] = {
        {"partitions", 'p', CLI_NUMBER, &a.partitions, "N", "grow to so many; a topic never shrinks", 1,
         10000},
        {"config", 'c', CLI_LIST, &a.config, "NAME=VALUE", "set; repeatable", 0, 0},
        {"reset", 'r', CLI_LIST, &a.reset, "NAME", "put back to the default; repeatable", 0, 0},
        CLI_TARGET_OPTIONS(s.target),
    };
    int status = cli_begin(self, &s, options, 6, argc, argv, 1, 1);
    if (status < 0) {
        status = apply(self, &s, &a);
    }
    cli_list_free(&a.config);
    cli_list_free(&a.reset);
    if (status >= 0) {
        return status;
    }
    printf(s.target.json ? "{\"topic\":\"%s\",\"altered\":true}\n" : "altered %s\n", s.rest[0]);
    return CLI_OK;
}

static int delete_topic(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
    int status = cli_begin(self, &s, options, 3, argc, argv, 1, 1);
    if (status < 0) {
        status = cli_end(self, &s,
                         flotilla_topic_delete(s.client, s.rest[0], (int)s.target.timeout_ms, CLI_ERROR(s)));
    }
    if (status >= 0) {
        return status;
    }
    printf(s.target.json ? "{\"topic\":\"%s\",\"deleted\":true}\n" : "deleted %s\n", s.rest[0]);
    return CLI_OK;
}

const struct cli_command cmd_topic_create = {
    "topic create", "NAME", "Create a topic; returns once every partition accepts records",
    "  flotilla topic create order.created --partitions 6 --replicas 3\n"
    "  flotilla topic create clicks --config retention.ms=3600000",
    create};
const struct cli_command cmd_topic_list = {
    "topic list", "", "List the topics", "  flotilla topic list\n  flotilla topic list --json", list_topics};
const struct cli_command cmd_topic_describe = {"topic describe", "NAME",
                                               "Partitions, leaders, offsets and settings",
                                               "  flotilla topic describe order.created", describe};
const struct cli_command cmd_topic_alter = {
    "topic alter", "NAME", "Add partitions, change settings",
    "  flotilla topic alter order.created --partitions 12\n"
    "  flotilla topic alter order.created --config retention.bytes=1073741824 --reset retention.ms",
    alter};
const struct cli_command cmd_topic_delete = {"topic delete", "NAME", "Delete a topic and its data",
                                             "  flotilla topic delete order.created", delete_topic};
