#include "node/storage/walker.h"
#include "node/base/memory.h"
#include <stdlib.h>

enum { WALKER_CHUNK = 128 * 1024, WALKER_WHOLE_CHUNK = 1024 * 1024 };

void walker_init(struct walker *w, struct env_file *file, const struct place *from, uint64_t end,
                 size_t max_batch_bytes, bool whole)
{
    *w = (struct walker){
        .at = *from, .file = file, .end = end, .max_batch_bytes = max_batch_bytes, .whole = whole};
}

void walker_close(struct walker *w)
{
    free(w->chunk);
    w->chunk = NULL;
}

static size_t walker_chunk_size(const struct walker *w, size_t need)
{
    size_t size = w->whole ? WALKER_WHOLE_CHUNK : WALKER_CHUNK;
    uint64_t left = w->end - w->at.position;

    if (size < need)
        size = need;
    return size < left ? size : (size_t)left;
}

/* Reads so that the chunk holds at least `need` bytes from w->at on, or all up to the end. */
static int walker_fill(struct walker *w, size_t need)
{
    size_t size = walker_chunk_size(w, need);

    if (size > w->capacity) {
        free(w->chunk);
        w->chunk = memory_alloc(size);
        w->capacity = size;
    }
    ssize_t n = env_file_read(w->file, w->chunk, size, w->at.position);
    w->chunk_position = w->at.position;
    w->size = n > 0 ? (size_t)n : 0;
    return n < 0 ? (int)n : 0;
}

static const unsigned char *walker_view(const struct walker *w, size_t *available)
{
    uint64_t chunk_end = w->chunk_position + w->size;

    if (w->at.position < w->chunk_position || w->at.position >= chunk_end) {
        *available = 0;
        return w->chunk;
    }
    *available = (size_t)(chunk_end - w->at.position);
    return w->chunk + (w->at.position - w->chunk_position);
}

int walker_next(struct walker *w, struct batch_header *header, const unsigned char **bytes)
{
    bool filled = false;

    if (w->at.position >= w->end)
        return 0;
    for (;;) {
        size_t available;
        const unsigned char *view = walker_view(w, &available);
        int result = place_step(&w->at, view, available, w->max_batch_bytes, w->whole, header);
        if (result == PLACE_BATCH && bytes != NULL)
            *bytes = view;
        if (result != PLACE_MORE)
            return result;
        if (filled && available < header->size && w->at.position + available >= w->end)
            return ERR_CORRUPT; /* the batch does not fit before the end */
        int status = walker_fill(w, header->size);
        if (status != 0)
            return status;
        if (filled && w->size <= available)
            return ERR_CORRUPT; /* the file is shorter than it was */
        filled = true;
    }
}

static int walker_seek(struct walker *w, bool (*passed)(const struct place *at, int64_t target),
                       int64_t target)
{
    struct batch_header header;

    for (;;) {
        struct place before = w->at;
        int result = walker_next(w, &header, NULL);
        if (result != 1)
            return result;
        if (passed(&w->at, target)) {
            w->at = before;
            return 1;
        }
    }
}

static bool place_passed_index(const struct place *at, int64_t target)
{
    return at->index > (uint64_t)target;
}

static bool place_passed_offset(const struct place *at, int64_t target)
{
    return at->offset > target;
}

int walker_seek_index(struct walker *w, uint64_t index)
{
    return walker_seek(w, place_passed_index, (int64_t)index);
}

int walker_seek_offset(struct walker *w, int64_t offset)
{
    return walker_seek(w, place_passed_offset, offset);
}
