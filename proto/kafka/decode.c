#include "proto/error.h"
#include "proto/kafka/tables.h"

struct decoder {
    struct reader in;
    struct arena *arena;
    int16_t version;
    bool flexible;
    int error; /* the first one, or 0 */
};

static void decode_struct(struct decoder *d, const struct kafka_type *type, void *out);

/* After this nothing more is read: all reads find the end. */
static void decoder_fail(struct decoder *d, int error)
{
    if (d->error == 0)
        d->error = error;
    d->in.failed = true;
    d->in.at = d->in.end;
}

uint32_t kafka_reader_uvarint(struct reader *r)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t byte = reader_u8(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            r->failed |= value > UINT32_MAX;
            return (uint32_t)value;
        }
    }
    r->failed = true;
    return 0;
}

/* ---- lengths and counts ---- */

/* -1 is null. `width`: bytes of the length in versions that are not flexible. */
static int64_t decode_length(struct decoder *d, size_t width)
{
    if (d->flexible)
        return (int64_t)kafka_reader_uvarint(&d->in) - 1;
    return width == sizeof(int16_t) ? (int16_t)reader_u16(&d->in) : (int32_t)reader_u32(&d->in);
}

/* A length of at least `unit` bytes per element that are really there. */
static int32_t decode_bounded(struct decoder *d, size_t width, size_t unit, bool nullable)
{
    int64_t length = decode_length(d, width);

    if (length == KAFKA_NULL && nullable && !d->in.failed)
        return KAFKA_NULL;
    if (d->in.failed || length < 0 || (uint64_t)length > reader_left(&d->in) / unit) {
        decoder_fail(d, ERR_PROTOCOL);
        return 0;
    }
    return (int32_t)length;
}

static struct kafka_bytes decode_bytes(struct decoder *d, size_t width, bool nullable)
{
    int32_t size = decode_bounded(d, width, 1, nullable);
    return (struct kafka_bytes){size > 0 ? reader_bytes(&d->in, (size_t)size) : NULL, size};
}

/* ---- values ---- */

static void decode_value(struct decoder *d, enum kafka_kind kind, bool nullable, void *out)
{
    struct kafka_bytes bytes;

    switch (kind) {
    case KAFKA_KIND_BOOL:
        *(bool *)out = reader_u8(&d->in) != 0;
        break;
    case KAFKA_KIND_INT8:
        *(int8_t *)out = (int8_t)reader_u8(&d->in);
        break;
    case KAFKA_KIND_INT16:
        *(int16_t *)out = (int16_t)reader_u16(&d->in);
        break;
    case KAFKA_KIND_INT32:
        *(int32_t *)out = (int32_t)reader_u32(&d->in);
        break;
    case KAFKA_KIND_INT64:
        *(int64_t *)out = (int64_t)reader_u64(&d->in);
        break;
    case KAFKA_KIND_UUID: {
        const unsigned char *id = reader_bytes(&d->in, sizeof(struct kafka_uuid));
        if (id != NULL)
            memcpy(out, id, sizeof(struct kafka_uuid));
        break;
    }
    case KAFKA_KIND_STRING:
        bytes = decode_bytes(d, sizeof(int16_t), nullable);
        *(struct kafka_string *)out = (struct kafka_string){(const char *)bytes.data, bytes.size};
        break;
    default: /* BYTES, RECORDS */
        *(struct kafka_bytes *)out = decode_bytes(d, sizeof(int32_t), nullable);
        break;
    }
}

/* The fewest bytes that a value takes on the wire. */
static size_t value_min_size(enum kafka_kind kind, bool flexible)
{
    switch (kind) {
    case KAFKA_KIND_INT16:
        return 2;
    case KAFKA_KIND_INT32:
        return 4;
    case KAFKA_KIND_INT64:
        return 8;
    case KAFKA_KIND_UUID:
        return sizeof(struct kafka_uuid);
    case KAFKA_KIND_STRING:
        return flexible ? 1 : 2;
    case KAFKA_KIND_BYTES:
    case KAFKA_KIND_RECORDS:
    case KAFKA_KIND_ARRAY:
        return flexible ? 1 : 4;
    default:
        return 1;
    }
}

/* Without the structs within, which a null or an empty array leaves out. */
static size_t struct_min_size(const struct decoder *d, const struct kafka_type *type)
{
    size_t size = d->flexible ? 1 : 0; /* the number of tagged fields */

    for (size_t i = 0; i < type->field_count; i++) {
        const struct kafka_field *f = &type->fields[i];
        if (kafka_field_in_version(f, d->version) && !kafka_field_is_tagged(f))
            size += value_min_size(f->kind, d->flexible);
    }
    return size > 0 ? size : 1;
}

