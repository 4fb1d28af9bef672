/* A consuming application on a simulated client: reads a topic of the history, from the beginning or where
 * its group was, and reports what it gets. It checks by itself that offsets follow one another, and that a
 * group goes on where it was. */
#ifndef SIM_CONSUMER_H
#define SIM_CONSUMER_H

#include "tests/sim/client.h"
#include "tests/sim/history.h"

struct sim_consumer;

/* What is known of the committed offsets of one group; outlives its consumers. One consumer at a time. */
struct consumer_group {
    char name[32];
    struct consumer_group_partition {
        int64_t acked; /* a commit of this was acknowledged */
        int64_t read;  /* behind the last record that was ever given to the group */
    } partitions[HISTORY_PARTITIONS];
};

struct sim_consumer_options {
    const char *name; /* in words, for violations; copied */
    unsigned topic;
    struct consumer_group *group; /* NULL: reads from `start` on */
    enum flotilla_start start;    /* without a group */
    int64_t start_value;
    unsigned partitions; /* of which start_value was chosen; those added later have less perhaps */
    uint64_t commit_ns;  /* between two commits */
};

struct sim_consumer *consumer_create(struct sim_client *client, struct history *history,
                                     const struct sim_consumer_options *options);
/* Behind the last record that it got; -1: none yet. */
int64_t consumer_position(const struct sim_consumer *c, unsigned partition);

#endif
