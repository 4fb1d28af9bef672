#include "proto/kafka/tables.h"

/* The words that messages.def uses in its columns. */
enum { LAST = INT8_MAX, NEVER = KAFKA_NEVER, NO_TAG = -1 };
#define EMPTY                                                                                                \
    {                                                                                                        \
        NULL, 0                                                                                              \
    }
#define NIL                                                                                                  \
    {                                                                                                        \
        NULL, KAFKA_NULL                                                                                     \
    }
#define ABSENT NULL
#define ZERO                                                                                                 \
    {                                                                                                        \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }

#define STRUCT(name)                                                    const struct kafka_##name kafka_##name##_default = {
#define FIELD(kind, member, since, until, nullable, tag, default_value) .member = default_value,
#define END(name)                                                                                            \
    }                                                                                                        \
    ;
#include "proto/kafka/messages.def"

#define KIND_BOOL         NULL, KAFKA_KIND_BOOL, 0
#define KIND_INT8         NULL, KAFKA_KIND_INT8, 0
#define KIND_INT16        NULL, KAFKA_KIND_INT16, 0
#define KIND_INT32        NULL, KAFKA_KIND_INT32, 0
#define KIND_INT64        NULL, KAFKA_KIND_INT64, 0
#define KIND_UUID         NULL, KAFKA_KIND_UUID, 0
#define KIND_STRING       NULL, KAFKA_KIND_STRING, 0
#define KIND_BYTES        NULL, KAFKA_KIND_BYTES, 0
#define KIND_RECORDS      NULL, KAFKA_KIND_RECORDS, 0
#define KIND_LIST(kind)   NULL, KAFKA_KIND_ARRAY, KAFKA_KIND_##kind
#define KIND_ARRAY(of)    kafka_##of##_type, KAFKA_KIND_ARRAY, KAFKA_KIND_STRUCT
#define KIND_OPTIONAL(of) kafka_##of##_type, KAFKA_KIND_OPTIONAL, KAFKA_KIND_STRUCT

/* A function per struct, because only inside of one can a field's row say `self` for the struct it stands in.
 */
#define STRUCT(name)                                                                                         \
    const struct kafka_type *kafka_##name##_type(void)                                                       \
    {                                                                                                        \
        typedef struct kafka_##name self;                                                                    \
        static const struct kafka_field fields[] = {
#define FIELD(kind, member, since, until, nullable, tag, default_value)                                      \
    FIELD_ROW(#member, offsetof(self, member), since, until, nullable, tag, KIND_##kind)
#define FIELD_ROW(name, offset, since, until, nullable, tag, kinds)                                          \
    FIELD_INIT(name, offset, since, until, nullable, tag, kinds)
#define FIELD_INIT(name, offset, since, until, nullable, tag, of, kind, element)                             \
    {name, of, offset, kind, element, since, until, nullable, tag},
#define END(type_name)                                                                                       \
    }                                                                                                        \
    ;                                                                                                        \
    static const struct kafka_type type = {#type_name, fields, sizeof(fields) / sizeof(fields[0]),           \
                                           sizeof(self), &kafka_##type_name##_default};                      \
    return &type;                                                                                            \
    }
#include "proto/kafka/messages.def"

size_t kafka_element_size(const struct kafka_field *f)
{
    static const size_t sizes[] = {
        [KAFKA_KIND_BOOL] = sizeof(bool),
        [KAFKA_KIND_INT8] = sizeof(int8_t),
        [KAFKA_KIND_INT16] = sizeof(int16_t),
        [KAFKA_KIND_INT32] = sizeof(int32_t),
        [KAFKA_KIND_INT64] = sizeof(int64_t),
        [KAFKA_KIND_UUID] = sizeof(struct kafka_uuid),
        [KAFKA_KIND_STRING] = sizeof(struct kafka_string),
        [KAFKA_KIND_BYTES] = sizeof(struct kafka_bytes),
        [KAFKA_KIND_RECORDS] = sizeof(struct kafka_bytes),
    };
    return f->of != NULL ? f->of()->size : sizes[f->element_kind];
}

void *kafka_new(const struct kafka_type *type, size_t count, struct arena *arena)
{
    unsigned char *items = count <= KAFKA_MAX_COUNT ? arena_alloc(arena, count * type->size) : NULL;

    for (size_t i = 0; items != NULL && i < count; i++)
        memcpy(items + i * type->size, type->defaults, type->size);
    return items;
}
