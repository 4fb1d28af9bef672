/* Limits, memory and the clock. */
#include "client/cli/doctor/doctor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>

enum { FILES_LEAST = 128, FILES_GOOD = 65536 };

static const uint64_t mib = 1024 * 1024;

void doctor_files(struct doctor_report *r, const struct node_config *config)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    uint64_t files = limit.rlim_max;
    enum doctor_state state = files < FILES_LEAST  ? DOCTOR_CHANGE
                              : files < FILES_GOOD ? DOCTOR_CONSIDER
                                                   : DOCTOR_FINE;
    struct doctor_finding *f =
        doctor_add(r, state, "files", "%" PRIu64 " open files are allowed here", files);
    if (state != DOCTOR_FINE) {
        doctor_advise(f,
                      "allow 1048576 (LimitNOFILE= in the unit, ulimit -n in a shell): a partition keeps a "
                      "few open, a client one");
    }
    if (config->max_connections > files / 2) {
        doctor_advise(
            doctor_add(r, DOCTOR_CHANGE, "files", "max-connections is %" PRIu32, config->max_connections),
            "allow more files, or the node takes no more than %" PRIu64
            " clients: half of the files are kept for partitions",
            files / 2);
    }
}

/* The first line of a small file of the kernel's; "" when there is none. */
static const char *read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    out[0] = 0;
    if (f != NULL) {
        if (fgets(out, (int)size, f) != NULL) {
            out[strcspn(out, "\n")] = 0;
        }
        fclose(f);
    }
    return out;
}

/* What this process may use: the machine's memory, or less in a container. */
static uint64_t memory_bytes(void)
{
    struct sysinfo info;
    char line[64];
    uint64_t machine = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
    uint64_t group = strtoull(read_line("/sys/fs/cgroup/memory.max", line, sizeof(line)), NULL, 10);
    return group > 0 && group < machine ? group : machine;
}

static void check_size(struct doctor_report *r, const struct node_config *config)
{
    char have[32], may[32];
    uint64_t memory = memory_bytes(), bounds = config->clients_bytes + config->produce_bytes + 256 * mib;
    cli_bytes(have, sizeof(have), memory);
    cli_bytes(may, sizeof(may), bounds);
    enum doctor_state state = bounds > memory           ? DOCTOR_CHANGE
                              : bounds > memory / 4 * 3 ? DOCTOR_CONSIDER
                                                        : DOCTOR_FINE;
    struct doctor_finding *f = doctor_add(
        r, state, "memory", "%s; the node may use %s, and cache-bytes for each partition", have, may);
    if (state != DOCTOR_FINE) {
        doctor_advise(
            f, "lower clients-bytes and produce-bytes: under full load the kernel would kill the node; "
               "what is left over serves readers as page cache");
    }
}

static void check_kernel(struct doctor_report *r)
{
    char line[128];
    if (strstr(read_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof(line)), "[always]") !=
        NULL) {
        doctor_advise(doctor_add(r, DOCTOR_CONSIDER, "memory", "transparent huge pages: always"),
                      "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled: the node's memory would be "
                      "rounded up to 2 MiB pages, and the kernel pauses it to build them");
    }
    if (strcmp(read_line("/proc/sys/vm/overcommit_memory", line, sizeof(line)), "2") == 0) {
        doctor_advise(doctor_add(r, DOCTOR_CONSIDER, "memory", "vm.overcommit_memory is 2"),
                      "sysctl vm.overcommit_memory=0: else allocations fail while there is memory left");
    }
    long swappiness = strtol(read_line("/proc/sys/vm/swappiness", line, sizeof(line)), NULL, 10);
    struct sysinfo info;
    if (sysinfo(&info) == 0 && info.totalswap > 0 && swappiness > 10) {
        doctor_advise(
            doctor_add(r, DOCTOR_CONSIDER, "memory", "swap is on, vm.swappiness is %ld", swappiness),
            "sysctl vm.swappiness=1, or swap off: a node that is swapped out looks dead to the others");
    }
}

void doctor_memory(struct doctor_report *r, const struct node_config *config)
{
    check_size(r, config);
    check_kernel(r);
}

void doctor_clock(struct doctor_report *r)
{
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);
    if (state < 0) {
        return;
    }
    if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0) {
        doctor_advise(
            doctor_add(r, DOCTOR_CONSIDER, "clock", "not kept in step by NTP"),
            "run chrony or systemd-timesyncd: records carry this clock's time, and retention goes by it");
        return;
    }
    doctor_add(r, DOCTOR_FINE, "clock", "kept in step, within %.1f ms", (double)t.maxerror / 1000);
}
