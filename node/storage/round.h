/* What a log wants done to its files, in order, and the worker that does one round of it: writes gathered
 * into as few system calls as there are runs of bytes, and one sync at the end. */
#ifndef STORAGE_ROUND_H
#define STORAGE_ROUND_H

#include "node/base/buf.h"
#include "node/storage/log.h"
#include "node/storage/segment.h"

enum operation_kind {
    OPERATION_WRITE,    /* batches at a position of a segment */
    OPERATION_CREATE,   /* the segment's files */
    OPERATION_SEAL,     /* finish a segment at its present size */
    OPERATION_TRUNCATE, /* cut a segment */
    OPERATION_REMOVE,   /* the segment's files */
};

struct operation {
    struct queue node;
    enum operation_kind kind;
    struct segment *segment;   /* one reference */
    uint64_t position;         /* WRITE: of the first slice; SEAL, TRUNCATE: the size */
    uint64_t bytes;            /* WRITE */
    uint64_t limit;            /* WRITE: the segment's size to allocate for */
    uint64_t journal_sequence; /* what must be durable in the journal before */
    /* Loop only, lowered when a truncation is submitted after it: */
    uint64_t last_index;        /* WRITE: durable when done */
    uint64_t written_end;       /* WRITE: bytes of the segment that may be read from the file when done */
    struct log_append_req *req; /* completes with it, or NULL */
    struct bytes image;         /* SEAL: of the index */
    unsigned n;
    unsigned capacity;
    struct slice slices[]; /* WRITE */
};

/* Takes a reference of `segment`; room for `capacity` slices. */
struct operation *operation_create(enum operation_kind kind, struct segment *segment, unsigned capacity);
void operation_destroy(struct operation *op); /* drops its references: loop only */

struct round {
    struct env *env; /* set before the run */
    const char *directory;
    struct queue operations;
    bool directory_missing; /* made with the next segment; false then */
    int status;             /* results: of the operation that stopped it */
    unsigned done;          /* how many of the first operations are durable */
    uint64_t bytes;
    uint64_t write_ns;
    uint64_t sync_ns;
    bool sync_failed;
};

/* [worker] */
void round_run(struct round *r);

#endif
