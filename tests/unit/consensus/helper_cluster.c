#include "helper_cluster.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- oracle ---- */

static void violate(struct test_cluster *c, const char *what, unsigned node, uint64_t index)
{
    if (c->violation[0])
        return;
    snprintf(c->violation, sizeof c->violation, "%s: node %u index %llu", what, node,
             (unsigned long long)index);
}

static uint64_t mix(uint64_t h, uint64_t index, uint64_t value)
{
    h ^= value * 0x9E3779B97F4A7C15ull + index;
    h *= 0xD6E8FEB86659FD93ull;
    return h ^ (h >> 29);
}

static void oracle_applied(struct test_group *t, uint64_t index, uint64_t id)
{
    struct test_cluster *c = t->node->cluster;
    if (t->number != 0)
        return;
    ASSERT(index < ORACLE_SIZE);
    if (c->hashes[index] == 0) {
        c->hashes[index] = t->hash;
        c->ids[index] = id;
    } else if (c->hashes[index] != t->hash) {
        violate(c, "applied prefixes disagree", t->node->id, index);
    }
    if (index > c->committed)
        c->committed = index;
}

/* ---- the state machine ---- */

static uint64_t record_id(const struct slice *bytes)
{
    struct batch_reader reader;
    struct record record;
    uint64_t id = 0;
    if (batch_reader_init(&reader, bytes->data, bytes->size, 64 << 20) == 0 &&
        batch_reader_next(&reader, &record) == 1)
        memcpy(&id, record.key, sizeof id);
    batch_reader_close(&reader);
    return id;
}

static void on_apply(void *data, uint64_t index, const struct batch_header *header, const struct slice *bytes)
{
    struct test_group *t = data;
    struct test_cluster *c = t->node->cluster;
    if (index <= t->applied)
        violate(c, "applied twice", t->node->id, index);
    if (header->base_offset != t->next_offset)
        violate(c, "offsets are not continuous", t->node->id, index);
    uint64_t id = record_id(bytes);
    t->applied = index;
    t->next_offset = batch_next_offset(header);
    t->hash = mix(t->hash, index, id);
    oracle_applied(t, index, id);
}

static void on_start_moved(void *data, int64_t start_offset)
{
    struct test_group *t = data;
    t->start_offset = start_offset;
}

static void on_role(void *data, enum group_role role, uint64_t term, bool ready)
{
    struct test_group *t = data;
    struct test_cluster *c = t->node->cluster;
    t->role = role;
    t->term = term;
    t->ready = ready;
    if (role != GROUP_LEADER || t->number != 0 || term >= ORACLE_SIZE)
        return;
    if (c->leader_of_term[term] != 0 && c->leader_of_term[term] != t->node->id)
        violate(c, "two leaders in one term", t->node->id, term);
    c->leader_of_term[term] = t->node->id;
}

static void on_snapshot(void *data, struct bytes *out)
{
    struct test_group *t = data;
    bytes_put_u64(out, t->applied);
    bytes_put_u64(out, t->hash);
    bytes_put_u64(out, (uint64_t)t->start_offset);
}

static int on_restore(void *data, const void *state, size_t size, int64_t next_offset)
{
    struct test_group *t = data;
    struct reader r;
    reader_init(&r, state, size);
    t->applied = size ? reader_u64(&r) : 0;
    t->hash = size ? reader_u64(&r) : 0;
    t->start_offset = size ? (int64_t)reader_u64(&r) : 0;
    t->next_offset = next_offset;
    return r.failed;
}

static void on_joined(void *data)
{
    struct test_group *t = data;
    t->joins++;
    t->joined_at = t->applied;
}

static void on_failed(void *data, int status, const char *message)
{
    struct test_group *t = data;
    (void)status;
    (void)message;
    t->failed = true;
}

static const struct group_callbacks callbacks = {
    .apply = on_apply,
    .start_moved = on_start_moved,
    .role_changed = on_role,
    .snapshot = on_snapshot,
    .restore = on_restore,
    .joined = on_joined,
    .failed = on_failed,
};

/* ---- nodes ---- */

enum { FORGETFUL_BYTES = 4096 };

static int64_t wall_ms(void *data)
{
    return env_wall_ms(data);
}

