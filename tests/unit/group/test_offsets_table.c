/* The table's snapshot is written by hand: byte for byte what protobuf-c makes of the same entries. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "node/base/prng.h"
#include "node/group/offsets.h"
#include "node/group/offsets_table.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ENTRIES = 2000 };

static uint64_t seed;

static void set(struct offsets_table *t, const char *group, uint32_t partition, int64_t offset, int32_t epoch,
                const char *metadata, int64_t time_ms)
{
    uint8_t topic_id[TOPIC_ID_SIZE] = {0, 1, 0x80};
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    Flotilla__OffsetValue value = FLOTILLA__OFFSET_VALUE__INIT;
    key.group = (char *)(uintptr_t)group;
    key.topic_id = (ProtobufCBinaryData){sizeof(topic_id), topic_id};
    key.partition = partition;
    value.offset = offset;
    value.leader_epoch = epoch;
    value.metadata = (char *)(uintptr_t)metadata;
    value.commit_time_ms = time_ms;
    assert_int_equal(offsets_table_set(t, &key, &value), 0);
}

static void check_against_protobuf(const struct offsets_table *t, size_t entries)
{
    struct bytes by_hand;
    bytes_init(&by_hand);
    offsets_table_pack(t, &by_hand);
    Flotilla__OffsetTable *table = flotilla__offset_table__unpack(NULL, by_hand.size, by_hand.data);
    assert_non_null(table);
    assert_int_equal(table->n_entries, entries);
    size_t size = flotilla__offset_table__get_packed_size(table);
    uint8_t *packed = malloc(size + 1);
    flotilla__offset_table__pack(table, packed);
    assert_int_equal(size, by_hand.size);
    if (size > 0)
        assert_memory_equal(packed, by_hand.data, size);
    free(packed);
    flotilla__offset_table__free_unpacked(table, NULL);
    bytes_close(&by_hand);
}

static void test_edges(void **state)
{
    struct offsets_table *t = offsets_table_create();
    char longest[OFFSETS_METADATA_MAX + 1], name[OFFSETS_GROUP_MAX + 1];
    (void)state;
    check_against_protobuf(t, 0);
    memset(longest, 'm', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    memset(name, 'g', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    set(t, "g", 0, 0, 0, "", 0);
    set(t, "g", 1, INT64_MAX, -1, "a", -1);
    set(t, "g", UINT32_MAX, 127, INT32_MIN, longest, INT64_MAX);
    set(t, "g", 127, 128, INT32_MAX, "", INT64_MIN);
    set(t, "g", 128, 16383, 1, "", 16384);
    set(t, name, 5, 5, 5, longest, 5);
    check_against_protobuf(t, 6);
    offsets_table_destroy(t);
}

/* Of any magnitude. */
static uint64_t some(struct prng *p, unsigned bits)
{
    return prng_next(p) >> (64 - 1 - prng_below(p, bits));
}

static void test_random_entries(void **state)
{
    struct offsets_table *t = offsets_table_create();
    struct prng p;
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    prng_init(&p, seed);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        char group[16], metadata[300];
        snprintf(group, sizeof(group), "group-%u", (unsigned)prng_below(&p, 50));
        size_t size = prng_below(&p, 2) == 0 ? 0 : prng_below(&p, sizeof(metadata));
        memset(metadata, 'x', size);
        metadata[size] = '\0';
        set(t, group, i, (int64_t)some(&p, 63), (int32_t)prng_next(&p), metadata, (int64_t)some(&p, 63));
    }
    check_against_protobuf(t, ENTRIES);
    offsets_table_destroy(t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random_entries),
    };
    const char *given = getenv("SEED");
    seed = argc > 1 ? strtoull(argv[1], NULL, 0)
           : given  ? strtoull(given, NULL, 0)
                    : (uint64_t)time(NULL) * 1000;
    return cmocka_run_group_tests_name("group/offsets_table", tests, NULL, NULL);
}
