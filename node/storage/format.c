#include "node/storage/format.h"
#include "node/base/assert.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { INDEX_MAGIC = 0x464c4958 /* FLIX */, MARKER_MAGIC = 0x464c434d /* FLCM */, SEGMENT_DIGITS = 20 };

/* ---- names ---- */

void format_path(char out[FORMAT_PATH_MAX], const char *directory, const char *name)
{
    int n = snprintf(out, FORMAT_PATH_MAX, "%s/%s", directory, name);
    ASSERT(n > 0 && n < FORMAT_PATH_MAX);
}

void format_segment_path(char out[FORMAT_PATH_MAX], const char *directory, uint64_t base_index,
                         const char *suffix)
{
    int n = snprintf(out, FORMAT_PATH_MAX, "%s/%020" PRIu64 "%s", directory, base_index, suffix);
    ASSERT(n > 0 && n < FORMAT_PATH_MAX);
}

bool format_segment_name_parse(const char *name, const char *suffix, uint64_t *base_index)
{
    uint64_t value = 0;

    if (strnlen(name, SEGMENT_DIGITS) < SEGMENT_DIGITS || strcmp(name + SEGMENT_DIGITS, suffix) != 0)
        return false;
    for (int i = 0; i < SEGMENT_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(name[i] - '0');
    }
    *base_index = value;
    return value > 0;
}

/* ---- index file ---- */

static void put_crc(struct bytes *out, size_t from)
{
    bytes_put_u32(out, crc32c(0, out->data + from, out->size - from));
}

static bool crc_matches(const unsigned char *data, size_t size)
{
    return size >= 4 && crc32c(0, data, size - 4) == load_be32(data + size - 4);
}

void format_index_header_encode(struct bytes *out, const struct segment_header *header)
{
    size_t from = out->size;

    bytes_put_u32(out, INDEX_MAGIC);
    bytes_put_u32(out, FORMAT_INDEX_VERSION);
    bytes_put_u64(out, header->base_index);
    bytes_put_u64(out, (uint64_t)header->base_offset);
    bytes_put_u64(out, header->previous_term);
    bytes_put_u64(out, (uint64_t)header->created_ms);
    bytes_put_u64(out, header->group_id);
    memset(bytes_extend(out, FORMAT_INDEX_HEADER_SIZE - 52), 0, FORMAT_INDEX_HEADER_SIZE - 52);
    put_crc(out, from);
}

int format_index_header_decode(const void *data, size_t size, struct segment_header *header)
{
    struct reader r;

    if (size < FORMAT_INDEX_HEADER_SIZE || !crc_matches(data, FORMAT_INDEX_HEADER_SIZE))
        return ERR_CORRUPT;
    reader_init(&r, data, FORMAT_INDEX_HEADER_SIZE);
    if (reader_u32(&r) != INDEX_MAGIC)
        return ERR_CORRUPT;
    header->version = reader_u32(&r);
    if (header->version < 1 || header->version > FORMAT_INDEX_VERSION)
        return ERR_CORRUPT;
    header->base_index = reader_u64(&r);
    header->base_offset = (int64_t)reader_u64(&r);
    header->previous_term = reader_u64(&r);
    header->created_ms = (int64_t)reader_u64(&r);
    header->group_id = reader_u64(&r);
    return 0;
}

static void put_place(struct bytes *out, const struct place *p)
{
    bytes_put_u64(out, p->position);
    bytes_put_u64(out, p->index);
    bytes_put_u64(out, (uint64_t)p->offset);
    bytes_put_u64(out, p->term);
    bytes_put_u64(out, (uint64_t)p->max_timestamp_ms);
}

static struct place read_place(struct reader *r)
{
    struct place p;

    p.position = reader_u64(r);
    p.index = reader_u64(r);
    p.offset = (int64_t)reader_u64(r);
    p.term = reader_u64(r);
    p.max_timestamp_ms = (int64_t)reader_u64(r);
    return p;
}

enum { KNOWS_FIRST = 1, KNOWS_LAST = 2 };

static void put_witness(struct bytes *out, const struct segment_witness *w)
{
    bytes_put_u32(out, (w->knows_first ? KNOWS_FIRST : 0u) | (w->knows_last ? KNOWS_LAST : 0u));
    bytes_put_u32(out, w->first_crc);
    bytes_put_u64(out, w->last_position);
    bytes_put_u32(out, w->last_crc);
}

static struct segment_witness read_witness(struct reader *r)
{
    uint32_t knows = reader_u32(r);
    struct segment_witness w = {.knows_first = (knows & KNOWS_FIRST) != 0,
                                .knows_last = (knows & KNOWS_LAST) != 0};

    w.first_crc = reader_u32(r);
    w.last_position = reader_u64(r);
    w.last_crc = reader_u32(r);
    return w;
}

bool format_witness_contradicts(const struct segment_witness *w, uint64_t position, uint32_t crc)
{
    return (w->knows_first && position == 0 && crc != w->first_crc) ||
           (w->knows_last && position == w->last_position && crc != w->last_crc);
}

void format_index_body_encode(struct bytes *out, const struct place *end,
                              const struct segment_witness *witness, const struct place *entries, unsigned n)
{
    size_t from = out->size;

    put_place(out, end);
    bytes_put_u32(out, n);
    put_witness(out, witness);
    for (unsigned i = 0; i < n; i++)
        put_place(out, &entries[i]);
    put_crc(out, from);
}

int format_index_body_decode(const void *data, size_t size, uint32_t version, struct place *end,
                             struct segment_witness *witness, struct place *entries, unsigned *n)
{
    struct reader r;

    if (size < FORMAT_INDEX_ENTRY_SIZE + 8 || !crc_matches(data, size))
        return ERR_CORRUPT;
    reader_init(&r, data, size - 4);
    *end = read_place(&r);
    *n = reader_u32(&r);
    *witness = version >= 2 ? read_witness(&r) : (struct segment_witness){.knows_first = false};
    if (*n > FORMAT_INDEX_MAX_ENTRIES || r.failed || reader_left(&r) != (size_t)*n * FORMAT_INDEX_ENTRY_SIZE)
        return ERR_CORRUPT;
    for (unsigned i = 0; i < *n; i++)
        entries[i] = read_place(&r);
    return 0;
}

/* ---- marker ---- */

void format_marker_encode(struct bytes *out, const struct clean_marker *marker)
{
    size_t from = out->size;

    bytes_put_u32(out, MARKER_MAGIC);
    bytes_put_u32(out, FORMAT_VERSION);
    bytes_put_u64(out, marker->base_index);
    put_place(out, &marker->end);
    memset(bytes_extend(out, FORMAT_MARKER_SIZE - 60), 0, FORMAT_MARKER_SIZE - 60);
    put_crc(out, from);
}

int format_marker_decode(const void *data, size_t size, struct clean_marker *marker)
{
    struct reader r;

    if (size != FORMAT_MARKER_SIZE || !crc_matches(data, size))
        return ERR_CORRUPT;
    reader_init(&r, data, size);
    if (reader_u32(&r) != MARKER_MAGIC || reader_u32(&r) != FORMAT_VERSION)
        return ERR_CORRUPT;
    marker->base_index = reader_u64(&r);
    marker->end = read_place(&r);
    return 0;
}
