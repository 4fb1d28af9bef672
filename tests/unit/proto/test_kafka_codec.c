/* The interpreter against itself (random messages there and back) and against peers that lie about lengths
 * and counts. */
#include "proto/error.h"
#include "tests/unit/proto/helper_cmocka.h"
#include "tests/unit/proto/helper_kafka.h"
#include "tests/unit/proto/helper_random.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20, MAX_DEPTH = 5 };

/* ---- the table ---- */

static void check_type(const struct kafka_type *type, int depth)
{
    int last_tag = -1;

    assert_true(depth <= MAX_DEPTH);
    for (size_t i = 0; i < type->field_count; i++) {
        const struct kafka_field *f = &type->fields[i];
        bool has_null = f->kind == KAFKA_KIND_STRING || f->kind >= KAFKA_KIND_BYTES;
        assert_true(f->since <= f->until && f->offset < type->size);
        assert_true(has_null || f->nullable_since == KAFKA_NEVER);
        if (kafka_field_is_tagged(f)) {
            assert_true(f->tag > last_tag);
            last_tag = f->tag;
        }
        if (f->kind == KAFKA_KIND_OPTIONAL) /* else nothing on the wire says that it is absent */
            assert_true(kafka_field_is_tagged(f) || f->nullable_since <= f->since);
        if (f->of != NULL)
            check_type(f->of(), depth + 1);
    }
}

static void test_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        assert_ptr_equal(kafka_api_find(api->key), api);
        assert_true(i == 0 || kafka_api_at(i - 1)->key < api->key);
        assert_true(api->oldest_version <= api->newest_version);
        check_type(api->request_type(), 1);
        check_type(api->response_type(), 1);
    }
    assert_null(kafka_api_find(-1));
    assert_null(kafka_api_find(4)); /* between brokers: never spoken */
    assert_null(kafka_api_find(INT16_MAX));
}

/* docs/kafka.md says what is served. */
static void test_documentation_names_every_version(void **state)
{
    char *text = calloc(1, GOLDEN_MAX_SIZE), row[128];
    FILE *file = fopen(GOLDEN_DIR "/../../docs/kafka.md", "r");

    (void)state;
    assert_non_null(file);
    assert_in_range(fread(text, 1, GOLDEN_MAX_SIZE - 1, file), 1, GOLDEN_MAX_SIZE - 2);
    fclose(file);
    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        snprintf(row, sizeof(row), "\n| %d | %s | %d to %d |", api->key, api->name, api->oldest_version,
                 api->newest_version);
        if (strstr(text, row) == NULL)
            fail_msg("docs/kafka.md lacks the row%s", row);
    }
    free(text);
}

/* ---- there and back ---- */

static void round_trip(struct prng *p, const struct kafka_api *api, enum kafka_direction direction,
                       int16_t version)
{
    const struct kafka_type *type = kafka_api_type(api, direction);
    struct arena arena;
    struct bytes first, second;

    arena_init(&arena, KAFKA_TEST_ARENA);
    bytes_init(&first);
    bytes_init(&second);
    const void *message = kafka_random(p, type, version, &arena);
    void *decoded = arena_alloc(&arena, type->size);
    assert_int_equal(kafka_encode(direction, api->key, version, message, &first), 0);
    assert_int_equal(kafka_decode(direction, api->key, version, first.data, first.size, &arena, decoded), 0);
    assert_int_equal(kafka_encode(direction, api->key, version, decoded, &second), 0);
    if (!bytes_hold(&first, second.data, second.size))
        fail_msg("%s version %d comes back changed", type->name, version);
    bytes_close(&second);
    bytes_close(&first);
    arena_close(&arena);
}

static void test_random_messages_come_back(void **state)
{
    struct prng p;

    (void)state;
    random_init(&p, __func__);
    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        for (int16_t version = api->oldest_version; version <= api->newest_version; version++)
            for (int round = 0; round < ROUNDS; round++) {
                round_trip(&p, api, KAFKA_REQUEST, version);
                round_trip(&p, api, KAFKA_RESPONSE, version);
            }
    }
}

