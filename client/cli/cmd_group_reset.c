/* flotilla group reset: moves a group's offsets while nobody reads. */
#include "client/cli/commands.h"
#include "client/cli/connect.h"
#include "client/cli/where.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct reset {
    const struct cli_command *command;
    struct cli_session session;
    const char *to;
    int64_t shift_by;
    struct cli_list topics;
    int64_t partition; /* -1: all */
    bool dry_run;
    enum flotilla_start start;
    int64_t value;
};

struct move {
    struct flotilla_group_offset offset; /* what will be committed */
    int64_t before;                      /* -1: nothing */
};

struct plan {
    struct move *moves;
    size_t count;
};

static int64_t within(int64_t offset, int64_t low, int64_t high)
{
    return offset < low ? low : offset > high ? high : offset;
}

static int64_t committed(const struct flotilla_offsets *offsets, const char *topic, uint32_t partition)
{
    for (size_t i = 0; i < offsets->count; i++) {
        if (offsets->offsets[i]->partition == partition && strcmp(offsets->offsets[i]->topic, topic) == 0) {
            return offsets->offsets[i]->offset;
        }
    }
    return -1;
}

/* Where the group will stand in one partition: always within the log. */
static int target(struct reset *r, const struct flotilla_topic_info *topic, uint32_t index, int64_t before,
                  int64_t *offset)
{
    const struct flotilla_partition_info *p = topic->partitions[index];
    int rc = 0;
    if (r->to == NULL) {
        *offset = before + r->shift_by;
    } else {
        rc = where_resolve(r->session.client, topic->name, (int32_t)index, r->start, r->value,
                           (int)r->session.target.timeout_ms, offset, CLI_ERROR(r->session));
    }
    if (rc == 0 && p->high_watermark >= 0) {
        *offset = within(*offset, p->log_start_offset, p->high_watermark);
    }
    return rc;
}

static int plan_topic(struct reset *r, struct plan *plan, const struct flotilla_topic_info *topic,
                      const char *name, const struct flotilla_offsets *offsets)
{
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        int64_t before = committed(offsets, name, i), offset = 0;
        if ((r->partition >= 0 && i != r->partition) || (r->to == NULL && before < 0)) {
            continue;
        }
        int rc = target(r, topic, i, before, &offset);
        if (rc != 0) {
            return rc;
        }
        plan->moves = realloc(plan->moves, (plan->count + 1) * sizeof(*plan->moves));
        if (plan->moves == NULL) {
            abort();
        }
        plan->moves[plan->count++] = (struct move){{.topic = name, .partition = i, .offset = offset}, before};
    }
    return 0;
}

/* The topics that were named, else all in which the group has offsets. */
static int plan_all(struct reset *r, struct plan *plan, const struct flotilla_offsets *offsets)
{
    size_t named = r->topics.count, count = named > 0 ? named : offsets->count;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const char *name = named > 0 ? r->topics.items[i] : offsets->offsets[i]->topic;
        const struct flotilla_topic_info *info = NULL;
        if (name[0] == 0 || (named == 0 && i > 0 && strcmp(name, offsets->offsets[i - 1]->topic) == 0)) {
            continue;
        }
        rc = flotilla_topic_describe(r->session.client, name, (int)r->session.target.timeout_ms, &info,
                                     CLI_ERROR(r->session));
        if (rc == 0) {
            rc = plan_topic(r, plan, info, name, offsets);
        }
        flotilla_result_free(info);
    }
    return rc;
}

static int carry_out(struct reset *r, const struct plan *plan)
{
    const struct flotilla_group_offset **offsets = calloc(plan->count + 1, sizeof(*offsets));
    if (offsets == NULL) {
        abort();
    }
    for (size_t i = 0; i < plan->count; i++) {
        offsets[i] = &plan->moves[i].offset;
    }
    int rc = flotilla_group_commit_all(r->session.client, r->session.rest[0], offsets, plan->count,
                                       (int)r->session.target.timeout_ms, CLI_ERROR(r->session));
    free(offsets);
    return rc;
}

static void print_plan_json(const struct reset *r, const struct plan *plan)
{
    json_t *moves = json_array();
    for (size_t i = 0; i < plan->count; i++) {
        const struct move *m = &plan->moves[i];
        json_array_append_new(moves, json_pack("{s:s, s:I, s:I, s:I}", "topic", m->offset.topic, "partition",
                                               (json_int_t)m->offset.partition, "before",
                                               (json_int_t)m->before, "after", (json_int_t)m->offset.offset));
    }
    cli_print_json(json_pack("{s:s, s:b, s:o}", "group", r->session.rest[0], "dry_run", r->dry_run,
                             "partitions", moves));
}

