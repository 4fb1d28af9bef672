/* Private to proto/kafka: the field tables that messages.def yields. */
#ifndef PROTO_KAFKA_TABLES_H
#define PROTO_KAFKA_TABLES_H

#include "proto/kafka/apis.h"
#include "proto/kafka/codec.h"

enum kafka_kind {
    KAFKA_KIND_BOOL,
    KAFKA_KIND_INT8,
    KAFKA_KIND_INT16,
    KAFKA_KIND_INT32,
    KAFKA_KIND_INT64,
    KAFKA_KIND_UUID,
    KAFKA_KIND_STRING,
    KAFKA_KIND_BYTES,
    KAFKA_KIND_RECORDS, /* bytes, in a place of their own so that a tool may look inside */
    KAFKA_KIND_STRUCT,
    KAFKA_KIND_OPTIONAL, /* a pointer to a struct */
    KAFKA_KIND_ARRAY,    /* of structs or of values, see kafka_items */
};

struct kafka_field {
    const char *name;
    const struct kafka_type *(*of)(void); /* the struct's type; NULL for values */
    uint16_t offset;                      /* of the member */
    uint8_t kind;
    uint8_t element_kind; /* of an array: STRUCT, or the kind of its values */
    int8_t since;
    int8_t until;
    int8_t nullable_since;
    int8_t tag; /* -1: none */
};

struct kafka_type {
    const char *name;
    const struct kafka_field *fields;
    size_t field_count;
    size_t size;
    const void *defaults;
};

/* The members of kind ARRAY all have this layout, with a pointer of another type; so they are copied out and
 * in. */
struct kafka_items {
    void *items;
    int32_t count;
};

static inline struct kafka_items kafka_items_load(const void *member)
{
    struct kafka_items array;
    memcpy(&array, member, sizeof(array));
    return array;
}

static inline bool kafka_field_in_version(const struct kafka_field *f, int16_t version)
{
    return version >= f->since && version <= f->until;
}
static inline bool kafka_field_is_nullable(const struct kafka_field *f, int16_t version)
{
    return version >= f->nullable_since;
}
static inline bool kafka_field_is_tagged(const struct kafka_field *f)
{
    return f->tag >= 0;
}

/* In memory. */
size_t kafka_element_size(const struct kafka_field *f);
/* NULL if the key is unknown. */
const struct kafka_type *kafka_api_type(const struct kafka_api *api, enum kafka_direction direction);

#endif
