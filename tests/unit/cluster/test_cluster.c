/* Three nodes' cluster objects over a consensus in memory (fake_consensus.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/memory.h"
#include "proto/error.h"
#include "tests/unit/cluster/fake_consensus.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- the replicas of a node ---- */

static struct running *find_running(struct test_node *n, uint64_t group_id)
{
    for (unsigned i = 0; i < n->running_count; i++) {
        if (n->running[i].group_id == group_id) {
            return &n->running[i];
        }
    }
    return NULL;
}

static void replica_start(void *data, const struct topic_meta *topic, const struct partition_meta *partition,
                          bool campaign_at_once)
{
    struct test_node *n = data;
    assert_null(find_running(n, partition->group_id));
    if (n->fail_starts > 0) {
        n->fail_starts--;
        cluster_replica_started(n->cluster, partition->group_id, ERR_IO);
        return;
    }
    n->running[n->running_count] = (struct running){
        .group_id = partition->group_id,
        .group = fake_group_create(&n->fixture->world, n->id, partition),
        .retention_ms = topic->config.retention_ms,
    };
    n->running_count++;
    if (n->hold_starts) {
        n->held[n->held_count] = partition->group_id;
        n->held_count++;
        return;
    }
    cluster_replica_started(n->cluster, partition->group_id, 0);
    if (campaign_at_once && fake_world_leader(&n->fixture->world, partition->group_id) == 0) {
        fake_world_elect(&n->fixture->world, partition->group_id, n->id);
    }
}

static void replica_configure(void *data, const struct topic_meta *topic,
                              const struct partition_meta *partition)
{
    struct running *running = find_running(data, partition->group_id);
    assert_non_null(running);
    running->retention_ms = topic->config.retention_ms;
}

static void replica_stop(void *data, uint64_t group_id, bool erase)
{
    struct test_node *n = data;
    struct running *running = find_running(n, group_id);
    if (running != NULL) {
        fake_group_destroy(running->group);
        n->running_count--;
        *running = n->running[n->running_count];
    }
    if (erase) {
        n->erased[n->erased_count] = group_id;
        n->erased_count++;
    }
    cluster_replica_stopped(n->cluster, group_id);
}

static struct group *replica_group(void *data, uint64_t group_id)
{
    struct running *running = find_running(data, group_id);
    return running == NULL ? NULL : running->group;
}

static const struct cluster_replica_callbacks replica_callbacks = {
    .start = replica_start,
    .configure = replica_configure,
    .stop = replica_stop,
    .group = replica_group,
};

static bool was_erased(const struct test_node *n, uint64_t group_id)
{
    for (unsigned i = 0; i < n->erased_count; i++) {
        if (n->erased[i] == group_id) {
            return true;
        }
    }
    return false;
}

/* ---- starting and stopping nodes ---- */

static void on_started(void *data, int status, const char *message)
{
    struct test_node *n = data;
    n->is_started = true;
    n->start_status = status;
    (void)snprintf(n->start_message, sizeof n->start_message, "%s", message);
}

static void start_node_with(struct fixture *f, uint32_t id, const struct cluster_peer *peers,
                            unsigned peer_count)
{
    struct test_node *n = &f->nodes[id - 1];
    struct consensus *consensus = fake_node(&f->world, id);
    const struct node_meta self = {
        .id = id, .peer_address = "peer", .client_host = "host", .client_port = 9192};
    const struct cluster_options options = {
        .env = &f->world.env.env,
        .consensus = consensus,
        .data_dir = (struct data_dir *)consensus,
        .journal = (struct journal *)consensus,
        .cluster_id = "test",
        .self = &self,
        .peers = peers,
        .peer_count = peer_count,
        .default_partitions = 3,
        .default_replicas = 3,
        .offsets_partitions = OFFSETS_PARTITIONS,
        .replicas = &replica_callbacks,
        .data = n,
    };
    n->fixture = f;
    n->id = id;
    assert_int_equal(cluster_start(&options, &n->cluster, on_started), 0);
    consensus->cluster = n->cluster;
}

static void start_node(struct fixture *f, uint32_t id)
{
    static const struct cluster_peer peers[NODES] = {{3, "c", 9294}, {1, "a", 9292}, {2, "b", 9293}};
    start_node_with(f, id, peers, NODES);
}

static void on_closed(void *data)
{
    struct test_node *n = data;
    n->is_closed = true;
    n->cluster = NULL;
}

static void close_node(struct fixture *f, uint32_t id)
{
    struct test_node *n = &f->nodes[id - 1];
    cluster_close(n->cluster, true, on_closed, n);
    RUN_UNTIL(f, n->is_closed);
    assert_int_equal(n->running_count, 0);
}

static bool all_ready(struct fixture *f)
{
    char reason[128];
    for (unsigned i = 0; i < NODES; i++) {
        if (!cluster_ready(f->nodes[i].cluster, reason, sizeof reason)) {
            return false;
        }
    }
    return true;
}

