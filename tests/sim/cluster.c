#include "tests/sim/cluster.h"
#include "node/base/assert.h"
#include "node/cluster/internal.h"
#include "node/env/env_ops.h"
#include "proto/error.h"
#include <stdio.h>
#include <string.h>

enum { MS = 1000000 };
#define DATA_DIR "/data"

/* ---- starting ---- */

static void configure(struct sim_node *n, const struct sim_cluster_options *options)
{
    struct node_config *c = &n->config;
    config_defaults(c);
    c->node_id = n->id;
    c->http_off = true;
    c->http_port = 0;
    c->guards_off = options->guards_off;
    c->client_port = CLUSTER_CLIENT_PORT;
    c->peer_port = CLUSTER_PEER_PORT;
    c->log_level = options->log_level;
    c->offsets_partitions = 1;
    c->heartbeat_ms = options->heartbeat_ms;
    c->election_timeout_ms = options->election_timeout_ms;
    c->entry_memory_bytes = options->entry_memory_bytes;
    c->cache_bytes = options->cache_bytes;
    c->shutdown_timeout_ms = 2000;
    c->retention_check_ms = 200;
    c->scrub_interval_ms = 3000;
    c->inflight_bytes = options->inflight_bytes;
    snprintf(c->data_dir, sizeof(c->data_dir), DATA_DIR);
    c->peer_count = options->count;
    for (unsigned i = 0; i < options->count; i++) {
        c->peers[i].id = i + 1;
        c->peers[i].port = CLUSTER_PEER_PORT;
        snprintf(c->peers[i].host, sizeof(c->peers[i].host), "n%u", i + 1);
    }
}

static void on_fatal(void *data, const char *message)
{
    struct sim_node *n = data;
    (void)message;
    n->failed = true;
}

static uint64_t now_ns(const struct sim_node *n)
{
    return sim_now_ns(n->cluster->sim);
}

/* A process that ended by itself: the init system starts it again. */
static void end_process(struct sim_node *n, uint64_t down_ns)
{
    sim_host_kill(n->host);
    assert_unregister_logger(n->logger);
    n->node = NULL;
    n->failed = n->stopped = n->stopping = n->frozen = false;
    n->restart_ns = now_ns(n) + down_ns;
}

static bool start(struct sim_node *n)
{
    char message[1024] = "";
    struct env *env = sim_host_env(n->host);
    if (env == NULL)
        env = sim_host_restart(n->host);
    env->sabotage = n->cluster->sabotage;
    env->small_bounds = n->cluster->small_bounds;
    n->life++;
    sim_disk_rot_reads(n->host, 0); /* at the end of a log nobody could tell it from a torn write */
    int rv = node_start(env, &n->config, &n->node, message, sizeof(message));
    if (rv != 0) {
        fprintf(stderr, "node %u does not start: %s\n", n->id, message);
        counters_add(n->cluster->counters, "start_refused", 1);
        end_process(n, 200 * MS);
        return false;
    }
    n->logger = node_logger(n->node);
    node_on_fatal(n->node, on_fatal, n);
    return true;
}

void cluster_init(struct sim_cluster *c, struct sim *sim, const struct sim_cluster_options *options,
                  struct counters *counters)
{
    memset(c, 0, sizeof(*c));
    c->sim = sim;
    c->count = options->count;
    c->counters = counters;
    c->sabotage = options->sabotage;
    c->small_bounds = options->small_bounds;
    for (unsigned i = 0; i < c->count; i++) {
        struct sim_node *n = &c->nodes[i];
        char name[16];
        snprintf(name, sizeof(name), "n%u", i + 1);
        n->cluster = c;
        n->id = n->disk_of = i + 1;
        n->host = sim_host_create(sim, name);
        configure(n, options);
        bool ok = start(n);
        ASSERT(ok);
    }
}

/* ---- ending ---- */

static const char *const bound_names[BOUNDS] = {
#define X(name, text) text,
    BOUND_TABLE(X)
#undef X
};

