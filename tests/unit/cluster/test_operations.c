/* Nodes register; topics are made, altered and deleted through any node. */
#include "tests/unit/cluster/fixture.h"

#include "node/base/memory.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void nodes_register_and_the_offsets_topic_is_made_once(void **state)
{
    struct fixture *f = *state;
    for (uint32_t id = 1; id <= NODES; id++) {
        const struct metadata *m = cluster_metadata(cluster_of(f, id));
        assert_int_equal(metadata_node_count(m), NODES);
        assert_int_equal(metadata_node(m, 3)->client_port, 9192);
        const struct topic_meta *topic = metadata_topic(m, OFFSETS_TOPIC);
        assert_true(topic->internal);
        assert_int_equal(topic->partition_count, OFFSETS_PARTITIONS);
        assert_int_equal(topic->partitions[0].replica_count, 3);
        assert_int_equal(f->nodes[id - 1].running_count, OFFSETS_PARTITIONS);
    }
    uint64_t entries = f->world.last;
    fake_world_elect(&f->world, METADATA_GROUP_ID, 1);
    fake_world_run(&f->world, 10000);
    assert_int_equal(f->world.last, entries);
}

static void topic_made_on_one_node_is_there_on_all(void **state)
{
    struct fixture *f = *state;
    for (uint32_t id = 1; id <= NODES; id++) {
        char name[16];
        struct operation o = {0};
        (void)snprintf(name, sizeof name, "topic-%u", id);
        cluster_create_topic(cluster_of(f, id), &o.op, name, 6, 0, NULL, 0, 0, on_done);
        RUN_UNTIL(f, o.is_done);
        assert_int_equal(o.op.status, 0);
        assert_int_equal(o.op.partitions, 6);
        assert_int_equal(o.op.replicas, 3);
        /* What was made is in the tables of the node that was asked, with leaders. */
        const struct topic_meta *topic = topic_on(f, id, name);
        assert_memory_equal(topic->id, o.op.topic_id, TOPIC_ID_SIZE);
        unsigned led[NODES + 1] = {0};
        for (uint32_t i = 0; i < 6; i++) {
            led[cluster_leader(cluster_of(f, id), topic->partitions[i].group_id, NULL)]++;
        }
        assert_int_equal(led[1], 2);
        assert_int_equal(led[2], 2);
        assert_int_equal(led[3], 2);
        RUN_UNTIL(f, everywhere(f, name));
    }
    assert_int_equal(create_on(f, 1, "topic-2", 1, 1), ERR_TOPIC_EXISTS);
}

static void done_means_done_here(void **state)
{
    struct fixture *f = *state;
    struct operation o = {0};
    f->world.held_node = 3;
    cluster_create_topic(cluster_of(f, 3), &o.op, "t", 3, 3, NULL, 0, 0, on_done);
    fake_world_run(&f->world, 1000);
    assert_non_null(topic_on(f, 1, "t"));
    assert_false(o.is_done);
    f->world.held_node = 0;
    fake_world_commit(&f->world);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    assert_non_null(topic_on(f, 3, "t"));
    f->world.held_node = 3;
    o = (struct operation){0};
    cluster_delete_topic(cluster_of(f, 3), &o.op, "t", on_done);
    fake_world_run(&f->world, 1000);
    assert_false(o.is_done);
    f->world.held_node = 0;
    fake_world_commit(&f->world);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    assert_null(topic_on(f, 3, "t"));
}

/* Its tables will not show the change: nobody waits for that, and who asked can ask another node. */
static void a_node_without_its_metadata_replica_does_not_wait(void **state)
{
    struct fixture *f = *state;
    struct operation before = {0}, after = {0};
    f->world.held_node = 3;
    cluster_create_topic(cluster_of(f, 3), &before.op, "t", 1, 3, NULL, 0, 0, on_done);
    fake_world_run(&f->world, 1000);
    assert_false(before.is_done);
    fake_world_fail(&f->world, 3, ERR_IO);
    cluster_create_topic(cluster_of(f, 3), &after.op, "u", 1, 3, NULL, 0, 0, on_done);
    fake_world_run(&f->world, 100);
    assert_true(before.is_done);
    assert_int_equal(before.op.status, ERR_TIMED_OUT);
    assert_true(after.is_done);
    assert_int_equal(after.op.status, ERR_TIMED_OUT);
    assert_non_null(topic_on(f, 1, "t"));
    assert_non_null(topic_on(f, 1, "u"));
}

static void wrong_requests_are_explained(void **state)
{
    struct fixture *f = *state;
    struct operation o = {0};
    const struct cluster_config_entry config = {"retention.mss", "1"};
    cluster_create_topic(cluster_of(f, 1), &o.op, "t", 1, 1, &config, 1, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_INVALID_CONFIG);
    assert_non_null(strstr(o.op.message, "did you mean retention.ms?"));
    assert_int_equal(create_on(f, 1, "no/slash", 1, 1), ERR_INVALID_TOPIC);
    assert_int_equal(create_on(f, 3, OFFSETS_TOPIC, 1, 1), ERR_INVALID_TOPIC);
    assert_int_equal(create_on(f, 2, "t", 1, 4), ERR_INVALID_REPLICATION);
    assert_int_equal(create_on(f, 2, "t", 10001, 1), ERR_INVALID_PARTITIONS);
    o = (struct operation){0};
    cluster_delete_topic(cluster_of(f, 3), &o.op, "nowhere", on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_UNKNOWN_TOPIC);
    o = (struct operation){0};
    cluster_delete_topic(cluster_of(f, 3), &o.op, OFFSETS_TOPIC, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_INVALID_ARGUMENT);
    o = (struct operation){0};
    cluster_drain_node(cluster_of(f, 3), &o.op, 9, true, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_NOT_FOUND);
}

