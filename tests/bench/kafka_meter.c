/* What a Kafka client gets: throughput and latency through librdkafka, of one cluster or of two in turns, so
 * that the ratio says something although the machine's figures vary.
 *
 *   kafka_meter BOOTSTRAP [OF IT...] [--against BOOTSTRAP [OF IT...]] [--seconds N]
 *   of a cluster:  --pids P,P,P    its processes: memory and processor time
 *                  --kill COMMAND --revive COMMAND    how to kill node {} and to start it again
 *                  --kills N                          so often, for the time without an ack
 *   --only-kills                                        nothing else
 *
 * Each measurement runs on one cluster, then on the other, with the same client and settings (acks=all, three
 * replicas); what is read is of the same size on both. */
#include "kafka_meter_client.h"
#include "kafka_shelf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RATE_PER_S = 10000, READ_RECORDS = 600000 /* of 1 KiB */, PRODUCE_MAX_S = 120 };

struct figure {
    const char *name, *unit;
    bool less_is_better;
    double value[2];
};

/* ---- measurements ---- */

/* As fast as the cluster takes them, until the time or the number is reached. `topic` is left for reading. */
static double produce_until(struct meter *m, size_t size, double seconds, uint64_t count, char *topic)
{
    meter_create_topic(m, topic, PARTITIONS);
    rd_kafka_t *client = meter_client(m, RD_KAFKA_PRODUCER, "5");
    char *value = meter_random_value(size);
    meter_begin(m);
    double start = meter_now_s();
    for (uint64_t n = 0; n < count && meter_now_s() - start < seconds; n++) {
        meter_send(client, topic, value, size, meter_now_s());
        rd_kafka_poll(client, 0);
    }
    rd_kafka_flush(client, 60000);
    double rate = (double)m->acked / (meter_now_s() - start);
    if (m->failed > 0)
        fprintf(stderr, "%s: %llu records failed\n", m->bootstrap, (unsigned long long)m->failed);
    rd_kafka_destroy(client);
    free(value);
    return rate;
}

/* Records a second. */
static double produce(struct meter *m, size_t size, char *topic)
{
    return produce_until(m, size, m->seconds, UINT64_MAX, topic);
}

static void produce_count(struct meter *m, uint64_t count, char *topic)
{
    produce_until(m, 1024, PRODUCE_MAX_S, count, topic);
}

/* Latency from the intended send time at a fixed rate. */
static void produce_at_rate(struct meter *m)
{
    char topic[TOPIC_SIZE];
    meter_create_topic(m, topic, PARTITIONS);
    rd_kafka_t *client = meter_client(m, RD_KAFKA_PRODUCER, "1");
    char *value = meter_random_value(1024);
    meter_begin(m);
    double start = meter_now_s();
    for (uint64_t n = 0; (double)n < (m->seconds + WARM_UP_S) * RATE_PER_S; n++) {
        double intended = start + (double)n / RATE_PER_S;
        while (meter_now_s() < intended)
            rd_kafka_poll(client, 1);
        meter_send(client, topic, value, 1024, intended);
        rd_kafka_poll(client, 0);
    }
    rd_kafka_flush(client, 60000);
    rd_kafka_destroy(client);
    free(value);
}

static void one_in_flight(struct meter *m)
{
    char topic[TOPIC_SIZE];
    meter_create_topic(m, topic, 1);
    rd_kafka_t *client = meter_client(m, RD_KAFKA_PRODUCER, "0");
    char *value = meter_random_value(1024);
    meter_begin(m);
    for (double end = meter_now_s() + m->seconds + WARM_UP_S; meter_now_s() < end;) {
        uint64_t before = m->acked + m->failed;
        meter_send(client, topic, value, 1024, meter_now_s());
        while (m->acked + m->failed == before)
            rd_kafka_poll(client, POLL_MS);
    }
    rd_kafka_destroy(client);
    free(value);
}