void cluster_init_bare(struct test_cluster *c, unsigned n, unsigned n_groups)
{
    memset(c, 0, sizeof *c);
    c->n = n;
    c->n_groups = n_groups;
    c->guards = GUARD_ALL;
    c->heartbeat_ms = 20;
    c->election_timeout_ms = 150;
    c->segment_bytes = 16 << 20;
    c->hashes = memory_zalloc(ORACLE_SIZE * sizeof *c->hashes);
    c->ids = memory_zalloc(ORACLE_SIZE * sizeof *c->ids);
    c->leader_of_term = memory_zalloc(ORACLE_SIZE * sizeof *c->leader_of_term);
    for (unsigned i = 0; i < n; i++) {
        struct test_node *node = &c->nodes[i];
        node->cluster = c;
        node->id = i + 1;
        node->groups = memory_zalloc(n_groups * sizeof *node->groups);
        snprintf(node->dir, sizeof node->dir, "/%u", node->id);
    }
}

void cluster_init(struct test_cluster *c, unsigned n, unsigned n_groups, struct env *env)
{
    cluster_init_bare(c, n, n_groups);
    snprintf(c->dir, sizeof c->dir, "/tmp/flotilla-consensus-XXXXXX");
    if (!mkdtemp(c->dir))
        abort();
    for (unsigned i = 0; i < n; i++) {
        struct test_node *node = &c->nodes[i];
        node->env = env;
        snprintf(node->host, sizeof node->host, "127.0.0.1");
        snprintf(node->dir, sizeof node->dir, "%s/%u", c->dir, node->id);
    }
}

void cluster_close(struct test_cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        logger_destroy(c->nodes[i].logger);
        free(c->nodes[i].groups);
    }
    free(c->hashes);
    free(c->ids);
    free(c->leader_of_term);
    if (!c->dir[0])
        return;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", c->dir);
    if (system(command) != 0)
        abort();
}

static void on_open(void *data, struct group *group, int status, const char *message)
{
    struct test_group *t = data;
    if (status != 0) {
        fprintf(stderr, "node %u: open failed: %s\n", t->node->id, message);
        t->failed = true;
        return;
    }
    (void)group;
    t->open = true;
    t->node->open_groups++;
}

static void open_group(struct test_node *node, unsigned number)
{
    struct test_cluster *c = node->cluster;
    struct test_group *t = &node->groups[number];
    uint32_t replicas[MAX_NODES];
    char directory[300], name[32];
    for (unsigned i = 0; i < c->n; i++)
        replicas[i] = (number + i) % c->n + 1;
    *t = (struct test_group){.node = node, .number = number};
    snprintf(directory, sizeof directory, "%s/g%u", node->dir, number);
    snprintf(name, sizeof name, "test/%u", number);
    struct group_options options = {
        .group_id = number + 1,
        .name = name,
        .directory = directory,
        .replicas = replicas,
        .replica_count = c->n,
        .segment_bytes = c->segment_bytes,
        .cache_bytes = 1 << 20,
        .abstains_when_new = c->abstains_when_new,
        .campaign_at_once = replicas[0] == node->id,
        .callbacks = &callbacks,
        .data = t,
    };
    int rv = group_open(node->consensus, &options, &t->group, on_open);
    ASSERT(rv == 0);
}

static void on_journal_durable(void *data, uint64_t sequence)
{
    struct test_node *node = data;
    if (node->consensus)
        consensus_journal_durable(node->consensus, sequence);
}

static void on_journal_failed(void *data, int status)
{
    struct test_node *node = data;
    fprintf(stderr, "node %u: journal failed: %s\n", node->id, error_name(status));
}

static void open_journal(struct test_node *node)
{
    char path[300], message[256] = "";
    snprintf(path, sizeof path, "%s/journal", node->dir);
    struct journal_options options = {
        .env = node->env,
        .logger = node->logger,
        .path = path,
        .durable = on_journal_durable,
        .failed = on_journal_failed,
        .data = node,
    };
    int rv = journal_open(&options, &node->journal, message, sizeof message);
    if (rv != 0)
        fprintf(stderr, "journal: %s\n", message);
    ASSERT(rv == 0);
}

