/* The state machine of __consumer_offsets' partitions: committed records go into the table. */
#include "node/group/offsets.h"

#include "node/group/offsets_table.h"
#include "proto/crc32c.h"
#include <string.h>

/* A commit is at most a batch of max.message.bytes; more than this, uncompressed, is none of ours. */
enum { UNCOMPRESSED_MAX = 64 * 1024 * 1024 };

static void *create(void *data, struct partition *p)
{
    (void)data;
    (void)p;
    return offsets_table_create();
}

static void destroy(void *state)
{
    offsets_table_destroy(state);
}

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

static void apply_record(struct offsets_table *t, const struct record *record)
{
    if (record->key == NULL)
        return;
    Flotilla__GroupKey *key = flotilla__group_key__unpack(NULL, record->key_size, record->key);
    if (key == NULL)
        return;
    apply_value(t, key, record);
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

static void snapshot(void *state, struct bytes *out)
{
    offsets_table_encode(state, out);
}

static int restore(void *state, const void *bytes, size_t size)
{
    return offsets_table_decode(state, bytes, size);
}

const struct partition_state_machine offsets_state_machine = {
    .create = create,
    .destroy = destroy,
    .apply = apply,
    .snapshot = snapshot,
    .restore = restore,
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
    };
    memcpy(commit.topic_id, entry->topic_id, TOPIC_ID_SIZE);
    visit->each(visit->data, &commit);
}

int offsets_each(struct partition *coordinator, const char *group, const uint8_t *topic_id,
                 void (*each)(void *data, const struct offset_commit *commit), void *data)
{
    const struct offsets_table *table = partition_state(coordinator);
    if (table == NULL)
        return ERR_INVALID_ARGUMENT;
    struct visit visit = {.topic_id = topic_id, .each = each, .data = data};
    offsets_table_each(table, group, visit_entry, &visit);
    return 0;
}

uint32_t offsets_partition_for(const char *group, uint32_t partition_count)
{
    return crc32c(0, group, strlen(group)) % partition_count;
}
