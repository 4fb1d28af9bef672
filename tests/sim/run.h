/* One run: a cluster, its users and its nemesis, from one seed, with all that is checked. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "tests/sim/counters.h"
#include <stdbool.h>
#include <stdint.h>

struct run_options {
    uint64_t seed;
    unsigned nodes;       /* 0: the seed decides */
    unsigned faults;      /* a mask of enum fault: those that may occur */
    unsigned guards_off;  /* sabotage: a mask of enum consensus_guard */
    unsigned sabotage;    /* a mask of 1 << enum sabotage */
    unsigned clients;     /* machines; 0: all */
    unsigned members;     /* of groups; 0: the seed decides, else one more than their number */
    unsigned profile;     /* of the nemesis; 0: the seed decides, else one more than its number */
    unsigned plot;        /* an enum plot_kind */
    uint64_t duration_ms; /* of the time with faults; 0: the seed decides */
    bool verbose;         /* a time line of everything on stderr */
};

/* Plain memory without pointers: it may be shared with a parent process. */
struct run_result {
    bool complete; /* false: the process died before the end */
    char violation[400];
    uint64_t hash;
    uint64_t simulated_ms;
    unsigned nodes;
    struct counters counters;
};

/* Leaves all its memory behind, which heap_begin gives back: run it in a process of one's own. */
void run_seed(const struct run_options *options, struct run_result *result);

#endif
