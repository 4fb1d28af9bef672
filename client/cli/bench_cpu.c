/* Processor time: of the cluster under test, and of this process. */
#include "client/cli/bench.h"

#include <time.h>

double bench_server_cpu_seconds(const struct bench_cluster *b)
{
    return b->scratch ? local_cpu_seconds(&b->local) : 0;
}

double bench_client_cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}
