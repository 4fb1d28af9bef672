#include "node/base/metrics.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Printed histograms are cut at every power of two from 2^15 ns (33 us) to 2^34 ns (17 s). */
enum { PRINTED_FIRST_BITS = 15, PRINTED_LAST_BITS = 34 };

/* The Prometheus escape of one byte of a label's value (or of a help text, which has the same but for the
 * quote). */
static size_t escape(char c, char out[2])
{
    if (c != '"' && c != '\\' && c != '\n') {
        out[0] = c;
        return 1;
    }
    out[0] = '\\';
    out[1] = c == '\n' ? 'n' : c;
    return 2;
}

void metrics_init(struct metrics *m)
{
    queue_init(&m->all);
}

void metrics_close(struct metrics *m)
{
    ASSERT(queue_empty(&m->all));
}

static void add(struct metrics *m, struct metric *metric, enum metric_kind kind, const char *name,
                const char *help, const char *labels)
{
    metric->kind = kind;
    metric->name = name;
    metric->help = help;
    snprintf(metric->labels, sizeof(metric->labels), "%s", labels == NULL ? "" : labels);
    queue_push(&m->all, &metric->node);
}

void metrics_add_counter(struct metrics *m, struct metric *metric, const char *name, const char *help,
                         const char *labels, const uint64_t *value)
{
    add(m, metric, METRIC_COUNTER, name, help, labels);
    metric->counter = value;
}

void metrics_add_gauge(struct metrics *m, struct metric *metric, const char *name, const char *help,
                       const char *labels, double (*read)(void *data), void *data)
{
    add(m, metric, METRIC_GAUGE, name, help, labels);
    metric->gauge.read = read;
    metric->gauge.data = data;
}

void metrics_add_histogram(struct metrics *m, struct metric *metric, const char *name, const char *help,
                           const char *labels, const struct histogram *h)
{
    add(m, metric, METRIC_HISTOGRAM, name, help, labels);
    metric->histogram = h;
}

void metrics_remove(struct metric *metric)
{
    queue_remove(&metric->node);
}

static void __attribute__((format(printf, 2, 3))) print(struct bytes *out, const char *format, ...)
{
    char text[2 * METRIC_LABELS_SIZE];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ASSERT(n >= 0 && (size_t)n < sizeof(text));
    bytes_append(out, text, (size_t)n);
}

static void print_text(struct bytes *out, const char *text)
{
    bytes_append(out, text, strlen(text));
}

static void print_double(struct bytes *out, double value)
{
    if (isnan(value))
        print_text(out, "NaN");
    else if (isinf(value))
        print_text(out, value > 0 ? "+Inf" : "-Inf");
    else
        print(out, "%.15g", value);
}

/* name_suffix{labels,extra} and the space before the value. */
static void print_series(struct bytes *out, const struct metric *metric, const char *suffix,
                         const char *extra)
{
    print_text(out, metric->name);
    print_text(out, suffix);
    if (metric->labels[0] != '\0' || extra[0] != '\0') {
        const char *comma = metric->labels[0] != '\0' && extra[0] != '\0' ? "," : "";
        print(out, "{%s%s%s}", metric->labels, comma, extra);
    }
    print_text(out, " ");
}

static void print_histogram(struct bytes *out, const struct metric *metric)
{
    const struct histogram *h = metric->histogram;
    uint64_t below = 0;
    unsigned bucket = 0;
    for (unsigned bits = PRINTED_FIRST_BITS; bits <= PRINTED_LAST_BITS; bits++) {
        char le[48];
        for (; bucket < histogram_bucket_of((uint64_t)1 << bits); bucket++)
            below += h->counts[bucket];
        snprintf(le, sizeof(le), "le=\"%.9g\"", (double)((uint64_t)1 << bits) / 1e9);
        print_series(out, metric, "_bucket", le);
        print(out, "%llu\n", (unsigned long long)below);
    }
    print_series(out, metric, "_bucket", "le=\"+Inf\"");
    print(out, "%llu\n", (unsigned long long)h->count);
    print_series(out, metric, "_sum", "");
    print_double(out, (double)h->sum_ns / 1e9);
    print_text(out, "\n");
    print_series(out, metric, "_count", "");
    print(out, "%llu\n", (unsigned long long)h->count);
}

static void print_value(struct bytes *out, const struct metric *metric)
{
    switch (metric->kind) {
    case METRIC_COUNTER:
        print_series(out, metric, "", "");
        print(out, "%llu\n", (unsigned long long)*metric->counter);
        break;
    case METRIC_GAUGE:
        print_series(out, metric, "", "");
        print_double(out, metric->gauge.read(metric->gauge.data));
        print_text(out, "\n");
        break;
    case METRIC_HISTOGRAM:
        print_histogram(out, metric);
        break;
    }
}

static void print_help(struct bytes *out, const struct metric *metric)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    print_text(out, "# HELP ");
    print_text(out, metric->name);
    print_text(out, " ");
    for (const char *c = metric->help; *c != '\0'; c++) {
        char piece[2] = {*c};
        bytes_append(out, piece, *c == '"' ? 1 : escape(*c, piece));
    }
    print_text(out, "\n# TYPE ");
    print_text(out, metric->name);
    print(out, " %s\n", kinds[metric->kind]);
}

struct ordered {
    const struct metric *metric;
    size_t added; /* keeps the order of addition within a name */
};

static int compare(const void *a, const void *b)
{
    const struct ordered *left = a;
    const struct ordered *right = b;
    int by_name = strcmp(left->metric->name, right->metric->name);
    if (by_name != 0)
        return by_name;
    return left->added < right->added ? -1 : 1;
}

void metrics_print(const struct metrics *m, struct bytes *out)
{
    size_t n = 0;
    QUEUE_FOREACH (node, &m->all)
        n++;
    struct ordered *all = memory_alloc(n * sizeof(*all));
    n = 0;
    QUEUE_FOREACH (node, &m->all) {
        all[n] = (struct ordered){QUEUE_ENTRY(node, struct metric, node), n};
        n++;
    }
    qsort(all, n, sizeof(*all), compare);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(all[i - 1].metric->name, all[i].metric->name) != 0)
            print_help(out, all[i].metric);
        print_value(out, all[i].metric);
    }
    free(all);
}
