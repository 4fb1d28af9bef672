/* The classic consumer groups of one __consumer_offsets partition, as their records say: what a new
 * coordinator goes on from. Pure; the same on every replica, because committed records alone change it. */
#ifndef GROUP_CLASSIC_TABLE_H
#define GROUP_CLASSIC_TABLE_H

#include "proto/classic.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <uthash.h>

struct classic_entry {
    char *group;
    Flotilla__ClassicValue *value;
    UT_hash_handle hh;
};

/* All zero is an empty one. */
struct classic_table {
    struct classic_entry *entries;
};

void classic_table_clear(struct classic_table *t);
/* One record; `value` NULL removes the group. ERR_CORRUPT changes nothing. */
int classic_table_apply(struct classic_table *t, const char *group, const void *value, size_t size);
/* NULL: no such group. */
const Flotilla__ClassicValue *classic_table_find(const struct classic_table *t, const char *group);

/* The snapshot: entries that reference the table, in no particular order. The array is the caller's to free.
 */
Flotilla__ClassicEntry **classic_table_pack(const struct classic_table *t, size_t *count);
void classic_table_free_packed(Flotilla__ClassicEntry **packed, size_t count);
/* Into an empty table. ERR_CORRUPT leaves it empty. */
int classic_table_unpack(struct classic_table *t, Flotilla__ClassicEntry *const *packed, size_t count);

#endif
