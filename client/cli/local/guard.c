#include "client/cli/local/guard.h"

#include <unistd.h>

static void *watch(void *argument)
{
    struct guard *g = argument;
    int signal;
    while (sigwait(&g->signals, &signal) != 0) {
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (g->before != NULL) {
        g->before();
    }
    if (!g->keep && g->cluster->directory[0] != 0) {
        local_destroy(g->cluster);
    }
    _exit(CLI_INTERRUPTED);
}

bool guard_start(struct guard *g, struct local_cluster *cluster, bool keep, void (*before)(void))
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP};
    *g = (struct guard){.cluster = cluster, .keep = keep, .before = before};
    sigemptyset(&g->signals);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct sigaction action;
        if (sigaction(wanted[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            sigaddset(&g->signals, wanted[i]);
        }
    }
    g->started =
        pthread_sigmask(SIG_BLOCK, &g->signals, NULL) == 0 && pthread_create(&g->thread, NULL, watch, g) == 0;
    return g->started;
}

void guard_stop(struct guard *g)
{
    if (g->started) {
        pthread_cancel(g->thread);
        pthread_join(g->thread, NULL);
    }
}
