/* A replica that is sent files while its node's other partition is written to: as soon as those appends take
 * longer than they did, the files come no faster than the floor. On simulated disks. */
#include "helper_simulated.h"
#include "node/consensus/consensus_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    NODES = 3,
    WRITTEN = 0, /* groups */
    FILLED = 1,
    PAYLOAD = 50 * 1000,
    BATCHES = 640,
    FAST_NS = MS / 10,
    SLOW_NS = 3 * MS,
};

static struct simulated simulated;
static struct test_cluster *const cluster = &simulated.cluster;
static unsigned behind; /* node */

static void propose(unsigned group, size_t payload)
{
    struct test_node *leader = cluster_leader(cluster, group);
    if (leader)
        cluster_propose(cluster, leader, group, payload);
    sim_run_for(simulated.sim, MS);
}

static void set_disks(uint64_t sync_ns)
{
    for (unsigned i = 0; i < NODES; i++)
        sim_disk_latency(simulated.hosts[i], sync_ns, sync_ns);
}

static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 2);
    cluster->entry_memory_bytes = 64 * 1024;
    cluster->segment_bytes = 16 * 1024 * 1024;
    simulated_bring_up(&simulated);
    set_disks(FAST_NS);
    behind = 0;
    simulated_kill(&simulated, behind);
    for (unsigned i = 0; i < BATCHES; i++)
        propose(FILLED, PAYLOAD);
    simulated_start(&simulated, behind);
    return 0;
}

static uint64_t fetched_bytes(void)
{
    return cluster->nodes[behind].consensus->counts.catchup_bytes;
}

static bool has_begun(void *data)
{
    (void)data;
    return node_is_open(&cluster->nodes[behind]) && fetched_bytes() > 0;
}

static void write_for(unsigned ms)
{
    for (unsigned i = 0; i < ms; i++)
        propose(WRITTEN, 100);
}

static void test_catch_up_goes_at_the_floor_while_appends_are_slow(void **state)
{
    (void)state;
    assert_true(simulated_run_until(&simulated, 20000, has_begun, NULL));
    write_for(150);
    set_disks(SLOW_NS);
    write_for(50);
    uint64_t before = fetched_bytes();
    write_for(500);
    uint64_t fetched = fetched_bytes() - before;
    assert_in_range(fetched, BULK_FLOOR_BYTES_PER_S / 4, BULK_FLOOR_BYTES_PER_S * 6 / 10);
    assert_true(fetched_bytes() < (uint64_t)BATCHES * PAYLOAD);
    simulated_settle(&simulated); /* it does come to the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_catch_up_goes_at_the_floor_while_appends_are_slow, set_up,
                                        simulated_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
