#include "node/consensus/group_map.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdlib.h>

enum { MIN_CAPACITY = 16 };

void group_map_close(struct group_map *t)
{
    free(t->slots);
    *t = (struct group_map){.slots = NULL};
}

/* Fibonacci hashing: ids are handed out one after the other. */
static size_t home(const struct group_map *t, uint64_t id)
{
    return (size_t)(id * 0x9E3779B97F4A7C15u >> 32) & (t->capacity - 1);
}

static size_t next(const struct group_map *t, size_t at)
{
    return (at + 1) & (t->capacity - 1);
}

/* Where the id is, or would go. */
static size_t position(const struct group_map *t, uint64_t id)
{
    size_t at = home(t, id);
    while (t->slots[at].group && t->slots[at].id != id)
        at = next(t, at);
    return at;
}

static void grow(struct group_map *t)
{
    struct group_map old = *t;
    t->capacity = old.capacity ? old.capacity * 2 : MIN_CAPACITY;
    t->slots = memory_zalloc(t->capacity * sizeof *t->slots);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].group)
            t->slots[position(t, old.slots[i].id)] = old.slots[i];
    free(old.slots);
}

void group_map_add(struct group_map *t, uint64_t id, struct group *group)
{
    if (2 * (t->count + 1) > t->capacity)
        grow(t);
    size_t at = position(t, id);
    ASSERT(!t->slots[at].group);
    t->slots[at] = (struct group_map_slot){id, group};
    t->count++;
}

/* Those behind it that would be searched for across the hole move up. */
void group_map_remove(struct group_map *t, uint64_t id)
{
    ASSERT(t->count > 0);
    size_t hole = position(t, id);
    ASSERT(t->slots[hole].group);
    for (size_t at = next(t, hole); t->slots[at].group; at = next(t, at)) {
        size_t distance = (at - home(t, t->slots[at].id)) & (t->capacity - 1);
        if (distance < ((at - hole) & (t->capacity - 1)))
            continue;
        t->slots[hole] = t->slots[at];
        hole = at;
    }
    t->slots[hole].group = NULL;
    t->count--;
}

struct group *group_map_find(const struct group_map *t, uint64_t id)
{
    return t->count > 0 ? t->slots[position(t, id)].group : NULL;
}
