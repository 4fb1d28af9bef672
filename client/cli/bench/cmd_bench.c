/* flotilla bench ... */
#include "client/cli/bench/bench.h"
#include "client/cli/bench/groups.h"
#include "client/cli/commands.h"

#include <stdlib.h>
#include <string.h>

enum { LOOPBACK_SAMPLES = 5000, READ_FILL_SECONDS = 60, FILL_SECONDS = 600, SALE_SECONDS = 10 };
static const uint64_t DISK_BYTES = 256ull << 20;
static const uint64_t LIMIT_BYTES = 512ull << 20;
enum { LIMIT_FRAME = 256 * 1024 }; /* the client's default batch.bytes */
static const uint64_t READ_BYTES = 1ull << 30;
static const uint64_t DISTURB_BYTES = 2ull << 30;
static const uint64_t START_BYTES = 2ull << 30;
enum { E2E_ATTEMPTS = 3 };
static const double STOLEN_MOST = 0.004; /* seconds of processor per second */
enum { DISTURB_RATE = 1000, SCALE_PARTITIONS = 1000 };
/* What the best of the others reach on such a machine, measured once beside an earlier version: see
 * docs/performance.md. */
static const double KAFKA_BYTES_PER_S = 48e6;
static const double OPEN_LOOP_BEST_MS = 37;

/* ---- one measurement each, into the report ---- */

static void report_disk(const struct bench_cluster *b, struct bench_report *r)
{
    bench_add(r, b->disk.p50_ms, "ms", "disk: append 1 KiB + fdatasync, p50");
    bench_add(r, b->disk.p99_ms, "ms", "disk: append 1 KiB + fdatasync, p99");
}

static void report_loopback(struct bench_report *r)
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

