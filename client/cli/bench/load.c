/* Loads: sustained, one in flight, open loop with a consumer beside it, and reading back. */
#include "client/cli/bench/bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FLUSH_TIMEOUT_MS = 60000, CONSUME_IDLE_MS = 5000 };

struct load_run {
    const struct bench_load *load;
    struct bench_load_result *result;
    _Atomic uint64_t delivered;
    uint64_t refused; /* with never_wait */
    uint64_t first_ns;
    uint64_t last_ns;
};

static uint64_t intended_ns(const void *opaque)
{
    return (uint64_t)(uintptr_t)opaque;
}

/* On the library's thread; `result` is read after the flush. */
static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct load_run *run = data;
    uint64_t now = cli_now_ns();
    if (d->status != 0) {
        if (run->result->failed++ == 0) {
            snprintf(run->result->error, sizeof(run->result->error), "%s", d->message);
        }
    } else if (run->load->rate != 0 || run->load->one_in_flight) {
        samples_add(&run->result->acknowledged, now - intended_ns(d->opaque));
    }
    run->last_ns = now;
    run->delivered++;
}

static struct flotilla_options *load_options(const struct bench_load *load)
{
    struct flotilla_options *options = flotilla_options_create();
    flotilla_options_set(options, "delivery.thread", "io", NULL, 0);
    flotilla_options_set(options, "acks", load->acks, NULL, 0);
    if (load->one_in_flight) {
        flotilla_options_set(options, "linger.ms", "0", NULL, 0);
    }
    if (load->never_wait) {
        flotilla_options_set(options, "block.ms", "0", NULL, 0);
    }
    return options;
}

static int send_record(struct flotilla_producer *producer, const char *topic, const struct bench_load *load,
                       char *value, uint64_t when_ns)
{
    memcpy(value, &when_ns, sizeof(when_ns) < load->record_size ? sizeof(when_ns) : load->record_size);
    return flotilla_produce(producer, topic, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, NULL, 0, value,
                            load->record_size, NULL, 0, (void *)(uintptr_t)when_ns);
}

static int send_one_in_flight(struct load_run *run, struct flotilla_producer *producer, const char *topic,
                              char *value)
{
    uint64_t end = cli_now_ns() + (uint64_t)(run->load->seconds * 1e9);
    int status = 0;
    while (status == 0 && cli_now_ns() < end) {
        status = send_record(producer, topic, run->load, value, cli_now_ns());
        if (status == 0) {
            status = flotilla_producer_flush(producer, FLUSH_TIMEOUT_MS);
        }
    }
    return status;
}

