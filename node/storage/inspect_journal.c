#include "node/base/memory.h"
#include "node/storage/inspect_internal.h"
#include "node/storage/journal_format.h"
#include <inttypes.h>
#include <stdlib.h>

const char *inspect_journal_type_name(enum inspect_journal_type type)
{
    switch (type) {
    case INSPECT_JOURNAL_HARD_STATE:
        return "hard_state";
    case INSPECT_JOURNAL_SNAPSHOT:
        return "snapshot";
    case INSPECT_JOURNAL_FLOOR:
        return "floor";
    case INSPECT_JOURNAL_DAMAGED:
        return "damaged";
    case INSPECT_JOURNAL_FORGET:
        return "forget";
    case INSPECT_JOURNAL_FETCHED:
        return "fetched";
    }
    return "unknown";
}

/* ---- floors ---- */

static struct inspect_floor *find_floor(const struct inspect *in, uint64_t group_id)
{
    for (size_t i = 0; i < in->floor_count; i++)
        if (in->floors[i].group_id == group_id)
            return &in->floors[i];
    return NULL;
}

static void inspect_note_floor(struct inspect *in, uint64_t group_id, uint64_t index)
{
    struct inspect_floor *floor = find_floor(in, group_id);

    if (floor == NULL) {
        in->floors = memory_realloc(in->floors, (in->floor_count + 1) * sizeof(*in->floors));
        floor = &in->floors[in->floor_count++];
    }
    *floor = (struct inspect_floor){group_id, index};
}

uint64_t inspect_floor_of(const struct inspect *in, uint64_t group_id)
{
    const struct inspect_floor *floor = find_floor(in, group_id);

    return floor == NULL ? 0 : floor->index;
}

/* ---- records ---- */

static void show_record(struct inspect *in, const char *path, uint64_t position, uint64_t round,
                        const struct journal_record *r)
{
    struct inspect_journal_record shown = {.path = path,
                                           .position = position,
                                           .round = round,
                                           .type = (enum inspect_journal_type)r->type,
                                           .group_id = r->group_id};

    shown.term = r->type == JOURNAL_HARD_STATE ? r->numbers[0] : 0;
    shown.vote = r->type == JOURNAL_HARD_STATE ? r->numbers[1] : 0;
    shown.floor_index = r->type == JOURNAL_FLOOR ? r->numbers[0] : 0;
    shown.damaged = r->type == JOURNAL_DAMAGED && r->numbers[0] != 0;
    shown.emptied = r->type == JOURNAL_DAMAGED && (r->numbers[0] & JOURNAL_IS_EMPTIED) != 0;
    shown.known_end_term = r->type == JOURNAL_DAMAGED ? r->numbers[1] : 0;
    shown.known_end_index = r->type == JOURNAL_DAMAGED ? r->numbers[2] : 0;
    shown.at_rest = r->type == JOURNAL_DAMAGED && (r->numbers[0] & JOURNAL_IS_AT_REST) != 0;
    shown.fetched_from = r->type == JOURNAL_FETCHED ? r->numbers[0] : 0;
    if (r->type == JOURNAL_SNAPSHOT) {
        shown.snapshot = r->payload;
        shown.snapshot_size = r->payload_size;
    }
    in->summary->journal_records++;
    if (in->callbacks->journal_record != NULL)
        in->callbacks->journal_record(in->data, &shown);
    if (r->type == JOURNAL_FLOOR || r->type == JOURNAL_FORGET)
        inspect_note_floor(in, r->group_id, shown.floor_index);
}

static void show_frames(struct inspect *in, const char *path, const struct bytes *content,
                        uint64_t next_round)
{
    size_t at = JOURNAL_HEADER_SIZE;
    struct journal_record record;
    struct reader body;
    uint64_t round;
    int result;

    while (journal_frame_decode(content->data + at, content->size - at, &round, &body) == 0) {
        size_t size = JOURNAL_FRAME_HEADER_SIZE + reader_left(&body);
        if (round != next_round)
            inspect_problem(in, INSPECT_DAMAGE, path, at, "round %" PRIu64 " where %" PRIu64 " belongs",
                            round, next_round);
        while ((result = journal_record_decode(&body, &record)) == 1)
            show_record(in, path, at, round, &record);
        if (result < 0)
            inspect_problem(in, INSPECT_DAMAGE, path, at, "a record of this round cannot be read");
        in->summary->bytes += size;
        next_round = round + 1;
        at += size;
    }
    int64_t valid = journal_find_frame(content->data, content->size, at, next_round);
    size_t used = content->size;
    while (used > at && content->data[used - 1] == 0)
        used--;
    if (valid >= 0)
        inspect_problem(in, INSPECT_DAMAGE, path, at,
                        "the journal is damaged here; valid data follows at byte %" PRId64, valid);
    else if (used > at)
        inspect_problem(in, INSPECT_NOTE, path, at,
                        "%zu bytes of an unfinished write, which the node will cut", used - at);
}

int inspect_journal(struct inspect *in, const char *path)
{
    struct bytes content;
    uint64_t round;
    uint32_t version;

    bytes_init(&content);
    int status = segment_read_file(in->env, path, 1 << 30, &content);
    if (status == 0 && journal_header_decode(content.data, content.size, &version, &round) == 0)
        show_frames(in, path, &content, round);
    else if (status == 0)
        inspect_problem(in, INSPECT_DAMAGE, path, 0, "this is no journal: its header is damaged");
    bytes_close(&content);
    return status != 0 && status != ERR_NOT_FOUND ? inspect_failed(in, status, path) : status;
}
