#include "node/storage/recovery.h"
#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include "node/storage/walker.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void recovery_init(struct recovery *r, struct env *env, const char *directory, size_t max_batch_bytes,
                   uint64_t floor_index)
{
    *r = (struct recovery){.env = env,
                           .directory = directory,
                           .max_batch_bytes = max_batch_bytes,
                           .floor_index = floor_index,
                           .end = {.index = 1, .max_timestamp_ms = -1}};
    queue_init(&r->segments);
}

void recovery_close(struct recovery *r)
{
    while (!queue_empty(&r->segments)) {
        struct segment *s = QUEUE_ENTRY(queue_first(&r->segments), struct segment, node);
        queue_remove(&s->node);
        segment_unref(s);
    }
    free(r->files);
    free(r->orphans);
}

__attribute__((format(printf, 2, 3))) static void recovery_say(struct recovery *r, const char *format, ...)
{
    va_list arguments;

    if (r->report.message[0] != '\0')
        return; /* the first reason is the cause */
    va_start(arguments, format);
    vsnprintf(r->report.message, sizeof(r->report.message), format, arguments);
    va_end(arguments);
}

static int recovery_failed(struct recovery *r, int status, const char *what, const char *path)
{
    recovery_say(r, "cannot %s %s: %s", what, path, error_text(status));
    r->status = status;
    return status;
}

static void recovery_damage(struct recovery *r, uint64_t index)
{
    if (env_sabotaged(r->env, SABOTAGE_DAMAGE_CUT_AWAY))
        return;
    r->report.damaged = true;
    r->report.damaged_index = index;
}

/* ---- the directory ---- */

static void list_entry(void *data, const char *name)
{
    struct recovery *r = data;
    uint64_t base_index;

    if (format_segment_name_parse(name, ".log", &base_index)) {
        r->files = memory_realloc(r->files, (r->file_count + 1) * sizeof(*r->files));
        r->files[r->file_count++] = (struct recovery_file){.base_index = base_index};
    } else if (format_segment_name_parse(name, ".idx", &base_index)) {
        r->orphans = memory_realloc(r->orphans, (r->orphan_count + 1) * sizeof(*r->orphans));
        r->orphans[r->orphan_count++] = base_index;
    } else if (strcmp(name, "clean") == 0) {
        r->marker_found = true;
    }
}

static bool recovery_has_file(const struct recovery *r, uint64_t base_index)
{
    for (unsigned i = 0; i < r->file_count; i++)
        if (r->files[i].base_index == base_index)
            return true;
    return false;
}

static int recovery_list(struct recovery *r)
{
    unsigned orphans = 0;
    int status = env_dir_list(r->env, r->directory, list_entry, r);

    if (status == ERR_NOT_FOUND) {
        r->directory_missing = true;
        return 0;
    }
    if (status != 0)
        return recovery_failed(r, status, "list", r->directory);
    for (unsigned i = 0; i < r->orphan_count; i++)
        if (!recovery_has_file(r, r->orphans[i]))
            r->orphans[orphans++] = r->orphans[i];
    r->orphan_count = orphans;
    return 0;
}

static bool recovery_marker(struct recovery *r, struct clean_marker *marker)
{
    char path[FORMAT_PATH_MAX];
    struct bytes content;

    if (!r->marker_found || r->distrust)
        return false;
    bytes_init(&content);
    format_path(path, r->directory, "clean");
    bool valid = segment_read_file(r->env, path, FORMAT_MARKER_SIZE, &content) == 0 &&
                 format_marker_decode(content.data, content.size, marker) == 0;
    bytes_close(&content);
    return valid;
}

/* ---- one segment ---- */

struct candidate {
    struct segment *segment;
    struct env_file *file;
    uint64_t size;
    bool header_ok;
    bool foreign;  /* the index file belongs to another log, or to another file than this */
    bool finished; /* the index says more than where the segment begins */
    bool final;    /* and is believed: it covers the file up to `covered` */
    struct place covered;
};

