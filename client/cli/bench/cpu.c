/* Processor time of the cluster under test and of this process, and the nodes' memory. */
#include "client/cli/bench/bench.h"

#include <stdlib.h>
#include <string.h>
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

double bench_stolen_seconds(void)
{
    unsigned long long user, nice, system, idle, iowait, irq, softirq, stolen = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait,
               &irq, &softirq, &stolen) != 8) {
        stolen = 0;
    }
    fclose(file);
    return (double)stolen / (double)sysconf(_SC_CLK_TCK);
}

/* A line of /proc/PID/status in MiB; 0 when there is none. */
static double status_mib(pid_t pid, const char *name)
{
    char path[64], line[256];
    double kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kib = strtod(line + strlen(name), NULL);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib / 1024;
}

static double largest_mib(const struct bench_cluster *b, const char *name)
{
    double most = 0;
    for (unsigned i = 0; i < b->local.count; i++) {
        pid_t pid = 0;
        if (local_node_state(&b->local, b->local.nodes[i].id, &pid) == LOCAL_DOWN) {
            continue;
        }
        double mib = status_mib(pid, name);
        most = mib > most ? mib : most;
    }
    return most;
}

double bench_resident_mib(const struct bench_cluster *b)
{
    return largest_mib(b, "VmRSS:");
}

double bench_peak_resident_mib(const struct bench_cluster *b)
{
    return largest_mib(b, "VmHWM:");
}
