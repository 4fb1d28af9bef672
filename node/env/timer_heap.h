/* The running timers of one env, soonest first: a binary heap ordered by (deadline, start sequence). Used by
 * the real and the simulated environment, so that both fire equal deadlines in the same order. */
#ifndef ENV_TIMER_HEAP_H
#define ENV_TIMER_HEAP_H

#include "node/env/env.h"

struct timer_heap {
    struct timer_place { /* with all that orders it: nothing is looked up in the timers, which lie far apart
                          */
        uint64_t deadline_ns;
        uint64_t sequence;
        struct env_timer *timer;
    } * places; /* private from here */
    size_t size;
    size_t capacity;
    uint64_t next_sequence;
};

void timer_heap_init(struct timer_heap *h);
/* Timers that still run are forgotten. */
void timer_heap_close(struct timer_heap *h);
/* A running timer is moved to its new place. */
void timer_heap_start(struct timer_heap *h, struct env_timer *timer, uint64_t deadline_ns);
void timer_heap_stop(struct timer_heap *h, struct env_timer *timer);
/* The deadline of the soonest timer; UINT64_MAX when none runs. */
uint64_t timer_heap_next(const struct timer_heap *h);
/* Fires every timer that is due at `now_ns`; not those that the callbacks start. Returns how many. */
unsigned timer_heap_run(struct timer_heap *h, uint64_t now_ns);

#endif
