/* A whole cluster's consensus in memory, on a clock of its own: stands in for node/consensus, the journal and
 * the data directory, so that the cluster room can be driven step by step. Who leads, who lives and what gets
 * lost is the test's word; group 0 has one shared log that commits at once unless it is held. */
#ifndef UNIT_CLUSTER_FAKE_CONSENSUS_H
#define UNIT_CLUSTER_FAKE_CONSENSUS_H

#include "node/cluster/cluster.h"
#include "node/env/env_ops.h"

enum { FAKE_NODES_MAX = 7, FAKE_GROUPS_MAX = 2600, FAKE_LOG_MAX = 4096, FAKE_DISK_MAX = 64 };

struct fake_env {
    struct env env;
    uint64_t now_ns;
    uint64_t random_state;
};

/* One replica of a group on one node. */
struct group {
    struct fake_world *world;
    uint32_t node_id;
    uint64_t id;
    uint32_t replicas[PARTITION_REPLICAS_MAX];
    unsigned replica_count;
    uint64_t applied; /* of group 0 */
    const struct group_callbacks *callbacks;
    void *data;
    struct env_task task;
    void (*opened)(void *data, struct group *group, int status, const char *message);
    void (*closed)(void *data);
    void *closed_data;
    struct env_task transfer_task;
    uint32_t transfer_target;
    void (*transferred)(void *data, int status);
    void *transfer_data;
};

struct fake_leader {
    uint64_t group_id;
    uint32_t node_id;
    uint64_t term;
};

struct fake_entry {
    struct slice batch;
    uint64_t term;
    struct proposal *proposal;
};

struct consensus {
    struct fake_world *world;
    uint32_t node_id;
    bool is_up;
    struct cluster *cluster;
    struct group *group0;
    uint64_t disk[FAKE_DISK_MAX]; /* group directories that lie there */
    unsigned disk_count;
    uint64_t emptied[FAKE_DISK_MAX]; /* groups that were marked so in the journal */
    unsigned emptied_count;
};

struct fake_forward {
    struct queue node;
    struct fake_world *world;
    struct forward_req *req;
    uint32_t from;
    uint32_t to;
    uint64_t ticket;
    struct bytes bytes;
    uint16_t type;
    bool is_answered;
    int status;
    struct env_task task;
};

struct fake_world {
    struct fake_env env;
    struct consensus nodes[FAKE_NODES_MAX]; /* ids 1, 2, ... */
    unsigned node_count;
    struct fake_leader leaders[FAKE_GROUPS_MAX];
    unsigned leader_count;
    struct fake_entry log[FAKE_LOG_MAX]; /* of group 0 */
    uint64_t last;
    uint64_t committed;
    bool hold_commits;
    uint32_t held_node;    /* does not apply */
    unsigned lose_answers; /* of forwarded requests, after they have been served */
    unsigned lose_requests;
    unsigned transfers_at_once; /* under way now, and the most ever */
    unsigned transfers_most;
    unsigned transfers;
    uint32_t lagging_node;     /* in sync with nobody */
    uint32_t electing_node;    /* its replicas don't know their leaders */
    uint32_t catching_up_node; /* its replicas are sent files */
    uint32_t newcomer_node;    /* stands on a replaced disk */
    unsigned fail_opens;       /* of group 0, so many times */
    struct env_task commit_task;
    struct queue forwards;
    uint64_t next_ticket;
};

void fake_world_init(struct fake_world *w, unsigned nodes);
void fake_world_close(struct fake_world *w);
struct consensus *fake_node(struct fake_world *w, uint32_t node_id);

/* Runs what is deferred; when nothing is, goes on to the next timer. */
void fake_world_turn(struct fake_world *w);
/* Runs for this long. */
void fake_world_run(struct fake_world *w, uint64_t ms);

/* Makes `node_id` the leader in a new term; 0: nobody leads. Uncommitted entries of group 0 are lost. */
void fake_world_elect(struct fake_world *w, uint64_t group_id, uint32_t node_id);
uint32_t fake_world_leader(const struct fake_world *w, uint64_t group_id);
/* A dead node leads nothing and answers nobody, but its objects stay. */
void fake_world_set_up(struct fake_world *w, uint32_t node_id, bool up);
void fake_world_commit(struct fake_world *w);
/* The node's metadata group loads its core again: the tables begin anew. */
void fake_world_reload(struct fake_world *w, uint32_t node_id);
/* All that there was before the newcomer came is in its tables. */
void fake_world_join(struct fake_world *w);
/* It stops, as the core does. */
void fake_world_fail(struct fake_world *w, uint32_t node_id, int status);

struct group *fake_group_create(struct fake_world *w, uint32_t node_id,
                                const struct partition_meta *partition);
void fake_group_destroy(struct group *g);

#endif
