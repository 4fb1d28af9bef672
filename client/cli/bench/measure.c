#include "client/cli/bench/measure.h"

enum { LOOPBACK_SAMPLES = 5000, READ_FILL_SECONDS = 60, FILL_SECONDS = 600 };
static const uint64_t DISK_BYTES = 256ull << 20;
static const uint64_t LIMIT_BYTES = 512ull << 20;
enum { LIMIT_FRAME = 256 * 1024 }; /* the client's default batch.bytes */
enum { E2E_ATTEMPTS = 3 };
static const double STOLEN_MOST = 0.004; /* seconds of processor per second */
/* What the best of the others reach on such a machine, measured once beside an earlier version: see
 * docs/performance.md. */
static const double KAFKA_BYTES_PER_S = 48e6;
static const double OPEN_LOOP_BEST_MS = 37;

void measure_disk(const struct bench_cluster *b, struct bench_report *r)
{
    bench_add(r, b->disk.p50_ms, "ms", "disk: append 1 KiB + fdatasync, p50");
    bench_add(r, b->disk.p99_ms, "ms", "disk: append 1 KiB + fdatasync, p99");
}

void measure_loopback(struct bench_report *r)
{
    struct samples s = {NULL, 0, 0, false};
    if (bench_loopback(LOOPBACK_SAMPLES, &s)) {
        bench_add(r, samples_ms(&s, 0.5), "ms", "loopback: 1 KiB there and back, p50");
        bench_add(r, samples_ms(&s, 0.99), "ms", "loopback: 1 KiB there and back, p99");
    }
    samples_close(&s);
}

static bool load_failed(struct bench_cluster *b, const char *what, const struct bench_load_result *result)
{
    cli_error(b->command, "%s: %s", what, result->error[0] != 0 ? result->error : "failed");
    return false;
}

