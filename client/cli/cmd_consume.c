/* flotilla consume: records in, lines out. */
#include "client/cli/commands.h"
#include "client/cli/connect.h"
#include "client/cli/format.h"
#include "client/cli/interrupt.h"
#include "client/cli/shares.h"
#include "client/cli/where.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ERROR_SIZE = 512, POLL_MS = 100, COMMIT_EVERY_NS = 1000000000, COMMIT_TIMEOUT_MS = 5000 };

struct consume {
    const struct cli_command *command;
    const struct cli_target *target;
    struct flotilla_client *client;
    char **topics;
    size_t topic_count;
    const char *pattern; /* of topics; NULL: none */
    const char *format;
    const char *group; /* NULL: none */
    int64_t partition;
    int64_t count; /* 0: no limit */
    bool exit_at_end;
    enum flotilla_start start;
    int64_t start_value;
    int64_t printed;
    uint64_t committed_ns;
    int output_errno; /* why standard output takes no more; 0: it does */
    bool joins;       /* as a member of the group */
    struct shares shares;
};

/* Nothing given: the group's committed offset, or the end without a group. */
static bool parse_from(struct consume *c, const char *from)
{
    if (from == NULL) {
        c->start = c->group != NULL ? FLOTILLA_START_COMMITTED
                   : c->exit_at_end ? FLOTILLA_START_BEGINNING
                                    : FLOTILLA_START_END;
        return true;
    }
    return where_parse(c->command, "--from", from, &c->start, &c->start_value);
}

static int learn_partitions(struct consume *c, const char *topic)
{
    char error[ERROR_SIZE] = "";
    const struct flotilla_topic_info *info = NULL;
    int status =
        flotilla_topic_describe(c->client, topic, (int)c->target->timeout_ms, &info, error, sizeof(error));
    if (status != 0) {
        return cli_failed(c->command, c->target, status, error);
    }
    size_t count = info->partition_count;
    flotilla_result_free(info);
    if (c->partition >= (int64_t)count) {
        cli_error(c->command, "%s has no partition %" PRId64 ", only 0 to %zu", topic, c->partition,
                  count - 1);
        return CLI_FAILED;
    }
    for (size_t i = 0; !c->joins && i < count; i++) {
        if (c->partition < 0 || c->partition == (int64_t)i) {
            shares_add(&c->shares, topic, (int32_t)i);
        }
    }
    return CLI_OK;
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
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        c->output_errno = errno != 0 ? errno : EIO;
    }
}

/* "orders/1: offset 99 is out of range: there are 0 to 41" */
static int partition_failed(const struct consume *c, const struct flotilla_batch *batch)
{
    int status = flotilla_batch_status(batch), timeout_ms = (int)c->target->timeout_ms;
    const char *topic = flotilla_batch_topic(batch);
    int32_t partition = flotilla_batch_partition(batch);
    int64_t first = 0, end = 0;
    if (status == FLOTILLA_ERR_OFFSET_OUT_OF_RANGE && c->start == FLOTILLA_START_OFFSET &&
        flotilla_offset_list(c->client, topic, partition, FLOTILLA_OFFSET_BEGINNING, timeout_ms, &first, NULL,
                             0) == 0 &&
        flotilla_offset_list(c->client, topic, partition, FLOTILLA_OFFSET_END, timeout_ms, &end, NULL, 0) ==
            0) {
        cli_error(c->command,
                  "%s/%" PRId32 ": offset %" PRId64 " is out of range: it holds %" PRId64
                  " up to, not including, %" PRId64,
                  topic, partition, c->start_value, first, end);
        return CLI_FAILED;
    }
    return cli_failed(c->command, c->target, status, flotilla_batch_message(batch));
}

static int take_batch(struct consume *c, struct flotilla_batch *batch)
{
    const char *topic = flotilla_batch_topic(batch);
    int32_t partition = flotilla_batch_partition(batch);
    switch (flotilla_batch_kind(batch)) {
    case FLOTILLA_BATCH_RECORDS:
        print_batch(c, batch);
        shares_set_at_end(&c->shares, topic, partition, false);
        return flotilla_batch_status(batch) == 0 ? CLI_OK : partition_failed(c, batch);
    case FLOTILLA_BATCH_END:
        shares_set_at_end(&c->shares, topic, partition, true);
        return CLI_OK;
    default:
        return partition_failed(c, batch);
    }
}

/* Only what is out is committed: a record that the next command in the pipe has not been given is read again.
 */
static void commit_now_and_then(struct consume *c, struct flotilla_consumer *consumer)
{
    uint64_t now = cli_now_ns();
    if (c->group != NULL && now - c->committed_ns >= COMMIT_EVERY_NS) {
        c->committed_ns = now;
        flotilla_consumer_commit_async(consumer, NULL, NULL);
    }
}

