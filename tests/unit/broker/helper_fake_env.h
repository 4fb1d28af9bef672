/* An environment whose clock stands still until the test moves it; workers run at the next turn. */
#ifndef TEST_BROKER_HELPER_FAKE_ENV_H
#define TEST_BROKER_HELPER_FAKE_ENV_H

#include "node/env/env_ops.h"

struct fake_env {
    struct env env;
    uint64_t now_ns;
    int64_t wall_ms;
    struct env_work *jobs[64];
    unsigned job_count;
    char removed[256]; /* the last directory removed */
    int remove_status;
};

void fake_env_init(struct fake_env *e);
void fake_env_close(struct fake_env *e);
/* Workers, then deferred tasks, until there are none. */
void fake_env_turn(struct fake_env *e);
/* Moves both clocks, fires timers, then a turn. */
void fake_env_advance(struct fake_env *e, uint64_t ms);

#endif