static void on_forwarded(void *data, uint64_t ticket, uint16_t type, const void *header, size_t size)
{
    struct test_node *node = data;
    if (type == FORWARD_ECHO)
        consensus_forward_answer(node->consensus, ticket, 0, header, size);
}

void node_start(struct test_node *node)
{
    struct test_cluster *c = node->cluster;
    const char *verbose = getenv("VERBOSE");
    if (!node->logger)
        node->logger = logger_create(2, node->id, verbose ? LOG_DEBUG : LOG_ERROR + 1, wall_ms, node->env);
    env_dir_create(node->env, node->dir);
    env_dir_sync(node->env, c->dir[0] ? c->dir : "/");
    open_journal(node);
    for (unsigned i = 0; i < c->n_groups && node->id == c->distrusted; i++)
        journal_put_damaged(node->journal, i + 1, true);
    node->flusher = flusher_create(node->env, 4);
    struct consensus_options options = {
        .env = node->env,
        .logger = node->logger,
        .flusher = node->flusher,
        .journal = node->journal,
        .cluster_id = "test",
        .node_id = node->id,
        .heartbeat_ms = c->heartbeat_ms,
        .election_timeout_ms = c->election_timeout_ms,
        .entry_memory_bytes = node->id == c->forgetful ? FORGETFUL_BYTES : c->entry_memory_bytes,
        .entry_memory_total_bytes = c->entry_memory_total_bytes,
        .max_batch_bytes = 8 << 20,
        .guards = c->guards,
        .forwarded = on_forwarded,
        .data = node,
    };
    node->consensus = consensus_create(&options);
    int rv = consensus_listen(node->consensus, node->host, node->port);
    ASSERT(rv == 0);
    node->port = consensus_port(node->consensus);
    node->up = true;
    node->open_groups = 0;
    node_connect(c);
    for (unsigned i = 0; i < c->n_groups; i++)
        open_group(node, i);
}

void node_connect(struct test_cluster *c)
{
    for (unsigned i = 0; i < c->n; i++)
        for (unsigned k = 0; k < c->n; k++)
            if (i != k && c->nodes[i].up && !c->nodes[i].closing && c->nodes[k].port != 0)
                consensus_set_peer(c->nodes[i].consensus, c->nodes[k].id, c->nodes[k].host, c->nodes[k].port);
}

void node_forget(struct test_node *node)
{
    node->up = false;
    node->closing = false;
    node->journal = NULL;
    node->flusher = NULL;
    node->consensus = NULL;
    node->open_groups = 0;
    for (unsigned i = 0; i < node->cluster->n_groups; i++)
        node->groups[i] = (struct test_group){.node = node, .number = i};
}

bool node_is_open(const struct test_node *node)
{
    return node->up && node->open_groups == node->cluster->n_groups;
}

static void on_journal_closed(void *data)
{
    struct test_node *node = data;
    node->journal = NULL;
    node->up = false;
    node->closing = false;
}

static void on_consensus_closed(void *data)
{
    struct test_node *node = data;
    node->consensus = NULL;
    flusher_destroy(node->flusher);
    journal_close(node->journal, on_journal_closed, node);
}

static void on_group_closed(void *data)
{
    struct test_group *t = data;
    t->open = false;
    t->group = NULL;
    if (--t->node->closing_groups == 0)
        consensus_close(t->node->consensus, on_consensus_closed, t->node);
}

void node_stop(struct test_node *node, bool clean)
{
    node->closing = true;
    node->closing_groups = node->cluster->n_groups;
    for (unsigned i = 0; i < node->cluster->n_groups; i++)
        group_close(node->groups[i].group, clean, on_group_closed, &node->groups[i]);
}

static void on_closed_for_reopen(void *data)
{
    struct test_group *t = data;
    open_group(t->node, t->number);
}

void node_reopen_group(struct test_node *node, unsigned number)
{
    struct test_group *t = &node->groups[number];
    t->open = false;
    node->open_groups--;
    group_close(t->group, false, on_closed_for_reopen, t);
}

/* ---- driving ---- */