/* Also while there is nothing to write: `consume | head -n 1` on a quiet topic. */
static bool reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

/* A closed pipe is how `consume | head` ends. */
static int output_failed(const struct consume *c)
{
    if (c->output_errno == EPIPE) {
        return CLI_OK;
    }
    cli_error(c->command, "cannot write to standard output: %s", strerror(c->output_errno));
    return CLI_FAILED;
}

static int last_commit(struct consume *c, struct flotilla_consumer *consumer, int status)
{
    char error[ERROR_SIZE] = "";
    if (c->group == NULL) {
        return status;
    }
    int rc = flotilla_consumer_commit(consumer, COMMIT_TIMEOUT_MS, error, sizeof(error));
    if (rc != 0) {
        cli_error(c->command,
                  "the offsets of group %s are not committed, so it will read the last records again: %s",
                  c->group, error[0] != 0 ? error : flotilla_error_text(rc));
        return status == CLI_OK ? CLI_FAILED : status;
    }
    return status;
}

/* Everything is read; in a group that is only known once nobody's share changes any more. */
static bool all_read(struct consume *c, struct flotilla_consumer *consumer)
{
    const struct flotilla_membership *membership = NULL;
    if (!c->exit_at_end || !shares_all_at_end(&c->shares)) {
        return false;
    }
    if (!c->joins) {
        return true;
    }
    bool is_stable = flotilla_consumer_membership(consumer, &membership) == 0 && membership->is_stable &&
                     membership->partition_count == c->shares.count;
    flotilla_result_free(membership);
    return is_stable;
}

static int read_all(struct consume *c, struct flotilla_consumer *consumer)
{
    int status = CLI_OK;
    c->committed_ns = cli_now_ns();
    while (status == CLI_OK && interrupt_count() == 0 && !enough(c) && !all_read(c, consumer)) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, POLL_MS);
        if (batch != NULL) {
            status = take_batch(c, batch);
            flotilla_batch_release(batch);
        } else if (reader_is_gone()) {
            c->output_errno = EPIPE;
        }
        if (c->output_errno != 0) {
            return output_failed(c);
        }
        commit_now_and_then(c, consumer);
    }
    return last_commit(c, consumer, status);
}

/* What moves to another member is committed first; what is printed to nobody is not. */
static void on_rebalance(void *data, struct flotilla_consumer *consumer, enum flotilla_rebalance event,
                         const struct flotilla_partition *const *partitions, size_t count)
{
    struct consume *c = data;
    if (event == FLOTILLA_REVOKED && c->output_errno == 0) {
        flotilla_consumer_commit(consumer, COMMIT_TIMEOUT_MS, NULL, 0);
    }
    for (size_t i = 0; i < count; i++) {
        if (event == FLOTILLA_ASSIGNED) {
            shares_add(&c->shares, partitions[i]->topic, partitions[i]->partition);
        } else {
            shares_remove(&c->shares, partitions[i]->topic, partitions[i]->partition);
        }
    }
    if (cli_is_terminal(stderr)) {
        fprintf(stderr, "%s", cli_colour(stderr, CLI_DIM));
        shares_print(&c->shares, c->group, stderr);
        fprintf(stderr, "%s", cli_colour(stderr, CLI_PLAIN));
    }
}

static int begin(struct consume *c, struct flotilla_consumer *consumer, char *error, size_t error_size)
{
    int rc = 0;
    if (c->joins) {
        return flotilla_consumer_join(consumer, (const char *const *)c->topics, c->topic_count, c->pattern,
                                      on_rebalance, c, error, error_size);
    }
    for (size_t i = 0; rc == 0 && i < c->topic_count; i++) {
        rc = flotilla_consumer_subscribe(consumer, c->topics[i], (int32_t)c->partition, c->start,
                                         c->start_value, error, error_size);
    }
    return rc;
}

static int consume(struct consume *c, const struct flotilla_options *options)
{
    char error[ERROR_SIZE] = "";
    struct flotilla_consumer *consumer = NULL;
    int status = CLI_OK;
    c->client = cli_connect(c->command, c->target, options);
    if (c->client == NULL) {
        return CLI_USAGE;
    }
    for (size_t i = 0; status == CLI_OK && i < c->topic_count; i++) {
        status = learn_partitions(c, c->topics[i]);
    }
    if (status == CLI_OK) {
        int rc = flotilla_consumer_create(&consumer, c->client, options, error, sizeof(error));
        if (rc == 0) {
            rc = begin(c, consumer, error, sizeof(error));
        }
        status = rc == 0 ? read_all(c, consumer) : cli_failed(c->command, c->target, rc, error);
        flotilla_consumer_destroy(consumer);
    }
    shares_close(&c->shares);
    flotilla_client_destroy(c->client);
    return status;
}

