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
 * replicas). Reading counts from the first record to the last, by a client that is connected to all nodes. */
#include "kafka_meter_host.h"
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PARTITIONS = 12,
    REPLICAS = 3,
    RATE_PER_S = 10000,
    WARM_UP_S = 1,
    TOPIC_SIZE = 64,
    POLL_MS = 100,
    CONNECT_MS = 10000,
    READ_MAX = 4096, /* records at a time */
    READ_MAX_S = 60,
    AFTERMATH_S = 1, /* after a kill */
};

struct meter {
    const char *bootstrap;
    double seconds;
    uint64_t acked;
    uint64_t failed;
    double *latencies_ms;
    size_t latency_count, latency_capacity;
    double measure_from;
    struct host_processes processes;
    const char *kill, *revive;
    unsigned kills;
};

struct figure {
    const char *name, *unit;
    bool less_is_better;
    double value[2];
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_meter: %s: %s\n", what, why);
    exit(1);
}

/* ---- clients ---- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[256];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        die(name, reason);
}

static void add_latency(struct meter *m, double ms)
{
    if (m->latency_count == m->latency_capacity) {
        m->latency_capacity = m->latency_capacity == 0 ? 65536 : m->latency_capacity * 2;
        m->latencies_ms = realloc(m->latencies_ms, m->latency_capacity * sizeof(double));
        if (m->latencies_ms == NULL)
            die("memory", "exhausted");
    }
    m->latencies_ms[m->latency_count++] = ms;
}

/* The opaque of a message is its intended send time in microseconds. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct meter *m = opaque;
    (void)rk;
    if (message->err != 0) {
        m->failed++;
        return;
    }
    double intended = (double)(uintptr_t)message->_private * 1e-6;
    m->acked++;
    if (intended >= m->measure_from)
        add_latency(m, (now_s() - intended) * 1e3);
}

static rd_kafka_t *open_client(struct meter *m, rd_kafka_type_t type, const char *linger_ms)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", m->bootstrap);
    set(conf, "log_level", "2"); /* nodes die on purpose */
    rd_kafka_conf_set_opaque(conf, m);
    if (type == RD_KAFKA_PRODUCER) {
        set(conf, "acks", "all");
        set(conf, "linger.ms", linger_ms);
        set(conf, "batch.size", "262144");
        set(conf, "queue.buffering.max.messages", "500000");
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    } else {
        set(conf, "group.id", "kafka-meter");
        set(conf, "enable.auto.commit", "false");
        set(conf, "enable.partition.eof", "true");
        set(conf, "queued.min.messages", "1000000");
        set(conf, "queued.max.messages.kbytes", "262144");
        set(conf, "fetch.message.max.bytes", "4194304");
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, reason, sizeof(reason));
    if (client == NULL)
        die("client", reason);
    return client;
}

static void create_topic(struct meter *m, char *topic, int partitions)
{
    static unsigned count;
    char reason[256];
    snprintf(topic, TOPIC_SIZE, "meter-%lld-%d-%u", (long long)time(NULL), getpid(), ++count);
    rd_kafka_t *client = open_client(m, RD_KAFKA_PRODUCER, "0");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, partitions, REPLICAS, reason, sizeof(reason));
    rd_kafka_CreateTopics(client, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    if (event == NULL || rd_kafka_event_error(event) != 0)
        die("create topic", event != NULL ? rd_kafka_event_error_string(event) : "no answer");
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    sleep(1); /* until every node knows who leads */
}

/* ---- measurements ---- */

static void send_record(rd_kafka_t *client, const char *topic, const void *value, size_t size,
                        double intended)
{
    rd_kafka_resp_err_t error;
    for (;;) {
        error = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic),
                                  RD_KAFKA_V_VALUE((void *)(uintptr_t)value, size),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                  RD_KAFKA_V_OPAQUE((void *)(uintptr_t)(intended * 1e6)), RD_KAFKA_V_END);
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            break;
        rd_kafka_poll(client, POLL_MS);
    }
    if (error != 0)
        die("produce", rd_kafka_err2str(error));
}

static void begin(struct meter *m)
{
    m->acked = m->failed = 0;
    m->latency_count = 0;
    m->measure_from = now_s() + WARM_UP_S;
}

static char *random_value(size_t size)
{
    char *value = malloc(size);
    if (value == NULL)
        die("memory", "exhausted");
    for (size_t i = 0; i < size; i++)
        value[i] = (char)rand();
    return value;
}

/* Records a second, as fast as the cluster takes them. `topic` is left for reading. */
static double produce(struct meter *m, size_t size, char *topic)
{
    create_topic(m, topic, PARTITIONS);
    rd_kafka_t *client = open_client(m, RD_KAFKA_PRODUCER, "5");
    char *value = random_value(size);
    begin(m);
    double start = now_s();
    while (now_s() - start < m->seconds) {
        send_record(client, topic, value, size, now_s());
        rd_kafka_poll(client, 0);
    }
    rd_kafka_flush(client, 60000);
    double rate = (double)m->acked / (now_s() - start);
    if (m->failed > 0)
        fprintf(stderr, "%s: %llu records failed\n", m->bootstrap, (unsigned long long)m->failed);
    rd_kafka_destroy(client);
    free(value);
    return rate;
}