static bool index_body_usable(const struct candidate *c, const struct place *entries, unsigned n)
{
    const struct segment_header *h = &c->segment->header;

    if (c->covered.index < h->base_index || c->covered.offset < h->base_offset ||
        c->covered.position > c->size)
        return false;
    return n == 0 || (entries[0].index > h->base_index && entries[n - 1].position < c->covered.position);
}

static void candidate_read_body(struct candidate *c, const struct bytes *content)
{
    struct place *entries = memory_alloc(FORMAT_INDEX_MAX_ENTRIES * sizeof(*entries));
    unsigned n;

    c->final = format_index_body_decode(content->data + FORMAT_INDEX_HEADER_SIZE,
                                        content->size - FORMAT_INDEX_HEADER_SIZE, c->segment->header.version,
                                        &c->covered, &c->segment->witness, entries, &n) == 0 &&
               index_body_usable(c, entries, n) && segment_index_load(&c->segment->index, entries, n);
    free(entries);
}

/* The index file: its header if it is this segment's and continues `at` (NULL: nothing before), and its body.
 */
static void candidate_read_index(struct recovery *r, struct candidate *c, uint64_t base_index,
                                 const struct place *at)
{
    char path[FORMAT_PATH_MAX];
    struct segment_header header;
    struct bytes content;

    bytes_init(&content);
    format_segment_path(path, r->directory, base_index, ".idx");
    bool valid = segment_read_file(r->env, path, FORMAT_INDEX_MAX_SIZE, &content) == 0 &&
                 format_index_header_decode(content.data, content.size, &header) == 0;
    c->foreign = valid && header.group_id != r->group_id;
    c->header_ok = valid && !c->foreign && header.base_index == base_index &&
                   (at == NULL || (header.base_offset == at->offset && header.previous_term == at->term));
    if (c->header_ok) {
        c->segment->header = header;
        c->segment->end = segment_begin(c->segment);
        c->finished = content.size > FORMAT_INDEX_HEADER_SIZE;
        candidate_read_body(c, &content);
    }
    bytes_close(&content);
}

/* Without a usable index file, the segment before tells where this one begins; for the first, its first
 * batch, unless it is the first of all, which begins at 0 whatever has become of that batch. */
static void candidate_derive_header(struct candidate *c, const struct place *at)
{
    struct segment_header *h = &c->segment->header;
    unsigned char first[BATCH_HEADER_SIZE];
    struct batch_header header;

    if (at != NULL) {
        h->base_offset = at->offset;
        h->previous_term = at->term;
    } else if (h->base_index > 1 &&
               env_file_read(c->file, first, sizeof(first), 0) == (ssize_t)sizeof(first) &&
               batch_header_decode(first, sizeof(first), INT32_MAX, &header) == 0 &&
               header.base_offset >= 0) {
        h->base_offset = header.base_offset;
    }
    c->segment->end = segment_begin(c->segment);
}

/* A finished index vouches for a file that may have been swapped or replaced: its first batch must fit. */
static bool candidate_first_batch_fits(const struct recovery *r, const struct candidate *c)
{
    struct place begin = segment_begin(c->segment);
    struct batch_header header;
    unsigned char first[4096];

    if (c->covered.position == 0)
        return true;
    ssize_t n = env_file_read(c->file, first, sizeof(first), 0);
    return n > 0 && place_step(&begin, first, (size_t)n, r->max_batch_bytes, false, &header) >= 0;
}