/* Names with * or ? are a pattern, of which a group can have one. Takes it out of the list. */
static bool take_pattern(struct consume *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->topic_count; i++) {
        char *name = c->topics[i];
        if (strpbrk(name, "*?") == NULL) {
            c->topics[kept++] = name;
        } else if (!c->joins || c->pattern != NULL) {
            cli_error(c->command,
                      "a pattern of topics, one at most, is for a group to read: --group without --from and "
                      "--partition");
            return false;
        } else {
            c->pattern = name;
        }
    }
    c->topic_count = kept;
    return true;
}

static bool set_settings(const struct cli_command *command, struct flotilla_options *library,
                         const struct cli_list *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        char name[64];
        const char *equals = strchr(settings->items[i], '=');
        if (equals == NULL) {
            cli_error(command, "--set takes NAME=VALUE, not \"%s\"", settings->items[i]);
            return false;
        }
        snprintf(name, sizeof(name), "%.*s", (int)(equals - settings->items[i]), settings->items[i]);
        if (!cli_set(command, library, name, equals + 1)) {
            return false;
        }
    }
    return true;
}

static bool set_options(const struct consume *c, struct flotilla_options *library)
{
    /* An offset that does not exist must not silently become another. */
    const char *reset = c->start == FLOTILLA_START_OFFSET ? "error" : "earliest";
    return cli_set(c->command, library, "report.end", c->exit_at_end ? "true" : "false") &&
           cli_set(c->command, library, "offset.reset", reset) &&
           cli_set(c->command, library, "commit.interval.ms", "0") &&
           (c->group == NULL || cli_set(c->command, library, "group", c->group));
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct cli_target target = CLI_TARGET_DEFAULT;
    struct consume c = {
        .command = self, .target = &target, .format = "%s\\n", .partition = FLOTILLA_PARTITION_ALL};
    const char *from = NULL;
    struct cli_list settings = {NULL, 0};
    struct cli_option options[] = {
        {"from", 'o', CLI_TEXT, &from, "WHERE",
         "beginning, end, OFFSET, UTC TIME, or -5m; default: committed, or end", 0, 0},
        {"group", 'G', CLI_TEXT, &c.group, "NAME",
         "share the topics with the other members of this group, and commit", 0, 0},
        {"partition", 'p', CLI_NUMBER, &c.partition, "N", "only this one", 0, INT32_MAX},
        {"count", 'c', CLI_NUMBER, &c.count, "N", "stop after so many records", 1, INT64_MAX},
        {"exit-at-end", 'e', CLI_FLAG, &c.exit_at_end, NULL, "stop when everything committed has been read",
         0, 0},
        {"format", 'f', CLI_TEXT, &c.format, "TEMPLATE",
         "%s value %k key %o offset %p partition %t topic %T time %h headers", 0, 0},
        {"set", 'X', CLI_LIST, &settings, "NAME=VALUE",
         "an option of the library, such as group.instance.id=till-7; repeatable", 0, 0},
        CLI_TARGET_OPTIONS(target),
    };
    char **rest = NULL, reason[128];
    int count = 0;
    int status = cli_parse(self, options, 10, argc, argv, &rest, 1, &count, INT32_MAX);
    if (status >= 0) {
        return status;
    }
    if (format_check(c.format, reason, sizeof(reason)) != NULL) {
        cli_error(self, "--format: %s", reason);
        cli_list_free(&settings);
        return CLI_USAGE;
    }
    c.topics = rest;
    c.topic_count = (size_t)count;
    c.joins = c.group != NULL && from == NULL && c.partition < 0;
    if (!parse_from(&c, from) || !take_pattern(&c)) {
        cli_list_free(&settings);
        return CLI_USAGE;
    }
    interrupt_catch();
    struct flotilla_options *library = flotilla_options_create();
    status =
        set_options(&c, library) && set_settings(self, library, &settings) ? consume(&c, library) : CLI_USAGE;
    flotilla_options_destroy(library);
    cli_list_free(&settings);
    return status;
}

const struct cli_command cmd_consume = {
    "consume", "TOPIC...", "Print records, as they are committed",
    "  flotilla consume order.created --from beginning --exit-at-end\n"
    "  flotilla consume order.created --group email      # again in other terminals: they share the "
    "partitions\n"
    "  flotilla consume 'order.*' --group audit\n"
    "  flotilla consume order.created --from 2026-03-01T10:00:00 --count 10 --format '%p/%o %T %k=%s\\n'",
    run};
