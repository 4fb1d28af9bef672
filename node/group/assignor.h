/* Who of a group's members gets which partition. Pure: the same problem has the same answer on every node.
 *
 * sticky       each topic is spread evenly over its subscribers (never more than one partition apart), the
 * extra partitions so that the members' totals are even too; of what a member has it keeps all that this
 *              allows; among equals, a replica in the member's rack counts
 * range        each topic in pieces of neighbours, members in order of their names
 * round-robin  all partitions dealt out one by one */
#ifndef GROUP_ASSIGNOR_H
#define GROUP_ASSIGNOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct assign_topic {
    uint32_t first; /* number of its partition 0 among all partitions of the problem */
    uint32_t count;
};
struct assign_member {
    const char *name;       /* its order for range and round-robin */
    const char *rack;       /* or "" */
    const uint32_t *topics; /* subscribed, ascending */
    size_t topic_count;
};
enum { ASSIGN_NOBODY = -1 };
struct assign_problem {
    const struct assign_topic *topics;
    size_t topic_count;
    const struct assign_member *members; /* in order of joining */
    size_t member_count;
    uint32_t partition_count;
    int32_t
        *owner; /* in: who has each partition now; out: who is to have it; ASSIGN_NOBODY: nobody subscribes */
    /* Whether a replica of the partition stands in the rack. May be NULL. */
    bool (*in_rack)(void *data, uint32_t topic, uint32_t partition, const char *rack);
    void *data;
};

typedef void assign_function(struct assign_problem *p);
assign_function assign_sticky, assign_range, assign_round_robin;

/* "sticky", also for "", "range", "round-robin"; NULL when unknown. */
assign_function *assignor_find(const char *name);

#endif
