/* Replicas are started, configured, erased and opened again; and when a node is ready. */
#include "tests/unit/cluster/fixture.h"

#include "proto/error.h"
#include <string.h>

static void starts_are_bounded_and_failures_are_tried_again(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[0];
    n->hold_starts = true;
    struct operation o = {0};
    cluster_create_topic(cluster_of(f, 2), &o.op, "many", 100, 3, NULL, 0, 500, on_done);
    RUN_UNTIL(f, o.is_done);
    fake_world_run(&f->world, 1000);
    assert_int_equal(n->held_count, 16);
    char reason[128];
    assert_true(cluster_ready(n->cluster, reason, sizeof reason)); /* it was before they were asked for */
    n->hold_starts = false;
    n->fail_starts = 3;
    for (unsigned i = 0; i < 16; i++) {
        cluster_replica_started(n->cluster, n->held[i], 0);
    }
    fake_world_run(&f->world, 1000);
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS + 97);
    assert_false(cluster_ready(n->cluster, reason, sizeof reason));
    assert_non_null(strstr(reason, "3 of 104 replicas failed"));
    fake_world_run(&f->world, 6000);
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS + 100);
    assert_true(cluster_ready(n->cluster, reason, sizeof reason));
}

static bool is_ready(struct fixture *f, uint32_t id, const char *reason_unless)
{
    char reason[128] = "";
    bool ready = cluster_ready(cluster_of(f, id), reason, sizeof reason);
    assert_true(ready || strstr(reason, reason_unless) != NULL);
    return ready;
}

static void readiness_does_not_flip_while_leaders_move(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 1, "t", 6, 3), 0);
    RUN_UNTIL(f, all_ready(f));
    f->world.electing_node = 1; /* partitions and metadata alike */
    fake_world_elect(&f->world, METADATA_GROUP_ID, 0);
    fake_world_run(&f->world, 1000);
    assert_true(is_ready(f, 1, "?"));
    fake_world_elect(&f->world, METADATA_GROUP_ID, 3);
    fake_world_run(&f->world, 5000);
    assert_true(is_ready(f, 1, "?"));
    f->world.catching_up_node = 1;
    assert_false(is_ready(f, 1, "catching up"));
    f->world.catching_up_node = 0;
    assert_false(is_ready(f, 1, "catching up")); /* it must be seen to be there again */
    f->world.electing_node = 0;
    assert_true(is_ready(f, 1, "?"));
}

/* A node does not stop carrying its share because a topic is created. */
static void new_replicas_count_once_they_have_caught_up(void **state)
{
    struct fixture *f = *state;
    assert_true(is_ready(f, 1, "?"));
    f->world.electing_node = 1;
    assert_int_equal(create_on(f, 2, "t", 6, 3), 0);
    RUN_UNTIL(f, f->nodes[0].running_count == OFFSETS_PARTITIONS + 6);
    assert_true(is_ready(f, 1, "?"));
    f->world.electing_node = 0;
    assert_true(is_ready(f, 1, "?"));
    f->world.catching_up_node = 1;
    assert_false(is_ready(f, 1, "10 of 10 replicas are catching up"));
    f->world.catching_up_node = 0;
    assert_true(is_ready(f, 1, "?"));
}

static void readiness_ends_with_the_majority(void **state)
{
    struct fixture *f = *state;
    assert_true(is_ready(f, 1, "?"));
    fake_world_elect(&f->world, METADATA_GROUP_ID, 0);
    fake_world_run(&f->world, 4000);
    assert_false(is_ready(f, 1, "no controller"));
    f->world.electing_node = 1;
    fake_world_elect(&f->world, METADATA_GROUP_ID, 2);
    fake_world_run(&f->world, 100);
    assert_false(is_ready(f, 1, "catching up")); /* what it missed it does not know */
    f->world.electing_node = 0;
    assert_true(is_ready(f, 1, "?"));
}

/* Closed, not erased, and opened again; not when its topic was deleted meanwhile. */
static void damaged_replicas_are_opened_again(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[0];
    struct operation o = {0};
    cluster_create_topic(cluster_of(f, 2), &o.op, "t", 3, 3, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    RUN_UNTIL(f, n->running_count == OFFSETS_PARTITIONS + 3);
    uint64_t group_id = n->running[n->running_count - 1].group_id;
    cluster_replica_damaged(n->cluster, group_id);
    cluster_replica_damaged(n->cluster, group_id);
    RUN_UNTIL(f, find_running(n, group_id) == NULL);
    RUN_UNTIL(f, find_running(n, group_id) != NULL);
    assert_int_equal(n->erased_count, 0);
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS + 3);

    cluster_replica_damaged(n->cluster, group_id);
    RUN_UNTIL(f, find_running(n, group_id) == NULL);
    o = (struct operation){0};
    cluster_delete_topic(cluster_of(f, 2), &o.op, "t", on_done);
    RUN_UNTIL(f, o.is_done);
    RUN_UNTIL(f, n->erased_count == 3);
    fake_world_run(&f->world, 6000);
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS);
}

