/* Processor time of the cluster under test. */
#include "client/cli/bench.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static double process_cpu_seconds(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    const char *at = strrchr(text, ')'); /* the command name may hold anything */
    unsigned long user = 0, system = 0;
    if (at == NULL ||
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) {
        return 0;
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

double bench_server_cpu_seconds(const struct bench_cluster *b)
{
    double seconds = 0;
    for (unsigned i = 0; b->scratch && i < b->local.count; i++) {
        pid_t pid = 0;
        if (local_node_state(&b->local, b->local.nodes[i].id, &pid) != LOCAL_DOWN) {
            seconds += process_cpu_seconds(pid);
        }
    }
    return seconds;
}

double bench_client_cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}
