#include "tests/unit/cluster/fixture.h"

#include "node/base/memory.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- the replicas of a node ---- */

struct running *find_running(struct test_node *n, uint64_t group_id)
{
    for (unsigned i = 0; i < n->running_count; i++) {
        if (n->running[i].group_id == group_id) {
            return &n->running[i];
        }
    }
    return NULL;
}

static void replica_start(void *data, const struct topic_meta *topic, const struct partition_meta *partition,
                          struct replica_start start)
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
    if (start.campaign_at_once && fake_world_leader(&n->fixture->world, partition->group_id) == 0) {
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

static uint64_t written_ns(void *data)
{
    struct test_node *n = data;
    return n->is_written_to ? env_now_ns(&n->fixture->world.env.env) : 0;
}

static const struct cluster_replica_callbacks replica_callbacks = {
    .start = replica_start,
    .configure = replica_configure,
    .stop = replica_stop,
    .group = replica_group,
    .written_ns = written_ns,
};

bool was_erased(const struct test_node *n, uint64_t group_id)
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

void start_node_with(struct fixture *f, uint32_t id, const struct cluster_peer *peers, unsigned peer_count)
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

void start_node(struct fixture *f, uint32_t id)
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

void close_node(struct fixture *f, uint32_t id)
{
    struct test_node *n = &f->nodes[id - 1];
    cluster_close(n->cluster, true, on_closed, n);
    RUN_UNTIL(f, n->is_closed);
    assert_int_equal(n->running_count, 0);
}

bool all_ready(struct fixture *f)
{
    char reason[128];
    for (unsigned i = 0; i < NODES; i++) {
        if (!cluster_ready(f->nodes[i].cluster, reason, sizeof reason)) {
            return false;
        }
    }
    return true;
}

int fixture_open(void **state)
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

int fixture_close(void **state)
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

void on_done(struct cluster_op *op)
{
    struct operation *o = container_of(op, struct operation, op);
    assert_false(o->is_done);
    o->is_done = true;
}

struct cluster *cluster_of(struct fixture *f, uint32_t id)
{
    return f->nodes[id - 1].cluster;
}

int create_on(struct fixture *f, uint32_t id, const char *name, uint32_t partitions, uint32_t replicas)
{
    struct operation o = {0};
    cluster_create_topic(cluster_of(f, id), &o.op, name, partitions, replicas, NULL, 0, 0, on_done);
    assert_false(o.is_done);
    RUN_UNTIL(f, o.is_done);
    return o.op.status;
}

const struct topic_meta *topic_on(struct fixture *f, uint32_t id, const char *name)
{
    return metadata_topic(cluster_metadata(cluster_of(f, id)), name);
}

bool everywhere(struct fixture *f, const char *name)
{
    return topic_on(f, 1, name) != NULL && topic_on(f, 2, name) != NULL && topic_on(f, 3, name) != NULL;
}
