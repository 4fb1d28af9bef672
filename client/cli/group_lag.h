/* How far a group is behind, per partition. */
#ifndef CLI_GROUP_LAG_H
#define CLI_GROUP_LAG_H

#include "client/cli/cli.h"
#include "flotilla.h"

struct group_lag_row {
    const char *topic;
    uint32_t partition;
    int64_t committed; /* -1: nothing committed */
    int64_t start;     /* of the log; -1: unknown, and with the next two */
    int64_t end;
    int64_t lag_ms; /* age of the first record that is not finished; 0 when there is none */
    int64_t commit_time_ms;
    const char *metadata;
    const struct flotilla_group_member *owner; /* NULL: nobody reads it */
};
struct group_lag {
    struct group_lag_row *rows; /* by topic, partition */
    size_t count;
};

/* Rows for all partitions that are committed or read. The description must live as long. What cannot be
 * learnt in time stays unknown. */
void group_lag_measure(struct group_lag *lag, struct flotilla_client *client,
                       const struct flotilla_group_description *d, int timeout_ms);
void group_lag_close(struct group_lag *lag);
int64_t group_lag_records(const struct group_lag_row *row); /* -1: unknown */
int64_t group_lag_total(const struct group_lag *lag);

#endif
