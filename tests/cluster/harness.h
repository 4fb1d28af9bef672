/* Real nodes, real disks, one producer, some readers, and a ledger that keeps its own list of what was
 * acknowledged. A test starts a scene, does its worst to the nodes, and ends it: everything acknowledged must
 * have been read back exactly once, in order, at the acknowledged offset. */
#ifndef TESTS_CLUSTER_HARNESS_H
#define TESTS_CLUSTER_HARNESS_H

#include "client/cli/fleet.h"
#include "client/cli/local.h"
#include "flotilla.h"

struct scene {
    struct local_cluster cluster;
    struct fleet fleet;
    struct flotilla_client *client; /* for the test's own questions */
    char bootstrap[256];
    const char *topic;
    uint64_t seed; /* printed; from SCENE_SEED, else the clock */
};

/* Three nodes, a topic, and `count` orders at `rate` a second on their way to two readers. */
struct scene *scene_start(const char *topic, uint32_t partitions, uint64_t count, uint64_t rate);
/* Waits until so many are acknowledged, fails the test after a minute without one. */
void scene_wait_acknowledged(struct scene *s, uint64_t count);
/* Waits for producer and readers, asserts that nothing was lost, duplicated, reordered or altered and that
 * every message was acknowledged in the end, then takes the cluster down. */
void scene_end(struct scene *s);
/* Waits until every node is up and every partition has its leader and all replicas in sync. */
void scene_wait_settled(struct scene *s);
unsigned scene_leader(struct scene *s, uint32_t partition);
unsigned scene_random(struct scene *s, unsigned below);
void scene_kill(struct scene *s, unsigned node);
void scene_start_node(struct scene *s, unsigned node);

/* Waits until `condition(data)` holds; fails the test with `what` after `timeout_ms`. */
void wait_until(bool (*condition)(void *data), void *data, int64_t timeout_ms, const char *what);

#endif
