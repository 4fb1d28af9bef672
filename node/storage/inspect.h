/* Reads a node's files offline: for `flotilla log dump | verify` and for tests. It writes nothing and takes
 * no lock; on the files of a running node it may see the last round half written, which it reports as a tail,
 * not as damage.
 *
 * Path may be a data directory, a group's directory, a segment (.log), its index (.idx), or a journal.
 * Everything found is handed to the callbacks in file order; what a callback gets is valid during the call
 * only. */
#ifndef STORAGE_INSPECT_H
#define STORAGE_INSPECT_H

#include "node/env/env.h"
#include "proto/batch.h"

struct inspect_identity {
    const char *path;
    uint32_t node_id;
    const char *cluster_id;
    uint32_t version;
};

struct inspect_segment {
    const char *path;
    uint64_t group_id; /* 0 when it cannot be told from the path */
    uint64_t base_index;
    int64_t base_offset; /* -1: unknown (no usable index file and nothing in the segment) */
    uint64_t previous_term;
    uint64_t file_size; /* with preallocated space */
    bool has_index;     /* an .idx file with a valid header is there */
    bool index_final;   /* and it was completed at a roll or clean close */
};

struct inspect_batch {
    const struct inspect_segment *segment;
    uint64_t position;
    uint64_t index;
    uint64_t term; /* in force here, from the last control batch or the segment's header */
    struct batch_header header;
    bool crc_ok;
    bool is_control;
    struct batch_control control; /* when is_control and crc_ok */
    const unsigned char *bytes;   /* header.size bytes */
};

struct inspect_index_entry {
    const char *path;
    uint64_t position; /* in the segment */
    uint64_t index;
    int64_t offset;
    uint64_t term;            /* of the entry before */
    int64_t max_timestamp_ms; /* of all batches before `position` in the segment; -1: none */
};

enum inspect_journal_type {
    INSPECT_JOURNAL_HARD_STATE = 1,
    INSPECT_JOURNAL_SNAPSHOT = 2,
    INSPECT_JOURNAL_FLOOR = 3,
    INSPECT_JOURNAL_DAMAGED = 4,
    INSPECT_JOURNAL_FORGET = 5,
    INSPECT_JOURNAL_FETCHED = 6,
};

struct inspect_journal_record {
    const char *path;
    uint64_t position; /* of the frame (sync round) that holds it */
    uint64_t round;
    enum inspect_journal_type type;
    uint64_t group_id;
    uint64_t term, vote;           /* HARD_STATE */
    uint64_t floor_index;          /* FLOOR */
    bool damaged;                  /* DAMAGED */
    bool emptied;                  /* DAMAGED: the disk was replaced */
    uint64_t known_end_term;       /* DAMAGED */
    uint64_t known_end_index;      /* DAMAGED; 0: not known */
    bool at_rest;                  /* DAMAGED: nothing has been appended since */
    uint64_t fetched_from;         /* FETCHED; 0: nothing any more */
    const unsigned char *snapshot; /* SNAPSHOT: a packed SnapshotRecord */
    size_t snapshot_size;
};

enum inspect_severity {
    INSPECT_NOTE,   /* worth knowing: a torn tail that the node will cut, an index that it will rebuild */
    INSPECT_DAMAGE, /* bytes that were written are wrong or missing */
};

struct inspect_problem {
    enum inspect_severity severity;
    const char *path;
    uint64_t position;
    const char *message;
};

/* Any callback may be NULL. */
struct inspect_callbacks {
    void (*identity)(void *data, const struct inspect_identity *identity);
    void (*segment)(void *data, const struct inspect_segment *segment); /* before its batches */
    void (*batch)(void *data, const struct inspect_batch *batch);
    /* Only asked for when set: decompresses every data batch whose CRC is right. */
    void (*record)(void *data, const struct inspect_batch *batch, const struct record *record);
    void (*index_entry)(void *data, const struct inspect_index_entry *entry);
    void (*journal_record)(void *data, const struct inspect_journal_record *record);
    void (*problem)(void *data, const struct inspect_problem *problem);
};

struct inspect_summary {
    uint64_t segments;
    uint64_t batches;
    uint64_t control_batches;
    uint64_t records; /* by the batches' own counts */
    uint64_t bytes;   /* of whole, valid batches and journal frames */
    uint64_t journal_records;
    uint64_t notes;
    uint64_t damages;
};

/* Blocking. Returns 0 when everything could be read, also with problems found (see `summary`); else the error
 * that stopped it, e.g. ERR_NOT_FOUND, ERR_PERMISSION, or ERR_INVALID_ARGUMENT for a path that is none of
 * ours, with a message. */
int inspect_path(struct env *env, const char *path, const struct inspect_callbacks *callbacks, void *data,
                 struct inspect_summary *summary, char *message, size_t message_size);
const char *inspect_journal_type_name(enum inspect_journal_type type); /* "hard_state" */

#endif
