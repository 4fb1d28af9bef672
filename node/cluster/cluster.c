/* The life of the cluster object, and what it answers at once. */
#include "node/base/assert.h"
#include "node/cluster/internal.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the end of a loop turn ---- */

static void on_turn(struct env_task *task)
{
    struct cluster *c = container_of(task, struct cluster, turn);
    if (c->is_opening || c->phase == CLUSTER_CLOSED) {
        return;
    }
    if (c->phase == CLUSTER_RUNNING) {
        membership_step(c);
        controller_step(c);
        requests_step(c);
        operations_step(c);
        ids_step(c);
        leadership_step(c);
        hand_over_step(c);
        readiness_step(c);
    }
    reconciler_run(c);
}

void cluster_wake(struct cluster *c)
{
    env_defer(c->env, &c->turn, on_turn);
}

static void on_group0_changed(void *data)
{
    cluster_wake(data);
}

static void on_group0_joined(void *data)
{
    reconciler_distrust_all(data);
}

/* ---- start ---- */

static int compare_peers(const void *a, const void *b)
{
    const struct peer_state *left = a;
    const struct peer_state *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* The reason why the static list cannot be used, into start_message; 0 when it can. */
static int check_peers(struct cluster *c, const struct cluster_options *options)
{
    bool has_self = false;
    if (options->peer_count > STATIC_NODES_MAX) {
        (void)snprintf(c->start_message, sizeof c->start_message,
                       "the list of peers names %u nodes, at most %d are possible", options->peer_count,
                       STATIC_NODES_MAX);
        return ERR_INVALID_ARGUMENT;
    }
    for (unsigned i = 0; i < options->peer_count; i++) {
        has_self = has_self || options->peers[i].id == options->self->id;
        for (unsigned j = 0; j < i; j++) {
            if (options->peers[j].id == options->peers[i].id) {
                (void)snprintf(c->start_message, sizeof c->start_message,
                               "the list of peers names node %" PRIu32 " twice", options->peers[i].id);
                return ERR_INVALID_ARGUMENT;
            }
        }
    }
    if (!has_self) {
        (void)snprintf(c->start_message, sizeof c->start_message,
                       "this is node %" PRIu32 ", which is not in its own list of peers", options->self->id);
        return ERR_INVALID_ARGUMENT;
    }
    return 0;
}

static void copy_peers(struct cluster *c, const struct cluster_options *options)
{
    for (unsigned i = 0; i < options->peer_count; i++) {
        c->peers[i] = (struct peer_state){
            .id = options->peers[i].id,
            .host = memory_strdup(options->peers[i].host),
            .port = options->peers[i].port,
        };
    }
    c->peer_count = options->peer_count;
    qsort(c->peers, c->peer_count, sizeof c->peers[0], compare_peers);
}

static char *copy_text(const char *text)
{
    return memory_strdup(text == NULL ? "" : text);
}

static void copy_self(struct cluster *c, const struct node_meta *self)
{
    c->self = *self;
    c->self.peer_address = copy_text(self->peer_address);
    c->self.client_host = copy_text(self->client_host);
    c->self.rack = copy_text(self->rack);
    c->self.software = copy_text(self->software);
    c->options.self = &c->self;
}

static struct cluster *create(const struct cluster_options *options,
                              void (*started)(void *data, int status, const char *message))
{
    struct cluster *c = memory_zalloc(sizeof *c);
    c->options = *options;
    c->options.peers = NULL;
    c->env = options->env;
    c->logger = options->logger;
    c->started = started;
    c->id = copy_text(options->cluster_id);
    copy_self(c, options->self);
    queue_init(&c->requests);
    queue_init(&c->operations);
    queue_init(&c->controller.placing);
    queue_init(&c->leadership.transfers);
    reconciler_init(&c->reconciler);
    ids_init(&c->ids);
    return c;
}

static void destroy(struct cluster *c)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        free(c->peers[i].host);
    }
    free(c->self.peer_address);
    free(c->self.client_host);
    free(c->self.rack);
    free(c->self.software);
    free(c->id);
    if (c->group0.metadata != NULL) {
        group0_release(&c->group0);
    }
    free(c);
}

static void on_group0_opened(void *data, int status, const char *message)
{
    struct cluster *c = data;
    c->is_opening = false;
    if (c->phase == CLUSTER_CLOSING) {
        cluster_wake(c);
        return;
    }
    c->phase = status == 0 ? CLUSTER_RUNNING : CLUSTER_STOPPED;
    if (status == 0) {
        leadership_start(c);
        cluster_wake(c);
    }
    c->started(c->options.data, status, message);
}

static void on_start_failed(struct env_task *task)
{
    struct cluster *c = container_of(task, struct cluster, turn);
    c->started(c->options.data, c->start_status, c->start_message);
}

/* Before the first start of a new cluster somebody must stand first: the lowest id need not wait out a
 * time-out. */
static bool is_fresh_and_first(const struct cluster *c)
{
    struct journal_group state;
    journal_get(c->options.journal, METADATA_GROUP_ID, &state);
    return state.term == 0 && c->peers[0].id == c->self.id;
}

