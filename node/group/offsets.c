/* The state machine of __consumer_offsets' partitions: committed records go into the table. */
#include "node/group/offsets.h"

#include "node/base/memory.h"
#include "node/group/state.h"
#include "proto/crc32c.h"
#include <stdlib.h>
#include <string.h>

/* A commit is at most a batch of max.message.bytes; more than this, uncompressed, is none of ours. */
enum { UNCOMPRESSED_MAX = 64 * 1024 * 1024 };

static void *create(void *data, struct partition *p)
{
    struct group_state *state = memory_zalloc(sizeof(*state));
    state->partition = p;
    state->service = data;
    state->offsets = offsets_table_create();
    outbox_init(&state->outbox, p);
    return state;
}

static void destroy(void *data)
{
    struct group_state *state = data;
    coordinator_stop(state);
    outbox_close(&state->outbox);
    offsets_table_destroy(state->offsets);
    group_table_clear(&state->groups);
    classic_table_clear(&state->classic);
    free(state);
}

/* ---- records ---- */

static void apply_value(struct offsets_table *t, const Flotilla__GroupKey *key, const struct record *record)
{
    if (record->value == NULL) {
        offsets_table_set(t, key, NULL);
        return;
    }
    Flotilla__OffsetValue *value = flotilla__offset_value__unpack(NULL, record->value_size, record->value);
    if (value == NULL)
        return;
    offsets_table_set(t, key, value);
    flotilla__offset_value__free_unpacked(value, NULL);
}

static void apply_record(struct group_state *state, const struct record *record)
{
    if (record->key == NULL)
        return;
    Flotilla__GroupKey *key = flotilla__group_key__unpack(NULL, record->key_size, record->key);
    if (key == NULL)
        return;
    if (key->record == FLOTILLA__GROUP_RECORD__GROUP_RECORD_OFFSET)
        apply_value(state->offsets, key, record);
    else if (key->record == FLOTILLA__GROUP_RECORD__GROUP_RECORD_CLASSIC)
        (void)classic_table_apply(&state->classic, key->group, record->value, record->value_size);
    else
        (void)group_table_apply(&state->groups, key, record->value, record->value_size);
    flotilla__group_key__free_unpacked(key, NULL);
}

/* What doesn't parse is skipped, on every replica alike. */
static void apply(void *state, const struct batch_header *header, const struct slice *batch)
{
    (void)header;
    struct batch_reader reader;
    if (batch_reader_init(&reader, batch->data, batch->size, UNCOMPRESSED_MAX) != 0)
        return;
    struct record record;
    while (batch_reader_next(&reader, &record) == 1)
        apply_record(state, &record);
    batch_reader_close(&reader);
}

/* ---- snapshot ---- */

static void snapshot(void *data, struct bytes *out)
{
    const struct group_state *state = data;
    struct packed_groups groups;
    offsets_table_pack(state->offsets, out);
    group_table_pack(&state->groups, &groups);
    Flotilla__OffsetTable table = FLOTILLA__OFFSET_TABLE__INIT; /* what follows in one more piece of it */
    table.groups = groups.entries;
    table.n_groups = groups.count;
    table.classic = classic_table_pack(&state->classic, &table.n_classic);
    flotilla__offset_table__pack(&table, bytes_extend(out, flotilla__offset_table__get_packed_size(&table)));
    classic_table_free_packed(table.classic, table.n_classic);
    packed_groups_close(&groups);
}

static void clear(struct group_state *state)
{
    offsets_table_clear(state->offsets);
    group_table_clear(&state->groups);
    classic_table_clear(&state->classic);
}

static int restore(void *data, const void *bytes, size_t size)
{
    struct group_state *state = data;
    clear(state);
    if (size == 0)
        return 0;
    Flotilla__OffsetTable *table = flotilla__offset_table__unpack(NULL, size, bytes);
    if (table == NULL)
        return ERR_CORRUPT;
    int status = offsets_table_unpack(state->offsets, table->entries, table->n_entries);
    if (status == 0)
        status = group_table_unpack(&state->groups, table->groups, table->n_groups);
    if (status == 0)
        status = classic_table_unpack(&state->classic, table->classic, table->n_classic);
    flotilla__offset_table__free_unpacked(table, NULL);
    if (status != 0)
        clear(state);
    return status;
}

static void leading(void *data, bool leads, uint64_t term)
{
    struct group_state *state = data;
    if (state->service == NULL)
        return;
    if (leads)
        coordinator_start(state, term);
    else
        coordinator_stop(state);
}

const struct partition_state_machine offsets_state_machine = {
    .create = create,
    .destroy = destroy,
    .apply = apply,
    .snapshot = snapshot,
    .restore = restore,
    .leading = leading,
};

/* ---- reading ---- */

struct visit {
    const uint8_t *topic_id;
    void (*each)(void *data, const struct offset_commit *commit);
    void *data;
};

static void visit_entry(void *data, const struct offsets_entry *entry)
{
    const struct visit *visit = data;
    if (visit->topic_id != NULL && memcmp(visit->topic_id, entry->topic_id, TOPIC_ID_SIZE) != 0)
        return;
    struct offset_commit commit = {
        .partition = entry->partition,
        .offset = entry->offset,
        .leader_epoch = entry->leader_epoch,
        .metadata = entry->metadata,
        .commit_time_ms = entry->commit_time_ms,
    };
    memcpy(commit.topic_id, entry->topic_id, TOPIC_ID_SIZE);
    visit->each(visit->data, &commit);
}

int offsets_each(struct partition *coordinator, const char *group, const uint8_t *topic_id,
                 void (*each)(void *data, const struct offset_commit *commit), void *data)
{
    const struct group_state *state = partition_state(coordinator);
    if (state == NULL)
        return ERR_INVALID_ARGUMENT;
    struct visit visit = {.topic_id = topic_id, .each = each, .data = data};
    offsets_table_each(state->offsets, group, visit_entry, &visit);
    return 0;
}

/* ---- forgetting ---- */

void offsets_forget_one(const char *group, const struct offsets_entry *entry, struct group_records *records)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = (char *)(uintptr_t)group;
    key.topic_id = (ProtobufCBinaryData){TOPIC_ID_SIZE, (uint8_t *)(uintptr_t)entry->topic_id};
    key.partition = entry->partition;
    group_records_add(records, &key, NULL);
}

struct forget {
    const char *group;
    const struct partition_set *partitions;
    struct group_records *records;
    size_t count;
};

static void forget_entry(void *data, const struct offsets_entry *entry)
{
    struct forget *f = data;
    struct topic_partition p = {.partition = entry->partition};
    memcpy(p.topic_id, entry->topic_id, TOPIC_ID_SIZE);
    if (f->partitions != NULL && !partition_set_has(f->partitions, &p))
        return;
    offsets_forget_one(f->group, entry, f->records);
    f->count++;
}

size_t offsets_forget(const struct group_state *state, const char *group,
                      const struct partition_set *partitions, struct group_records *records)
{
    struct forget f = {.group = group, .partitions = partitions, .records = records};
    offsets_table_each(state->offsets, group, forget_entry, &f);
    return f.count;
}

uint32_t offsets_partition_for(const char *group, uint32_t partition_count)
{
    return crc32c(0, group, strlen(group)) % partition_count;
}
