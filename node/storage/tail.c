#include "node/storage/tail.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdlib.h>

enum { TAIL_FIRST_CAPACITY = 16 };

void tail_init(struct tail *t)
{
    *t = (struct tail){0};
}

struct tail_entry *tail_at(const struct tail *t, size_t i)
{
    return &t->ring[(t->head + i) & (t->capacity - 1)];
}

static uint64_t tail_cost(const struct tail_entry *e)
{
    return e->bytes.size + sizeof(*e);
}

static void tail_pop_oldest(struct tail *t)
{
    struct tail_entry *e = tail_at(t, 0);

    t->bytes -= tail_cost(e);
    slice_unref(&e->bytes);
    t->head++;
    t->count--;
}

void tail_close(struct tail *t)
{
    while (t->count > 0)
        tail_pop_oldest(t);
    free(t->ring);
    *t = (struct tail){0};
}

static void tail_grow(struct tail *t)
{
    size_t capacity = t->capacity == 0 ? TAIL_FIRST_CAPACITY : t->capacity * 2;
    struct tail_entry *ring = memory_alloc(capacity * sizeof(*ring));

    for (size_t i = 0; i < t->count; i++)
        ring[i] = *tail_at(t, i);
    free(t->ring);
    t->ring = ring;
    t->capacity = capacity;
    t->head = 0;
}

void tail_push(struct tail *t, const struct place *at, int64_t next_offset, struct slice bytes)
{
    ASSERT(t->count == 0 || tail_at(t, t->count - 1)->at.index + 1 == at->index);
    if (t->count == t->capacity)
        tail_grow(t);
    t->count++;
    *tail_at(t, t->count - 1) = (struct tail_entry){*at, next_offset, bytes};
    t->bytes += tail_cost(tail_at(t, t->count - 1));
}

struct tail_entry *tail_find(const struct tail *t, uint64_t index)
{
    if (t->count == 0 || index < tail_at(t, 0)->at.index || index - tail_at(t, 0)->at.index >= t->count)
        return NULL;
    return tail_at(t, index - tail_at(t, 0)->at.index);
}

size_t tail_position_of_offset(const struct tail *t, int64_t offset)
{
    size_t low = 0;
    size_t high = t->count;

    if (t->count == 0 || tail_at(t, 0)->at.offset > offset)
        return t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tail_at(t, middle)->next_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void tail_truncate(struct tail *t, uint64_t index)
{
    while (t->count > 0 && tail_at(t, t->count - 1)->at.index >= index) {
        struct tail_entry *e = tail_at(t, t->count - 1);
        t->bytes -= tail_cost(e);
        slice_unref(&e->bytes);
        t->count--;
    }
}

void tail_drop_through(struct tail *t, uint64_t index)
{
    while (t->count > 0 && tail_at(t, 0)->at.index <= index)
        tail_pop_oldest(t);
}

void tail_evict(struct tail *t, uint64_t limit, uint64_t written_index)
{
    while (t->bytes > limit && t->count > 0 && tail_at(t, 0)->at.index <= written_index)
        tail_pop_oldest(t);
}
