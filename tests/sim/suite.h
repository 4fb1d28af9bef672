/* Many runs in other processes, so that one that dies is a finding and not the end: some after each other in
 * the same, up to one that fails.
 *
 *   suite.c      runs seeds, and sums up
 *   ci.c         the fixed set, and what it must have met with
 *   reduce.c     a smaller run that fails as well
 *   sabotage.c   promises broken on purpose, and in how many seeds that is noticed */
#ifndef SIM_SUITE_H
#define SIM_SUITE_H

#include "tests/sim/nemesis.h"
#include "tests/sim/run.h"

enum { SUITE_JOBS_MAX = 64, VIOLATION_SIZE = 400 };

struct suite_options {
    struct run_options run; /* of the first; the others have the seeds that follow */
    uint64_t runs;          /* seeds; 0: as many as there is time for */
    uint64_t minutes;       /* 0: no limit */
    unsigned jobs;
    bool twice;         /* each seed a second time: the same hash */
    bool counters;      /* print the table */
    bool list;          /* a line for each seed, also for those that are fine */
    bool quiet;         /* say nothing */
    bool rates;         /* of sabotages: all seeds, also after the first that notices */
    bool stop_at_first; /* no new runs once one has failed */
};

struct suite_result {
    struct counters counters;
    uint64_t simulated_ms;
    uint64_t done, failed; /* runs */
    double took_s, cpu_s;
    uint64_t first_failed; /* the lowest seed that failed; of any use when failed > 0 */
    char violation[VIOLATION_SIZE];
};

void suite_run(const struct suite_options *o, struct suite_result *result);
/* The command that has the run again. */
void suite_print_replay(const struct run_options *o);
/* One seed on its own; true when it fails. */
bool suite_seed_fails(const struct run_options *o, char violation[VIOLATION_SIZE]);

/* These give the program's exit status. */
int suite_sweep(const struct suite_options *o);
int suite_ci(const struct suite_options *o);
int suite_reduce(const struct run_options *o);
/* Each sabotage until it is noticed, in at most o->runs seeds, `tries` times with other seeds. `only`: the
 * name of one, or NULL. */
int suite_sabotage(const struct suite_options *o, unsigned tries, const char *only);

#endif
