/* flotilla consume: records in, lines out. */
#include "client/cli/commands.h"
#include "client/cli/connect.h"
#include "client/cli/format.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ERROR_SIZE = 512, POLL_MS = 100 };

struct consume {
    const struct cli_command *command;
    const struct cli_target *target;
    const char *topic;
    const char *format;
    int64_t partition;
    int64_t count; /* 0: no limit */
    bool exit_at_end;
    enum flotilla_start start;
    int64_t start_value;
    int64_t printed;
    size_t partitions; /* to read */
    bool *at_end;      /* by partition */
    size_t partition_slots;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool parse_time(const char *text, int64_t *milliseconds)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                          "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm parts = {0};
        const char *end = strptime(text, formats[i], &parts);
        if (end != NULL && (*end == 0 || strcmp(end, "Z") == 0)) {
            *milliseconds = (int64_t)timegm(&parts) * 1000;
            return true;
        }
    }
    int64_t ago = 0;
    if (text[0] == '-' && cli_parse_duration(text + 1, &ago)) {
        *milliseconds = cli_wall_ms() - ago;
        return true;
    }
    return false;
}

/* beginning | end | OFFSET | TIME; nothing: the group's committed offset, or the end without a group. */
static bool parse_from(struct consume *c, const char *from, bool has_group)
{
    char *end;
    if (from == NULL) {
        c->start = has_group        ? FLOTILLA_START_COMMITTED
                   : c->exit_at_end ? FLOTILLA_START_BEGINNING
                                    : FLOTILLA_START_END;
    } else if (strcmp(from, "beginning") == 0) {
        c->start = FLOTILLA_START_BEGINNING;
    } else if (strcmp(from, "end") == 0) {
        c->start = FLOTILLA_START_END;
    } else if (parse_time(from, &c->start_value)) {
        c->start = FLOTILLA_START_TIME;
    } else {
        c->start = FLOTILLA_START_OFFSET;
        c->start_value = strtoll(from, &end, 10);
        if (end == from || *end != 0 || c->start_value < 0) {
            cli_error(c->command,
                      "--from takes beginning, end, an offset, a UTC time (2026-03-01T10:00:00) or a time "
                      "ago (-5m), not \"%s\"",
                      from);
            return false;
        }
    }
    return true;
}

static int learn_partitions(struct consume *c, struct flotilla_client *client)
{
    char error[ERROR_SIZE] = "";
    const struct flotilla_topic_info *info = NULL;
    int status =
        flotilla_topic_describe(client, c->topic, (int)c->target->timeout_ms, &info, error, sizeof(error));
    if (status != 0) {
        return cli_failed(c->command, c->target, status, error);
    }
    c->partition_slots = info->partition_count;
    c->partitions = c->partition >= 0 ? 1 : info->partition_count;
    flotilla_result_free(info);
    if (c->partition >= (int64_t)c->partition_slots) {
        cli_error(c->command, "%s has no partition %" PRId64 ", only 0 to %zu", c->topic, c->partition,
                  c->partition_slots - 1);
        return CLI_FAILED;
    }
    c->at_end = calloc(c->partition_slots, sizeof(*c->at_end));
    return c->at_end != NULL ? CLI_OK : CLI_FAILED;
}

static bool all_at_end(const struct consume *c)
{
    size_t ended = 0;
    for (size_t i = 0; i < c->partition_slots; i++) {
        ended += c->at_end[i];
    }
    return ended >= c->partitions;
}

static bool enough(const struct consume *c)
{
    return c->count > 0 && c->printed >= c->count;
}

static void print_batch(struct consume *c, struct flotilla_batch *batch)
{
    const struct flotilla_record *record;
    while (!enough(c) && (record = flotilla_batch_next(batch)) != NULL) {
        if (c->target->json) {
            format_record_json(stdout, record);
        } else {
            format_record(stdout, c->format, record);
        }
        c->printed++;
    }
    /* What was printed must be out before its offset is committed. */
    fflush(stdout);
}

