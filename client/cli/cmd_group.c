/* flotilla group list | describe | members | delete */
#include "client/cli/commands.h"
#include "client/cli/connect.h"
#include "client/cli/group_lag.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- list ---- */

static json_t *info_json(const struct flotilla_group_info *g)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "group", g->group, "state", g->state, "protocol",
                     g->protocol, "assignor", g->assignor, "epoch", (json_int_t)g->epoch, "members",
                     (json_int_t)g->members);
}

static void print_groups_json(const struct flotilla_groups *list)
{
    json_t *root = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(root, info_json(list->groups[i]));
    }
    cli_print_json(root);
}

static const char *or_dash(const char *text)
{
    return text[0] != 0 ? text : "-";
}

static void print_groups(const struct flotilla_groups *list)
{
    static const char *const headings[] = {"GROUP", "STATE", "MEMBERS", "PROTOCOL", "ASSIGNOR", "EPOCH"};
    static const bool right[] = {false, false, true, false, false, true};
    struct cli_table *table = cli_table_create(headings, right, 6);
    for (size_t i = 0; i < list->count; i++) {
        const struct flotilla_group_info *g = list->groups[i];
        cli_table_cell(table, "%s", g->group);
        cli_table_cell(table, "%s", or_dash(g->state));
        cli_table_cell(table, "%" PRIu32, g->members);
        cli_table_cell(table, "%s", or_dash(g->protocol));
        cli_table_cell(table, "%s", or_dash(g->assignor));
        cli_table_cell(table, "%" PRId64, g->epoch);
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
}

static int list_groups(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
    const struct flotilla_groups *list = NULL;
    int status = cli_begin(self, &s, options, 3, argc, argv, 0, 0);
    if (status < 0) {
        status =
            cli_end(self, &s, flotilla_group_list(s.client, (int)s.target.timeout_ms, &list, CLI_ERROR(s)));
    }
    if (status >= 0) {
        return status;
    }
    s.target.json ? print_groups_json(list) : print_groups(list);
    flotilla_result_free(list);
    return CLI_OK;
}

/* ---- describe ---- */

static json_t *number_or_null(int64_t number)
{
    return number >= 0 ? json_integer((json_int_t)number) : json_null();
}

static void print_lag_json(const struct flotilla_group_description *d, const struct group_lag *lag)
{
    json_t *root = info_json(d->info), *partitions = json_array();
    for (size_t i = 0; i < lag->count; i++) {
        const struct group_lag_row *r = &lag->rows[i];
        json_array_append_new(
            partitions,
            json_pack("{s:s, s:I, s:o, s:o, s:o, s:o, s:s, s:s, s:I, s:s}", "topic", r->topic, "partition",
                      (json_int_t)r->partition, "committed", number_or_null(r->committed), "end",
                      number_or_null(r->end), "lag", number_or_null(group_lag_records(r)), "lag_ms",
                      number_or_null(r->lag_ms), "member", r->owner != NULL ? r->owner->member_id : "",
                      "host", r->owner != NULL ? r->owner->host : "", "commit_time_ms",
                      (json_int_t)r->commit_time_ms, "metadata", r->metadata));
    }
    json_object_set_new(root, "partitions", partitions);
    cli_print_json(root);
}

static void number_cell(struct cli_table *table, int64_t number)
{
    cli_table_cell(table, number >= 0 ? "%" PRId64 : "-", number);
}

/* "0.4 s", "12 s", "3 min", "5 h", "9 d" */
static const char *span_text(char *out, size_t size, int64_t milliseconds)
{
    double seconds = (double)milliseconds / 1000;
    if (milliseconds < 0) {
        snprintf(out, size, "-");
    } else if (seconds < 120) {
        snprintf(out, size, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
    } else if (seconds < 7200) {
        snprintf(out, size, "%.0f min", seconds / 60);
    } else {
        snprintf(out, size, seconds < 172800 ? "%.0f h" : "%.0f d",
                 seconds < 172800 ? seconds / 3600 : seconds / 86400);
    }
    return out;
}

static void lag_row(struct cli_table *table, const struct group_lag_row *r, int64_t now_ms)
{
    char text[32];
    cli_table_cell(table, "%s", r->topic);
    cli_table_cell(table, "%" PRIu32, r->partition);
    number_cell(table, r->committed);
    number_cell(table, r->end);
    number_cell(table, group_lag_records(r));
    cli_table_cell(table, "%s", span_text(text, sizeof(text), r->lag_ms));
    cli_table_cell(table, "%s",
                   r->owner == NULL                ? "-"
                   : r->owner->instance_id[0] != 0 ? r->owner->instance_id
                                                   : r->owner->member_id);
    cli_table_cell(table, "%s", r->owner != NULL ? or_dash(r->owner->host) : "-");
    cli_table_cell(table, "%s",
                   r->commit_time_ms > 0 ? span_text(text, sizeof(text), now_ms - r->commit_time_ms) : "-");
    cli_table_cell(table, "%s", r->metadata);
}

static void print_lag(const struct flotilla_group_description *d, const struct group_lag *lag)
{
    static const char *const headings[] = {"TOPIC",    "PARTITION", "COMMITTED", "END",           "LAG",
                                           "LAG TIME", "OWNER",     "HOST",      "COMMITTED AGO", "METADATA"};
    static const bool right[] = {false, true, true, true, true, true, false, false, true, false};
    char total[32];
    printf("group %s: %s, %" PRIu32 " member%s", d->info->group, or_dash(d->info->state), d->info->members,
           d->info->members == 1 ? "" : "s");
    printf(d->info->assignor[0] != 0 ? ", %s" : "%s", d->info->assignor);
    printf(", epoch %" PRId64 ", lag %s records\n\n", d->info->epoch,
           cli_count(total, sizeof(total), (uint64_t)group_lag_total(lag)));
    struct cli_table *table = cli_table_create(headings, right, 10);
    int64_t now_ms = cli_wall_ms();
    for (size_t i = 0; i < lag->count; i++) {
        lag_row(table, &lag->rows[i], now_ms);
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
}

static int describe(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
    const struct flotilla_group_description *d = NULL;
    struct group_lag lag = {0};
    int status = cli_begin(self, &s, options, 3, argc, argv, 1, 1);
    if (status >= 0) {
        return status;
    }
    int rc = flotilla_group_describe(s.client, s.rest[0], (int)s.target.timeout_ms, &d, CLI_ERROR(s));
    if (rc == 0) {
        group_lag_measure(&lag, s.client, d, (int)s.target.timeout_ms);
    }
    status = cli_end(self, &s, rc);
    if (status < 0) {
        s.target.json ? print_lag_json(d, &lag) : print_lag(d, &lag);
        status = CLI_OK;
    }
    group_lag_close(&lag);
    flotilla_result_free(d);
    return status;
}

/* ---- members ---- */

/* "orders 0-2,5 clicks 1" */
static void partitions_text(char *out, size_t size, const struct flotilla_partition *const *p, size_t count)
{
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < count && used < size; i++) {
        bool same = i > 0 && strcmp(p[i]->topic, p[i - 1]->topic) == 0;
        size_t last = i;
        while (last + 1 < count && strcmp(p[last + 1]->topic, p[i]->topic) == 0 &&
               p[last + 1]->partition == p[last]->partition + 1) {
            last++;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%s%s%" PRId32, same || i == 0 ? "" : " ",
                                 same ? "," : p[i]->topic, same ? "" : " ", p[i]->partition);
        if (last > i && used < size) {
            used += (size_t)snprintf(out + used, size - used, "-%" PRId32, p[last]->partition);
        }
        i = last;
    }
}

static void print_members(const struct flotilla_group_description *d)
{
    static const char *const headings[] = {"MEMBER", "INSTANCE",  "CLIENT", "HOST",     "RACK",
                                           "EPOCH",  "HEARD AGO", "READS",  "WILL READ"};
    static const bool right[] = {false, false, false, false, false, true, true, false, false};
    struct cli_table *table = cli_table_create(headings, right, 9);
    for (size_t i = 0; i < d->member_count; i++) {
        const struct flotilla_group_member *m = d->members[i];
        char reads[512], will_read[512];
        partitions_text(reads, sizeof(reads), m->assigned, m->assigned_count);
        partitions_text(will_read, sizeof(will_read), m->target, m->target_count);
        cli_table_cell(table, "%s", m->member_id);
        cli_table_cell(table, "%s", or_dash(m->instance_id));
        cli_table_cell(table, "%s", or_dash(m->client_id));
        cli_table_cell(table, "%s", or_dash(m->host));
        cli_table_cell(table, "%s", or_dash(m->rack));
        cli_table_cell(table, "%" PRId64, m->epoch);
        cli_table_cell(table, "%" PRIu64 " ms", m->heartbeat_age_ms);
        cli_table_cell(table, "%s", or_dash(reads));
        cli_table_cell(table, "%s", strcmp(reads, will_read) == 0 ? "" : will_read);
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
}

static json_t *partitions_json(const struct flotilla_partition *const *p, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(
            array, json_pack("{s:s, s:I}", "topic", p[i]->topic, "partition", (json_int_t)p[i]->partition));
    }
    return array;
}

static void print_members_json(const struct flotilla_group_description *d)
{
    json_t *root = json_array();
    for (size_t i = 0; i < d->member_count; i++) {
        const struct flotilla_group_member *m = d->members[i];
        json_t *topics = json_array();
        for (size_t k = 0; k < m->topic_count; k++) {
            json_array_append_new(topics, json_string(m->topics[k]));
        }
        json_array_append_new(root, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:s, s:o, s:o, s:I}",
                                              "member", m->member_id, "instance", m->instance_id, "client",
                                              m->client_id, "host", m->host, "rack", m->rack, "epoch",
                                              (json_int_t)m->epoch, "topics", topics, "pattern", m->pattern,
                                              "assigned", partitions_json(m->assigned, m->assigned_count),
                                              "target", partitions_json(m->target, m->target_count),
                                              "heartbeat_age_ms", (json_int_t)m->heartbeat_age_ms));
    }
    cli_print_json(root);
}

