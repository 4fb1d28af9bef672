/* Committed offsets: commits, the table they lead to, garbage, snapshots. The partition is a stand-in that
 * validates what is produced to it and hands it to the state machine. */
#include "node/base/prng.h"
#include "node/group/offsets.h"
#include "proto/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct partition {
    struct env *env;
    void *state;
    int refuse; /* what produce answers when not 0 */
    unsigned batches;
    struct produce_req *req;
    struct env_task task;
};

struct env *partition_env(const struct partition *p)
{
    return p->env;
}

void *partition_state(const struct partition *p)
{
    return p->state;
}

/* Asked only about a partition that coordinates, which this one does not. */
int partition_check_leader(const struct partition *p, uint32_t *leader_id, int32_t *leader_epoch)
{
    (void)p;
    *leader_id = 0;
    *leader_epoch = 0;
    return 0;
}

static void on_produced(struct env_task *task)
{
    struct partition *p = (struct partition *)((char *)task - offsetof(struct partition, task));
    p->req->cb(p->req, p->refuse);
}

void partition_produce(struct partition *p, struct produce_req *req, const struct slice *batch, int acks,
                       void (*cb)(struct produce_req *req, int status))
{
    assert_int_equal(acks, ACKS_ALL);
    struct batch_header header;
    char reason[100];
    assert_int_equal(batch_validate(batch->data, batch->size, &header, reason, sizeof reason), 0);
    if (p->refuse == 0) {
        offsets_state_machine.apply(p->state, &header, batch);
        p->batches++;
    }
    req->cb = cb;
    p->req = req;
    env_defer(p->env, &p->task, on_produced);
}

/* ---- fixture ---- */

static int setup(void **state)
{
    struct partition *p = calloc(1, sizeof *p);
    p->env = env_uv_create(1);
    p->state = offsets_state_machine.create(offsets_state_machine.data, p);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct partition *p = *state;
    offsets_state_machine.destroy(p->state);
    env_destroy(p->env);
    free(p);
    return 0;
}

struct commit {
    struct offsets_commit_req req;
    unsigned answers;
    int status;
};

static void on_committed(struct offsets_commit_req *req, int status)
{
    struct commit *c = (struct commit *)req;
    c->answers++;
    c->status = status;
}

static int commit(struct partition *p, struct commit *c, const char *group,
                  const struct offset_commit *commits, size_t count)
{
    c->answers = 0;
    offsets_commit(p, &c->req, group, commits, count, on_committed);
    assert_int_equal(c->answers, 0); /* never from inside */
    while (c->answers == 0)
        env_run_once(p->env, false);
    assert_int_equal(c->answers, 1);
    return c->status;
}

static struct offset_commit one(uint8_t topic, uint32_t partition, int64_t offset, const char *metadata)
{
    struct offset_commit c = {
        .partition = partition, .offset = offset, .leader_epoch = 5, .metadata = metadata};
    memset(c.topic_id, topic, sizeof c.topic_id);
    return c;
}

static int commit_one(struct partition *p, const char *group, struct offset_commit commit_)
{
    struct commit c;
    return commit(p, &c, group, &commit_, 1);
}

struct found {
    unsigned count;
    struct offset_commit last;
    char metadata[OFFSETS_METADATA_MAX + 1];
};

static void on_found(void *data, const struct offset_commit *c)
{
    struct found *found = data;
    found->count++;
    found->last = *c;
    strcpy(found->metadata, c->metadata);
}

static struct found look_up(struct partition *p, const char *group, const uint8_t *topic_id)
{
    static struct found found;
    found = (struct found){0};
    assert_int_equal(offsets_each(p, group, topic_id, on_found, &found), 0);
    return found;
}

/* ---- tests ---- */