static void test_fields_of_other_versions_have_their_defaults(void **state)
{
    struct kafka_metadata_request sent = kafka_metadata_request_default, got;
    struct arena arena;
    struct bytes out;

    (void)state;
    arena_init(&arena, KAFKA_TEST_ARENA);
    bytes_init(&out);
    sent.allow_auto_topic_creation = false; /* which version 3 cannot say */
    sent.topics.count = KAFKA_NULL;
    assert_int_equal(kafka_encode(KAFKA_REQUEST, KAFKA_API_METADATA, 3, &sent, &out), 0);
    assert_int_equal(kafka_decode(KAFKA_REQUEST, KAFKA_API_METADATA, 3, out.data, out.size, &arena, &got), 0);
    assert_true(got.allow_auto_topic_creation);
    assert_int_equal(got.topics.count, KAFKA_NULL);
    bytes_clear(&out); /* version 0 has no null: empty */
    assert_int_equal(kafka_encode(KAFKA_REQUEST, KAFKA_API_METADATA, 0, &sent, &out), 0);
    assert_int_equal(kafka_decode(KAFKA_REQUEST, KAFKA_API_METADATA, 0, out.data, out.size, &arena, &got), 0);
    assert_int_equal(got.topics.count, 0);
    bytes_close(&out);
    arena_close(&arena);
}

static void test_text_too_long_for_an_old_version(void **state)
{
    struct kafka_find_coordinator_request request = kafka_find_coordinator_request_default;
    char *key = calloc(1, INT16_MAX + 1);
    struct bytes out;

    (void)state;
    bytes_init(&out);
    request.key = (struct kafka_string){key, INT16_MAX};
    assert_int_equal(kafka_encode(KAFKA_REQUEST, KAFKA_API_FIND_COORDINATOR, 2, &request, &out), 0);
    request.key.size++;
    assert_int_equal(kafka_encode(KAFKA_REQUEST, KAFKA_API_FIND_COORDINATOR, 2, &request, &out),
                     ERR_TOO_LARGE);
    assert_int_equal(kafka_encode(KAFKA_REQUEST, KAFKA_API_FIND_COORDINATOR, 3, &request, &out), 0);
    bytes_close(&out);
    free(key);
}

struct gap_seen {
    struct bytes *out;
    size_t position;
    int32_t size;
    int count;
};

static void see_gap(void *data, size_t position, struct kafka_bytes records)
{
    struct gap_seen *seen = data;

    seen->position = position;
    seen->size = records.size;
    seen->count++;
}

static void test_records_stay_out_of_the_way(void **state)
{
    struct kafka_produce_request_partition partition = kafka_produce_request_partition_default;
    struct kafka_produce_request_topic topic = kafka_produce_request_topic_default;
    struct kafka_produce_request request = kafka_produce_request_default;
    struct bytes whole, holed;
    struct gap_seen seen = {.out = &holed};
    static const unsigned char records[300] = "records";

    (void)state;
    bytes_init(&whole);
    bytes_init(&holed);
    partition.records = (struct kafka_bytes){records, sizeof(records)};
    topic.partition_data.items = &partition;
    topic.partition_data.count = 1;
    request.topic_data.items = &topic;
    request.topic_data.count = 1;
    assert_int_equal(kafka_encode(KAFKA_REQUEST, KAFKA_API_PRODUCE, 9, &request, &whole), 0);
    partition.records.data = NULL; /* only the size counts */
    assert_int_equal(
        kafka_encode_with_gaps(KAFKA_REQUEST, KAFKA_API_PRODUCE, 9, &request, &holed, see_gap, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.size, sizeof(records));
    assert_int_equal(holed.size + sizeof(records), whole.size);
    assert_memory_equal(whole.data, holed.data, seen.position);
    assert_memory_equal(whole.data + seen.position, records, sizeof(records));
    assert_memory_equal(whole.data + seen.position + sizeof(records), holed.data + seen.position,
                        holed.size - seen.position);
    bytes_close(&holed);
    bytes_close(&whole);
}

/* ---- peers that lie ---- */

static int decode_limited(int16_t key, int16_t version, const void *data, size_t size, size_t arena_limit)
{
    _Alignas(max_align_t) unsigned char message[512];
    struct arena arena;

    assert_true(kafka_message_size(KAFKA_REQUEST, key) <= sizeof(message));
    arena_init(&arena, arena_limit);
    int rc = kafka_decode(KAFKA_REQUEST, key, version, data, size, &arena, message);
    assert_true(arena.allocated_bytes <= arena_limit);
    arena_close(&arena);
    return rc;
}

static int decode(int16_t key, int16_t version, const void *data, size_t size)
{
    return decode_limited(key, version, data, size, KAFKA_TEST_ARENA);
}
#define DECODE(key, version, ...)                                                                            \
    decode(key, version, (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))

static void test_hostile_lengths(void **state)
{
    (void)state;
    /* the key of FindCoordinator v0 */
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 0, 0, 1, 'a'), 0);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 0, 0, 2, 'a'), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 0, 0x7f, 0xff, 'a'), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 0, 0xff, 0xff),
                     ERR_PROTOCOL); /* null where none may be */
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 0, 0xff, 0xfe), ERR_PROTOCOL);
    /* and compact, v3 */
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 2, 'a', 0, 0), 0);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 0, 0, 0), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0), ERR_PROTOCOL);
}

