#include "node/group/offsets_table.h"

#include "node/base/memory.h"
#include "node/group/offsets.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/*   table -- group "email" -- (topic, partition) -> offset, epoch, metadata, time
 *        \-- group "audit" -- ...                                                   */

struct entry_key {
    uint8_t topic_id[TOPIC_ID_SIZE];
    uint32_t partition;
};

struct entry {
    struct entry_key key;
    int32_t leader_epoch;
    int64_t offset;
    int64_t commit_time_ms;
    char *metadata;
    UT_hash_handle hh;
};

struct group_offsets {
    struct entry *entries; /* never empty */
    UT_hash_handle hh;
    char name[];
};

struct offsets_table {
    struct group_offsets *groups;
    size_t count;
};

struct offsets_table *offsets_table_create(void)
{
    return memory_zalloc(sizeof(struct offsets_table));
}

static void entry_remove(struct offsets_table *t, struct group_offsets *group, struct entry *entry)
{
    HASH_DEL(group->entries, entry);
    free(entry->metadata);
    free(entry);
    t->count--;
}

void offsets_table_clear(struct offsets_table *t)
{
    struct group_offsets *group, *next_group;
    HASH_ITER (hh, t->groups, group, next_group) {
        struct entry *entry, *next;
        HASH_ITER (hh, group->entries, entry, next) {
            entry_remove(t, group, entry);
        }
        HASH_DEL(t->groups, group);
        free(group);
    }
}

void offsets_table_destroy(struct offsets_table *t)
{
    offsets_table_clear(t);
    free(t);
}

static struct group_offsets *group_find(const struct offsets_table *t, const char *name)
{
    struct group_offsets *group;
    HASH_FIND_STR(t->groups, name, group);
    return group;
}

static struct group_offsets *group_find_or_create(struct offsets_table *t, const char *name)
{
    struct group_offsets *group = group_find(t, name);
    if (group != NULL)
        return group;
    size_t size = strlen(name) + 1;
    group = memory_zalloc(sizeof *group + size);
    memcpy(group->name, name, size);
    HASH_ADD_STR(t->groups, name, group);
    return group;
}

static struct entry *entry_find(const struct group_offsets *group, const struct entry_key *key)
{
    struct entry *entry;
    HASH_FIND(hh, group->entries, key, sizeof *key, entry);
    return entry;
}

static struct entry *entry_find_or_create(struct offsets_table *t, struct group_offsets *group,
                                          const struct entry_key *key)
{
    struct entry *entry = entry_find(group, key);
    if (entry != NULL)
        return entry;
    entry = memory_zalloc(sizeof *entry);
    entry->key = *key;
    HASH_ADD(hh, group->entries, key, sizeof entry->key, entry);
    t->count++;
    return entry;
}

static void remove_key(struct offsets_table *t, const char *name, const struct entry_key *key)
{
    struct group_offsets *group = group_find(t, name);
    struct entry *entry = group != NULL ? entry_find(group, key) : NULL;
    if (entry == NULL)
        return;
    entry_remove(t, group, entry);
    if (group->entries == NULL) {
        HASH_DEL(t->groups, group);
        free(group);
    }
}

int offsets_table_set(struct offsets_table *t, const Flotilla__GroupKey *key,
                      const Flotilla__OffsetValue *value)
{
    size_t name_size = strlen(key->group);
    if (name_size == 0 || name_size > OFFSETS_GROUP_MAX || key->topic_id.len != TOPIC_ID_SIZE)
        return ERR_CORRUPT;
    struct entry_key entry_key = {.partition = key->partition};
    memcpy(entry_key.topic_id, key->topic_id.data, TOPIC_ID_SIZE);
    if (value == NULL) {
        remove_key(t, key->group, &entry_key);
        return 0;
    }
    if (value->offset < 0 || strlen(value->metadata) > OFFSETS_METADATA_MAX)
        return ERR_CORRUPT;
    struct entry *entry = entry_find_or_create(t, group_find_or_create(t, key->group), &entry_key);
    entry->offset = value->offset;
    entry->leader_epoch = value->leader_epoch;
    entry->commit_time_ms = value->commit_time_ms;
    free(entry->metadata);
    entry->metadata = value->metadata[0] != '\0' ? memory_strdup(value->metadata) : NULL;
    return 0;
}

static const char *metadata_of(const struct entry *entry)
{
    return entry->metadata != NULL ? entry->metadata : "";
}

