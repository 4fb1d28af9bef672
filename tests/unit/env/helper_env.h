/* What the tests of the real environment share. */
#ifndef UNIT_ENV_HELPER_ENV_H
#define UNIT_ENV_HELPER_ENV_H

#include "node/env/env.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

/* Runs the loop until `condition` holds; fails the test when that takes too long. */
#define RUN_UNTIL(env, condition)                                                                            \
    do {                                                                                                     \
        uint64_t run_until_end_ = env_clock_ns(env) + 60000 * MS;                                            \
        while (!(condition)) {                                                                               \
            assert_true(env_clock_ns(env) < run_until_end_);                                                 \
            helper_turn(env);                                                                                \
        }                                                                                                    \
    } while (0)

/* One turn of the loop that never waits longer than a few milliseconds. */
void helper_turn(struct env *env);

/* A fresh directory in `path` (of at least 64 bytes). */
void helper_directory(char *path);

/* cmocka set-up and tear-down: *state is an env. */
int helper_env_create(void **state);
int helper_env_destroy(void **state);

#endif
