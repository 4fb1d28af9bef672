/* One measurement each, into the report. False when it failed, and why has been said. */
#ifndef CLI_BENCH_MEASURE_H
#define CLI_BENCH_MEASURE_H

#include "client/cli/bench/bench.h"

/* Of a topic that is worth reading. */
#define MEASURE_READ_BYTES (UINT64_C(1) << 30)

/* What the ratios stand on. */
void measure_disk(const struct bench_cluster *b, struct bench_report *r);
void measure_loopback(struct bench_report *r);

bool measure_one_in_flight(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load);
bool measure_sustained(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load);
bool measure_consume(struct bench_cluster *b, struct bench_report *r, const char *topic);
/* Writes a topic and reads it. */
bool measure_read_back(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load);
bool measure_e2e(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load);
bool measure_failover(struct bench_cluster *b, struct bench_report *r, enum bench_fault fault,
                      unsigned times);
/* Makes the nodes' logs, caches and the disk as busy as a day's work would, before something is measured. */
bool measure_fill(struct bench_cluster *b, const struct bench_load *load, uint64_t bytes);

#endif