void offsets_table_each(const struct offsets_table *t, const char *group_name,
                        void (*each)(void *data, const struct offsets_entry *entry), void *data)
{
    const struct group_offsets *group = group_find(t, group_name);
    if (group == NULL)
        return;
    for (const struct entry *entry = group->entries; entry != NULL; entry = entry->hh.next) {
        struct offsets_entry view = {
            .topic_id = entry->key.topic_id,
            .partition = entry->key.partition,
            .offset = entry->offset,
            .leader_epoch = entry->leader_epoch,
            .metadata = metadata_of(entry),
            .commit_time_ms = entry->commit_time_ms,
        };
        each(data, &view);
    }
}

size_t offsets_table_group_count(const struct offsets_table *t)
{
    return HASH_COUNT(t->groups);
}

bool offsets_table_has_group(const struct offsets_table *t, const char *group)
{
    return group_find(t, group) != NULL;
}

void offsets_table_each_group(const struct offsets_table *t, void (*each)(void *data, const char *group),
                              void *data)
{
    for (const struct group_offsets *group = t->groups; group != NULL; group = group->hh.next)
        each(data, group->name);
}

/* ---- snapshot ---- */

/* Written by hand, in the bytes that protobuf-c would give: a partition's state may hold a hundred thousand
 * entries, and the loop stands still meanwhile. */

static size_t varint_length(uint64_t value)
{
    return (64u - (unsigned)__builtin_clzll(value | 1) + 6) / 7;
}

static unsigned char *put_varint(unsigned char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

enum { FIELD_VARINT = 0, FIELD_BYTES = 2 };

/* All fields have numbers below 16; what is 0 or empty is left out. */
static size_t number_length(uint64_t value)
{
    return value != 0 ? 1 + varint_length(value) : 0;
}

static unsigned char *put_number(unsigned char *at, unsigned field, uint64_t value)
{
    if (value == 0)
        return at;
    *at++ = (unsigned char)(field << 3 | FIELD_VARINT);
    return put_varint(at, value);
}

static size_t bytes_length(size_t size)
{
    return size != 0 ? 1 + varint_length(size) + size : 0;
}

static unsigned char *put_length(unsigned char *at, unsigned field, size_t size)
{
    *at++ = (unsigned char)(field << 3 | FIELD_BYTES);
    return put_varint(at, size);
}

static unsigned char *put_bytes(unsigned char *at, unsigned field, const void *data, size_t size)
{
    if (size == 0)
        return at;
    at = put_length(at, field, size);
    memcpy(at, data, size);
    return at + size;
}

static uint64_t sign_extended(int32_t value)
{
    return (uint64_t)(int64_t)value;
}

/* OffsetEntry{GroupKey, OffsetValue} as one of OffsetTable.entries. */
static void pack_entry(struct bytes *out, const char *group, size_t group_size, const struct entry *e)
{
    size_t metadata_size = e->metadata != NULL ? strlen(e->metadata) : 0;
    size_t key = bytes_length(group_size) + bytes_length(TOPIC_ID_SIZE) + number_length(e->key.partition);
    size_t value = number_length((uint64_t)e->offset) + number_length(sign_extended(e->leader_epoch)) +
                   bytes_length(metadata_size) + number_length((uint64_t)e->commit_time_ms);
    size_t entry = bytes_length(key) + 1 + varint_length(value) + value;
    unsigned char *at = bytes_extend(out, bytes_length(entry));
    at = put_length(at, 1, entry);
    at = put_length(at, 1, key);
    at = put_bytes(at, 1, group, group_size);
    at = put_bytes(at, 2, e->key.topic_id, TOPIC_ID_SIZE);
    at = put_number(at, 3, e->key.partition);
    at = put_length(at, 2, value);
    at = put_number(at, 1, (uint64_t)e->offset);
    at = put_number(at, 2, sign_extended(e->leader_epoch));
    at = put_bytes(at, 3, e->metadata, metadata_size);
    put_number(at, 4, (uint64_t)e->commit_time_ms);
}

void offsets_table_pack(const struct offsets_table *t, struct bytes *out)
{
    for (const struct group_offsets *group = t->groups; group != NULL; group = group->hh.next) {
        size_t group_size = strlen(group->name);
        for (const struct entry *entry = group->entries; entry != NULL; entry = entry->hh.next)
            pack_entry(out, group->name, group_size, entry);
    }
}

int offsets_table_unpack(struct offsets_table *t, Flotilla__OffsetEntry *const *entries, size_t count)
{
    offsets_table_clear(t);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        const Flotilla__OffsetEntry *entry = entries[i];
        status = entry->key != NULL && entry->value != NULL ? offsets_table_set(t, entry->key, entry->value)
                                                            : ERR_CORRUPT;
    }
    if (status != 0)
        offsets_table_clear(t);
    return status;
}
