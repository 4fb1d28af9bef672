/* The values that Kafka messages are made of. Strings and bytes are views: of the request's buffer after
 * decoding, of whatever the sender points to when encoding. They are not zero-terminated and may hold any
 * byte. */
#ifndef PROTO_KAFKA_TYPES_H
#define PROTO_KAFKA_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Sizes and counts: -1 is null. So `for (int32_t i = 0; i < list.count; i++)` is right for null too. */
enum { KAFKA_NULL = -1 };

struct kafka_string {
    const char *data;
    int32_t size; /* bytes */
};

struct kafka_bytes {
    const unsigned char *data;
    int32_t size;
};

/* All zero: none. */
struct kafka_uuid {
    unsigned char bytes[16];
};

static inline struct kafka_string kafka_string_null(void)
{
    return (struct kafka_string){NULL, KAFKA_NULL};
}

/* A view of a zero-terminated text of less than 2 GiB; NULL makes null. */
static inline struct kafka_string kafka_string_of(const char *text)
{
    return text != NULL ? (struct kafka_string){text, (int32_t)strlen(text)} : kafka_string_null();
}

static inline bool kafka_string_is_null(struct kafka_string s)
{
    return s.size < 0;
}

/* Null and empty. */
static inline bool kafka_string_is_empty(struct kafka_string s)
{
    return s.size <= 0;
}

static inline bool kafka_string_equal(struct kafka_string a, struct kafka_string b)
{
    return a.size == b.size && (a.size <= 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
}

/* False for null. */
static inline bool kafka_string_is(struct kafka_string s, const char *text)
{
    return s.size >= 0 && kafka_string_equal(s, kafka_string_of(text));
}

static inline bool kafka_uuid_is_zero(struct kafka_uuid id)
{
    static const struct kafka_uuid zero;
    return memcmp(id.bytes, zero.bytes, sizeof(id.bytes)) == 0;
}

#endif