static int candidate_open(struct recovery *r, struct candidate *c, uint64_t base_index,
                          const struct place *at)
{
    struct segment_header header = {.base_index = base_index, .group_id = r->group_id};
    char path[FORMAT_PATH_MAX];

    *c = (struct candidate){.segment = segment_create(r->env, &header)};
    queue_push(&r->segments, &c->segment->node);
    format_segment_path(path, r->directory, base_index, ".log");
    int status = env_file_open(r->env, path, ENV_READ, &c->file);
    if (status == 0)
        status = env_file_size(c->file, &c->size);
    if (status != 0)
        return recovery_failed(r, status, "open", path);
    candidate_read_index(r, c, base_index, at);
    if (!c->header_ok)
        candidate_derive_header(c, at);
    enum recovery_fit fit = c->final && c->covered.position > 0
                                ? recovery_judge_file(r, c->file, &c->segment->witness)
                                : RECOVERY_FITS;
    c->foreign = c->foreign || fit == RECOVERY_FOREIGN;
    if (c->final && (fit != RECOVERY_FITS || r->distrust || !candidate_first_batch_fits(r, c))) {
        c->final = false;
        segment_note_cut(c->segment, 0);
    }
    if (c->final)
        c->segment->end = c->covered;
    return 0;
}

/* Checks all batches from the segment's `end` on, and moves it behind the last good one. */
static int candidate_scan(struct recovery *r, struct candidate *c)
{
    struct segment *s = c->segment;
    struct batch_header header;
    struct walker w;
    int result;

    walker_init(&w, c->file, &s->end, c->size, r->max_batch_bytes,
                !env_sabotaged(r->env, SABOTAGE_TORN_TAIL_ACCEPTED));
    for (;;) {
        struct place before = w.at;
        result = walker_next(&w, &header, NULL);
        if (result != 1)
            break;
        segment_note_batch(s, &before, &header);
        r->report.scanned_bytes += header.size;
    }
    s->end = w.at;
    walker_close(&w);
    if (result == 0 || result == ERR_CORRUPT)
        return 0;
    return recovery_failed(r, result, "read a segment in", r->directory);
}

/* ---- the last segment ---- */

static void recovery_judge_tail(struct recovery *r, const struct candidate *c,
                                const struct recovery_tail *tail)
{
    const struct place *end = &c->segment->end;

    if (tail->garbage == 0)
        return;
    r->cut = true;
    if (end->index <= r->floor_index) {
        recovery_damage(r, end->index);
        recovery_say(r,
                     "segment %020" PRIu64 ".log is damaged at byte %" PRIu64 ": entry %" PRIu64
                     " fails its check, and everything up to %" PRIu64 " had been synced",
                     c->segment->header.base_index, end->position, end->index, r->floor_index);
    } else if (tail->valid_far_behind) {
        recovery_damage(r, end->index);
        recovery_say(r,
                     "segment %020" PRIu64 ".log is damaged at byte %" PRIu64 ": entry %" PRIu64
                     " fails its check, but a valid batch stands at byte %" PRIu64,
                     c->segment->header.base_index, end->position, end->index, tail->valid_position);
    } else {
        r->report.torn_bytes = tail->garbage;
    }
}

static bool candidate_is_clean(const struct candidate *c, const struct clean_marker *marker)
{
    return c->final && marker->base_index == c->segment->header.base_index &&
           marker->end.position == c->size && memcmp(&marker->end, &c->covered, sizeof(c->covered)) == 0;
}

static int recovery_last(struct recovery *r, struct candidate *c, const struct clean_marker *marker)
{
    struct recovery_tail tail;

    if (marker != NULL && candidate_is_clean(c, marker)) {
        r->marker_valid = true;
        r->report.clean = true;
        return 0;
    }
    int status = candidate_scan(r, c);
    if (status != 0)
        return status;
    status = recovery_tail_inspect(c->file, &c->segment->end, r->max_batch_bytes, &tail);
    if (status != 0)
        return recovery_failed(r, status, "read a segment in", r->directory);
    recovery_judge_tail(r, c, &tail);
    return 0;
}

/* ---- a segment with another one behind it ---- */

