/* A growable byte buffer to encode into, and a bounded reader to decode from. No I/O, no reference counts: for those
 * see node/base/buf.h. Growth aborts on out-of-memory; callers bound what they put in. */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
void bytes_put_u8(struct bytes *b, uint8_t value);
/* Big-endian, as in the record batch; the native frame is little-endian and encodes itself. */
void bytes_put_u16(struct bytes *b, uint16_t value);
void bytes_put_u32(struct bytes *b, uint32_t value);
void bytes_put_u64(struct bytes *b, uint64_t value);
/* Zig-zag base-128 varints (Protocol Buffers' sint32 / sint64, used by Kafka records). */
void bytes_put_varint(struct bytes *b, int64_t value);
size_t varint_size(int64_t value);

/* A reader never passes its end: once a read does not fit, `failed` is set and all later reads return 0 / NULL. */
struct reader {
    const unsigned char *at;
    const unsigned char *end;
    bool failed;
};

void reader_init(struct reader *r, const void *data, size_t size);
size_t reader_left(const struct reader *r);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
int64_t reader_varint(struct reader *r);
const unsigned char *reader_bytes(struct reader *r, size_t size);

/* Unaligned big-endian and little-endian access. */
uint16_t load_be16(const void *p);
uint32_t load_be32(const void *p);
uint64_t load_be64(const void *p);
void store_be16(void *p, uint16_t value);
void store_be32(void *p, uint32_t value);
void store_be64(void *p, uint64_t value);
uint16_t load_le16(const void *p);
uint32_t load_le32(const void *p);
uint64_t load_le64(const void *p);
void store_le16(void *p, uint16_t value);
void store_le32(void *p, uint32_t value);
void store_le64(void *p, uint64_t value);

#endif