bool measure_one_in_flight(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
{
    struct bench_load one = *load;
    struct bench_load_result result;
    char topic[64];
    one.one_in_flight = true;
    one.partitions = 1;
    if (!bench_look_at_path(b)) {
        return false;
    }
    if (!bench_topic(b, "one", 1, topic, sizeof(topic)) || !bench_produce(b, topic, &one, &result)) {
        return load_failed(b, "one in flight", &result);
    }
    double p50 = samples_ms(&result.acknowledged, 0.5), p99 = samples_ms(&result.acknowledged, 0.99);
    uint64_t records = result.records;
    bench_load_close(&result);
    if (!bench_look_at_disk(b) || !bench_look_at_path(b)) {
        return false;
    }
    bench_add(r, b->path.p50_ms, "ms", "limit: one in flight to three replicas, no broker, p50");
    bench_add(r, b->path.p99_ms, "ms", "limit: one in flight to three replicas, no broker, p99");
    struct bench_figure *f =
        bench_add(r, p50, "ms", "one in flight, %zu B, acks=%s, p50", one.record_size, one.acks);
    bench_against(f, p50 / b->disk.p50_ms, "the disk's p50");
    bench_target_at_most(f, 2.5);
    f = bench_add(r, p99, "ms", "one in flight, %zu B, acks=%s, p99", one.record_size, one.acks);
    bench_against(f, p99 / b->disk.p99_ms, "the disk's p99");
    bench_target_at_most(f, 4);
    bench_against(bench_add(r, p50, "ms", "the same, p50"), p50 / b->path.p50_ms,
                  "the limit without a broker");
    bench_against(bench_add(r, p99, "ms", "the same, p99"), p99 / b->path.p99_ms,
                  "the limit without a broker");
    bench_report_work(r, result.work, records, "one in flight");
    return true;
}

/* Processor time does not depend on what else the machine does, so it compares where throughput does not. */
static void report_cpu(struct bench_report *r, const char *what, const struct bench_load_result *result,
                       double target)
{
    double gigabytes = result->bytes_per_s * result->seconds / 1e9;
    if (result->server_cpu_seconds > 0 && gigabytes > 0) {
        struct bench_figure *f = bench_add(r, result->server_cpu_seconds / gigabytes, "s/GB",
                                           "%s: processor time of all nodes", what);
        if (target > 0) {
            bench_target_at_most(f, target);
        }
    }
    if (gigabytes > 0) {
        bench_add(r, result->client_cpu_seconds / gigabytes, "s/GB", "%s: processor time of the client",
                  what);
    }
}

static void report_sustained(struct bench_report *r, const struct bench_load *load,
                             const struct bench_load_result *result, double limit)
{
    struct bench_figure *f =
        bench_add(r, result->bytes_per_s / 1e6, "MB/s", "sustained, %zu B, %u partitions, acks=%s",
                  load->record_size, load->partitions, load->acks);
    if (load->record_size >= 1024 && limit > 0) {
        bench_against(f, result->bytes_per_s / limit, "the machine's limit, 256 KiB");
        bench_target_at_least(f, 0.6);
        f = bench_add(r, result->bytes_per_s / 1e6, "MB/s", "the same, against Kafka without a sync");
        bench_against(f, result->bytes_per_s / KAFKA_BYTES_PER_S, "48 MB/s, as recorded");
        bench_target_at_least(f, 6);
    }
    f = bench_add(r, result->records_per_s, "records/s", "sustained, %zu B, %u partitions, acks=%s",
                  load->record_size, load->partitions, load->acks);
    if (load->record_size <= 100) {
        bench_target_at_least(f, 1e6);
    }
    report_cpu(r, "produce", result, load->record_size >= 1024 ? 6 : 0);
    char what[32];
    snprintf(what, sizeof(what), "sustained, %zu B", load->record_size);
    bench_report_work(r, result->work, result->records, what);
}

static void report_loaded_memory(const struct bench_cluster *b, struct bench_report *r)
{
    if (b->scratch) {
        bench_target_at_most(
            bench_add(r, bench_resident_mib(b), "MiB", "resident memory per node, after this load"), 256);
    }
}

static double look_at_limit(const struct bench_cluster *b)
{
    return bench_limit(bench_disk_directory(b), LIMIT_FRAME, LIMIT_BYTES);
}

/* The limit is measured before and after the load, and the higher one counts. */
bool measure_sustained(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
{
    struct bench_load_result result;
    char topic[64];
    double before = look_at_limit(b);
    if (!bench_topic(b, "produce", load->partitions, topic, sizeof(topic)) ||
        !bench_produce(b, topic, load, &result)) {
        return load_failed(b, "sustained", &result);
    }
    double after = look_at_limit(b), limit = before > after ? before : after;
    bench_add(r, bench_disk_throughput(bench_disk_directory(b), 12, DISK_BYTES) / 1e6, "MB/s",
              "disk: 12 files in parallel, fdatasync every 256 KiB");
    bench_add(r, limit / 1e6, "MB/s", "limit: 256 KiB frames to three replicas, no broker");
    report_sustained(r, load, &result, limit);
    report_loaded_memory(b, r);
    bench_load_close(&result);
    return true;
}

bool measure_consume(struct bench_cluster *b, struct bench_report *r, const char *topic)
{
    struct bench_load_result result;
    if (!bench_consume(b, topic, &result)) {
        return load_failed(b, "consume", &result);
    }
    struct bench_figure *f =
        bench_add(r, result.bytes_per_s / 1e6, "MB/s", "reading a topic from the beginning");
    bench_target_at_least(f, 1000);
    bench_add(r, result.records_per_s, "records/s", "reading a topic from the beginning");
    report_cpu(r, "reading", &result, 0);
    return true;
}

bool measure_read_back(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
{
    struct bench_load fill = *load;
    struct bench_load_result result;
    char topic[64];
    fill.bytes = MEASURE_READ_BYTES;
    fill.seconds = READ_FILL_SECONDS;
    if (!bench_topic(b, "read", fill.partitions, topic, sizeof(topic)) ||
        !bench_produce(b, topic, &fill, &result)) {
        return load_failed(b, "filling a topic", &result);
    }
    bench_load_close(&result);
    return measure_consume(b, r, topic);
}

/* A host that gives its virtual machines a share of its processors takes some away after a load that had
 * more, for 30 ms at a time: that would be the p99 of whatever is measured next. So such an attempt is
 * repeated. */
static bool run_e2e(struct bench_cluster *b, const struct bench_load *load, struct bench_load_result *result,
                    double *stolen)
{
    char topic[64];
    for (int attempt = 1;; attempt++) {
        double before = bench_stolen_seconds();
        if (!bench_topic(b, "e2e", load->partitions, topic, sizeof(topic)) ||
            !bench_e2e(b, topic, load, result)) {
            return load_failed(b, "e2e", result);
        }
        *stolen = bench_stolen_seconds() - before;
        if (*stolen <= STOLEN_MOST * load->seconds || attempt == E2E_ATTEMPTS) {
            return true;
        }
        fprintf(stderr, "the host took %.0f ms of the processors away: once more\n", *stolen * 1e3);
        bench_load_close(result);
    }
}

bool measure_e2e(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
{
    struct bench_load_result result;
    double stolen = 0;
    if (!run_e2e(b, load, &result, &stolen)) {
        return false;
    }
    static const struct {
        double quantile;
        const char *name;
    } quantiles[] = {{0.5, "p50"}, {0.99, "p99"}, {0.999, "p99.9"}};
    for (size_t i = 0; i < 3; i++) {
        struct bench_figure *f =
            bench_add(r, samples_ms(&result.acknowledged, quantiles[i].quantile), "ms",
                      "open loop, %llu/s of %zu B, to the ack, %s", (unsigned long long)load->rate,
                      load->record_size, quantiles[i].name);
        if (quantiles[i].quantile == 0.99) {
            bench_target_at_most(f, 5);
            f = bench_add(r, f->figure, "ms", "the same, against the best of the others (NATS)");
            bench_against(f, f->figure / OPEN_LOOP_BEST_MS, "37 ms, as recorded");
            bench_target_at_most(f, 0.125);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        bench_add(r, samples_ms(&result.received, quantiles[i].quantile), "ms",
                  "open loop, %llu/s of %zu B, to the consumer, %s", (unsigned long long)load->rate,
                  load->record_size, quantiles[i].name);
    }
    bench_add(r, stolen * 1e3, "ms", "open loop, %llu/s: taken from the processors by the host meanwhile",
              (unsigned long long)load->rate);
    bench_load_close(&result);
    return true;
}

bool measure_failover(struct bench_cluster *b, struct bench_report *r, enum bench_fault fault, unsigned times)
{
    static const char *const names[] = {[BENCH_KILL] = "kill -9 of the leader to the next ack",
                                        [BENCH_PAUSE] = "SIGSTOP of the leader to the next ack",
                                        [BENCH_PLANNED] =
                                            "planned stop of the leader, longest gap between acks",
                                        [BENCH_DRAIN] = "drain of the leader, longest gap between acks"};
    struct samples s = {NULL, 0, 0, false};
    uint64_t failed = 0;
    char error[512] = "";
    fprintf(stderr, "failover: %u times %s\n", times, names[fault]);
    if (!bench_failover(b, fault, times, &s, &failed, error, sizeof(error))) {
        cli_error(b->command, "%s: %s", names[fault], error);
        samples_close(&s);
        return false;
    }
    struct bench_figure *f = bench_add(r, samples_ms(&s, 0.5), "ms", "%s, p50 of %u", names[fault], times);
    bench_target_at_most(f, fault == BENCH_KILL ? 50 : fault == BENCH_PAUSE ? 2000 : 50);
    f = bench_add(r, samples_ms(&s, 0.99), "ms", "%s, p99 of %u", names[fault], times);
    bench_target_at_most(f, fault == BENCH_KILL ? 300 : fault == BENCH_PAUSE ? 2000 : 50);
    f = bench_add(r, (double)failed, "records", "%s, errors at the producer", names[fault]);
    bench_target_at_most(f, 0);
    samples_close(&s);
    return true;
}

bool measure_fill(struct bench_cluster *b, const struct bench_load *load, uint64_t bytes)
{
    struct bench_load most = *load;
    struct bench_load_result result;
    char topic[64];
    if (bytes == 0) {
        return true;
    }
    fprintf(stderr, "producing %.1f GB first\n", (double)bytes / 1e9);
    most.bytes = bytes;
    most.seconds = FILL_SECONDS;
    if (!bench_topic(b, "fill", most.partitions, topic, sizeof(topic)) ||
        !bench_produce(b, topic, &most, &result)) {
        return load_failed(b, "filling", &result);
    }
    bench_load_close(&result);
    return true;
}