static void test_hostile_counts(void **state)
{
    (void)state;
    /* topics of Metadata v0: an array of strings in structs */
    assert_int_equal(DECODE(KAFKA_API_METADATA, 0, 0, 0, 0, 1, 0, 1, 'a'), 0);
    assert_int_equal(DECODE(KAFKA_API_METADATA, 0, 0x7f, 0xff, 0xff, 0xff, 0, 1, 'a'), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_METADATA, 0, 0, 0, 0, 2, 0, 1, 'a'), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_METADATA, 0, 0xff, 0xff, 0xff, 0xff), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_METADATA, 1, 0xff, 0xff, 0xff, 0xff), 0);
    assert_int_equal(DECODE(KAFKA_API_METADATA, 1, 0xff, 0xff, 0xff, 0xfe), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_METADATA, 9, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0), ERR_PROTOCOL);
}

/* Everything is there, but it is more than anybody needs. */
static void test_counts_are_capped(void **state)
{
    size_t size = 4 + ((size_t)KAFKA_MAX_COUNT + 1) * 2;
    unsigned char *data = calloc(1, size);

    (void)state;
    store_be32(data, KAFKA_MAX_COUNT + 1);
    assert_int_equal(decode_limited(KAFKA_API_METADATA, 0, data, size, SIZE_MAX), ERR_TOO_LARGE);
    store_be32(data, KAFKA_MAX_COUNT);
    assert_int_equal(decode_limited(KAFKA_API_METADATA, 0, data, size, SIZE_MAX), 0);
    assert_int_equal(decode_limited(KAFKA_API_METADATA, 0, data, size, KAFKA_TEST_ARENA), ERR_TOO_LARGE);
    free(data);
}

static void test_tagged_fields(void **state)
{
    (void)state;
    /* FindCoordinator v3, "a", type 0, then: two unknown fields */
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 2, 'a', 0, 2, 5, 1, 9, 100, 2, 9, 9), 0);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 2, 'a', 0, 2, 5, 1, 9), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 2, 'a', 0, 1, 5, 3, 9), ERR_PROTOCOL);
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 2, 'a', 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
                     ERR_PROTOCOL);
    /* bytes after the message are somebody newer's */
    assert_int_equal(DECODE(KAFKA_API_FIND_COORDINATOR, 3, 2, 'a', 0, 0, 1, 2, 3), 0);
}

/* The cluster id of Fetch v12: tag 0, a nullable string within bytes of its own. */
static int decode_fetch_tag(const unsigned char *tag, size_t size, struct kafka_fetch_request *request)
{
    unsigned char data[64] = {0};
    struct arena arena;

    data[25] = 1; /* 25 fixed bytes, two empty arrays, an empty rack, and how many tags */
    data[26] = 1;
    data[27] = 1;
    data[28] = 1;
    memcpy(data + 29, tag, size);
    arena_init(&arena, KAFKA_TEST_ARENA);
    int rc = kafka_decode(KAFKA_REQUEST, KAFKA_API_FETCH, 12, data, 29 + size, &arena, request);
    arena_close(&arena);
    return rc;
}

static void test_a_tagged_field_stays_within_its_size(void **state)
{
    struct kafka_fetch_request request;

    (void)state;
    assert_int_equal(decode_fetch_tag((const unsigned char[]){0, 3, 3, 'i', 'd'}, 5, &request), 0);
    assert_int_equal(request.cluster_id.size, 2);
    assert_int_equal(decode_fetch_tag((const unsigned char[]){0, 1, 0}, 3, &request), 0);
    assert_true(kafka_string_is_null(request.cluster_id));
    assert_int_equal(decode_fetch_tag((const unsigned char[]){0, 4, 3, 'i', 'd', 7}, 6, &request), 0);
    assert_int_equal(decode_fetch_tag((const unsigned char[]){0, 2, 3, 'i', 'd'}, 5, &request), ERR_PROTOCOL);
    assert_int_equal(decode_fetch_tag((const unsigned char[]){0, 0}, 2, &request), ERR_PROTOCOL);
}

