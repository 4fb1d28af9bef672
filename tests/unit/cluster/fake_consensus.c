#include "tests/unit/cluster/fake_consensus.h"
#include "node/base/memory.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the clock ---- */

static uint64_t now_ns(struct env *env)
{
    return ((struct fake_env *)env)->now_ns;
}

static int64_t wall_ms(struct env *env)
{
    return (int64_t)(now_ns(env) / 1000000);
}

static uint64_t next_random(struct env *env)
{
    struct fake_env *fake = (struct fake_env *)env;
    fake->random_state = fake->random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return fake->random_state >> 11;
}

static void random_bytes(struct env *env, void *out, size_t size)
{
    unsigned char *bytes = out;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)next_random(env);
    }
}

static const struct env_ops env_operations = {
    .now_ns = now_ns,
    .clock_ns = now_ns,
    .wall_ms = wall_ms,
    .random = next_random,
    .random_bytes = random_bytes,
};

void fake_world_turn(struct fake_world *w)
{
    if (env_has_deferred(&w->env.env)) {
        env_run_deferred(&w->env.env);
        return;
    }
    uint64_t next = timer_heap_next(&w->env.env.timers);
    assert_true(next != UINT64_MAX); /* nothing could ever happen again */
    w->env.now_ns = next > w->env.now_ns ? next : w->env.now_ns;
    (void)timer_heap_run(&w->env.env.timers, w->env.now_ns);
}

void fake_world_run(struct fake_world *w, uint64_t ms)
{
    uint64_t end = w->env.now_ns + ms * 1000000;
    while (env_has_deferred(&w->env.env) || timer_heap_next(&w->env.env.timers) <= end) {
        fake_world_turn(w);
    }
    w->env.now_ns = end;
}

/* ---- the world ---- */

void fake_world_init(struct fake_world *w, unsigned nodes)
{
    memset(w, 0, sizeof *w);
    env_init(&w->env.env, &env_operations);
    w->env.now_ns = 1000000000;
    w->env.random_state = 42;
    w->node_count = nodes;
    queue_init(&w->forwards);
    for (unsigned i = 0; i < nodes; i++) {
        w->nodes[i] = (struct consensus){.world = w, .node_id = i + 1, .is_up = true};
    }
}

static void forward_free(struct fake_forward *f)
{
    queue_remove(&f->node);
    env_task_cancel(&f->world->env.env, &f->task);
    bytes_close(&f->bytes);
    free(f);
}

void fake_world_close(struct fake_world *w)
{
    while (!queue_empty(&w->forwards)) {
        struct fake_forward *f = QUEUE_ENTRY(queue_first(&w->forwards), struct fake_forward, node);
        struct forward_req *req = f->req;
        forward_free(f);
        req->cb(req, ERR_CANCELED, NULL, 0);
    }
    for (uint64_t i = 0; i < w->last; i++) {
        slice_unref(&w->log[i].batch);
    }
    env_close(&w->env.env);
}

struct consensus *fake_node(struct fake_world *w, uint32_t node_id)
{
    assert_in_range(node_id, 1, w->node_count);
    return &w->nodes[node_id - 1];
}

static struct fake_leader *leader_of(struct fake_world *w, uint64_t group_id)
{
    for (unsigned i = 0; i < w->leader_count; i++) {
        if (w->leaders[i].group_id == group_id) {
            return &w->leaders[i];
        }
    }
    assert_true(w->leader_count < FAKE_GROUPS_MAX);
    struct fake_leader *leader = &w->leaders[w->leader_count];
    w->leader_count++;
    *leader = (struct fake_leader){.group_id = group_id};
    return leader;
}

uint32_t fake_world_leader(const struct fake_world *w, uint64_t group_id)
{
    return leader_of((struct fake_world *)w, group_id)->node_id;
}

