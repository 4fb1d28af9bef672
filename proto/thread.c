#include "proto/thread.h"
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define sched_param kernel_sched_param /* the C library has its own */
#include <linux/sched/types.h>
#undef sched_param

enum { SHORT_TURN_NS = 100 * 1000 };

int thread_start(pthread_t *thread, void *(*run)(void *data), void *data)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, run, data);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void thread_turns_short(void)
{
    struct sched_attr attributes = {0};
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0) != 0 ||
        attributes.sched_policy != SCHED_NORMAL)
        return; /* who has chosen another policy for us knows better */
    attributes.sched_runtime = SHORT_TURN_NS;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}
