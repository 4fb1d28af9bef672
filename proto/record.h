/* Private to batch*.c: the encoding of one record within a batch.
 *
 *   length          varint   of what follows
 *   attributes      int8     unused
 *   timestampDelta  varint   to the batch's base timestamp
 *   offsetDelta     varint   to the batch's base offset
 *   keyLength       varint   -1: null
 *   key
 *   valueLength     varint   -1: null
 *   value
 *   headerCount     varint
 *   headers         keyLength varint, key, valueLength varint (-1: null), value */
#ifndef PROTO_RECORD_H
#define PROTO_RECORD_H

#include "proto/batch.h"
#include "proto/bytes.h"

/* The smallest header is two lengths, the smallest record a length and six fields of one byte. */
enum { RECORD_HEADER_MIN_SIZE = 2, RECORD_MIN_SIZE = 7 };

struct record_fields {
    int64_t timestamp_delta;
    int64_t offset_delta;
    const unsigned char *key;
    size_t key_size;
    const unsigned char *value;
    size_t value_size;
    size_t header_count;
    struct reader headers; /* exactly the encoded headers, not walked yet */
};

/* A length and that many bytes; NULL for the length -1. Other negative lengths fail. */
static inline const unsigned char *record_read_nullable(struct reader *r, size_t *size)
{
    int64_t length = reader_varint(r);
    if (length < 0) {
        r->failed |= length != -1;
        *size = 0;
        return NULL;
    }
    *size = (size_t)length;
    return reader_bytes(r, (size_t)length);
}

/* Reads one record and moves `r` behind it. Returns false on malformed bytes. */
static inline bool record_read(struct reader *r, struct record_fields *f)
{
    int64_t length = reader_varint(r);
    if (length < RECORD_MIN_SIZE - 1 || (uint64_t)length > reader_left(r))
        return false;

    struct reader body = {r->at, r->at + length, false};
    r->at = body.end;
    body.at++; /* attributes */
    f->timestamp_delta = reader_varint(&body);
    f->offset_delta = reader_varint(&body);
    f->key = record_read_nullable(&body, &f->key_size);
    f->value = record_read_nullable(&body, &f->value_size);
    int64_t header_count = reader_varint(&body);
    if (body.failed || header_count < 0 ||
        (uint64_t)header_count > reader_left(&body) / RECORD_HEADER_MIN_SIZE)
        return false;
    f->header_count = (size_t)header_count;
    f->headers = body;
    return f->header_count > 0 || reader_left(&body) == 0;
}

static inline bool record_header_read(struct reader *r, struct record_header *h)
{
    int64_t length = reader_varint(r);
    if (length < 0)
        return false;
    h->key_size = (size_t)length;
    h->key = (const char *)reader_bytes(r, h->key_size);
    h->value = record_read_nullable(r, &h->value_size);
    return !r->failed;
}

#endif
