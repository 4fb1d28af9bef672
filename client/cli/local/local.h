/* A cluster of flotillad processes on loopback under one directory, for demos, benchmarks and anyone's own
 * experiments:
 *
 *   DIR/cluster.json       node count, ports, cluster id
 *   DIR/node-N/data        the node's data directory
 *   DIR/node-N/log         what it logs
 *   DIR/node-N/pid         process id and start time (so that a recycled pid is never signalled)
 *
 * The processes have sessions of their own and survive the shell that started them. */
#ifndef CLI_LOCAL_LOCAL_H
#define CLI_LOCAL_LOCAL_H

#include "client/cli/cli.h"
#include <sys/types.h>

enum { LOCAL_NODES_MAX = 7 };

struct local_node {
    unsigned id;
    uint16_t client_port;
    uint16_t peer_port;
    uint16_t http_port;
    uint16_t kafka_port;
};

struct local_cluster {
    char directory[4096];
    char cluster_id[64];
    unsigned count;
    struct local_node nodes[LOCAL_NODES_MAX];
    char extra[LOCAL_NODES_MAX * 256]; /* further flotillad options, one a line */
    bool owned;                        /* its nodes die with the thread that starts them */
    _Atomic bool going;                /* being destroyed: nobody starts a node again */
    char error[512];                   /* what failed, after a false return */
};

enum local_state { LOCAL_DOWN, LOCAL_RUNNING, LOCAL_PAUSED };

/* Lays out a new cluster; `port_base` 0 looks for a free range. False when the directory holds one already.
 */
bool local_create(struct local_cluster *c, const char *directory, unsigned count, int64_t port_base,
                  const struct cli_list *node_options);
bool local_load(struct local_cluster *c, const char *directory);
bool local_start_node(struct local_cluster *c, unsigned id);
enum local_state local_node_state(const struct local_cluster *c, unsigned id, pid_t *pid);
/* Processor time of the nodes that run. */
double local_cpu_seconds(const struct local_cluster *c);
/* Their resident memory. */
double local_memory_bytes(const struct local_cluster *c);
bool local_signal(struct local_cluster *c, unsigned id, int signal);
/* Waits until the process is gone; false after `timeout_ms`. */
bool local_wait_down(struct local_cluster *c, unsigned id, int64_t timeout_ms);
/* Every node answers, knows a controller and all partitions have leaders. */
bool local_wait_ready(struct local_cluster *c, int64_t timeout_ms);
/* Stops what runs (SIGTERM, after `timeout_ms` SIGKILL). */
void local_stop(struct local_cluster *c, bool now, int64_t timeout_ms);
/* Stops at once and removes the directory, which must hold a cluster.json. */
bool local_destroy(struct local_cluster *c);
/* Where one of our programs is: beside the one that runs, else to be found on the PATH. */
void local_program(const char *name, char *out, size_t size);
/* "127.0.0.1:9192,127.0.0.1:9202,..." */
void local_bootstrap(const struct local_cluster *c, char *out, size_t size);
void local_node_path(const struct local_cluster *c, unsigned id, const char *file, char *out, size_t size);
/* Where scratch clusters get their directories. */
const char *local_scratch_parent(void);
/* A cluster of its own in a fresh temporary directory, started and ready, for `demo`, `bench` and tests. Its
 * nodes die with the calling thread, so that not even a kill -9 leaves them behind; or are kept. */
bool local_scratch(struct local_cluster *c, unsigned count);
bool local_scratch_kept(struct local_cluster *c, unsigned count);

#endif