static void count_metric(struct counters *counters, const struct metric *m)
{
    char name[COUNTER_NAME_SIZE];
    if (m->kind != METRIC_COUNTER || *m->counter == 0)
        return;
    const char *quote = strchr(m->labels, '"');
    if (strcmp(m->name, "flotilla_raft_guard_total") == 0 && quote != NULL)
        snprintf(name, sizeof(name), "guard %.*s", (int)strcspn(quote + 1, "\""), quote + 1);
    else
        snprintf(name, sizeof(name), "%s", m->name + strlen("flotilla_"));
    counters_add(counters, name, *m->counter);
}

/* Not while it stops: it may be gone already, and was counted when that began. */
static void count(struct sim_node *n)
{
    if (n->node == NULL || n->stopping)
        return;
    QUEUE_FOREACH (q, &n->node->metrics.all)
        count_metric(n->cluster->counters, QUEUE_ENTRY(q, struct metric, node));
    for (unsigned i = 0; i < BOUNDS; i++)
        counters_add(n->cluster->counters, bound_names[i], n->node->env->bounds_passed[i]);
}

void cluster_count(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        count(&c->nodes[i]);
}

void cluster_forget(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        assert_unregister_logger(c->nodes[i].logger);
}

void cluster_kill(struct sim_node *n, uint64_t down_ns)
{
    count(n);
    end_process(n, down_ns);
}

void cluster_crash(struct sim_node *n, uint64_t down_ns)
{
    count(n);
    sim_host_crash(n->host);
    end_process(n, down_ns);
}

void cluster_crash_all(struct sim_cluster *c, uint64_t down_ns)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->nodes[i].node != NULL)
            cluster_crash(&c->nodes[i], sim_random(c->sim, down_ns));
}

static void on_stopped(void *data)
{
    struct sim_node *n = data;
    n->stopped = true;
}

void cluster_stop(struct sim_node *n)
{
    if (n->stopping || n->failed)
        return;
    count(n);
    n->stopping = true;
    node_stop(n->node, true, on_stopped, n);
}

void cluster_swap_disks(struct sim_node *a, struct sim_node *b)
{
    uint32_t disk = a->disk_of;
    sim_disk_swap(a->host, b->host);
    a->disk_of = b->disk_of;
    b->disk_of = disk;
}

void cluster_freeze(struct sim_node *n)
{
    sim_host_freeze(n->host);
    n->frozen = true;
}

void cluster_thaw(struct sim_node *n)
{
    sim_host_thaw(n->host);
    n->frozen = false;
}

/* ---- between events ---- */

void cluster_step(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct sim_node *n = &c->nodes[i];
        if (n->node == NULL) {
            if (now_ns(n) >= n->restart_ns)
                start(n);
        } else if (n->stopped) {
            end_process(n, sim_random(c->sim, 300) * MS);
        } else if (n->failed) {
            counters_add(c->counters, "node_gave_up", 1);
            cluster_kill(n, 50 * MS + sim_random(c->sim, 500) * MS);
        }
        n->has_run = n->turns != sim_host_turns(n->host);
        n->turns = sim_host_turns(n->host);
    }
}

/* ---- looking into nodes ---- */

bool cluster_node_works(const struct sim_node *n)
{
    return n->node != NULL && !n->frozen && !n->stopping && !n->failed;
}

struct each_group {
    struct sim_node *node;
    void (*each)(void *data, struct sim_node *n, struct group *g, struct partition *p);
    void *data;
};

static void on_partition(void *data, struct partition *p)
{
    struct each_group *e = data;
    struct group *g = partition_group(p);
    if (g != NULL)
        e->each(e->data, e->node, g, p);
}

void cluster_each_group(struct sim_node *n,
                        void (*each)(void *data, struct sim_node *n, struct group *g, struct partition *p),
                        void *data)
{
    struct each_group e = {n, each, data};
    if (n->node->cluster != NULL && n->node->cluster->group0.group != NULL && !n->node->cluster->is_opening)
        each(data, n, n->node->cluster->group0.group, NULL);
    broker_each_partition(n->node->broker, on_partition, &e);
}

struct sim_node *cluster_controller_node(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct sim_node *n = &c->nodes[i];
        if (cluster_node_works(n) && n->node->cluster != NULL && n->node->cluster->group0.is_ready)
            return n;
    }
    return NULL;
}
