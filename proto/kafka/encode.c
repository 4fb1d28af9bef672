#include "proto/error.h"
#include "proto/kafka/tables.h"

struct encoder {
    struct bytes *out;
    kafka_gap_cb gap; /* or NULL */
    void *gap_data;
    int16_t version;
    bool flexible;
    int error; /* the first one, or 0 */
};

static void encode_struct(struct encoder *e, const struct kafka_type *type, const void *message);

size_t kafka_uvarint_size(uint32_t value)
{
    size_t size = 1;

    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static unsigned char *uvarint_store(unsigned char *out, uint32_t value)
{
    for (; value >= 0x80; value >>= 7)
        *out++ = (unsigned char)(value | 0x80);
    *out++ = (unsigned char)value;
    return out;
}

void kafka_put_uvarint(struct bytes *out, uint32_t value)
{
    uvarint_store(bytes_extend(out, kafka_uvarint_size(value)), value);
}

/* ---- values ---- */

/* `width`: bytes of the length in versions that are not flexible. */
static void encode_length(struct encoder *e, int32_t length, size_t width, bool nullable)
{
    if (length < 0)
        length = nullable ? KAFKA_NULL : 0;
    if (e->flexible)
        kafka_put_uvarint(e->out, (uint32_t)length + 1);
    else if (width == sizeof(int32_t))
        bytes_put_u32(e->out, (uint32_t)length);
    else if (length <= INT16_MAX)
        bytes_put_u16(e->out, (uint16_t)length);
    else
        e->error = ERR_TOO_LARGE;
}

static void encode_string(struct encoder *e, struct kafka_string s, bool nullable)
{
    encode_length(e, s.size, sizeof(int16_t), nullable);
    if (s.size > 0)
        bytes_append(e->out, s.data, (size_t)s.size);
}

static void encode_bytes(struct encoder *e, struct kafka_bytes b, bool nullable)
{
    encode_length(e, b.size, sizeof(int32_t), nullable);
    if (b.size > 0)
        bytes_append(e->out, b.data, (size_t)b.size);
}

static void encode_records(struct encoder *e, struct kafka_bytes records, bool nullable)
{
    if (e->gap == NULL) {
        encode_bytes(e, records, nullable);
        return;
    }
    encode_length(e, records.size, sizeof(int32_t), nullable);
    if (records.size > 0)
        e->gap(e->gap_data, e->out->size, records);
}

static void encode_value(struct encoder *e, enum kafka_kind kind, bool nullable, const void *value)
{
    switch (kind) {
    case KAFKA_KIND_BOOL:
        bytes_put_u8(e->out, *(const bool *)value);
        break;
    case KAFKA_KIND_INT8:
        bytes_put_u8(e->out, *(const uint8_t *)value);
        break;
    case KAFKA_KIND_INT16:
        bytes_put_u16(e->out, *(const uint16_t *)value);
        break;
    case KAFKA_KIND_INT32:
        bytes_put_u32(e->out, *(const uint32_t *)value);
        break;
    case KAFKA_KIND_INT64:
        bytes_put_u64(e->out, *(const uint64_t *)value);
        break;
    case KAFKA_KIND_UUID:
        bytes_append(e->out, value, sizeof(struct kafka_uuid));
        break;
    case KAFKA_KIND_STRING:
        encode_string(e, *(const struct kafka_string *)value, nullable);
        break;
    case KAFKA_KIND_RECORDS:
        encode_records(e, *(const struct kafka_bytes *)value, nullable);
        break;
    default:
        encode_bytes(e, *(const struct kafka_bytes *)value, nullable);
        break;
    }
}

/* ---- arrays and structs ---- */

static void encode_array(struct encoder *e, const struct kafka_field *f, bool nullable, const void *value)
{
    struct kafka_items array = kafka_items_load(value);
    size_t element_size = kafka_element_size(f);

    encode_length(e, array.count, sizeof(int32_t), nullable);
    for (int32_t i = 0; i < array.count; i++) {
        const unsigned char *element = (const unsigned char *)array.items + (size_t)i * element_size;
        if (f->of != NULL)
            encode_struct(e, f->of(), element);
        else
            encode_value(e, f->element_kind, false, element);
    }
}

static const void *optional_load(const void *member)
{
    const void *item;
    memcpy(&item, member, sizeof(item));
    return item;
}

static void encode_optional(struct encoder *e, const struct kafka_field *f, bool nullable, const void *value)
{
    const void *item = optional_load(value);

    if (nullable)
        bytes_put_u8(e->out, item != NULL ? 1 : (uint8_t)KAFKA_NULL);
    if (item != NULL)
        encode_struct(e, f->of(), item);
}

static void encode_field(struct encoder *e, const struct kafka_field *f, const void *message)
{
    const void *value = (const unsigned char *)message + f->offset;
    bool nullable = kafka_field_is_nullable(f, e->version);

    if (f->kind == KAFKA_KIND_ARRAY)
        encode_array(e, f, nullable, value);
    else if (f->kind == KAFKA_KIND_OPTIONAL)
        encode_optional(e, f, nullable, value);
    else
        encode_value(e, f->kind, nullable, value);
}

/* ---- tagged fields: only those that are not at their default are sent ---- */

static int32_t length_of(enum kafka_kind kind, const void *value)
{
    if (kind == KAFKA_KIND_STRING)
        return ((const struct kafka_string *)value)->size;
    if (kind == KAFKA_KIND_ARRAY)
        return kafka_items_load(value).count;
    return ((const struct kafka_bytes *)value)->size;
}

static bool field_is_default(const struct kafka_type *type, const struct kafka_field *f, const void *message)
{
    const void *value = (const unsigned char *)message + f->offset;
    const void *wanted = (const unsigned char *)type->defaults + f->offset;

    switch (f->kind) {
    case KAFKA_KIND_BOOL:
    case KAFKA_KIND_INT8:
        return memcmp(value, wanted, 1) == 0;
    case KAFKA_KIND_INT16:
        return memcmp(value, wanted, sizeof(int16_t)) == 0;
    case KAFKA_KIND_INT32:
        return memcmp(value, wanted, sizeof(int32_t)) == 0;
    case KAFKA_KIND_INT64:
        return memcmp(value, wanted, sizeof(int64_t)) == 0;
    case KAFKA_KIND_UUID:
        return memcmp(value, wanted, sizeof(struct kafka_uuid)) == 0;
    case KAFKA_KIND_OPTIONAL:
        return optional_load(value) == NULL;
    default: /* by default these are null or empty */
        return length_of(f->kind, value) == length_of(f->kind, wanted);
    }
}

static bool tagged_field_is_sent(const struct encoder *e, const struct kafka_type *type,
                                 const struct kafka_field *f, const void *message)
{
    return kafka_field_is_tagged(f) && kafka_field_in_version(f, e->version) &&
           !field_is_default(type, f, message);
}

/* The size stands before the content and is known only after it: the content moves up to let it in. */
static void encode_tagged_field(struct encoder *e, const struct kafka_field *f, const void *message)
{
    kafka_put_uvarint(e->out, (uint32_t)f->tag);
    size_t from = e->out->size;
    encode_field(e, f, message);
    size_t size = e->out->size - from;
    size_t shift = kafka_uvarint_size((uint32_t)size);
    bytes_extend(e->out, shift);
    unsigned char *at = e->out->data + from;
    memmove(at + shift, at, size);
    uvarint_store(at, (uint32_t)size);
}

static void encode_tagged_fields(struct encoder *e, const struct kafka_type *type, const void *message)
{
    uint32_t count = 0;

    for (size_t i = 0; i < type->field_count; i++)
        count += tagged_field_is_sent(e, type, &type->fields[i], message);
    kafka_put_uvarint(e->out, count);
    for (size_t i = 0; i < type->field_count && count > 0; i++)
        if (tagged_field_is_sent(e, type, &type->fields[i], message))
            encode_tagged_field(e, &type->fields[i], message);
}

static void encode_struct(struct encoder *e, const struct kafka_type *type, const void *message)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct kafka_field *f = &type->fields[i];
        if (kafka_field_in_version(f, e->version) && !kafka_field_is_tagged(f))
            encode_field(e, f, message);
    }
    if (e->flexible)
        encode_tagged_fields(e, type, message);
}

int kafka_encode_with_gaps(enum kafka_direction direction, int16_t key, int16_t version, const void *message,
                           struct bytes *out, kafka_gap_cb gap, void *data)
{
    const struct kafka_api *api = kafka_api_find(key);
    struct encoder e = {.out = out, .gap = gap, .gap_data = data, .version = version};

    if (api == NULL || !kafka_api_has_version(api, version))
        return ERR_UNSUPPORTED_VERSION;
    e.flexible = kafka_api_is_flexible(api, version);
    encode_struct(&e, kafka_api_type(api, direction), message);
    return e.error;
}

int kafka_encode(enum kafka_direction direction, int16_t key, int16_t version, const void *message,
                 struct bytes *out)
{
    return kafka_encode_with_gaps(direction, key, version, message, out, NULL, NULL);
}