static bool measure_one_in_flight(struct bench_cluster *b, struct bench_report *r,
                                  const struct bench_load *load)
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
static bool measure_sustained(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
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

static bool measure_consume(struct bench_cluster *b, struct bench_report *r, const char *topic)
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

/* Writes a topic that is worth reading, and reads it. */
static bool measure_read_back(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
{
    struct bench_load fill = *load;
    struct bench_load_result result;
    char topic[64];
    fill.bytes = READ_BYTES;
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

static bool measure_e2e(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
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

static bool measure_failover(struct bench_cluster *b, struct bench_report *r, enum bench_fault fault,
                             unsigned times)
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

/* Makes the nodes' logs, caches and the disk as busy as a day's work would, before something is measured. */
static bool fill(struct bench_cluster *b, const struct bench_load *load, uint64_t bytes)
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

/* ---- commands ---- */

struct bench_options {
    struct cli_target target;
    int64_t partitions, record_size, seconds_ms, rate, kills, fill_bytes, data_bytes;
    const char *acks;
    const char *topic;
    const char *fault_name;
    enum bench_fault fault;
    bool one_in_flight;
};

#define BENCH_DEFAULTS                                                                                       \
    {                                                                                                        \
        .target = CLI_TARGET_DEFAULT, .partitions = 12, .record_size = 1024, .seconds_ms = 5000,             \
        .kills = 30, .acks = "all", .fault_name = "kill"                                                     \
    }

static bool fault_named(const char *name, enum bench_fault *fault)
{
    static const char *const names[] = {
        [BENCH_KILL] = "kill", [BENCH_PAUSE] = "pause", [BENCH_PLANNED] = "planned", [BENCH_DRAIN] = "drain"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *fault = (enum bench_fault)i;
            return true;
        }
    }
    return false;
}

static int parse(const struct cli_command *self, struct bench_options *o, int argc, char **argv)
{
    struct cli_option options[] = {
        {"partitions", 'p', CLI_NUMBER, &o->partitions, "N", "of the topic", 1, 10000},
        {"record-size", 's', CLI_SIZE, &o->record_size, "SIZE", "of each record's value", 8, 1 << 20},
        {"duration", 'd', CLI_DURATION, &o->seconds_ms, "TIME", "how long to load", 100, 3600000},
        {"rate", 'r', CLI_NUMBER, &o->rate, "N", "records per second, open loop (e2e: 10000)", 1, 10000000},
        {"acks", 'a', CLI_TEXT, &o->acks, "all|1|0", "what an acknowledgement stands for", 0, 0},
        {"one-in-flight", '1', CLI_FLAG, &o->one_in_flight, NULL, "produce: wait for each acknowledgement", 0,
         0},
        {"kills", 'k', CLI_NUMBER, &o->kills, "N", "failover: how many faults", 1, 10000},
        {"fault", 'f', CLI_TEXT, &o->fault_name, "KIND", "failover: kill, pause, planned or drain", 0, 0},
        {"fill", 'F', CLI_SIZE, &o->fill_bytes, "SIZE",
         "failover: produced before the first fault; disturb: while the node is away; start: what the node "
         "has",
         1, INT64_MAX},
        {"data", 'D', CLI_SIZE, &o->data_bytes, "SIZE", "all: what the node has that is started (2GiB)", 1,
         INT64_MAX},
        {"topic", 't', CLI_TEXT, &o->topic, "NAME", "consume: read this topic instead of a new one", 0, 0},
        CLI_TARGET_OPTIONS(o->target),
    };
    char **rest = NULL;
    int count = 0;
    int status =
        cli_parse(self, options, sizeof(options) / sizeof(options[0]), argc, argv, &rest, 0, &count, 0);
    if (status < 0 && !fault_named(o->fault_name, &o->fault)) {
        cli_error(self, "--fault takes kill, pause, planned or drain, not \"%s\"", o->fault_name);
        return CLI_USAGE;
    }
    return status;
}

static struct bench_load load_of(const struct bench_options *o)
{
    return (struct bench_load){.partitions = (uint32_t)o->partitions,
                               .record_size = (size_t)o->record_size,
                               .seconds = (double)o->seconds_ms / 1000,
                               .acks = o->acks,
                               .rate = (uint64_t)o->rate,
                               .one_in_flight = o->one_in_flight};
}

typedef bool (*measure_fn)(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r);

struct step {
    const char *name;
    measure_fn measure;
};

/* Each step on a cluster of its own, into one report. */
static int measure_each(const struct cli_command *self, const struct bench_options *o,
                        const struct step *steps, size_t count)
{
    struct bench_cluster b = {.disk = {0, 0}};
    struct bench_report report = {.count = 0};
    uint64_t began = cli_now_ns();
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        if (count > 1) {
            fprintf(stderr, "[%zu of %zu, after %.0f s] %s\n", i + 1, count,
                    (double)(cli_now_ns() - began) / 1e9, steps[i].name);
        }
        ok = bench_cluster_open(&b, self, &o->target) && steps[i].measure(&b, o, &report) && ok;
        bench_cluster_close(&b);
        if (i == 0 && b.disk.p50_ms > 0) { /* what the ratios stand on */
            report_disk(&b, &report);
            report_loopback(&report);
        }
    }
    bench_print(&report, o->target.json);
    return ok ? CLI_OK : CLI_FAILED;
}

static bool produce_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    return load.one_in_flight ? measure_one_in_flight(b, r, &load) : measure_sustained(b, r, &load);
}

static bool consume_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    return o->topic != NULL ? measure_consume(b, r, o->topic) : measure_read_back(b, r, &load);
}

static bool e2e_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    load.rate = load.rate != 0 ? load.rate : 10000;
    return measure_e2e(b, r, &load);
}

static bool failover_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    return fill(b, &load, (uint64_t)o->fill_bytes) && measure_failover(b, r, o->fault, (unsigned)o->kills);
}

static bool disturb_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    load.rate = load.rate != 0 ? load.rate : DISTURB_RATE;
    return bench_disturbances(b, r, &load, o->fill_bytes > 0 ? (uint64_t)o->fill_bytes : DISTURB_BYTES,
                              SCALE_PARTITIONS);
}

static bool sale_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    return bench_flash_sale(b, r, &load, SALE_SECONDS);
}

static bool groups_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    (void)o;
    return bench_groups(b, r, NULL, 1);
}

static bool start_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    int64_t bytes = o->fill_bytes > 0 ? o->fill_bytes : o->data_bytes;
    return bench_start(b, r, &load, bytes > 0 ? (uint64_t)bytes : START_BYTES);
}

static bool scale_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    return bench_scale(b, r, o->partitions > 12 ? (uint32_t)o->partitions : SCALE_PARTITIONS);
}

/* Everything that one cluster can serve, one after the other. */
static bool loads(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o), small = load, open = load;
    small.record_size = 100;
    open.rate = 10000;
    return measure_one_in_flight(b, r, &load) && measure_sustained(b, r, &load) &&
           measure_read_back(b, r, &load) && measure_sustained(b, r, &small) && measure_e2e(b, r, &open);
}

