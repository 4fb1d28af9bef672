/* Processor time of the cluster under test and of this process, and the nodes' memory. */
#include "client/cli/bench.h"

#include <time.h>
#include <unistd.h>

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

double bench_resident_mib(const struct bench_cluster *b)
{
    double most = 0;
    for (unsigned i = 0; i < b->local.count; i++) {
        pid_t pid = 0;
        char path[64];
        unsigned long size = 0, resident = 0;
        if (local_node_state(&b->local, b->local.nodes[i].id, &pid) == LOCAL_DOWN) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
        FILE *file = fopen(path, "re");
        if (file == NULL) {
            continue;
        }
        if (fscanf(file, "%lu %lu", &size, &resident) == 2) {
            double mib = (double)resident * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
            most = mib > most ? mib : most;
        }
        fclose(file);
    }
    return most;
}
