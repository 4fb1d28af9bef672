/* What the library costs a program that sends 100,000 small records a second. */
#include "client/cli/bench/bench.h"

#include <stdlib.h>
#include <string.h>

enum { RATE = 100000, TICK_US = 1000, RECORD_SIZE = 100, PARTITIONS = 12, FLUSH_MS = 30000 };
static const double SECONDS = 5;

/* In ticks, as a server has requests: a sleep for each record would cost more than the record. */
static int send_at_rate(struct flotilla_producer *producer, const char *topic)
{
    const char value[RECORD_SIZE] = "something that a service tells the others";
    uint64_t began = cli_now_ns(), due = began;
    int status = 0;
    while (status == 0 && due < began + (uint64_t)(SECONDS * 1e9)) {
        for (int i = 0; status == 0 && i < RATE / (1000000 / TICK_US); i++) {
            status = flotilla_produce(producer, topic, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, NULL,
                                      0, value, sizeof(value), NULL, 0, NULL);
        }
        due += TICK_US * 1000;
        uint64_t now = cli_now_ns();
        if (now + 1000000 <= due) {
            cli_sleep_ms((int64_t)(due - now) / 1000000);
        }
    }
    return status != 0 ? status : flotilla_producer_flush(producer, FLUSH_MS);
}

bool bench_client_cost(struct bench_cluster *b, struct bench_report *r)
{
    struct flotilla_producer *producer = NULL;
    char topic[64], error[512] = "";
    if (!bench_topic(b, "client", PARTITIONS, topic, sizeof(topic)) ||
        flotilla_producer_create(&producer, b->client, NULL, NULL, NULL, error, sizeof(error)) != 0) {
        return false;
    }
    fprintf(stderr, "the client's own cost at %d records/s\n", RATE);
    double cpu = bench_client_cpu_seconds();
    uint64_t began = cli_now_ns();
    int status = send_at_rate(producer, topic);
    cpu = bench_client_cpu_seconds() - cpu;
    double seconds = (double)(cli_now_ns() - began) / 1e9;
    if (status != 0) {
        flotilla_producer_last_error(producer, error, sizeof(error));
        cli_error(b->command, "the client's cost: %s", error);
    }
    flotilla_producer_destroy(producer);
    bench_add(r, RATE * SECONDS / seconds, "records/s", "client: produced, %d B each, acks=all", RECORD_SIZE);
    bench_target_at_most(bench_add(r, cpu / seconds, "cores", "client: processor time at %d records/s", RATE),
                         0.5);
    return status == 0;
}
