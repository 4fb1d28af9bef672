/* flotilla produce: lines in, records out. */
#include "client/cli/commands.h"
#include "client/cli/connect.h"
#include "client/cli/interrupt.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    ERROR_SIZE = 512,
    HEADERS_MAX = 32,
    PROGRESS_EVERY_NS = 1000000000,
    FLUSH_STEP_MS = 200,
    INTERRUPTS_MAX = 2 /* the first one ends the input, the second the wait for acknowledgements */
};

struct produce {
    const struct cli_command *command;
    const char *topic;
    const char *separator;
    int64_t partition;
    int64_t rate;
    struct flotilla_header headers[HEADERS_MAX];
    size_t header_count;
    uint64_t sent;
    uint64_t delivered;
    uint64_t failed;
    uint64_t started_ns;
    uint64_t progress_ns;
    char first_error[ERROR_SIZE];
};

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct produce *p = data;
    if (d->status == 0) {
        p->delivered++;
    } else if (p->failed++ == 0) {
        snprintf(p->first_error, sizeof(p->first_error), "%s",
                 d->message[0] != 0 ? d->message : flotilla_error_text(d->status));
    }
}

static bool take_headers(struct produce *p, const struct cli_list *list)
{
    if (list->count > HEADERS_MAX) {
        cli_error(p->command, "at most %d --header", HEADERS_MAX);
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strchr(list->items[i], '=');
        if (equals == NULL) {
            cli_error(p->command, "--header takes NAME=VALUE, not \"%s\"", list->items[i]);
            return false;
        }
        p->headers[p->header_count++] = (struct flotilla_header){
            list->items[i], (size_t)(equals - list->items[i]), equals + 1, strlen(equals + 1)};
    }
    return true;
}

static void show_progress(struct produce *p, bool last)
{
    uint64_t now = cli_now_ns();
    if (!cli_is_terminal(stderr) || (!last && now - p->progress_ns < PROGRESS_EVERY_NS)) {
        return;
    }
    char sent[32], delivered[32];
    p->progress_ns = now;
    fprintf(stderr, "\r%s sent, %s acknowledged, %.0f/s\033[K%s", cli_count(sent, sizeof(sent), p->sent),
            cli_count(delivered, sizeof(delivered), p->delivered),
            (double)p->delivered * 1e9 / (double)(now - p->started_ns + 1), last ? "\n" : "");
}

/* Waits until the record number `sent` is due. */
static void keep_rate(struct produce *p, struct flotilla_producer *producer)
{
    if (p->rate == 0) {
        return;
    }
    uint64_t due = p->started_ns + (uint64_t)((double)p->sent * 1e9 / (double)p->rate);
    for (uint64_t now = cli_now_ns(); now < due; now = cli_now_ns()) {
        uint64_t left_ms = (due - now) / 1000000u;
        flotilla_producer_poll(producer, left_ms > 100 ? 100 : (int)left_ms);
        if (left_ms == 0) {
            break;
        }
    }
}

static int send_line(struct produce *p, struct flotilla_producer *producer, const char *line, size_t size)
{
    const char *key = NULL;
    size_t key_size = 0;
    if (p->separator != NULL) {
        const char *at = memmem(line, size, p->separator, strlen(p->separator));
        if (at != NULL) {
            key = line;
            key_size = (size_t)(at - line);
            size -= key_size + strlen(p->separator);
            line = at + strlen(p->separator);
        }
    }
    keep_rate(p, producer);
    int status = flotilla_produce(producer, p->topic, (int32_t)p->partition, FLOTILLA_TIMESTAMP_NOW, key,
                                  key_size, line, size, p->headers, p->header_count, NULL);
    if (status == 0) {
        p->sent++;
    }
    return status;
}

static int send_all(struct produce *p, struct flotilla_producer *producer, FILE *in)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    int status = 0;
    while (status == 0 && interrupt_count() == 0 && (size = getline(&line, &capacity, in)) >= 0) {
        if (size > 0 && line[size - 1] == '\n') {
            size--;
        }
        status = send_line(p, producer, line, (size_t)size);
        if (p->sent % 256 == 0 || p->rate != 0) {
            flotilla_producer_poll(producer, 0);
            show_progress(p, false);
        }
    }
    free(line);
    return status;
}

static int wait_for_all(struct produce *p, struct flotilla_producer *producer)
{
    int status;
    do {
        status = flotilla_producer_flush(producer, FLUSH_STEP_MS);
        show_progress(p, false);
    } while (status == FLOTILLA_ERR_TIMED_OUT && interrupt_count() < INTERRUPTS_MAX);
    return status;
}

