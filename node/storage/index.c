#include "node/storage/index.h"
#include "node/base/memory.h"
#include "node/storage/format.h"
#include <stdlib.h>
#include <string.h>

enum { INDEX_FIRST_GAP = 16 * 1024, INDEX_FIRST_CAPACITY = 8 };

void segment_index_init(struct segment_index *ix)
{
    *ix = (struct segment_index){.gap = INDEX_FIRST_GAP};
}

void segment_index_close(struct segment_index *ix)
{
    free(ix->entries);
    ix->entries = NULL;
}

static void segment_index_thin(struct segment_index *ix)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < ix->n; i += 2)
        ix->entries[kept++] = ix->entries[i];
    ix->n = kept;
    ix->gap *= 2;
}

static void segment_index_grow(struct segment_index *ix)
{
    ix->capacity = ix->capacity == 0 ? INDEX_FIRST_CAPACITY : ix->capacity * 2;
    ix->entries = memory_realloc(ix->entries, ix->capacity * sizeof(*ix->entries));
}

void segment_index_note(struct segment_index *ix, const struct place *at)
{
    uint64_t last = ix->n > 0 ? ix->entries[ix->n - 1].position : 0;

    if (at->position < last + ix->gap)
        return;
    if (ix->n == FORMAT_INDEX_MAX_ENTRIES)
        segment_index_thin(ix);
    if (ix->n == ix->capacity)
        segment_index_grow(ix);
    ix->entries[ix->n++] = *at;
}

static bool place_in_order(const struct place *a, const struct place *b)
{
    return a->position < b->position && a->index < b->index && a->offset <= b->offset && a->term <= b->term &&
           a->max_timestamp_ms <= b->max_timestamp_ms;
}

bool segment_index_load(struct segment_index *ix, const struct place *entries, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        if (!place_in_order(&entries[i - 1], &entries[i]))
            return false;
    while (ix->capacity < n)
        segment_index_grow(ix);
    if (n > 0)
        memcpy(ix->entries, entries, n * sizeof(*entries));
    ix->n = n;
    /* The gap that the writer had come to, so that a continued segment stays evenly covered. */
    while (n > FORMAT_INDEX_MAX_ENTRIES / 2 && ix->gap * 2 <= entries[n - 1].position / n)
        ix->gap *= 2;
    return true;
}

void segment_index_truncate(struct segment_index *ix, uint64_t position)
{
    while (ix->n > 0 && ix->entries[ix->n - 1].position >= position)
        ix->n--;
}

enum index_key { KEY_INDEX, KEY_OFFSET, KEY_TIMESTAMP };

static bool place_at_most(const struct place *p, enum index_key key, int64_t value)
{
    switch (key) {
    case KEY_INDEX:
        return p->index <= (uint64_t)value;
    case KEY_OFFSET:
        return p->offset <= value;
    case KEY_TIMESTAMP:
        return p->max_timestamp_ms < value;
    }
    return false;
}

static const struct place *segment_index_find(const struct segment_index *ix, enum index_key key,
                                              int64_t value)
{
    unsigned low = 0;
    unsigned high = ix->n;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (place_at_most(&ix->entries[middle], key, value))
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &ix->entries[low - 1];
}

const struct place *segment_index_by_index(const struct segment_index *ix, uint64_t index)
{
    return segment_index_find(ix, KEY_INDEX, (int64_t)index);
}

const struct place *segment_index_by_offset(const struct segment_index *ix, int64_t offset)
{
    return segment_index_find(ix, KEY_OFFSET, offset);
}

const struct place *segment_index_by_timestamp(const struct segment_index *ix, int64_t timestamp_ms)
{
    return segment_index_find(ix, KEY_TIMESTAMP, timestamp_ms);
}
