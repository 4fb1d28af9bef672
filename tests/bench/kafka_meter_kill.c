/* After a kill -9 of the leader: the longest time without an acknowledgement. */
#include "kafka_meter_client.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { AFTERMATH_S = 1 };

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
    for (double end = meter_now_s() + 60; leader < 0 && meter_now_s() < end; usleep(100000))
        leader = find_leader(client, topic);
    if (leader < 0)
        meter_die("failover", "the cluster does not become whole");
    return leader;
}

static void send_one(struct meter *m, rd_kafka_t *client, const char *topic, const char *value)
{
    uint64_t before = m->acked + m->failed;
    meter_send(client, topic, value, 1024, meter_now_s());
    while (m->acked + m->failed == before)
        rd_kafka_poll(client, 10);
}

/* The longest time without an acknowledgement, in milliseconds, while the leader is killed: one record is
 * always in flight, also at that moment. */
static double time_kill(struct meter *m, rd_kafka_t *client, const char *topic, const char *value, int leader)
{
    double longest = 0, last = 0, end = 0;
    for (double warm = meter_now_s() + WARM_UP_S; meter_now_s() < warm;)
        send_one(m, client, topic, value);
    pid_t killer = host_start(m->kill, leader);
    last = meter_now_s();
    while (end == 0 || meter_now_s() < end) {
        send_one(m, client, topic, value);
        double now = meter_now_s();
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
void meter_fail_over(struct meter *m)
{
    char topic[TOPIC_SIZE];
    meter_create_topic(m, topic, 1);
    char *value = meter_random_value(1024);
    double times_ms[100];
    unsigned count = m->kills < 100 ? m->kills : 100;
    meter_begin(m);
    for (unsigned i = 0; i < count; i++) {
        rd_kafka_t *client = meter_client(m, RD_KAFKA_PRODUCER, "0");
        int leader = await_leader(client, topic);
        times_ms[i] = time_kill(m, client, topic, value, leader);
        fprintf(stderr, "%s: kill %u: %.0f ms\n", m->bootstrap, i + 1, times_ms[i]);
        rd_kafka_destroy(client);
        if (m->revive != NULL && !host_run(m->revive, leader))
            meter_die("revive", m->revive);
    }
    m->latency_count = 0;
    for (unsigned i = 0; i < count; i++)
        meter_add_latency(m, times_ms[i]);
    free(value);
}
