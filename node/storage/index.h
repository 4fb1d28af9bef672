/* The sparse index of one segment, in memory: places at growing positions. Its size is bounded: when it is
 * full, every second place goes and the gap doubles. */
#ifndef STORAGE_INDEX_H
#define STORAGE_INDEX_H

#include "node/storage/place.h"

struct segment_index {
    struct place *entries;
    unsigned n;
    unsigned capacity;
    uint64_t gap; /* bytes between entries */
};

void segment_index_init(struct segment_index *ix);
void segment_index_close(struct segment_index *ix);
/* Notes a batch's place, when it is far enough from the last one noted. Places come in order. */
void segment_index_note(struct segment_index *ix, const struct place *at);
/* Takes over what was read from a file; false when it is not in order. */
bool segment_index_load(struct segment_index *ix, const struct place *entries, unsigned n);
/* Drops what lies at or behind a position. */
void segment_index_truncate(struct segment_index *ix, uint64_t position);

/* The last place noted whose index (offset) is at most the given one; whose timestamps before it are all
 * below `timestamp_ms`; NULL: the segment's beginning. */
const struct place *segment_index_by_index(const struct segment_index *ix, uint64_t index);
const struct place *segment_index_by_offset(const struct segment_index *ix, int64_t offset);
const struct place *segment_index_by_timestamp(const struct segment_index *ix, int64_t timestamp_ms);

#endif
