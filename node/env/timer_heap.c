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
        h->timers[i]->position = 0;
    free(h->timers);
    *h = (struct timer_heap){0};
}

static bool before(const struct env_timer *a, const struct env_timer *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return a->sequence < b->sequence;
}

static void place(struct timer_heap *h, size_t i, struct env_timer *timer)
{
    h->timers[i] = timer;
    timer->position = i + 1;
}

static void sift_up(struct timer_heap *h, size_t i, struct env_timer *timer)
{
    while (i > 0 && before(timer, h->timers[(i - 1) / 2])) {
        place(h, i, h->timers[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, timer);
}

static void sift_down(struct timer_heap *h, size_t i, struct env_timer *timer)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->size)
            break;
        if (child + 1 < h->size && before(h->timers[child + 1], h->timers[child]))
            child++;
        if (!before(h->timers[child], timer))
            break;
        place(h, i, h->timers[child]);
        i = child;
    }
    place(h, i, timer);
}

/* Puts `timer` at the free place i. */
static void settle(struct timer_heap *h, size_t i, struct env_timer *timer)
{
    if (i > 0 && before(timer, h->timers[(i - 1) / 2]))
        sift_up(h, i, timer);
    else
        sift_down(h, i, timer);
}

static void grow(struct timer_heap *h)
{
    if (h->size < h->capacity)
        return;
    h->capacity = h->capacity == 0 ? 64 : 2 * h->capacity;
    h->timers = memory_realloc(h->timers, h->capacity * sizeof(*h->timers));
}

void timer_heap_start(struct timer_heap *h, struct env_timer *timer, uint64_t deadline_ns)
{
    timer->deadline_ns = deadline_ns;
    timer->sequence = h->next_sequence++;
    if (timer->position != 0) {
        settle(h, timer->position - 1, timer);
        return;
    }
    grow(h);
    h->size++;
    sift_up(h, h->size - 1, timer);
}

void timer_heap_stop(struct timer_heap *h, struct env_timer *timer)
{
    if (timer->position == 0)
        return;
    size_t i = timer->position - 1;
    ASSERT(i < h->size && h->timers[i] == timer);
    struct env_timer *last = h->timers[--h->size];
    timer->position = 0;
    if (last != timer)
        settle(h, i, last);
}

uint64_t timer_heap_next(const struct timer_heap *h)
{
    return h->size == 0 ? UINT64_MAX : h->timers[0]->deadline_ns;
}

unsigned timer_heap_run(struct timer_heap *h, uint64_t now_ns)
{
    /* A timer started by a callback is not due before `now_ns`, so at an equal deadline it stands behind all
     * older ones. */
    uint64_t end = h->next_sequence;
    unsigned fired = 0;
    while (h->size > 0 && h->timers[0]->deadline_ns <= now_ns && h->timers[0]->sequence < end) {
        struct env_timer *timer = h->timers[0];
        timer_heap_stop(h, timer);
        timer->cb(timer);
        fired++;
    }
    return fired;
}
