/* What the meter sees and does of the brokers' processes, when they run on this machine. */
#ifndef TESTS_BENCH_KAFKA_METER_HOST_H
#define TESTS_BENCH_KAFKA_METER_HOST_H

#include <stdbool.h>
#include <sys/types.h>

enum { HOST_PROCESSES_MAX = 32 };

/* "1234,1235": of all nodes. Empty: not known, and what is asked about them is 0. */
struct host_processes {
    int pids[HOST_PROCESSES_MAX];
    unsigned count;
};

/* False: this is no such list. */
bool host_processes_parse(struct host_processes *p, const char *list);
double host_cpu_s(const struct host_processes *p);
double host_own_cpu_s(void); /* of this process */
double host_resident_mib(const struct host_processes *p);
/* The page cache is emptied, so that what is read next comes from the disk. False without the right to. */
bool host_drop_caches(void);
/* Runs a command of the shell in which "{}" stands for the number. False: it has failed. */
bool host_run(const char *command, int number);
/* The same beside this process. Ends this one when it fails. */
pid_t host_start(const char *command, int number);
bool host_has_ended(pid_t command);

#endif