/* ---- the report ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(struct meter *m, double q)
{
    if (m->latency_count == 0)
        return 0;
    qsort(m->latencies_ms, m->latency_count, sizeof(double), by_value);
    return m->latencies_ms[(size_t)((double)(m->latency_count - 1) * q)];
}

enum figure_id {
    PRODUCE_1K,
    CPU,
    RESIDENT,
    CONSUME_WARM,
    WARM_NODE_CPU,
    WARM_CLIENT_CPU,
    CONSUME_COLD,
    COLD_NODE_CPU,
    COLD_CLIENT_CPU,
    CONSUME_LIMIT,
    LIMIT_NODE_CPU,
    LIMIT_CLIENT_CPU,
    PRODUCE_100,
    RATE_P50,
    RATE_P99,
    SINGLE_P50,
    SINGLE_P99,
    KILL_P50,
    KILL_P99,
    FIGURES
};

static struct figure figures[FIGURES] = {
    [PRODUCE_1K] = {"produce 1 KiB, 12 partitions", "MB/s", false, {0}},
    [CPU] = {"processor time of the nodes", "s/GB", true, {0}},
    [RESIDENT] = {"memory of the nodes under load", "MiB", true, {0}},
    [CONSUME_WARM] = {"consume 600 MB, just produced", "MB/s", false, {0}},
    [WARM_NODE_CPU] = {"  processor time of the nodes", "s/GB", true, {0}},
    [WARM_CLIENT_CPU] = {"  processor time of the client", "s/GB", true, {0}},
    [CONSUME_COLD] = {"consume 600 MB, nothing in the page cache", "MB/s", false, {0}},
    [COLD_NODE_CPU] = {"  processor time of the nodes", "s/GB", true, {0}},
    [COLD_CLIENT_CPU] = {"  processor time of the client", "s/GB", true, {0}},
    [CONSUME_LIMIT] = {"consume 600 MB that cost a broker nothing", "MB/s", false, {0}},
    [LIMIT_NODE_CPU] = {"  processor time of handing them over", "s/GB", true, {0}},
    [LIMIT_CLIENT_CPU] = {"  processor time of the client", "s/GB", true, {0}},
    [PRODUCE_100] = {"produce 100 B, 12 partitions", "records/s", false, {0}},
    [RATE_P50] = {"10,000 records/s, p50", "ms", true, {0}},
    [RATE_P99] = {"10,000 records/s, p99", "ms", true, {0}},
    [SINGLE_P50] = {"one in flight, p50", "ms", true, {0}},
    [SINGLE_P99] = {"one in flight, p99", "ms", true, {0}},
    [KILL_P50] = {"kill -9 of the leader, silence, p50", "ms", true, {0}},
    [KILL_P99] = {"kill -9 of the leader, silence, p99", "ms", true, {0}},
};

static void print_figure(enum figure_id id, bool both)
{
    const struct figure *f = &figures[id];
    if (f->value[0] == 0 && f->value[1] == 0) {
        printf("%-42s   not measured\n", f->name);
        return;
    }
    printf("%-42s %12.2f %s", f->name, f->value[0], f->unit);
    if (both && f->value[1] > 0)
        printf(", the other %.2f: ratio %.2f (%s is better)", f->value[1], f->value[0] / f->value[1],
               f->less_is_better ? "less" : "more");
    printf("\n");
    fflush(stdout);
}

/* The three figures from `first` on. */
static void keep_reading(unsigned i, enum figure_id first, const struct read_figures *f)
{
    figures[first].value[i] = f->mb_per_s;
    figures[first + 1].value[i] = f->node_cpu_s;
    figures[first + 2].value[i] = f->client_cpu_s;
}

/* Produce, then read a topic that is of the same size everywhere: memory is looked at after each. */
static void load(struct meter *m, unsigned i)
{
    char topic[TOPIC_SIZE];
    double cpu_s = host_cpu_s(&m->processes);
    double rate = produce(m, 1024, topic);
    double gigabytes = (double)m->acked * 1024 / 1e9;
    figures[PRODUCE_1K].value[i] = rate * 1024 / 1e6;
    figures[CPU].value[i] = (host_cpu_s(&m->processes) - cpu_s) / gigabytes;
    double resident_mib = host_resident_mib(&m->processes);
    produce_count(m, READ_RECORDS, topic);
    struct read_figures warm = meter_consume(m, topic, false);
    double after_mib = host_resident_mib(&m->processes);
    figures[RESIDENT].value[i] = after_mib > resident_mib ? after_mib : resident_mib;
    struct read_figures cold = meter_consume(m, topic, true);
    keep_reading(i, CONSUME_WARM, &warm);
    keep_reading(i, CONSUME_COLD, &cold);
}