static int open_group0(struct cluster *c)
{
    uint32_t voters[STATIC_NODES_MAX];
    for (unsigned i = 0; i < c->peer_count; i++) {
        voters[i] = c->peers[i].id;
    }
    const struct group0_options options = {
        .env = c->env,
        .logger = c->logger,
        .consensus = c->options.consensus,
        .data_dir = c->options.data_dir,
        .voters = voters,
        .voter_count = c->peer_count,
        .campaign_at_once = is_fresh_and_first(c),
        .joined = on_group0_joined,
        .changed = on_group0_changed,
        .data = c,
    };
    return group0_open(&c->group0, &options, on_group0_opened);
}

static void connect_peers(struct cluster *c)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        struct peer_state *peer = &c->peers[i];
        if (peer->id != c->self.id) {
            consensus_set_peer(c->options.consensus, peer->id, peer->host, peer->port);
        }
    }
}

int cluster_start(const struct cluster_options *options, struct cluster **cluster,
                  void (*started)(void *data, int status, const char *message))
{
    struct cluster *c = create(options, started);
    c->start_status = check_peers(c, options);
    if (c->start_status != 0) {
        c->phase = CLUSTER_STOPPED;
        env_defer(c->env, &c->turn, on_start_failed);
        *cluster = c;
        return 0;
    }
    copy_peers(c, options);
    connect_peers(c);
    int rc = open_group0(c);
    if (rc != 0) {
        destroy(c);
        return rc;
    }
    c->is_opening = true;
    cluster_metrics_add(c);
    *cluster = c;
    return 0;
}

/* ---- close ---- */

static void on_closed(struct env_task *task)
{
    struct cluster *c = container_of(task, struct cluster, turn);
    void (*closed)(void *data) = c->closed;
    void *data = c->closed_data;
    destroy(c);
    closed(data);
}

static void on_group0_closed(void *data)
{
    struct cluster *c = data;
    env_task_cancel(c->env, &c->turn);
    env_defer(c->env, &c->turn, on_closed);
}

void cluster_replicas_closed(struct cluster *c)
{
    c->phase = CLUSTER_CLOSED;
    if (!group0_is_open(&c->group0)) {
        on_group0_closed(c);
        return;
    }
    group0_close(&c->group0, c->close_clean, on_group0_closed, c);
}

void cluster_close(struct cluster *c, bool clean, void (*closed)(void *data), void *data)
{
    ASSERT(c->phase != CLUSTER_CLOSING);
    c->close_clean = clean;
    c->closed = closed;
    c->closed_data = data;
    c->phase = CLUSTER_CLOSING;
    leadership_stop(c);
    controller_close(c);
    requests_close(c);
    operations_close(c);
    ids_close(c);
    cluster_metrics_remove(c);
    env_task_cancel(c->env, &c->turn);
    cluster_wake(c);
}

/* ---- events ---- */

void cluster_leader_changed(struct cluster *c, uint64_t group_id, uint32_t node_id, uint64_t term)
{
    (void)group_id;
    (void)node_id;
    (void)term;
    cluster_wake(c);
}

struct peer_state *cluster_peer_state(struct cluster *c, uint32_t node_id)
{
    for (unsigned i = 0; i < c->peer_count; i++) {
        if (c->peers[i].id == node_id) {
            return &c->peers[i];
        }
    }
    return NULL;
}

void cluster_peer_changed(struct cluster *c, uint32_t node_id, bool up)
{
    struct peer_state *peer = cluster_peer_state(c, node_id);
    if (peer != NULL) {
        peer->up_since_ns = up ? env_now_ns(c->env) : 0;
        peer->lost_ns = up ? 0 : env_now_ns(c->env);
    }
    cluster_wake(c);
}

/* ---- queries ---- */

const struct metadata *cluster_metadata(const struct cluster *c)
{
    return c->group0.metadata;
}

const char *cluster_id(const struct cluster *c)
{
    return c->id;
}

uint32_t cluster_self(const struct cluster *c)
{
    return c->self.id;
}

uint32_t cluster_controller(const struct cluster *c)
{
    return consensus_leader_of(c->options.consensus, METADATA_GROUP_ID, NULL);
}

uint32_t cluster_leader(const struct cluster *c, uint64_t group_id, int32_t *leader_epoch)
{
    uint64_t term = 0;
    uint32_t leader = consensus_leader_of(c->options.consensus, group_id, &term);
    if (leader_epoch != NULL) {
        *leader_epoch = (int32_t)term;
    }
    return leader;
}

bool cluster_node_alive(const struct cluster *c, uint32_t node_id)
{
    return node_id == c->self.id || consensus_peer_up(c->options.consensus, node_id);
}

bool cluster_node_lost_lately(struct cluster *c, uint32_t node_id, uint64_t within_ns)
{
    const struct peer_state *peer = cluster_peer_state(c, node_id);
    return peer != NULL && peer->lost_ns != 0 && env_now_ns(c->env) - peer->lost_ns < within_ns;
}

void cluster_roll_call(struct cluster *c, struct roll_call_req *req, void (*cb)(struct roll_call_req *req))
{
    consensus_roll_call(c->options.consensus, req, cb);
}

bool cluster_node_draining(const struct cluster *c, uint32_t node_id)
{
    const struct node_meta *node = metadata_node(c->group0.metadata, node_id);
    return node != NULL && node->draining;
}
