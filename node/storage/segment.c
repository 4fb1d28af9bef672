#include "node/storage/segment.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALLOCATE_FIRST = 64 * 1024,
    ALLOCATE_MAX = 16 * 1024 * 1024,
    ALLOCATE_PAGE = 4096,
};
/* A step used up within a second doubles the next one; one that lasted a minute halves it. */
static const uint64_t allocate_fast_ns = 1000000000u;
static const uint64_t allocate_slow_ns = 60000000000u;

struct segment *segment_create(struct env *env, const struct segment_header *header)
{
    struct segment *s = memory_zalloc(sizeof(*s));

    queue_init(&s->node);
    s->env = env;
    s->header = *header;
    s->references = 1;
    s->writer.step = ALLOCATE_FIRST;
    segment_index_init(&s->index);
    s->end = segment_begin(s);
    return s;
}

struct segment *segment_ref(struct segment *s)
{
    s->references++;
    return s;
}

static void segment_writer_close(struct segment *s)
{
    if (s->writer.file != NULL)
        env_file_close(s->env, s->writer.file);
    s->writer.file = NULL;
}

void segment_unref(struct segment *s)
{
    ASSERT(s->references > 0);
    if (--s->references > 0)
        return;
    segment_writer_close(s);
    if (s->read_file != NULL)
        env_file_close(s->env, s->read_file);
    segment_index_close(&s->index);
    free(s);
}

struct place segment_begin(const struct segment *s)
{
    return (struct place){.index = s->header.base_index,
                          .offset = s->header.base_offset,
                          .term = s->header.previous_term,
                          .max_timestamp_ms = -1};
}

void segment_note_batch(struct segment *s, const struct place *before, const struct batch_header *header)
{
    struct segment_witness *w = &s->witness;

    segment_index_note(&s->index, before);
    if (before->position == 0) {
        w->knows_first = true;
        w->first_crc = header->crc;
    }
    w->knows_last = true;
    w->last_position = before->position;
    w->last_crc = header->crc;
}

void segment_note_cut(struct segment *s, uint64_t position)
{
    struct segment_witness *w = &s->witness;

    segment_index_truncate(&s->index, position);
    w->knows_first = w->knows_first && position > 0;
    w->knows_last = w->knows_last && position > w->last_position;
}

void segment_index_image(const struct segment *s, struct bytes *image)
{
    format_index_header_encode(image, &s->header);
    format_index_body_encode(image, &s->end, &s->witness, s->index.entries, s->index.n);
}

/* ---- files ---- */

int segment_read_file(struct env *env, const char *path, size_t max, struct bytes *content)
{
    struct env_file *file;
    uint64_t size;
    int status = env_file_open(env, path, ENV_READ, &file);

    if (status != 0)
        return status;
    status = env_file_size(file, &size);
    if (status == 0 && size > max)
        status = ERR_TOO_LARGE;
    if (status == 0) {
        ssize_t n = env_file_read(file, bytes_extend(content, (size_t)size), (size_t)size, 0);
        status = n < 0 ? (int)n : 0;
        if (n >= 0)
            content->size = (size_t)n;
    }
    env_file_close(env, file);
    return status;
}

/* A sync that failed has lost what cannot be told: counted apart from other failures. A directory's needs a
 * descriptor: without one, it has not been tried. */
static int note_sync(bool *failed, int status)
{
    *failed = *failed || (status != 0 && status != ERR_TOO_MANY_FILES);
    return status;
}

/* `sync_failed` NULL: without a sync. */
static int write_file(struct env *env, const char *path, const struct bytes *content, bool *sync_failed)
{
    struct env_iovec iov = {content->data, content->size};
    struct env_file *file;
    int status = env_file_open(env, path, ENV_WRITE | ENV_CREATE, &file);

    if (status != 0)
        return status;
    status = env_file_truncate(file, content->size);
    if (status == 0)
        status = env_file_write(file, &iov, 1, 0);
    if (status == 0 && sync_failed != NULL)
        status = note_sync(sync_failed, env_file_sync(file));
    env_file_close(env, file);
    return status;
}

int segment_write_file(struct env *env, const char *path, const struct bytes *content)
{
    bool sync_failed = false;

    return write_file(env, path, content, &sync_failed);
}

int segment_write_file_lazy(struct env *env, const char *path, const struct bytes *content)
{
    return write_file(env, path, content, NULL);
}

