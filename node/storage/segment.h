/* One segment: a file of whole batches and its sparse index.
 *
 * Loop state counts what has been submitted; `writer` belongs to the worker that runs the log's current round
 * (one at a time), or to the loop while none runs. Reads have a descriptor of their own. */
#ifndef STORAGE_SEGMENT_H
#define STORAGE_SEGMENT_H

#include "node/base/queue.h"
#include "node/env/env.h"
#include "node/storage/format.h"
#include "node/storage/index.h"

struct segment_writer {
    struct env_file *file; /* NULL: not open */
    uint64_t allocated;    /* the file's size */
    uint64_t step;         /* of the next preallocation */
    uint64_t last_step_ns;
    bool sync_failed;   /* what went wrong was a sync */
    bool name_unsynced; /* its directory must be synced before anything in it counts as durable */
};

struct segment {
    struct queue node;            /* in the log's list, by base index */
    struct segment_header header; /* fixed */
    struct place end;             /* after the last batch submitted */
    struct segment_index index;
    struct segment_witness witness;
    uint64_t written;           /* bytes that are in the file */
    struct env_file *read_file; /* opened by the first read that needs it */
    unsigned readers;           /* reads that use read_file now */
    struct segment_writer writer;
    struct env *env;     /* private */
    unsigned references; /* private */
};

/* An empty one, with one reference. Touches no file. [worker] */
struct segment *segment_create(struct env *env, const struct segment_header *header);
struct segment *segment_ref(struct segment *s);
void segment_unref(struct segment *s); /* closes its files with the last one */
struct place segment_begin(const struct segment *s);
/* For its index and its witness: a batch that begins at `before`, in order. */
void segment_note_batch(struct segment *s, const struct place *before, const struct batch_header *header);
/* The batches from `position` on are gone. */
void segment_note_cut(struct segment *s, uint64_t position);
static inline bool segment_is_empty(const struct segment *s)
{
    return s->end.position == 0;
}

/* ---- file operations. [worker] ---- */

/* Appends a small file, whole, to `content`. ERR_TOO_LARGE above `max`. */
int segment_read_file(struct env *env, const char *path, size_t max, struct bytes *content);
/* Replaces a small file's content and syncs it. */
int segment_write_file(struct env *env, const char *path, const struct bytes *content);
/* The same without a sync: for what checks itself when it is read, and may get lost. */
int segment_write_file_lazy(struct env *env, const char *path, const struct bytes *content);
/* An index file that holds the header only. */
int segment_write_header(struct segment *s, const char *directory);
/* A finished one. */
int segment_write_index(struct segment *s, const char *directory);
/* A log's directory, durably. Harmless when it is there. */
int segment_make_directory(struct env *env, const char *path);
/* Makes the files. Their names are durable after it, or, a log's very first ones, after segment_file_sync.
 * Harmless to repeat after ERR_NO_SPACE. */
int segment_file_create(struct segment *s, const char *directory);
/* What has been written is durable after it, and found by its name. */
int segment_file_sync(struct segment *s, const char *directory);
/* Opens the writer on a segment that is there. */
int segment_file_open(struct segment *s, const char *directory);
/* Gives the file space up to `end` at least. `limit`: the size at which the segment will be rolled. */
int segment_file_reserve(struct segment *s, uint64_t end, uint64_t limit);
/* Cuts the file at `size`, writes the finished index, and syncs both. `image`: format_index_* encoded. Closes
 * the writer. */
int segment_file_seal(struct segment *s, const char *directory, uint64_t size, const struct bytes *image);
/* When the log closes: gives preallocated space back and writes the index, without syncs. */
int segment_file_leave(struct segment *s, const char *directory, const struct bytes *image);
/* Cuts the file at `size`, makes a finished index unfinished, and syncs both. */
int segment_file_truncate(struct segment *s, const char *directory, uint64_t size);
int segment_file_remove(struct segment *s, const char *directory);
/* A reader's use of the segment's file. begin and end on the loop; open on a worker or the loop. */
struct segment_read {
    struct segment *segment;
    struct env_file *file;
    bool opened;
};
void segment_read_begin(struct segment_read *r, struct segment *s);
int segment_read_open(struct segment_read *r, const char *directory);
void segment_read_end(struct segment_read *r);

/* Header and body of the index file as it must stand beside a finished segment. Call where the loop state may
 * be read. */
void segment_index_image(const struct segment *s, struct bytes *image);

#endif
