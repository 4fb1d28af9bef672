/* What a process has freed and does not take again is given back while its loop runs, and not before. */
#include "node/env/slack_timer.h"
#include "tests/unit/env/helper_env.h"
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, BLOCKS = 512, BLOCK_BYTES = 100 * 1024 };

static void *take_memory(void *blocks[BLOCKS])
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    return blocks[BLOCKS - 1];
}

/* All but the last, which keeps the others from going by themselves. */
static void free_memory(void *blocks[BLOCKS])
{
    for (unsigned i = 0; i + 1 < BLOCKS; i++)
        free(blocks[i]);
}

static void idle_memory_goes_again_and_again(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* another malloc, which gives back as it sees fit */
#endif
    static void *blocks[BLOCKS];
    struct env *env = *state;
    struct slack_timer timer;
    size_t before = slack_bytes();
    slack_timer_start(&timer, env, 2 * MS);
    for (unsigned round = 0; round < 2; round++) {
        void *last = take_memory(blocks);
        free_memory(blocks);
        assert_true(slack_bytes() > before + 40 * MIB);
        RUN_UNTIL(env, slack_bytes() < before + 10 * MIB);
        free(last);
    }
    slack_timer_stop(&timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(idle_memory_goes_again_and_again, helper_env_create,
                                        helper_env_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