/* The answer is what it would be, on every node, and nothing has happened. */
static void only_checking_changes_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 1, "there", 2, 3), 0);
    uint64_t entries = f->world.last;
    struct operation o = {.op = {.only_check = true}};
    cluster_create_topic(cluster_of(f, 3), &o.op, "t", 5, 2, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    assert_int_equal(o.op.partitions, 5);
    assert_int_equal(o.op.replicas, 2);
    o = (struct operation){.op = {.only_check = true}};
    cluster_create_topic(cluster_of(f, 3), &o.op, "there", 5, 2, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_TOPIC_EXISTS);
    o = (struct operation){.op = {.only_check = true}};
    cluster_alter_topic(cluster_of(f, 1), &o.op, "there", 4, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    o = (struct operation){.op = {.only_check = true}};
    cluster_alter_topic(cluster_of(f, 1), &o.op, "there", 1, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_INVALID_PARTITIONS);
    fake_world_run(&f->world, 1000);
    assert_int_equal(f->world.last, entries);
    assert_null(topic_on(f, 1, "t"));
    assert_int_equal(topic_on(f, 1, "there")->partition_count, 2);
}

static void a_lost_answer_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    f->world.lose_answers = 2;
    assert_int_equal(create_on(f, 1, "once", 2, 3), 0);
    assert_int_equal(f->world.lose_answers, 0);
    assert_int_equal(topic_on(f, 1, "once")->partition_count, 2);
    f->world.lose_requests = 1;
    assert_int_equal(create_on(f, 3, "again", 1, 3), 0);
    f->world.lose_answers = 1;
    struct operation o = {0};
    cluster_delete_topic(cluster_of(f, 1), &o.op, "once", on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    assert_null(topic_on(f, 1, "once"));
}

static void requests_follow_the_controller(void **state)
{
    struct fixture *f = *state;
    struct operation a = {0};
    struct operation b = {0};
    f->world.hold_commits = true;
    cluster_create_topic(cluster_of(f, 2), &a.op, "local", 1, 3, NULL, 0, 0, on_done);
    cluster_create_topic(cluster_of(f, 3), &b.op, "remote", 1, 3, NULL, 0, 0, on_done);
    fake_world_run(&f->world, 100);
    fake_world_set_up(&f->world, 2, false);
    fake_world_run(&f->world, 300);
    assert_false(b.is_done);
    f->world.hold_commits = false;
    fake_world_elect(&f->world, METADATA_GROUP_ID, 3);
    RUN_UNTIL(f, b.is_done);
    assert_int_equal(b.op.status, 0);
    /* Back again, the old controller asks the new one. */
    fake_world_set_up(&f->world, 2, true);
    RUN_UNTIL(f, a.is_done);
    assert_int_equal(a.op.status, 0);
    RUN_UNTIL(f, everywhere(f, "local") && everywhere(f, "remote"));
}

static void without_a_controller_an_operation_ends_in_time(void **state)
{
    struct fixture *f = *state;
    fake_world_elect(&f->world, METADATA_GROUP_ID, 0);
    struct operation o = {0};
    uint64_t begin = f->world.env.now_ns;
    cluster_create_topic(cluster_of(f, 1), &o.op, "t", 1, 1, NULL, 0, 700, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_LEADER_NOT_AVAILABLE);
    assert_in_range(f->world.env.now_ns - begin, 699000000, 701000000);
}

static void a_topic_without_leaders_times_out_but_stands(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < NODES; i++) {
        f->nodes[i].hold_starts = true;
    }
    struct operation o = {0};
    cluster_create_topic(cluster_of(f, 1), &o.op, "slow", 2, 3, NULL, 0, 500, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_TIMED_OUT);
    assert_non_null(strstr(o.op.message, "2 of its 2 partitions have no leader yet"));
    assert_non_null(topic_on(f, 1, "slow"));
    for (unsigned i = 0; i < NODES; i++) {
        for (unsigned k = 0; k < f->nodes[i].held_count; k++) {
            cluster_replica_started(f->nodes[i].cluster, f->nodes[i].held[k], 0);
        }
    }
}

static void deleting_stops_and_erases(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 1, "gone", 3, 3), 0);
    uint64_t first = topic_on(f, 1, "gone")->partitions[0].group_id;
    struct operation o = {0};
    cluster_delete_topic(cluster_of(f, 1), &o.op, "gone", on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    for (unsigned i = 0; i < NODES; i++) {
        RUN_UNTIL(f, f->nodes[i].running_count == OFFSETS_PARTITIONS);
        assert_int_equal(f->nodes[i].erased_count, 3);
        assert_true(was_erased(&f->nodes[i], first));
    }
}

