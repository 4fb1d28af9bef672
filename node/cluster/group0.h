/* Group 0 as a replicated state machine: commands in, tables out. Each command is the one record of a record
 * batch. A replica whose files turn out to be damaged is closed and opened again, until that works. */
#ifndef CLUSTER_GROUP0_H
#define CLUSTER_GROUP0_H

#include "node/cluster/metadata.h"
#include "node/cluster/retry.h"
#include "node/consensus/group.h"

struct group0_options {
    struct env *env;
    struct logger *logger;
    struct consensus *consensus;
    struct data_dir *data_dir;
    const uint32_t *voters; /* copied */
    unsigned voter_count;
    bool campaign_at_once;
    /* This node stands on a replaced disk, and the tables show now what there was before it came: see
     * group_callbacks.joined. */
    void (*joined)(void *data);
    /* The tables or this node's role changed. May be called from inside an apply: defer. */
    void (*changed)(void *data);
    void *data;
};

/* The way from a failure back to a replica that runs. */
enum group0_reopening { GROUP0_STAYS, GROUP0_FAILED, GROUP0_CLOSES, GROUP0_PAUSES, GROUP0_OPENS };

struct group0 {
    struct group *group; /* NULL while closed, also between two openings */
    struct metadata *metadata;
    bool is_ready;          /* read-only: this node leads and has applied everything before its term */
    struct queue proposals; /* private from here */
    bool has_failed;
    bool is_joined; /* when it was open last */
    struct group0_options options;
    uint32_t voters[PARTITION_REPLICAS_MAX];
    void (*opened)(void *data, int status, const char *message);
    bool is_open;
    enum group0_reopening reopening;
    struct group *reopened; /* what is being closed or opened meanwhile */
    struct retry retry;
    struct env_timer timer;
    void (*closed)(void *data);
    void *closed_data;
};

/* A nonzero return: nothing was opened. Otherwise `opened` is called once, and group0_close is due even after
 * an error. */
int group0_open(struct group0 *g, const struct group0_options *options,
                void (*opened)(void *data, int status, const char *message));
/* Whether group0_close is due. */
bool group0_is_open(const struct group0 *g);
/* Its tables show everything that a leader has announced. */
bool group0_caught_up(const struct group0 *g);
/* False while this node knows nothing, or stands on a replaced disk and the tables do not show yet what there
 * was before it came. */
bool group0_joined(struct group0 *g);
/* Outstanding proposals complete first. */
void group0_close(struct group0 *g, bool clean, void (*closed)(void *data), void *data);
/* After closing: frees the tables. */
void group0_release(struct group0 *g);

/* One command on its way. The struct stays in place until the callback. */
struct group0_proposal {
    void *data;
    int result;                /* what metadata_apply said */
    uint64_t version;          /* of the tables after it */
    int64_t first_producer_id; /* the table's next id before it: the begin of a range that it reserved */
    /* status 0: committed and applied, see `result`; else the outcome is unknown. */
    void (*cb)(struct group0_proposal *p, int status); /* private from here */
    struct queue node;
    struct proposal proposal;
    uint64_t term;
    bool applied;
};

/* A nonzero return: not proposed, no callback. */
int group0_propose(struct group0 *g, struct group0_proposal *p, const Flotilla__MetadataCommand *command,
                   void (*cb)(struct group0_proposal *p, int status));

#endif
