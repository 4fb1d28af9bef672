#include "node/storage/journal_format.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include <string.h>

enum {
    HEADER_MAGIC = 0x464c4a4c, /* FLJL */
    FRAME_MAGIC = 0x464c4a52,  /* FLJR */
    FRAME_CRC_AT = 16,
    HEADER_CRC_AT = JOURNAL_HEADER_SIZE - 4,
};

void journal_header_encode(struct bytes *out, uint64_t first_round)
{
    size_t from = out->size;

    bytes_put_u32(out, HEADER_MAGIC);
    bytes_put_u32(out, JOURNAL_VERSION);
    bytes_put_u64(out, first_round);
    memset(bytes_extend(out, HEADER_CRC_AT - 16), 0, HEADER_CRC_AT - 16);
    bytes_put_u32(out, crc32c(0, out->data + from, HEADER_CRC_AT));
}

int journal_header_decode(const void *data, size_t size, uint32_t *version, uint64_t *first_round)
{
    const unsigned char *p = data;

    if (size < JOURNAL_HEADER_SIZE || load_be32(p) != HEADER_MAGIC ||
        load_be32(p + HEADER_CRC_AT) != crc32c(0, p, HEADER_CRC_AT))
        return ERR_CORRUPT;
    *version = load_be32(p + 4);
    if (*version < JOURNAL_VERSION_LEAST || *version > JOURNAL_VERSION)
        return ERR_UNSUPPORTED_VERSION;
    *first_round = load_be64(p + 8);
    return 0;
}

/* ---- records ---- */

void journal_record_encode(struct bytes *out, enum journal_record_type type, uint64_t group_id,
                           const void *payload, size_t payload_size)
{
    bytes_put_u8(out, (uint8_t)type);
    bytes_put_u64(out, group_id);
    bytes_put_u32(out, (uint32_t)payload_size);
    bytes_append(out, payload, payload_size);
}

static int journal_record_numbers(struct journal_record *record)
{
    const unsigned char *p = record->payload;

    switch (record->type) {
    case JOURNAL_HARD_STATE:
    case JOURNAL_FETCHED:
        if (record->payload_size != 16)
            return ERR_CORRUPT;
        record->numbers[0] = load_be64(p);
        record->numbers[1] = load_be64(p + 8);
        return 1;
    case JOURNAL_FLOOR:
        if (record->payload_size != 8)
            return ERR_CORRUPT;
        record->numbers[0] = load_be64(p);
        return 1;
    case JOURNAL_DAMAGED:
        if (record->payload_size != JOURNAL_DAMAGED_SIZE && record->payload_size != JOURNAL_KNOWN_END_SIZE)
            return ERR_CORRUPT;
        record->numbers[0] = p[0];
        record->numbers[1] = record->payload_size == JOURNAL_KNOWN_END_SIZE ? load_be64(p + 1) : 0;
        record->numbers[2] = record->payload_size == JOURNAL_KNOWN_END_SIZE ? load_be64(p + 9) : 0;
        return 1;
    case JOURNAL_SNAPSHOT:
    case JOURNAL_FORGET:
        return 1;
    }
    return ERR_CORRUPT;
}

int journal_record_decode(struct reader *r, struct journal_record *record)
{
    if (reader_left(r) == 0)
        return 0;
    *record = (struct journal_record){.type = (enum journal_record_type)reader_u8(r)};
    record->group_id = reader_u64(r);
    record->payload_size = reader_u32(r);
    record->payload = reader_bytes(r, record->payload_size);
    return r->failed ? ERR_CORRUPT : journal_record_numbers(record);
}

/* ---- frames ---- */

static uint32_t frame_crc(const unsigned char *frame, size_t body_size)
{
    return crc32c(crc32c(0, frame, FRAME_CRC_AT), frame + JOURNAL_FRAME_HEADER_SIZE, body_size);
}

void journal_frame_encode(struct bytes *frame, uint64_t round, const struct bytes *body)
{
    bytes_clear(frame);
    bytes_put_u32(frame, FRAME_MAGIC);
    bytes_put_u32(frame, (uint32_t)body->size);
    bytes_put_u64(frame, round);
    bytes_put_u32(frame, 0);
    bytes_append(frame, body->data, body->size);
    store_be32(frame->data + FRAME_CRC_AT, frame_crc(frame->data, body->size));
}

int journal_frame_decode(const void *data, size_t size, uint64_t *round, struct reader *body)
{
    const unsigned char *p = data;

    if (size < JOURNAL_FRAME_HEADER_SIZE || load_be32(p) != FRAME_MAGIC)
        return ERR_CORRUPT;
    size_t body_size = load_be32(p + 4);
    if (body_size > size - JOURNAL_FRAME_HEADER_SIZE ||
        load_be32(p + FRAME_CRC_AT) != frame_crc(p, body_size))
        return ERR_CORRUPT;
    *round = load_be64(p + 8);
    reader_init(body, p + JOURNAL_FRAME_HEADER_SIZE, body_size);
    return 0;
}

int64_t journal_find_frame(const void *data, size_t size, size_t from, uint64_t round)
{
    const unsigned char *p = data;
    unsigned char magic[4];
    struct reader body;
    uint64_t found;

    store_be32(magic, FRAME_MAGIC);
    while (from < size) {
        const unsigned char *hit = memmem(p + from, size - from, magic, sizeof(magic));
        if (hit == NULL)
            return -1;
        from = (size_t)(hit - p);
        if (journal_frame_decode(hit, size - from, &found, &body) == 0 && found >= round)
            return (int64_t)from;
        from++;
    }
    return -1;
}