static void altering_configures_and_grows(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create_on(f, 3, "t", 2, 3), 0);
    const struct cluster_config_entry set = {"retention.ms", "1234"};
    struct operation o = {0};
    cluster_alter_topic(cluster_of(f, 3), &o.op, "t", 5, &set, 1, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    assert_int_equal(o.op.partitions, 5);
    const struct topic_meta *topic = topic_on(f, 3, "t");
    assert_int_equal(topic->partition_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(find_running(&f->nodes[2], topic->partitions[i].group_id)->retention_ms, 1234);
    }
    const struct cluster_config_entry reset = {"retention.ms", NULL};
    o = (struct operation){0};
    cluster_alter_topic(cluster_of(f, 1), &o.op, "t", 0, &reset, 1, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    assert_int_equal(topic_on(f, 1, "t")->config_count, 0);
    o = (struct operation){0};
    cluster_alter_topic(cluster_of(f, 1), &o.op, "t", 4, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, ERR_INVALID_PARTITIONS);
}

static void producer_ids_differ_everywhere(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 1500 };
    static bool seen[NODES * (COUNT + 1000)];
    memset(seen, 0, sizeof seen);
    struct operation *operations = memory_zalloc(NODES * COUNT * sizeof *operations);
    for (unsigned i = 0; i < NODES * COUNT; i++) {
        cluster_new_producer_id(cluster_of(f, 1 + i % NODES), &operations[i].op, on_done);
        assert_false(operations[i].is_done);
    }
    for (unsigned i = 0; i < NODES * COUNT; i++) {
        RUN_UNTIL(f, operations[i].is_done);
        assert_int_equal(operations[i].op.status, 0);
        int64_t id = operations[i].op.producer_id;
        assert_in_range(id, 0, sizeof seen - 1);
        assert_false(seen[id]);
        seen[id] = true;
    }
    free(operations);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    struct operation a = {0};
    struct operation b = {0};
    struct operation c = {0};
    f->world.hold_commits = true;
    cluster_create_topic(cluster_of(f, 2), &a.op, "local", 1, 3, NULL, 0, 0, on_done);
    cluster_create_topic(cluster_of(f, 3), &b.op, "remote", 1, 3, NULL, 0, 0, on_done);
    cluster_new_producer_id(cluster_of(f, 2), &c.op, on_done);
    fake_world_run(&f->world, 50);
    close_node(f, 2);
    assert_true(a.is_done && c.is_done);
    assert_int_equal(a.op.status, ERR_SHUTTING_DOWN);
    assert_int_equal(c.op.status, ERR_SHUTTING_DOWN);
    assert_false(b.is_done);
    close_node(f, 3);
    assert_int_equal(b.op.status, ERR_SHUTTING_DOWN);
}

static void unusable_peer_lists_are_explained(void **state)
{
    (void)state;
    static const struct cluster_peer others[] = {{2, "b", 1}, {3, "c", 1}};
    static const struct cluster_peer twice[] = {{1, "a", 1}, {1, "b", 1}};
    static const struct cluster_peer many[] = {{1, "a", 1}, {2, "b", 1}, {3, "c", 1}, {4, "d", 1},
                                               {5, "e", 1}, {6, "f", 1}, {7, "g", 1}, {8, "h", 1}};
    static const struct {
        const struct cluster_peer *peers;
        unsigned count;
        const char *says;
    } lists[] = {{others, 2, "not in its own list"}, {twice, 2, "node 1 twice"}, {many, 8, "at most 7"}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct fixture *f = memory_zalloc(sizeof *f);
        fake_world_init(&f->world, 1);
        start_node_with(f, 1, lists[i].peers, lists[i].count);
        RUN_UNTIL(f, f->nodes[0].is_started);
        assert_int_equal(f->nodes[0].start_status, ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(f->nodes[0].start_message, lists[i].says));
        close_node(f, 1);
        fake_world_close(&f->world);
        free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(nodes_register_and_the_offsets_topic_is_made_once),
        WITH_CLUSTER(topic_made_on_one_node_is_there_on_all),
        WITH_CLUSTER(done_means_done_here),
        WITH_CLUSTER(a_node_without_its_metadata_replica_does_not_wait),
        WITH_CLUSTER(wrong_requests_are_explained),
        WITH_CLUSTER(only_checking_changes_nothing),
        WITH_CLUSTER(a_lost_answer_is_asked_for_again),
        WITH_CLUSTER(requests_follow_the_controller),
        WITH_CLUSTER(without_a_controller_an_operation_ends_in_time),
        WITH_CLUSTER(a_topic_without_leaders_times_out_but_stands),
        WITH_CLUSTER(deleting_stops_and_erases),
        WITH_CLUSTER(altering_configures_and_grows),
        WITH_CLUSTER(producer_ids_differ_everywhere),
        WITH_CLUSTER(closing_ends_what_is_under_way),
        cmocka_unit_test(unusable_peer_lists_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
