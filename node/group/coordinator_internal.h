/* What coordinator.c and groups.c share. */
#ifndef GROUP_COORDINATOR_INTERNAL_H
#define GROUP_COORDINATOR_INTERNAL_H

#include "node/group/state.h"

enum { GROUPS_METRICS = 7, GROUPS_GAUGES = 3 };

struct groups {
    struct groups_options options;
    struct partition_state_machine machine;
    struct queue coordinators;
    struct groups_stats stats;
    struct metric counters[GROUPS_METRICS];
    struct metric gauges[GROUPS_GAUGES];
    uint64_t log_window_ms; /* the second at hand, and its lines */
    unsigned log_lines, log_suppressed;
};

struct coordinator {
    struct groups *service;
    struct group_state *state;
    struct engine *engine;
    struct classic_coordinator *classic;
    uint64_t term;
    struct queue node;    /* in the service's */
    struct queue flights; /* steps under way */
    struct env_timer timer, expiry;
    struct env_task task;
    uint64_t topics_version; /* that the engine knows */
};

/* Counts and logs what has happened to a member. */
void groups_note(struct groups *g, const struct engine_note *n);
/* The same for a classic group. `member_id` "": about the group. */
void groups_note_classic(struct groups *g, const char *group, const char *member_id, const char *what,
                         int32_t generation, size_t members);

#endif
