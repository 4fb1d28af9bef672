/* The broker and the offsets over real consensus, storage and disk: one node, one replica per partition. What
 * was acknowledged is there after a restart, repeats are recognised across it, and committed offsets too. */
#include "node/base/memory.h"
#include "node/group/offsets.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NODE_ID = 1, ORDERS_GROUP = 10, OFFSETS_GROUP = 11, WAIT_S = 20 };

/* ---- a node without group 0: this test is the cluster ---- */

struct node {
    struct env *env;
    struct metrics metrics;
    struct data_dir *data_dir;
    struct journal *journal;
    struct flusher *flusher;
    struct consensus *consensus;
    struct broker *broker;
    struct topic_meta orders;
    struct topic_meta offsets;
    struct partition_meta orders_partition;
    struct partition_meta offsets_partition;
    uint64_t entry_memory_bytes;
    struct env_timer tick;
    unsigned started;
    unsigned stopped;
    bool closed;
};

void cluster_replica_started(struct cluster *c, uint64_t group_id, int status)
{
    (void)group_id;
    assert_int_equal(status, 0);
    ((struct node *)c)->started++;
}

void cluster_replica_stopped(struct cluster *c, uint64_t group_id)
{
    (void)group_id;
    ((struct node *)c)->stopped++;
}

/* One replica has nobody to be repaired from. */
void cluster_replica_damaged(struct cluster *c, uint64_t group_id)
{
    (void)c;
    fail_msg("group %llu found damage", (unsigned long long)group_id);
}

uint32_t cluster_self(const struct cluster *c)
{
    (void)c;
    return NODE_ID;
}

uint32_t cluster_leader(const struct cluster *c, uint64_t group_id, int32_t *leader_epoch)
{
    uint64_t term;
    uint32_t leader = consensus_leader_of(((const struct node *)c)->consensus, group_id, &term);
    *leader_epoch = (int32_t)term;
    return leader;
}

static void on_durable(void *data, uint64_t sequence)
{
    struct node *n = data;
    if (n->consensus != NULL)
        consensus_journal_durable(n->consensus, sequence);
}

static void on_journal_failed(void *data, int status)
{
    (void)data;
    fail_msg("journal: %s", error_name(status));
}

static void on_leader_changed(void *data, uint64_t group_id, uint32_t node_id, uint64_t term)
{
    (void)data;
    (void)group_id;
    (void)node_id;
    (void)term;
}

static void on_peer_changed(void *data, uint32_t node_id, bool up)
{
    (void)data;
    (void)node_id;
    (void)up;
}

static void on_forwarded(void *data, uint64_t ticket, uint16_t type, const void *header, size_t size)
{
    (void)data;
    (void)ticket;
    (void)type;
    (void)header;
    (void)size;
}

static void on_tick(struct env_timer *timer)
{
    (void)timer;
}

/* A turn that ends soon, also when what it waits for has happened before it looks for events. */
static void turn(struct node *n)
{
    env_timer_start(n->env, &n->tick, 5000000, on_tick);
    env_run_once(n->env, true);
    env_timer_stop(n->env, &n->tick);
}