struct test_node *cluster_leader(struct test_cluster *c, unsigned group)
{
    struct test_node *leader = NULL;
    for (unsigned i = 0; i < c->n; i++) {
        struct test_node *node = &c->nodes[i];
        if (!node->up || node->closing || !node->groups[group].open ||
            !group_is_ready_leader(node->groups[group].group))
            continue;
        if (!leader || node->groups[group].term > leader->groups[group].term)
            leader = node;
    }
    return leader;
}

struct submitted {
    struct proposal proposal;
    struct test_cluster *cluster;
    struct test_group *group;
    uint64_t id;
};

static void on_proposed(struct proposal *p, int status)
{
    struct submitted *s = container_of(p, struct submitted, proposal);
    struct test_cluster *c = s->cluster;
    if (status != 0) {
        c->lost++;
    } else {
        c->acked++;
        if (s->group->number == 0 && c->ids[p->index] != s->id)
            violate(c, "acknowledged something else", s->group->node->id, p->index);
    }
    free(s);
}

struct slice cluster_batch(const void *key, size_t key_size, size_t payload)
{
    struct batch_builder b;
    struct bytes out;
    struct batch_options options = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    char *value = memory_zalloc(payload + 1);
    batch_builder_init(&b);
    bytes_init(&out);
    batch_builder_add(&b, 1, key, key_size, value, payload, NULL, 0);
    batch_builder_finish(&b, &options, &out);
    struct slice batch = slice_copy(out.data, out.size);
    batch_builder_close(&b);
    bytes_close(&out);
    free(value);
    return batch;
}

bool cluster_propose(struct test_cluster *c, struct test_node *node, unsigned group, size_t payload)
{
    struct submitted *s = memory_zalloc(sizeof *s);
    s->cluster = c;
    s->group = &node->groups[group];
    s->id = ++c->next_id;
    struct slice batch = cluster_batch(&s->id, sizeof s->id, payload);
    int rv = group_propose(s->group->group, &s->proposal, &batch, on_proposed);
    slice_unref(&batch);
    if (rv == 0)
        return true;
    c->refused++;
    free(s);
    return false;
}

static void on_nap(struct env_timer *timer)
{
    (void)timer;
}

/* One turn, at most a millisecond long. */
static void run_turn(struct test_cluster *c)
{
    struct env_timer nap = {.position = 0};
    env_timer_start(c->nodes[0].env, &nap, 1000000, on_nap);
    env_run_once(c->nodes[0].env, true);
    env_timer_stop(c->nodes[0].env, &nap);
}

bool run_until(struct test_cluster *c, bool (*condition)(struct test_cluster *c, void *data), void *data,
               uint64_t timeout_ms)
{
    uint64_t end = env_clock_ns(c->nodes[0].env) + timeout_ms * 1000000u;
    while (!condition(c, data)) {
        if (env_clock_ns(c->nodes[0].env) > end)
            return false;
        run_turn(c);
    }
    return true;
}

void run_for(struct test_cluster *c, uint64_t ms)
{
    uint64_t end = env_clock_ns(c->nodes[0].env) + ms * 1000000u;
    while (env_clock_ns(c->nodes[0].env) < end)
        run_turn(c);
}

/* ---- conditions ---- */

bool all_open(struct test_cluster *c, void *data)
{
    (void)data;
    for (unsigned i = 0; i < c->n; i++)
        if (c->nodes[i].up && !node_is_open(&c->nodes[i]))
            return false;
    return true;
}

bool has_leader(struct test_cluster *c, void *data)
{
    (void)data;
    for (unsigned g = 0; g < c->n_groups; g++)
        if (!cluster_leader(c, g))
            return false;
    return true;
}

bool all_applied(struct test_cluster *c, void *data)
{
    (void)data;
    for (unsigned i = 0; i < c->n; i++)
        if (c->nodes[i].up && c->nodes[i].groups[0].applied != c->committed)
            return false;
    return true;
}

bool nothing_in_flight(struct test_cluster *c, void *data)
{
    (void)data;
    for (unsigned i = 0; i < c->n; i++)
        for (unsigned g = 0; g < c->n_groups; g++)
            if (c->nodes[i].up && c->nodes[i].groups[g].open &&
                group_inflight_bytes(c->nodes[i].groups[g].group) > 0)
                return false;
    return true;
}
