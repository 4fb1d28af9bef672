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

size_t offsets_table_count(const struct offsets_table *t)
{
    return t->count;
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

/* One OffsetEntry with what it points to; the table's own strings are borrowed. */
struct packed_offset {
    Flotilla__OffsetEntry entry;
    Flotilla__GroupKey key;
    Flotilla__OffsetValue value;
};

static void pack_entry(struct packed_offset *p, struct group_offsets *group, struct entry *entry)
{
    flotilla__offset_entry__init(&p->entry);
    flotilla__group_key__init(&p->key);
    flotilla__offset_value__init(&p->value);
    p->key.group = group->name;
    p->key.topic_id.data = entry->key.topic_id;
    p->key.topic_id.len = TOPIC_ID_SIZE;
    p->key.partition = entry->key.partition;
    p->value.offset = entry->offset;
    p->value.leader_epoch = entry->leader_epoch;
    p->value.commit_time_ms = entry->commit_time_ms;
    if (entry->metadata != NULL)
        p->value.metadata = entry->metadata;
    p->entry.key = &p->key;
    p->entry.value = &p->value;
}

void offsets_table_pack(const struct offsets_table *t, struct packed_offsets *out)
{
    out->count = 0;
    out->backing = memory_alloc((t->count + 1) * sizeof(out->backing[0]));
    out->entries = memory_alloc((t->count + 1) * sizeof(out->entries[0]));
    for (struct group_offsets *group = t->groups; group != NULL; group = group->hh.next) {
        for (struct entry *entry = group->entries; entry != NULL; entry = entry->hh.next) {
            struct packed_offset *p = &out->backing[out->count];
            pack_entry(p, group, entry);
            out->entries[out->count++] = &p->entry;
        }
    }
}

void packed_offsets_close(struct packed_offsets *p)
{
    free(p->entries);
    free(p->backing);
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