static int members(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
    const struct flotilla_group_description *d = NULL;
    int status = cli_begin(self, &s, options, 3, argc, argv, 1, 1);
    if (status < 0) {
        status =
            cli_end(self, &s,
                    flotilla_group_describe(s.client, s.rest[0], (int)s.target.timeout_ms, &d, CLI_ERROR(s)));
    }
    if (status >= 0) {
        return status;
    }
    s.target.json ? print_members_json(d) : print_members(d);
    flotilla_result_free(d);
    return CLI_OK;
}

/* ---- delete ---- */

static int delete_group(const struct cli_command *self, int argc, char **argv)
{
    struct cli_session s = CLI_SESSION;
    const char *topic = NULL;
    struct cli_option options[] = {
        {"topic", 't', CLI_TEXT, &topic, "NAME", "only the offsets of this topic", 0, 0},
        CLI_TARGET_OPTIONS(s.target),
    };
    int status = cli_begin(self, &s, options, 4, argc, argv, 1, 1);
    if (status < 0) {
        status = cli_end(
            self, &s,
            flotilla_group_delete(s.client, s.rest[0], topic, (int)s.target.timeout_ms, CLI_ERROR(s)));
    }
    if (status >= 0) {
        return status;
    }
    printf(s.target.json ? "{\"group\":\"%s\",\"deleted\":true}\n" : "deleted %s\n", s.rest[0]);
    return CLI_OK;
}

const struct cli_command cmd_group_list = {"group list", "", "List the consumer groups",
                                           "  flotilla group list\n  flotilla group list --json",
                                           list_groups};
const struct cli_command cmd_group_describe = {
    "group describe", "GROUP", "Where a group stands in each partition, how far behind, and who reads it",
    "  flotilla group describe billing\n  watch flotilla group describe billing", describe};
const struct cli_command cmd_group_members = {"group members", "GROUP", "Who is in a group and reads what",
                                              "  flotilla group members billing", members};
const struct cli_command cmd_group_delete = {
    "group delete", "GROUP", "Delete a group without members, and its offsets",
    "  flotilla group delete billing\n  flotilla group delete billing --topic order.created", delete_group};