static int setup(void **state)
{
    struct fixture *f = memory_zalloc(sizeof *f);
    fake_world_init(&f->world, NODES);
    for (uint32_t id = 1; id <= NODES; id++) {
        start_node(f, id);
    }
    for (uint32_t id = 1; id <= NODES; id++) {
        fake_world_set_up(&f->world, id, true);
    }
    fake_world_elect(&f->world, METADATA_GROUP_ID, 2);
    RUN_UNTIL(f, all_ready(f));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->world.hold_commits = false;
    for (uint32_t id = 1; id <= NODES; id++) {
        if (f->nodes[id - 1].cluster != NULL) {
            close_node(f, id);
        }
    }
    fake_world_close(&f->world);
    free(f);
    return 0;
}

/* ---- operations ---- */

struct operation {
    struct cluster_op op;
    bool is_done;
};

static void on_done(struct cluster_op *op)
{
    struct operation *o = container_of(op, struct operation, op);
    assert_false(o->is_done);
    o->is_done = true;
}

static struct cluster *cluster_of(struct fixture *f, uint32_t id)
{
    return f->nodes[id - 1].cluster;
}

static int create_on(struct fixture *f, uint32_t id, const char *name, uint32_t partitions, uint32_t replicas)
{
    struct operation o = {0};
    cluster_create_topic(cluster_of(f, id), &o.op, name, partitions, replicas, NULL, 0, 0, on_done);
    assert_false(o.is_done);
    RUN_UNTIL(f, o.is_done);
    return o.op.status;
}

static const struct topic_meta *topic_on(struct fixture *f, uint32_t id, const char *name)
{
    return metadata_topic(cluster_metadata(cluster_of(f, id)), name);
}

static bool everywhere(struct fixture *f, const char *name)
{
    return topic_on(f, 1, name) != NULL && topic_on(f, 2, name) != NULL && topic_on(f, 3, name) != NULL;
}

/* ---- tests ---- */

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

static void starts_are_bounded_and_failures_are_tried_again(void **state)
{
    struct fixture *f = *state;
    struct test_node *n = &f->nodes[0];
    n->hold_starts = true;
    struct operation o = {0};
    cluster_create_topic(cluster_of(f, 2), &o.op, "many", 100, 3, NULL, 0, 500, on_done);
    RUN_UNTIL(f, o.is_done);
    fake_world_run(&f->world, 1000);
    assert_int_equal(n->held_count, 32);
    char reason[128];
    assert_false(cluster_ready(n->cluster, reason, sizeof reason));
    n->hold_starts = false;
    n->fail_starts = 3;
    for (unsigned i = 0; i < 32; i++) {
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
#define WITH_CLUSTER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_CLUSTER(nodes_register_and_the_offsets_topic_is_made_once),
        WITH_CLUSTER(topic_made_on_one_node_is_there_on_all),
        WITH_CLUSTER(done_means_done_here),
        WITH_CLUSTER(wrong_requests_are_explained),
        WITH_CLUSTER(only_checking_changes_nothing),
        WITH_CLUSTER(a_lost_answer_is_asked_for_again),
        WITH_CLUSTER(requests_follow_the_controller),
        WITH_CLUSTER(without_a_controller_an_operation_ends_in_time),
        WITH_CLUSTER(a_topic_without_leaders_times_out_but_stands),
        WITH_CLUSTER(deleting_stops_and_erases),
        WITH_CLUSTER(altering_configures_and_grows),
        WITH_CLUSTER(starts_are_bounded_and_failures_are_tried_again),
        WITH_CLUSTER(readiness_does_not_flip_while_leaders_move),
        WITH_CLUSTER(readiness_ends_with_the_majority),
        WITH_CLUSTER(damaged_replicas_are_opened_again),
        WITH_CLUSTER(tables_that_begin_anew_erase_nothing),
        WITH_CLUSTER(replicas_that_keep_failing_are_opened_less_often),
        WITH_CLUSTER(a_metadata_replica_that_failed_is_opened_again),
        WITH_CLUSTER(a_metadata_replica_whose_disk_failed_stays_closed),
        WITH_CLUSTER(a_node_closes_while_its_metadata_replica_is_opened_again),
        WITH_CLUSTER(only_files_of_deleted_groups_are_orphans),
        WITH_CLUSTER(leaders_come_back_a_few_at_a_time),
        WITH_CLUSTER(a_draining_node_leads_nothing),
        WITH_CLUSTER(a_replica_that_lags_is_not_made_leader),
        WITH_CLUSTER(hand_over_leaves_nothing_behind),
        WITH_CLUSTER(hand_over_waits_until_the_new_leaders_serve),
        WITH_CLUSTER(hand_over_does_not_wait_for_ever),
        WITH_CLUSTER(producer_ids_differ_everywhere),
        WITH_CLUSTER(closing_ends_what_is_under_way),
        cmocka_unit_test(unusable_peer_lists_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