/* Latency from the intended send time at a fixed rate. */
static void produce_at_rate(struct meter *m)
{
    char topic[TOPIC_SIZE];
    create_topic(m, topic, PARTITIONS);
    rd_kafka_t *client = open_client(m, RD_KAFKA_PRODUCER, "1");
    char *value = random_value(1024);
    begin(m);
    double start = now_s();
    for (uint64_t n = 0; (double)n < (m->seconds + WARM_UP_S) * RATE_PER_S; n++) {
        double intended = start + (double)n / RATE_PER_S;
        while (now_s() < intended)
            rd_kafka_poll(client, 1);
        send_record(client, topic, value, 1024, intended);
        rd_kafka_poll(client, 0);
    }
    rd_kafka_flush(client, 60000);
    rd_kafka_destroy(client);
    free(value);
}

static void one_in_flight(struct meter *m)
{
    char topic[TOPIC_SIZE];
    create_topic(m, topic, 1);
    rd_kafka_t *client = open_client(m, RD_KAFKA_PRODUCER, "0");
    char *value = random_value(1024);
    begin(m);
    for (double end = now_s() + m->seconds + WARM_UP_S; now_s() < end;) {
        uint64_t before = m->acked + m->failed;
        send_record(client, topic, value, 1024, now_s());
        while (m->acked + m->failed == before)
            rd_kafka_poll(client, POLL_MS);
    }
    rd_kafka_destroy(client);
    free(value);
}

static rd_kafka_topic_partition_list_t *whole_topic(const char *topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    return list;
}

/* librdkafka takes half a second to connect to its second node, and again to its third. */
static void connect_to_leaders(rd_kafka_t *client, const char *topic)
{
    int64_t low, high;
    for (int32_t p = 0; p < PARTITIONS; p++)
        if (rd_kafka_query_watermark_offsets(client, topic, p, &low, &high, CONNECT_MS) != 0)
            die("consume", "the client does not reach all leaders");
}

struct reading {
    double first_s, last_s; /* when records came */
    double bytes;
    int ended; /* partitions */
};

static void take(struct reading *r, rd_kafka_message_t *message, double now)
{
    if (message->err == 0) {
        r->bytes += (double)message->len;
        r->last_s = now;
        r->first_s = r->first_s > 0 ? r->first_s : now;
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        r->ended++;
    }
    rd_kafka_message_destroy(message);
}

static void read_to_end(rd_kafka_t *client, struct reading *r)
{
    rd_kafka_message_t *messages[READ_MAX];
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    for (double end = now_s() + READ_MAX_S; r->ended < PARTITIONS && now_s() < end;) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, POLL_MS, messages, READ_MAX);
        double now = now_s();
        for (ssize_t i = 0; i < n; i++)
            take(r, messages[i], now);
    }
    rd_kafka_queue_destroy(queue);
}

struct read_figures {
    double mb_per_s;
    double node_cpu_s, client_cpu_s; /* per gigabyte */
};

