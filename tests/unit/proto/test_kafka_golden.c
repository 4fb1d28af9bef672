/* Bytes that the Java client's own classes made of every version of every message: each field holds a value
 * made from its name, so that a field that is missing, too much, or changed places with a neighbour of the
 * same kind shows. */
#include "proto/error.h"
#include "tests/unit/proto/helper_cmocka.h"
#include "tests/unit/proto/helper_kafka.h"
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { FILLED_ITEMS = 2 };

/* The schemas' name where ours is another one. */
static const char *schema_name(const struct kafka_type *type, const struct kafka_field *f)
{
    if (strcmp(type->name, "offset_commit_request") == 0 && strcmp(f->name, "generation_id") == 0)
        return "generation_id_or_member_epoch";
    return f->name;
}

static void check_number(const void *value, size_t size, uint64_t expected)
{
    uint64_t got = 0;

    memcpy(&got, value, size);
    assert_int_equal(got, size < sizeof(expected) ? expected & ((UINT64_C(1) << (8 * size)) - 1) : expected);
}

static void check_text(const void *data, int32_t size, const char *name)
{
    assert_int_equal(size, strlen(name));
    assert_memory_equal(data, name, strlen(name));
}

static void check_uuid(const struct kafka_uuid *id, uint64_t number)
{
    assert_int_equal(load_be64(id->bytes), number << 32 | number);
    assert_int_equal(load_be64(id->bytes + 8), number);
}

static void check_value(enum kafka_kind kind, const void *value, const char *name)
{
    static const size_t sizes[] = {
        [KAFKA_KIND_INT8] = 1, [KAFKA_KIND_INT16] = 2, [KAFKA_KIND_INT32] = 4, [KAFKA_KIND_INT64] = 8};
    uint64_t number = crc32(0, (const unsigned char *)name, (unsigned)strlen(name));
    const struct kafka_string *string = value;
    const struct kafka_bytes *bytes = value;

    if (kind == KAFKA_KIND_BOOL)
        assert_int_equal(*(const bool *)value, number & 1);
    else if (kind == KAFKA_KIND_UUID)
        check_uuid(value, number);
    else if (kind == KAFKA_KIND_STRING)
        check_text(string->data, string->size, name);
    else if (kind == KAFKA_KIND_BYTES || kind == KAFKA_KIND_RECORDS)
        check_text(bytes->data, bytes->size, name);
    else
        check_number(value, sizes[kind], number << 32 | number);
}

static void check_filled(const struct kafka_type *type, const void *message, int16_t version);

static void check_field(const struct kafka_field *f, const void *value, int16_t version, const char *name)
{
    if (f->kind == KAFKA_KIND_OPTIONAL) {
        const void *item;
        memcpy(&item, value, sizeof(item));
        assert_non_null(item);
        check_filled(f->of(), item, version);
        return;
    }
    if (f->kind != KAFKA_KIND_ARRAY) {
        check_value(f->kind, value, name);
        return;
    }
    struct kafka_items array = kafka_items_load(value);
    assert_int_equal(array.count, FILLED_ITEMS);
    for (size_t i = 0; i < FILLED_ITEMS; i++) {
        const unsigned char *element = (const unsigned char *)array.items + i * kafka_element_size(f);
        if (f->of != NULL)
            check_filled(f->of(), element, version);
        else
            check_value(f->element_kind, element, name);
    }
}

static void check_filled(const struct kafka_type *type, const void *message, int16_t version)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct kafka_field *f = &type->fields[i];
        const unsigned char *value = (const unsigned char *)message + f->offset;
        if (kafka_field_in_version(f, version))
            check_field(f, value, version, schema_name(type, f));
    }
}

/* A null is there exactly where the table says that it may be. */
static void check_nulls(const struct kafka_type *type, const void *message, int16_t version)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct kafka_field *f = &type->fields[i];
        const unsigned char *value = (const unsigned char *)message + f->offset;
        if (!kafka_field_in_version(f, version) || kafka_field_is_tagged(f) ||
            !kafka_field_is_nullable(f, version))
            continue;
        if (f->kind == KAFKA_KIND_STRING)
            assert_true(((const struct kafka_string *)(const void *)value)->size == KAFKA_NULL);
        else if (f->kind == KAFKA_KIND_ARRAY)
            assert_true(kafka_items_load(value).count == KAFKA_NULL);
    }
}

