/* Waiting on a condition until a time on the monotonic clock. */
#ifndef CLIENT_CORE_WAIT_H
#define CLIENT_CORE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct wait_deadline {
    bool is_infinite;
    struct timespec at;
};

static inline void wait_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

/* Negative: never; 0: it has passed, which needs no look at the clock. */
static inline struct wait_deadline wait_deadline_after(int64_t timeout_ms)
{
    struct wait_deadline deadline = {.is_infinite = timeout_ms < 0};

    if (timeout_ms <= 0)
        return deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline.at);
    deadline.at.tv_sec += timeout_ms / 1000;
    deadline.at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (deadline.at.tv_nsec >= 1000000000) {
        deadline.at.tv_nsec -= 1000000000;
        deadline.at.tv_sec++;
    }
    return deadline;
}

/* False once the deadline has passed. */
static inline bool wait_until(pthread_cond_t *condition, pthread_mutex_t *lock,
                              const struct wait_deadline *deadline)
{
    if (deadline->is_infinite)
        return pthread_cond_wait(condition, lock) == 0;
    return pthread_cond_timedwait(condition, lock, &deadline->at) == 0;
}

#endif