static void print_plan(const struct reset *r, const struct plan *plan)
{
    static const char *const headings[] = {"TOPIC", "PARTITION", "BEFORE", "AFTER", "CHANGE"};
    static const bool right[] = {false, true, true, true, true};
    struct cli_table *table = cli_table_create(headings, right, 5);
    for (size_t i = 0; i < plan->count; i++) {
        const struct move *m = &plan->moves[i];
        cli_table_cell(table, "%s", m->offset.topic);
        cli_table_cell(table, "%" PRIu32, m->offset.partition);
        cli_table_cell(table, m->before >= 0 ? "%" PRId64 : "-", m->before);
        cli_table_cell(table, "%" PRId64, m->offset.offset);
        cli_table_cell(table, m->before >= 0 ? "%+" PRId64 : "-", m->offset.offset - m->before);
    }
    cli_table_print(table, stdout);
    cli_table_destroy(table);
    printf(r->dry_run ? "\nnothing was changed (--dry-run)\n" : "\ngroup %s was reset\n", r->session.rest[0]);
}

static int explain(const struct reset *r, int rc)
{
    if (rc == FLOTILLA_ERR_GROUP_NOT_EMPTY) {
        cli_error(r->command,
                  "group %s has members, which would go on where they are: stop them first (`flotilla group "
                  "members %s`)",
                  r->session.rest[0], r->session.rest[0]);
        return CLI_FAILED;
    }
    return cli_failed(r->command, &r->session.target, rc, r->session.error);
}

/* Before anything else is said: members that have not committed yet hide behind "no offsets". */
static int refuse_members(struct reset *r)
{
    const struct flotilla_group_description *group = NULL;
    int rc = flotilla_group_describe(r->session.client, r->session.rest[0], (int)r->session.target.timeout_ms,
                                     &group, CLI_ERROR(r->session));
    if (rc == 0 && group->member_count > 0) {
        rc = FLOTILLA_ERR_GROUP_NOT_EMPTY;
    }
    flotilla_result_free(group);
    return rc == FLOTILLA_ERR_UNKNOWN_GROUP ? 0 : rc;
}

static int reset_offsets(struct reset *r)
{
    const struct flotilla_offsets *offsets = NULL;
    struct plan plan = {NULL, 0};
    int rc = r->dry_run ? 0 : refuse_members(r);
    if (rc == 0) {
        rc = flotilla_group_offsets(r->session.client, r->session.rest[0], NULL,
                                    (int)r->session.target.timeout_ms, &offsets, CLI_ERROR(r->session));
    }
    if (rc == 0) {
        rc = plan_all(r, &plan, offsets);
    }
    if (rc == 0 && plan.count == 0) {
        snprintf(r->session.error, sizeof(r->session.error),
                 "group %s has no offsets to move here; --topic names a topic to begin with",
                 r->session.rest[0]);
        rc = FLOTILLA_ERR_UNKNOWN_GROUP;
    }
    if (rc == 0 && !r->dry_run) {
        rc = carry_out(r, &plan);
    }
    if (rc == 0) {
        r->session.target.json ? print_plan_json(r, &plan) : print_plan(r, &plan);
    }
    free(plan.moves);
    flotilla_result_free(offsets);
    return rc == 0 ? CLI_OK : explain(r, rc);
}

static bool check(struct reset *r)
{
    if ((r->to == NULL) == (r->shift_by == 0)) {
        cli_error(r->command, "give either --to WHERE or --shift-by N");
        return false;
    }
    return r->to == NULL || where_parse(r->command, "--to", r->to, &r->start, &r->value);
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct reset r = {.command = self, .session = CLI_SESSION, .partition = -1};
    struct cli_option options[] = {
        {"to", 0, CLI_TEXT, &r.to, "WHERE", "beginning, end, OFFSET, UTC TIME, or -5m", 0, 0},
        {"shift-by", 0, CLI_NUMBER, &r.shift_by, "N", "by so many records; negative: back", 0, 0},
        {"topic", 't', CLI_LIST, &r.topics, "NAME", "only this one; repeatable (default: all it has read)", 0,
         0},
        {"partition", 'p', CLI_NUMBER, &r.partition, "N", "only this one", 0, INT32_MAX},
        {"dry-run", 'n', CLI_FLAG, &r.dry_run, NULL, "only show what would change", 0, 0},
        CLI_TARGET_OPTIONS(r.session.target),
    };
    int status = cli_begin(self, &r.session, options, 8, argc, argv, 1, 1);
    if (status < 0) {
        status = check(&r) ? reset_offsets(&r) : CLI_USAGE;
        flotilla_client_destroy(r.session.client);
    }
    cli_list_free(&r.topics);
    return status;
}

const struct cli_command cmd_group_reset = {
    "group reset", "GROUP", "Move a group's offsets, while it has no members",
    "  flotilla group reset billing --to beginning --dry-run\n"
    "  flotilla group reset billing --topic order.created --to 2026-03-01T10:00:00\n"
    "  flotilla group reset billing --shift-by -100",
    run};
