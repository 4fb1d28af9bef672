/* One C struct per Kafka message, made from the table in messages.def; what is in it is read there. For
 * example
 *
 *     struct kafka_metadata_request {
 *         struct { struct kafka_metadata_request_topic *items; int32_t count; } topics;      count -1: null
 *         bool allow_auto_topic_creation;
 *         ...
 *     };
 *
 * A message covers all versions of its API: a field that a version does not have holds its default after
 * decoding and is left out when encoding. OPTIONAL members are pointers, NULL when absent.
 *
 * A message to send starts from its defaults, because an epoch or an offset that is not known is -1 and not
 * 0:
 *
 *     struct kafka_metadata_response response = kafka_metadata_response_default;
 *     response.topics.items = KAFKA_NEW(arena, metadata_response_topic, n);      n elements with their
 * defaults response.topics.count = n; */
#ifndef PROTO_KAFKA_MESSAGES_H
#define PROTO_KAFKA_MESSAGES_H

#include "proto/arena.h"
#include "proto/kafka/types.h"

struct kafka_type; /* how a message is laid out, in memory and on the wire: private to the codec */

#define KAFKA_MEMBER_BOOL    bool
#define KAFKA_MEMBER_INT8    int8_t
#define KAFKA_MEMBER_INT16   int16_t
#define KAFKA_MEMBER_INT32   int32_t
#define KAFKA_MEMBER_INT64   int64_t
#define KAFKA_MEMBER_UUID    struct kafka_uuid
#define KAFKA_MEMBER_STRING  struct kafka_string
#define KAFKA_MEMBER_BYTES   struct kafka_bytes
#define KAFKA_MEMBER_RECORDS struct kafka_bytes
#define KAFKA_MEMBER_LIST(kind)                                                                              \
    struct {                                                                                                 \
        KAFKA_MEMBER_##kind *items;                                                                          \
        int32_t count;                                                                                       \
    }
#define KAFKA_MEMBER_ARRAY(of)                                                                               \
    struct {                                                                                                 \
        struct kafka_##of *items;                                                                            \
        int32_t count;                                                                                       \
    }
#define KAFKA_MEMBER_OPTIONAL(of) struct kafka_##of *

#define STRUCT(name)                                                    struct kafka_##name {
#define FIELD(kind, member, since, until, nullable, tag, default_value) KAFKA_MEMBER_##kind member;
#define END(name)                                                                                            \
    }                                                                                                        \
    ;                                                                                                        \
    extern const struct kafka_##name kafka_##name##_default;                                                 \
    const struct kafka_type *kafka_##name##_type(void);
#include "proto/kafka/messages.def"

/* `count` elements of `type` in the arena, each with its defaults. NULL when they do not fit into it; not
 * NULL for none. */
void *kafka_new(const struct kafka_type *type, size_t count, struct arena *arena);
#define KAFKA_NEW(arena, name, count) ((struct kafka_##name *)kafka_new(kafka_##name##_type(), count, arena))

#endif
