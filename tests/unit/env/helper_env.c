#include "tests/unit/env/helper_env.h"
#include <stdlib.h>
#include <string.h>

static void no_effect(struct env_timer *timer)
{
    (void)timer;
}

void helper_turn(struct env *env)
{
    struct env_timer wake = {0};
    env_timer_start(env, &wake, 5 * MS, no_effect);
    env_run_once(env, true);
    env_timer_stop(env, &wake);
}

void helper_directory(char *path)
{
    strcpy(path, "/tmp/flotilla-env-XXXXXX");
    assert_non_null(mkdtemp(path));
}

int helper_env_create(void **state)
{
    *state = env_uv_create(0);
    return 0;
}

int helper_env_destroy(void **state)
{
    env_destroy(*state);
    return 0;
}
