#include "tests/sim/checks.h"
#include "node/base/memory.h"
#include "node/broker/internal.h"
#include "node/cluster/cluster.h"
#include "node/cluster/group0.h"
#include "node/cluster/internal.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "tests/sim/probe.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct checked_group {
    uint64_t id;
    char name[TOPIC_NAME_MAX + 16];
    bool is_coordinator; /* of consumer groups */
    int topic;           /* of the history; -1: none of them */
    uint32_t *leaders;   /* by term; 0: none seen */
    uint64_t terms;
    uint64_t ready_term;    /* of the newest ready leader seen */
    int64_t high_watermark; /* the highest on a ready leader, in offsets; group 0: an index */
    int64_t start_offset;   /* likewise */
    struct applied {
        uint64_t term; /* 0: nobody was seen to apply it */
        uint32_t crc;
    } * applied; /* by index */
    uint64_t applied_size;
    unsigned disks;        /* of the node that has its only replica, when it was looked at */
    uint64_t rotten_reads; /* likewise */
    struct {
        unsigned life; /* of the node, when it was looked at */
        uint64_t last_index;
        uint64_t applied; /* looked at up to here */
    } logs[CLUSTER_MAX_NODES];
    UT_hash_handle hh;
};

void checks_init(struct checks *c, struct sim_cluster *cluster, struct history *history)
{
    *c = (struct checks){.cluster = cluster, .history = history};
}

static struct checked_group *checked_add(struct checks *c, uint64_t id, const struct partition *p)
{
    struct checked_group *k = memory_zalloc(sizeof(*k));
    k->id = id;
    if (p == NULL)
        snprintf(k->name, sizeof(k->name), "group 0");
    else
        snprintf(k->name, sizeof(k->name), "%s/%u", partition_topic(p), partition_index(p));
    k->topic = p != NULL ? history_topic_index(partition_topic(p)) : -1;
    k->is_coordinator = p != NULL && strcmp(partition_topic(p), OFFSETS_TOPIC) == 0;
    HASH_ADD(hh, c->groups, id, sizeof(k->id), k);
    return k;
}

/* Each group at every step: few, and always the same. */
static struct checked_group *checked_get(struct checks *c, uint64_t id, const struct partition *p)
{
    struct checked_group **recent = &c->recent[id % CHECKS_RECENT];
    if (*recent == NULL || (*recent)->id != id)
        HASH_FIND(hh, c->groups, &id, sizeof(id), *recent);
    if (*recent == NULL)
        *recent = checked_add(c, id, p);
    return *recent;
}

/* ---- leaders ---- */

static void check_leader(struct checks *c, struct checked_group *k, uint64_t term, uint32_t node)
{
    if (term >= k->terms) {
        uint64_t terms = 2 * term + 16;
        k->leaders = memory_realloc(k->leaders, terms * sizeof(*k->leaders));
        memset(k->leaders + k->terms, 0, (terms - k->terms) * sizeof(*k->leaders));
        k->terms = terms;
    }
    if (k->leaders[term] == 0) {
        counters_add(c->history->counters, "elections", 1);
        counters_add(c->history->counters, "elections_of_coordinators", k->is_coordinator);
    } else if (k->leaders[term] != node)
        history_fail(c->history, "%s has two leaders in term %" PRIu64 ": nodes %u and %u", k->name, term,
                     k->leaders[term], node);
    k->leaders[term] = node;
}

static void check_high_watermark(struct checks *c, struct checked_group *k, uint64_t term, uint32_t node,
                                 int64_t high_watermark)
{
    if (term < k->ready_term)
        return; /* an old leader that does not know it yet */
    if (high_watermark < k->high_watermark)
        history_fail(c->history,
                     "the high watermark of %s goes back from %" PRId64 " to %" PRId64
                     " on node %u, ready leader of term %" PRIu64,
                     k->name, k->high_watermark, high_watermark, node, term);
    k->ready_term = term;
    k->high_watermark = high_watermark;
}

/* Readers are told this or more: a leader whose disk is full may go ahead of what is committed. */
static void check_start_offset(struct checks *c, struct checked_group *k, uint64_t term, uint32_t node,
                               const struct partition *p)
{
    if (term < k->ready_term)
        return;
    if (p->start_offset < k->start_offset)
        history_fail(c->history,
                     "the start of %s goes back from %" PRId64 " to %" PRId64
                     " on node %u, ready leader of term %" PRIu64,
                     k->name, k->start_offset, p->start_offset, node, term);
    if (p->start_offset > k->start_offset)
        counters_add(c->history->counters, "starts_moved", 1);
    if (partition_start_offset(p) > p->start_offset)
        counters_add(c->history->counters, "starts_ahead_of_the_log", 1);
    k->start_offset = p->start_offset;
}

