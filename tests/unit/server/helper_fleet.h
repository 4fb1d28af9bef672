/* Whole nodes in one process, with data directories of their own that go when the fleet is closed. They share
 * a real environment, or run on simulated hosts: waiting then takes no time, and what is waited for comes at
 * its exact moment. */
#ifndef TESTS_SERVER_HELPER_FLEET_H
#define TESTS_SERVER_HELPER_FLEET_H

#include "node/server/node.h"
#include "tests/sim/env_sim.h"
#include "tests/unit/server/helper_client.h"

enum { FLEET_MAX = 3 };

struct fleet {
    struct env *env; /* of a client: node 1's when simulated */
    struct sim *sim; /* NULL: it is real */
    struct sim_host *hosts[FLEET_MAX];
    unsigned count;
    struct node *nodes[FLEET_MAX]; /* node i + 1; NULL: stopped */
    struct node_config configs[FLEET_MAX];
    unsigned stopped;
    char directory[64];
};

/* Starts `count` nodes on free ports and waits until one of them has been elected controller. `adjust` may be
 * NULL. */
void fleet_open(struct fleet *f, unsigned count, void (*adjust)(struct node_config *config));
void fleet_open_simulated(struct fleet *f, uint64_t seed, unsigned count,
                          void (*adjust)(struct node_config *config));
/* kill -9, simulated. The memory of the node is lost. */
void fleet_kill_node(struct fleet *f, unsigned index);
/* In which node i + 1 runs, and a client beside it. */
struct env *fleet_env(const struct fleet *f, unsigned index);
void fleet_close(struct fleet *f);
/* cmocka's: closes *state, a struct fleet. */
int fleet_tear_down(void **state);
void fleet_stop_node(struct fleet *f, unsigned index, bool planned);
void fleet_start_node(struct fleet *f, unsigned index);

/* Creates a topic through this client and waits until every partition has a leader; gives its id. */
void create_topic(struct client *c, const char *name, uint32_t partitions, uint32_t replicas, uint8_t id[16]);
/* The leader of a partition as this client's node knows it; waits for one, other than `not_node`. */
uint32_t find_leader(struct client *c, const char *topic, uint32_t partition, uint32_t not_node);
/* Produces one batch and gives the error; the base offset into `base_offset` unless it is NULL. */
int produce(struct client *c, const uint8_t id[16], uint32_t partition, const char *prefix, unsigned count,
            int acks, int64_t *base_offset);
/* Reads everything from `offset` to the high watermark; returns the number of records, whose values must be
 * PREFIX-N in order. */
unsigned read_back(struct client *c, const uint8_t id[16], uint32_t partition, int64_t offset,
                   const char *prefix);
/* Checks a payload of whole batches against PREFIX-N, N counting from `next`; returns the next N. */
unsigned check_batches(const struct slice *payload, const char *prefix, unsigned next);

#endif