static void lose_uncommitted(struct fake_world *w)
{
    while (w->last > w->committed) {
        struct fake_entry *entry = &w->log[w->last - 1];
        struct proposal *proposal = entry->proposal;
        slice_unref(&entry->batch);
        *entry = (struct fake_entry){0};
        w->last--;
        if (proposal != NULL) {
            proposal->cb(proposal, ERR_OUTCOME_UNKNOWN);
        }
    }
}

static void tell_group0(struct fake_world *w)
{
    struct fake_leader *leader = leader_of(w, METADATA_GROUP_ID);
    for (unsigned i = 0; i < w->node_count; i++) {
        struct group *g = w->nodes[i].group0;
        if (g != NULL && g->opened == NULL && w->nodes[i].is_up) {
            bool leads = leader->node_id == g->node_id;
            g->callbacks->role_changed(g->data, leads ? GROUP_LEADER : GROUP_FOLLOWER, leader->term, leads);
        }
    }
}

void fake_world_elect(struct fake_world *w, uint64_t group_id, uint32_t node_id)
{
    struct fake_leader *leader = leader_of(w, group_id);
    leader->node_id = node_id;
    leader->term++;
    if (group_id == METADATA_GROUP_ID) {
        lose_uncommitted(w);
        fake_world_commit(w);
        tell_group0(w);
    }
    for (unsigned i = 0; i < w->node_count; i++) {
        if (w->nodes[i].cluster != NULL && w->nodes[i].is_up) {
            cluster_leader_changed(w->nodes[i].cluster, group_id, node_id, leader->term);
        }
    }
}

static void fail_forwards(struct fake_world *w, uint32_t node_id)
{
    struct queue all;
    queue_move(&w->forwards, &all);
    while (!queue_empty(&all)) {
        struct fake_forward *f = QUEUE_ENTRY(queue_first(&all), struct fake_forward, node);
        queue_remove(&f->node);
        queue_push(&w->forwards, &f->node);
        if (f->to == node_id || f->from == node_id) {
            struct forward_req *req = f->req;
            forward_free(f);
            req->cb(req, ERR_CONNECTION_LOST, NULL, 0);
        }
    }
}

void fake_world_set_up(struct fake_world *w, uint32_t node_id, bool up)
{
    fake_node(w, node_id)->is_up = up;
    if (!up) {
        fail_forwards(w, node_id);
        for (unsigned i = 0; i < w->leader_count; i++) {
            if (w->leaders[i].node_id == node_id) {
                fake_world_elect(w, w->leaders[i].group_id, 0);
            }
        }
    }
    for (unsigned i = 0; i < w->node_count; i++) {
        struct consensus *node = &w->nodes[i];
        if (node->cluster == NULL) {
            continue;
        }
        for (unsigned k = 0; k < w->node_count; k++) {
            if (k != i && (k + 1 == node_id || i + 1 == node_id)) {
                cluster_peer_changed(node->cluster, k + 1, node->is_up && w->nodes[k].is_up);
            }
        }
    }
    fake_world_commit(w);
}

/* ---- group 0's log ---- */

static void apply_next(struct fake_world *w, struct group *g)
{
    struct fake_entry *entry = &w->log[g->applied];
    struct batch_header header;
    g->applied++;
    assert_int_equal(batch_header_decode(entry->batch.data, entry->batch.size, entry->batch.size, &header),
                     0);
    g->callbacks->apply(g->data, g->applied, &header, &entry->batch);
    uint32_t leader = fake_world_leader(w, METADATA_GROUP_ID);
    if (entry->proposal != NULL && g->node_id == leader) {
        struct proposal *proposal = entry->proposal;
        entry->proposal = NULL;
        proposal->cb(proposal, 0);
    }
}

static void on_commit(struct env_task *task)
{
    struct fake_world *w = container_of(task, struct fake_world, commit_task);
    if (!w->hold_commits) {
        w->committed = w->last;
    }
    for (unsigned i = 0; i < w->node_count; i++) {
        while (w->nodes[i].is_up && w->held_node != i + 1 && w->nodes[i].group0 != NULL &&
               w->nodes[i].group0->opened == NULL && w->nodes[i].group0->applied < w->committed) {
            apply_next(w, w->nodes[i].group0);
        }
    }
}

