#include "node/base/memory.h"
#include "node/storage/inspect_internal.h"
#include "node/storage/recovery.h"
#include "node/storage/walker.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The index file beside a segment. */
struct index_file {
    bool present; /* a valid header */
    bool final;   /* and a valid body */
    struct segment_header header;
    struct place end;
    struct segment_witness witness;
    unsigned n;
    struct place *entries;
};

static int index_file_read(struct inspect *in, const char *path, struct index_file *ix)
{
    struct bytes content;

    *ix = (struct index_file){0};
    bytes_init(&content);
    int status = segment_read_file(in->env, path, 1 << 20, &content);
    if (status == 0 && format_index_header_decode(content.data, content.size, &ix->header) == 0) {
        ix->present = true;
        ix->entries = memory_alloc(FORMAT_INDEX_MAX_ENTRIES * sizeof(*ix->entries));
        ix->final = format_index_body_decode(content.data + FORMAT_INDEX_HEADER_SIZE,
                                             content.size - FORMAT_INDEX_HEADER_SIZE, ix->header.version,
                                             &ix->end, &ix->witness, ix->entries, &ix->n) == 0;
    }
    if (status == 0 && (!ix->present || (!ix->final && content.size > FORMAT_INDEX_HEADER_SIZE)))
        inspect_problem(in, INSPECT_NOTE, path, 0, "the index is damaged; the node will rebuild it");
    bytes_close(&content);
    return status == ERR_NOT_FOUND ? 0 : status;
}

int inspect_index(struct inspect *in, const char *path)
{
    struct index_file ix;
    int status = index_file_read(in, path, &ix);

    for (unsigned i = 0; i < ix.n && in->callbacks->index_entry != NULL; i++) {
        const struct place *p = &ix.entries[i];
        struct inspect_index_entry entry = {path,      p->position, p->index,
                                            p->offset, p->term,     p->max_timestamp_ms};
        in->callbacks->index_entry(in->data, &entry);
    }
    free(ix.entries);
    return status != 0 ? inspect_failed(in, status, path) : 0;
}

/* ---- the walk ---- */

struct segment_walk {
    struct inspect *in;
    struct inspect_segment segment;
    struct env_file *file;
    struct index_file index;
    unsigned next_entry;
    struct inspect_chain *chain;
};

static void walk_records(struct segment_walk *s, const struct inspect_batch *batch)
{
    struct batch_reader reader;
    struct record record;
    int result = batch_reader_init(&reader, batch->bytes, batch->header.size, INSPECT_UNCOMPRESSED_MAX);

    while (result == 0 && (result = batch_reader_next(&reader, &record)) == 1) {
        s->in->callbacks->record(s->in->data, batch, &record);
        result = 0;
    }
    if (result < 0)
        inspect_problem(s->in, INSPECT_DAMAGE, s->segment.path, batch->position,
                        "the batch's records cannot be read: %s", error_text(result));
    batch_reader_close(&reader);
}

static void walk_batch(struct segment_walk *s, const struct place *before, const struct place *after,
                       const struct batch_header *header, const unsigned char *bytes)
{
    struct inspect_summary *summary = s->in->summary;
    struct inspect_batch batch = {.segment = &s->segment,
                                  .position = before->position,
                                  .index = before->index,
                                  .term = after->term,
                                  .header = *header,
                                  .crc_ok = true,
                                  .is_control = batch_is_control(header),
                                  .bytes = bytes};

    summary->batches++;
    summary->bytes += header->size;
    if (batch.is_control) {
        summary->control_batches++;
        (void)batch_control_decode(bytes, header->size, &batch.control);
    } else {
        summary->records += header->record_count > 0 ? (uint64_t)header->record_count : 0;
    }
    if (s->in->callbacks->batch != NULL)
        s->in->callbacks->batch(s->in->data, &batch);
    if (s->in->callbacks->record != NULL && !batch.is_control)
        walk_records(s, &batch);
}

/* A finished index is believed by the node, so each of its entries must be a batch's true place. */
static void walk_check_entry(struct segment_walk *s, const struct place *at)
{
    const struct place *entry;

    while (s->next_entry < s->index.n &&
           (entry = &s->index.entries[s->next_entry])->position <= at->position) {
        if (memcmp(entry, at, sizeof(*at)) != 0)
            inspect_problem(s->in, INSPECT_DAMAGE, s->segment.path, entry->position,
                            "the index points here for entry %" PRIu64 ", which is not what stands here",
                            entry->index);
        s->next_entry++;
    }
}

/* Another partition's file, or an older copy of this one, may be intact and fit in every other way. */
static void walk_check_witness(struct segment_walk *s, const struct place *at,
                               const struct batch_header *header)
{
    if (s->index.final && format_witness_contradicts(&s->index.witness, at->position, header->crc))
        inspect_problem(s->in, INSPECT_DAMAGE, s->segment.path, at->position,
                        "entry %" PRIu64
                        " is intact, but not the one that the index was made for: the file is "
                        "another partition's, or an older copy",
                        at->index);
}

static int walk_batches(struct segment_walk *s, struct place *at)
{
    struct batch_header header;
    const unsigned char *bytes;
    struct walker w;
    int result;

    walker_init(&w, s->file, at, s->segment.file_size, INSPECT_BATCH_MAX, true);
    for (;;) {
        *at = w.at;
        walk_check_entry(s, at);
        result = walker_next(&w, &header, &bytes);
        if (result != 1)
            break;
        walk_check_witness(s, at, &header);
        walk_batch(s, at, &w.at, &header, bytes);
    }
    walker_close(&w);
    return result == ERR_CORRUPT ? 0 : result;
}

