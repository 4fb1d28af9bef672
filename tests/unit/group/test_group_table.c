/* The table of members: records, snapshots, and what stands in a log or a snapshot that nobody of ours has
 * written. */
#include "node/base/prng.h"
#include "node/group/group_table.h"
#include "node/group/records.h"
#include "proto/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { GARBLED = 20000 };

static Flotilla__GroupKey key_of(const char *group, Flotilla__GroupRecord record, const char *member_id)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = (char *)(uintptr_t)group;
    key.record = record;
    key.member_id = (char *)(uintptr_t)member_id;
    return key;
}

static void add_group(struct group_records *r, const char *group, int64_t epoch)
{
    Flotilla__GroupKey key = key_of(group, FLOTILLA__GROUP_RECORD__GROUP_RECORD_GROUP, "");
    Flotilla__GroupValue value = FLOTILLA__GROUP_VALUE__INIT;
    value.protocol = (char *)(uintptr_t) "flotilla";
    value.epoch = epoch;
    group_records_add(r, &key, &value.base);
}

static void add_member(struct group_records *r, const char *group, const char *id)
{
    char *topic = (char *)(uintptr_t) "orders";
    Flotilla__GroupKey key = key_of(group, FLOTILLA__GROUP_RECORD__GROUP_RECORD_MEMBER, id);
    Flotilla__MemberValue value = FLOTILLA__MEMBER_VALUE__INIT;
    value.topics = &topic;
    value.n_topics = 1;
    value.session_timeout_ms = 10000;
    group_records_add(r, &key, &value.base);
}

static void add_share(struct group_records *r, const char *group, const char *id, uint32_t partitions)
{
    Flotilla__GroupKey key = key_of(group, FLOTILLA__GROUP_RECORD__GROUP_RECORD_ASSIGNMENT, id);
    struct member_share share = {.epoch = 3, .revoked_epoch = 2};
    uint8_t topic_id[TOPIC_ID_SIZE] = {7};
    for (uint32_t i = 0; i < partitions; i++) {
        partition_set_append(&share.assigned, topic_id, i);
        partition_set_append(&share.target, topic_id, i);
    }
    struct packed_share packed;
    member_share_pack(&share, &packed);
    group_records_add(r, &key, &packed.value.base);
    packed_share_close(&packed);
    member_share_close(&share);
}

static int apply_bytes(struct group_table *t, const unsigned char *key_bytes, size_t key_size,
                       const void *value, size_t value_size)
{
    Flotilla__GroupKey *key = flotilla__group_key__unpack(NULL, key_size, key_bytes);
    if (key == NULL)
        return ERR_CORRUPT;
    int status = group_table_apply(t, key, value, value_size);
    flotilla__group_key__free_unpacked(key, NULL);
    return status;
}

static int apply_one(struct group_table *t, const struct group_records *r, size_t i)
{
    const unsigned char *key = r->bytes.data + r->items[i].at;
    return apply_bytes(t, key, r->items[i].key_size, r->items[i].removes ? NULL : key + r->items[i].key_size,
                       r->items[i].value_size);
}

static void fill(struct group_records *r)
{
    group_records_init(r);
    add_group(r, "email", 3);
    add_member(r, "email", "anna");
    add_member(r, "email", "ben");
    add_share(r, "email", "anna", 4);
    add_share(r, "email", "ben", 0);
    add_group(r, "audit", 1);
}

static void apply_all(struct group_table *t, const struct group_records *r)
{
    for (size_t i = 0; i < r->count; i++)
        assert_int_equal(apply_one(t, r, i), 0);
}

static void test_records_make_the_table(void **state)
{
    (void)state;
    struct group_table t = {0};
    struct group_records r;
    fill(&r);
    apply_all(&t, &r);
    const struct consumer_group *g = group_table_find(&t, "email");
    assert_non_null(g);
    assert_int_equal(g->epoch, 3);
    assert_int_equal(consumer_group_size(g), 2);
    const struct consumer_member *anna = consumer_group_member(g, "anna");
    assert_int_equal(anna->share.assigned.count, 4);
    assert_int_equal(anna->share.revoked_epoch, 2);
    assert_int_equal(anna->value->session_timeout_ms, 10000);
    assert_true(consumer_group_is_stable(g));
    group_table_clear(&t);
    assert_null(group_table_find(&t, "email"));
    group_records_close(&r);
}

static void test_null_values_remove(void **state)
{
    (void)state;
    struct group_table t = {0};
    struct group_records r, gone;
    fill(&r);
    apply_all(&t, &r);
    group_records_init(&gone);
    Flotilla__GroupKey member = key_of("email", FLOTILLA__GROUP_RECORD__GROUP_RECORD_MEMBER, "anna");
    Flotilla__GroupKey group = key_of("email", FLOTILLA__GROUP_RECORD__GROUP_RECORD_GROUP, "");
    group_records_add(&gone, &member, NULL);
    group_records_add(&gone, &group, NULL);
    assert_int_equal(apply_one(&t, &gone, 0), 0);
    assert_null(consumer_group_member(group_table_find(&t, "email"), "anna"));
    assert_int_equal(apply_one(&t, &gone, 0), 0); /* once more: nothing to remove */
    assert_int_equal(apply_one(&t, &gone, 1), 0);
    assert_null(group_table_find(&t, "email"));
    assert_non_null(group_table_find(&t, "audit"));
    group_records_close(&gone);
    group_records_close(&r);
    group_table_clear(&t);
}

