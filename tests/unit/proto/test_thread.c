#include "proto/thread.h"
#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define sched_param kernel_sched_param /* the C library has its own */
#include <linux/sched/types.h>
#undef sched_param

#include <cmocka.h>

static bool kernel_knows_turns(void)
{
    struct utsname name;
    int major = 0, minor = 0;
    assert_int_equal(uname(&name), 0);
    return sscanf(name.release, "%d.%d", &major, &minor) == 2 && (major > 6 || (major == 6 && minor >= 12));
}

static struct sched_attr attributes_now(void)
{
    struct sched_attr attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0)
        skip(); /* a sandbox without it */
    return attributes;
}

static void turns_are_short_and_nothing_else_changes(void **state)
{
    (void)state;
    struct sched_attr before = attributes_now();
    if (before.sched_policy != SCHED_NORMAL)
        skip();
    thread_turns_short();
    struct sched_attr after = attributes_now();
    assert_int_equal(after.sched_policy, before.sched_policy);
    assert_int_equal(after.sched_nice, before.sched_nice);
    if (kernel_knows_turns())
        assert_int_equal(after.sched_runtime, 100 * 1000);
}

static void another_policy_is_left_alone(void **state)
{
    (void)state;
    struct sched_attr batch = {.size = sizeof(batch), .sched_policy = SCHED_BATCH};
    batch.sched_nice = attributes_now().sched_nice;
    if (syscall(SYS_sched_setattr, 0, &batch, 0) != 0)
        skip();
    struct sched_attr before = attributes_now();
    thread_turns_short();
    assert_int_equal(attributes_now().sched_policy, SCHED_BATCH);
    assert_int_equal(attributes_now().sched_runtime, before.sched_runtime);
}

static void *look_at_mask(void *data)
{
    pthread_sigmask(SIG_BLOCK, NULL, data);
    return NULL;
}

static void a_thread_takes_no_signals_and_its_starter_still_does(void **state)
{
    (void)state;
    pthread_t thread;
    sigset_t inside, outside;
    assert_int_equal(thread_start(&thread, look_at_mask, &inside), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sigismember(&inside, SIGTERM), 1);
    assert_int_equal(sigismember(&inside, SIGPIPE), 1);
    pthread_sigmask(SIG_BLOCK, NULL, &outside);
    assert_int_equal(sigismember(&outside, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_short_and_nothing_else_changes),
        cmocka_unit_test(another_policy_is_left_alone),
        cmocka_unit_test(a_thread_takes_no_signals_and_its_starter_still_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