/* They are not the word of anybody until they show again what they showed before. */
static void tables_that_begin_anew_erase_nothing(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[2];
    assert_int_equal(create_on(f, 1, "t", 3, 3), 0);
    RUN_UNTIL(f, n->running_count == OFFSETS_PARTITIONS + 3);
    f->world.held_node = 3;
    fake_world_reload(&f->world, 3);
    fake_world_run(&f->world, 2000);
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS + 3);
    f->world.held_node = 0;
    fake_world_commit(&f->world);
    fake_world_run(&f->world, 2000);
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS + 3);
    assert_int_equal(n->erased_count, 0);
    assert_int_equal(create_on(f, 1, "later", 1, 3), 0);
    RUN_UNTIL(f, n->running_count == OFFSETS_PARTITIONS + 4);
}

/* A partition that was there before the node came may be one that its old disk had; later ones, and those
 * without other replicas, are not marked. The journal of this test is as empty as the disk. */
static void what_a_replaced_disk_had_is_marked_before_it_starts(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[2];
    const struct consensus *node = fake_node(&f->world, 3);
    f->world.newcomer_node = 3;
    struct operation o[2] = {0};
    cluster_create_topic(cluster_of(f, 2), &o[0].op, "early", 3, 3, NULL, 0, 0, on_done);
    cluster_create_topic(cluster_of(f, 2), &o[1].op, "single", 3, 1, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o[0].is_done && o[1].is_done);
    RUN_UNTIL(f, topic_on(f, 3, "single") != NULL);
    fake_world_run(&f->world, 2000);
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS);
    assert_int_equal(node->emptied_count, 0);
    fake_world_join(&f->world);
    assert_int_equal(node->emptied_count, OFFSETS_PARTITIONS + 3);
    RUN_UNTIL(f, n->running_count == OFFSETS_PARTITIONS + 4);
    assert_int_equal(create_on(f, 1, "late", 2, 3), 0);
    RUN_UNTIL(f, n->running_count == OFFSETS_PARTITIONS + 6);
    assert_int_equal(node->emptied_count, OFFSETS_PARTITIONS + 3);
}

/* However often it stops: less and less often, but it is never given up. */
static void replicas_that_keep_failing_are_opened_less_often(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[0];
    uint64_t group_id = n->running[0].group_id;
    unsigned times = 0;
    uint64_t end = f->world.env.now_ns + UINT64_C(300) * 1000 * 1000 * 1000;
    while (f->world.env.now_ns < end) {
        if (find_running(n, group_id) != NULL) {
            cluster_replica_damaged(n->cluster, group_id);
            times++;
        }
        fake_world_turn(&f->world);
    }
    assert_in_range(times, 10, 40); /* between pauses of half a second and of a minute */
    RUN_UNTIL(f, find_running(n, group_id) != NULL);
    /* After a minute of work it is as if nothing had been. */
    fake_world_run(&f->world, 90000);
    cluster_replica_damaged(n->cluster, group_id);
    RUN_UNTIL(f, find_running(n, group_id) == NULL);
    fake_world_run(&f->world, 3000);
    assert_non_null(find_running(n, group_id));
}

static void a_metadata_replica_that_failed_is_opened_again(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[2];
    assert_true(is_ready(f, 3, "?"));
    f->world.fail_opens = 2;
    fake_world_fail(&f->world, 3, ERR_CORRUPT);
    assert_false(is_ready(f, 3, "the metadata replica failed"));
    fake_world_run(&f->world, 1000);
    assert_false(is_ready(f, 3, "the metadata replica failed"));
    assert_false(cluster_tables_current(n->cluster));
    assert_int_equal(create_on(f, 1, "meanwhile", 2, 3), 0);
    fake_world_run(&f->world, 10000);
    assert_int_equal(f->world.fail_opens, 0);
    assert_true(is_ready(f, 3, "?"));
    assert_int_equal(n->erased_count, 0);
    RUN_UNTIL(f, n->running_count == OFFSETS_PARTITIONS + 2);
}

/* Nobody knows what is on a disk that has failed a sync. */
static void a_metadata_replica_whose_disk_failed_stays_closed(void **state)
{
    struct fixture *f = *state;
    fake_world_fail(&f->world, 3, ERR_IO);
    fake_world_run(&f->world, 200000);
    assert_false(is_ready(f, 3, "the metadata replica failed"));
}

/* At whatever point of being opened again. */
static void a_node_closes_while_its_metadata_replica_is_opened_again(void **state)
{
    struct fixture *f = *state;
    unsigned turns[NODES] = {1, 2, 5};
    for (unsigned i = 0; i < NODES; i++) {
        f->world.fail_opens = i;
        fake_world_fail(&f->world, i + 1, ERR_CORRUPT);
        for (unsigned k = 0; k < turns[i]; k++) {
            fake_world_turn(&f->world);
        }
        close_node(f, i + 1);
    }
}

