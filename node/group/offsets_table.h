/* The table of committed offsets: group, topic and partition -> offset. In memory, pure; fed with GroupKey /
 * OffsetValue. */
#ifndef GROUP_OFFSETS_TABLE_H
#define GROUP_OFFSETS_TABLE_H

#include "proto/bytes.h"
#include "proto/group.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct offsets_table;

struct offsets_table *offsets_table_create(void);
void offsets_table_destroy(struct offsets_table *t);
void offsets_table_clear(struct offsets_table *t);

/* Sets the key's offset, or with `value` NULL removes it. ERR_CORRUPT when key or value is out of its bounds
 * (they come from a log or a snapshot): the table stays as it was. */
int offsets_table_set(struct offsets_table *t, const Flotilla__GroupKey *key,
                      const Flotilla__OffsetValue *value);

struct offsets_entry {
    const uint8_t *topic_id; /* TOPIC_ID_SIZE bytes */
    uint32_t partition;
    int64_t offset;
    int32_t leader_epoch;
    const char *metadata;
    int64_t commit_time_ms;
};
/* `each` must not change the table. */
void offsets_table_each(const struct offsets_table *t, const char *group,
                        void (*each)(void *data, const struct offsets_entry *entry), void *data);

size_t offsets_table_group_count(const struct offsets_table *t);
bool offsets_table_has_group(const struct offsets_table *t, const char *group);
void offsets_table_each_group(const struct offsets_table *t, void (*each)(void *data, const char *group),
                              void *data);

/* The snapshot: appends the entries of a packed OffsetTable, whose other fields may follow. */
void offsets_table_pack(const struct offsets_table *t, struct bytes *out);
/* Replaces everything; ERR_CORRUPT leaves the table empty. */
int offsets_table_unpack(struct offsets_table *t, Flotilla__OffsetEntry *const *entries, size_t count);

#endif