/* What this client reads on this machine at most, whoever the broker is. */
static void limit(const struct shelf *shelf, double seconds)
{
    struct meter m = {.bootstrap = shelf->bootstrap, .seconds = seconds};
    m.processes = (struct host_processes){{shelf->pid}, 1};
    struct read_figures read = meter_consume(&m, "limit", false);
    keep_reading(0, CONSUME_LIMIT, &read);
}

static void keep_quantiles(struct meter *m, unsigned i, enum figure_id p50, enum figure_id p99)
{
    figures[p50].value[i] = quantile(m, 0.5);
    figures[p99].value[i] = quantile(m, 0.99);
}

/* One kind of load after the other, each on every cluster, and what came of it at once. */
static void measure(struct meter *meters, unsigned count, const struct shelf *shelf)
{
    static const enum figure_id last_of_load = LIMIT_CLIENT_CPU;
    char topic[TOPIC_SIZE];
    bool both = count == 2;
    for (unsigned i = 0; i < count; i++)
        load(&meters[i], i);
    limit(shelf, meters[0].seconds);
    for (unsigned id = 0; id <= last_of_load; id++)
        print_figure((enum figure_id)id, both);
    for (unsigned i = 0; i < count; i++)
        figures[PRODUCE_100].value[i] = produce(&meters[i], 100, topic);
    print_figure(PRODUCE_100, both);
    for (unsigned i = 0; i < count; i++) {
        one_in_flight(&meters[i]);
        keep_quantiles(&meters[i], i, SINGLE_P50, SINGLE_P99);
    }
    print_figure(SINGLE_P50, both);
    print_figure(SINGLE_P99, both);
    for (unsigned i = 0; i < count; i++) {
        produce_at_rate(&meters[i]);
        keep_quantiles(&meters[i], i, RATE_P50, RATE_P99);
    }
    print_figure(RATE_P50, both);
    print_figure(RATE_P99, both);
}

static void measure_kills(struct meter *meters, unsigned count)
{
    bool both = count == 2;
    for (unsigned i = 0; i < count; i++) {
        if (meters[i].kill == NULL)
            continue;
        meter_fail_over(&meters[i]);
        keep_quantiles(&meters[i], i, KILL_P50, KILL_P99);
    }
    print_figure(KILL_P50, both);
    print_figure(KILL_P99, both);
}

/* ---- arguments ---- */

static const char usage[] =
    "usage: kafka_meter BOOTSTRAP [--pids P,P,P] [--kill COMMAND --revive COMMAND] [--kills N]\n"
    "                   [--against BOOTSTRAP [the same of it]] [--seconds N] [--only-kills]";

/* False: it is none of a cluster's. */
static bool set_option(struct meter *m, const char *name, const char *value)
{
    if (strcmp(name, "--pids") == 0)
        return host_processes_parse(&m->processes, value);
    if (strcmp(name, "--kill") == 0)
        m->kill = value;
    else if (strcmp(name, "--revive") == 0)
        m->revive = value;
    else if (strcmp(name, "--kills") == 0)
        m->kills = (unsigned)atoi(value);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct meter meters[2] = {{.seconds = 5, .kills = 5}, {.seconds = 5, .kills = 2}};
    unsigned count = 0;
    bool only_kills = false;
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (argv[i][0] != '-' && count == 0)
            meters[count++].bootstrap = argv[i];
        else if (strcmp(argv[i], "--only-kills") == 0)
            only_kills = true;
        else if (!has_value || count == 0)
            meter_die(argv[i], usage);
        else if (strcmp(argv[i], "--against") == 0 && count == 1)
            meters[count++].bootstrap = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0)
            meters[0].seconds = meters[1].seconds = atof(argv[++i]);
        else if (set_option(&meters[count - 1], argv[i], argv[i + 1]))
            i++;
        else
            meter_die(argv[i], usage);
    }
    if (count == 0 || meters[0].seconds <= 0)
        meter_die("arguments", usage);
    if (!only_kills) {
        struct shelf shelf;
        shelf_start(&shelf, PARTITIONS, READ_RECORDS / PARTITIONS);
        measure(meters, count, &shelf);
        shelf_stop(&shelf);
    }
    measure_kills(meters, count);
    free(meters[0].latencies_ms);
    free(meters[1].latencies_ms);
    return 0;
}
