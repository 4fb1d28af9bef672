#include "client/cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A signal handler reaches nothing else. */
static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupts = interrupts + 1;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupt_count(void)
{
    return interrupts;
}
