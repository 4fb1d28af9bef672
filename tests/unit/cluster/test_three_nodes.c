/* Three nodes in one process over the real consensus: real links on loopback, real logs in a temporary
 * directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/memory.h"
#include "node/cluster/cluster.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES = 3, RUNNING_MAX = 128, OFFSETS_PARTITIONS = 2, WAIT_MS = 20000 };

/* A replica whose state machine does nothing. */
struct running {
    struct test_node *node; /* NULL: this place is free */
    uint64_t group_id;
    struct group *group;
    bool is_open;
    bool is_erased;
    int64_t retention_ms;
};

struct test_node {
    struct env *env;
    struct logger *logger;
    uint32_t id;
    char path[200];
    struct data_dir *data_dir;
    struct journal *journal;
    struct flusher *flusher;
    struct consensus *consensus;
    struct cluster *cluster;
    struct running running[RUNNING_MAX];
    unsigned erased;
    uint16_t port;
    bool is_up;
};

struct fixture {
    struct env *env;
    char directory[64];
    struct test_node nodes[NODES];
};

/* ---- replicas ---- */

static void ignore_apply(void *data, uint64_t index, const struct batch_header *header,
                         const struct slice *bytes)
{
    (void)data;
    (void)index;
    (void)header;
    (void)bytes;
}

static void ignore_role(void *data, enum group_role role, uint64_t term, bool ready)
{
    (void)data;
    (void)role;
    (void)term;
    (void)ready;
}

static void empty_snapshot(void *data, struct bytes *out)
{
    (void)data;
    (void)out;
}

static int ignore_restore(void *data, const void *state, size_t size, int64_t next_offset)
{
    (void)data;
    (void)state;
    (void)size;
    (void)next_offset;
    return 0;
}

static void fail_test(void *data, int status, const char *message)
{
    (void)data;
    fail_msg("a replica failed: %s %s", error_name(status), message);
}

static const struct group_callbacks group_callbacks = {
    .apply = ignore_apply,
    .role_changed = ignore_role,
    .snapshot = empty_snapshot,
    .restore = ignore_restore,
    .failed = fail_test,
};

static struct running *find_running(struct test_node *n, uint64_t group)
{
    for (unsigned i = 0; i < RUNNING_MAX; i++) {
        if (n->running[i].node != NULL && n->running[i].group_id == group) {
            return &n->running[i];
        }
    }
    return NULL;
}

static struct running *free_place(struct test_node *n)
{
    for (unsigned i = 0; i < RUNNING_MAX; i++) {
        if (n->running[i].node == NULL) {
            return &n->running[i];
        }
    }
    fail_msg("too many replicas");
    return NULL;
}

static void on_group_open(void *data, struct group *group, int status, const char *message)
{
    struct running *r = data;
    (void)group;
    (void)message;
    assert_int_equal(status, 0);
    r->is_open = true;
    cluster_replica_started(r->node->cluster, r->group_id, status);
}

static void replica_start(void *data, const struct topic_meta *topic, const struct partition_meta *partition,
                          struct replica_start start)
{
    struct test_node *n = data;
    struct running *r = free_place(n);
    char directory[300];
    data_dir_group_path(n->data_dir, partition->group_id, directory, sizeof directory);
    *r = (struct running){
        .node = n, .group_id = partition->group_id, .retention_ms = topic->config.retention_ms};
    const struct group_options options = {
        .group_id = partition->group_id,
        .name = topic->name,
        .directory = directory,
        .replicas = partition->replicas,
        .replica_count = partition->replica_count,
        .segment_bytes = topic->config.segment_bytes,
        .segment_ms = topic->config.segment_ms,
        .cache_bytes = 1 << 16,
        .campaign_at_once = start.campaign_at_once,
        .callbacks = &group_callbacks,
        .data = r,
    };
    assert_int_equal(group_open(n->consensus, &options, &r->group, on_group_open), 0);
}

static void replica_configure(void *data, const struct topic_meta *topic,
                              const struct partition_meta *partition)
{
    find_running(data, partition->group_id)->retention_ms = topic->config.retention_ms;
}

static void erase(struct test_node *n, uint64_t group)
{
    char directory[300];
    data_dir_group_path(n->data_dir, group, directory, sizeof directory);
    int rc = env_dir_remove(n->env, directory);
    assert_true(rc == 0 || rc == ERR_NOT_FOUND);
    (void)journal_forget(n->journal, group);
    n->erased++;
}

