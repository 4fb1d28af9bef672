/* A test cluster on simulated hosts: one virtual clock, kills, and damage to their disks. */
#ifndef HELPER_SIMULATED_H
#define HELPER_SIMULATED_H

#include "helper_cluster.h"
#include "tests/sim/env_sim.h"

enum { MS = 1000000 }; /* of virtual time, in nanoseconds */

struct simulated {
    struct test_cluster cluster;
    struct sim *sim;
    struct sim_host *hosts[MAX_NODES];
};

/* `n` nodes with replicas of all groups. Settings may be changed before simulated_start. */
void simulated_init(struct simulated *s, unsigned n, unsigned n_groups);
/* Checks the oracle as well. */
void simulated_close(struct simulated *s);
/* Starts all and waits until they agree. */
void simulated_bring_up(struct simulated *s);
/* cmocka's: closes *state, a struct simulated. */
int simulated_tear_down(void **state);

/* Nodes are counted from 0. Starting a host that is up only starts what runs on it. */
void simulated_start(struct simulated *s, unsigned node);
void simulated_start_all(struct simulated *s);
void simulated_kill(struct simulated *s, unsigned node);
void simulated_kill_all(struct simulated *s);
void simulated_crash(struct simulated *s, unsigned node); /* power loss */
/* Flips a bit of the oldest segment; or, with a small entry_memory_bytes, of the newest one: an older one
 * would not even be read. */
void simulated_damage(struct simulated *s, unsigned node, uint64_t position);
/* A replaced disk: the node, which must be down, will find nothing. */
void simulated_empty(struct simulated *s, unsigned node);

/* Fail the test when they take too long. */
void simulated_settle(struct simulated *s);
void simulated_propose(struct simulated *s, uint64_t count, size_t payload); /* until acknowledged */
bool simulated_run_until(struct simulated *s, uint64_t ms, bool (*condition)(void *data), void *data);

bool simulated_is_settled(void *simulated); /* all nodes are up, agree and have applied everything */
bool simulated_is_damaged(const struct simulated *s, unsigned node); /* as its journal says */

#endif