static void test_commit_and_read_back(void **state)
{
    struct partition *p = *state;
    assert_int_equal(look_up(p, "email", NULL).count, 0);
    assert_int_equal(commit_one(p, "email", one(1, 4, 1000, "where I was")), 0);
    struct found found = look_up(p, "email", NULL);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.last.topic_id[0], 1);
    assert_int_equal(found.last.partition, 4);
    assert_int_equal(found.last.offset, 1000);
    assert_int_equal(found.last.leader_epoch, 5);
    assert_string_equal(found.metadata, "where I was");
    assert_int_equal(look_up(p, "audit", NULL).count, 0);

    assert_int_equal(commit_one(p, "email", one(1, 4, 7, NULL)), 0); /* back on purpose */
    found = look_up(p, "email", NULL);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.last.offset, 7);
    assert_string_equal(found.metadata, "");
}

static void test_many_in_one_batch_and_by_topic(void **state)
{
    struct partition *p = *state;
    struct offset_commit commits[] = {one(1, 0, 10, ""), one(1, 1, 11, ""), one(2, 0, 20, "")};
    struct commit c;
    assert_int_equal(commit(p, &c, "email", commits, 3), 0);
    assert_int_equal(p->batches, 1);
    assert_int_equal(look_up(p, "email", NULL).count, 3);
    assert_int_equal(look_up(p, "email", commits[0].topic_id).count, 2);
    assert_int_equal(look_up(p, "email", commits[2].topic_id).last.offset, 20);
}

static void test_offset_zero_of_partition_zero(void **state)
{
    struct partition *p = *state;
    struct offset_commit c = {.offset = 0};
    assert_int_equal(commit_one(p, "g", c), 0);
    assert_int_equal(look_up(p, "g", NULL).count, 1);
}

static void test_refusals(void **state)
{
    struct partition *p = *state;
    char long_group[OFFSETS_GROUP_MAX + 2];
    memset(long_group, 'g', sizeof long_group - 1);
    long_group[sizeof long_group - 1] = '\0';
    char *long_metadata = calloc(1, OFFSETS_METADATA_MAX + 2);
    memset(long_metadata, 'm', OFFSETS_METADATA_MAX + 1);
    struct commit c;
    assert_int_equal(commit_one(p, "", one(1, 0, 1, "")), ERR_INVALID_GROUP);
    assert_int_equal(commit_one(p, long_group, one(1, 0, 1, "")), ERR_INVALID_GROUP);
    assert_int_equal(commit_one(p, "g", one(1, 0, -1, "")), ERR_INVALID_ARGUMENT);
    assert_int_equal(commit_one(p, "g", one(1, 0, 1, long_metadata)), ERR_INVALID_ARGUMENT);
    assert_int_equal(commit(p, &c, "g", NULL, 0), ERR_INVALID_ARGUMENT);
    assert_string_equal(c.req.message, "a commit has 1 to 10000 offsets, this one 0");
    struct offset_commit *many = calloc(OFFSETS_COMMIT_MAX + 1, sizeof *many);
    assert_int_equal(commit(p, &c, "g", many, OFFSETS_COMMIT_MAX + 1), ERR_INVALID_ARGUMENT);
    assert_int_equal(p->batches, 0);

    long_group[OFFSETS_GROUP_MAX] = '\0'; /* the largest are fine */
    long_metadata[OFFSETS_METADATA_MAX] = '\0';
    assert_int_equal(commit_one(p, long_group, one(1, 0, 1, long_metadata)), 0);
    assert_int_equal(look_up(p, long_group, NULL).count, 1);
    for (uint32_t i = 0; i < OFFSETS_COMMIT_MAX; i++)
        many[i] = one(3, i, i, NULL);
    assert_int_equal(commit(p, &c, "g", many, OFFSETS_COMMIT_MAX), 0);
    assert_int_equal(look_up(p, "g", NULL).count, OFFSETS_COMMIT_MAX);
    for (uint32_t i = 0; i < OFFSETS_COMMIT_MAX; i++)
        many[i].metadata = long_metadata;
    assert_int_equal(commit(p, &c, "g", many, OFFSETS_COMMIT_MAX), ERR_TOO_LARGE);
    free(many);
    free(long_metadata);
}

