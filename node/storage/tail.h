/* The newest entries of a log in memory, in index order without a hole up to the last one: what has not been
 * written yet, and behind it as much as the cache may hold. Reads of the tail are served from here without a
 * file. */
#ifndef STORAGE_TAIL_H
#define STORAGE_TAIL_H

#include "node/base/buf.h"
#include "node/storage/place.h"

struct tail_entry {
    struct place at;     /* the place before the batch */
    int64_t next_offset; /* equals at.offset for a control batch */
    struct slice bytes;  /* one reference */
};

struct tail {
    struct tail_entry *ring;
    size_t capacity; /* a power of two, or 0 */
    size_t head;
    size_t count;
    uint64_t bytes; /* of the batches and of the ring's entries */
};

void tail_init(struct tail *t);
void tail_close(struct tail *t);
/* Takes over the reference in `bytes`. */
void tail_push(struct tail *t, const struct place *at, int64_t next_offset, struct slice bytes);
struct tail_entry *tail_at(const struct tail *t, size_t i); /* 0: the oldest */
/* NULL when the entry is not here. */
struct tail_entry *tail_find(const struct tail *t, uint64_t index);
/* Position of the first entry that holds `offset` or comes after it; t->count when none, or when the cache
 * begins behind `offset`. */
size_t tail_position_of_offset(const struct tail *t, int64_t offset);
/* Drops entries from `index` on; up to and including `index`. */
void tail_truncate(struct tail *t, uint64_t index);
void tail_drop_through(struct tail *t, uint64_t index);
/* Drops the oldest entries, none above `written_index`, until at most `limit` bytes are left. */
void tail_evict(struct tail *t, uint64_t limit, uint64_t written_index);

#endif
