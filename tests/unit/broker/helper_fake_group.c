#include "tests/unit/broker/helper_fake_group.h"

#include "node/base/memory.h"
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The functions below have no argument that leads to the test, so it is found through the objects handed
 * around: a struct consensus is the fixture, a struct cluster too, a struct group and a struct log are a
 * fake_group. */
static struct fake_group *of_group(const struct group *g)
{
    return (struct fake_group *)g;
}

static struct fake_group *of_log(const struct log *log)
{
    return (struct fake_group *)log;
}

/* ---- the group ---- */

struct governor *consensus_governor(struct consensus *c)
{
    return &((struct fixture *)c)->governor;
}

static void on_open(struct env_task *task)
{
    struct fake_group *g = container_of(task, struct fake_group, open_task);
    if (g->open_status == 0) {
        g->callbacks->restore(g->data, NULL, 0, 0);
        g->open = true;
    }
    g->opened(g->data, (struct group *)g, g->open_status, "the test says so");
}

int group_open(struct consensus *c, const struct group_options *options, struct group **group,
               void (*cb)(void *data, struct group *group, int status, const char *message))
{
    struct fixture *f = (struct fixture *)c;
    if (f->cluster.open_status != 0)
        return f->cluster.open_status;
    struct fake_group *g = memory_zalloc(sizeof *g);
    g->env = &f->env;
    g->callbacks = options->callbacks;
    g->data = options->data;
    g->group_id = options->group_id;
    g->replicas = options->replica_count;
    g->in_sync = options->replica_count;
    g->opened = cb;
    g->open_status = f->cluster.opened_status;
    f->group = g;
    *group = (struct group *)g;
    env_defer(&g->env->env, &g->open_task, on_open);
    return 0;
}

static void end_proposals(struct fake_group *g)
{
    for (unsigned i = g->committed; i < g->count; i++) {
        struct proposal *proposal = g->batches[i].proposal;
        g->batches[i].proposal = NULL;
        if (proposal != NULL)
            proposal->cb(proposal, ERR_OUTCOME_UNKNOWN);
    }
}

static void on_close(struct env_task *task)
{
    struct fake_group *g = container_of(task, struct fake_group, close_task);
    end_proposals(g);
    if (g->read_index != NULL)
        g->read_index->cb(g->read_index, ERR_CANCELED);
    assert(g->read_count == 0 && g->find_count == 0 && g->range == NULL);
    env_task_cancel(&g->env->env, &g->read_task);
    env_task_cancel(&g->env->env, &g->find_task);
    for (unsigned i = 0; i < g->count; i++)
        slice_unref(&g->batches[i].bytes);
    void (*closed)(void *data) = g->closed;
    void *data = g->closed_data;
    free(g);
    closed(data);
}

void group_close(struct group *group, bool clean, void (*closed)(void *data), void *data)
{
    struct fake_group *g = of_group(group);
    g->closed = closed;
    g->closed_data = data;
    g->closed_clean = clean;
    g->open = false;
    g->read_status = ERR_CANCELED;
    g->range_status = ERR_CANCELED;
    env_defer(&g->env->env, &g->close_task, on_close);
}

struct log *group_log(const struct group *g)
{
    return (struct log *)g;
}
bool group_is_ready_leader(const struct group *g)
{
    return of_group(g)->ready;
}
uint64_t group_term(const struct group *g)
{
    return of_group(g)->term;
}
uint64_t group_snapshot_index(const struct group *g)
{
    (void)g;
    return 0; /* nothing is compacted here */
}
unsigned group_in_sync_count(const struct group *g)
{
    return of_group(g)->in_sync;
}
const uint32_t *group_replicas(const struct group *g, unsigned *count)
{
    *count = of_group(g)->replicas;
    return NULL;
}

size_t group_inflight_bytes(const struct group *group)
{
    const struct fake_group *g = of_group(group);
    size_t size = 0;
    for (unsigned i = g->committed; i < g->count; i++)
        size += g->batches[i].bytes.size;
    return size;
}

static int64_t end_offset(const struct fake_group *g)
{
    return g->count > 0 ? batch_next_offset(&g->batches[g->count - 1].header) : 0;
}

