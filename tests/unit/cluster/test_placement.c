#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/prng.h"
#include "node/cluster/placement.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES_MAX = 12, PARTITIONS_MAX = 300 };

static struct prng prng;
static struct placement_node nodes[NODES_MAX];
static struct partition_meta partitions[PARTITIONS_MAX];

static void make_nodes(unsigned count, unsigned racks)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (unsigned i = 0; i < count; i++) {
        nodes[i] = (struct placement_node){.id = 100 + i * 7, .rack = racks == 0 ? "" : names[i % racks]};
    }
}

static struct placement_node *node_by_id(uint32_t id)
{
    return &nodes[(id - 100) / 7];
}

static unsigned distinct_racks(const struct partition_meta *p)
{
    unsigned distinct = 0;
    for (unsigned i = 0; i < p->replica_count; i++) {
        bool seen = false;
        for (unsigned j = 0; j < i; j++) {
            seen = seen || strcmp(node_by_id(p->replicas[i])->rack, node_by_id(p->replicas[j])->rack) == 0;
        }
        distinct += seen ? 0 : 1;
    }
    return distinct;
}

static void assert_distinct_replicas(const struct partition_meta *p)
{
    for (unsigned i = 0; i < p->replica_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            assert_int_not_equal(p->replicas[i], p->replicas[j]);
        }
    }
}

struct spread {
    unsigned replicas;
    unsigned leaders;
};

static struct spread spread_of(unsigned count)
{
    unsigned min[2] = {UINT32_MAX, UINT32_MAX};
    unsigned max[2] = {0, 0};
    for (unsigned i = 0; i < count; i++) {
        unsigned values[2] = {nodes[i].replicas, nodes[i].leaders};
        for (int k = 0; k < 2; k++) {
            min[k] = values[k] < min[k] ? values[k] : min[k];
            max[k] = values[k] > max[k] ? values[k] : max[k];
        }
    }
    return (struct spread){max[0] - min[0], max[1] - min[1]};
}

/* Topics of all sizes, one after the other: the nodes' replicas never differ by more than one.
 */
static void spreads_evenly(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        unsigned count = 1 + (unsigned)prng_below(&prng, NODES_MAX);
        make_nodes(count, 0);
        for (int topic = 0; topic < 5; topic++) {
            unsigned most = count < PARTITION_REPLICAS_MAX ? count : PARTITION_REPLICAS_MAX;
            unsigned replicas = 1 + (unsigned)prng_below(&prng, most);
            uint32_t n = 1 + (uint32_t)prng_below(&prng, PARTITIONS_MAX);
            assert_int_equal(placement_assign(nodes, count, replicas, partitions, n), 0);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(partitions[i].replica_count, replicas);
                assert_distinct_replicas(&partitions[i]);
            }
            struct spread spread = spread_of(count);
            assert_true(spread.replicas <= 1);
            /* The sets come first, so that leaders can miss the optimum by a little. */
            assert_true(spread.leaders <= (topic == 0 && replicas == count ? 1 : 4));
        }
    }
}

static void covers_as_many_racks_as_it_can(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        unsigned racks = 1 + (unsigned)prng_below(&prng, 5);
        unsigned count = racks + (unsigned)prng_below(&prng, NODES_MAX - racks + 1);
        make_nodes(count, racks);
        unsigned most = count < PARTITION_REPLICAS_MAX ? count : PARTITION_REPLICAS_MAX;
        unsigned replicas = 1 + (unsigned)prng_below(&prng, most);
        assert_int_equal(placement_assign(nodes, count, replicas, partitions, 60), 0);
        for (uint32_t i = 0; i < 60; i++) {
            assert_distinct_replicas(&partitions[i]);
            assert_int_equal(distinct_racks(&partitions[i]), replicas < racks ? replicas : racks);
        }
    }
}

static void prefers_the_node_that_holds_least(void **state)
{
    (void)state;
    make_nodes(4, 0);
    nodes[0].replicas = nodes[1].replicas = nodes[2].replicas = 30;
    nodes[0].leaders = nodes[1].leaders = nodes[2].leaders = 10;
    assert_int_equal(placement_assign(nodes, 4, 3, partitions, 10), 0);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(partitions[i].replicas[0], nodes[3].id);
    }
}

/* With a node down, its share of leaders moves to all others, not to one neighbour. */
static void load_of_a_dead_node_spreads(void **state)
{
    (void)state;
    enum { COUNT = 5, PARTITIONS = 200 };
    make_nodes(COUNT, 0);
    assert_int_equal(placement_assign(nodes, COUNT, 3, partitions, PARTITIONS), 0);
    for (unsigned dead = 0; dead < COUNT; dead++) {
        unsigned heirs[COUNT] = {0};
        for (uint32_t i = 0; i < PARTITIONS; i++) {
            if (partitions[i].replicas[0] == nodes[dead].id) {
                heirs[(partitions[i].replicas[1] - 100) / 7]++;
            }
        }
        for (unsigned i = 0; i < COUNT; i++) {
            assert_true(i == dead || heirs[i] > 0);
        }
    }
}

static void reserve_nodes_come_last_and_do_not_lead(void **state)
{
    (void)state;
    make_nodes(3, 0);
    nodes[1].reserve = true;
    assert_int_equal(placement_assign(nodes, 3, 2, partitions, 20), 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_not_equal(partitions[i].replicas[0], nodes[1].id);
        assert_int_not_equal(partitions[i].replicas[1], nodes[1].id);
    }
    assert_int_equal(placement_assign(nodes, 3, 3, partitions, 20), 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_not_equal(partitions[i].replicas[0], nodes[1].id);
    }
}

static void refuses_impossible_replication(void **state)
{
    (void)state;
    make_nodes(10, 0);
    assert_int_equal(placement_assign(nodes, 3, 0, partitions, 1), ERR_INVALID_REPLICATION);
    assert_int_equal(placement_assign(nodes, 3, 4, partitions, 1), ERR_INVALID_REPLICATION);
    assert_int_equal(placement_assign(nodes, 10, 8, partitions, 1), ERR_INVALID_REPLICATION);
}

int main(void)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("SEED=%llu\n", (unsigned long long)seed);
    prng_init(&prng, seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spreads_evenly),
        cmocka_unit_test(covers_as_many_racks_as_it_can),
        cmocka_unit_test(prefers_the_node_that_holds_least),
        cmocka_unit_test(load_of_a_dead_node_spreads),
        cmocka_unit_test(reserve_nodes_come_last_and_do_not_lead),
        cmocka_unit_test(refuses_impossible_replication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
