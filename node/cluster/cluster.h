/* The cluster as one node sees it: group 0 and its tables, the controller's operations (on the node that
 * leads group 0), and the reconciler, which compares the tables with what runs here and starts, changes or
 * stops partition replicas.
 *
 * Leadership policy stands here too: leaders go back to the preferred replica when it is in sync, away from a
 * draining node, and away from this one before it stops. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "node/cluster/metadata.h"
#include "node/consensus/group.h"

struct cluster;

/* How the room above runs a replica: one for each partition that the tables place on this node. */
struct replica_start {
    bool campaign_at_once; /* a new replica whose node is to lead first */
    bool is_blank;         /* its directory has just been made, and is empty */
};

struct cluster_replica_callbacks {
    /* Opens the replica; calls cluster_replica_started(cluster, group_id, status) exactly once, later or from
     * inside. */
    void (*start)(void *data, const struct topic_meta *topic, const struct partition_meta *partition,
                  struct replica_start start);
    /* The topic's configuration or the partition's start offset changed. */
    void (*configure)(void *data, const struct topic_meta *topic, const struct partition_meta *partition);
    /* Closes the replica and, when `erase`, removes its files; calls cluster_replica_stopped once. */
    void (*stop)(void *data, uint64_t group_id, bool erase);
    /* The Raft group of a running replica (for leadership policy), or NULL. */
    struct group *(*group)(void *data, uint64_t group_id);
    /* When a record was last stored in any of them, by env_now_ns; 0: not yet. */
    uint64_t (*written_ns)(void *data);
};

struct cluster_peer {
    uint32_t id;
    const char *host;
    uint16_t port;
};

struct cluster_options {
    struct env *env;
    struct logger *logger;
    struct metrics *metrics;
    struct consensus *consensus;
    struct data_dir *data_dir;
    struct journal *journal;
    const char *cluster_id;
    const struct node_meta *self;     /* what this node tells the others of itself */
    const struct cluster_peer *peers; /* the static list, this node included */
    unsigned peer_count;
    uint32_t default_partitions;
    uint32_t default_replicas;   /* capped by the number of nodes */
    uint32_t offsets_partitions; /* of __consumer_offsets */
    const struct cluster_replica_callbacks *replicas;
    void *data;
};

/* Opens group 0 and goes on by itself: registers this node, creates __consumer_offsets once, reconciles. A
 * list of peers that cannot be used is reported through `started`, with the reason; after an error there the
 * cluster must still be closed. A nonzero return: there is nothing to close. */
int cluster_start(const struct cluster_options *options, struct cluster **cluster,
                  void (*started)(void *data, int status, const char *message));
/* Planned stop: hands over every leadership (bounded by `timeout_ms`), waits until the new leaders serve,
 * then calls `cb`. Replicas keep running. */
void cluster_hand_over(struct cluster *c, uint64_t timeout_ms, void (*cb)(void *data, unsigned still_leads),
                       void *data);
/* Stops the reconciler, closes all replicas through the callbacks, then group 0. */
void cluster_close(struct cluster *c, bool clean, void (*closed)(void *data), void *data);

void cluster_replica_started(struct cluster *c, uint64_t group_id, int status);
void cluster_replica_stopped(struct cluster *c, uint64_t group_id);
/* A running replica found its files damaged and has stopped: it is closed and opened again soon, which
 * repairs it. */
void cluster_replica_damaged(struct cluster *c, uint64_t group_id);
/* Forwarded by the owner of the consensus options. */
void cluster_leader_changed(struct cluster *c, uint64_t group_id, uint32_t node_id, uint64_t term);
void cluster_peer_changed(struct cluster *c, uint32_t node_id, bool up);

const struct metadata *cluster_metadata(const struct cluster *c);
const char *cluster_id(const struct cluster *c);
uint32_t cluster_self(const struct cluster *c);
/* The node that leads group 0; 0: nobody at the moment. */
uint32_t cluster_controller(const struct cluster *c);
/* The leader of a partition and its epoch, as far as this node knows; 0: nobody. */
uint32_t cluster_leader(const struct cluster *c, uint64_t group_id, int32_t *leader_epoch);
bool cluster_node_alive(const struct cluster *c, uint32_t node_id); /* itself, or its link is up */
/* Its link was up until so long ago, and is down. */
bool cluster_node_lost_lately(struct cluster *c, uint32_t node_id, uint64_t within_ns);
/* Afterwards what is said of leaders and nodes takes into account every node that had died before
 * (consensus_roll_call). */
void cluster_roll_call(struct cluster *c, struct roll_call_req *req, void (*cb)(struct roll_call_req *req));
/* All replicas that the tables place here run and have caught up; for /readyz. `reason` says what is
 * missing. Leaders that move don't change it. */
bool cluster_ready(struct cluster *c, char *reason, size_t reason_size);
/* Whether what is missing in this node's tables is missing in the cluster, as far as anybody can tell: not
 * after a start or in a minority, before a controller has been heard of and what it announced is applied. */
bool cluster_tables_current(const struct cluster *c);

/* ---- operations ----
 *
 * Each calls back exactly once, never from inside, and is forwarded to the controller when this node is not
 * it. After success the change stands in this node's tables too. None may begin after cluster_close. */

struct cluster_op {
    void *data;
    bool only_check; /* of create and alter: nothing is changed, the results are what they would be */
    int status;      /* results, filled before cb */
    char message[256];
    uint8_t topic_id[TOPIC_ID_SIZE];
    uint32_t partitions;
    uint32_t replicas;
    int64_t producer_id;
    uint32_t still_leads;
    void (*cb)(struct cluster_op *op); /* private from here */
    void *private_;
};
struct cluster_config_entry {
    const char *name;
    const char *value; /* NULL in an alter: back to the default */
};
/* A timeout of 0 stands for 15 s. Messages say what failed and why, also beside a status of 0 when there is
 * something to know.
 *
 * Done once every partition has a ready leader, or with ERR_TIMED_OUT while the topic exists and is still on
 * its way. */
void cluster_create_topic(struct cluster *c, struct cluster_op *op, const char *name, uint32_t partitions,
                          uint32_t replicas, const struct cluster_config_entry *config, size_t config_count,
                          uint64_t timeout_ms, void (*cb)(struct cluster_op *op));
void cluster_delete_topic(struct cluster *c, struct cluster_op *op, const char *name,
                          void (*cb)(struct cluster_op *op));
void cluster_alter_topic(struct cluster *c, struct cluster_op *op, const char *name, uint32_t partitions,
                         const struct cluster_config_entry *config, size_t config_count, uint64_t timeout_ms,
                         void (*cb)(struct cluster_op *op));
struct cluster_partition_start {
    uint32_t index;
    int64_t offset;
};
/* Records below the offsets, which must be committed ones, are served no more by whatever replica leads;
 * their files go with the segments. */
void cluster_delete_records(struct cluster *c, struct cluster_op *op, const uint8_t topic_id[TOPIC_ID_SIZE],
                            const struct cluster_partition_start *starts, size_t count, uint64_t timeout_ms,
                            void (*cb)(struct cluster_op *op));
void cluster_drain_node(struct cluster *c, struct cluster_op *op, uint32_t node_id, bool drain,
                        uint64_t timeout_ms, void (*cb)(struct cluster_op *op));
/* A producer id that no other producer has; taken from a range reserved for this node. */
void cluster_new_producer_id(struct cluster *c, struct cluster_op *op, void (*cb)(struct cluster_op *op));
/* A request that a peer forwarded to this node as the controller. */
void cluster_forwarded(struct cluster *c, uint64_t ticket, uint16_t type, const void *header, size_t size);

#endif
