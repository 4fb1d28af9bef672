#include "node/base/memory.h"
#include "node/storage/recovery.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_CHUNK = 1024 * 1024 };

static int repair_failed(struct recovery *r, int status, const char *what, const char *path)
{
    if (status != 0)
        snprintf(r->report.message, sizeof(r->report.message), "cannot %s %.150s: %s", what, path,
                 error_text(status));
    r->status = status;
    return status;
}

/* ---- damaged files ---- */

/* Copies the bytes [start, end) to `position` in `to`, and syncs that. */
static int copy_range(struct env_file *from, uint64_t start, uint64_t end, struct env_file *to,
                      uint64_t position)
{
    unsigned char *chunk = memory_alloc(COPY_CHUNK);
    int status = 0;

    for (uint64_t at = start; at < end && status == 0;) {
        ssize_t n = env_file_read(from, chunk, COPY_CHUNK, at);
        if (n <= 0) {
            status = (int)n;
            break;
        }
        struct env_iovec iov = {chunk, (size_t)n};
        status = env_file_write(to, &iov, 1, position + (at - start));
        at += (uint64_t)n;
    }
    free(chunk);
    return status == 0 ? env_file_sync(to) : status;
}

/* What is cut off for damage is kept beside the log: somebody may want to know what it was. */
static int repair_keep_evidence(struct recovery *r, const struct segment *s, struct env_file *file)
{
    char suffix[48];
    char path[FORMAT_PATH_MAX];
    struct env_file *copy;
    uint64_t size;

    snprintf(suffix, sizeof(suffix), ".%" PRIu64 ".damaged", s->end.position);
    format_segment_path(path, r->directory, s->header.base_index, suffix);
    int status = env_file_size(file, &size);
    if (status == 0)
        status = env_file_open(r->env, path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &copy);
    if (status != 0)
        return status;
    status = copy_range(file, s->end.position, size, copy, 0);
    env_file_close(r->env, copy);
    return status;
}

static int repair_set_aside(struct recovery *r, uint64_t base_index)
{
    char from[FORMAT_PATH_MAX];
    char to[FORMAT_PATH_MAX];

    format_segment_path(from, r->directory, base_index, ".log");
    format_segment_path(to, r->directory, base_index, ".log.damaged");
    int status = env_rename(r->env, from, to);
    if (status != 0)
        return repair_failed(r, status, "rename", from);
    format_segment_path(from, r->directory, base_index, ".idx");
    status = env_remove(r->env, from);
    return repair_failed(r, status == ERR_NOT_FOUND ? 0 : status, "remove", from);
}

/* ---- the segments that stay ---- */

/* Whatever is not known to have been synced is written once more: after a sync that failed, the kernel shows
 * to the next process, and takes for clean, what never reached the disk. */
static int repair_rewrite(struct recovery *r, const struct segment *s, struct env_file *file)
{
    const struct place *at = segment_index_by_index(&s->index, r->floor_index + 1);

    return copy_range(file, at != NULL ? at->position : 0, s->end.position, file,
                      at != NULL ? at->position : 0);
}

static int repair_segment(struct recovery *r, const struct segment *s, bool last)
{
    char path[FORMAT_PATH_MAX];
    struct env_file *file;

    format_segment_path(path, r->directory, s->header.base_index, ".log");
    int status = env_file_open(r->env, path, ENV_WRITE, &file);
    if (status != 0)
        return repair_failed(r, status, "open", path);
    if (last && r->cut && r->report.damaged)
        status = repair_keep_evidence(r, s, file);
    if (status == 0 && last && r->cut)
        status = env_file_truncate(file, s->end.position);
    if (status == 0)
        status = repair_rewrite(r, s, file);
    env_file_close(r->env, file);
    return repair_failed(r, status, "cut", path);
}

static int repair_segments(struct recovery *r)
{
    if (r->marker_valid)
        return 0;
    QUEUE_FOREACH (node, &r->segments) {
        const struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        bool last = &s->node == queue_last(&r->segments);
        int status = last || s->end.index > r->floor_index + 1 ? repair_segment(r, s, last) : 0;
        if (status != 0)
            return status;
    }
    return 0;
}

static int repair_indexes(struct recovery *r)
{
    unsigned i = 0;

    QUEUE_FOREACH (node, &r->segments) {
        struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        bool last = &s->node == queue_last(&r->segments);
        if (!r->files[i++].rewrite_index)
            continue;
        int status = last ? segment_write_header(s, r->directory) : segment_write_index(s, r->directory);
        if (status != 0)
            return repair_failed(r, status, "write an index in", r->directory);
    }
    return 0;
}

static int repair_leftovers(struct recovery *r)
{
    char path[FORMAT_PATH_MAX];
    int status = 0;

    for (unsigned i = 0; i < r->orphan_count && status == 0; i++) {
        format_segment_path(path, r->directory, r->orphans[i], ".idx");
        status = env_remove(r->env, path);
    }
    if (status == 0 && r->marker_found && !r->marker_valid) {
        format_path(path, r->directory, "clean");
        status = env_remove(r->env, path);
    }
    if (status == ERR_NOT_FOUND)
        status = 0;
    return repair_failed(r, status, "remove leftovers in", r->directory);
}

void recovery_repair(struct recovery *r)
{
    if (r->directory_missing)
        return; /* it comes with the first segment */
    /* The newest first: a crash in between leaves a log without a hole. */
    for (unsigned i = r->file_count; i > r->kept_count; i--)
        if (repair_set_aside(r, r->files[i - 1].base_index) != 0)
            return;
    if (repair_segments(r) != 0 || repair_indexes(r) != 0 || repair_leftovers(r) != 0)
        return;
    if (!r->marker_valid)
        repair_failed(r, env_dir_sync(r->env, r->directory), "sync", r->directory);
}