static int write_header(struct segment *s, const char *directory, bool durable)
{
    char path[FORMAT_PATH_MAX];
    struct bytes header;

    bytes_init(&header);
    format_index_header_encode(&header, &s->header);
    format_segment_path(path, directory, s->header.base_index, ".idx");
    int status = write_file(s->env, path, &header, durable ? &s->writer.sync_failed : NULL);
    bytes_close(&header);
    return status;
}

int segment_write_header(struct segment *s, const char *directory)
{
    return write_header(s, directory, true);
}

static bool is_the_very_first(const struct segment_header *h)
{
    return h->base_index == 1 && h->base_offset == 0 && h->previous_term == 0;
}

int segment_write_index(struct segment *s, const char *directory)
{
    char path[FORMAT_PATH_MAX];
    struct bytes image;

    bytes_init(&image);
    segment_index_image(s, &image);
    format_segment_path(path, directory, s->header.base_index, ".idx");
    int status = segment_write_file(s->env, path, &image);
    bytes_close(&image);
    return status;
}

int segment_make_directory(struct env *env, const char *path)
{
    char parent[FORMAT_PATH_MAX];

    snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash != NULL && slash != parent)
        *slash = '\0';
    else
        snprintf(parent, sizeof(parent), "%s", slash != NULL ? "/" : ".");
    int status = env_dir_create(env, path);
    return status != 0 ? status : env_dir_sync(env, parent);
}

static int sync_name(struct segment *s, const char *directory)
{
    int status = env_sabotaged(s->env, SABOTAGE_DIRECTORY_NOT_SYNCED)
                     ? 0
                     : note_sync(&s->writer.sync_failed, env_dir_sync(s->env, directory));

    s->writer.name_unsynced = status != 0;
    return status;
}

int segment_file_create(struct segment *s, const char *directory)
{
    char path[FORMAT_PATH_MAX];
    /* A log's very first header says nothing that its name does not, and there is nothing before it that a
     * lost name would tear a hole behind: both may come with the data, or not at all. */
    bool is_first = is_the_very_first(&s->header);
    /* The header first: a segment is there once its .log is, and must then have its base values. */
    int status = write_header(s, directory, !is_first);

    if (status != 0)
        return status;
    segment_writer_close(s);
    format_segment_path(path, directory, s->header.base_index, ".log");
    status = env_file_open(s->env, path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &s->writer.file);
    if (status != 0)
        return status;
    s->writer.allocated = 0;
    s->writer.name_unsynced = true;
    return is_first ? 0 : sync_name(s, directory);
}

static int sync_data(struct segment *s)
{
    if (env_sabotaged(s->env, SABOTAGE_ACK_BEFORE_SYNC))
        return 0;
    int status = env_file_sync(s->writer.file);
    return env_sabotaged(s->env, SABOTAGE_SYNC_ERROR_IGNORED) ? 0 : status;
}

/* The directory last: what was made durable with the data need not be once more. */
int segment_file_sync(struct segment *s, const char *directory)
{
    int status = note_sync(&s->writer.sync_failed, sync_data(s));

    return status == 0 && s->writer.name_unsynced ? sync_name(s, directory) : status;
}

int segment_file_open(struct segment *s, const char *directory)
{
    char path[FORMAT_PATH_MAX];

    if (s->writer.file != NULL)
        return 0;
    format_segment_path(path, directory, s->header.base_index, ".log");
    int status = env_file_open(s->env, path, ENV_WRITE, &s->writer.file);
    return status != 0 ? status : env_file_size(s->writer.file, &s->writer.allocated);
}

static uint64_t whole_pages(uint64_t size)
{
    return (size + ALLOCATE_PAGE - 1) / ALLOCATE_PAGE * ALLOCATE_PAGE;
}

static void segment_adapt_step(struct segment_writer *w, uint64_t now_ns)
{
    uint64_t lasted_ns = now_ns - w->last_step_ns;

    if (w->last_step_ns != 0 && lasted_ns < allocate_fast_ns && w->step < ALLOCATE_MAX)
        w->step *= 2;
    else if (lasted_ns > allocate_slow_ns && w->step > ALLOCATE_FIRST)
        w->step /= 2;
    w->last_step_ns = now_ns;
}