/* A log that has become shorter within one life of its node had a suffix that was never committed. */
static void count_truncation(struct checks *c, struct checked_group *k, const struct sim_node *n,
                             const struct group *g)
{
    uint64_t last_index = log_last_index(group_log(g));
    if (k->logs[n->id - 1].life == n->life && last_index < k->logs[n->id - 1].last_index)
        counters_add(c->history->counters, "truncations", 1);
    if (k->logs[n->id - 1].life != n->life)
        k->logs[n->id - 1].applied = 0;
    k->logs[n->id - 1].life = n->life;
    k->logs[n->id - 1].last_index = last_index;
}

/* ---- applied prefixes ---- */

static struct applied *applied_at(struct checked_group *k, uint64_t index)
{
    if (index >= k->applied_size) {
        uint64_t size = 2 * index + 256;
        k->applied = memory_realloc(k->applied, size * sizeof(*k->applied));
        memset(k->applied + k->applied_size, 0, (size - k->applied_size) * sizeof(*k->applied));
        k->applied_size = size;
    }
    return &k->applied[index];
}

static void check_applied_entry(struct checks *c, struct checked_group *k, uint32_t node, uint64_t index,
                                const struct applied *now)
{
    struct applied *before = applied_at(k, index);
    if (before->term != 0 && (before->term != now->term || before->crc != now->crc))
        history_fail(c->history,
                     "node %u applies another entry at index %" PRIu64 " of %s: terms %" PRIu64
                     " and %" PRIu64,
                     node, index, k->name, now->term, before->term);
    *before = *now;
    counters_add(c->history->counters, "applied_entries_compared", 1);
}

/* Byte for byte, while they are in memory; those that have left it were seen before, or come with a snapshot.
 */
static void check_applied(struct checks *c, struct checked_group *k, const struct sim_node *n,
                          const struct group *g)
{
    uint64_t *seen = &k->logs[n->id - 1].applied, applied = group_applied_index(g);
    for (; *seen < applied; ++*seen) {
        struct applied now;
        if (probe_entry(g, *seen + 1, &now.term, &now.crc))
            check_applied_entry(c, k, n->id, *seen + 1, &now);
    }
}

/* ---- bounds ---- */

/* One batch is let in however large it is. */
enum { LARGEST_BATCH = 64 * 1024 };

static void check_bounds(struct checks *c, const struct checked_group *k, const struct sim_node *n,
                         const struct group *g)
{
    size_t in_flight = group_inflight_bytes(g);
    if (in_flight > n->config.inflight_bytes && in_flight > LARGEST_BATCH)
        history_fail(c->history, "%s: %zu bytes are in flight on node %u, the limit is %" PRIu64, k->name,
                     in_flight, n->id, n->config.inflight_bytes);
}

static void check_node_bounds(struct checks *c, const struct sim_node *n)
{
    const struct broker *b = n->node->broker;
    size_t limit, queued = probe_queued_bytes(n->node->consensus, &limit);
    if (b->in_flight_bytes > n->config.produce_bytes + LARGEST_BATCH)
        history_fail(c->history, "%zu bytes are in flight on node %u, the limit is %" PRIu64,
                     b->in_flight_bytes, n->id, n->config.produce_bytes);
    if (queued > limit + LARGEST_BATCH)
        history_fail(c->history, "node %u has %zu bytes waiting for a peer, the limit is %zu", n->id, queued,
                     limit);
}

/* Retention leaves at least what the topic's limit says, but for a suffix that was cut away since. */
static void check_retention(struct checks *c, const struct checked_group *k, const struct group *g)
{
    if (k->topic != HISTORY_RETAINED || !group_is_ready_leader(g) || log_start_offset(group_log(g)) == 0)
        return;
    counters_add(c->history->counters, "retained_partitions_checked", 1);
    if (log_size_bytes(group_log(g)) < HISTORY_RETENTION_BYTES / 4)
        history_fail(c->history, "%s begins at offset %" PRId64 ", but has only %" PRIu64 " bytes left",
                     k->name, log_start_offset(group_log(g)), log_size_bytes(group_log(g)));
}

/* Nothing is promised of a partition whose only replica was on a disk that is empty now, or gives what was
 * never written when the log is opened: it begins anew. */
static void forget_lost(struct checked_group *k, const struct sim_node *n, const struct group *g)
{
    unsigned replicas;
    uint64_t rotten_reads = sim_disk_rotten_reads(n->host);
    group_replicas(g, &replicas);
    if (replicas != 1 || (k->disks == n->disks && k->rotten_reads == rotten_reads))
        return;
    k->disks = n->disks;
    k->rotten_reads = rotten_reads;
    if (k->applied_size > 0)
        memset(k->applied, 0, k->applied_size * sizeof(*k->applied));
    k->ready_term = 0;
    k->high_watermark = k->start_offset = 0;
}

