/* Group 0 as a replicated state machine: commands in, tables out. Each command is the one record of a record
 * batch. */
#ifndef CLUSTER_GROUP0_H
#define CLUSTER_GROUP0_H

#include "node/cluster/metadata.h"
#include "node/consensus/group.h"

struct group0 {
    struct group *group; /* NULL while closed */
    struct metadata *metadata;
    struct env *env;
    struct logger *logger;
    bool is_ready;          /* read-only: this node leads and has applied everything before its term */
    struct queue proposals; /* private from here */
    bool has_failed;
    bool is_joined; /* see group0_joined */
    uint64_t joined_group_id;
    void (*changed)(void *data);
    void (*opened)(void *data, int status, const char *message);
    void *data;
};

struct group0_options {
    struct env *env;
    struct logger *logger;
    struct consensus *consensus;
    struct data_dir *data_dir;
    const uint32_t *voters;
    unsigned voter_count;
    bool campaign_at_once;
    /* The tables or this node's role changed. May be called from inside an apply: defer. */
    void (*changed)(void *data);
    void *data;
};

/* A nonzero return: nothing was opened. Otherwise `opened` is called once, and group0_close is due even after
 * an error. */
int group0_open(struct group0 *g, const struct group0_options *options,
                void (*opened)(void *data, int status, const char *message));
/* Outstanding proposals complete first. */
/* False while this node is new to the cluster and the tables do not yet show what there was before it came.
 * Then true, and groups below `first_new_group_id` existed already: a replica of them that has no files here
 * may stand on a replaced disk. */
bool group0_joined(struct group0 *g, uint64_t *first_new_group_id);
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