int segment_file_reserve(struct segment *s, uint64_t end, uint64_t limit)
{
    struct segment_writer *w = &s->writer;

    if (end <= w->allocated)
        return 0;
    segment_adapt_step(w, env_clock_ns(s->env));
    uint64_t least = whole_pages(end);
    uint64_t wanted = whole_pages(end) + w->step;
    if (wanted > limit)
        wanted = least > limit ? least : whole_pages(limit);
    int status = env_file_allocate(w->file, w->allocated, wanted - w->allocated);
    if (status == ERR_NO_SPACE && wanted > least) {
        wanted = least;
        status = env_file_allocate(w->file, w->allocated, wanted - w->allocated);
    }
    if (status == 0)
        w->allocated = wanted;
    return status;
}

int segment_file_seal(struct segment *s, const char *directory, uint64_t size, const struct bytes *image)
{
    char path[FORMAT_PATH_MAX];
    int status = segment_file_open(s, directory);

    if (status == 0)
        status = env_file_truncate(s->writer.file, size);
    if (status == 0)
        status = note_sync(&s->writer.sync_failed, env_file_sync(s->writer.file));
    if (status != 0)
        return status;
    s->writer.allocated = size;
    format_segment_path(path, directory, s->header.base_index, ".idx");
    status = write_file(s->env, path, image, &s->writer.sync_failed);
    if (status == 0)
        segment_writer_close(s);
    return status;
}

int segment_file_leave(struct segment *s, const char *directory, const struct bytes *image)
{
    char path[FORMAT_PATH_MAX];
    int status = segment_file_open(s, directory);

    if (status == 0)
        status = env_file_truncate(s->writer.file, s->end.position);
    if (status != 0)
        return status;
    s->writer.allocated = s->end.position;
    format_segment_path(path, directory, s->header.base_index, ".idx");
    return segment_write_file_lazy(s->env, path, image);
}

/* A finished index would vouch for bytes that are about to be replaced; its header stays. */
static int segment_unfinish_index(struct segment *s, const char *directory)
{
    char path[FORMAT_PATH_MAX];
    struct env_file *file;
    uint64_t size;

    format_segment_path(path, directory, s->header.base_index, ".idx");
    int status = env_file_open(s->env, path, ENV_WRITE, &file);
    if (status != 0)
        return status;
    status = env_file_size(file, &size);
    if (status == 0 && size > FORMAT_INDEX_HEADER_SIZE) {
        status = env_file_truncate(file, FORMAT_INDEX_HEADER_SIZE);
        if (status == 0)
            status = note_sync(&s->writer.sync_failed, env_file_sync(file));
    }
    env_file_close(s->env, file);
    return status;
}

int segment_file_truncate(struct segment *s, const char *directory, uint64_t size)
{
    int status = segment_unfinish_index(s, directory);

    if (status == 0)
        status = segment_file_open(s, directory);
    if (status == 0)
        status = env_file_truncate(s->writer.file, size);
    if (status == 0)
        status = note_sync(&s->writer.sync_failed, env_file_sync(s->writer.file));
    s->writer.allocated = size;
    return status;
}

static int remove_if_there(struct env *env, const char *path)
{
    int status = env_remove(env, path);

    return status == ERR_NOT_FOUND ? 0 : status;
}

int segment_file_remove(struct segment *s, const char *directory)
{
    char path[FORMAT_PATH_MAX];

    segment_writer_close(s);
    format_segment_path(path, directory, s->header.base_index, ".log");
    int status = remove_if_there(s->env, path);
    if (status != 0)
        return status;
    format_segment_path(path, directory, s->header.base_index, ".idx");
    status = remove_if_there(s->env, path);
    /* At once, and per segment: a crash must leave a log without a hole, whatever order the entries reach the
     * disk in. */
    return status != 0 ? status : note_sync(&s->writer.sync_failed, env_dir_sync(s->env, directory));
}

/* ---- reading ---- */

void segment_read_begin(struct segment_read *r, struct segment *s)
{
    s->readers++;
    *r = (struct segment_read){.segment = segment_ref(s), .file = s->read_file};
}

int segment_read_open(struct segment_read *r, const char *directory)
{
    char path[FORMAT_PATH_MAX];

    if (r->file != NULL)
        return 0;
    format_segment_path(path, directory, r->segment->header.base_index, ".log");
    int status = env_file_open(r->segment->env, path, ENV_READ, &r->file);
    if (status != 0)
        r->file = NULL;
    r->opened = status == 0;
    return status;
}

void segment_read_end(struct segment_read *r)
{
    struct segment *s = r->segment;

    if (r->opened && s->read_file == NULL)
        s->read_file = r->file;
    else if (r->opened)
        env_file_close(s->env, r->file);
    s->readers--;
    segment_unref(s);
}
