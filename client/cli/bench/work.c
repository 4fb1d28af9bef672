/* What the nodes do per record, in numbers that hardly depend on what else the machine does: instructions,
 * system calls, context switches. Counted by the kernel for each of their threads. */
#include "client/cli/bench/bench.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t system_call_event(void)
{
    static const char *const paths[] = {"/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
                                        "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id"};
    unsigned long long id = 0;
    for (size_t i = 0; id == 0 && i < sizeof(paths) / sizeof(paths[0]); i++) {
        FILE *file = fopen(paths[i], "re");
        if (file == NULL) {
            continue;
        }
        if (fscanf(file, "%llu", &id) != 1) {
            id = 0;
        }
        fclose(file);
    }
    return id;
}

static bool describe(enum bench_event event, struct perf_event_attr *attributes)
{
    memset(attributes, 0, sizeof(*attributes));
    attributes->size = sizeof(*attributes);
    attributes->inherit = 1; /* threads that come later */
    switch (event) {
    case BENCH_INSTRUCTIONS:
        attributes->type = PERF_TYPE_HARDWARE;
        attributes->config = PERF_COUNT_HW_INSTRUCTIONS;
        return true;
    case BENCH_SYSTEM_CALLS:
        attributes->type = PERF_TYPE_TRACEPOINT;
        attributes->config = system_call_event();
        return attributes->config != 0;
    case BENCH_SWITCHES:
        attributes->type = PERF_TYPE_SOFTWARE;
        attributes->config = PERF_COUNT_SW_CONTEXT_SWITCHES;
        return true;
    case BENCH_EVENTS:
        break;
    }
    return false;
}

static void count_thread(struct bench_work *w, enum bench_event event, pid_t thread)
{
    struct perf_event_attr attributes;
    if (w->count[event] < 0 || w->files == BENCH_WORK_FILES || !describe(event, &attributes)) {
        w->count[event] = -1;
        return;
    }
    long fd = syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) {
        w->count[event] = -1; /* part of it would be no figure */
        return;
    }
    w->file[w->files] = (int)fd;
    w->event[w->files++] = event;
}

static void count_process(struct bench_work *w, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    const struct dirent *entry;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        for (int event = 0; entry->d_name[0] != '.' && event < BENCH_EVENTS; event++) {
            count_thread(w, (enum bench_event)event, (pid_t)strtol(entry->d_name, NULL, 10));
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
}

void bench_work_begin(struct bench_work *w, const struct bench_cluster *b)
{
    memset(w, 0, sizeof(*w));
    for (unsigned i = 0; b->scratch && i < b->local.count; i++) {
        pid_t pid = 0;
        if (local_node_state(&b->local, b->local.nodes[i].id, &pid) != LOCAL_DOWN) {
            count_process(w, pid);
        }
    }
}

void bench_work_end(struct bench_work *w)
{
    bool any[BENCH_EVENTS] = {false};
    for (unsigned i = 0; i < w->files; i++) {
        uint64_t value = 0;
        enum bench_event event = w->event[i];
        if (w->count[event] >= 0 && read(w->file[i], &value, sizeof(value)) == (ssize_t)sizeof(value)) {
            w->count[event] += (double)value;
            any[event] = true;
        }
        close(w->file[i]);
    }
    for (int event = 0; event < BENCH_EVENTS; event++) {
        if (!any[event] || w->count[event] <= 0) {
            w->count[event] = NAN;
        }
    }
    w->files = 0;
}

void bench_report_work(struct bench_report *r, const double count[BENCH_EVENTS], uint64_t records,
                       const char *what)
{
    static const char *const units[BENCH_EVENTS] = {"instructions", "calls", "switches"};
    static const char *const names[BENCH_EVENTS] = {"instructions", "system calls", "context switches"};
    for (int event = 0; event < BENCH_EVENTS; event++) {
        bench_add(r, records > 0 ? count[event] / (double)records : NAN, units[event],
                  "%s: %s of all nodes per record", what, names[event]);
    }
}