/* Runs the loop until `condition` holds. */
#define WAIT_FOR(n, condition)                                                                               \
    do {                                                                                                     \
        uint64_t deadline_ns = env_clock_ns((n)->env) + WAIT_S * 1000000000ull;                              \
        while (!(condition)) {                                                                               \
            if (env_clock_ns((n)->env) > deadline_ns)                                                        \
                fail_msg("timed out: %s", #condition);                                                       \
            turn(n);                                                                                         \
        }                                                                                                    \
    } while (0)

static void describe(struct topic_meta *topic, struct partition_meta *partition, const char *name, uint8_t id,
                     uint64_t group_id)
{
    *topic = (struct topic_meta){.partitions = partition, .partition_count = 1};
    snprintf(topic->name, sizeof topic->name, "%s", name);
    memset(topic->id, id, sizeof topic->id);
    topic_config_defaults(&topic->config);
    topic->config.segment_bytes = 64 * 1024;
    topic->config.retention_ms = -1; /* the records are of 1970 */
    *partition = (struct partition_meta){.group_id = group_id, .replicas = {NODE_ID}, .replica_count = 1};
}

static void create_consensus(struct node *n)
{
    const struct consensus_options options = {
        .env = n->env,
        .metrics = &n->metrics,
        .flusher = n->flusher,
        .journal = n->journal,
        .cluster_id = "test",
        .node_id = NODE_ID,
        .heartbeat_ms = 20,
        .election_timeout_ms = 100,
        .entry_memory_bytes = n->entry_memory_bytes,
        .inflight_bytes = 32 << 20,
        .link_queue_bytes = 1 << 20,
        .catchup_bytes_per_s = 100 << 20,
        .max_batch_bytes = 64 << 20,
        .guards = GUARD_ALL,
        .leader_changed = on_leader_changed,
        .peer_changed = on_peer_changed,
        .forwarded = on_forwarded,
        .data = n,
    };
    n->consensus = consensus_create(&options);
}

static struct partition *orders(struct node *n)
{
    return broker_partition(n->broker, ORDERS_GROUP);
}

static struct partition *coordinator(struct node *n)
{
    return broker_partition(n->broker, OFFSETS_GROUP);
}

static bool leads(const struct partition *p)
{
    uint32_t leader;
    int32_t epoch;
    return partition_check_leader(p, &leader, &epoch) == 0;
}

static void node_open(struct node *n, const char *directory)
{
    char message[256];
    *n = (struct node){.env = env_uv_create(1), .entry_memory_bytes = 64 * 1024};
    metrics_init(&n->metrics);
    if (data_dir_open(n->env, directory, NODE_ID, "test", &n->data_dir, message, sizeof message) != 0)
        fail_msg("%s", message);
    struct journal_options journal = {.env = n->env,
                                      .path = data_dir_journal_path(n->data_dir),
                                      .durable = on_durable,
                                      .failed = on_journal_failed,
                                      .data = n};
    if (journal_open(&journal, &n->journal, message, sizeof message) != 0)
        fail_msg("%s", message);
    n->flusher = flusher_create(n->env, 2);
    create_consensus(n);
    struct broker_options broker = {
        .env = n->env,
        .metrics = &n->metrics,
        .consensus = n->consensus,
        .data_dir = n->data_dir,
        .journal = n->journal,
        .cache_bytes = 16 * 1024,
        .produce_bytes = 32 << 20,
        .producer_expiry_ms = 24 * 60 * 60 * 1000,
        .offsets = &offsets_state_machine,
    };
    n->broker = broker_create(&broker);
    broker_set_cluster(n->broker, (struct cluster *)n);
    describe(&n->orders, &n->orders_partition, "orders", 1, ORDERS_GROUP);
    describe(&n->offsets, &n->offsets_partition, OFFSETS_TOPIC, 2, OFFSETS_GROUP);
    broker_replica_callbacks.start(n->broker, &n->orders, &n->orders_partition,
                                   (struct replica_start){.campaign_at_once = true});
    broker_replica_callbacks.start(n->broker, &n->offsets, &n->offsets_partition,
                                   (struct replica_start){.campaign_at_once = true});
    WAIT_FOR(n, n->started == 2);
    WAIT_FOR(n, leads(orders(n)) && leads(coordinator(n)));
}

static void on_closed(void *data)
{
    struct node *n = data;
    n->consensus = NULL; /* the journal outlives it */
    n->closed = true;
}

static void node_close(struct node *n, bool erase)
{
    broker_replica_callbacks.stop(n->broker, ORDERS_GROUP, erase);
    broker_replica_callbacks.stop(n->broker, OFFSETS_GROUP, false);
    WAIT_FOR(n, n->stopped == 2);
    broker_destroy(n->broker);
    consensus_close(n->consensus, on_closed, n);
    WAIT_FOR(n, n->closed);
    n->closed = false;
    journal_close(n->journal, on_closed, n);
    WAIT_FOR(n, n->closed);
    flusher_destroy(n->flusher);
    data_dir_close(n->data_dir);
    metrics_close(&n->metrics);
    env_destroy(n->env);
}

/* ---- produce ---- */

enum { RECORDS_PER_BATCH = 10, VALUE_SIZE = 100, PRODUCER_ID = 77 };

static struct slice numbered_batch(int32_t number)
{
    struct batch_builder builder;
    batch_builder_init(&builder);
    for (int32_t i = 0; i < RECORDS_PER_BATCH; i++) {
        char value[VALUE_SIZE] = {0};
        int32_t record = number * RECORDS_PER_BATCH + i;
        snprintf(value, sizeof value, "record %d", record);
        batch_builder_add(&builder, 1000000 + record, NULL, 0, value, sizeof value, NULL, 0);
    }
    struct batch_options options = {.producer_id = PRODUCER_ID, .base_sequence = number * RECORDS_PER_BATCH};
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(batch_builder_finish(&builder, &options, &out), 0);
    struct slice batch = slice_copy(out.data, out.size);
    bytes_close(&out);
    batch_builder_close(&builder);
    return batch;
}

struct produce {
    struct produce_req req;
    bool answered;
    int status;
};

static void on_produced(struct produce_req *req, int status)
{
    struct produce *p = (struct produce *)req;
    p->answered = true;
    p->status = status;
}

static void produce(struct node *n, struct produce *p, int32_t number, int acks)
{
    struct slice batch = numbered_batch(number);
    p->answered = false;
    partition_produce(orders(n), &p->req, &batch, acks, on_produced);
    slice_unref(&batch);
}

/* Pipelined, then awaited. */
static void produce_range(struct node *n, int32_t from, int32_t to, int acks)
{
    struct produce *p = memory_zalloc((size_t)(to - from) * sizeof *p);
    for (int32_t i = from; i < to; i++)
        produce(n, &p[i - from], i, acks);
    for (int32_t i = from; i < to; i++) {
        WAIT_FOR(n, p[i - from].answered);
        assert_int_equal(p[i - from].status, 0);
        assert_int_equal(p[i - from].req.base_offset, i * RECORDS_PER_BATCH);
        assert_int_equal(p[i - from].req.durability, acks);
        assert_false(p[i - from].req.duplicate);
    }
    free(p);
}

static void assert_repeat_is_recognised(struct node *n, int32_t number)
{
    struct produce p;
    produce(n, &p, number, ACKS_ALL);
    WAIT_FOR(n, p.answered);
    assert_int_equal(p.status, 0);
    assert_true(p.req.duplicate);
    assert_int_equal(p.req.base_offset, number * RECORDS_PER_BATCH);
}

/* ---- fetch, list ---- */

struct fetch {
    struct fetch_req req;
    bool answered;
    int status;
};

static void on_fetched(struct fetch_req *req, int status)
{
    struct fetch *f = (struct fetch *)req;
    f->answered = true;
    f->status = status;
}

/* Checks the batch's records against what was sent; returns the next offset. */
static int64_t check_batch(const unsigned char *batch, size_t size, int64_t expected_offset)
{
    struct batch_reader reader;
    struct record record;
    assert_int_equal(batch_reader_init(&reader, batch, size, 1 << 20), 0);
    assert_true(batch_crc_ok(batch, &reader.header));
    while (batch_reader_next(&reader, &record) == 1) {
        char value[VALUE_SIZE];
        snprintf(value, sizeof value, "record %lld", (long long)expected_offset);
        assert_int_equal(record.offset, expected_offset);
        assert_string_equal((const char *)record.value, value);
        expected_offset++;
    }
    batch_reader_close(&reader);
    return expected_offset;
}

/* A slice holds whole batches, back to back. */
static int64_t check_slice(const struct slice *slice, int64_t expected_offset)
{
    for (size_t at = 0; at < slice->size;) {
        struct batch_header header;
        assert_int_equal(batch_header_decode(slice->data + at, slice->size - at, slice->size - at, &header),
                         0);
        expected_offset = check_batch(slice->data + at, header.size, expected_offset);
        at += header.size;
    }
    return expected_offset;
}

static void assert_holds_records(struct node *n, int64_t count)
{
    WAIT_FOR(n, partition_high_watermark(orders(n)) >= count);
    assert_int_equal(partition_high_watermark(orders(n)), count);
    int64_t offset = 0;
    while (offset < count) {
        struct fetch f = {0};
        partition_fetch(orders(n), &f.req, offset, 10000, 1, 0, on_fetched);
        WAIT_FOR(n, f.answered);
        assert_int_equal(f.status, 0);
        assert_true(f.req.read.n > 0);
        for (unsigned i = 0; i < f.req.read.n; i++) {
            offset = check_slice(&f.req.read.slices[i], offset);
            slice_unref(&f.req.read.slices[i]);
        }
        assert_int_equal(f.req.read.next_offset, offset);
    }
}

struct list {
    struct list_offset_req req;
    bool answered;
    int status;
};

static void on_listed(struct list_offset_req *req, int status)
{
    struct list *l = (struct list *)req;
    l->answered = true;
    l->status = status;
}

static int64_t list_offset(struct node *n, int64_t timestamp_ms)
{
    struct list l = {0};
    partition_list_offset(orders(n), &l.req, timestamp_ms, on_listed);
    WAIT_FOR(n, l.answered);
    assert_int_equal(l.status, 0);
    return l.req.offset;
}

/* ---- offsets ---- */

struct commit {
    struct offsets_commit_req req;
    bool answered;
    int status;
};

static void on_committed(struct offsets_commit_req *req, int status)
{
    struct commit *c = (struct commit *)req;
    c->answered = true;
    c->status = status;
}

static void commit(struct node *n, const char *group, int64_t offset)
{
    struct offset_commit what = {.offset = offset, .metadata = "m"};
    struct commit c = {0};
    offsets_commit(coordinator(n), &c.req, group, &what, 1, on_committed);
    WAIT_FOR(n, c.answered);
    assert_int_equal(c.status, 0);
}

static void on_offset(void *data, const struct offset_commit *c)
{
    *(int64_t *)data = c->offset;
}

static int64_t committed(struct node *n, const char *group)
{
    int64_t offset = -1;
    assert_int_equal(offsets_each(coordinator(n), group, NULL, on_offset, &offset), 0);
    return offset;
}

/* ---- tests ---- */

static int make_directory(void **state)
{
    char *directory = memory_strdup("/tmp/flotilla-single-node-XXXXXX");
    *state = directory;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    struct env *env = env_uv_create(1);
    int status = env_dir_remove(env, *state);
    env_destroy(env);
    free(*state);
    return status;
}

static void test_restart(void **state)
{
    struct node n;
    node_open(&n, *state);
    produce_range(&n, 0, 50, ACKS_ALL);
    produce_range(&n, 50, 55, ACKS_LEADER);
    produce_range(&n, 55, 60, ACKS_NONE);
    assert_holds_records(&n, 600);
    assert_repeat_is_recognised(&n, 59);
    assert_int_equal(list_offset(&n, OFFSET_END), 600);
    assert_int_equal(list_offset(&n, OFFSET_START), 0);
    assert_int_equal(list_offset(&n, 1000000 + 123), 123);
    assert_int_equal(list_offset(&n, OFFSET_MAX_TIMESTAMP), 599);
    commit(&n, "email", 100);
    commit(&n, "email", 200);
    node_close(&n, false);

    for (int restart = 1; restart <= 3;
         restart++) { /* the first rewrites nothing, later ones add a term each */
        node_open(&n, *state);
        assert_holds_records(&n, 600 + (restart - 1) * 10);
        assert_int_equal(committed(&n, "email"), 200 + restart - 1);
        assert_repeat_is_recognised(&n, 58 + restart); /* the last batch of the earlier life */
        assert_repeat_is_recognised(&n, 56 + restart);
        produce_range(&n, 59 + restart, 60 + restart, ACKS_ALL);
        commit(&n, "email", 200 + restart);
        assert_int_equal(list_offset(&n, OFFSET_END), 600 + restart * 10);
        node_close(&n, false);
    }
}

static void test_many_batches_through_snapshots(void **state)
{
    struct node n;
    node_open(&n, *state);
    int32_t number = 0;
    for (int round = 0; round < 3; round++) {
        produce_range(&n, number, number + 300, ACKS_ALL); /* several times the entries' memory */
        number += 300;
        commit(&n, "email", number);
        assert_true(group_snapshot_index(partition_group(orders(&n))) > 0);
        node_close(&n, false);
        node_open(&n, *state);
        assert_holds_records(&n, number * RECORDS_PER_BATCH);
        assert_repeat_is_recognised(&n, number - 1);
        assert_repeat_is_recognised(&n, number - 5);
        assert_int_equal(committed(&n, "email"), number);
    }
    node_close(&n, false);
}

static void test_retention_by_size(void **state)
{
    struct node n;
    node_open(&n, *state);
    produce_range(&n, 0, 600, ACKS_ALL); /* about ten segments */
    n.orders.config.retention_bytes = 128 * 1024;
    broker_replica_callbacks.configure(n.broker, &n.orders, &n.orders_partition);
    uint64_t before = log_size_bytes(group_log(partition_group(orders(&n))));
    WAIT_FOR(&n, (broker_retain(n.broker), partition_start_offset(orders(&n)) > 0));
    WAIT_FOR(&n, (broker_retain(n.broker), log_size_bytes(group_log(partition_group(orders(&n)))) < before));
    int64_t start = partition_start_offset(orders(&n));
    assert_int_equal(list_offset(&n, OFFSET_START), start);
    struct fetch f = {0};
    partition_fetch(orders(&n), &f.req, start - 1, 10000, 1, 0, on_fetched);
    WAIT_FOR(&n, f.answered);
    assert_int_equal(f.status, ERR_OFFSET_OUT_OF_RANGE);
    node_close(&n, false);
    node_open(&n, *state); /* what was trimmed stays away, the rest stays */
    WAIT_FOR(&n, partition_high_watermark(orders(&n)) == 6000);
    assert_int_equal(partition_start_offset(orders(&n)), start);
    node_close(&n, false);
}

/* One commit of many partitions. */
static void commit_many(struct node *n, const char *group, uint32_t partitions, int64_t offset)
{
    struct offset_commit *what = memory_zalloc(partitions * sizeof *what);
    struct commit c = {0};
    for (uint32_t i = 0; i < partitions; i++)
        what[i] = (struct offset_commit){.partition = i, .offset = offset, .metadata = "where I was"};
    offsets_commit(coordinator(n), &c.req, group, what, partitions, on_committed);
    WAIT_FOR(n, c.answered);
    assert_int_equal(c.status, 0);
    free(what);
}

/* What a group has committed in its life is many times what its offsets are. */
static void test_offsets_are_compacted(void **state)
{
    enum { PARTITIONS = 1000, COMMITS = 100, COMMIT_BYTES_MIN = 50000, LOG_BYTES_MAX = 2500000 };
    struct node n;
    node_open(&n, *state);
    for (int64_t i = 1; i <= COMMITS; i++)
        commit_many(&n, "email", PARTITIONS, i);
    assert_int_equal(partition_end_offset(coordinator(&n)), PARTITIONS * COMMITS);
    _Static_assert(LOG_BYTES_MAX * 2 <= COMMIT_BYTES_MIN * COMMITS, "not all of it may be left");
    WAIT_FOR(&n, (broker_retain(n.broker),
                  log_size_bytes(group_log(partition_group(coordinator(&n)))) < LOG_BYTES_MAX));
    assert_true(partition_start_offset(coordinator(&n)) > 0);
    for (int restart = 0; restart < 2; restart++) {
        node_close(&n, false);
        node_open(&n, *state);
        assert_int_equal(committed(&n, "email"), COMMITS);
    }
    node_close(&n, false);
}

static void test_erased_replica_leaves_nothing(void **state)
{
    struct node n;
    node_open(&n, *state);
    produce_range(&n, 0, 10, ACKS_ALL);
    char path[4096];
    data_dir_group_path(n.data_dir, ORDERS_GROUP, path, sizeof path);
    assert_int_equal(access(path, F_OK), 0);
    node_close(&n, true);
    assert_int_not_equal(access(path, F_OK), 0);
    node_open(&n, *state);
    assert_int_equal(partition_high_watermark(orders(&n)), 0);
    produce_range(&n, 0, 1, ACKS_ALL);
    node_close(&n, false);
}

/* ---- kill -9 ---- */

/* In a process of its own: one batch after the other, each reported once it is acknowledged, until killed. */
static _Noreturn void produce_for_ever(const char *directory, int32_t from, int report)
{
    struct node n;
    node_open(&n, directory);
    for (int32_t number = from;; number++) {
        produce_range(&n, number, number + 1, ACKS_ALL);
        if (write(report, &number, sizeof number) != sizeof number)
            _exit(1);
    }
}

/* Returns the last batch that was acknowledged before the kill. */
static int32_t run_and_kill(const char *directory, int32_t from, int32_t until)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        produce_for_ever(directory, from, ends[1]);
    }
    close(ends[1]);
    int32_t acknowledged = -1;
    while (acknowledged < until && read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged)
        ;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged)
        ;
    close(ends[0]);
    assert_true(acknowledged >= until);
    return acknowledged;
}

static void test_kill_loses_nothing_and_repeats_nothing(void **state)
{
    int32_t next = 0;
    for (int round = 1; round <= 3; round++) {
        int32_t acknowledged = run_and_kill(*state, next, round * 100);
        struct node n;
        node_open(&n, *state);
        int64_t high_watermark = partition_high_watermark(orders(&n));
        assert_true(high_watermark >= (acknowledged + 1) * RECORDS_PER_BATCH);
        assert_true(high_watermark <= (acknowledged + 2) * RECORDS_PER_BATCH); /* one was on its way */
        assert_holds_records(&n, high_watermark);
        assert_repeat_is_recognised(&n, acknowledged);
        next = (int32_t)(high_watermark / RECORDS_PER_BATCH);
        produce_range(&n, next, next + 1, ACKS_ALL);
        next++;
        node_close(&n, false);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_restart),
        TEST(test_many_batches_through_snapshots),
        TEST(test_retention_by_size),
        TEST(test_offsets_are_compacted),
        TEST(test_erased_replica_leaves_nothing),
        TEST(test_kill_loses_nothing_and_repeats_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
