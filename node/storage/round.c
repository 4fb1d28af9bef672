#include "node/storage/round.h"
#include "node/base/memory.h"
#include "node/storage/transient.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ROUND_IOV_MAX = 1024 };

struct operation *operation_create(enum operation_kind kind, struct segment *segment, unsigned capacity)
{
    struct operation *op = memory_alloc(sizeof(*op) + capacity * sizeof(op->slices[0]));

    *op = (struct operation){.kind = kind, .segment = segment_ref(segment), .capacity = capacity};
    queue_init(&op->node);
    bytes_init(&op->image);
    return op;
}

void operation_destroy(struct operation *op)
{
    for (unsigned i = 0; i < op->n; i++)
        slice_unref(&op->slices[i]);
    bytes_close(&op->image);
    segment_unref(op->segment);
    free(op);
}

/* Slices gathered for one pwritev. */
struct gather {
    struct round *round;
    struct segment *segment; /* written and not synced, or NULL */
    uint64_t position;       /* of iov[0] */
    uint64_t end;
    unsigned n;
    unsigned written;                    /* operations whose bytes are in the file, durably */
    struct env_iovec iov[ROUND_IOV_MAX]; /* the first n; many more than most rounds have */
};

static int gather_write(struct gather *g)
{
    if (g->n == 0)
        return 0;
    uint64_t start_ns = env_clock_ns(g->round->env);
    int status = env_file_write(g->segment->writer.file, g->iov, g->n, g->position);
    g->round->write_ns += env_clock_ns(g->round->env) - start_ns;
    if (status == 0)
        g->position = g->end;
    g->n = 0;
    return status;
}

static int gather_sync(struct gather *g)
{
    struct segment *segment = g->segment;

    if (segment == NULL)
        return 0;
    uint64_t start_ns = env_clock_ns(g->round->env);
    segment->writer.sync_failed = false;
    int status = segment_file_sync(segment, g->round->directory);
    g->round->sync_ns += env_clock_ns(g->round->env) - start_ns;
    g->round->sync_failed = segment->writer.sync_failed;
    if (status == 0)
        g->segment = NULL;
    return status;
}

/* A failed sync must never look like a full disk, which is retried: the kernel may have dropped what it could
 * not write. */
static int sync_error(int status)
{
    return status == ERR_NO_SPACE ? ERR_IO : status;
}

static int gather_finish(struct gather *g, unsigned operations)
{
    int status = gather_write(g);

    if (status == 0)
        status = sync_error(gather_sync(g));
    if (status == 0)
        g->written = operations;
    return status;
}

static int gather_prepare(struct gather *g, const struct operation *op, unsigned before)
{
    int status = 0;

    if (g->segment != NULL && g->segment != op->segment)
        status = gather_finish(g, before);
    if (status == 0)
        status = segment_file_open(op->segment, g->round->directory);
    if (status == 0)
        status = segment_file_reserve(op->segment, op->position + op->bytes, op->limit);
    if (status != 0)
        return status;
    if (g->segment == NULL) {
        g->segment = op->segment;
        g->position = op->position;
        g->end = op->position;
    }
    return 0;
}

static int gather_add(struct gather *g, const struct operation *op, unsigned before)
{
    int status = gather_prepare(g, op, before);

    if (error_is_transient(status)) {
        /* What has its space already is worth its acknowledgement. */
        int finished = gather_finish(g, before);
        return finished != 0 ? finished : status;
    }
    for (unsigned i = 0; i < op->n && status == 0; i++) {
        if (g->n == ROUND_IOV_MAX)
            status = gather_write(g);
        g->iov[g->n++] = (struct env_iovec){op->slices[i].data, op->slices[i].size};
        g->end += op->slices[i].size;
    }
    if (status == 0)
        g->round->bytes += op->bytes;
    return status;
}

static int round_create_segment(struct round *r, struct operation *op)
{
    int status = r->directory_missing ? segment_make_directory(r->env, r->directory) : 0;

    if (status != 0)
        return status;
    r->directory_missing = false;
    return segment_file_create(op->segment, r->directory);
}

static int round_change_files(struct round *r, struct operation *op)
{
    switch (op->kind) {
    case OPERATION_CREATE:
        return round_create_segment(r, op);
    case OPERATION_SEAL:
        return segment_file_seal(op->segment, r->directory, op->position, &op->image);
    case OPERATION_TRUNCATE:
        return segment_file_truncate(op->segment, r->directory, op->position);
    case OPERATION_REMOVE:
        return segment_file_remove(op->segment, r->directory);
    case OPERATION_WRITE:
        break;
    }
    return ERR_UNKNOWN;
}

static int round_structural(struct round *r, struct operation *op)
{
    op->segment->writer.sync_failed = false;
    int status = round_change_files(r, op);
    if (!op->segment->writer.sync_failed)
        return status;
    r->sync_failed = true;
    return sync_error(status);
}

static int round_operations(struct round *r, struct gather *g)
{
    unsigned i = 0;
    int status = 0;

    QUEUE_FOREACH (node, &r->operations) {
        struct operation *op = QUEUE_ENTRY(node, struct operation, node);
        if (op->kind == OPERATION_WRITE) {
            status = gather_add(g, op, i);
        } else {
            status = gather_finish(g, i);
            if (status == 0)
                status = round_structural(r, op);
            if (status == 0)
                g->written = i + 1;
        }
        if (status != 0)
            return status;
        i++;
    }
    return gather_finish(g, i);
}

void round_run(struct round *r)
{
    struct gather *g = memory_alloc(sizeof(*g));

    memset(g, 0, offsetof(struct gather, iov));
    g->round = r;
    r->status = round_operations(r, g);
    r->done = r->status == 0 || error_is_transient(r->status) ? g->written : 0;
    free(g);
}