static void test_unknown_keys_and_versions(void **state)
{
    (void)state;
    assert_int_equal(DECODE(4, 0, 0), ERR_UNSUPPORTED_VERSION);
    assert_int_equal(DECODE(KAFKA_API_FETCH, 3, 0), ERR_UNSUPPORTED_VERSION);
    assert_int_equal(DECODE(KAFKA_API_FETCH, 18, 0), ERR_UNSUPPORTED_VERSION);
    assert_int_equal(DECODE(KAFKA_API_FETCH, -1, 0), ERR_UNSUPPORTED_VERSION);
    assert_int_equal(kafka_message_size(KAFKA_REQUEST, 4), 0);
}

/* ---- headers ---- */

static void test_request_headers_come_back(void **state)
{
    struct kafka_request_header sent = {KAFKA_API_METADATA, 8, 77, kafka_string_of("client")}, got;
    struct bytes out;
    size_t size;

    (void)state;
    bytes_init(&out);
    for (sent.api_version = 8; sent.api_version <= 9; sent.api_version++) { /* not flexible, flexible */
        bytes_clear(&out);
        kafka_request_header_encode(&sent, &out);
        assert_int_equal(kafka_request_header_decode(out.data, out.size, &got, &size), 0);
        assert_int_equal(size, out.size);
        assert_int_equal(got.correlation_id, 77);
        assert_true(kafka_string_is(got.client_id, "client"));
        for (size_t cut = 0; cut < out.size; cut++)
            assert_int_equal(kafka_request_header_decode(out.data, cut, &got, &size), ERR_PROTOCOL);
    }
    bytes_close(&out);
}

/* All that can be known of a request from the future: whom to tell that it is not understood. */
static void test_header_of_an_unknown_version(void **state)
{
    static const unsigned char data[] = {0, 18, 0, 99, 0, 0, 0, 5, 0xee};
    struct kafka_request_header got;
    size_t size = 1;

    (void)state;
    assert_int_equal(kafka_request_header_decode(data, sizeof(data), &got, &size), 0);
    assert_int_equal(size, 0);
    assert_int_equal(got.api_key, KAFKA_API_API_VERSIONS);
    assert_int_equal(got.api_version, 99);
    assert_int_equal(got.correlation_id, 5);
}

static void test_response_headers(void **state)
{
    static const struct {
        int16_t key, version;
        size_t size;
    } cases[] = {{KAFKA_API_METADATA, 8, 4}, {KAFKA_API_METADATA, 9, 5}, {KAFKA_API_API_VERSIONS, 3, 4}};
    struct bytes out;

    (void)state;
    bytes_init(&out);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t correlation = 0;
        size_t size;
        bytes_clear(&out);
        kafka_response_header_encode(cases[i].key, cases[i].version, 42, &out);
        assert_int_equal(out.size, cases[i].size);
        assert_int_equal(kafka_response_header_decode(cases[i].key, cases[i].version, out.data, out.size,
                                                      &correlation, &size),
                         0);
        assert_int_equal(size, cases[i].size);
        assert_int_equal(correlation, 42);
        assert_int_equal(kafka_response_header_decode(cases[i].key, cases[i].version, out.data, out.size - 1,
                                                      &correlation, &size),
                         ERR_PROTOCOL);
    }
    bytes_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_sound),
        cmocka_unit_test(test_documentation_names_every_version),
        cmocka_unit_test(test_random_messages_come_back),
        cmocka_unit_test(test_fields_of_other_versions_have_their_defaults),
        cmocka_unit_test(test_text_too_long_for_an_old_version),
        cmocka_unit_test(test_records_stay_out_of_the_way),
        cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test(test_hostile_counts),
        cmocka_unit_test(test_counts_are_capped),
        cmocka_unit_test(test_tagged_fields),
        cmocka_unit_test(test_a_tagged_field_stays_within_its_size),
        cmocka_unit_test(test_unknown_keys_and_versions),
        cmocka_unit_test(test_request_headers_come_back),
        cmocka_unit_test(test_header_of_an_unknown_version),
        cmocka_unit_test(test_response_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
