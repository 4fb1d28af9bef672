/* The librdkafka clients that the meter drives one cluster with, and what they count. Errors end the program.
 */
#ifndef TESTS_BENCH_KAFKA_METER_CLIENT_H
#define TESTS_BENCH_KAFKA_METER_CLIENT_H

#include "kafka_meter_host.h"
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

enum { PARTITIONS = 12, REPLICAS = 3, TOPIC_SIZE = 64, POLL_MS = 100, WARM_UP_S = 1 };

/* One cluster. */
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

double meter_now_s(void);
__attribute__((noreturn)) void meter_die(const char *what, const char *why);

rd_kafka_t *meter_client(struct meter *m, rd_kafka_type_t type, const char *linger_ms);
void meter_create_topic(struct meter *m, char topic[TOPIC_SIZE], int partitions);
/* Forgets what was counted; latencies count from a second later on. */
void meter_begin(struct meter *m);
void meter_add_latency(struct meter *m, double ms);
/* Waits for room. */
void meter_send(rd_kafka_t *producer, const char *topic, const void *value, size_t size, double intended_s);
/* The caller frees it. */
char *meter_random_value(size_t size);

struct read_figures {
    double mb_per_s;
    double node_cpu_s, client_cpu_s; /* per gigabyte */
};
/* A topic from its start to its end, again and again until that has taken `seconds`. `is_cold`: with nothing
 * of it in the page cache; all 0 without the right to see to that. */
struct read_figures meter_consume(struct meter *m, const char *topic, bool is_cold);

/* Kills and revives partition 0's leader `kills` times and leaves the silences as the meter's latencies. */
void meter_fail_over(struct meter *m);

#endif