static void only_files_of_deleted_groups_are_orphans(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 1, "gone", 1, 3), 0);
    uint64_t deleted = topic_on(f, 1, "gone")->partitions[0].group_id;
    uint64_t kept = topic_on(f, 1, OFFSETS_TOPIC)->partitions[0].group_id;
    struct test_node *n = &f->nodes[0];
    close_node(f, 1);
    struct operation o = {0};
    cluster_delete_topic(cluster_of(f, 2), &o.op, "gone", on_done);
    RUN_UNTIL(f, o.is_done);
    struct consensus *node = fake_node(&f->world, 1);
    uint64_t unheard_of = metadata_next_group_id(cluster_metadata(cluster_of(f, 2))) + 10;
    node->disk[0] = METADATA_GROUP_ID;
    node->disk[1] = kept;
    node->disk[2] = deleted;
    node->disk[3] = unheard_of;
    node->disk_count = 4;
    memset(n, 0, sizeof *n);
    start_node(f, 1);
    RUN_UNTIL(f, was_erased(n, deleted));
    fake_world_run(&f->world, 2000);
    assert_int_equal(n->erased_count, 1);
}

/* When a node starts there is nobody yet who writes to it and would have to wait. */
static void what_was_there_is_opened_faster_than_created(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[0];
    assert_int_equal(create_on(f, 1, "many", 100, 3), 0);
    close_node(f, 1);
    memset(n, 0, sizeof *n);
    n->hold_starts = true;
    start_node(f, 1);
    fake_world_run(&f->world, 1000);
    assert_int_equal(n->held_count, 32);
    for (unsigned i = 0; i < n->held_count; i++) {
        cluster_replica_started(n->cluster, n->held[i], 0);
        fake_world_run(&f->world, 10);
    }
    assert_int_equal(n->running_count, OFFSETS_PARTITIONS + 100);
}

/* Beside producers, until the first 16 have taken long. */
static void begin_slow_creations(struct fixture *f, struct operation *o, uint32_t partitions)
{
    struct test_node *n = &f->nodes[0];
    for (unsigned i = 0; i < NODES; i++) {
        f->nodes[i].hold_starts = true;
    }
    n->is_written_to = true;
    cluster_create_topic(cluster_of(f, 2), &o->op, "many", partitions, 3, NULL, 0, 500, on_done);
    RUN_UNTIL(f, n->held_count > 0);
    fake_world_run(&f->world, 5);
    assert_in_range(n->held_count, 1, 4);
    fake_world_run(&f->world, 100);
    assert_int_equal(n->held_count, 16); /* they get there all the same */
    for (unsigned i = 0; i < 16; i++) {
        cluster_replica_started(n->cluster, n->held[i], 0);
    }
}

/* Nobody writes any more, and what was held back is there. */
static void end_slow_creations(struct fixture *f, struct operation *o)
{
    f->nodes[0].is_written_to = false;
    for (unsigned i = 0; i < NODES; i++) {
        struct test_node *n = &f->nodes[i];
        n->hold_starts = false;
        for (unsigned at = i == 0 ? 16 : 0; at < n->held_count; at++) {
            cluster_replica_started(n->cluster, n->held[at], 0);
        }
    }
    RUN_UNTIL(f, o->is_done);
}

static void creations_give_way_to_producers(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[0];
    struct operation o = {0};
    begin_slow_creations(f, &o, 500);
    fake_world_run(&f->world, 50);
    assert_in_range(n->held_count, 17, 19);
    n->is_written_to = false;
    fake_world_run(&f->world, 40);
    assert_int_equal(n->held_count, 32);
    end_slow_creations(f, &o);
}

/* Whoever waits for a topic does not wait in vain. */
static void the_pauses_of_a_very_large_topic_are_shorter(void **state)
{
    struct fixture *f = *state;
    struct operation o = {0};
    begin_slow_creations(f, &o, 2500);
    fake_world_run(&f->world, 50);
    assert_in_range(f->nodes[0].held_count, 20, 22);
    end_slow_creations(f, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(starts_are_bounded_and_failures_are_tried_again),
        WITH_CLUSTER(readiness_does_not_flip_while_leaders_move),
        WITH_CLUSTER(new_replicas_count_once_they_have_caught_up),
        WITH_CLUSTER(readiness_ends_with_the_majority),
        WITH_CLUSTER(damaged_replicas_are_opened_again),
        WITH_CLUSTER(tables_that_begin_anew_erase_nothing),
        WITH_CLUSTER(what_a_replaced_disk_had_is_marked_before_it_starts),
        WITH_CLUSTER(replicas_that_keep_failing_are_opened_less_often),
        WITH_CLUSTER(a_metadata_replica_that_failed_is_opened_again),
        WITH_CLUSTER(a_metadata_replica_whose_disk_failed_stays_closed),
        WITH_CLUSTER(a_node_closes_while_its_metadata_replica_is_opened_again),
        WITH_CLUSTER(only_files_of_deleted_groups_are_orphans),
        WITH_CLUSTER(what_was_there_is_opened_faster_than_created),
        WITH_CLUSTER(creations_give_way_to_producers),
        WITH_CLUSTER(the_pauses_of_a_very_large_topic_are_shorter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