void fake_world_commit(struct fake_world *w)
{
    env_defer(&w->env.env, &w->commit_task, on_commit);
}

void fake_world_reload(struct fake_world *w, uint32_t node_id)
{
    struct group *g = fake_node(w, node_id)->group0;
    g->applied = 0;
    assert_int_equal(g->callbacks->restore(g->data, NULL, 0, 0), 0);
    fake_world_commit(w);
}

void fake_world_join(struct fake_world *w)
{
    struct group *g = fake_node(w, w->newcomer_node)->group0;
    w->newcomer_node = 0;
    g->callbacks->joined(g->data);
}

void fake_world_fail(struct fake_world *w, uint32_t node_id, int status)
{
    struct group *g = fake_node(w, node_id)->group0;
    g->callbacks->failed(g->data, status, "as the test has it");
}

/* ---- groups ---- */

struct group *fake_group_create(struct fake_world *w, uint32_t node_id,
                                const struct partition_meta *partition)
{
    struct group *g = memory_zalloc(sizeof *g);
    g->world = w;
    g->node_id = node_id;
    g->id = partition->group_id;
    memcpy(g->replicas, partition->replicas, sizeof g->replicas);
    g->replica_count = partition->replica_count;
    return g;
}

static void end_transfer(struct group *g, int status)
{
    if (g->transferred != NULL) {
        void (*cb)(void *data, int status) = g->transferred;
        g->transferred = NULL;
        g->world->transfers_at_once--;
        env_task_cancel(&g->world->env.env, &g->transfer_task);
        cb(g->transfer_data, status);
    }
}

void fake_group_destroy(struct group *g)
{
    end_transfer(g, ERR_CANCELED);
    env_task_cancel(&g->world->env.env, &g->task);
    free(g);
}

static void on_opened(struct env_task *task)
{
    struct group *g = container_of(task, struct group, task);
    void (*opened)(void *data, struct group *group, int status, const char *message) = g->opened;
    g->opened = NULL;
    if (g->world->fail_opens > 0) {
        g->world->fail_opens--;
        opened(g->data, g, ERR_IO, "as the test has it");
        return;
    }
    assert_int_equal(g->callbacks->restore(g->data, NULL, 0, 0), 0);
    opened(g->data, g, 0, "");
    fake_world_commit(g->world);
    tell_group0(g->world);
}

int group_open(struct consensus *c, const struct group_options *options, struct group **group,
               void (*cb)(void *data, struct group *group, int status, const char *message))
{
    struct partition_meta partition = {.group_id = options->group_id,
                                       .replica_count = options->replica_count};
    memcpy(partition.replicas, options->replicas, options->replica_count * sizeof *options->replicas);
    struct group *g = fake_group_create(c->world, c->node_id, &partition);
    g->callbacks = options->callbacks;
    g->data = options->data;
    g->opened = cb;
    c->group0 = g;
    *group = g;
    env_defer(&c->world->env.env, &g->task, on_opened);
    return 0;
}

static void on_closed(struct env_task *task)
{
    struct group *g = container_of(task, struct group, task);
    void (*closed)(void *data) = g->closed;
    void *data = g->closed_data;
    fake_group_destroy(g);
    closed(data);
}

void group_close(struct group *g, bool clean, void (*closed)(void *data), void *data)
{
    (void)clean;
    struct fake_world *w = g->world;
    fake_node(w, g->node_id)->group0 = NULL;
    fake_node(w, g->node_id)->cluster = NULL;
    if (fake_world_leader(w, METADATA_GROUP_ID) == g->node_id) {
        lose_uncommitted(w);
    }
    g->closed = closed;
    g->closed_data = data;
    env_defer(&w->env.env, &g->task, on_closed);
}

uint64_t group_id(const struct group *g)
{
    return g->id;
}

enum group_role group_role(const struct group *g)
{
    return fake_world_leader(g->world, g->id) == g->node_id ? GROUP_LEADER : GROUP_FOLLOWER;
}

