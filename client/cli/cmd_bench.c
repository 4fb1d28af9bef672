/* flotilla bench ... */
#include "client/cli/bench.h"
#include "client/cli/commands.h"

#include <stdlib.h>
#include <string.h>

enum { NODES = 3, DISK_SAMPLES = 1000, LOOPBACK_SAMPLES = 5000, READ_FILL_SECONDS = 60, FILL_SECONDS = 600 };
static const uint64_t DISK_BYTES = 256ull << 20;
static const uint64_t LIMIT_BYTES = 512ull << 20;
enum { LIMIT_FRAME = 256 * 1024 }; /* the client's default batch.bytes */
static const uint64_t READ_BYTES = 1ull << 30;
static const uint64_t CATCHUP_BYTES = 2ull << 30;
enum { CATCHUP_RATE = 1000, SCALE_PARTITIONS = 1000 };

/* ---- the disk ---- */

static const char *disk_directory(const struct bench_cluster *b)
{
    return b->scratch ? local_scratch_parent() : ".";
}

/* The disk is measured before the cluster starts and again after the load, and the better figures count:
 * right after a cluster started or a load ended, the file system is still busy with it. */
static bool look_at_disk(struct bench_cluster *b)
{
    struct samples s = {NULL, 0, 0, false};
    struct bench_disk *d = &b->disk;
    bool ok = bench_disk_latency(disk_directory(b), 1024, DISK_SAMPLES, &s);
    double p50_ms = samples_ms(&s, 0.5), p99_ms = samples_ms(&s, 0.99);
    samples_close(&s);
    if (!ok) {
        cli_error(b->command, "cannot measure the disk in %s", disk_directory(b));
        return false;
    }
    bool first = d->p50_ms <= 0;
    d->p50_ms = first || p50_ms < d->p50_ms ? p50_ms : d->p50_ms;
    d->p99_ms = first || p99_ms < d->p99_ms ? p99_ms : d->p99_ms;
    return true;
}

/* ---- the cluster under test ---- */

bool bench_cluster_open(struct bench_cluster *b, const struct cli_command *command,
                        const struct cli_target *target)
{
    memset(b, 0, sizeof(*b));
    b->command = command;
    b->target = *target;
    b->scratch = target->bootstrap == NULL && getenv("FLOTILLA_BOOTSTRAP") == NULL;
    if (!look_at_disk(b)) {
        return false;
    }
    if (b->scratch) {
        fprintf(stderr, "starting a scratch cluster of %d nodes\n", NODES);
        if (!guard_start(&b->guard, &b->local, false, NULL)) {
            cli_error(command, "cannot start threads");
            return false;
        }
        uint64_t began = cli_now_ns();
        if (!local_scratch(&b->local, NODES)) {
            cli_error(command, "%s", b->local.error);
            return false;
        }
        b->start_ms = (double)(cli_now_ns() - began) / 1e6;
        b->idle_mib = bench_resident_mib(b);
        local_bootstrap(&b->local, b->bootstrap, sizeof(b->bootstrap));
        b->target.bootstrap = b->bootstrap;
    }
    b->client = cli_connect(command, &b->target, NULL);
    return b->client != NULL;
}

void bench_cluster_close(struct bench_cluster *b)
{
    flotilla_client_destroy(b->client);
    if (b->scratch) {
        guard_stop(&b->guard);
    }
    if (b->local.directory[0] != 0) {
        local_destroy(&b->local);
    }
}

