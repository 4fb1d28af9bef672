/* What the broker counts, node-wide and per partition. */
#ifndef BROKER_METRICS_H
#define BROKER_METRICS_H

#include "node/base/metrics.h"

struct partition;
struct broker;

/* The stages of a produce request that this room sees. `store` and `commit` both begin at the proposal. */
enum produce_stage {
    STAGE_VALIDATE,  /* checks, CRC included, until the proposal */
    STAGE_STORE,     /* proposal to durable on the leader's disk: queue, write and sync */
    STAGE_REPLICATE, /* durable on the leader's disk to durable on a quorum's and applied */
    STAGE_COMMIT,    /* proposal to durable on a quorum's disks and applied */
    STAGE_ACK,       /* arrival in this room to the answer */
    PRODUCE_STAGES
};

enum produce_durability { DURABILITY_ALL, DURABILITY_LEADER, DURABILITY_NONE, PRODUCE_DURABILITIES };

/* One counter per error code; each is printed once it has happened. */
enum { ERROR_KINDS = 64 };
struct error_counters {
    struct metrics *registry;
    const char *name;
    const char *help;
    uint64_t counts[ERROR_KINDS];
    struct metric metrics[ERROR_KINDS];
};
void error_counters_add(struct error_counters *e, int code);

enum { BROKER_METRICS = PRODUCE_STAGES + PRODUCE_DURABILITIES + 6 };
struct broker_metrics {
    struct histogram stages[PRODUCE_STAGES];
    uint64_t acks[PRODUCE_DURABILITIES]; /* answers by the durability they stand for */
    uint64_t duplicates;
    uint64_t fetches;
    uint64_t fetch_waits;
    struct error_counters produce_errors;
    struct error_counters fetch_errors;
    struct metric metrics[BROKER_METRICS]; /* private */
};
void broker_metrics_init(struct broker_metrics *m, struct broker *b, struct metrics *registry);
void broker_metrics_close(struct broker_metrics *m);

enum { PARTITION_METRICS = 10 };
struct partition_metrics {
    uint64_t records_in; /* committed by produce requests to this node */
    uint64_t bytes_in;
    uint64_t records_out;
    uint64_t bytes_out;
    struct metric metrics[PARTITION_METRICS]; /* private */
};
/* The partition runs from init to close: the gauges ask its group and its log. */
void partition_metrics_init(struct partition_metrics *m, struct partition *p, struct metrics *registry);
void partition_metrics_close(struct partition_metrics *m);

#endif
