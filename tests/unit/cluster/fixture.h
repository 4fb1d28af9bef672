/* Three nodes' cluster objects over a consensus in memory (fake_consensus.h), with replicas that only note
 * what they are told. */
#ifndef TESTS_UNIT_CLUSTER_FIXTURE_H
#define TESTS_UNIT_CLUSTER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/cluster/fake_consensus.h"

enum { NODES = 3, OFFSETS_PARTITIONS = 4, TURNS_MAX = 200000 };

struct running {
    uint64_t group_id;
    struct group *group;
    int64_t retention_ms;
};

struct test_node {
    struct fixture *fixture;
    uint32_t id;
    struct cluster *cluster;
    int start_status;
    char start_message[256];
    bool is_started;
    bool is_closed;
    struct running running[FAKE_GROUPS_MAX];
    unsigned running_count;
    bool is_written_to;
    bool hold_starts;
    uint64_t held[FAKE_GROUPS_MAX];
    unsigned held_count;
    int fail_starts; /* how many */
    uint64_t erased[FAKE_GROUPS_MAX];
    unsigned erased_count;
};

struct fixture {
    struct fake_world world;
    struct test_node nodes[NODES];
};

#define RUN_UNTIL(f, condition)                                                                              \
    do {                                                                                                     \
        unsigned run_until_turns_ = 0;                                                                       \
        while (!(condition)) {                                                                               \
            assert_true(run_until_turns_ < TURNS_MAX);                                                       \
            run_until_turns_++;                                                                              \
            fake_world_turn(&(f)->world);                                                                    \
        }                                                                                                    \
    } while (0)

/* NULL when this node runs no replica of the group. */
struct running *find_running(struct test_node *n, uint64_t group_id);
bool was_erased(const struct test_node *n, uint64_t group_id);

void start_node_with(struct fixture *f, uint32_t id, const struct cluster_peer *peers, unsigned peer_count);
void start_node(struct fixture *f, uint32_t id);
void close_node(struct fixture *f, uint32_t id);
bool all_ready(struct fixture *f);

/* For cmocka: a fixture with three ready nodes, node 2 being the controller, and its end. */
int fixture_open(void **state);
int fixture_close(void **state);
#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

/* ---- operations ---- */

struct operation {
    struct cluster_op op;
    bool is_done;
};

void on_done(struct cluster_op *op);
struct cluster *cluster_of(struct fixture *f, uint32_t id);
/* Waits for the end, and gives the status. */
int create_on(struct fixture *f, uint32_t id, const char *name, uint32_t partitions, uint32_t replicas);
const struct topic_meta *topic_on(struct fixture *f, uint32_t id, const char *name);
bool everywhere(struct fixture *f, const char *name);

#endif