static int recovery_sealed(struct recovery *r, struct candidate *c, uint64_t next_base_index)
{
    const struct segment *s = c->segment;

    if (!c->final || c->covered.position != c->size) {
        int status = candidate_scan(r, c);
        if (status != 0)
            return status;
    }
    if (s->end.index == next_base_index)
        return 0;
    recovery_damage(r, s->end.index);
    r->cut = s->end.position < c->size;
    if (r->cut)
        recovery_say(r,
                     "segment %020" PRIu64 ".log is damaged at byte %" PRIu64 ": entry %" PRIu64
                     " fails its check, and segment %020" PRIu64 ".log follows",
                     s->header.base_index, s->end.position, s->end.index, next_base_index);
    else
        recovery_say(
            r, "segment %020" PRIu64 ".log is missing, or out of place: the next file is %020" PRIu64 ".log",
            s->end.index, next_base_index);
    return 0;
}

/* ---- all ---- */

/* Valid to the last byte, and in the wrong place: this log ends before it. */
static void recovery_refuse_foreign(struct recovery *r, struct candidate *c)
{
    recovery_damage(r, r->end.index);
    recovery_say(
        r, "segment %020" PRIu64 ".log belongs to another partition's log, or to another time of this one",
        c->segment->header.base_index);
    queue_remove(&c->segment->node);
    segment_unref(c->segment);
}

static int recovery_segment(struct recovery *r, unsigned i, const struct clean_marker *marker)
{
    struct candidate c;
    const struct place at = r->end;
    int status = candidate_open(r, &c, r->files[i].base_index, i > 0 ? &at : NULL);

    if (status == 0 && !c.foreign) {
        bool last = i + 1 == r->file_count;
        status = last ? recovery_last(r, &c, marker) : recovery_sealed(r, &c, r->files[i + 1].base_index);
    }
    if (c.file != NULL)
        env_file_close(r->env, c.file);
    if (c.foreign) {
        recovery_refuse_foreign(r, &c);
        return status;
    }
    r->files[i].nameless = !c.header_ok;
    /* An index that is not believed would vouch, later, for what takes the place of what it was made for. */
    r->files[i].rewrite_index = !c.header_ok || (!c.final && (c.finished || c.segment->end.position > 0));
    c.segment->written = c.segment->end.position;
    r->end = c.segment->end;
    r->kept_count = i + 1;
    return status;
}

/* A file that was being created when the node died, with nothing that tells where it stands. */
static void recovery_drop_nameless(struct recovery *r)
{
    struct segment *s;

    if (r->kept_count != 1 || r->file_count != 1)
        return;
    s = QUEUE_ENTRY(queue_first(&r->segments), struct segment, node);
    if (!r->files[0].nameless || !segment_is_empty(s) || s->header.base_index == 1)
        return;
    queue_remove(&s->node);
    segment_unref(s);
    r->kept_count = 0;
    r->cut = false;
    r->end = (struct place){.index = 1, .max_timestamp_ms = -1};
}

static void recovery_check_floor(struct recovery *r)
{
    if (r->report.damaged || r->end.index > r->floor_index ||
        env_sabotaged(r->env, SABOTAGE_SHORT_LOG_SERVED))
        return;
    recovery_damage(r, r->end.index);
    recovery_say(r, "entries %" PRIu64 " to %" PRIu64 " are missing at the end of the log in %.120s",
                 r->end.index, r->floor_index, r->directory);
}

void recovery_inspect(struct recovery *r)
{
    struct clean_marker marker;

    r->status = recovery_list(r);
    if (r->status != 0)
        return;
    bool marked = recovery_marker(r, &marker);
    for (unsigned i = 0; i < r->file_count && !r->report.damaged; i++) {
        r->status = recovery_segment(r, i, marked ? &marker : NULL);
        if (r->status != 0)
            return;
    }
    recovery_drop_nameless(r);
    recovery_check_floor(r);
    if (r->report.damaged) {
        recovery_find_end(r);
        r->report.clean = false;
        r->marker_valid = false;
    }
}