static void test_refused_commit_changes_nothing(void **state)
{
    struct partition *p = *state;
    p->refuse = ERR_NOT_LEADER;
    assert_int_equal(commit_one(p, "g", one(1, 0, 1, "")), ERR_NOT_LEADER);
    assert_int_equal(look_up(p, "g", NULL).count, 0);
}

/* ---- what else may stand in the log ---- */

static void apply_record(struct partition *p, const void *key, size_t key_size, const void *value,
                         size_t value_size)
{
    struct batch_builder builder;
    batch_builder_init(&builder);
    batch_builder_add(&builder, 1, key, key_size, value, value_size, NULL, 0);
    struct batch_options options = {.producer_id = -1};
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(batch_builder_finish(&builder, &options, &out), 0);
    struct slice batch = slice_copy(out.data, out.size);
    struct batch_header header;
    assert_int_equal(batch_header_decode(batch.data, batch.size, batch.size, &header), 0);
    offsets_state_machine.apply(p->state, &header, &batch);
    slice_unref(&batch);
    bytes_close(&out);
    batch_builder_close(&builder);
}

static size_t pack_key(const char *group, uint8_t topic, unsigned char *out)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    uint8_t id[TOPIC_ID_SIZE];
    memset(id, topic, sizeof id);
    key.group = (char *)group;
    key.topic_id.data = id;
    key.topic_id.len = sizeof id;
    return flotilla__group_key__pack(&key, out);
}

static void test_null_value_removes(void **state)
{
    struct partition *p = *state;
    assert_int_equal(commit_one(p, "g", one(1, 0, 1, "")), 0);
    assert_int_equal(commit_one(p, "g", one(2, 0, 2, "")), 0);
    unsigned char key[100];
    apply_record(p, key, pack_key("g", 1, key), NULL, 0);
    assert_int_equal(look_up(p, "g", NULL).count, 1);
    apply_record(p, key, pack_key("g", 2, key), NULL, 0);
    apply_record(p, key, pack_key("nobody", 2, key), NULL, 0);
    assert_int_equal(look_up(p, "g", NULL).count, 0);
}

static void test_garbage_is_skipped(void **state)
{
    struct partition *p = *state;
    assert_int_equal(commit_one(p, "g", one(1, 0, 1, "")), 0);
    unsigned char key[100];
    size_t key_size = pack_key("g", 1, key);
    apply_record(p, NULL, 0, "value", 5);
    apply_record(p, "\xff\xff\xff", 3, "", 0);
    apply_record(p, "", 0, "", 0);             /* no group, no topic */
    apply_record(p, key, key_size, "\xff", 1); /* a value that doesn't parse */
    Flotilla__OffsetValue negative = FLOTILLA__OFFSET_VALUE__INIT;
    negative.offset = -5;
    unsigned char value[100];
    apply_record(p, key, key_size, value, flotilla__offset_value__pack(&negative, value));
    assert_int_equal(look_up(p, "g", NULL).last.offset, 1);
    assert_int_equal(look_up(p, "g", NULL).count, 1);
}

/* ---- snapshot ---- */

static void copy_through_snapshot(struct partition *p)
{
    struct bytes snapshot;
    bytes_init(&snapshot);
    offsets_state_machine.snapshot(p->state, &snapshot);
    void *copy = offsets_state_machine.create(NULL, p);
    assert_int_equal(offsets_state_machine.restore(copy, snapshot.data, snapshot.size), 0);
    offsets_state_machine.destroy(p->state);
    p->state = copy;
    bytes_close(&snapshot);
}

static void test_snapshot_round_trip(void **state)
{
    struct partition *p = *state;
    copy_through_snapshot(p); /* the empty one */
    assert_int_equal(commit_one(p, "email", one(1, 4, 1000, "m")), 0);
    assert_int_equal(commit_one(p, "audit", one(2, 0, 0, NULL)), 0);
    copy_through_snapshot(p);
    struct found found = look_up(p, "email", NULL);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.last.offset, 1000);
    assert_int_equal(found.last.leader_epoch, 5);
    assert_string_equal(found.metadata, "m");
    assert_int_equal(look_up(p, "audit", NULL).count, 1);
    assert_int_equal(offsets_state_machine.restore(p->state, NULL, 0), 0);
    assert_int_equal(look_up(p, "email", NULL).count, 0);
}

