/* Freed memory is given back when it has lain idle for a while, and not before. */
#include "node/base/slack.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MIB = 1024 * 1024, BLOCKS = 512, BLOCK_BYTES = 100 * 1024 };

static void what_lies_idle_is_given_back(void **state)
{
    (void)state;
    struct slack s = {.looks = 0};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 1; i < SLACK_LOOKS; i++)
            assert_false(slack_look(&s, 40 * MIB));
        assert_true(slack_look(&s, 40 * MIB));
        slack_note_left(&s, 1 * MIB);
    }
}

/* Between blocks that are in use: to look for it again and again would only take time. */
static void what_cannot_be_given_back_is_left_alone(void **state)
{
    (void)state;
    struct slack s = {.looks = 0};
    for (unsigned i = 1; i < SLACK_LOOKS; i++)
        assert_false(slack_look(&s, 60 * MIB));
    assert_true(slack_look(&s, 60 * MIB));
    slack_note_left(&s, 30 * MIB);
    for (unsigned i = 0; i < 10 * SLACK_LOOKS; i++)
        assert_false(slack_look(&s, (30 + i % 10) * MIB));
    for (unsigned i = 1; i < SLACK_LOOKS; i++)
        assert_false(slack_look(&s, 60 * MIB)); /* more has come, ... */
    assert_true(slack_look(&s, 60 * MIB));
    slack_note_left(&s, 30 * MIB);
    for (unsigned i = 0; i < SLACK_LOOKS; i++)
        assert_false(slack_look(&s, 5 * MIB)); /* ... and all has gone */
    for (unsigned i = 1; i < SLACK_LOOKS; i++)
        assert_false(slack_look(&s, 30 * MIB));
    assert_true(slack_look(&s, 30 * MIB));
}

static void what_is_taken_again_stays(void **state)
{
    (void)state;
    struct slack s = {.looks = 0};
    for (unsigned i = 0; i < 10 * SLACK_LOOKS; i++)
        assert_false(slack_look(&s, i % SLACK_LOOKS == 1 ? 1 * MIB : 40 * MIB));
}

static void it_is_seen_and_released(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* another malloc, which gives back as it sees fit */
#endif
    static void *blocks[BLOCKS];
    size_t before = slack_bytes();
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    for (unsigned i = 0; i + 1 < BLOCKS; i++) /* the last keeps them from going by themselves */
        free(blocks[i]);
    size_t freed = slack_bytes();
    assert_true(freed > before + 40 * MIB);
    slack_release();
    assert_true(slack_bytes() < before + 10 * MIB);
    free(blocks[BLOCKS - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_idle_is_given_back),
        cmocka_unit_test(what_cannot_be_given_back_is_left_alone),
        cmocka_unit_test(what_is_taken_again_stays),
        cmocka_unit_test(it_is_seen_and_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
