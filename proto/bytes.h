/* A growable byte buffer to encode into, and a bounded reader to decode from. No I/O, no reference counts:
 * for those see node/base/buf.h. Growth aborts on out-of-memory; callers bound what they put in. */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { VARINT_MAX_SIZE = 10 };

struct bytes {
    unsigned char *data;
    size_t size;
    size_t capacity;
};

void bytes_init(struct bytes *b);
void bytes_close(struct bytes *b);
void bytes_clear(struct bytes *b); /* keeps the memory */
/* Makes room for `size` more bytes and returns where they go; `b->size` grows by `size`. */
unsigned char *bytes_extend(struct bytes *b, size_t size);
void bytes_reserve(struct bytes *b, size_t size);
void bytes_append(struct bytes *b, const void *data, size_t size);
/* Big-endian, as in the record batch; the native frame is little-endian and encodes itself. */
void bytes_put_u8(struct bytes *b, uint8_t value);
void bytes_put_u16(struct bytes *b, uint16_t value);
void bytes_put_u32(struct bytes *b, uint32_t value);
void bytes_put_u64(struct bytes *b, uint64_t value);
static inline uint64_t zigzag_encode(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}
static inline size_t varint_size(int64_t value)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(zigzag_encode(value) | 1);
    return (bits + 6) / 7;
}
/* Writes at most VARINT_MAX_SIZE bytes and returns where the next byte goes. */
static inline unsigned char *varint_store(unsigned char *out, int64_t value)
{
    uint64_t rest = zigzag_encode(value);
    while (rest >= 0x80) {
        *out++ = (unsigned char)(rest | 0x80);
        rest >>= 7;
    }
    *out++ = (unsigned char)rest;
    return out;
}

/* Unaligned big-endian and little-endian access. */
#define BYTES_DEFINE_ACCESS(bits)                                                                            \
    static inline uint##bits##_t load_be##bits(const void *p)                                                \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        memcpy(&value, p, sizeof(value));                                                                    \
        return be##bits##toh(value);                                                                         \
    }                                                                                                        \
    static inline uint##bits##_t load_le##bits(const void *p)                                                \
    {                                                                                                        \
        uint##bits##_t value;                                                                                \
        memcpy(&value, p, sizeof(value));                                                                    \
        return le##bits##toh(value);                                                                         \
    }                                                                                                        \
    static inline void store_be##bits(void *p, uint##bits##_t value)                                         \
    {                                                                                                        \
        value = htobe##bits(value);                                                                          \
        memcpy(p, &value, sizeof(value));                                                                    \
    }                                                                                                        \
    static inline void store_le##bits(void *p, uint##bits##_t value)                                         \
    {                                                                                                        \
        value = htole##bits(value);                                                                          \
        memcpy(p, &value, sizeof(value));                                                                    \
    }
BYTES_DEFINE_ACCESS(16)
BYTES_DEFINE_ACCESS(32)
BYTES_DEFINE_ACCESS(64)
#undef BYTES_DEFINE_ACCESS

/* A reader never passes its end: once a read does not fit, `failed` is set and all later reads return 0 /
 * NULL. Inline, because walking a batch is nothing but calls of these. */
struct reader {
    const unsigned char *at;
    const unsigned char *end;
    bool failed;
};

static inline void reader_init(struct reader *r, const void *data, size_t size)
{
    r->at = (const unsigned char *)data;
    r->end = size > 0 ? r->at + size : r->at; /* to NULL not even 0 may be added */
    r->failed = false;
}
static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}
/* The next `size` bytes, which stay where they are; NULL when fewer are left. */
static inline const unsigned char *reader_bytes(struct reader *r, size_t size)
{
    const unsigned char *at = r->at;
    if (size > reader_left(r)) {
        r->failed = true;
        r->at = r->end;
        return NULL;
    }
    r->at += size;
    return at;
}
static inline uint8_t reader_u8(struct reader *r)
{
    const unsigned char *p = reader_bytes(r, 1);
    return p != NULL ? *p : 0;
}
static inline uint16_t reader_u16(struct reader *r)
{
    const unsigned char *p = reader_bytes(r, 2);
    return p != NULL ? load_be16(p) : 0;
}
static inline uint32_t reader_u32(struct reader *r)
{
    const unsigned char *p = reader_bytes(r, 4);
    return p != NULL ? load_be32(p) : 0;
}
static inline uint64_t reader_u64(struct reader *r)
{
    const unsigned char *p = reader_bytes(r, 8);
    return p != NULL ? load_be64(p) : 0;
}
static inline int64_t zigzag_decode(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}
int64_t reader_varint_long(struct reader *r); /* private: the general case */
static inline int64_t reader_varint(struct reader *r)
{
    const unsigned char *p = r->at;
    if (__builtin_expect(r->end - p >= 2, 1)) {
        if (p[0] < 0x80) {
            r->at = p + 1;
            return zigzag_decode(p[0]);
        }
        if (p[1] < 0x80) {
            r->at = p + 2;
            return zigzag_decode((p[0] & 0x7fu) | (unsigned)p[1] << 7);
        }
    }
    return reader_varint_long(r);
}

#endif
