#include "proto/bytes.h"
#include <stdlib.h>

enum { FIRST_CAPACITY = 64 };

void bytes_init(struct bytes *b)
{
    *b = (struct bytes){NULL, 0, 0};
}

void bytes_close(struct bytes *b)
{
    free(b->data);
    bytes_init(b);
}

void bytes_clear(struct bytes *b)
{
    b->size = 0;
}

static void bytes_grow(struct bytes *b, size_t needed)
{
    size_t capacity = b->capacity != 0 ? b->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity = capacity <= SIZE_MAX / 2 ? capacity * 2 : needed;
    unsigned char *data = realloc(b->data, capacity);
    if (data == NULL)
        abort();
    b->data = data;
    b->capacity = capacity;
}

void bytes_reserve(struct bytes *b, size_t size)
{
    if (size <= b->capacity - b->size)
        return;
    if (size > SIZE_MAX - b->size)
        abort();
    bytes_grow(b, b->size + size);
}

unsigned char *bytes_extend(struct bytes *b, size_t size)
{
    bytes_reserve(b, size);
    unsigned char *at = b->data + b->size;
    b->size += size;
    return at;
}

void bytes_append(struct bytes *b, const void *data, size_t size)
{
    if (size > 0)
        memcpy(bytes_extend(b, size), data, size);
}

void bytes_put_u8(struct bytes *b, uint8_t value)
{
    *bytes_extend(b, sizeof(value)) = value;
}

void bytes_put_u16(struct bytes *b, uint16_t value)
{
    store_be16(bytes_extend(b, sizeof(value)), value);
}

void bytes_put_u32(struct bytes *b, uint32_t value)
{
    store_be32(bytes_extend(b, sizeof(value)), value);
}

void bytes_put_u64(struct bytes *b, uint64_t value)
{
    store_be64(bytes_extend(b, sizeof(value)), value);
}

int64_t reader_varint_long(struct reader *r)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end)
            break;
        uint8_t byte = *r->at++;
        if (shift == 63 && byte > 1)
            break; /* does not fit 64 bits */
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return zigzag_decode(value);
    }
    r->failed = true;
    r->at = r->end;
    return 0;
}
