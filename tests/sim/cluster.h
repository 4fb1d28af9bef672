/* A simulated cluster: whole nodes (node/server/node.h), one per simulated machine, with what an operator and
 * an init system would do around them: a node that can't go on, or does not start, is started again.
 *
 * The memory of a killed node stays behind until the whole program ends (see env_sim.h): run one seed per
 * process. */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "node/server/node_internal.h"
#include "tests/sim/counters.h"
#include "tests/sim/env_sim.h"

enum { CLUSTER_MAX_NODES = 7, CLUSTER_CLIENT_PORT = 9192, CLUSTER_PEER_PORT = 9292 };

struct sim_node {
    struct sim_cluster *cluster;
    uint32_t id;
    struct sim_host *host;
    struct node_config config;
    struct node *node;     /* NULL: not running */
    struct logger *logger; /* its; of use as an address only once it is not running */
    unsigned life;         /* counts the starts */
    unsigned disks;        /* counts how often it was given an empty one */
    uint32_t disk_of;      /* the node whose disk it has: its own, unless disks were swapped */
    bool frozen;
    bool failed;  /* it said that it can't go on */
    bool stopped; /* a planned stop is complete */
    bool stopping;
    bool has_run;        /* between the last two calls of cluster_step, or it was started in the last */
    uint64_t turns;      /* of its host, then */
    uint64_t restart_ns; /* when it is started again, while it is down */
};

struct sim_cluster {
    struct sim *sim;
    unsigned count;
    struct sim_node nodes[CLUSTER_MAX_NODES];
    struct counters *counters;
    unsigned sabotage;
    unsigned small_bounds;
};

struct sim_cluster_options {
    unsigned count;
    uint64_t heartbeat_ms;
    uint64_t election_timeout_ms;
    uint64_t entry_memory_bytes;
    uint64_t cache_bytes;
    uint64_t inflight_bytes;
    enum log_level log_level;
    unsigned guards_off;
    unsigned sabotage;     /* a mask of 1 << enum sabotage */
    unsigned small_bounds; /* likewise of enum bound */
};

/* Creates the machines "n1", "n2", ... and starts their nodes. */
void cluster_init(struct sim_cluster *c, struct sim *sim, const struct sim_cluster_options *options,
                  struct counters *counters);
/* What is due between events: ends of processes, restarts. Call it every now and then, outside of callbacks.
 */
void cluster_step(struct sim_cluster *c);

/* Each needs a running node and starts it again after `down_ns`. */
void cluster_kill(struct sim_node *n, uint64_t down_ns);
void cluster_crash(struct sim_node *n, uint64_t down_ns);
void cluster_stop(struct sim_node *n); /* planned: SIGTERM; a moment later it is back */
/* Power loss of every machine at the same moment. `down_ns`: the longest. Clients are machines too, but are
 * left running. */
void cluster_crash_all(struct sim_cluster *c, uint64_t down_ns);
/* Neither may run. */
void cluster_swap_disks(struct sim_node *a, struct sim_node *b);
void cluster_freeze(struct sim_node *n);
void cluster_thaw(struct sim_node *n);

/* Running, not frozen and not on its way down. */
bool cluster_node_works(const struct sim_node *n);
/* Every replica that runs on the node, group 0 first. `partition` is NULL for group 0. */
void cluster_each_group(struct sim_node *n,
                        void (*each)(void *data, struct sim_node *n, struct group *g, struct partition *p),
                        void *data);
/* The node that leads group 0 and is ready, or NULL. */
struct sim_node *cluster_controller_node(struct sim_cluster *c);
/* Adds up the metrics of all running nodes; done by itself for those that end. */
void cluster_count(struct sim_cluster *c);
/* The nodes are about to go without a word. */
void cluster_forget(struct sim_cluster *c);

#endif
