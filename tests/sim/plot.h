/* Faults in the order in which they hurt, where chance alone would seldom put them. A run has one kind of
 * plot at most, several times; between two of them the nemesis strikes at random, and while one is under way
 * it does nothing else.
 *
 *   deposed    a leader that does not know that it leads no more, with clients that reach nobody else
 *   amnesia    acknowledgements that don't arrive, and all nodes start again from snapshots before the retry
 *   betrayed   a voter that loses power as soon as somebody is elected, between candidates that don't see
 *              each other */
#ifndef SIM_PLOT_H
#define SIM_PLOT_H

#include "tests/sim/cluster.h"
#include "tests/sim/workload.h"

struct nemesis;

enum plot_kind { PLOT_OF_SEED, NO_PLOT, PLOT_DEPOSED, PLOT_AMNESIA, PLOT_BETRAYED, PLOTS };

struct plot {
    enum plot_kind kind;
    unsigned phase;        /* 0: none is under way */
    uint64_t next_ns;      /* the end of the phase; 0: this run has no plot */
    uint64_t deadline_ns;  /* of what the phase waits for */
    struct sim_node *node; /* the deposed leader; the voter */
    unsigned machine;      /* whose acknowledgements are lost */
    unsigned believers;    /* a mask of machines that only reach the deposed leader */
    unsigned elections;    /* of all groups together, when it began: a sum of terms */
    /* Deposed: where what it led ended, -1: others led. Amnesia: the last index of the machine's topic. */
    int64_t ends[HISTORY_TOPICS][HISTORY_PARTITIONS];
};

const char *plot_name(enum plot_kind kind);
/* False when there is none of that name: then all are listed. */
bool plot_parse(const char *text, unsigned *kind);
/* What a run has of those whose faults may occur. `wanted`: PLOT_OF_SEED, or which. */
enum plot_kind plot_choose(struct sim *sim, unsigned faults, enum plot_kind wanted);

/* For the nemesis. */
void plot_init(struct nemesis *n, enum plot_kind kind);
/* Between events; true while one is under way. */
bool plot_step(struct nemesis *n);

#endif
