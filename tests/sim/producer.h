/* A producing application on a simulated client: random records to the topics of the history, reported to
 * it. */
#ifndef SIM_PRODUCER_H
#define SIM_PRODUCER_H

#include "tests/sim/client.h"
#include "tests/sim/history.h"

struct sim_producer;

struct sim_producer_options {
    int acks; /* -1, 0, 1 */
    bool idempotent;
    unsigned topic;
    unsigned partitions; /* that it writes to */
    uint64_t pause_ns;   /* between two bursts, on average */
    unsigned burst;      /* records at a time, at most */
    size_t value_bytes;  /* of most records, at most */
};

struct sim_producer *producer_create(struct sim_client *client, struct history *history,
                                     const struct sim_producer_options *options);
const struct sim_producer_options *producer_options(const struct sim_producer *p);
/* Makes no more records; what was accepted is still delivered. */
void producer_pause(struct sim_producer *p);
uint64_t producer_pending(const struct sim_producer *p);
/* The library said that this one can't go on (fenced, sequence lost): make a new one. */
bool producer_is_broken(const struct sim_producer *p);

#endif
