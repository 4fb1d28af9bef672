/* A failed run made smaller, as long as it still fails: fewer nodes, clients, kinds of faults, shorter. */
#include "tests/sim/suite.h"
#include <stdio.h>

enum { SHORTEST_MS = 200, LONGEST_MS = 10000 };

/* Keeps a change of the run when it still fails. */
static bool try_smaller(struct run_options *o, const struct run_options *smaller)
{
    char violation[VIOLATION_SIZE];
    if (!suite_seed_fails(smaller, violation))
        return false;
    *o = *smaller;
    suite_print_replay(o);
    printf("    %s\n", violation);
    fflush(stdout);
    return true;
}

static bool reduce_nodes(struct run_options *o)
{
    struct run_options smaller = *o;
    smaller.nodes = 3;
    return o->nodes != 3 && try_smaller(o, &smaller);
}

static bool reduce_clients(struct run_options *o)
{
    struct run_options smaller = *o;
    smaller.clients = (o->clients != 0 ? o->clients : WORKLOAD_MACHINES) - 1;
    return smaller.clients > 0 && try_smaller(o, &smaller);
}

static bool reduce_faults(struct run_options *o)
{
    bool any = false;
    for (unsigned f = 0; f < FAULTS; f++) {
        struct run_options smaller = *o;
        smaller.faults &= ~(1u << f);
        if (smaller.faults != o->faults)
            any = try_smaller(o, &smaller) || any;
    }
    return any;
}

static bool reduce_duration(struct run_options *o)
{
    struct run_options smaller = *o;
    smaller.duration_ms = (o->duration_ms != 0 ? o->duration_ms : LONGEST_MS) * 2 / 3;
    return smaller.duration_ms >= SHORTEST_MS && try_smaller(o, &smaller);
}

int suite_reduce(const struct run_options *run)
{
    char violation[VIOLATION_SIZE];
    struct run_options o = *run;
    o.verbose = false;
    if (!suite_seed_fails(&o, violation)) {
        printf("seed %llu does not fail\n", (unsigned long long)o.seed);
        return 2;
    }
    printf("looking for a smaller run that fails as well: %s\n", violation);
    while (reduce_nodes(&o) || reduce_clients(&o) || reduce_faults(&o) || reduce_duration(&o))
        ;
    return 1;
}
