#include "node/group/classic_table.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

static struct classic_entry *find(const struct classic_table *t, const char *group)
{
    struct classic_entry *e;
    HASH_FIND_STR(t->entries, group, e);
    return e;
}

static void remove_entry(struct classic_table *t, struct classic_entry *e)
{
    HASH_DEL(t->entries, e);
    flotilla__classic_value__free_unpacked(e->value, NULL);
    free(e->group);
    free(e);
}

void classic_table_clear(struct classic_table *t)
{
    struct classic_entry *e, *next;
    HASH_ITER (hh, t->entries, e, next)
        remove_entry(t, e);
}

static void set(struct classic_table *t, const char *group, Flotilla__ClassicValue *value)
{
    struct classic_entry *e = find(t, group);
    if (e != NULL) {
        flotilla__classic_value__free_unpacked(e->value, NULL);
        e->value = value;
        return;
    }
    e = memory_zalloc(sizeof(*e));
    e->group = memory_strdup(group);
    e->value = value;
    HASH_ADD_KEYPTR(hh, t->entries, e->group, strlen(e->group), e);
}

int classic_table_apply(struct classic_table *t, const char *group, const void *value, size_t size)
{
    struct classic_entry *e = find(t, group);
    if (value == NULL) {
        if (e != NULL)
            remove_entry(t, e);
        return 0;
    }
    Flotilla__ClassicValue *unpacked = flotilla__classic_value__unpack(NULL, size, value);
    if (unpacked == NULL)
        return ERR_CORRUPT;
    set(t, group, unpacked);
    return 0;
}

const Flotilla__ClassicValue *classic_table_find(const struct classic_table *t, const char *group)
{
    const struct classic_entry *e = find(t, group);
    return e != NULL ? e->value : NULL;
}

Flotilla__ClassicEntry **classic_table_pack(const struct classic_table *t, size_t *count)
{
    size_t n = HASH_COUNT(t->entries);
    Flotilla__ClassicEntry **packed = memory_alloc((n + 1) * sizeof(*packed));
    *count = 0;
    for (struct classic_entry *e = t->entries; e != NULL; e = e->hh.next) {
        Flotilla__ClassicEntry *entry = memory_alloc(sizeof(*entry));
        flotilla__classic_entry__init(entry);
        entry->group = e->group;
        entry->value = e->value;
        packed[(*count)++] = entry;
    }
    return packed;
}

void classic_table_free_packed(Flotilla__ClassicEntry **packed, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(packed[i]);
    free(packed);
}

static Flotilla__ClassicValue *copy_of(const Flotilla__ClassicValue *value)
{
    size_t size = flotilla__classic_value__get_packed_size(value);
    uint8_t *bytes = memory_alloc(size + 1);
    flotilla__classic_value__pack(value, bytes);
    Flotilla__ClassicValue *copy = flotilla__classic_value__unpack(NULL, size, bytes);
    free(bytes);
    return copy;
}

int classic_table_unpack(struct classic_table *t, Flotilla__ClassicEntry *const *packed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Flotilla__ClassicValue *value = packed[i]->value != NULL ? copy_of(packed[i]->value) : NULL;
        if (value == NULL) {
            classic_table_clear(t);
            return ERR_CORRUPT;
        }
        set(t, packed[i]->group, value);
    }
    return 0;
}
