/* Real nodes, real disks, one producer, some readers, and a ledger that keeps its own list of what was
 * acknowledged. A test starts a scene, does its worst to the nodes, and ends it: everything acknowledged must
 * have been read back exactly once, in order, at the acknowledged offset. */
#ifndef TESTS_CLUSTER_HARNESS_H
#define TESTS_CLUSTER_HARNESS_H

#include "client/cli/local/local.h"
#include "client/cli/workload/fleet.h"
#include "flotilla.h"

struct scene {
    struct local_cluster cluster;
    struct fleet fleet;
    struct flotilla_client *client; /* for the test's own questions */
    char bootstrap[256];
    const char *topic;
    uint64_t seed; /* printed; from SCENE_SEED, else the clock */
    bool judged;
};

struct scene_options {
    const char *topic;
    uint32_t partitions;
    uint64_t count; /* orders */
    uint64_t rate;  /* a second */
    /* All of it may be left out. */
    const char *const *config;       /* of the topic: name, value, ... */
    size_t config_count;             /* pairs */
    const char *const *node_options; /* "--name=value" for every node */
    size_t node_option_count;
    void (*prepare)(struct scene *s); /* the directories are there, no node runs yet */
};

/* A load that lasts however long the worst takes; ended by scene_end_load. */
enum { SCENE_ENDLESS = 500000 };

/* Three nodes, a topic, and `count` orders at `rate` a second on their way to two readers.
 *
 * A scene whose test failed is taken down before the next one starts and at the program's end; its files
 * stay, and where is said. */
struct scene *scene_start(const char *topic, uint32_t partitions, uint64_t count, uint64_t rate);
struct scene *scene_start_with(const struct scene_options *options);
/* Waits until so many (at most all) are acknowledged, fails the test after a minute without one. */
void scene_wait_acknowledged(struct scene *s, uint64_t count);
/* After the worst: the load goes on for a moment, so that what has been mended carries it too, and then ends
 * with what has been sent. */
void scene_end_load(struct scene *s);
/* Waits for producer and readers, asserts that nothing was lost, duplicated, reordered or altered and that
 * every message was acknowledged in the end. */
void scene_judge(struct scene *s);
/* Judges, takes the cluster down, and fails the test when a node's log tells of a sanitizer's finding or a
 * failed assertion. */
void scene_end(struct scene *s);
/* Reads the topic again from its beginning and judges that; needs a scene that has been judged. */
void scene_audit(struct scene *s);
/* Waits until every node is up and every partition has its leader and all replicas in sync. */
void scene_wait_settled(struct scene *s);
unsigned scene_leader(struct scene *s, uint32_t partition);
unsigned scene_random(struct scene *s, unsigned below);
void scene_kill(struct scene *s, unsigned node);
void scene_start_node(struct scene *s, unsigned node);
/* Starts it, and waits until all is settled. */
void scene_bring_back(struct scene *s, unsigned node);
/* SIGTERM, and waits. */
void scene_stop_node(struct scene *s, unsigned node);
/* Waits until this node leads the first partition. */
void scene_wait_leader(struct scene *s, unsigned node);

/* scrape_metric of one node, or the sum over all that are up (node 0). */
double scene_metric(struct scene *s, unsigned node, const char *series);

/* The size of a node's log file, as a place to look from. */
long scene_log_size(struct scene *s, unsigned node);
/* Whether `text` stands in a node's log behind `from`. */
bool scene_log_has(struct scene *s, unsigned node, long from, const char *text);
void scene_wait_log(struct scene *s, unsigned node, long from, const char *text);

/* Waits until `condition(data)` holds; fails the test with `what` after `timeout_ms`. */
void wait_until(bool (*condition)(void *data), void *data, int64_t timeout_ms, const char *what);

#endif
