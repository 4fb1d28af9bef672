/* Where a log that is damaged somewhere in the middle had ended. It matters that this is no entry too early:
 * the replica goes on voting for whoever has at least as much. So what is not certain is not known.
 *
 * Certain is what follows from an intact segment's header by walking over intact batches. A bad batch is
 * passed when its own header says where the next one begins, the first intact one behind it begins just
 * there, and the offsets of both agree: then it is one, and has one index. */
#include "node/base/memory.h"
#include "node/storage/recovery.h"
#include "node/storage/walker.h"
#include <stdlib.h>

enum { HOLES_MAX = 16 };

struct end_search {
    struct recovery *recovery;
    struct env_file *file;
    uint64_t size;
    struct place at;
};

/* A size that is wrong may point at a batch as well, behind others: these are searched for. And the bad batch
 * must be damaged, not merely in a place that is not its own. */
static bool next_begins_at(const struct end_search *s, uint64_t position, struct batch_header *next)
{
    uint64_t first;

    return recovery_tail_search(s->file, &s->at, s->at.position, position + BATCH_HEADER_SIZE,
                                s->recovery->max_batch_bytes, &first) &&
           first == position && recovery_read_header(s->recovery, s->file, position, next);
}

static bool pass_bad_batch(struct end_search *s)
{
    struct batch_header bad, next;

    if (!recovery_read_header(s->recovery, s->file, s->at.position, &bad) || bad.last_offset_delta < -1 ||
        !next_begins_at(s, s->at.position + bad.size, &next) ||
        next.base_offset != s->at.offset + bad.last_offset_delta + 1)
        return false;
    s->at.position += bad.size;
    s->at.index++;
    s->at.offset = next.base_offset;
    if (!batch_is_control(&next))
        s->at.term = (uint64_t)next.leader_epoch; /* the bad one may have begun it */
    return true;
}

static bool pass_good_batches(struct end_search *s)
{
    struct batch_header header;
    struct walker w;
    int result;

    walker_init(&w, s->file, &s->at, s->size, s->recovery->max_batch_bytes, true);
    do
        result = walker_next(&w, &header, NULL);
    while (result == 1);
    s->at = w.at;
    walker_close(&w);
    return result == 0 || result == ERR_CORRUPT;
}

/* True: nothing but zeros follows. */
static bool search_end(struct end_search *s)
{
    struct recovery_tail tail;

    for (int holes = 0; holes < HOLES_MAX; holes++) {
        if (!pass_good_batches(s) ||
            recovery_tail_inspect(s->file, &s->at, s->recovery->max_batch_bytes, &tail) != 0)
            return false;
        if (tail.garbage == 0)
            return true;
        if (!pass_bad_batch(s))
            return false;
    }
    return false;
}

/* The last file may be another one than its index was made for. */
static bool is_foreign(const struct end_search *s, const struct bytes *index, uint32_t version)
{
    struct place *entries = memory_alloc(FORMAT_INDEX_MAX_ENTRIES * sizeof(*entries));
    struct segment_witness witness;
    struct place covered;
    unsigned n;

    bool foreign = format_index_body_decode(index->data + FORMAT_INDEX_HEADER_SIZE,
                                            index->size - FORMAT_INDEX_HEADER_SIZE, version, &covered,
                                            &witness, entries, &n) == 0 &&
                   covered.position > 0 &&
                   recovery_judge_file(s->recovery, s->file, &witness) == RECOVERY_FOREIGN;
    free(entries);
    return foreign;
}

/* Where to begin in the last file: where the log was found to end, if that is in it, or what its header says.
 */
static bool begin_search(struct end_search *s, uint64_t base_index)
{
    const struct recovery *r = s->recovery;
    struct segment_header header;
    struct bytes content;
    char path[FORMAT_PATH_MAX];

    if (r->kept_count == r->file_count) {
        s->at = r->end;
        return true;
    }
    bytes_init(&content);
    format_segment_path(path, r->directory, base_index, ".idx");
    bool valid = segment_read_file(r->env, path, FORMAT_INDEX_MAX_SIZE, &content) == 0 &&
                 format_index_header_decode(content.data, content.size, &header) == 0 &&
                 header.group_id == r->group_id && header.base_index == base_index &&
                 !is_foreign(s, &content, header.version);
    bytes_close(&content);
    if (valid)
        s->at = (struct place){.index = header.base_index,
                               .offset = header.base_offset,
                               .term = header.previous_term,
                               .max_timestamp_ms = -1};
    return valid;
}

void recovery_find_end(struct recovery *r)
{
    struct end_search s = {.recovery = r};
    char path[FORMAT_PATH_MAX];

    if (r->file_count == 0)
        return;
    uint64_t base_index = r->files[r->file_count - 1].base_index;
    format_segment_path(path, r->directory, base_index, ".log");
    if (env_file_open(r->env, path, ENV_READ, &s.file) != 0)
        return;
    if (env_file_size(s.file, &s.size) == 0 && begin_search(&s, base_index) && search_end(&s) &&
        s.at.index > r->floor_index && s.at.index > 1) {
        r->report.known_end_term = s.at.term;
        r->report.known_end_index = s.at.index - 1;
    }
    env_file_close(r->env, s.file);
}