static int refusal(const struct fake_group *g)
{
    return g->refuse != 0 || g->ready ? g->refuse : ERR_NOT_LEADER;
}

/* Takes over the reference. */
static void add_batch(struct fake_group *g, struct proposal *p, struct slice batch)
{
    assert(g->count < FAKE_BATCHES_MAX);
    struct fake_batch *b = &g->batches[g->count];
    p->base_offset = end_offset(g);
    batch_stamp(batch.data, p->base_offset, (int32_t)g->term);
    int status = batch_header_decode(batch.data, batch.size, batch.size, &b->header);
    assert(status == 0);
    assert(batch_crc_ok(batch.data, &b->header));
    b->bytes = batch;
    b->proposal = p;
    b->stored = false;
    g->count++;
}

int group_propose(struct group *group, struct proposal *p, const struct slice *batch,
                  void (*cb)(struct proposal *p, int status))
{
    struct fake_group *g = of_group(group);
    int status = refusal(g);
    p->cb = cb;
    if (status == 0)
        add_batch(g, p, slice_ref(*batch));
    return status;
}

int group_propose_start(struct group *group, struct proposal *p, int64_t start_offset,
                        void (*cb)(struct proposal *p, int status))
{
    struct fake_group *g = of_group(group);
    int status = refusal(g);
    struct bytes encoded;
    bytes_init(&encoded);
    batch_start_encode(&encoded, g->count + 1, g->term, end_offset(g), start_offset);
    p->stored = NULL;
    p->cb = cb;
    if (status == 0)
        add_batch(g, p, slice_copy(encoded.data, encoded.size));
    bytes_close(&encoded);
    return status;
}

int group_read_index(struct group *g, struct read_index_req *req,
                     void (*cb)(struct read_index_req *req, int status))
{
    assert(of_group(g)->read_index == NULL);
    req->cb = cb;
    of_group(g)->read_index = req;
    return 0;
}

int64_t group_trim(struct group *group, int64_t offset)
{
    struct fake_group *g = of_group(group);
    g->start_offset = offset;
    return offset;
}

/* ---- steps ---- */

void fake_group_find(struct fake_group *g, unsigned n)
{
    for (; n > 0; n--) {
        struct proposal nobody = {0};
        add_batch(g, &nobody, plain_batch(1));
        g->batches[g->count - 1].proposal = NULL;
        g->batches[g->count - 1].stored = true;
    }
}

void fake_group_store(struct fake_group *g, unsigned n)
{
    for (unsigned i = 0; i < g->count && n > 0; i++) {
        struct fake_batch *b = &g->batches[i];
        if (b->stored)
            continue;
        b->stored = true;
        n--;
        if (b->proposal != NULL && b->proposal->stored != NULL)
            b->proposal->stored(b->proposal);
    }
}

static void apply(struct fake_group *g, uint64_t index, const struct fake_batch *b)
{
    struct batch_control control;
    if (!batch_is_control(&b->header)) {
        g->callbacks->apply(g->data, index, &b->header, &b->bytes);
        return;
    }
    int status = batch_control_decode(b->bytes.data, b->bytes.size, &control);
    assert(status == 0 && control.type == BATCH_CONTROL_START);
    g->callbacks->start_moved(g->data, control.start_offset);
}

void fake_group_commit(struct fake_group *g, unsigned n)
{
    for (; n > 0 && g->committed < g->count; n--) {
        unsigned at = g->committed++;
        struct fake_batch *b = &g->batches[at];
        if (!b->stored && b->proposal != NULL && b->proposal->stored != NULL)
            b->proposal->stored(b->proposal);
        b->stored = true;
        apply(g, at + 1, b);
        struct proposal *proposal = b->proposal;
        b->proposal = NULL;
        if (proposal != NULL)
            proposal->cb(proposal, 0);
    }
}

void fake_group_lose(struct fake_group *g, uint32_t leader, unsigned keep)
{
    g->ready = false;
    g->leader = leader;
    g->term++;
    end_proposals(g);
    while (g->count > g->committed + keep)
        slice_unref(&g->batches[--g->count].bytes);
    g->callbacks->role_changed(g->data, GROUP_FOLLOWER, g->term, false);
}