static void on_group_closed(void *data)
{
    struct running *r = data;
    struct test_node *n = r->node;
    uint64_t group = r->group_id;
    if (r->is_erased) {
        erase(n, group);
    }
    *r = (struct running){0};
    cluster_replica_stopped(n->cluster, group);
}

static void replica_stop(void *data, uint64_t group, bool is_erased)
{
    struct test_node *n = data;
    struct running *r = find_running(n, group);
    if (r == NULL) {
        if (is_erased) {
            erase(n, group);
        }
        cluster_replica_stopped(n->cluster, group);
        return;
    }
    r->is_open = false;
    r->is_erased = is_erased;
    group_close(r->group, true, on_group_closed, r);
}

static struct group *replica_group(void *data, uint64_t group)
{
    struct running *r = find_running(data, group);
    return r != NULL && r->is_open ? r->group : NULL;
}

static uint64_t written_ns(void *data)
{
    (void)data;
    return 0;
}

static const struct cluster_replica_callbacks replica_callbacks = {
    .start = replica_start,
    .configure = replica_configure,
    .stop = replica_stop,
    .group = replica_group,
    .written_ns = written_ns,
};

/* ---- nodes ---- */

static int64_t wall_ms(void *data)
{
    return env_wall_ms(data);
}

static void on_durable(void *data, uint64_t sequence)
{
    struct test_node *n = data;
    if (n->consensus != NULL) {
        consensus_journal_durable(n->consensus, sequence);
    }
}

static void on_journal_failed(void *data, int status)
{
    (void)data;
    fail_msg("the journal failed: %s", error_name(status));
}

static void on_leader_changed(void *data, uint64_t group, uint32_t node_id, uint64_t term)
{
    struct test_node *n = data;
    if (n->cluster != NULL) {
        cluster_leader_changed(n->cluster, group, node_id, term);
    }
}

static void on_peer_changed(void *data, uint32_t node_id, bool up)
{
    struct test_node *n = data;
    if (n->cluster != NULL) {
        cluster_peer_changed(n->cluster, node_id, up);
    }
}

static void on_forwarded(void *data, uint64_t ticket, uint16_t type, const void *header, size_t size)
{
    struct test_node *n = data;
    if (n->cluster == NULL) {
        consensus_forward_answer(n->consensus, ticket, ERR_NOT_LEADER, NULL, 0);
        return;
    }
    cluster_forwarded(n->cluster, ticket, type, header, size);
}

static void open_storage(struct test_node *n)
{
    char message[256] = "";
    if (data_dir_open(n->env, n->path, n->id, "test", &n->data_dir, message, sizeof message) != 0) {
        fail_msg("%s", message);
    }
    const struct journal_options options = {
        .env = n->env,
        .logger = n->logger,
        .path = data_dir_journal_path(n->data_dir),
        .durable = on_durable,
        .failed = on_journal_failed,
        .data = n,
    };
    if (journal_open(&options, &n->journal, message, sizeof message) != 0) {
        fail_msg("%s", message);
    }
    n->flusher = flusher_create(n->env, 4);
}

static void open_consensus(struct test_node *n)
{
    const struct consensus_options options = {
        .env = n->env,
        .logger = n->logger,
        .flusher = n->flusher,
        .journal = n->journal,
        .cluster_id = "test",
        .node_id = n->id,
        .heartbeat_ms = 20,
        .election_timeout_ms = 150,
        .max_batch_bytes = 8 << 20,
        .guards = GUARD_ALL,
        .leader_changed = on_leader_changed,
        .peer_changed = on_peer_changed,
        .forwarded = on_forwarded,
        .data = n,
    };
    n->consensus = consensus_create(&options);
    assert_int_equal(consensus_listen(n->consensus, "127.0.0.1", n->port), 0);
    n->port = consensus_port(n->consensus);
}

static void on_started(void *data, int status, const char *message)
{
    (void)data;
    if (status != 0) {
        fail_msg("the cluster did not start: %s", message);
    }
}

