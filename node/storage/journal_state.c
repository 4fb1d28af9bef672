#include "node/base/memory.h"
#include "node/storage/journal_internal.h"
#include <stdlib.h>

/* What a group needs at most in a rewritten file, besides its snapshot: hard state, snapshot, floor, damaged,
 * fetched. */
enum { GROUP_BYTES = JOURNAL_RECORD_HEADER_SIZE * 5 + 16 + 8 + JOURNAL_KNOWN_END_SIZE + 16 };

static struct journal_entry *journal_find(const struct journal *j, uint64_t group_id)
{
    struct journal_entry *e;

    HASH_FIND(hh, j->groups, &group_id, sizeof(group_id), e);
    return e;
}

/* Made when missing. */
static struct journal_entry *journal_entry(struct journal *j, uint64_t group_id)
{
    struct journal_entry *e = journal_find(j, group_id);

    if (e != NULL)
        return e;
    e = memory_zalloc(sizeof(*e));
    e->group_id = group_id;
    HASH_ADD(hh, j->groups, group_id, sizeof(e->group_id), e);
    j->live_bytes += GROUP_BYTES;
    return e;
}

static void journal_drop(struct journal *j, struct journal_entry *e)
{
    j->live_bytes -= GROUP_BYTES + e->state.snapshot.size;
    HASH_DEL(j->groups, e);
    slice_unref(&e->state.snapshot);
    free(e);
}

static void journal_set_snapshot(struct journal *j, struct journal_entry *e, const unsigned char *data,
                                 size_t size)
{
    struct slice copy = slice_copy(data, size); /* first: `data` may be the view that was handed out */

    j->live_bytes += size - e->state.snapshot.size;
    slice_unref(&e->state.snapshot);
    e->state.snapshot = copy;
}

void journal_apply(struct journal *j, const struct journal_record *record)
{
    struct journal_entry *e = journal_entry(j, record->group_id);

    switch (record->type) {
    case JOURNAL_HARD_STATE:
        e->state.term = record->numbers[0];
        e->state.vote = record->numbers[1];
        break;
    case JOURNAL_SNAPSHOT:
        journal_set_snapshot(j, e, record->payload, record->payload_size);
        break;
    case JOURNAL_FLOOR:
        e->state.floor_index = record->numbers[0];
        break;
    case JOURNAL_DAMAGED:
        e->state.damaged = record->numbers[0] != 0;
        e->state.emptied = (record->numbers[0] & JOURNAL_IS_EMPTIED) != 0;
        e->state.known_end_term = record->numbers[1];
        e->state.known_end_index = record->numbers[2];
        e->state.at_rest = (record->numbers[0] & JOURNAL_IS_AT_REST) != 0 && record->numbers[2] != 0;
        break;
    case JOURNAL_FETCHED:
        e->state.fetched_from = record->numbers[0];
        e->state.fetched_after_term = record->numbers[1];
        break;
    case JOURNAL_FORGET:
        journal_drop(j, e);
        break;
    }
}

static unsigned char damage_flags(const struct journal_group *state)
{
    unsigned flags = JOURNAL_IS_DAMAGED;

    if (state->emptied)
        flags |= JOURNAL_IS_EMPTIED;
    if (state->at_rest)
        flags |= JOURNAL_IS_AT_REST;
    return (unsigned char)flags;
}

static void encode_group(struct bytes *out, const struct journal_entry *e)
{
    unsigned char numbers[JOURNAL_KNOWN_END_SIZE];

    store_be64(numbers, e->state.term);
    store_be64(numbers + 8, e->state.vote);
    journal_record_encode(out, JOURNAL_HARD_STATE, e->group_id, numbers, 16);
    if (e->state.snapshot.size > 0)
        journal_record_encode(out, JOURNAL_SNAPSHOT, e->group_id, e->state.snapshot.data,
                              e->state.snapshot.size);
    store_be64(numbers, e->state.floor_index);
    journal_record_encode(out, JOURNAL_FLOOR, e->group_id, numbers, 8);
    numbers[0] = damage_flags(&e->state);
    store_be64(numbers + 1, e->state.known_end_term);
    store_be64(numbers + 9, e->state.known_end_index);
    if (e->state.damaged)
        journal_record_encode(out, JOURNAL_DAMAGED, e->group_id, numbers,
                              e->state.known_end_index != 0 ? JOURNAL_KNOWN_END_SIZE : JOURNAL_DAMAGED_SIZE);
    store_be64(numbers, e->state.fetched_from);
    store_be64(numbers + 8, e->state.fetched_after_term);
    if (e->state.fetched_from != 0)
        journal_record_encode(out, JOURNAL_FETCHED, e->group_id, numbers, 16);
}

void journal_encode_state(const struct journal *j, struct bytes *out)
{
    for (const struct journal_entry *e = j->groups; e != NULL; e = e->hh.next)
        encode_group(out, e);
}

void journal_free_state(struct journal *j)
{
    struct journal_entry *e, *next;

    HASH_ITER (hh, j->groups, e, next)
        journal_drop(j, e);
}

void journal_get(const struct journal *j, uint64_t group_id, struct journal_group *state)
{
    const struct journal_entry *e = journal_find(j, group_id);

    *state = e != NULL ? e->state : (struct journal_group){0};
}

void journal_each(const struct journal *j, void (*each)(void *data, uint64_t group_id), void *data)
{
    const struct journal_entry *next;

    for (const struct journal_entry *e = j->groups; e != NULL; e = next) {
        next = e->hh.next;
        each(data, e->group_id);
    }
}
