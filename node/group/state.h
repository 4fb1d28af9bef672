/* What one replica of __consumer_offsets derives from its committed records. Internal to this room. */
#ifndef GROUP_STATE_H
#define GROUP_STATE_H

#include "node/group/coordinator.h"
#include "node/group/offsets_table.h"

struct group_state {
    struct partition *partition;
    struct groups *service; /* NULL: nobody is coordinated */
    struct offsets_table *offsets;
    struct group_table groups;
    struct classic_table classic;
    struct outbox outbox;
    struct coordinator *coordinator; /* NULL: not this replica, or not yet */
};

/* coordinator.c */
void coordinator_start(struct group_state *state, uint64_t term);
void coordinator_stop(struct group_state *state);
struct engine *coordinator_engine(struct coordinator *c);

/* offsets.c: the removal of the group's offsets, of all or (not NULL) of these; how many. */
size_t offsets_forget(const struct group_state *state, const char *group,
                      const struct partition_set *partitions, struct group_records *records);
void offsets_forget_one(const char *group, const struct offsets_entry *entry, struct group_records *records);

#endif
