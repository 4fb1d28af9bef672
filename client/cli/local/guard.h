/* Ctrl-C while a cluster of our own runs: SIGINT, SIGTERM and SIGHUP are taken by a thread that takes the
 * cluster down and ends the process with status 130, whatever the other threads are waiting for. */
#ifndef CLI_LOCAL_GUARD_H
#define CLI_LOCAL_GUARD_H

#include "client/cli/local/local.h"
#include <pthread.h>
#include <signal.h>

struct guard {
    struct local_cluster *cluster;
    bool keep;            /* leave the cluster alone */
    void (*before)(void); /* may be NULL; e.g. gives the terminal back */
    pthread_t thread;
    bool started;
    sigset_t signals;
};

/* Call before any other thread is started: they inherit the signals' being blocked. Signals that are ignored
 * (nohup) stay so. `cluster` may be filled in later. */
bool guard_start(struct guard *g, struct local_cluster *cluster, bool keep, void (*before)(void));
/* Does nothing when guard_start did not succeed. Before the cluster is taken down in the ordinary way. The
 * signals stay blocked, so that this is not interrupted half-way. */
void guard_stop(struct guard *g);

#endif
