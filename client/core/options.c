#include "client/core/options.h"
#include "proto/nearest.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_kind { OPTION_NUMBER, OPTION_SIZE, OPTION_CHOICE, OPTION_TEXT };

struct option {
    const char *name;
    enum option_kind kind;
    size_t at; /* offset in struct client_settings */
    const char *standard;
    int64_t min; /* of a number; of a text its length */
    int64_t max;
    const char *choices; /* separated by spaces; the value is the position */
};

#define AT(field) offsetof(struct client_settings, field)
#define FLAG(name, field, standard)                                                                          \
    {                                                                                                        \
        name, OPTION_CHOICE, AT(field), standard, 0, 0, "false true"                                         \
    }
#define KIB     1024
#define MIB     (1024 * 1024)
#define GIB     (1024LL * 1024 * 1024)
#define HOUR_MS 3600000

/* The same order, defaults and ranges as the table in flotilla.h. The choices of `compression` stand in the
 * order of enum batch_codec. */
static const struct option option_table[] = {
    {"client.id", OPTION_TEXT, AT(client_id), "flotilla", 1, 249, NULL},
    {"cluster.id", OPTION_TEXT, AT(cluster_id), "", 0, 64, NULL},
    {"request.timeout.ms", OPTION_NUMBER, AT(request_timeout_ms), "1000", 50, 60000, NULL},
    {"connect.timeout.ms", OPTION_NUMBER, AT(connect_timeout_ms), "1000", 10, 60000, NULL},
    {"metadata.refresh.ms", OPTION_NUMBER, AT(metadata_refresh_ms), "30000", 100, HOUR_MS, NULL},
    {"acks", OPTION_CHOICE, AT(acks), "all", 0, 0, "all 1 0"},
    FLAG("idempotence", idempotence, "true"),
    FLAG("retry.unknown", retry_unknown, "false"),
    {"linger.ms", OPTION_NUMBER, AT(linger_ms), "2", 0, 60000, NULL},
    {"batch.bytes", OPTION_SIZE, AT(batch_bytes), "256k", KIB, 64 * MIB, NULL},
    {"compression", OPTION_CHOICE, AT(compression), "none", 0, 0, "none gzip snappy lz4 zstd"},
    {"in.flight", OPTION_NUMBER, AT(in_flight), "5", 1, 5, NULL},
    {"delivery.timeout.ms", OPTION_NUMBER, AT(delivery_timeout_ms), "120000", 100, HOUR_MS, NULL},
    {"buffer.bytes", OPTION_SIZE, AT(buffer_bytes), "64m", 64 * KIB, 16 * GIB, NULL},
    {"block.ms", OPTION_NUMBER, AT(block_ms), "60000", 0, HOUR_MS, NULL},
    {"delivery.thread", OPTION_CHOICE, AT(delivery_thread), "poll", 0, 0, "poll io"},
    {"group", OPTION_TEXT, AT(group), "", 0, 249, NULL},
    {"offset.reset", OPTION_CHOICE, AT(reset), "earliest", 0, 0, "earliest latest error"},
    {"prefetch.bytes", OPTION_SIZE, AT(prefetch_bytes), "8m", 64 * KIB, GIB, NULL},
    {"prefetch.total.bytes", OPTION_SIZE, AT(prefetch_total_bytes), "64m", 64 * KIB, 16 * GIB, NULL},
    {"commit.interval.ms", OPTION_NUMBER, AT(commit_interval_ms), "1000", 0, HOUR_MS, NULL},
    {"processing", OPTION_CHOICE, AT(processing), "at-least-once", 0, 0, "at-least-once at-most-once"},
    FLAG("report.end", report_end, "false"),
    {"group.instance.id", OPTION_TEXT, AT(instance_id), "", 0, 64, NULL},
    {"client.rack", OPTION_TEXT, AT(rack), "", 0, 64, NULL},
    {"assignor", OPTION_CHOICE, AT(assignor), "sticky", 0, 0, "sticky range round-robin"},
    {"session.timeout.ms", OPTION_NUMBER, AT(session_timeout_ms), "10000", 500, HOUR_MS, NULL},
    {"grace.ms", OPTION_NUMBER, AT(grace_ms), "1000", 0, HOUR_MS, NULL},
    {"revocation.timeout.ms", OPTION_NUMBER, AT(revocation_timeout_ms), "60000", 100, HOUR_MS, NULL},
    {"max.poll.interval.ms", OPTION_NUMBER, AT(max_poll_interval_ms), "300000", 100, 24 * HOUR_MS, NULL},
};
enum { OPTION_COUNT = sizeof(option_table) / sizeof(option_table[0]) };

struct flotilla_options {
    struct client_settings settings;
    char text[OPTION_COUNT][OPTION_TEXT_SIZE];
};

/* A decimal with an optional suffix k, m or g. */
static bool parse_number(const char *text, bool is_size, int64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0)
        return false;
    int shift = 0;
    if (is_size && *end != '\0') {
        int suffix = tolower((unsigned char)*end++);
        shift = suffix == 'k' ? 10 : suffix == 'm' ? 20 : suffix == 'g' ? 30 : -1;
    }
    if (shift < 0 || *end != '\0' || number > INT64_MAX >> shift)
        return false;
    *value = (int64_t)number << shift;
    return true;
}