/* ---- where the walk stopped ---- */

/* The bad batch itself, as far as its header can be read. */
static void show_bad_batch(struct segment_walk *s, const struct place *at)
{
    unsigned char head[BATCH_HEADER_SIZE];
    struct inspect_batch batch = {
        .segment = &s->segment, .position = at->position, .index = at->index, .term = at->term};

    if (s->in->callbacks->batch == NULL ||
        env_file_read(s->file, head, sizeof(head), at->position) != (ssize_t)sizeof(head) ||
        batch_header_decode(head, sizeof(head), INSPECT_BATCH_MAX, &batch.header) != 0 ||
        at->position + batch.header.size > s->segment.file_size)
        return;
    unsigned char *bytes = memory_alloc(batch.header.size);
    if (env_file_read(s->file, bytes, batch.header.size, at->position) == (ssize_t)batch.header.size) {
        batch.bytes = bytes;
        batch.crc_ok = batch_crc_ok(bytes, &batch.header);
        batch.is_control = batch_is_control(&batch.header);
        s->in->callbacks->batch(s->in->data, &batch);
    }
    free(bytes);
}

static int judge_end(struct segment_walk *s, const struct place *at)
{
    struct inspect *in = s->in;
    const char *path = s->segment.path;
    struct recovery_tail tail;
    int status = recovery_tail_inspect(s->file, at, INSPECT_BATCH_MAX, &tail);

    if (status != 0)
        return status;
    bool covered = s->index.final && s->index.end.position > at->position;
    if (tail.garbage == 0 && !covered)
        return 0;
    show_bad_batch(s, at);
    if (!s->chain->last || covered || tail.valid_far_behind || at->index <= s->chain->floor_index)
        inspect_problem(in, INSPECT_DAMAGE, path, at->position,
                        "entry %" PRIu64 " (offset %" PRId64 ") is damaged: %s", at->index, at->offset,
                        tail.valid_far_behind ? "valid batches stand behind it"
                        : covered             ? "the index says that it was complete"
                        : !s->chain->last     ? "another segment follows"
                                              : "the journal says that it had been synced");
    else
        inspect_problem(in, INSPECT_NOTE, path, at->position,
                        "%" PRIu64 " bytes of an unfinished write, which the node will cut", tail.garbage);
    return 0;
}

/* ---- one segment ---- */

static void derive_begin(struct segment_walk *s, struct place *at)
{
    unsigned char head[BATCH_HEADER_SIZE];
    struct batch_header header;

    if (env_file_read(s->file, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
        batch_header_decode(head, sizeof(head), INSPECT_BATCH_MAX, &header) == 0)
        at->offset = header.base_offset;
    else if (at->index > 1)
        s->segment.base_offset = -1;
}

static void segment_find_begin(struct segment_walk *s, struct place *at)
{
    const struct inspect_chain *chain = s->chain;
    bool usable = s->index.present && s->index.header.base_index == s->segment.base_index;

    *at = (struct place){.index = s->segment.base_index, .max_timestamp_ms = -1};
    if (chain->known) {
        at->offset = chain->at.offset;
        at->term = chain->at.term;
    } else if (usable) {
        at->offset = s->index.header.base_offset;
        at->term = s->index.header.previous_term;
    } else {
        derive_begin(s, at);
    }
    if (chain->known && usable &&
        (s->index.header.base_offset != at->offset || s->index.header.previous_term != at->term))
        inspect_problem(s->in, INSPECT_NOTE, s->segment.path, 0,
                        "the index belongs to another segment; the node will rebuild it");
    if (s->segment.base_offset == 0)
        s->segment.base_offset = at->offset;
    s->segment.previous_term = at->term;
    s->segment.has_index = usable;
    s->segment.index_final = usable && s->index.final;
}

static int segment_walk_file(struct segment_walk *s)
{
    struct place at;
    int status = env_file_size(s->file, &s->segment.file_size);

    if (status != 0)
        return status;
    segment_find_begin(s, &at);
    s->in->summary->segments++;
    if (s->in->callbacks->segment != NULL)
        s->in->callbacks->segment(s->in->data, &s->segment);
    status = walk_batches(s, &at);
    if (status == 0)
        status = judge_end(s, &at);
    s->chain->at = at;
    s->chain->known = true;
    return status;
}

int inspect_segment(struct inspect *in, const char *directory, uint64_t base_index,
                    struct inspect_chain *chain)
{
    char path[FORMAT_PATH_MAX];
    struct segment_walk s = {
        .in = in,
        .chain = chain,
        .segment = {.path = path, .group_id = chain->group_id, .base_index = base_index}};

    format_segment_path(path, directory, base_index, ".idx");
    int status = index_file_read(in, path, &s.index);
    if (status == 0) {
        format_segment_path(path, directory, base_index, ".log");
        status = env_file_open(in->env, path, ENV_READ, &s.file);
    }
    if (status == 0) {
        status = segment_walk_file(&s);
        env_file_close(in->env, s.file);
    }
    free(s.index.entries);
    return status != 0 ? inspect_failed(in, status, path) : 0;
}
