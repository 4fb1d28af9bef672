#include "node/base/memory.h"
#include "node/storage/recovery.h"
#include <stdlib.h>
#include <string.h>

enum { TAIL_CHUNK = 1024 * 1024, SEARCH_PATIENCE = 64 * 1024 * 1024 };

/* ---- the last byte that is not zero ---- */

static size_t last_nonzero(const unsigned char *data, size_t size)
{
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word)) { /* mostly zeros: a fast way past them */
        memcpy(&word, data + size - sizeof(word), sizeof(word));
        if (word != 0)
            break;
    }
    while (size > 0 && data[size - 1] == 0)
        size--;
    return size;
}

static int tail_find_garbage(struct env_file *file, uint64_t from, uint64_t size, struct recovery_tail *tail)
{
    unsigned char *chunk = memory_alloc(TAIL_CHUNK);
    int status = 0;

    for (uint64_t at = from; at < size && status == 0;) {
        ssize_t n = env_file_read(file, chunk, TAIL_CHUNK, at);
        if (n <= 0) {
            status = (int)n;
            break;
        }
        size_t used = last_nonzero(chunk, (size_t)n);
        if (used > 0)
            tail->garbage = at + used - from;
        at += (uint64_t)n;
    }
    free(chunk);
    return status;
}

/* ---- a valid batch far behind ---- */

/* Cheap first: most bytes are no batch. */
static bool plausible_batch(const unsigned char *p, size_t left, size_t max_batch_bytes,
                            const struct place *at, struct batch_header *header)
{
    return p[16] == 2 && batch_header_decode(p, left, max_batch_bytes, header) == 0 &&
           header->base_offset >= at->offset && header->leader_epoch >= (int32_t)at->term;
}

struct tail_search {
    struct env_file *file;
    const struct place *at;
    size_t max_batch_bytes;
    unsigned char *batch; /* room for the largest candidate so far */
    size_t batch_capacity;
    uint64_t patience_bytes; /* of what looks like a batch and is none */
};

static int tail_check_candidate(struct tail_search *s, uint64_t position, const struct batch_header *header,
                                bool *valid)
{
    if (header->size > s->patience_bytes)
        return ERR_TOO_LARGE;
    s->patience_bytes -= header->size;
    if (header->size > s->batch_capacity) {
        s->batch = memory_realloc(s->batch, header->size);
        s->batch_capacity = header->size;
    }
    ssize_t n = env_file_read(s->file, s->batch, header->size, position);
    *valid = n == (ssize_t)header->size && batch_crc_ok(s->batch, header);
    return n < 0 ? (int)n : 0;
}

static int tail_search_chunk(struct tail_search *s, const unsigned char *chunk, size_t size,
                             uint64_t position, struct recovery_tail *tail)
{
    struct batch_header header;
    int status = 0;

    for (size_t i = 0; i + BATCH_HEADER_SIZE <= size && status == 0 && !tail->valid_far_behind; i++) {
        if (!plausible_batch(chunk + i, size - i, s->max_batch_bytes, s->at, &header))
            continue;
        status = tail_check_candidate(s, position + i, &header, &tail->valid_far_behind);
        tail->valid_position = position + i;
    }
    return status;
}

static int tail_find_batch(struct tail_search *s, uint64_t from, uint64_t end, struct recovery_tail *tail)
{
    unsigned char *chunk = memory_alloc(TAIL_CHUNK);
    int status = 0;

    while (from + BATCH_HEADER_SIZE <= end && status == 0 && !tail->valid_far_behind) {
        ssize_t n = env_file_read(s->file, chunk, TAIL_CHUNK, from);
        if (n < BATCH_HEADER_SIZE) {
            status = n < 0 ? (int)n : 0;
            break;
        }
        status = tail_search_chunk(s, chunk, (size_t)n, from, tail);
        from += (uint64_t)n - BATCH_HEADER_SIZE + 1;
    }
    free(chunk);
    return status;
}

bool recovery_tail_search(struct env_file *file, const struct place *at, uint64_t from, uint64_t end,
                          size_t max_batch_bytes, uint64_t *position)
{
    struct tail_search search = {
        .file = file, .at = at, .max_batch_bytes = max_batch_bytes, .patience_bytes = SEARCH_PATIENCE};
    struct recovery_tail tail = {0};

    int status = tail_find_batch(&search, from, end, &tail);
    free(search.batch);
    *position = tail.valid_position;
    return status == 0 && tail.valid_far_behind;
}

int recovery_tail_inspect(struct env_file *file, const struct place *at, size_t max_batch_bytes,
                          struct recovery_tail *tail)
{
    struct tail_search search = {
        .file = file, .at = at, .max_batch_bytes = max_batch_bytes, .patience_bytes = UINT64_MAX};
    uint64_t reach = max_batch_bytes > FORMAT_ROUND_MAX_BYTES ? max_batch_bytes : FORMAT_ROUND_MAX_BYTES;
    uint64_t size;

    *tail = (struct recovery_tail){0};
    int status = env_file_size(file, &size);
    if (status == 0)
        status = tail_find_garbage(file, at->position, size, tail);
    if (status == 0 && tail->garbage > reach)
        status = tail_find_batch(&search, at->position + reach, at->position + tail->garbage, tail);
    free(search.batch);
    return status;
}