void fake_group_lead(struct fake_group *g)
{
    g->term++;
    g->leader = FAKE_SELF;
    g->callbacks->role_changed(g->data, GROUP_LEADER, g->term, false);
    fake_group_commit(g, FAKE_BATCHES_MAX);
    g->ready = true;
    g->callbacks->role_changed(g->data, GROUP_LEADER, g->term, true);
}

/* ---- the log ---- */

int64_t log_start_offset(const struct log *log)
{
    return of_log(log)->start_offset;
}
int64_t log_end_offset(const struct log *log)
{
    return end_offset(of_log(log));
}

int log_writable(const struct log *log)
{
    return of_log(log)->writable;
}

uint64_t log_first_index(const struct log *log)
{
    (void)log;
    return 1;
}
uint64_t log_size_bytes(const struct log *log)
{
    (void)log;
    return 0;
}

int64_t log_retention_offset(const struct log *log, int64_t retention_bytes, int64_t oldest_timestamp_ms,
                             int64_t limit_offset)
{
    struct fake_group *g = of_log(log);
    (void)retention_bytes;
    g->retention_oldest_ms = oldest_timestamp_ms;
    return g->retention_offset < limit_offset ? g->retention_offset : limit_offset;
}

void log_configure(struct log *log, uint64_t segment_bytes, uint64_t segment_ms)
{
    (void)segment_ms;
    of_log(log)->configured_segment_bytes = segment_bytes;
}

static void fill_read(struct fake_group *g, struct log_read_req *req)
{
    for (unsigned i = 0; i < g->count && req->n < LOG_READ_MAX_SLICES; i++) {
        const struct fake_batch *b = &g->batches[i];
        int64_t next = batch_next_offset(&b->header);
        if (next <= req->offset)
            continue;
        if (next > req->limit_offset || (req->n > 0 && req->size + b->bytes.size > req->max_bytes))
            break;
        req->slices[req->n++] = slice_ref(b->bytes);
        req->size += b->bytes.size;
        req->next_offset = next;
    }
}

static void on_read(struct env_task *task)
{
    struct fake_group *g = container_of(task, struct fake_group, read_task);
    while (g->read_count > 0) {
        struct log_read_req *req = g->reads[--g->read_count];
        if (g->read_status == 0)
            fill_read(g, req);
        req->cb(req, g->read_status);
    }
}

void fake_group_release_reads(struct fake_group *g)
{
    on_read(&g->read_task);
}

/* What answers at once comes from memory. */
bool log_is_cached(const struct log *log, int64_t offset)
{
    const struct fake_group *g = of_log(log);
    return !g->async_reads && offset >= g->start_offset;
}

int log_read(struct log *log, struct log_read_req *req, int64_t offset, int64_t limit_offset,
             size_t max_bytes, void (*cb)(struct log_read_req *req, int status))
{
    struct fake_group *g = of_log(log);
    if (offset < g->start_offset || offset > end_offset(g))
        return ERR_OFFSET_OUT_OF_RANGE;
    req->cb = cb;
    req->size = 0;
    req->n = 0;
    req->next_offset = offset;
    req->offset = offset;
    req->limit_offset = limit_offset;
    req->max_bytes = max_bytes;
    if (!g->async_reads) {
        fill_read(g, req);
        return 1;
    }
    g->reads[g->read_count++] = req;
    if (!g->hold_reads)
        env_defer(&g->env->env, &g->read_task, on_read);
    return 0;
}

uint64_t log_durable_index(const struct log *log)
{
    return of_log(log)->committed;
}

static void on_range(struct env_task *task)
{
    struct fake_group *g = container_of(task, struct fake_group, range_task);
    struct log_range_req *req = g->range;
    struct bytes out;
    bytes_init(&out);
    for (uint64_t i = req->from_index; g->range_status == 0 && i <= req->to_index; i++) {
        const struct slice *batch = &g->batches[i - 1].bytes;
        if (out.size > 0 && out.size + batch->size > req->max_bytes)
            break;
        bytes_append(&out, batch->data, batch->size);
        req->last_index = i;
    }
    req->bytes = out.size > 0 ? slice_copy(out.data, out.size) : slice_none();
    bytes_close(&out);
    g->ranges++;
    g->range = NULL;
    req->cb(req, g->range_status);
}