static void check_golden(const struct golden *g, void *data)
{
    const struct kafka_type *type = kafka_api_type(g->api, g->direction);
    struct arena arena;
    struct bytes again;

    arena_init(&arena, KAFKA_TEST_ARENA);
    bytes_init(&again);
    void *message = arena_alloc(&arena, type->size);
    int rc = kafka_decode(g->direction, g->api->key, g->version, g->data, g->size, &arena, message);
    if (rc == 0)
        rc = kafka_encode(g->direction, g->api->key, g->version, message, &again);
    if (rc != 0 || !bytes_hold(&again, g->data, g->size))
        fail_msg("%s version %d %s: %s, %zu bytes instead of %zu", type->name, g->version,
                 g->filled ? "filled" : "empty", error_name(rc), again.size, g->size);
    if (g->filled)
        check_filled(type, message, g->version);
    else
        check_nulls(type, message, g->version);
    bytes_close(&again);
    arena_close(&arena);
    ++*(size_t *)data;
}

static void test_every_version_of_every_message(void **state)
{
    size_t expected = 0, checked = 0;

    (void)state;
    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        expected += 4 * (size_t)(api->newest_version - api->oldest_version + 1);
    }
    assert_int_equal(golden_each(check_golden, &checked), expected);
    assert_int_equal(checked, expected);
}

/* No message is whole without its last byte. */
static void check_truncated(const struct golden *g, void *data)
{
    const struct kafka_type *type = kafka_api_type(g->api, g->direction);
    unsigned char *copy = malloc(g->size + 1);
    struct arena arena;

    (void)data;
    arena_init(&arena, KAFKA_TEST_ARENA);
    for (size_t size = 0; size < g->size; size++) {
        memcpy(copy, g->data, size);
        void *message = arena_alloc(&arena, type->size);
        int rc = kafka_decode(g->direction, g->api->key, g->version, copy, size, &arena, message);
        if (rc != ERR_PROTOCOL)
            fail_msg("%s version %d cut to %zu of %zu bytes: %s", type->name, g->version, size, g->size,
                     error_name(rc));
        arena_reset(&arena);
    }
    arena_close(&arena);
    free(copy);
}

static void test_truncation_at_every_byte(void **state)
{
    (void)state;
    golden_each(check_truncated, NULL);
}

/* ---- what clients sent ---- */

/* Header and body come back byte for byte: nothing of it was skipped or taken for something else. */
static void check_request(const char *client, const unsigned char *data, size_t size)
{
    struct kafka_request_header header;
    struct arena arena;
    struct bytes again;
    size_t header_size;

    arena_init(&arena, KAFKA_TEST_ARENA);
    bytes_init(&again);
    assert_int_equal(kafka_request_header_decode(data, size, &header, &header_size), 0);
    assert_true(header_size > 0);
    void *message = arena_alloc(&arena, kafka_message_size(KAFKA_REQUEST, header.api_key));
    int rc = kafka_decode(KAFKA_REQUEST, header.api_key, header.api_version, data + header_size,
                          size - header_size, &arena, message);
    kafka_request_header_encode(&header, &again);
    if (rc == 0)
        rc = kafka_encode(KAFKA_REQUEST, header.api_key, header.api_version, message, &again);
    if (rc != 0 || !bytes_hold(&again, data, size))
        fail_msg("%s: %s version %d: %s, %zu bytes instead of %zu", client,
                 kafka_api_find(header.api_key)->name, header.api_version, error_name(rc), again.size, size);
    bytes_close(&again);
    arena_close(&arena);
}

static size_t check_client(const char *client)
{
    unsigned char *content = malloc(GOLDEN_MAX_SIZE);
    size_t count = 0;
    struct reader r;
    char path[512];

    snprintf(path, sizeof(path), "%s/kafka/clients/%s.bin", GOLDEN_DIR, client);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    reader_init(&r, content, fread(content, 1, GOLDEN_MAX_SIZE, file));
    fclose(file);
    for (; reader_left(&r) > 0; count++) {
        size_t size = reader_u32(&r);
        const unsigned char *data = reader_bytes(&r, size);
        assert_non_null(data);
        check_request(client, data, size);
    }
    free(content);
    return count;
}

static void test_requests_of_real_clients(void **state)
{
    (void)state;
    assert_int_equal(check_client("java_4.1.1"), 13);
    assert_int_equal(check_client("kafka_python_3.0.12"), 20);
    assert_int_equal(check_client("kcat_1.7.1"), 10);
    assert_int_equal(check_client("librdkafka_2.16.1"), 23);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_version_of_every_message),
        cmocka_unit_test(test_truncation_at_every_byte),
        cmocka_unit_test(test_requests_of_real_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