bool bench_topic(struct bench_cluster *b, const char *purpose, uint32_t partitions, char *name, size_t size)
{
    char error[512] = "";
    snprintf(name, size, "bench-%s-%llx", purpose, (unsigned long long)cli_now_ns());
    if (flotilla_topic_create(b->client, name, partitions, 0, NULL, 0, (int)b->target.timeout_ms, error,
                              sizeof(error)) != 0) {
        cli_error(b->command, "cannot create %s: %s", name, error);
        return false;
    }
    return true;
}

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
    if (!bench_topic(b, "one", 1, topic, sizeof(topic)) || !bench_produce(b, topic, &one, &result)) {
        return load_failed(b, "one in flight", &result);
    }
    double p50 = samples_ms(&result.acknowledged, 0.5), p99 = samples_ms(&result.acknowledged, 0.99);
    bench_load_close(&result);
    if (!look_at_disk(b)) {
        return false;
    }
    struct bench_figure *f =
        bench_add(r, p50, "ms", "one in flight, %zu B, acks=%s, p50", one.record_size, one.acks);
    bench_against(f, p50 / b->disk.p50_ms, "the disk's p50");
    bench_target_at_most(f, 2.5);
    f = bench_add(r, p99, "ms", "one in flight, %zu B, acks=%s, p99", one.record_size, one.acks);
    bench_against(f, p99 / b->disk.p99_ms, "the disk's p99");
    bench_target_at_most(f, 4);
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
    }
    f = bench_add(r, result->records_per_s, "records/s", "sustained, %zu B, %u partitions, acks=%s",
                  load->record_size, load->partitions, load->acks);
    if (load->record_size <= 100) {
        bench_target_at_least(f, 1e6);
    }
    report_cpu(r, "produce", result, load->record_size >= 1024 ? 6 : 0);
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
    return bench_limit(disk_directory(b), LIMIT_FRAME, LIMIT_BYTES);
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
    bench_add(r, bench_disk_throughput(disk_directory(b), 12, DISK_BYTES) / 1e6, "MB/s",
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

static bool measure_e2e(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load)
{
    struct bench_load_result result;
    char topic[64];
    if (!bench_topic(b, "e2e", load->partitions, topic, sizeof(topic)) ||
        !bench_e2e(b, topic, load, &result)) {
        return load_failed(b, "e2e", &result);
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
        }
    }
    for (size_t i = 0; i < 3; i++) {
        bench_add(r, samples_ms(&result.received, quantiles[i].quantile), "ms",
                  "open loop, %llu/s of %zu B, to the consumer, %s", (unsigned long long)load->rate,
                  load->record_size, quantiles[i].name);
    }
    bench_load_close(&result);
    return true;
}

static bool measure_failover(struct bench_cluster *b, struct bench_report *r, enum bench_fault fault,
                             unsigned times)
{
    static const char *const names[] = {[BENCH_KILL] = "kill -9 of the leader to the next ack",
                                        [BENCH_PAUSE] = "SIGSTOP of the leader to the next ack",
                                        [BENCH_PLANNED] =
                                            "planned stop of the leader, longest gap between acks"};
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
    int64_t partitions, record_size, seconds_ms, rate, kills, fill_bytes;
    const char *acks;
    const char *topic;
    const char *fault;
    bool one_in_flight;
};

#define BENCH_DEFAULTS                                                                                       \
    {                                                                                                        \
        .target = CLI_TARGET_DEFAULT, .partitions = 12, .record_size = 1024, .seconds_ms = 5000,             \
        .kills = 30, .acks = "all", .fault = "kill"                                                          \
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
        {"fault", 'f', CLI_TEXT, &o->fault, "KIND", "failover: kill, pause or planned", 0, 0},
        {"fill", 'F', CLI_SIZE, &o->fill_bytes, "SIZE",
         "failover: produced before the first fault; catchup: while the node is away", 1, INT64_MAX},
        {"topic", 't', CLI_TEXT, &o->topic, "NAME", "consume: read this topic instead of a new one", 0, 0},
        CLI_TARGET_OPTIONS(o->target),
    };
    char **rest = NULL;
    int count = 0;
    return cli_parse(self, options, sizeof(options) / sizeof(options[0]), argc, argv, &rest, 0, &count, 0);
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

/* Each of `runs` (the last is NULL) on a cluster of its own, into one report. */
static int measure_each(const struct cli_command *self, const struct bench_options *o, const measure_fn *runs)
{
    struct bench_cluster b = {.disk = {0, 0}};
    struct bench_report report = {.count = 0};
    bool ok = true;
    for (; ok && *runs != NULL; runs++) {
        ok = bench_cluster_open(&b, self, &o->target) && (*runs)(&b, o, &report);
        bench_cluster_close(&b);
    }
    if (b.disk.p50_ms > 0) {
        report_disk(&b, &report);
        report_loopback(&report);
    }
    bench_print(&report, o->target.json);
    return ok ? CLI_OK : CLI_FAILED;
}

static int measure(const struct cli_command *self, const struct bench_options *o, measure_fn run)
{
    const measure_fn runs[] = {run, NULL};
    return measure_each(self, o, runs);
}

static int run_with(const struct cli_command *self, int argc, char **argv, measure_fn measurement)
{
    struct bench_options o = BENCH_DEFAULTS;
    int status = parse(self, &o, argc, argv);
    return status >= 0 ? status : measure(self, &o, measurement);
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
    enum bench_fault fault = strcmp(o->fault, "pause") == 0     ? BENCH_PAUSE
                             : strcmp(o->fault, "planned") == 0 ? BENCH_PLANNED
                                                                : BENCH_KILL;
    struct bench_load load = load_of(o);
    return fill(b, &load, (uint64_t)o->fill_bytes) && measure_failover(b, r, fault, (unsigned)o->kills);
}

