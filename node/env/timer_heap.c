#include "node/env/timer_heap.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdlib.h>

void timer_heap_init(struct timer_heap *h)
{
    *h = (struct timer_heap){0};
}

void timer_heap_close(struct timer_heap *h)
{
    for (size_t i = 0; i < h->size; i++)
        h->places[i].timer->position = 0;
    free(h->places);
    *h = (struct timer_heap){0};
}

static bool before(const struct timer_place *a, const struct timer_place *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->sequence < b->sequence;
}

static void put(struct timer_heap *h, size_t i, struct timer_place place)
{
    h->places[i] = place;
    place.timer->position = i + 1;
}

static void sift_up(struct timer_heap *h, size_t i, struct timer_place place)
{
    while (i > 0 && before(&place, &h->places[(i - 1) / 2])) {
        put(h, i, h->places[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(h, i, place);
}

static void sift_down(struct timer_heap *h, size_t i, struct timer_place place)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->size)
            break;
        if (child + 1 < h->size && before(&h->places[child + 1], &h->places[child]))
            child++;
        if (!before(&h->places[child], &place))
            break;
        put(h, i, h->places[child]);
        i = child;
    }
    put(h, i, place);
}

/* At the free place i, or where it belongs from there. */
static void settle(struct timer_heap *h, size_t i, struct timer_place place)
{
    if (i > 0 && before(&place, &h->places[(i - 1) / 2]))
        sift_up(h, i, place);
    else
        sift_down(h, i, place);
}

static void grow(struct timer_heap *h)
{
    if (h->size < h->capacity)
        return;
    h->capacity = h->capacity == 0 ? 64 : 2 * h->capacity;
    h->places = memory_realloc(h->places, h->capacity * sizeof(*h->places));
}

void timer_heap_start(struct timer_heap *h, struct env_timer *timer, uint64_t deadline_ns)
{
    const struct timer_place place = {deadline_ns, h->next_sequence++, timer};
    timer->deadline_ns = deadline_ns;
    timer->sequence = place.sequence;
    if (timer->position != 0) {
        settle(h, timer->position - 1, place);
        return;
    }
    grow(h);
    h->size++;
    sift_up(h, h->size - 1, place);
}

void timer_heap_stop(struct timer_heap *h, struct env_timer *timer)
{
    if (timer->position == 0)
        return;
    size_t i = timer->position - 1;
    ASSERT(i < h->size && h->places[i].timer == timer);
    const struct timer_place last = h->places[--h->size];
    timer->position = 0;
    if (last.timer != timer)
        settle(h, i, last);
}

uint64_t timer_heap_next(const struct timer_heap *h)
{
    return h->size == 0 ? UINT64_MAX : h->places[0].deadline_ns;
}

unsigned timer_heap_run(struct timer_heap *h, uint64_t now_ns)
{
    /* A timer started by a callback is not due before `now_ns`, so at an equal deadline it stands behind all
     * older ones. */
    uint64_t end = h->next_sequence;
    unsigned fired = 0;
    while (h->size > 0 && h->places[0].deadline_ns <= now_ns && h->places[0].sequence < end) {
        struct env_timer *timer = h->places[0].timer;
        timer_heap_stop(h, timer);
        timer->cb(timer);
        fired++;
    }
    return fired;
}