static void check_group(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    struct checks *c = data;
    struct checked_group *k = checked_get(c, group_id(g), p);
    if (group_log(g) == NULL)
        return;
    forget_lost(k, n, g);
    count_truncation(c, k, n, g);
    check_applied(c, k, n, g);
    check_bounds(c, k, n, g);
    check_retention(c, k, g);
    if (group_role(g) != GROUP_LEADER)
        return;
    check_leader(c, k, group_term(g), n->id);
    if (probe_is_damaged(g))
        history_fail(c->history, "%s: node %u leads in term %" PRIu64 ", but its replica is damaged", k->name,
                     n->id, group_term(g));
    if (!group_is_ready_leader(g))
        return;
    if (p != NULL && !k->is_coordinator)
        check_start_offset(c, k, group_term(g), n->id, p);
    check_high_watermark(c, k, group_term(g), n->id,
                         p != NULL ? partition_high_watermark(p) : (int64_t)group_commit_index(g));
}

void checks_step(struct checks *c)
{
    for (unsigned i = 0; i < c->cluster->count; i++) {
        struct sim_node *n = &c->cluster->nodes[i];
        if (n->node != NULL && n->disk_of != n->id)
            history_fail(c->history, "node %u runs on the disk of node %u", n->id, n->disk_of);
        if (n->node == NULL || n->stopping || !n->has_run)
            continue; /* what has not run is as it was found in the step before */
        check_node_bounds(c, n);
        cluster_each_group(n, check_group, c);
    }
}

/* ---- convergence ---- */

struct replicas {
    struct checks *checks;
    const struct sim_node *rotten;
    uint64_t group_id;
    const char *name;
    unsigned index;
    unsigned count;
    struct sim_node *nodes[CLUSTER_MAX_NODES];
    struct group *groups[CLUSTER_MAX_NODES];
    struct partition *partitions[CLUSTER_MAX_NODES]; /* all NULL for group 0 */
};

typedef bool (*replicas_cb)(struct replicas *r, void *data);

static bool add_replica(struct replicas *r, struct sim_node *n)
{
    struct partition *p = NULL;
    struct group *g = n->node->cluster->group0.group;
    if (r->group_id != METADATA_GROUP_ID) {
        p = broker_partition(n->node->broker, r->group_id);
        g = p != NULL ? partition_group(p) : NULL;
    }
    r->nodes[r->count] = n;
    r->groups[r->count] = g;
    r->partitions[r->count++] = p;
    return g != NULL;
}

struct every_group {
    struct checks *checks;
    replicas_cb each;
    void *data;
    char *why;
    size_t why_size;
    bool all;
};

static void visit(struct every_group *e, struct replicas *r, const uint32_t *nodes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (add_replica(r, &e->checks->cluster->nodes[nodes[i] - 1]))
            continue;
        if (e->why != NULL)
            snprintf(e->why, e->why_size, "node %u does not run %s/%u", nodes[i], r->name, r->index);
        e->all = false;
        return;
    }
    e->all = e->each(r, e->data);
}

static void visit_topic(void *data, const struct topic_meta *t)
{
    struct every_group *e = data;
    for (uint32_t i = 0; i < t->partition_count && e->all; i++) {
        const struct partition_meta *p = &t->partitions[i];
        struct replicas r = {.checks = e->checks, .group_id = p->group_id, .name = t->name, .index = i};
        visit(e, &r, p->replicas, p->replica_count);
    }
}

/* Until one of them answers false. */
static bool visit_all(struct every_group *e, struct sim_node *controller)
{
    static const uint32_t ids[CLUSTER_MAX_NODES] = {1, 2, 3, 4, 5, 6, 7};
    struct replicas r = {.checks = e->checks, .group_id = METADATA_GROUP_ID, .name = "group 0"};
    e->all = true;
    visit(e, &r, ids, e->checks->cluster->count);
    if (e->all)
        metadata_each_topic(cluster_metadata(controller->node->cluster), visit_topic, e);
    return e->all;
}

struct why {
    char *text;
    size_t size;
};

