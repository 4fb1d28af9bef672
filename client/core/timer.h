/* Timers of the core: a binary heap, so that the next deadline of thousands of partitions is known at once.
 */
#ifndef CLIENT_CORE_TIMER_H
#define CLIENT_CORE_TIMER_H

#include <stddef.h>
#include <stdint.h>

struct core;

struct core_timer {
    uint64_t at_ns;                                          /* read-only */
    void (*cb)(struct core *core, struct core_timer *timer); /* set by the owner, once */
    size_t place;                                            /* private; 0: not armed */
};

struct core_timers {
    struct core_timer **heap; /* private; heap[1] is the earliest */
    size_t count;
    size_t capacity;
};

void core_timers_close(struct core_timers *timers);
/* Arms or moves a timer. */
void core_timer_set(struct core_timers *timers, struct core_timer *timer, uint64_t at_ns);
void core_timer_clear(struct core_timers *timers, struct core_timer *timer); /* armed or not */
/* UINT64_MAX: none. */
uint64_t core_timers_next(const struct core_timers *timers);
/* Disarms and returns the earliest that is due, or NULL. */
struct core_timer *core_timers_pop(struct core_timers *timers, uint64_t now_ns);

#endif