static void wait_until(uint64_t due_ns)
{
    struct timespec due = {(time_t)(due_ns / 1000000000u), (long)(due_ns % 1000000000u)};
    while (cli_now_ns() < due_ns) {
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
}

/* With block.ms=0 a producer that would have to wait is refused instead. Only the first record may wait, for
 * the topic to be looked up. */
static int send_or_count(struct load_run *run, struct flotilla_producer *producer, const char *topic,
                         char *value, uint64_t when_ns, bool is_first)
{
    int status = send_record(producer, topic, run->load, value, when_ns);
    while (is_first && status == FLOTILLA_ERR_OVERLOADED && run->load->never_wait) {
        cli_sleep_ms(1);
        status = send_record(producer, topic, run->load, value, when_ns);
    }
    if (status == FLOTILLA_ERR_OVERLOADED && run->load->never_wait) {
        run->refused++;
        return 0;
    }
    return status;
}

static int send_open_loop(struct load_run *run, struct flotilla_producer *producer, const char *topic,
                          char *value)
{
    uint64_t begin = cli_now_ns();
    uint64_t records = (uint64_t)(run->load->seconds * (double)run->load->rate);
    int status = 0;
    const _Atomic bool *until = run->load->until;
    for (uint64_t i = 0; status == 0 && i < records && (until == NULL || !*until); i++) {
        uint64_t due = begin + (uint64_t)((double)i * 1e9 / (double)run->load->rate);
        wait_until(due);
        status = send_or_count(run, producer, topic, value, due, i == 0);
    }
    return status;
}

static int send_sustained(struct load_run *run, struct flotilla_producer *producer, const char *topic,
                          char *value)
{
    uint64_t end = cli_now_ns() + (uint64_t)(run->load->seconds * 1e9);
    uint64_t most = run->load->bytes > 0 ? run->load->bytes / run->load->record_size + 1 : UINT64_MAX;
    int status = 0;
    for (uint64_t i = 0; status == 0 && i < most && (i % 64 != 0 || cli_now_ns() < end); i++) {
        status = send_record(producer, topic, run->load, value, 0);
    }
    return status;
}

static char *record_value(size_t size)
{
    char *value = malloc(size > 8 ? size : 8);
    if (value == NULL) {
        abort();
    }
    for (size_t i = 0; i < size; i++) {
        value[i] = (char)('a' + i * 7 % 26);
    }
    return value;
}

static bool finish_load(struct load_run *run, struct flotilla_producer *producer, int status)
{
    struct bench_load_result *r = run->result;
    int flushed = flotilla_producer_flush(producer, FLUSH_TIMEOUT_MS);
    if (status != 0 && r->error[0] == 0) {
        flotilla_producer_last_error(producer, r->error, sizeof(r->error));
    }
    r->records = run->delivered - r->failed;
    r->failed += run->refused;
    r->seconds = (double)(run->last_ns - run->first_ns) / 1e9;
    r->records_per_s = r->seconds > 0 ? (double)r->records / r->seconds : 0;
    r->bytes_per_s = r->records_per_s * (double)run->load->record_size;
    return status == 0 && flushed == 0 && r->failed == 0;
}

bool bench_produce(struct bench_cluster *b, const char *topic, const struct bench_load *load,
                   struct bench_load_result *result)
{
    struct load_run run = {.load = load, .result = result};
    struct flotilla_producer *producer = NULL;
    struct flotilla_options *options = load_options(load);
    memset(result, 0, sizeof(*result));
    int status = flotilla_producer_create(&producer, b->client, options, on_delivery, &run, result->error,
                                          sizeof(result->error));
    flotilla_options_destroy(options);
    if (status != 0) {
        return false;
    }
    char *value = record_value(load->record_size);
    double server_cpu = bench_server_cpu_seconds(b), client_cpu = bench_client_cpu_seconds();
    struct bench_work work;
    bench_work_begin(&work, b);
    run.first_ns = cli_now_ns();
    status = load->one_in_flight ? send_one_in_flight(&run, producer, topic, value)
             : load->rate != 0   ? send_open_loop(&run, producer, topic, value)
                                 : send_sustained(&run, producer, topic, value);
    bool ok = finish_load(&run, producer, status);
    bench_work_end(&work);
    memcpy(result->work, work.count, sizeof(result->work));
    result->server_cpu_seconds = bench_server_cpu_seconds(b) - server_cpu;
    result->client_cpu_seconds = bench_client_cpu_seconds() - client_cpu;
    flotilla_producer_destroy(producer);
    free(value);
    return ok;
}

void bench_load_close(struct bench_load_result *result)
{
    samples_close(&result->acknowledged);
    samples_close(&result->received);
}

/* ---- reading ---- */

struct reader {
    struct flotilla_consumer *consumer;
    struct samples *received;
    _Atomic bool stop;
    pthread_t thread;
};

static void *read_until_stopped(void *argument)
{
    struct reader *r = argument;
    while (!r->stop) {
        struct flotilla_batch *batch = flotilla_consumer_poll(r->consumer, 50);
        const struct flotilla_record *record;
        if (batch == NULL) {
            continue;
        }
        while (flotilla_batch_kind(batch) == FLOTILLA_BATCH_RECORDS &&
               (record = flotilla_batch_next(batch)) != NULL) {
            uint64_t sent = 0;
            memcpy(&sent, record->value,
                   sizeof(sent) < record->value_size ? sizeof(sent) : record->value_size);
            samples_add(r->received, cli_now_ns() - sent);
        }
        flotilla_batch_release(batch);
    }
    return NULL;
}

struct flotilla_consumer *bench_consumer(struct bench_cluster *b, const char *topic, char *error,
                                         size_t error_size)
{
    struct flotilla_consumer *consumer = NULL;
    struct flotilla_options *options = flotilla_options_create();
    flotilla_options_set(options, "report.end", "true", NULL, 0);
    if (flotilla_consumer_create(&consumer, b->client, options, error, error_size) == 0 &&
        flotilla_consumer_subscribe(consumer, topic, FLOTILLA_PARTITION_ALL, FLOTILLA_START_BEGINNING, 0,
                                    error, error_size) != 0) {
        flotilla_consumer_destroy(consumer);
        consumer = NULL;
    }
    flotilla_options_destroy(options);
    return consumer;
}

bool bench_e2e(struct bench_cluster *b, const char *topic, const struct bench_load *load,
               struct bench_load_result *result)
{
    struct samples received = {NULL, 0, 0, false};
    struct reader r = {.received = &received};
    memset(result, 0, sizeof(*result));
    r.consumer = bench_consumer(b, topic, result->error, sizeof(result->error));
    if (r.consumer == NULL || pthread_create(&r.thread, NULL, read_until_stopped, &r) != 0) {
        return false;
    }
    bool ok = bench_produce(b, topic, load, result);
    uint64_t deadline = cli_now_ns() + CONSUME_IDLE_MS * 1000000ull;
    int64_t lag = 1;
    while (ok && lag > 0 && cli_now_ns() < deadline) {
        cli_sleep_ms(20);
        lag = 0;
        for (uint32_t i = 0; i < load->partitions; i++) {
            lag += flotilla_consumer_lag(r.consumer, topic, (int32_t)i);
        }
    }
    r.stop = true;
    pthread_join(r.thread, NULL);
    flotilla_consumer_destroy(r.consumer);
    result->received = received;
    return ok;
}

static size_t partition_count(struct bench_cluster *b, const char *topic)
{
    const struct flotilla_topic_info *info = NULL;
    size_t count = 0;
    if (flotilla_topic_describe(b->client, topic, (int)b->target.timeout_ms, &info, NULL, 0) == 0) {
        count = info->partition_count;
        flotilla_result_free(info);
    }
    return count;
}

static uint64_t count_bytes(struct flotilla_batch *batch, uint64_t *records)
{
    const struct flotilla_record *record;
    uint64_t bytes = 0;
    while ((record = flotilla_batch_next(batch)) != NULL) {
        bytes += record->key_size + record->value_size;
        (*records)++;
    }
    return bytes;
}

bool bench_consume(struct bench_cluster *b, const char *topic, struct bench_load_result *result)
{
    memset(result, 0, sizeof(*result));
    size_t partitions = partition_count(b, topic), ended = 0;
    double server_cpu = bench_server_cpu_seconds(b), client_cpu = bench_client_cpu_seconds();
    uint64_t begin = cli_now_ns(), bytes = 0;
    struct flotilla_consumer *c = bench_consumer(b, topic, result->error, sizeof(result->error));
    bool ok = c != NULL && partitions > 0;
    bool *at_end = calloc(partitions + 1, sizeof(*at_end));
    while (ok && ended < partitions) {
        struct flotilla_batch *batch = flotilla_consumer_poll(c, CONSUME_IDLE_MS);
        if (batch == NULL) {
            snprintf(result->error, sizeof(result->error), "nothing came for %d ms", CONSUME_IDLE_MS);
            ok = false;
            break;
        }
        int32_t partition = flotilla_batch_partition(batch);
        if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_RECORDS) {
            bytes += count_bytes(batch, &result->records);
        } else if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
            snprintf(result->error, sizeof(result->error), "%s", flotilla_batch_message(batch));
            ok = false;
        } else if (partition >= 0 && (size_t)partition < partitions && !at_end[partition]) {
            at_end[partition] = true;
            ended++;
        }
        flotilla_batch_release(batch);
    }
    free(at_end);
    flotilla_consumer_destroy(c);
    result->seconds = (double)(cli_now_ns() - begin) / 1e9;
    result->server_cpu_seconds = bench_server_cpu_seconds(b) - server_cpu;
    result->client_cpu_seconds = bench_client_cpu_seconds() - client_cpu;
    result->records_per_s = (double)result->records / result->seconds;
    result->bytes_per_s = (double)bytes / result->seconds;
    return ok;
}