static void open_cluster(struct fixture *f, struct test_node *n)
{
    struct cluster_peer peers[NODES];
    char address[32];
    for (unsigned i = 0; i < NODES; i++) {
        peers[i] = (struct cluster_peer){i + 1, "127.0.0.1", f->nodes[i].port};
    }
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", n->port);
    const struct node_meta self = {
        .id = n->id, .peer_address = address, .client_host = "h", .client_port = 1};
    const struct cluster_options options = {
        .env = n->env,
        .logger = n->logger,
        .consensus = n->consensus,
        .data_dir = n->data_dir,
        .journal = n->journal,
        .cluster_id = "test",
        .self = &self,
        .peers = peers,
        .peer_count = NODES,
        .default_partitions = 1,
        .default_replicas = 3,
        .offsets_partitions = OFFSETS_PARTITIONS,
        .replicas = &replica_callbacks,
        .data = n,
    };
    assert_int_equal(cluster_start(&options, &n->cluster, on_started), 0);
    n->is_up = true;
}

static void on_journal_closed(void *data)
{
    struct test_node *n = data;
    flusher_destroy(n->flusher);
    data_dir_close(n->data_dir);
    n->journal = NULL;
    n->is_up = false;
}

static void on_consensus_closed(void *data)
{
    struct test_node *n = data;
    n->consensus = NULL;
    journal_close(n->journal, on_journal_closed, n);
}

static void on_cluster_closed(void *data)
{
    struct test_node *n = data;
    n->cluster = NULL;
    consensus_close(n->consensus, on_consensus_closed, n);
}

/* ---- driving ---- */

static void on_nap(struct env_timer *timer)
{
    (void)timer;
}

static void run_turn(struct fixture *f)
{
    struct env_timer nap = {0};
    env_timer_start(f->env, &nap, 1000000, on_nap);
    env_run_once(f->env, true);
    env_timer_stop(f->env, &nap);
}

#define RUN_UNTIL(f, condition)                                                                              \
    do {                                                                                                     \
        uint64_t run_until_end_ = env_clock_ns((f)->env) + WAIT_MS * UINT64_C(1000000);                      \
        while (!(condition)) {                                                                               \
            assert_true(env_clock_ns((f)->env) < run_until_end_);                                            \
            run_turn(f);                                                                                     \
        }                                                                                                    \
    } while (0)

static void stop_node(struct fixture *f, uint32_t id)
{
    struct test_node *n = &f->nodes[id - 1];
    cluster_close(n->cluster, false, on_cluster_closed, n);
    RUN_UNTIL(f, !n->is_up);
}

static bool all_ready(struct fixture *f)
{
    char reason[128];
    for (unsigned i = 0; i < NODES; i++) {
        if (f->nodes[i].is_up && !cluster_ready(f->nodes[i].cluster, reason, sizeof reason)) {
            return false;
        }
    }
    return true;
}

static int setup(void **state)
{
    struct fixture *f = memory_zalloc(sizeof *f);
    f->env = env_uv_create(0);
    (void)snprintf(f->directory, sizeof f->directory, "/tmp/flotilla-cluster-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    for (uint32_t i = 0; i < NODES; i++) {
        struct test_node *n = &f->nodes[i];
        n->env = f->env;
        n->id = i + 1;
        n->logger =
            logger_create(2, n->id, getenv("VERBOSE") != NULL ? LOG_DEBUG : LOG_ERROR, wall_ms, f->env);
        (void)snprintf(n->path, sizeof n->path, "%s/%u", f->directory, n->id);
        open_storage(n);
        open_consensus(n);
    }
    for (unsigned i = 0; i < NODES; i++) {
        open_cluster(f, &f->nodes[i]);
    }
    RUN_UNTIL(f, all_ready(f));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (uint32_t id = 1; id <= NODES; id++) {
        if (f->nodes[id - 1].is_up) {
            stop_node(f, id);
        }
        logger_destroy(f->nodes[id - 1].logger);
    }
    assert_int_equal(env_dir_remove(f->env, f->directory), 0);
    env_destroy(f->env);
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
    ((struct operation *)op)->is_done = true;
}

static struct cluster *cluster_of(struct fixture *f, uint32_t id)
{
    return f->nodes[id - 1].cluster;
}

static const struct topic_meta *topic_on(struct fixture *f, uint32_t id, const char *name)
{
    return metadata_topic(cluster_metadata(cluster_of(f, id)), name);
}