static bool stand_alike(struct replicas *r, void *data)
{
    struct why *why = data;
    unsigned leaders = 0;
    uint64_t last = log_last_index(group_log(r->groups[0]));
    for (unsigned i = 0; i < r->count; i++) {
        const struct group *g = r->groups[i];
        leaders += group_is_ready_leader(g);
        if (log_last_index(group_log(g)) != last || log_durable_index(group_log(g)) != last ||
            group_applied_index(g) != last) {
            snprintf(why->text, why->size,
                     "%s/%u: node %u (role %d, term %" PRIu64 ") has index %" PRIu64 " (durable %" PRIu64
                     ", applied %" PRIu64 "), node %u (term %" PRIu64 ") has %" PRIu64,
                     r->name, r->index, r->nodes[i]->id, (int)group_role(g), group_term(g),
                     log_last_index(group_log(g)), log_durable_index(group_log(g)), group_applied_index(g),
                     r->nodes[0]->id, group_term(r->groups[0]), last);
            return false;
        }
    }
    if (leaders != 1)
        snprintf(why->text, why->size, "%s/%u has %u ready leaders", r->name, r->index, leaders);
    return leaders == 1;
}

bool checks_converged(struct checks *c, char *why, size_t why_size)
{
    for (unsigned i = 0; i < c->cluster->count; i++) {
        struct sim_node *n = &c->cluster->nodes[i];
        if (cluster_node_works(n) && n->node->cluster != NULL && !n->node->cluster->is_opening)
            continue;
        snprintf(why, why_size, "node %u does not run", n->id);
        return false;
    }
    struct sim_node *controller = cluster_controller_node(c->cluster);
    if (controller == NULL) {
        snprintf(why, why_size, "there is no controller");
        return false;
    }
    struct why w = {why, why_size};
    struct every_group e = {.checks = c, .each = stand_alike, .data = &w, .why = why, .why_size = why_size};
    return visit_all(&e, controller);
}

/* ---- contents ---- */

struct digest {
    uint64_t index;
    uint64_t term;
    enum log_entry_kind kind;
    uint32_t crc;
};

struct digests {
    struct digest *all;
    size_t count, capacity;
};

static int add_digest(void *data, const struct log_entry *entry)
{
    struct digests *d = data;
    struct slice bytes = entry->bytes;
    if (d->count == d->capacity) {
        d->capacity = d->capacity == 0 ? 1024 : 2 * d->capacity;
        d->all = memory_realloc(d->all, d->capacity * sizeof(*d->all));
    }
    d->all[d->count++] =
        (struct digest){entry->index, entry->term, entry->kind, crc32c(0, bytes.data, bytes.size)};
    slice_unref(&bytes);
    return 0;
}

static bool load_digests(const struct replicas *r, unsigned i, uint64_t from, uint64_t to, struct digests *d)
{
    int rv = from > to ? 0 : log_load(group_log(r->groups[i]), from, to, add_digest, d);
    if (rv == ERR_CORRUPT && r->nodes[i] == r->rotten) {
        counters_add(r->checks->history->counters, "rot_found_at_the_end", 1);
        return true; /* what stands before it is compared */
    }
    if (rv != 0)
        history_fail(r->checks->history, "%s/%u: the log of node %u can't be read: %s", r->name, r->index,
                     r->nodes[i]->id, error_text(rv));
    return rv == 0;
}

static void compare(const struct replicas *r, unsigned i, const struct digests *a, const struct digests *b)
{
    for (size_t k = 0; k < a->count && k < b->count; k++) {
        const struct digest *x = &a->all[k], *y = &b->all[k];
        if (x->index == y->index && x->term == y->term && x->kind == y->kind && x->crc == y->crc)
            continue;
        history_fail(r->checks->history,
                     "%s/%u: nodes %u and %u have different entries at index %" PRIu64 ": terms %" PRIu64
                     " and %" PRIu64,
                     r->name, r->index, r->nodes[0]->id, r->nodes[i]->id, x->index, x->term, y->term);
        return;
    }
}

static bool compare_replicas(struct replicas *r, void *data)
{
    r->rotten = data;
    uint64_t from = 1, to = log_last_index(group_log(r->groups[0]));
    for (unsigned i = 0; i < r->count; i++) {
        uint64_t first = log_first_index(group_log(r->groups[i]));
        from = first > from ? first : from;
    }
    struct digests reference = {0};
    bool ok = load_digests(r, 0, from, to, &reference);
    for (unsigned i = 1; i < r->count && ok; i++) {
        struct digests other = {0};
        ok = load_digests(r, i, from, to, &other);
        compare(r, i, &reference, &other);
        free(other.all);
    }
    counters_add(r->checks->history->counters, "replica_entries_compared", reference.count);
    free(reference.all);
    return ok;
}

void checks_compare_replicas(struct checks *c, const struct sim_node *rotten)
{
    struct sim_node *controller = cluster_controller_node(c->cluster);
    struct every_group e = {.checks = c, .each = compare_replicas, .data = (void *)(uintptr_t)rotten};
    visit_all(&e, controller);
}