int log_read_range(struct log *log, struct log_range_req *req, uint64_t from_index, uint64_t to_index,
                   size_t max_bytes, void (*cb)(struct log_range_req *req, int status))
{
    struct fake_group *g = of_log(log);
    assert(g->range == NULL && from_index >= 1 && from_index <= to_index && to_index <= g->count);
    req->from_index = from_index;
    req->to_index = to_index;
    req->max_bytes = max_bytes;
    req->cb = cb;
    g->range = req;
    env_defer(&g->env->env, &g->range_task, on_range);
    return 0;
}

/* The fake looks at batches, not at records. */
static void find(const struct fake_group *g, struct log_find_req *req)
{
    req->offset = -1;
    req->timestamp_ms = -1;
    for (unsigned i = 0; i < g->count; i++) {
        const struct batch_header *h = &g->batches[i].header;
        if (batch_next_offset(h) > req->limit_offset)
            return;
        bool better = req->target_ms == OFFSET_MAX_TIMESTAMP ? h->max_timestamp_ms > req->timestamp_ms
                                                             : h->max_timestamp_ms >= req->target_ms;
        if (better) {
            req->offset = h->base_offset;
            req->timestamp_ms = h->max_timestamp_ms;
        }
        if (better && req->target_ms != OFFSET_MAX_TIMESTAMP)
            return;
    }
}

static void on_find(struct env_task *task)
{
    struct fake_group *g = container_of(task, struct fake_group, find_task);
    while (g->find_count > 0) {
        struct log_find_req *req = g->finds[--g->find_count];
        if (g->read_status == 0)
            find(g, req);
        req->cb(req, g->read_status);
    }
}

int log_find_timestamp(struct log *log, struct log_find_req *req, int64_t target_ms, int64_t limit_offset,
                       void (*cb)(struct log_find_req *req, int status))
{
    struct fake_group *g = of_log(log);
    req->target_ms = target_ms;
    req->limit_offset = limit_offset;
    req->cb = cb;
    g->finds[g->find_count++] = req;
    env_defer(&g->env->env, &g->find_task, on_find);
    return 0;
}

/* ---- cluster, data directory, journal ---- */

void cluster_replica_started(struct cluster *c, uint64_t group_id, int status)
{
    struct fixture *f = (struct fixture *)c;
    assert_int_equal(group_id, f->meta.group_id);
    f->cluster.started++;
    f->cluster.started_status = status;
}

void cluster_replica_stopped(struct cluster *c, uint64_t group_id)
{
    struct fixture *f = (struct fixture *)c;
    assert_int_equal(group_id, f->meta.group_id);
    f->cluster.stopped++;
    f->group = NULL;
}

void cluster_replica_damaged(struct cluster *c, uint64_t group_id)
{
    struct fixture *f = (struct fixture *)c;
    assert_int_equal(group_id, f->meta.group_id);
    f->cluster.damaged++;
}

uint32_t cluster_self(const struct cluster *c)
{
    (void)c;
    return FAKE_SELF;
}

uint32_t cluster_leader(const struct cluster *c, uint64_t group_id, int32_t *leader_epoch)
{
    const struct fixture *f = (const struct fixture *)c;
    (void)group_id;
    *leader_epoch = f->group != NULL ? (int32_t)f->group->term : -1;
    return f->group != NULL ? f->group->leader : 0;
}

void data_dir_group_path(const struct data_dir *dir, uint64_t group_id, char *out, size_t out_size)
{
    (void)dir;
    snprintf(out, out_size, "data/groups/%llu", (unsigned long long)group_id);
}

uint64_t journal_forget(struct journal *j, uint64_t group_id)
{
    ((struct fixture *)j)->cluster.forgotten = group_id;
    return 1;
}

/* ---- the fixture ---- */

