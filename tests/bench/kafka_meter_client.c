#include "kafka_meter_client.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double meter_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void meter_die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_meter: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[256];
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        meter_die(name, reason);
}

void meter_add_latency(struct meter *m, double ms)
{
    if (m->latency_count == m->latency_capacity) {
        m->latency_capacity = m->latency_capacity == 0 ? 65536 : m->latency_capacity * 2;
        m->latencies_ms = realloc(m->latencies_ms, m->latency_capacity * sizeof(double));
        if (m->latencies_ms == NULL)
            meter_die("memory", "exhausted");
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
        meter_add_latency(m, (meter_now_s() - intended) * 1e3);
}

rd_kafka_t *meter_client(struct meter *m, rd_kafka_type_t type, const char *linger_ms)
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
        meter_die("client", reason);
    return client;
}

void meter_create_topic(struct meter *m, char topic[TOPIC_SIZE], int partitions)
{
    static unsigned count;
    char reason[256];
    snprintf(topic, TOPIC_SIZE, "meter-%lld-%d-%u", (long long)time(NULL), getpid(), ++count);
    rd_kafka_t *client = meter_client(m, RD_KAFKA_PRODUCER, "0");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, partitions, REPLICAS, reason, sizeof(reason));
    rd_kafka_CreateTopics(client, &wanted, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    if (event == NULL || rd_kafka_event_error(event) != 0)
        meter_die("create topic", event != NULL ? rd_kafka_event_error_string(event) : "no answer");
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(wanted);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(client);
    sleep(1); /* until every node knows who leads */
}

void meter_send(rd_kafka_t *client, const char *topic, const void *value, size_t size, double intended_s)
{
    rd_kafka_resp_err_t error;
    for (;;) {
        error = rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic),
                                  RD_KAFKA_V_VALUE((void *)(uintptr_t)value, size),
                                  RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                  RD_KAFKA_V_OPAQUE((void *)(uintptr_t)(intended_s * 1e6)), RD_KAFKA_V_END);
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            break;
        rd_kafka_poll(client, POLL_MS);
    }
    if (error != 0)
        meter_die("produce", rd_kafka_err2str(error));
}

void meter_begin(struct meter *m)
{
    m->acked = m->failed = 0;
    m->latency_count = 0;
    m->measure_from = meter_now_s() + WARM_UP_S;
}

char *meter_random_value(size_t size)
{
    char *value = malloc(size);
    if (value == NULL)
        meter_die("memory", "exhausted");
    for (size_t i = 0; i < size; i++)
        value[i] = (char)rand();
    return value;
}
