/* Many runs: each in a process of its own, so that one that dies is a finding and not the end, and so that
 * the memory of killed nodes is given back. */
#ifndef SIM_SUITE_H
#define SIM_SUITE_H

#include "tests/sim/nemesis.h"
#include "tests/sim/run.h"

enum { SUITE_JOBS_MAX = 64 };

struct suite_options {
    struct run_options run; /* of the first; the others have the seeds that follow */
    unsigned runs;
    unsigned jobs;
    bool twice;    /* each seed a second time: the same hash */
    bool counters; /* print the table */
    bool ci;
    bool reduce;
    bool sabotage;
    bool rare; /* also what is seldom caught */
};

/* These give the program's exit status. */
int suite_run(const struct suite_options *o);
int suite_ci(const struct suite_options *o);
/* Looks for a smaller run that fails as well: fewer nodes, fewer kinds of faults, shorter. */
int suite_reduce(const struct suite_options *o);
int suite_sabotage(const struct suite_options *o);

#endif