/* On a cluster that comes out of gigabytes of load. */
static bool faults(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    unsigned few = (unsigned)(o->kills >= 10 ? o->kills / 10 : 1);
    return fill(b, &load, READ_BYTES) && measure_failover(b, r, BENCH_DRAIN, few) &&
           measure_failover(b, r, BENCH_PLANNED, few) &&
           measure_failover(b, r, BENCH_KILL, (unsigned)o->kills) && measure_failover(b, r, BENCH_PAUSE, few);
}

static int bench_all(const struct cli_command *self, int argc, char **argv)
{
    struct bench_options o = BENCH_DEFAULTS;
    int status = parse(self, &o, argc, argv);
    bool scratch = o.target.bootstrap == NULL && getenv("FLOTILLA_BOOTSTRAP") == NULL;
    /* The two that create many files are far apart: ext4 without a journal looks for a minute at every inode
     * that has been deleted when it needs a new one. */
    const struct step steps[] = {{"latency, throughput, reading", loads},
                                 {"drain, stop, kill -9 and SIGSTOP of leaders", faults},
                                 {"flash sale", sale_only},
                                 {"a thousand partitions", scale_only},
                                 {"the client, and consumer groups", groups_only},
                                 {"start with much data", start_only},
                                 {"catch-up, old data and a large topic beside an open loop", disturb_only}};
    return status >= 0 ? status
                       : measure_each(self, &o, steps, scratch ? sizeof(steps) / sizeof(steps[0]) : 1);
}

/* What each command measures; all of it: bench_all. */
static const struct {
    const struct cli_command *command;
    measure_fn measure;
} measurements[] = {{&cmd_bench_produce, produce_only}, {&cmd_bench_consume, consume_only},
                    {&cmd_bench_e2e, e2e_only},         {&cmd_bench_failover, failover_only},
                    {&cmd_bench_disturb, disturb_only}, {&cmd_bench_sale, sale_only},
                    {&cmd_bench_start, start_only},     {&cmd_bench_scale, scale_only}};

static int bench_one(const struct cli_command *self, int argc, char **argv)
{
    struct bench_options o = BENCH_DEFAULTS;
    struct step step = {"", NULL};
    int status = parse(self, &o, argc, argv);
    for (size_t i = 0; i < sizeof(measurements) / sizeof(measurements[0]); i++) {
        if (measurements[i].command == self) {
            step.measure = measurements[i].measure;
        }
    }
    return status >= 0 ? status : measure_each(self, &o, &step, 1);
}

const struct cli_command cmd_bench_all = {
    "bench all", "", "Every measurement, as ratios against this machine's own disk",
    "  flotilla bench all\n  flotilla bench all --json --kills 10", bench_all};
const struct cli_command cmd_bench_produce = {
    "bench produce", "", "Sustained throughput, or latency with one record in flight",
    "  flotilla bench produce --record-size 100\n  flotilla bench produce --one-in-flight", bench_one};
const struct cli_command cmd_bench_consume = {"bench consume", "",
                                              "Fill a topic and read it from the beginning",
                                              "  flotilla bench consume", bench_one};
const struct cli_command cmd_bench_e2e = {
    "bench e2e", "", "Latency at a given rate, from the intended send time to ack and consumer",
    "  flotilla bench e2e --rate 10000", bench_one};
const struct cli_command cmd_bench_disturb = {
    "bench disturb", "",
    "Latency of producing beside a catch-up, a mass read and the creation of a large topic",
    "  flotilla bench disturb\n  flotilla bench disturb --fill 8GB --rate 10000", bench_one};
const struct cli_command cmd_bench_sale = {"bench sale", "",
                                           "100,000 records/s for 10 s, and a worker that takes 10,000/s",
                                           "  flotilla bench sale", bench_one};
const struct cli_command cmd_bench_start = {
    "bench start", "", "Start of a node with much data, after kill -9 and after a clean stop",
    "  flotilla bench start --fill 10GiB", bench_one};
const struct cli_command cmd_bench_scale = {
    "bench scale", "", "Start-up, memory, and a topic with a thousand partitions",
    "  flotilla bench scale\n  flotilla bench scale --partitions 3000 --json", bench_one};
const struct cli_command cmd_bench_failover = {
    "bench failover", "", "Kill, freeze or stop the leader and time the next acknowledgement",
    "  flotilla bench failover --kills 30\n  flotilla bench failover --fault drain --kills 5", bench_one};
