/* One situation each, again and again, that faults at random seldom make: for guards that are about an order
 * of events, or about how long something takes. */
#ifndef SIM_CONSENSUS_PLOTS_H
#define SIM_CONSENSUS_PLOTS_H

#include "tests/sim/consensus/one_group.h"

enum consensus_plot {
    PLOT_STEADY_LOAD,       /* a proposal every moment: each is committed soon */
    PLOT_FIRST_COMMIT,      /* leaders are killed under load: the next one is soon ready */
    PLOT_LONG_SUFFIX,       /* an old leader comes back with entries that nobody else has: it soon agrees */
    PLOT_CROSSED_TRANSFERS, /* two followers are asked to take over, one of which was stopped meanwhile */
    PLOT_OLD_TERM,          /* who alone has everything has slept through some terms: it must be elected */
    PLOT_ONE_REPLICA,       /* a group of one loses power */
    PLOT_LATE_VOTE,         /* a voter that has heard of the term before, and loses power */
    PLOT_ROLLED_BACK,       /* a configuration that is taken back, when the one before has been compacted */
    PLOT_LOST_ANSWER,       /* a leader does not hear what a follower has stored, and forgotten since */
    PLOTS
};

unsigned plot_nodes(enum consensus_plot plot);
/* NULL, or what is wrong. */
const char *plot_run(struct one_group *r, enum consensus_plot plot);

#endif
