/* Names and small structures on disk: docs/disk-format.md. All integers are big-endian. */
#ifndef STORAGE_FORMAT_H
#define STORAGE_FORMAT_H

#include "node/storage/place.h"
#include "proto/bytes.h"

enum {
    FORMAT_VERSION = 1,
    FORMAT_INDEX_VERSION = 2,   /* of index files; 1 is read as well */
    FORMAT_PATH_MAX = 1024,     /* of any path that the room builds, with its NUL */
    FORMAT_DIRECTORY_MAX = 960, /* of a directory given to it */
    FORMAT_INDEX_HEADER_SIZE = 64,
    FORMAT_INDEX_ENTRY_SIZE = 40,
    FORMAT_INDEX_WITNESS_SIZE = 20,
    FORMAT_INDEX_MAX_ENTRIES = 2048,
    FORMAT_INDEX_MAX_SIZE = 2 * FORMAT_INDEX_HEADER_SIZE + FORMAT_INDEX_WITNESS_SIZE +
                            FORMAT_INDEX_ENTRY_SIZE * (FORMAT_INDEX_MAX_ENTRIES + 1),
    FORMAT_MARKER_SIZE = 80,
    /* The bytes of one log that may be in flight to the disk at once, so the distance over which writes of
     * one round may reach the disk out of order: recovery's limit between a torn tail and damage. */
    FORMAT_ROUND_MAX_BYTES = 16 * 1024 * 1024,
    /* The least that readers accept as the largest batch, so that Raft's own entries fit whatever a topic
       sets. */
    FORMAT_BATCH_MAX_FLOOR = 1024 * 1024,
};

/* ---- names ---- */

void format_path(char out[FORMAT_PATH_MAX], const char *directory, const char *name);
/* "<directory>/<base index, 20 digits><suffix>" */
void format_segment_path(char out[FORMAT_PATH_MAX], const char *directory, uint64_t base_index,
                         const char *suffix);
/* True for 20 digits (no overflow) followed by exactly `suffix`. */
bool format_segment_name_parse(const char *name, const char *suffix, uint64_t *base_index);

/* ---- index file ---- */

struct segment_header {
    uint64_t base_index;
    int64_t base_offset;
    uint64_t previous_term; /* of the entry before base_index; 0: none */
    int64_t created_ms;
    uint64_t group_id; /* whose log this is: a file of another one that got here is noticed */
    uint32_t version;  /* of the file that it was read from */
};

void format_index_header_encode(struct bytes *out, const struct segment_header *header);
/* 0 or ERR_CORRUPT. */
int format_index_header_decode(const void *data, size_t size, struct segment_header *header);
/* The checksums of a segment's first and last batch: a file of other batches that took its place is noticed,
 * though these may be valid. */
struct segment_witness {
    bool knows_first;
    bool knows_last;
    uint32_t first_crc;
    uint32_t last_crc;
    uint64_t last_position;
};
/* Whether the witness has another batch at `position` than an intact one with this checksum. */
bool format_witness_contradicts(const struct segment_witness *witness, uint64_t position, uint32_t crc);
/* What makes an index final: the place after the last batch covered, the witness, then the entries, then a
 * CRC. */
void format_index_body_encode(struct bytes *out, const struct place *end,
                              const struct segment_witness *witness, const struct place *entries, unsigned n);
/* `version` of the header before it. `entries` has room for FORMAT_INDEX_MAX_ENTRIES. */
int format_index_body_decode(const void *data, size_t size, uint32_t version, struct place *end,
                             struct segment_witness *witness, struct place *entries, unsigned *n);

/* ---- marker of a clean shutdown ---- */

struct clean_marker {
    uint64_t base_index; /* of the last segment */
    struct place end;    /* end.position is the segment's file size */
};
void format_marker_encode(struct bytes *out, const struct clean_marker *marker);
int format_marker_decode(const void *data, size_t size, struct clean_marker *marker);

#endif
