/* Reading counts from the first record to the last, by a client that is connected to all nodes. */
#include "kafka_meter_client.h"

enum {
    CONNECT_MS = 10000,
    READ_MAX = 4096, /* records at a time */
    READ_WAIT_MS = 5,
    READ_MAX_S = 60,
};

/* librdkafka takes half a second to connect to its second node, and again to its third; and another half
 * second, by chance, until it asks a partition whose leader it did not know yet where it begins. So the
 * reading starts from offsets, when all nodes have been reached. */
static rd_kafka_topic_partition_list_t *whole_topic(rd_kafka_t *client, const char *topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    int64_t low, high;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        if (rd_kafka_query_watermark_offsets(client, topic, p, &low, &high, CONNECT_MS) != 0)
            meter_die("consume", "the client does not reach all leaders");
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = low;
    }
    return list;
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
    for (double end = meter_now_s() + READ_MAX_S; r->ended < PARTITIONS && meter_now_s() < end;) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, READ_WAIT_MS, messages, READ_MAX);
        double now = meter_now_s();
        for (ssize_t i = 0; i < n; i++)
            take(r, messages[i], now);
    }
    rd_kafka_queue_destroy(queue);
}

struct total {
    double bytes, seconds, node_cpu_s, client_cpu_s;
};

/* A topic from its start to its end. */
static void pass(struct meter *m, const char *topic, struct total *t)
{
    rd_kafka_t *client = meter_client(m, RD_KAFKA_CONSUMER, NULL);
    rd_kafka_topic_partition_list_t *list = whole_topic(client, topic);
    struct reading r = {0};
    rd_kafka_poll_set_consumer(client);
    double node_cpu_s = host_cpu_s(&m->processes), client_cpu_s = host_own_cpu_s();
    rd_kafka_assign(client, list);
    read_to_end(client, &r);
    if (r.ended < PARTITIONS || r.last_s <= r.first_s)
        meter_die("consume", "the end has not been reached");
    t->bytes += r.bytes;
    t->seconds += r.last_s - r.first_s;
    t->node_cpu_s += host_cpu_s(&m->processes) - node_cpu_s;
    t->client_cpu_s += host_own_cpu_s() - client_cpu_s;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

struct read_figures meter_consume(struct meter *m, const char *topic, bool is_cold)
{
    struct total t = {0};
    do {
        if (is_cold && !host_drop_caches())
            return (struct read_figures){0};
        pass(m, topic, &t);
    } while (t.seconds < m->seconds);
    return (struct read_figures){t.bytes / 1e6 / t.seconds, t.node_cpu_s / (t.bytes / 1e9),
                                 t.client_cpu_s / (t.bytes / 1e9)};
}
