/* Three whole nodes and their users in the simulator, for tests of what strikes and judges them there. What a
 * killed node held stays behind. */
#ifndef UNIT_SIM_GROUND_H
#define UNIT_SIM_GROUND_H

#include "tests/sim/nemesis.h"
#include "tests/sim/votes.h"

enum { GROUND_NODES = 3, GROUND_MS = 1000000 };

struct ground {
    struct sim *sim;
    struct counters counters;
    struct history history;
    struct sim_cluster cluster;
    struct workload workload;
    struct nemesis nemesis;
    struct votes votes;
    bool with_nemesis; /* else it does not step */
};

/* Until the first topics are there; nobody writes yet. */
void ground_begin(struct ground *g, uint64_t seed, unsigned sabotage, unsigned guards_off);
/* A moment passes, and all that is looked at between events is. */
void ground_step(struct ground *g);
/* False when it takes longer. */
bool ground_run_until(struct ground *g, uint64_t ms, bool (*done)(struct ground *g));
void ground_run(struct ground *g, uint64_t ms);
/* The nemesis, which does nothing but its plot. */
void ground_plot(struct ground *g, unsigned faults, enum plot_kind plot);

/* Whoever leads group 0 and is ready; waits for it. */
struct sim_node *ground_controller(struct ground *g);
void ground_isolate_from_nodes(struct ground *g, struct sim_node *n);

#endif
