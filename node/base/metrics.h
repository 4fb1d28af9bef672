/* Counters, gauges and latency histograms, and their Prometheus text form. Loop only.
 *
 * A metric is a plain struct embedded in its owner, so that counting costs one addition; a `struct metrics`
 * registry knows where they stand and prints them. The owner unregisters before it goes. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include "node/base/queue.h"
#include "proto/bytes.h"
#include <stdint.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Log-linear buckets over nanoseconds: 8 per power of two from 1 us to 64 s (HdrHistogram's idea, Tene). */
enum { HISTOGRAM_BUCKETS = 26 * 8 + 2 };
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
};

void histogram_record(struct histogram *h, uint64_t ns);
/* quantile in [0, 1]; upper bound of the bucket it falls in, but never above the maximum seen; 0 when empty.
 */
uint64_t histogram_quantile(const struct histogram *h, double quantile);
/* The index in `counts` of the bucket that `ns` falls in. */
unsigned histogram_bucket_of(uint64_t ns);

/* Room for a topic name of 249 bytes and what stands beside it. */
enum { METRIC_LABELS_SIZE = 384 };

struct metric {
    struct queue node;               /* private */
    enum metric_kind kind;           /* private from here */
    const char *name;                /* static, e.g. "flotilla_produce_records_total" */
    const char *help;                /* static */
    char labels[METRIC_LABELS_SIZE]; /* e.g. topic="orders",partition="3", escaped; or empty */
    union {
        const uint64_t *counter;
        const struct histogram *histogram;
        struct {
            double (*read)(void *data); /* a gauge is asked when it is printed */
            void *data;
        } gauge;
    };
};

struct metrics {
    struct queue all;
};

void metrics_init(struct metrics *m);
void metrics_close(struct metrics *m); /* every metric must have been removed */
/* `labels` is copied; NULL: none. */
void metrics_add_counter(struct metrics *m, struct metric *metric, const char *name, const char *help,
                         const char *labels, const uint64_t *value);
void metrics_add_gauge(struct metrics *m, struct metric *metric, const char *name, const char *help,
                       const char *labels, double (*read)(void *data), void *data);
void metrics_add_histogram(struct metrics *m, struct metric *metric, const char *name, const char *help,
                           const char *labels, const struct histogram *h);
void metrics_remove(struct metric *metric);
/* Prometheus text exposition format 0.0.4; histograms as cumulative le buckets in seconds (coarsened to a
 * few), with _sum and _count. Metrics of one name are printed together. */
void metrics_print(const struct metrics *m, struct bytes *out);

#endif
