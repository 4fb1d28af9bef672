#include "node/broker/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

static void error_counters_init(struct error_counters *e, struct metrics *registry, const char *name,
                                const char *help)
{
    memset(e, 0, sizeof *e);
    e->registry = registry;
    e->name = name;
    e->help = help;
}

static void error_counters_close(struct error_counters *e)
{
    for (unsigned i = 0; i < ERROR_KINDS; i++)
        if (e->counts[i] > 0)
            metrics_remove(&e->metrics[i]);
}

void error_counters_add(struct error_counters *e, int code)
{
    unsigned kind = code < 0 && code > -ERROR_KINDS ? (unsigned)-code : (unsigned)-ERR_UNKNOWN;
    if (e->counts[kind]++ > 0)
        return;
    char labels[64];
    snprintf(labels, sizeof labels, "error=\"%s\"", error_name(-(int)kind));
    metrics_add_counter(e->registry, &e->metrics[kind], e->name, e->help, labels, &e->counts[kind]);
}

/* ---- the broker ---- */

static const char *const stage_labels[PRODUCE_STAGES] = {
    [STAGE_VALIDATE] = "stage=\"validate\"",
    [STAGE_STORE] = "stage=\"store\"",
    [STAGE_REPLICATE] = "stage=\"replicate\"",
    [STAGE_COMMIT] = "stage=\"commit\"",
    [STAGE_ACK] = "stage=\"ack\"",
};
static const char *const durability_labels[PRODUCE_DURABILITIES] = {
    [DURABILITY_ALL] = "durability=\"all\"",
    [DURABILITY_LEADER] = "durability=\"leader\"",
    [DURABILITY_NONE] = "durability=\"none\"",
};

static double in_flight_bytes(void *data)
{
    return (double)((const struct broker *)data)->in_flight_bytes;
}

void broker_metrics_init(struct broker_metrics *m, struct broker *b, struct metrics *registry)
{
    struct metric *next = m->metrics;
    for (unsigned i = 0; i < PRODUCE_STAGES; i++)
        metrics_add_histogram(registry, next++, "flotilla_produce_seconds",
                              "Time of a produce request by stage; store and commit count from the proposal",
                              stage_labels[i], &m->stages[i]);
    for (unsigned i = 0; i < PRODUCE_DURABILITIES; i++)
        metrics_add_counter(registry, next++, "flotilla_produce_acks_total",
                            "Successful produce answers by the durability they stand for",
                            durability_labels[i], &m->acks[i]);
    metrics_add_counter(registry, next++, "flotilla_produce_duplicates_total",
                        "Repeats of a batch that was in the log already", "", &m->duplicates);
    metrics_add_counter(registry, next++, "flotilla_fetches_total", "Fetch requests", "", &m->fetches);
    metrics_add_counter(registry, next++, "flotilla_fetch_waits_total",
                        "Fetches that had to wait for records", "", &m->fetch_waits);
    metrics_add_gauge(registry, next++, "flotilla_produce_inflight_bytes",
                      "Produced bytes that are proposed and not yet committed", "", in_flight_bytes, b);
    metrics_add_counter(registry, next++, "flotilla_scrub_bytes_total",
                        "Stored bytes that were read and found whole without anybody asking for them", "",
                        &b->scrub.bytes);
    metrics_add_counter(registry, next++, "flotilla_scrub_passes_total",
                        "Times that everything stored was read and checked", "", &b->scrub.passes);
    error_counters_init(&m->produce_errors, registry, "flotilla_produce_errors_total",
                        "Failed produce requests");
    error_counters_init(&m->fetch_errors, registry, "flotilla_fetch_errors_total", "Failed fetch requests");
}

void broker_metrics_close(struct broker_metrics *m)
{
    for (unsigned i = 0; i < BROKER_METRICS; i++)
        metrics_remove(&m->metrics[i]);
    error_counters_close(&m->produce_errors);
    error_counters_close(&m->fetch_errors);
}

/* ---- a partition ---- */

static double high_watermark(void *data)
{
    return (double)partition_high_watermark(data);
}

static double start_offset(void *data)
{
    return (double)partition_start_offset(data);
}

static double end_offset(void *data)
{
    return (double)partition_end_offset(data);
}

static double is_leader(void *data)
{
    return group_is_ready_leader(partition_group(data)) ? 1 : 0;
}

/* Only the leader knows. */
static double is_under_replicated(void *data)
{
    const struct group *group = partition_group(data);
    unsigned replicas;
    group_replicas(group, &replicas);
    return group_is_ready_leader(group) && group_in_sync_count(group) < replicas ? 1 : 0;
}

static double partition_in_flight_bytes(void *data)
{
    return (double)group_inflight_bytes(partition_group(data));
}

void partition_metrics_init(struct partition_metrics *m, struct partition *p, struct metrics *registry)
{
    const struct {
        const char *name, *help;
        const uint64_t *value;
    } counters[] = {
        {"flotilla_partition_records_in_total", "Records committed for producers of this node",
         &m->records_in},
        {"flotilla_partition_bytes_in_total", "Bytes committed for producers of this node", &m->bytes_in},
        {"flotilla_partition_records_out_total", "Records handed to readers", &m->records_out},
        {"flotilla_partition_bytes_out_total", "Bytes handed to readers", &m->bytes_out},
    };
    const struct {
        const char *name, *help;
        double (*read)(void *data);
    } gauges[] = {
        {"flotilla_partition_high_watermark", "Offset after the last committed record", high_watermark},
        {"flotilla_partition_start_offset", "Offset of the first record kept", start_offset},
        {"flotilla_partition_end_offset", "Offset after the last record, committed or not", end_offset},
        {"flotilla_partition_leader", "1 where this node leads the partition", is_leader},
        {"flotilla_partition_under_replicated", "1 on a leader with replicas out of sync",
         is_under_replicated},
        {"flotilla_partition_inflight_bytes", "Proposed and not yet committed", partition_in_flight_bytes},
    };
    enum { COUNTERS = sizeof counters / sizeof counters[0], GAUGES = sizeof gauges / sizeof gauges[0] };
    _Static_assert(COUNTERS + GAUGES == PARTITION_METRICS, "one metric for each row");

    char labels[sizeof m->metrics[0].labels];
    snprintf(labels, sizeof labels, "topic=\"%s\",partition=\"%u\"", p->topic, p->index);
    struct metric *next = m->metrics;
    for (unsigned i = 0; i < COUNTERS; i++)
        metrics_add_counter(registry, next++, counters[i].name, counters[i].help, labels, counters[i].value);
    for (unsigned i = 0; i < GAUGES; i++)
        metrics_add_gauge(registry, next++, gauges[i].name, gauges[i].help, labels, gauges[i].read, p);
}

void partition_metrics_close(struct partition_metrics *m)
{
    for (unsigned i = 0; i < PARTITION_METRICS; i++)
        metrics_remove(&m->metrics[i]);
}
