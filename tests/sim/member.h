/* An application on a simulated client that is a member of a group: takes what it is given, works on it for a
 * while, commits, and sometimes forgets to poll. What it sees goes into the group's history. */
#ifndef SIM_MEMBER_H
#define SIM_MEMBER_H

#include "tests/sim/client.h"
#include "tests/sim/group_history.h"

struct sim_member;

/* Joins. `name` is copied. Of a static member the client's options say so. */
struct sim_member *member_create(struct sim_client *client, struct group_history *group, const char *name,
                                 bool by_pattern);
/* Neither polls nor finishes anything for so long. */
void member_hang(struct sim_member *m, uint64_t duration_ns);
/* Lets go of everything in order, and leaves, unless it keeps its place. */
void member_leave(struct sim_member *m, bool keeps_place);
bool member_has_left(const struct sim_member *m);
/* It was told that it is refused for good, or that something can't be read. */
bool member_is_broken(const struct sim_member *m);
/* In the group, which moves nothing any more as far as this member knows. */
bool member_is_stable(const struct sim_member *m);
bool member_owns(const struct sim_member *m, unsigned topic, unsigned partition);

/* All that it takes to commit as this member after its death. */
struct member_ghost {
    char group[16];
    char member_id[CORE_MEMBER_ID_SIZE];
    int64_t epoch;
    uint8_t topic_id[CORE_TOPIC_ID_SIZE];
    unsigned topic, partition, tenure;
    int64_t offset;
};
/* False: it owns nothing that it has read. */
bool member_ghost(struct sim_member *m, struct member_ghost *out);

#endif
