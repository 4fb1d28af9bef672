/* The journal's bytes (docs/disk-format.md). A frame is what one sync made durable; its CRC covers all of it,
 * so a frame that was torn is the last one, and any valid frame behind a bad one proves damage. */
#ifndef STORAGE_JOURNAL_FORMAT_H
#define STORAGE_JOURNAL_FORMAT_H

#include "proto/bytes.h"

enum {
    JOURNAL_VERSION = 3,
    JOURNAL_VERSION_LEAST = 1, /* that is read: it lacks what is marked below */
    JOURNAL_HEADER_SIZE = 32,
    JOURNAL_FRAME_HEADER_SIZE = 20,
    JOURNAL_RECORD_HEADER_SIZE = 13,
};

enum { JOURNAL_DAMAGED_SIZE = 1, JOURNAL_KNOWN_END_SIZE = 1 + 16 }; /* of the payload */

enum { JOURNAL_IS_DAMAGED = 1, JOURNAL_IS_EMPTIED = 2, JOURNAL_IS_AT_REST = 4 }; /* the flags in it */

enum journal_record_type {
    JOURNAL_HARD_STATE = 1, /* term, vote */
    JOURNAL_SNAPSHOT = 2,   /* a packed SnapshotRecord */
    JOURNAL_FLOOR = 3,      /* index */
    JOURNAL_DAMAGED = 4,    /* one byte of flags; since version 2, term and index of the known end may follow,
                               and since version 3 it may be at rest */
    JOURNAL_FORGET = 5,     /* nothing */
    JOURNAL_FETCHED = 6,    /* index, term of the entry before; since version 2 */
};

struct journal_record {
    enum journal_record_type type;
    uint64_t group_id;
    const unsigned char *payload;
    size_t payload_size;
    uint64_t numbers[3]; /* as they stand there */
};

void journal_header_encode(struct bytes *out, uint64_t first_round);
/* 0, ERR_CORRUPT or ERR_UNSUPPORTED_VERSION. */
int journal_header_decode(const void *data, size_t size, uint32_t *version, uint64_t *first_round);

void journal_record_encode(struct bytes *out, enum journal_record_type type, uint64_t group_id,
                           const void *payload, size_t payload_size);
/* 1: filled; 0: end; ERR_CORRUPT. */
int journal_record_decode(struct reader *r, struct journal_record *record);

/* Puts the frame's header in front of a body: `frame` is cleared first. */
void journal_frame_encode(struct bytes *frame, uint64_t round, const struct bytes *body);
/* The frame that begins at `data`: 0 and its round and body, or ERR_CORRUPT. */
int journal_frame_decode(const void *data, size_t size, uint64_t *round, struct reader *body);
/* Position at or behind `from` of a valid frame of `round` or a later one; -1: none. */
int64_t journal_find_frame(const void *data, size_t size, size_t from, uint64_t round);

#endif