static bool parse_choice(const char *text, const char *choices, int64_t *value)
{
    size_t size = strlen(text);

    for (*value = 0; size > 0; (*value)++) {
        size_t length = strcspn(choices, " ");
        if (length == size && memcmp(choices, text, size) == 0)
            return true;
        if (choices[length] == '\0')
            return false;
        choices += length + 1;
    }
    return false;
}

static bool option_store(const struct option *o, struct client_settings *settings, const char *text)
{
    char *field = (char *)settings + o->at;
    int64_t value;
    int64_t length = (int64_t)strlen(text);

    if (o->kind == OPTION_TEXT) {
        if (length < o->min || length > o->max)
            return false;
        memcpy(field, text, (size_t)length + 1);
        return true;
    }
    if (o->kind == OPTION_CHOICE) {
        if (!parse_choice(text, o->choices, &value))
            return false;
    } else if (!parse_number(text, o->kind == OPTION_SIZE, &value) || value < o->min || value > o->max) {
        return false;
    }
    memcpy(field, &value, sizeof(value));
    return true;
}

static void describe_bad_value(const struct option *o, const char *value, char *error, size_t error_size)
{
    switch (o->kind) {
    case OPTION_CHOICE:
        snprintf(error, error_size, "option %s: '%.64s' is not one of: %s", o->name, value, o->choices);
        break;
    case OPTION_TEXT:
        snprintf(error, error_size, "option %s: must have %" PRId64 " to %" PRId64 " characters", o->name,
                 o->min, o->max);
        break;
    case OPTION_NUMBER:
    case OPTION_SIZE:
        snprintf(error, error_size, "option %s: '%.64s' is not a number from %" PRId64 " to %" PRId64 "%s",
                 o->name, value, o->min, o->max,
                 o->kind == OPTION_SIZE ? " (suffixes k, m, g are possible)" : "");
        break;
    }
}

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strcmp(option_table[i].name, name) == 0)
            return &option_table[i];
    return NULL;
}

static void describe_unknown(const char *name, char *error, size_t error_size)
{
    const char *names[OPTION_COUNT];

    for (size_t i = 0; i < OPTION_COUNT; i++)
        names[i] = option_table[i].name;
    const char *nearest = nearest_name(name, names, OPTION_COUNT);
    if (nearest != NULL)
        snprintf(error, error_size, "unknown option '%.64s': did you mean %s?", name, nearest);
    else
        snprintf(error, error_size, "unknown option '%.64s'", name);
}

struct flotilla_options *flotilla_options_create(void)
{
    struct flotilla_options *options = calloc(1, sizeof(*options));

    for (size_t i = 0; options != NULL && i < OPTION_COUNT; i++) {
        strcpy(options->text[i], option_table[i].standard);
        option_store(&option_table[i], &options->settings, option_table[i].standard);
    }
    return options;
}

void flotilla_options_destroy(struct flotilla_options *options)
{
    free(options);
}

int flotilla_options_set(struct flotilla_options *options, const char *name, const char *value, char *error,
                         size_t error_size)
{
    char unused[1];
    const struct option *o;

    if (error == NULL || error_size == 0) {
        error = unused;
        error_size = sizeof(unused);
    }
    if (options == NULL || name == NULL || value == NULL) {
        snprintf(error, error_size, "an option needs a name and a value");
        return FLOTILLA_ERR_INVALID_ARGUMENT;
    }
    o = option_find(name);
    if (o == NULL) {
        describe_unknown(name, error, error_size);
        return FLOTILLA_ERR_INVALID_ARGUMENT;
    }
    if (strlen(value) >= OPTION_TEXT_SIZE || !option_store(o, &options->settings, value)) {
        describe_bad_value(o, value, error, error_size);
        return FLOTILLA_ERR_INVALID_ARGUMENT;
    }
    strcpy(options->text[o - option_table], value);
    error[0] = '\0';
    return 0;
}

const char *flotilla_options_get(const struct flotilla_options *options, const char *name)
{
    const struct option *o = option_find(name);

    return o != NULL ? options->text[o - option_table] : NULL;
}

void flotilla_options_set_log(struct flotilla_options *options, flotilla_log_cb cb, void *data)
{
    options->settings.log_cb = cb;
    options->settings.log_data = data;
}

void flotilla_options_set_partitioner(struct flotilla_options *options, flotilla_partitioner_cb cb,
                                      void *data)
{
    options->settings.partitioner_cb = cb;
    options->settings.partitioner_data = data;
}

void flotilla_options_set_statistics(struct flotilla_options *options, int interval_ms,
                                     flotilla_statistics_cb cb, void *data)
{
    options->settings.statistics_cb = interval_ms > 0 ? cb : NULL;
    options->settings.statistics_data = data;
    options->settings.statistics_interval_ms = interval_ms;
}

void client_settings_from(struct client_settings *settings, const struct flotilla_options *options)
{
    if (options != NULL) {
        *settings = options->settings;
        return;
    }
    memset(settings, 0, sizeof(*settings));
    for (size_t i = 0; i < OPTION_COUNT; i++)
        option_store(&option_table[i], settings, option_table[i].standard);
}

bool client_settings_commit_by_themselves(const struct client_settings *settings)
{
    return settings->group[0] != '\0' && settings->commit_interval_ms > 0 &&
           settings->processing == AT_LEAST_ONCE;
}

const char *client_settings_assignor(const struct client_settings *settings)
{
    static const char *const names[] = {"sticky", "range", "round-robin"};

    return names[settings->assignor];
}