static void test_what_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    struct group_table t = {0};
    struct group_records r;
    char long_id[GROUP_MEMBER_ID_MAX + 2];
    memset(long_id, 'x', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = '\0';
    group_records_init(&r);
    add_share(&r, "email", "stranger", 3);
    add_member(&r, "email", long_id);
    add_member(&r, "email", "");
    add_group(&r, "", 1);
    for (size_t i = 0; i < r.count; i++)
        assert_int_equal(apply_one(&t, &r, i), ERR_CORRUPT);
    assert_null(t.groups);
    group_records_close(&r);
}

/* As it would be used: read, described, packed again. */
static void use(const struct group_table *t)
{
    struct packed_groups packed;
    for (const struct consumer_group *g = t->groups; g != NULL; g = g->hh.next) {
        (void)consumer_group_is_stable(g);
        for (const struct consumer_member *m = g->members; m != NULL; m = m->hh.next)
            assert_non_null(m->value);
    }
    group_table_pack(t, &packed);
    packed_groups_close(&packed);
}

static void garble(struct prng *random, unsigned char *bytes, size_t size)
{
    for (uint64_t n = 1 + prng_below(random, 3); n > 0; n--)
        bytes[prng_below(random, size)] = (unsigned char)prng_below(random, 256);
}

static void test_garbled_records_are_survived(void **state)
{
    (void)state;
    struct prng random;
    struct group_table t = {0};
    struct group_records r;
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    prng_init(&random, seed);
    fill(&r);
    for (int i = 0; i < GARBLED; i++) {
        const struct group_record *item = &r.items[prng_below(&random, r.count)];
        size_t size = item->key_size + item->value_size;
        unsigned char *copy = malloc(size + 1);
        memcpy(copy, r.bytes.data + item->at, size);
        garble(&random, copy, size);
        (void)apply_bytes(&t, copy, item->key_size, copy + item->key_size, item->value_size);
        free(copy);
        if (i % 100 == 0)
            use(&t);
        if (i % 2000 == 0)
            group_table_clear(&t);
    }
    group_table_clear(&t);
    group_records_close(&r);
}

static size_t pack_snapshot(const struct group_table *t, unsigned char **out)
{
    struct packed_groups packed;
    group_table_pack(t, &packed);
    Flotilla__OffsetTable message = FLOTILLA__OFFSET_TABLE__INIT;
    message.groups = packed.entries;
    message.n_groups = packed.count;
    size_t size = flotilla__offset_table__get_packed_size(&message);
    *out = malloc(size + 1);
    flotilla__offset_table__pack(&message, *out);
    packed_groups_close(&packed);
    return size;
}

static int unpack_snapshot(struct group_table *t, const unsigned char *bytes, size_t size)
{
    Flotilla__OffsetTable *message = flotilla__offset_table__unpack(NULL, size, bytes);
    if (message == NULL)
        return ERR_CORRUPT;
    int status = group_table_unpack(t, message->groups, message->n_groups);
    flotilla__offset_table__free_unpacked(message, NULL);
    return status;
}

static void test_garbled_snapshots_are_survived(void **state)
{
    (void)state;
    struct prng random;
    struct group_table t = {0}, copy = {0};
    struct group_records r;
    unsigned char *snapshot;
    prng_init(&random, (uint64_t)time(NULL));
    fill(&r);
    apply_all(&t, &r);
    size_t size = pack_snapshot(&t, &snapshot);
    assert_int_equal(unpack_snapshot(&copy, snapshot, size), 0);
    assert_int_equal(consumer_group_size(group_table_find(&copy, "email")), 2);
    group_table_clear(&copy);
    for (int i = 0; i < GARBLED; i++) {
        unsigned char *garbled = malloc(size + 1);
        memcpy(garbled, snapshot, size);
        garble(&random, garbled, size);
        if (unpack_snapshot(&copy, garbled, size) == 0)
            use(&copy);
        else
            assert_null(copy.groups);
        group_table_clear(&copy);
        free(garbled);
    }
    free(snapshot);
    group_table_clear(&t);
    group_records_close(&r);
}

static void test_sets(void **state)
{
    (void)state;
    struct partition_set a = {0}, b = {0}, out = {0};
    uint8_t first[TOPIC_ID_SIZE] = {1}, second[TOPIC_ID_SIZE] = {2};
    partition_set_append(&a, second, 1);
    partition_set_append(&a, first, 9);
    partition_set_append(&a, first, 3);
    partition_set_append(&a, first, 9);
    partition_set_sort(&a);
    assert_int_equal(a.count, 3);
    assert_int_equal(a.items[0].partition, 3);
    partition_set_append(&b, first, 9);
    partition_set_append(&b, second, 2);
    partition_set_common(&a, &b, &out);
    assert_int_equal(out.count, 1);
    assert_true(partition_set_has(&out, &b.items[0]));
    partition_set_close(&out);
    partition_set_minus(&a, &b, &out);
    assert_int_equal(out.count, 2);
    assert_false(partition_set_has(&out, &b.items[0]));
    partition_set_add(&out, &b);
    assert_int_equal(out.count, 4);
    partition_set_close(&a);
    partition_set_move(&a, &out);
    assert_int_equal(a.count, 4);
    assert_int_equal(out.count, 0);
    partition_set_close(&a);
    partition_set_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_make_the_table),
        cmocka_unit_test(test_null_values_remove),
        cmocka_unit_test(test_what_does_not_fit_changes_nothing),
        cmocka_unit_test(test_garbled_records_are_survived),
        cmocka_unit_test(test_garbled_snapshots_are_survived),
        cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