static int take_batch(struct consume *c, struct flotilla_batch *batch)
{
    int32_t partition = flotilla_batch_partition(batch);
    switch (flotilla_batch_kind(batch)) {
    case FLOTILLA_BATCH_RECORDS:
        print_batch(c, batch);
        if (partition >= 0 && (size_t)partition < c->partition_slots) {
            c->at_end[partition] = false;
        }
        return flotilla_batch_status(batch) == 0
                   ? CLI_OK
                   : cli_failed(c->command, c->target, flotilla_batch_status(batch),
                                flotilla_batch_message(batch));
    case FLOTILLA_BATCH_END:
        if (partition >= 0 && (size_t)partition < c->partition_slots) {
            c->at_end[partition] = true;
        }
        return CLI_OK;
    default:
        return cli_failed(c->command, c->target, flotilla_batch_status(batch), flotilla_batch_message(batch));
    }
}

static int read_all(struct consume *c, struct flotilla_consumer *consumer)
{
    int status = CLI_OK;
    while (status == CLI_OK && !interrupted && !enough(c) && !(c->exit_at_end && all_at_end(c))) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, POLL_MS);
        if (batch != NULL) {
            status = take_batch(c, batch);
            flotilla_batch_release(batch);
        }
        if (ferror(stdout)) {
            return CLI_FAILED; /* the reader of our output has gone */
        }
    }
    return status;
}

static int consume(struct consume *c, const struct flotilla_options *options)
{
    char error[ERROR_SIZE] = "";
    struct flotilla_consumer *consumer = NULL;
    struct flotilla_client *client = cli_connect(c->command, c->target, options);
    if (client == NULL) {
        return CLI_USAGE;
    }
    int status = learn_partitions(c, client);
    if (status == CLI_OK) {
        int rc = flotilla_consumer_create(&consumer, client, options, error, sizeof(error));
        if (rc == 0) {
            rc = flotilla_consumer_subscribe(consumer, c->topic, (int32_t)c->partition, c->start,
                                             c->start_value, error, sizeof(error));
        }
        status = rc == 0 ? read_all(c, consumer) : cli_failed(c->command, c->target, rc, error);
        flotilla_consumer_destroy(consumer);
    }
    free(c->at_end);
    flotilla_client_destroy(client);
    return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct cli_target target = CLI_TARGET_DEFAULT;
    struct consume c = {
        .command = self, .target = &target, .format = "%s\\n", .partition = FLOTILLA_PARTITION_ALL};
    const char *from = NULL, *group = NULL;
    struct cli_option options[] = {
        {"from", 'o', CLI_TEXT, &from, "WHERE",
         "beginning, end, OFFSET, UTC TIME, or -5m; default: committed, or end", 0, 0},
        {"group", 'G', CLI_TEXT, &group, "NAME", "go on where this group stopped, and commit", 0, 0},
        {"partition", 'p', CLI_NUMBER, &c.partition, "N", "only this one", 0, INT32_MAX},
        {"count", 'c', CLI_NUMBER, &c.count, "N", "stop after so many records", 1, INT64_MAX},
        {"exit-at-end", 'e', CLI_FLAG, &c.exit_at_end, NULL, "stop when everything committed has been read",
         0, 0},
        {"format", 'f', CLI_TEXT, &c.format, "TEMPLATE",
         "%s value %k key %o offset %p partition %t topic %T time %h headers", 0, 0},
        CLI_TARGET_OPTIONS(target),
    };
    char **rest = NULL, reason[128];
    int count = 0;
    int status = cli_parse(self, options, 9, argc, argv, &rest, 1, &count, 1);
    if (status >= 0) {
        return status;
    }
    if (format_check(c.format, reason, sizeof(reason)) != NULL) {
        cli_error(self, "--format: %s", reason);
        return CLI_USAGE;
    }
    c.topic = rest[0];
    if (!parse_from(&c, from, group != NULL)) {
        return CLI_USAGE;
    }
    catch_interrupts();
    struct flotilla_options *library = flotilla_options_create();
    status = CLI_USAGE;
    if (cli_set(self, library, "report.end", c.exit_at_end ? "true" : "false") &&
        (group == NULL || cli_set(self, library, "group", group))) {
        status = consume(&c, library);
    }
    flotilla_options_destroy(library);
    return status;
}

const struct cli_command cmd_consume = {
    "consume", "TOPIC", "Print records, as they are committed",
    "  flotilla consume order.created --from beginning --exit-at-end\n"
    "  flotilla consume order.created --group email\n"
    "  flotilla consume order.created --from 2026-03-01T10:00:00 --count 10 --format '%p/%o %T %k=%s\\n'",
    run};
