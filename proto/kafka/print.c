#include "proto/kafka/tables.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { MAX_PRINTED_ITEMS = 4, MAX_PRINTED_TEXT = 64, MIN_PRINTABLE = 0x20, MAX_PRINTABLE = 0x7e };

/* What does not fit is cut off. */
struct printer {
    char *out;
    size_t size;
    size_t used; /* without the terminator, which is always there */
    int16_t version;
};

static void print_struct(struct printer *p, const struct kafka_type *type, const void *message);

__attribute__((format(printf, 2, 3))) static void put(struct printer *p, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int n = vsnprintf(p->out + p->used, p->size - p->used, format, arguments);
    va_end(arguments);
    size_t left = p->size - p->used - 1;
    p->used += (size_t)n < left ? (size_t)n : left;
}

/* A log line is one line, whatever a peer calls its topics. */
static void print_string(struct printer *p, struct kafka_string s)
{
    if (kafka_string_is_null(s)) {
        put(p, "null");
        return;
    }
    put(p, "\"");
    for (int32_t i = 0; i < s.size && i < MAX_PRINTED_TEXT; i++) {
        bool plain = s.data[i] >= MIN_PRINTABLE && s.data[i] <= MAX_PRINTABLE && s.data[i] != '"';
        put(p, "%c", plain ? s.data[i] : '?');
    }
    put(p, s.size > MAX_PRINTED_TEXT ? "...\"" : "\"");
}

static void print_bytes(struct printer *p, struct kafka_bytes b)
{
    if (b.size < 0)
        put(p, "null");
    else
        put(p, "<%" PRId32 " bytes>", b.size);
}

static void print_uuid(struct printer *p, const struct kafka_uuid *id)
{
    for (size_t i = 0; i < sizeof(id->bytes); i++)
        put(p, "%02x", id->bytes[i]);
}

static void print_value(struct printer *p, enum kafka_kind kind, const void *value)
{
    switch (kind) {
    case KAFKA_KIND_BOOL:
        put(p, *(const bool *)value ? "true" : "false");
        break;
    case KAFKA_KIND_INT8:
        put(p, "%d", *(const int8_t *)value);
        break;
    case KAFKA_KIND_INT16:
        put(p, "%d", *(const int16_t *)value);
        break;
    case KAFKA_KIND_INT32:
        put(p, "%" PRId32, *(const int32_t *)value);
        break;
    case KAFKA_KIND_INT64:
        put(p, "%" PRId64, *(const int64_t *)value);
        break;
    case KAFKA_KIND_UUID:
        print_uuid(p, value);
        break;
    case KAFKA_KIND_STRING:
        print_string(p, *(const struct kafka_string *)value);
        break;
    default:
        print_bytes(p, *(const struct kafka_bytes *)value);
        break;
    }
}

static void print_array(struct printer *p, const struct kafka_field *f, const void *value)
{
    struct kafka_items array = kafka_items_load(value);
    size_t element_size = kafka_element_size(f);

    if (array.count < 0) {
        put(p, "null");
        return;
    }
    put(p, "[");
    for (int32_t i = 0; i < array.count && i < MAX_PRINTED_ITEMS; i++) {
        const unsigned char *element = (const unsigned char *)array.items + (size_t)i * element_size;
        put(p, i > 0 ? " " : "");
        if (f->of != NULL)
            print_struct(p, f->of(), element);
        else
            print_value(p, f->element_kind, element);
    }
    if (array.count > MAX_PRINTED_ITEMS)
        put(p, " ..%" PRId32, array.count);
    put(p, "]");
}

static void print_field(struct printer *p, const struct kafka_field *f, const void *value)
{
    put(p, "%s=", f->name);
    if (f->kind == KAFKA_KIND_ARRAY) {
        print_array(p, f, value);
    } else if (f->kind == KAFKA_KIND_OPTIONAL) {
        const void *item;
        memcpy(&item, value, sizeof(item));
        if (item != NULL)
            print_struct(p, f->of(), item);
        else
            put(p, "null");
    } else {
        print_value(p, f->kind, value);
    }
}

static void print_fields(struct printer *p, const struct kafka_type *type, const void *message)
{
    const char *separator = "";

    for (size_t i = 0; i < type->field_count && p->used < p->size - 1; i++) {
        const struct kafka_field *f = &type->fields[i];
        if (!kafka_field_in_version(f, p->version))
            continue;
        put(p, "%s", separator);
        print_field(p, f, (const unsigned char *)message + f->offset);
        separator = " ";
    }
}

static void print_struct(struct printer *p, const struct kafka_type *type, const void *message)
{
    put(p, "{");
    print_fields(p, type, message);
    put(p, "}");
}

const char *kafka_print(enum kafka_direction direction, int16_t key, int16_t version, const void *message,
                        char *out, size_t size)
{
    const struct kafka_api *api = kafka_api_find(key);
    struct printer p = {out, size, 0, version};

    out[0] = '\0';
    if (api != NULL)
        print_fields(&p, kafka_api_type(api, direction), message);
    return out;
}
