#include "kafka_meter_host.h"
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };

static void die(const char *why)
{
    (void)fprintf(stderr, "kafka_meter: %s\n", why);
    exit(1);
}

bool host_processes_parse(struct host_processes *p, const char *list)
{
    p->count = 0;
    while (*list != '\0') {
        char *end;
        long pid = strtol(list, &end, 10);
        if (end == list || pid <= 0 || p->count == HOST_PROCESSES_MAX)
            return false;
        p->pids[p->count++] = (int)pid;
        list = *end == ',' ? end + 1 : end;
    }
    return p->count > 0;
}

static bool read_proc(int pid, const char *name, char *text, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    size_t n = fread(text, 1, size - 1, file);
    text[n] = '\0';
    fclose(file);
    return n > 0;
}

static double cpu_s(int pid)
{
    char text[1024];
    unsigned long user = 0, system = 0;
    const char *name_end = read_proc(pid, "stat", text, sizeof(text)) ? strrchr(text, ')') : NULL;
    if (name_end == NULL ||
        sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return 0;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

double host_cpu_s(const struct host_processes *p)
{
    double sum = 0;
    for (unsigned i = 0; i < p->count; i++)
        sum += cpu_s(p->pids[i]);
    return sum;
}

double host_own_cpu_s(void)
{
    return cpu_s((int)getpid());
}

double host_resident_mib(const struct host_processes *p)
{
    double sum = 0;
    for (unsigned i = 0; i < p->count; i++) {
        char text[4096];
        unsigned long kib = 0;
        const char *at = read_proc(p->pids[i], "status", text, sizeof(text)) ? strstr(text, "VmRSS:") : NULL;
        if (at != NULL && sscanf(at, "VmRSS: %lu", &kib) == 1)
            sum += (double)kib / 1024;
    }
    return sum;
}

bool host_drop_caches(void)
{
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, "1", 1) == 1;
    if (fd >= 0)
        close(fd);
    return done;
}

static void fill_gap(char *line, size_t size, const char *command, int number)
{
    const char *gap = strstr(command, "{}");
    int before = gap != NULL ? (int)(gap - command) : (int)strlen(command);
    int n = gap != NULL ? snprintf(line, size, "%.*s%d%s", before, command, number, gap + 2)
                        : snprintf(line, size, "%s", command);
    if (n < 0 || (size_t)n >= size)
        die("the command is too long");
}

bool host_run(const char *command, int number)
{
    char line[LINE_SIZE];
    fill_gap(line, sizeof(line), command, number);
    return system(line) == 0;
}

pid_t host_start(const char *command, int number)
{
    char line[LINE_SIZE];
    char *words[] = {"sh", "-c", line, NULL};
    pid_t pid;
    fill_gap(line, sizeof(line), command, number);
    if (posix_spawn(&pid, "/bin/sh", NULL, NULL, words, environ) != 0)
        die("a command cannot be started");
    return pid;
}

bool host_has_ended(pid_t command)
{
    int status;
    pid_t ended = waitpid(command, &status, WNOHANG);
    if (ended == 0)
        return false;
    if (ended != command || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("a command has failed");
    return true;
}