bool group_is_ready_leader(const struct group *g)
{
    return group_role(g) == GROUP_LEADER;
}

uint64_t group_term(const struct group *g)
{
    return leader_of(g->world, g->id)->term;
}

const uint32_t *group_replicas(const struct group *g, unsigned *count)
{
    *count = g->replica_count;
    return g->replicas;
}

bool group_replica_in_sync(const struct group *g, uint32_t node_id)
{
    return fake_node(g->world, node_id)->is_up && g->world->lagging_node != node_id;
}

uint64_t group_applied_index(const struct group *g)
{
    return g->applied;
}

bool group_joined(const struct group *g)
{
    return g->world->newcomer_node != g->node_id;
}

bool group_caught_up(const struct group *g)
{
    if (g->world->electing_node == g->node_id) {
        return false;
    }
    return g->id != METADATA_GROUP_ID || g->applied == g->world->committed;
}

bool group_catching_up(const struct group *g)
{
    return g->id != METADATA_GROUP_ID && g->world->catching_up_node == g->node_id;
}

int group_propose(struct group *g, struct proposal *p, const struct slice *batch,
                  void (*cb)(struct proposal *p, int status))
{
    struct fake_world *w = g->world;
    if (!group_is_ready_leader(g)) {
        return ERR_NOT_LEADER;
    }
    assert_true(w->last < FAKE_LOG_MAX);
    batch_stamp(batch->data, (int64_t)w->last, (int32_t)group_term(g));
    w->log[w->last] = (struct fake_entry){.batch = slice_ref(*batch), .term = group_term(g), .proposal = p};
    w->last++;
    p->index = w->last;
    p->cb = cb;
    fake_world_commit(w);
    return 0;
}

static void on_transfer(struct env_task *task)
{
    struct group *g = container_of(task, struct group, transfer_task);
    fake_world_elect(g->world, g->id, g->transfer_target);
    end_transfer(g, 0);
}

int group_transfer(struct group *g, uint32_t node_id, void (*cb)(void *data, int status), void *data)
{
    if (!group_is_ready_leader(g) || g->transferred != NULL) {
        return ERR_NOT_LEADER;
    }
    struct fake_world *w = g->world;
    w->transfers++;
    w->transfers_at_once++;
    w->transfers_most = w->transfers_at_once > w->transfers_most ? w->transfers_at_once : w->transfers_most;
    g->transfer_target = node_id;
    g->transferred = cb;
    g->transfer_data = data;
    env_defer(&w->env.env, &g->transfer_task, on_transfer);
    return 0;
}

/* ---- peers ---- */

void consensus_set_peer(struct consensus *c, uint32_t node_id, const char *host, uint16_t port)
{
    (void)host;
    (void)port;
    assert_int_not_equal(node_id, c->node_id);
}

bool consensus_peer_up(const struct consensus *c, uint32_t node_id)
{
    return c->is_up && fake_node(c->world, node_id)->is_up && fake_node(c->world, node_id)->cluster != NULL;
}

uint32_t consensus_leader_of(const struct consensus *c, uint64_t group, uint64_t *term)
{
    struct fake_leader *leader = leader_of(c->world, group);
    if (term != NULL) {
        *term = leader->term;
    }
    return c->is_up ? leader->node_id : 0;
}

/* ---- forwarding ---- */

static void on_forward_answered(struct env_task *task)
{
    struct fake_forward *f = container_of(task, struct fake_forward, task);
    struct fake_world *w = f->world;
    struct forward_req *req = f->req;
    struct bytes answer = f->bytes;
    int status = f->status;
    bytes_init(&f->bytes);
    forward_free(f);
    if (w->lose_answers > 0) {
        w->lose_answers--;
        req->cb(req, ERR_CONNECTION_LOST, NULL, 0);
    } else {
        req->cb(req, status, answer.data, answer.size);
    }
    bytes_close(&answer);
}

