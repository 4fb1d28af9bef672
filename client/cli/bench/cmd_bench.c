/* flotilla bench ... */
#include "client/cli/bench/groups.h"
#include "client/cli/bench/measure.h"
#include "client/cli/commands.h"

#include <stdlib.h>
#include <string.h>

enum { SALE_SECONDS = 10, DISTURB_RATE = 1000, SCALE_PARTITIONS = 1000 };
static const uint64_t DISTURB_BYTES = 2ull << 30;
static const uint64_t START_BYTES = 2ull << 30;

/* ---- options ---- */

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

/* ---- what each command measures ---- */

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
            measure_disk(&b, &report);
            measure_loopback(&report);
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
    return measure_fill(b, &load, (uint64_t)o->fill_bytes) &&
           measure_failover(b, r, o->fault, (unsigned)o->kills);
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
    return measure_fill(b, &load, MEASURE_READ_BYTES) && measure_failover(b, r, BENCH_DRAIN, few) &&
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

/* ---- commands ---- */

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
