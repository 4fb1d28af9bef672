#include "tests/unit/proto/helper_kafka.h"
#include "node/base/assert.h"
#include "tests/unit/proto/helper_random.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- golden files ---- */

static struct golden golden_read(struct reader *r, const struct kafka_api *api)
{
    struct golden g = {.api = api};

    g.direction = reader_u8(r) == 0 ? KAFKA_REQUEST : KAFKA_RESPONSE;
    g.version = (int16_t)reader_u16(r);
    g.filled = reader_u8(r) != 0;
    g.size = reader_u32(r);
    g.data = reader_bytes(r, g.size);
    ASSERT(!r->failed);
    return g;
}

static size_t golden_each_of(const struct kafka_api *api, void (*check)(const struct golden *g, void *data),
                             void *data)
{
    unsigned char *content = malloc(GOLDEN_MAX_SIZE);
    size_t count = 0;
    struct reader r;
    char path[512];

    snprintf(path, sizeof(path), "%s/kafka/%d.bin", GOLDEN_DIR, api->key);
    FILE *file = fopen(path, "rb");
    ASSERT(file != NULL && content != NULL);
    reader_init(&r, content, fread(content, 1, GOLDEN_MAX_SIZE, file));
    fclose(file);
    for (; reader_left(&r) > 0; count++) {
        struct golden g = golden_read(&r, api);
        check(&g, data);
    }
    free(content);
    return count;
}

size_t golden_each(void (*check)(const struct golden *g, void *data), void *data)
{
    size_t count = 0;

    for (size_t i = 0; i < kafka_api_count(); i++)
        count += golden_each_of(kafka_api_at(i), check, data);
    return count;
}

bool bytes_hold(const struct bytes *b, const void *data, size_t size)
{
    return b->size == size && (size == 0 || memcmp(b->data, data, size) == 0);
}

/* ---- random messages ---- */

static void random_struct(struct prng *p, const struct kafka_type *type, int16_t version, struct arena *arena,
                          void *out);

static int32_t random_size(struct prng *p, bool nullable)
{
    uint64_t roll = prng_below(p, 16);

    if (roll == 0 && nullable)
        return KAFKA_NULL;
    return roll < 3 ? 0 : (int32_t)prng_below(p, roll == 15 ? 400 : 20);
}

static struct kafka_bytes random_bytes(struct prng *p, bool nullable, struct arena *arena)
{
    int32_t size = random_size(p, nullable);
    unsigned char *data = arena_alloc(arena, size > 0 ? (size_t)size : 0);

    ASSERT(data != NULL);
    if (size > 0)
        random_fill(p, data, (size_t)size);
    return (struct kafka_bytes){data, size};
}

static void random_value(struct prng *p, const struct kafka_field *f, enum kafka_kind kind, bool nullable,
                         struct arena *arena, void *out)
{
    if (kind == KAFKA_KIND_BOOL) {
        *(bool *)out = prng_below(p, 2) != 0;
    } else if (kind == KAFKA_KIND_STRING) {
        struct kafka_bytes text = random_bytes(p, nullable, arena);
        *(struct kafka_string *)out = (struct kafka_string){(const char *)text.data, text.size};
    } else if (kind == KAFKA_KIND_BYTES || kind == KAFKA_KIND_RECORDS) {
        *(struct kafka_bytes *)out = random_bytes(p, nullable, arena);
    } else {
        static const size_t sizes[] = {[KAFKA_KIND_INT8] = 1,
                                       [KAFKA_KIND_INT16] = 2,
                                       [KAFKA_KIND_INT32] = 4,
                                       [KAFKA_KIND_INT64] = 8,
                                       [KAFKA_KIND_UUID] = 16};
        ASSERT(kind < sizeof(sizes) / sizeof(sizes[0]) && f->name != NULL);
        random_fill(p, out, sizes[kind]);
    }
}

static void random_array(struct prng *p, const struct kafka_field *f, int16_t version, struct arena *arena,
                         void *out)
{
    bool nullable = kafka_field_is_nullable(f, version);
    int32_t count = nullable && prng_below(p, 8) == 0 ? KAFKA_NULL : (int32_t)prng_below(p, 5);
    size_t element_size = kafka_element_size(f);
    struct kafka_items array = {arena_alloc(arena, count > 0 ? (size_t)count * element_size : 0), count};

    ASSERT(array.items != NULL);
    for (int32_t i = 0; i < count; i++) {
        unsigned char *element = (unsigned char *)array.items + (size_t)i * element_size;
        if (f->of != NULL)
            random_struct(p, f->of(), version, arena, element);
        else
            random_value(p, f, f->element_kind, false, arena, element);
    }
    memcpy(out, &array, sizeof(array));
}

static void random_field(struct prng *p, const struct kafka_field *f, int16_t version, struct arena *arena,
                         void *out)
{
    if (f->kind == KAFKA_KIND_ARRAY) {
        random_array(p, f, version, arena, out);
    } else if (f->kind == KAFKA_KIND_OPTIONAL) {
        void *item = prng_below(p, 2) == 0 ? NULL : kafka_random(p, f->of(), version, arena);
        memcpy(out, &item, sizeof(item));
    } else {
        random_value(p, f, f->kind, kafka_field_is_nullable(f, version), arena, out);
    }
}

static void random_struct(struct prng *p, const struct kafka_type *type, int16_t version, struct arena *arena,
                          void *out)
{
    memcpy(out, type->defaults, type->size);
    for (size_t i = 0; i < type->field_count; i++)
        if (kafka_field_in_version(&type->fields[i], version))
            random_field(p, &type->fields[i], version, arena, (unsigned char *)out + type->fields[i].offset);
}

void *kafka_random(struct prng *p, const struct kafka_type *type, int16_t version, struct arena *arena)
{
    void *message = kafka_new(type, 1, arena);

    ASSERT(message != NULL);
    random_struct(p, type, version, arena, message);
    return message;
}