static void create(struct fixture *f, uint32_t id, const char *name, uint32_t partitions)
{
    struct operation o = {0};
    cluster_create_topic(cluster_of(f, id), &o.op, name, partitions, 3, NULL, 0, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
}

static uint32_t controller(struct fixture *f, uint32_t asked)
{
    return cluster_controller(cluster_of(f, asked));
}

/* ---- tests ---- */

static void topics_live_on_all_nodes(void **state)
{
    struct fixture *f = *state;
    uint32_t asked = controller(f, 1) % NODES + 1; /* not the controller */
    create(f, asked, "orders", 6);
    for (uint32_t id = 1; id <= NODES; id++) {
        RUN_UNTIL(f, topic_on(f, id, "orders") != NULL);
    }
    const struct cluster_config_entry set = {"retention.ms", "4321"};
    struct operation o = {0};
    cluster_alter_topic(cluster_of(f, asked), &o.op, "orders", 8, &set, 1, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    uint64_t last = topic_on(f, asked, "orders")->partitions[7].group_id;
    for (uint32_t id = 1; id <= NODES; id++) {
        struct test_node *n = &f->nodes[id - 1];
        RUN_UNTIL(f, find_running(n, last) != NULL && find_running(n, last)->retention_ms == 4321);
        RUN_UNTIL(f,
                  find_running(n, topic_on(f, id, "orders")->partitions[0].group_id)->retention_ms == 4321);
    }
    o = (struct operation){0};
    cluster_delete_topic(cluster_of(f, asked), &o.op, "orders", on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    for (unsigned i = 0; i < NODES; i++) {
        RUN_UNTIL(f, f->nodes[i].erased == 8);
        assert_null(find_running(&f->nodes[i], last));
    }
}

static void the_controller_moves_and_the_node_comes_back(void **state)
{
    struct fixture *f = *state;
    uint32_t dead = controller(f, 1);
    uint32_t other = dead % NODES + 1;
    create(f, other, "before", 6);
    stop_node(f, dead);
    create(f, other, "during", 3);
    assert_int_not_equal(controller(f, other), dead);
    struct operation o = {0};
    cluster_delete_topic(cluster_of(f, other), &o.op, "before", on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);

    struct test_node *n = &f->nodes[dead - 1];
    n->erased = 0;
    open_storage(n);
    open_consensus(n);
    open_cluster(f, n);
    RUN_UNTIL(f, all_ready(f) && topic_on(f, dead, "during") != NULL);
    /* What was deleted meanwhile is erased here too, whether its replicas were started again or not. */
    RUN_UNTIL(f, n->erased == 6);
    assert_null(topic_on(f, dead, "before"));
    create(f, dead, "after", 3);
}

static bool leads_nothing(struct fixture *f, uint32_t asked, uint32_t node_id, const char *name)
{
    const struct topic_meta *topic = topic_on(f, asked, name);
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        if (cluster_leader(cluster_of(f, asked), topic->partitions[i].group_id, NULL) == node_id) {
            return false;
        }
    }
    return true;
}

static void on_handed_over(void *data, unsigned still_leads)
{
    *(unsigned *)data = still_leads;
}

static void a_planned_stop_hands_everything_over(void **state)
{
    struct fixture *f = *state;
    uint32_t leaving = controller(f, 1);
    uint32_t other = leaving % NODES + 1;
    create(f, 1, "t", 12);
    assert_false(leads_nothing(f, other, leaving, "t"));
    unsigned still_leads = UINT32_MAX;
    cluster_hand_over(cluster_of(f, leaving), 5000, on_handed_over, &still_leads);
    RUN_UNTIL(f, still_leads != UINT32_MAX);
    assert_int_equal(still_leads, 0);
    RUN_UNTIL(f, leads_nothing(f, other, leaving, "t") && controller(f, other) != leaving);
}

static void draining_moves_leaders_and_they_come_back(void **state)
{
    struct fixture *f = *state;
    create(f, 1, "t", 9);
    struct operation o = {0};
    cluster_drain_node(cluster_of(f, 1), &o.op, 2, true, 10000, on_done);
    RUN_UNTIL(f, o.is_done);
    assert_int_equal(o.op.status, 0);
    assert_int_equal(o.op.still_leads, 0);
    assert_true(leads_nothing(f, 1, 2, "t"));
    o = (struct operation){0};
    cluster_drain_node(cluster_of(f, 1), &o.op, 2, false, 0, on_done);
    RUN_UNTIL(f, o.is_done);
    RUN_UNTIL(f, !leads_nothing(f, 1, 2, "t"));
}

int main(void)
{
#define WITH_NODES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_NODES(topics_live_on_all_nodes),
        WITH_NODES(the_controller_moves_and_the_node_comes_back),
        WITH_NODES(a_planned_stop_hands_everything_over),
        WITH_NODES(draining_moves_leaders_and_they_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