static void test_garbage_snapshot_leaves_it_empty(void **state)
{
    struct partition *p = *state;
    assert_int_equal(commit_one(p, "g", one(1, 0, 1, "")), 0);
    struct bytes snapshot;
    bytes_init(&snapshot);
    offsets_state_machine.snapshot(p->state, &snapshot);
    for (size_t size = 1; size < snapshot.size; size++) {
        assert_int_equal(offsets_state_machine.restore(p->state, snapshot.data, size), ERR_CORRUPT);
        assert_int_equal(look_up(p, "g", NULL).count, 0);
    }
    bytes_close(&snapshot);
}

/* ---- random: table against an array ---- */

enum { GROUPS = 5, TOPICS = 4, PARTITIONS = 6, STEPS = 3000 };

struct wanted {
    uint32_t partition;
    int64_t offset;
};

static void on_wanted(void *data, const struct offset_commit *c)
{
    struct wanted *wanted = data;
    if (c->partition == wanted->partition)
        wanted->offset = c->offset;
}

/* -1: none. */
static int64_t offset_of(struct partition *p, const char *group, uint8_t topic, uint32_t partition)
{
    struct offset_commit key = one(topic, partition, 0, NULL);
    struct wanted wanted = {.partition = partition, .offset = -1};
    assert_int_equal(offsets_each(p, group, key.topic_id, on_wanted, &wanted), 0);
    return wanted.offset;
}

static void test_random_commits(void **state)
{
    struct partition *p = *state;
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    struct prng random;
    prng_init(&random, seed);
    int64_t model[GROUPS][TOPICS][PARTITIONS];
    memset(model, 0xff, sizeof model);
    for (int step = 0; step < STEPS; step++) {
        unsigned g = (unsigned)prng_below(&random, GROUPS);
        struct offset_commit commits[8];
        size_t count = 1 + prng_below(&random, 8);
        for (size_t i = 0; i < count; i++) {
            unsigned topic = (unsigned)prng_below(&random, TOPICS),
                     partition = (unsigned)prng_below(&random, PARTITIONS);
            commits[i] = one((uint8_t)topic, partition, (int64_t)prng_below(&random, 1u << 30), NULL);
            model[g][topic][partition] = commits[i].offset;
        }
        char name[8];
        snprintf(name, sizeof name, "g%u", g);
        struct commit c;
        assert_int_equal(commit(p, &c, name, commits, count), 0);
        if (prng_below(&random, 100) == 0)
            copy_through_snapshot(p);
    }
    for (unsigned g = 0; g < GROUPS; g++) {
        char name[8];
        snprintf(name, sizeof name, "g%u", g);
        for (unsigned topic = 0; topic < TOPICS; topic++) {
            for (unsigned i = 0; i < PARTITIONS; i++)
                assert_int_equal(offset_of(p, name, (uint8_t)topic, i), model[g][topic][i]);
        }
    }
}

static void test_partition_of_a_group(void **state)
{
    (void)state;
    assert_int_equal(offsets_partition_for("email", 16), crc32c(0, "email", 5) % 16);
    assert_int_equal(offsets_partition_for("email", 1), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_commit_and_read_back),
        TEST(test_many_in_one_batch_and_by_topic),
        TEST(test_offset_zero_of_partition_zero),
        TEST(test_refusals),
        TEST(test_refused_commit_changes_nothing),
        TEST(test_null_value_removes),
        TEST(test_garbage_is_skipped),
        TEST(test_snapshot_round_trip),
        TEST(test_garbage_snapshot_leaves_it_empty),
        TEST(test_random_commits),
        TEST(test_partition_of_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
