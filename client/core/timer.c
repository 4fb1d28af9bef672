#include "client/core/timer.h"
#include <stdlib.h>

static void place(struct core_timers *t, size_t at, struct core_timer *timer)
{
    t->heap[at] = timer;
    timer->place = at;
}

static void move_up(struct core_timers *t, size_t at, struct core_timer *timer)
{
    for (; at > 1 && t->heap[at / 2]->at_ns > timer->at_ns; at /= 2)
        place(t, at, t->heap[at / 2]);
    place(t, at, timer);
}

static void move_down(struct core_timers *t, size_t at, struct core_timer *timer)
{
    for (;;) {
        size_t child = 2 * at;
        if (child + 1 <= t->count && t->heap[child + 1]->at_ns < t->heap[child]->at_ns)
            child++;
        if (child > t->count || t->heap[child]->at_ns >= timer->at_ns)
            break;
        place(t, at, t->heap[child]);
        at = child;
    }
    place(t, at, timer);
}

void core_timers_close(struct core_timers *timers)
{
    free(timers->heap);
    *timers = (struct core_timers){NULL, 0, 0};
}

static void make_room(struct core_timers *t)
{
    if (t->count + 1 < t->capacity)
        return;
    t->capacity = t->capacity != 0 ? 2 * t->capacity : 16;
    t->heap = realloc(t->heap, t->capacity * sizeof(struct core_timer *));
    if (t->heap == NULL)
        abort();
}

void core_timer_set(struct core_timers *timers, struct core_timer *timer, uint64_t at_ns)
{
    if (timer->place != 0 && timer->at_ns == at_ns)
        return;
    core_timer_clear(timers, timer);
    make_room(timers);
    timer->at_ns = at_ns;
    move_up(timers, ++timers->count, timer);
}

void core_timer_clear(struct core_timers *timers, struct core_timer *timer)
{
    size_t at = timer->place;

    if (at == 0)
        return;
    timer->place = 0;
    struct core_timer *last = timers->heap[timers->count--];
    if (last == timer)
        return;
    if (at > 1 && timers->heap[at / 2]->at_ns > last->at_ns)
        move_up(timers, at, last);
    else
        move_down(timers, at, last);
}

uint64_t core_timers_next(const struct core_timers *timers)
{
    return timers->count > 0 ? timers->heap[1]->at_ns : UINT64_MAX;
}

struct core_timer *core_timers_pop(struct core_timers *timers, uint64_t now_ns)
{
    if (core_timers_next(timers) > now_ns)
        return NULL;
    struct core_timer *timer = timers->heap[1];
    core_timer_clear(timers, timer);
    return timer;
}
