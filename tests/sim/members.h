/* Groups whose members join, leave, hang, stand still and die, in the runs that have them; and dead members
 * whose commits come late. Draws nothing from the seed in the runs without. */
#ifndef SIM_MEMBERS_H
#define SIM_MEMBERS_H

#include "tests/sim/member.h"
#include "tests/sim/workload.h"

enum { MEMBERS_MAX = 6, MEMBERS_GROUPS = 2, MEMBERS_GHOSTS = 4 };

enum slot_state { SLOT_DOWN, SLOT_RUNS, SLOT_FROZEN, SLOT_LEAVES };

struct member_slot {
    struct sim_host *host; /* NULL: not in this run */
    struct sim_client *client;
    struct sim_member *member;
    unsigned group;
    bool is_static;
    enum slot_state state;
    uint64_t until_ns; /* of DOWN and FROZEN */
};

struct members {
    struct sim *sim;
    struct history *history;
    struct workload *workload;
    unsigned nodes;
    unsigned count; /* 0: none in this run */
    struct group_history groups[MEMBERS_GROUPS];
    struct member_slot slots[MEMBERS_MAX];
    unsigned gap_ms; /* between two troubles, on average */
    uint64_t next_ns;
    struct sim_client *ghost_client;
    struct late_commit {
        struct members *members;
        struct member_ghost ghost;
        bool is_waiting; /* for a later owner to commit */
    } ghosts[MEMBERS_GHOSTS];
    bool started;
    bool ended;
};

void members_init(struct members *m, struct workload *workload, unsigned count);
/* How many members a seed has of its own accord. */
unsigned members_of_seed(uint64_t seed);
void members_start(struct members *m);
/* Between events. */
void members_step(struct members *m);
/* No more trouble; everybody comes back. */
void members_end(struct members *m);
/* Each group is stable and balanced, has each partition at one member, and has processed everything up to the
 * known ends. Otherwise `why` says what is missing. */
bool members_are_settled(const struct members *m, char *why, size_t why_size);
/* Each group has processed all that stands before these ends. */
bool members_have_processed(const struct members *m, int64_t ends[HISTORY_TOPICS][HISTORY_PARTITIONS]);

#endif