static bool catchup_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o);
    load.rate = load.rate != 0 ? load.rate : CATCHUP_RATE;
    return bench_report_catchup(b, r, &load, o->fill_bytes > 0 ? (uint64_t)o->fill_bytes : CATCHUP_BYTES);
}

static bool scale_only(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    return bench_scale(b, r, o->partitions > 12 ? (uint32_t)o->partitions : SCALE_PARTITIONS);
}

static bool everything(struct bench_cluster *b, const struct bench_options *o, struct bench_report *r)
{
    struct bench_load load = load_of(o), small = load, open = load;
    small.record_size = 100;
    open.rate = 10000;
    unsigned pauses = (unsigned)(o->kills >= 10 ? o->kills / 10 : 1);
    return measure_one_in_flight(b, r, &load) && measure_sustained(b, r, &load) &&
           measure_read_back(b, r, &load) && measure_sustained(b, r, &small) && measure_e2e(b, r, &open) &&
           measure_failover(b, r, BENCH_KILL, (unsigned)o->kills) &&
           measure_failover(b, r, BENCH_PAUSE, pauses) && measure_failover(b, r, BENCH_PLANNED, pauses);
}

static int bench_all(const struct cli_command *self, int argc, char **argv)
{
    struct bench_options o = BENCH_DEFAULTS;
    int status = parse(self, &o, argc, argv);
    bool scratch = o.target.bootstrap == NULL && getenv("FLOTILLA_BOOTSTRAP") == NULL;
    const measure_fn runs[] = {everything, scratch ? catchup_only : NULL, scratch ? scale_only : NULL, NULL};
    return status >= 0 ? status : measure_each(self, &o, runs);
}

static int bench_produce_command(const struct cli_command *self, int argc, char **argv)
{
    return run_with(self, argc, argv, produce_only);
}

static int bench_consume_command(const struct cli_command *self, int argc, char **argv)
{
    return run_with(self, argc, argv, consume_only);
}

static int bench_e2e_command(const struct cli_command *self, int argc, char **argv)
{
    return run_with(self, argc, argv, e2e_only);
}

static int bench_catchup_command(const struct cli_command *self, int argc, char **argv)
{
    return run_with(self, argc, argv, catchup_only);
}

static int bench_scale_command(const struct cli_command *self, int argc, char **argv)
{
    return run_with(self, argc, argv, scale_only);
}

static int bench_failover_command(const struct cli_command *self, int argc, char **argv)
{
    struct bench_options o = BENCH_DEFAULTS;
    int status = parse(self, &o, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (strcmp(o.fault, "kill") != 0 && strcmp(o.fault, "pause") != 0 && strcmp(o.fault, "planned") != 0) {
        cli_error(self, "--fault takes kill, pause or planned, not \"%s\"", o.fault);
        return CLI_USAGE;
    }
    return measure(self, &o, failover_only);
}

const struct cli_command cmd_bench_all = {
    "bench all", "", "Every measurement, as ratios against this machine's own disk",
    "  flotilla bench all\n  flotilla bench all --json --kills 10", bench_all};
const struct cli_command cmd_bench_produce = {
    "bench produce", "", "Sustained throughput, or latency with one record in flight",
    "  flotilla bench produce --record-size 100\n  flotilla bench produce --one-in-flight",
    bench_produce_command};
const struct cli_command cmd_bench_consume = {"bench consume", "",
                                              "Fill a topic and read it from the beginning",
                                              "  flotilla bench consume", bench_consume_command};
const struct cli_command cmd_bench_e2e = {
    "bench e2e", "", "Latency at a given rate, from the intended send time to ack and consumer",
    "  flotilla bench e2e --rate 10000", bench_e2e_command};
const struct cli_command cmd_bench_catchup = {
    "bench catchup", "", "Latency of producing while a node that was away catches up, against before",
    "  flotilla bench catchup\n  flotilla bench catchup --fill 8GB --rate 10000", bench_catchup_command};
const struct cli_command cmd_bench_scale = {
    "bench scale", "", "Start-up, memory, and a topic with a thousand partitions",
    "  flotilla bench scale\n  flotilla bench scale --partitions 3000 --json", bench_scale_command};
const struct cli_command cmd_bench_failover = {
    "bench failover", "", "Kill, freeze or stop the leader and time the next acknowledgement",
    "  flotilla bench failover --kills 30\n  flotilla bench failover --fault pause --kills 5",
    bench_failover_command};