static void print_json(const struct produce *p)
{
    json_t *root = json_pack("{s:s, s:I, s:I, s:I}", "topic", p->topic, "sent", (json_int_t)p->sent,
                             "acknowledged", (json_int_t)p->delivered, "failed", (json_int_t)p->failed);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}

static int report(struct produce *p, const struct cli_target *target, struct flotilla_producer *producer,
                  int status)
{
    char error[ERROR_SIZE] = "";
    if (status != 0) {
        flotilla_producer_last_error(producer, error, sizeof(error));
    }
    int flushed = wait_for_all(p, producer);
    show_progress(p, true);
    if (target->json) {
        print_json(p);
    }
    if (status != 0) {
        return cli_failed(p->command, target, status, error);
    }
    if (interrupt_count() > 0) {
        cli_error(p->command, "interrupted: %" PRIu64 " records sent, %" PRIu64 " acknowledged", p->sent,
                  p->delivered);
        return CLI_INTERRUPTED;
    }
    if (p->failed > 0 || flushed != 0) {
        cli_error(p->command, "%" PRIu64 " of %" PRIu64 " records were not acknowledged: %s",
                  p->sent - p->delivered, p->sent,
                  p->first_error[0] != 0 ? p->first_error : flotilla_error_text(flushed));
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int produce_from(struct produce *p, const struct cli_target *target,
                        const struct flotilla_options *options, FILE *in)
{
    char error[ERROR_SIZE] = "";
    struct flotilla_client *client = cli_connect(p->command, target, options);
    if (client == NULL) {
        return CLI_USAGE;
    }
    struct flotilla_producer *producer = NULL;
    int status = flotilla_producer_create(&producer, client, options, on_delivery, p, error, sizeof(error));
    if (status != 0) {
        status = cli_failed(p->command, target, status, error);
    } else {
        p->started_ns = p->progress_ns = cli_now_ns();
        status = report(p, target, producer, send_all(p, producer, in));
        flotilla_producer_destroy(producer);
    }
    flotilla_client_destroy(client);
    return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    struct cli_target target = CLI_TARGET_DEFAULT;
    struct produce p = {.command = self, .partition = FLOTILLA_PARTITION_ANY};
    const char *file = NULL, *acks = "all", *compression = "none";
    int64_t delivery_timeout_ms = 120000;
    char delivery_timeout[32];
    struct cli_list headers = {NULL, 0};
    struct cli_option options[] = {
        {"file", 'f', CLI_TEXT, &file, "PATH", "read lines from here instead of standard input", 0, 0},
        {"key-separator", 'K', CLI_TEXT, &p.separator, "TEXT", "what stands before this in a line is the key",
         0, 0},
        {"header", 'H', CLI_LIST, &headers, "NAME=VALUE", "a header for every record; repeatable", 0, 0},
        {"partition", 'p', CLI_NUMBER, &p.partition, "N", "default: by key, else spread", 0, INT32_MAX},
        {"acks", 'a', CLI_TEXT, &acks, "all|1|0", "what an acknowledgement stands for", 0, 0},
        {"rate", 'r', CLI_NUMBER, &p.rate, "N", "records per second, at most", 1, 100000000},
        {"compression", 'z', CLI_TEXT, &compression, "CODEC", "none, gzip, snappy, lz4 or zstd", 0, 0},
        {"delivery-timeout", 0, CLI_DURATION, &delivery_timeout_ms, "TIME", "give a record up after so long",
         100, 3600000},
        CLI_TARGET_OPTIONS(target),
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 11, argc, argv, &rest, 1, &count, 1);
    if (status >= 0) {
        return status;
    }
    p.topic = rest[0];
    FILE *in = file != NULL ? fopen(file, "re") : stdin;
    if (in == NULL) {
        cli_error(self, "cannot read %s: %s", file, strerror(errno));
        return CLI_FAILED;
    }
    interrupt_catch();
    snprintf(delivery_timeout, sizeof(delivery_timeout), "%" PRId64, delivery_timeout_ms);
    struct flotilla_options *library = flotilla_options_create();
    status = CLI_USAGE;
    if (take_headers(&p, &headers) && cli_set(self, library, "acks", acks) &&
        cli_set(self, library, "compression", compression) &&
        cli_set(self, library, "delivery.timeout.ms", delivery_timeout)) {
        status = produce_from(&p, &target, library, in);
    }
    flotilla_options_destroy(library);
    cli_list_free(&headers);
    if (in != stdin) {
        fclose(in);
    }
    return status;
}

const struct cli_command cmd_produce = {
    "produce", "TOPIC", "Send lines as records; returns once all are acknowledged",
    "  seq 1000 | flotilla produce order.created\n"
    "  echo 'customer-7:hello' | flotilla produce order.created --key-separator :\n"
    "  flotilla produce logs --file app.log --compression zstd --rate 5000",
    run};