void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fake_env_init(&f->env);
    metrics_init(&f->metrics);
    governor_init(&f->governor, &f->env.env, NULL);
    f->options = (struct broker_options){
        .env = &f->env.env,
        .metrics = &f->metrics,
        .consensus = (struct consensus *)f,
        .journal = (struct journal *)f,
        .cache_bytes = 1 << 20,
        .produce_bytes = 1 << 20,
        .producer_expiry_ms = 24 * 60 * 60 * 1000,
    };
    f->meta = (struct partition_meta){.index = 3, .group_id = 42, .replicas = {1, 2, 3}, .replica_count = 3};
    snprintf(f->topic.name, sizeof f->topic.name, "orders");
    memset(f->topic.id, 7, sizeof f->topic.id);
    f->topic.config = (struct topic_config){
        .retention_ms = -1,
        .retention_bytes = -1,
        .segment_bytes = 1 << 20,
        .max_message_bytes = 64 * 1024,
        .min_insync_replicas = 1,
        .compression = -1,
    };
}

void fixture_start(struct fixture *f)
{
    f->broker = broker_create(&f->options);
    broker_set_cluster(f->broker, (struct cluster *)f);
    broker_replica_callbacks.start(f->broker, &f->topic, &f->meta,
                                   (struct replica_start){.campaign_at_once = true});
    fixture_turn(f);
    assert_int_equal(f->cluster.started, 1);
    assert_int_equal(f->cluster.started_status, 0);
    f->partition = broker_partition(f->broker, f->meta.group_id);
    assert_non_null(f->partition);
    fake_group_lead(f->group);
    fixture_turn(f);
}

void fixture_stop(struct fixture *f)
{
    if (broker_partition(f->broker, f->meta.group_id) != NULL)
        broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    fixture_turn(f);
    broker_destroy(f->broker);
    governor_close(&f->governor);
    metrics_close(&f->metrics);
    fake_env_close(&f->env);
}

int fixture_setup(void **state)
{
    struct fixture *f = memory_zalloc(sizeof *f);
    fixture_init(f);
    fixture_start(f);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

void fixture_turn(struct fixture *f)
{
    fake_env_turn(&f->env);
}

void fixture_confirm(struct fixture *f, int status)
{
    struct read_index_req *req = f->group->read_index;
    assert(req != NULL);
    f->group->read_index = NULL;
    req->cb(req, status);
    fixture_turn(f);
}

/* ---- batches and requests ---- */

struct slice make_batch(const struct batch_spec *spec)
{
    struct batch_builder builder;
    batch_builder_init(&builder);
    int64_t timestamp_ms = spec->timestamp_ms != 0 ? spec->timestamp_ms : 1700000000000;
    char *value = memory_zalloc(spec->value_size + 1);
    for (int32_t i = 0; i < (spec->count > 0 ? spec->count : 1); i++)
        batch_builder_add(&builder, timestamp_ms, "key", 3, value, spec->value_size, NULL, 0);
    free(value);
    struct batch_options options = {
        .producer_id = spec->producer_id, .producer_epoch = spec->epoch, .base_sequence = spec->sequence};
    struct bytes out;
    bytes_init(&out);
    int status = batch_builder_finish(&builder, &options, &out);
    assert_int_equal(status, 0);
    struct slice batch = slice_copy(out.data, out.size);
    bytes_close(&out);
    batch_builder_close(&builder);
    return batch;
}

static void on_produced(struct produce_req *req, int status)
{
    struct produce *p = (struct produce *)req;
    p->answers++;
    p->status = status;
}

void produce(struct fixture *f, struct produce *p, const struct batch_spec *spec, int acks)
{
    p->answers = 0;
    struct slice batch = make_batch(spec);
    partition_produce(f->partition, &p->req, &batch, acks, on_produced);
    slice_unref(&batch);
    assert_int_equal(p->answers, 0); /* never from inside */
}

void produce_plain(struct fixture *f, struct produce *p, int32_t count, int acks)
{
    produce(f, p, &(struct batch_spec){.producer_id = -1, .epoch = -1, .sequence = -1, .count = count}, acks);
}

void append_committed(struct fixture *f, int32_t count)
{
    struct produce p;
    produce_plain(f, &p, count, ACKS_ALL);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_int_equal(p.answers, 1);
    assert_int_equal(p.status, 0);
}

void settle(struct fixture *f)
{
    fake_group_commit(f->group, FAKE_BATCHES_MAX);
    fixture_turn(f);
}