/* A topic from its start to its end. */
static struct read_figures consume(struct meter *m, const char *topic)
{
    rd_kafka_t *client = open_client(m, RD_KAFKA_CONSUMER, NULL);
    rd_kafka_topic_partition_list_t *list = whole_topic(topic);
    struct reading r = {0};
    rd_kafka_poll_set_consumer(client);
    connect_to_leaders(client, topic);
    double node_cpu_s = host_cpu_s(&m->processes), client_cpu_s = host_own_cpu_s();
    rd_kafka_assign(client, list);
    read_to_end(client, &r);
    double gigabytes = r.bytes / 1e9;
    struct read_figures f = {.mb_per_s = r.last_s > r.first_s ? r.bytes / 1e6 / (r.last_s - r.first_s) : 0};
    if (gigabytes > 0) {
        f.node_cpu_s = (host_cpu_s(&m->processes) - node_cpu_s) / gigabytes;
        f.client_cpu_s = (host_own_cpu_s() - client_cpu_s) / gigabytes;
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return f;
}

/* ---- failover ---- */

/* Of partition 0, once as many nodes as replicas are there; -1: not yet. */
static int find_leader(rd_kafka_t *client, const char *name)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    int leader = -1;
    if (rd_kafka_metadata(client, 0, topic, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->broker_cnt == REPLICAS && metadata->topics[0].partition_cnt > 0 &&
            metadata->topics[0].partitions[0].isr_cnt == REPLICAS)
            leader = metadata->topics[0].partitions[0].leader;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
    return leader;
}

static int await_leader(rd_kafka_t *client, const char *topic)
{
    int leader = -1;
    for (double end = now_s() + 60; leader < 0 && now_s() < end; usleep(100000))
        leader = find_leader(client, topic);
    if (leader < 0)
        die("failover", "the cluster does not become whole");
    return leader;
}

static void send_one(struct meter *m, rd_kafka_t *client, const char *topic, const char *value)
{
    uint64_t before = m->acked + m->failed;
    send_record(client, topic, value, 1024, now_s());
    while (m->acked + m->failed == before)
        rd_kafka_poll(client, 10);
}

/* The longest time without an acknowledgement, in milliseconds, while the leader is killed: one record is
 * always in flight, also at that moment. */
static double time_kill(struct meter *m, rd_kafka_t *client, const char *topic, const char *value, int leader)
{
    double longest = 0, last = 0, end = 0;
    for (double warm = now_s() + WARM_UP_S; now_s() < warm;)
        send_one(m, client, topic, value);
    pid_t killer = host_start(m->kill, leader);
    last = now_s();
    while (end == 0 || now_s() < end) {
        send_one(m, client, topic, value);
        double now = now_s();
        longest = now - last > longest ? now - last : longest;
        last = now;
        if (end == 0 && host_has_ended(killer))
            end = now + AFTERMATH_S;
    }
    return longest * 1e3;
}

/* Leaves the times as the meter's latencies. A new client each time: librdkafka doubles its pause before it
 * connects to a node with every time that it has within ten seconds, which a node that really dies does not
 * do to it. */
static void fail_over(struct meter *m)
{
    char topic[TOPIC_SIZE];
    create_topic(m, topic, 1);
    char *value = random_value(1024);
    double times_ms[100];
    unsigned count = m->kills < 100 ? m->kills : 100;
    begin(m);
    for (unsigned i = 0; i < count; i++) {
        rd_kafka_t *client = open_client(m, RD_KAFKA_PRODUCER, "0");
        int leader = await_leader(client, topic);
        times_ms[i] = time_kill(m, client, topic, value, leader);
        fprintf(stderr, "%s: kill %u: %.0f ms\n", m->bootstrap, i + 1, times_ms[i]);
        rd_kafka_destroy(client);
        if (m->revive != NULL && !host_run(m->revive, leader))
            die("revive", m->revive);
    }
    m->latency_count = 0;
    for (unsigned i = 0; i < count; i++)
        add_latency(m, times_ms[i]);
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
    CONSUME_COLD,
    CONSUME_NODE_CPU,
    CONSUME_CLIENT_CPU,
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
    [CONSUME_WARM] = {"consume what was just produced", "MB/s", false, {0}},
    [CONSUME_COLD] = {"consume, nothing in the page cache", "MB/s", false, {0}},
    [CONSUME_NODE_CPU] = {"  of it, processor time of the nodes", "s/GB", true, {0}},
    [CONSUME_CLIENT_CPU] = {"  of it, processor time of the client", "s/GB", true, {0}},
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

/* Produce, then read what was produced: memory is looked at after each. */
static void load(struct meter *m, unsigned i)
{
    char topic[TOPIC_SIZE];
    double cpu_s = host_cpu_s(&m->processes);
    double rate = produce(m, 1024, topic);
    double gigabytes = (double)m->acked * 1024 / 1e9;
    figures[PRODUCE_1K].value[i] = rate * 1024 / 1e6;
    figures[CPU].value[i] = (host_cpu_s(&m->processes) - cpu_s) / gigabytes;
    double resident_mib = host_resident_mib(&m->processes);
    figures[CONSUME_WARM].value[i] = consume(m, topic).mb_per_s;
    double after_mib = host_resident_mib(&m->processes);
    figures[RESIDENT].value[i] = after_mib > resident_mib ? after_mib : resident_mib;
    if (!host_drop_caches())
        return;
    struct read_figures cold = consume(m, topic);
    figures[CONSUME_COLD].value[i] = cold.mb_per_s;
    figures[CONSUME_NODE_CPU].value[i] = cold.node_cpu_s;
    figures[CONSUME_CLIENT_CPU].value[i] = cold.client_cpu_s;
}

static void keep_quantiles(struct meter *m, unsigned i, enum figure_id p50, enum figure_id p99)
{
    figures[p50].value[i] = quantile(m, 0.5);
    figures[p99].value[i] = quantile(m, 0.99);
}

/* One kind of load after the other, each on every cluster, and what came of it at once. */
static void measure(struct meter *meters, unsigned count)
{
    static const enum figure_id last_of_load = CONSUME_CLIENT_CPU;
    char topic[TOPIC_SIZE];
    bool both = count == 2;
    for (unsigned i = 0; i < count; i++)
        load(&meters[i], i);
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
        fail_over(&meters[i]);
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
            die(argv[i], usage);
        else if (strcmp(argv[i], "--against") == 0 && count == 1)
            meters[count++].bootstrap = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0)
            meters[0].seconds = meters[1].seconds = atof(argv[++i]);
        else if (set_option(&meters[count - 1], argv[i], argv[i + 1]))
            i++;
        else
            die(argv[i], usage);
    }
    if (count == 0 || meters[0].seconds <= 0)
        die("arguments", usage);
    if (!only_kills)
        measure(meters, count);
    measure_kills(meters, count);
    free(meters[0].latencies_ms);
    free(meters[1].latencies_ms);
    return 0;
}