static void on_forward_arrived(struct env_task *task)
{
    struct fake_forward *f = container_of(task, struct fake_forward, task);
    struct consensus *to = fake_node(f->world, f->to);
    struct bytes request = f->bytes;
    bytes_init(&f->bytes);
    if (f->world->lose_requests > 0 || to->cluster == NULL) {
        f->world->lose_requests -= f->world->lose_requests > 0 ? 1 : 0;
        f->status = ERR_CONNECTION_LOST;
        env_defer(&f->world->env.env, &f->task, on_forward_answered);
    } else {
        cluster_forwarded(to->cluster, f->ticket, f->type, request.data, request.size);
    }
    bytes_close(&request);
}

/* Everybody answers at once. */
void consensus_roll_call(struct consensus *c, struct roll_call_req *req,
                         void (*cb)(struct roll_call_req *req))
{
    (void)c;
    cb(req);
}

int consensus_forward(struct consensus *c, uint32_t node_id, struct forward_req *req, uint16_t type,
                      const void *header, size_t size, uint64_t timeout_ms,
                      void (*cb)(struct forward_req *req, int status, const void *header, size_t size))
{
    (void)timeout_ms;
    if (!consensus_peer_up(c, node_id)) {
        return ERR_UNREACHABLE;
    }
    struct fake_forward *f = memory_zalloc(sizeof *f);
    f->world = c->world;
    f->req = req;
    f->from = c->node_id;
    f->to = node_id;
    f->type = type;
    c->world->next_ticket++;
    f->ticket = c->world->next_ticket;
    bytes_init(&f->bytes);
    bytes_append(&f->bytes, header, size);
    req->cb = cb;
    queue_push(&c->world->forwards, &f->node);
    env_defer(&c->world->env.env, &f->task, on_forward_arrived);
    return 0;
}

void consensus_forward_answer(struct consensus *c, uint64_t ticket, int status, const void *header,
                              size_t size)
{
    QUEUE_FOREACH (node, &c->world->forwards) {
        struct fake_forward *f = QUEUE_ENTRY(node, struct fake_forward, node);
        if (f->ticket == ticket) {
            assert_false(f->is_answered);
            f->is_answered = true;
            f->status = status;
            bytes_append(&f->bytes, header, size);
            env_defer(&c->world->env.env, &f->task, on_forward_answered);
            return;
        }
    }
}

/* ---- journal and data directory: the node itself is handed in as both ---- */

void journal_get(const struct journal *j, uint64_t group, struct journal_group *state)
{
    const struct consensus *node = (const struct consensus *)j;
    *state = (struct journal_group){0};
    for (unsigned i = 0; i < node->emptied_count; i++) {
        state->damaged = state->emptied |= node->emptied[i] == group;
    }
}

uint64_t journal_put_emptied(struct journal *j, uint64_t group)
{
    struct consensus *node = (struct consensus *)j;
    assert_true(node->emptied_count < FAKE_DISK_MAX);
    node->emptied[node->emptied_count++] = group;
    return node->emptied_count;
}

void journal_each(const struct journal *j, void (*each)(void *data, uint64_t group_id), void *data)
{
    (void)j;
    (void)each;
    (void)data;
}

void data_dir_group_path(const struct data_dir *dir, uint64_t group, char *out, size_t out_size)
{
    (void)dir;
    (void)snprintf(out, out_size, "%016llx", (unsigned long long)group);
}

void data_dir_make_groups(struct data_dir *dir, struct data_dir_make *req,
                          void (*cb)(struct data_dir_make *req))
{
    (void)dir;
    for (unsigned i = 0; i < req->n; i++) {
        req->is_blank[i] = true;
    }
    cb(req);
}

int data_dir_each_group(struct data_dir *dir, void (*each)(void *data, uint64_t group_id), void *data)
{
    const struct consensus *node = (const struct consensus *)dir;
    for (unsigned i = 0; i < node->disk_count; i++) {
        each(data, node->disk[i]);
    }
    return 0;
}