/* ---- arrays and structs ---- */

static void decode_array(struct decoder *d, const struct kafka_field *f, bool nullable, void *out)
{
    size_t element_size = kafka_element_size(f);
    size_t unit = f->of != NULL ? struct_min_size(d, f->of()) : value_min_size(f->element_kind, d->flexible);
    struct kafka_items array = {NULL, decode_bounded(d, sizeof(int32_t), unit, nullable)};

    if (array.count > KAFKA_MAX_COUNT) {
        decoder_fail(d, ERR_TOO_LARGE);
        return;
    }
    if (array.count > 0) {
        array.items = arena_alloc(d->arena, (size_t)array.count * element_size);
        if (array.items == NULL) {
            decoder_fail(d, ERR_TOO_LARGE);
            return;
        }
    }
    for (int32_t i = 0; i < array.count && !d->in.failed; i++) {
        unsigned char *element = (unsigned char *)array.items + (size_t)i * element_size;
        if (f->of != NULL)
            decode_struct(d, f->of(), element);
        else
            decode_value(d, f->element_kind, false, element);
    }
    memcpy(out, &array, sizeof(array));
}

static void decode_optional(struct decoder *d, const struct kafka_field *f, bool nullable, void *out)
{
    void *item = NULL;

    if (!nullable || (int8_t)reader_u8(&d->in) >= 0) {
        item = arena_alloc(d->arena, f->of()->size);
        if (item == NULL) {
            decoder_fail(d, ERR_TOO_LARGE);
            return;
        }
        decode_struct(d, f->of(), item);
    }
    memcpy(out, &item, sizeof(item));
}

static void decode_field(struct decoder *d, const struct kafka_field *f, void *message)
{
    void *out = (unsigned char *)message + f->offset;
    bool nullable = kafka_field_is_nullable(f, d->version);

    if (f->kind == KAFKA_KIND_ARRAY)
        decode_array(d, f, nullable, out);
    else if (f->kind == KAFKA_KIND_OPTIONAL)
        decode_optional(d, f, nullable, out);
    else
        decode_value(d, f->kind, nullable, out);
}

static const struct kafka_field *field_with_tag(const struct kafka_type *type, uint32_t tag, int16_t version)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const struct kafka_field *f = &type->fields[i];
        if (kafka_field_is_tagged(f) && (uint32_t)f->tag == tag && kafka_field_in_version(f, version))
            return f;
    }
    return NULL;
}

static void decode_tagged_field(struct decoder *d, const struct kafka_type *type, void *out)
{
    uint32_t tag = kafka_reader_uvarint(&d->in);
    uint32_t size = kafka_reader_uvarint(&d->in);
    const unsigned char *end = d->in.end;

    if (d->in.failed || size > reader_left(&d->in)) {
        decoder_fail(d, ERR_PROTOCOL);
        return;
    }
    /* Its own bytes are all that the field may take; what it leaves was put there by somebody newer. */
    d->in.end = d->in.at + size;
    const struct kafka_field *f = field_with_tag(type, tag, d->version);
    if (f != NULL)
        decode_field(d, f, out);
    d->in.at = d->in.end;
    if (!d->in.failed)
        d->in.end = end;
}

static void decode_struct(struct decoder *d, const struct kafka_type *type, void *out)
{
    memcpy(out, type->defaults, type->size);
    for (size_t i = 0; i < type->field_count && !d->in.failed; i++) {
        const struct kafka_field *f = &type->fields[i];
        if (kafka_field_in_version(f, d->version) && !kafka_field_is_tagged(f))
            decode_field(d, f, out);
    }
    if (d->flexible)
        for (uint32_t left = kafka_reader_uvarint(&d->in); left > 0 && !d->in.failed; left--)
            decode_tagged_field(d, type, out);
}

int kafka_decode(enum kafka_direction direction, int16_t key, int16_t version, const void *data, size_t size,
                 struct arena *arena, void *out)
{
    const struct kafka_api *api = kafka_api_find(key);
    struct decoder d = {.arena = arena, .version = version};

    if (api == NULL || !kafka_api_has_version(api, version))
        return ERR_UNSUPPORTED_VERSION;
    d.flexible = kafka_api_is_flexible(api, version);
    reader_init(&d.in, data, size);
    decode_struct(&d, kafka_api_type(api, direction), out);
    if (d.in.failed && d.error == 0)
        d.error = ERR_PROTOCOL;
    return d.error;
}
