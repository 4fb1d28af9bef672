/* The public producer: copies records into the accumulator, and starts and ends its core side. */
#include "client/api/client.h"
#include "client/core/producer/accumulator.h"
#include <time.h>

enum { HEADERS_ON_STACK = 16 };

struct flotilla_producer {
    struct flotilla_client *client;
    struct client_settings settings;
    struct accumulator *accumulator;
    struct core_producer *core; /* on the background thread */
    struct driver_source source;
};

static void wake(void *data)
{
    struct flotilla_producer *producer = data;

    driver_wake(producer->client->driver, &producer->source);
}

static uint64_t now_ns(void *data)
{
    (void)data;
    return client_now_ns();
}

static void on_woken(void *data)
{
    struct flotilla_producer *producer = data;

    core_producer_wake(producer->core);
}

static void start(struct core *core, void *data)
{
    struct flotilla_producer *producer = data;

    producer->core = core_producer_create(core, &producer->settings, producer->accumulator);
}

static void stop(struct core *core, void *data)
{
    struct flotilla_producer *producer = data;

    (void)core;
    driver_forget(producer->client->driver, &producer->source);
    core_producer_destroy(producer->core);
}

int flotilla_producer_create(struct flotilla_producer **out, struct flotilla_client *client,
                             const struct flotilla_options *options, flotilla_delivery_cb cb, void *data,
                             char *error, size_t error_size)
{
    struct flotilla_producer *producer = calloc(1, sizeof(*producer));
    struct accumulator_hooks hooks = {.data = producer, .wake = wake, .now_ns = now_ns};

    *out = NULL;
    int forked = client_check_process(client, error, error_size);
    if (forked != 0) {
        free(producer);
        return forked;
    }
    if (producer == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    producer->client = client;
    producer->settings = client->settings;
    if (options != NULL)
        client_settings_from(&producer->settings, options);
    producer->source.run = on_woken;
    producer->source.data = producer;
    producer->accumulator = accumulator_create(&producer->settings, &hooks, cb, data, client_now_ns());
    driver_call(client->driver, start, producer);
    *out = producer;
    return client_error(error, error_size, 0, "%s", "");
}

void flotilla_producer_destroy(struct flotilla_producer *producer)
{
    if (producer == NULL || client_check_process(producer->client, NULL, 0) != 0)
        return;
    driver_call(producer->client->driver, stop, producer);
    accumulator_poll(producer->accumulator, 0);
    accumulator_destroy(producer->accumulator);
    free(producer);
}

static int64_t wall_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int check_record(const char *topic, int64_t timestamp_ms, const struct flotilla_header *headers,
                        size_t count)
{
    int rc = client_check_topic(topic, NULL, 0);

    if (rc == 0 && timestamp_ms < FLOTILLA_TIMESTAMP_NOW)
        rc = ERR_INVALID_TIMESTAMP;
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (headers[i].key == NULL)
            rc = ERR_INVALID_ARGUMENT;
    return rc;
}

/* A record as the accumulator takes it; its headers are copied to `on_stack` or, when there are many, to
 * memory that the caller frees. */
static int record_fill(struct accumulator_record *record, struct record_header on_stack[HEADERS_ON_STACK],
                       const struct flotilla_header *headers)
{
    struct record_header *copies = on_stack;
    int rc = check_record(record->topic, record->timestamp_ms, headers, record->header_count);

    if (rc != 0)
        return rc;
    if (record->header_count > HEADERS_ON_STACK &&
        (copies = calloc(record->header_count, sizeof(*copies))) == NULL)
        return ERR_OUT_OF_MEMORY;
    for (size_t i = 0; i < record->header_count; i++)
        copies[i] = (struct record_header){headers[i].key, headers[i].key_size, headers[i].value,
                                           headers[i].value_size};
    record->headers = copies;
    if (record->timestamp_ms == FLOTILLA_TIMESTAMP_NOW)
        record->timestamp_ms = wall_clock_ms();
    return 0;
}

static void record_free(const struct accumulator_record *record, const struct record_header *on_stack)
{
    if (record->headers != on_stack)
        free((void *)(uintptr_t)record->headers);
}

int flotilla_produce(struct flotilla_producer *producer, const char *topic, int32_t partition,
                     int64_t timestamp_ms, const void *key, size_t key_size, const void *value,
                     size_t value_size, const struct flotilla_header *headers, size_t header_count,
                     void *opaque)
{
    struct record_header on_stack[HEADERS_ON_STACK];
    struct accumulator_record record = {
        .topic = topic,
        .partition = partition,
        .timestamp_ms = timestamp_ms,
        .key = key,
        .key_size = key_size,
        .value = value,
        .value_size = value_size,
        .header_count = header_count,
        .opaque = opaque,
    };
    int rc = client_check_process(producer->client, NULL, 0);

    if (rc == 0)
        rc = record_fill(&record, on_stack, headers);
    if (rc != 0)
        return rc;
    rc = accumulator_append(producer->accumulator, &record);
    record_free(&record, on_stack);
    return rc;
}

int flotilla_produce_sync(struct flotilla_producer *producer, const char *topic, int32_t partition,
                          int64_t timestamp_ms, const void *key, size_t key_size, const void *value,
                          size_t value_size, const struct flotilla_header *headers, size_t header_count,
                          int64_t *offset, char *error, size_t error_size)
{
    struct record_header on_stack[HEADERS_ON_STACK];
    struct accumulator_record record = {
        .topic = topic,
        .partition = partition,
        .timestamp_ms = timestamp_ms,
        .key = key,
        .key_size = key_size,
        .value = value,
        .value_size = value_size,
        .header_count = header_count,
    };
    int64_t written = -1;
    int forked = client_check_process(producer->client, error, error_size);

    if (forked != 0)
        return forked;
    int rc = driver_is_own_thread(producer->client->driver) ? ERR_INVALID_ARGUMENT
                                                            : record_fill(&record, on_stack, headers);

    if (offset != NULL)
        *offset = -1;
    if (rc != 0)
        return client_error(error, error_size, rc, "%s", error_text(rc));
    rc = accumulator_append_and_wait(producer->accumulator, &record, &written, error, error_size);
    record_free(&record, on_stack);
    if (offset != NULL)
        *offset = written;
    return rc;
}

int flotilla_producer_fd(struct flotilla_producer *producer)
{
    return accumulator_fd(producer->accumulator);
}

int flotilla_producer_poll(struct flotilla_producer *producer, int timeout_ms)
{
    int forked = client_check_process(producer->client, NULL, 0);

    if (forked != 0)
        return forked;
    return accumulator_poll(producer->accumulator, timeout_ms);
}

int flotilla_producer_flush(struct flotilla_producer *producer, int timeout_ms)
{
    int forked = client_check_process(producer->client, NULL, 0);

    if (forked != 0)
        return forked;
    return accumulator_flush(producer->accumulator, timeout_ms);
}

uint64_t flotilla_producer_pending(const struct flotilla_producer *producer)
{
    return accumulator_pending(producer->accumulator);
}

void flotilla_producer_last_error(struct flotilla_producer *producer, char *error, size_t error_size)
{
    accumulator_last_error(producer->accumulator, error, error_size);
}
