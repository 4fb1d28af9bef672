/* Who leads what: leaders come home, nodes are drained, and hand over before they stop. */
#include "tests/unit/cluster/fixture.h"

static unsigned leads(struct fixture *f, uint32_t node_id)
{
    unsigned count = 0;
    for (unsigned i = 0; i < f->world.leader_count; i++) {
        count += f->world.leaders[i].node_id == node_id ? 1 : 0;
    }
    return count;
}

static void elect_heirs(struct fixture *f)
{
    for (unsigned i = 0; i < f->world.leader_count; i++) {
        if (f->world.leaders[i].node_id == 0) {
            fake_world_elect(&f->world, f->world.leaders[i].group_id, 2 + i % 2);
        }
    }
}

static void leaders_come_back_a_few_at_a_time(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 1, "t", 120, 3), 0);
    unsigned before = leads(f, 1);
    assert_in_range(before, 40, 43);
    fake_world_set_up(&f->world, 1, false);
    elect_heirs(f);
    fake_world_run(&f->world, 5000);
    assert_int_equal(leads(f, 1), 0);
    f->world.transfers = 0; /* some went from the heirs that the test chose to the second in place */
    f->world.transfers_most = 0;
    fake_world_set_up(&f->world, 1, true);
    fake_world_run(&f->world, 1500);
    assert_int_equal(f->world.transfers, 0);
    RUN_UNTIL(f, leads(f, 1) == before);
    /* Two nodes gave back, each at most eight at once; and nothing moves any more. */
    assert_in_range(f->world.transfers_most, 1, 16);
    assert_int_equal(f->world.transfers, before);
    fake_world_run(&f->world, 10000);
    assert_int_equal(f->world.transfers, before);
}

static void a_draining_node_leads_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 1, "t", 30, 3), 0);
    assert_int_equal(create_on(f, 1, "single", 3, 1), 0);
    struct operation o = {0};
    cluster_drain_node(cluster_of(f, 1), &o.op, 2, true, 10000, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    /* Its partition without another replica stays; group 0, which it led, does not. */
    assert_int_equal(o.op.still_leads, 1);
    assert_int_equal(leads(f, 2), 1);
    assert_int_not_equal(fake_world_leader(&f->world, METADATA_GROUP_ID), 2);
    assert_int_equal(create_on(f, 1, "later", 9, 2), 0);
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_not_equal(topic_on(f, 1, "later")->partitions[i].replicas[0], 2);
    }
    o = (struct operation){0};
    cluster_drain_node(cluster_of(f, 3), &o.op, 2, false, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    RUN_UNTIL(f, leads(f, 2) >= 10);
}

static void a_replica_that_lags_is_not_made_leader(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 1, "t", 12, 3), 0);
    fake_world_run(&f->world, 5000);
    f->world.lagging_node = 3;
    for (unsigned i = 0; i < f->world.leader_count; i++) {
        if (f->world.leaders[i].node_id == 3) {
            fake_world_elect(&f->world, f->world.leaders[i].group_id, 1);
        }
    }
    struct operation o = {0};
    cluster_drain_node(cluster_of(f, 1), &o.op, 2, true, 10000, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    fake_world_run(&f->world, 5000);
    assert_int_equal(leads(f, 3), 0);
    f->world.lagging_node = 0;
    fake_world_run(&f->world, 900);
    assert_int_equal(leads(f, 3), 0);
    RUN_UNTIL(f, leads(f, 3) >= 4);
}

static void on_handed_over(void *data, unsigned still_leads)
{
    *(unsigned *)data = still_leads;
}

static void hand_over_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    unsigned still_leads = UINT32_MAX;
    assert_int_equal(create_on(f, 1, "t", 450, 3), 0);
    fake_world_run(&f->world, 5000);
    uint64_t begin = f->world.env.now_ns;
    cluster_hand_over(cluster_of(f, 2), 5000, on_handed_over, &still_leads);
    RUN_UNTIL(f, still_leads != UINT32_MAX);
    assert_int_equal(still_leads, 0);
    assert_int_equal(leads(f, 2), 0);
    assert_in_range(f->world.transfers_most, 2, 64);
    assert_true(f->world.env.now_ns - begin < 1000000000);
    /* Nothing is handed back while the node closes. */
    fake_world_run(&f->world, 1900);
    assert_int_equal(leads(f, 2), 0);
}

/* A node that closes its files before its successors serve takes the disk from them; but not for ever. */
static void hand_over_waits_until_the_new_leaders_serve(void **state)
{
    struct fixture *f = *state;
    unsigned still_leads = UINT32_MAX;
    assert_int_equal(create_on(f, 1, "t", 9, 3), 0);
    fake_world_run(&f->world, 5000);
    assert_true(leads(f, 2) > 0);
    f->world.electing_node = 2;
    cluster_hand_over(cluster_of(f, 2), 5000, on_handed_over, &still_leads);
    fake_world_run(&f->world, 500);
    assert_int_equal(leads(f, 2), 0);
    assert_int_equal(still_leads, UINT32_MAX);
    f->world.electing_node = 0;
    fake_world_run(&f->world, 100);
    assert_int_equal(still_leads, 0);
}

static void hand_over_does_not_wait_for_ever(void **state)
{
    struct fixture *f = *state;
    unsigned still_leads = UINT32_MAX;
    assert_int_equal(create_on(f, 1, "t", 9, 3), 0);
    fake_world_run(&f->world, 5000);
    f->world.electing_node = 2;
    cluster_hand_over(cluster_of(f, 2), 10000, on_handed_over, &still_leads);
    fake_world_run(&f->world, 2000);
    assert_int_equal(still_leads, 0);
}

/* None of them knows of the others that they are stopping, too. */
static void nodes_that_stop_together_do_not_pass_leaderships_round(void **state)
{
    struct fixture *f = *state;
    unsigned still_lead[NODES] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    assert_int_equal(create_on(f, 1, "t", 30, 3), 0);
    fake_world_run(&f->world, 5000);
    uint64_t begin = f->world.env.now_ns;
    for (uint32_t id = 1; id <= NODES; id++) {
        cluster_hand_over(cluster_of(f, id), 10000, on_handed_over, &still_lead[id - 1]);
    }
    for (uint32_t id = 1; id <= NODES; id++) {
        RUN_UNTIL(f, still_lead[id - 1] != UINT32_MAX);
    }
    assert_true(f->world.env.now_ns - begin < 2000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(leaders_come_back_a_few_at_a_time),
        WITH_CLUSTER(a_draining_node_leads_nothing),
        WITH_CLUSTER(a_replica_that_lags_is_not_made_leader),
        WITH_CLUSTER(hand_over_leaves_nothing_behind),
        WITH_CLUSTER(hand_over_waits_until_the_new_leaders_serve),
        WITH_CLUSTER(hand_over_does_not_wait_for_ever),
        WITH_CLUSTER(nodes_that_stop_together_do_not_pass_leaderships_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
