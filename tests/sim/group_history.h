/* What the members of one group did, and the judgement over it:
 *   - a member begins a partition where nobody of its group has a record left to process, and not before what
 *     a commit was acknowledged of;
 *   - what a commit stands for has been processed by the group, and commits never go back;
 *   - once a later owner's commit was acknowledged, no commit of an earlier owner is;
 *   - at the end, the group has processed every record.
 *
 * An owner's time with a partition is a tenure: numbered, in the order in which the owners heard of theirs. A
 * tenure that was heard of later and has committed proves that those before it are over. */
#ifndef SIM_GROUP_HISTORY_H
#define SIM_GROUP_HISTORY_H

#include "tests/sim/history.h"

/* Those that keep all their records. */
enum { GROUP_TOPICS = HISTORY_RETAINED };

struct group_history {
    char name[16];
    struct history *history; /* where violations and counters go */
    unsigned tenures;        /* so far */
    unsigned commits;        /* acknowledged so far */
    struct group_history_partition {
        unsigned committed_by;    /* the latest tenure of which a commit was acknowledged; 0: none */
        int64_t committed;        /* the highest that was acknowledged */
        unsigned committed_at;    /* `commits` then */
        unsigned char *processed; /* by offset */
        int64_t capacity;
        int64_t prefix; /* everything below it has been processed */
    } partitions[GROUP_TOPICS][HISTORY_PARTITIONS];
};

void group_history_init(struct group_history *g, const char *name, struct history *history);
void group_history_close(struct group_history *g);

unsigned group_history_begin_tenure(struct group_history *g);
/* The first record that an owner gets. `known_commits`: `commits` when it last looked for news before these.
 * One that was frozen with a record before it looks at that first, and hears of its successor afterwards. */
void group_history_first(struct group_history *g, const char *member, unsigned topic, unsigned partition,
                         int64_t offset, unsigned known_commits);
void group_history_processed(struct group_history *g, unsigned topic, unsigned partition, int64_t offset);
/* A later owner has committed. */
bool group_history_is_superseded(const struct group_history *g, unsigned topic, unsigned partition,
                                 unsigned tenure);
/* A commit was acknowledged. `was_superseded`: already when it was sent. */
void group_history_committed(struct group_history *g, const char *member, unsigned topic, unsigned partition,
                             unsigned tenure, int64_t offset, bool was_superseded);
/* Everything before this has been processed by the group. */
int64_t group_history_prefix(const struct group_history *g, unsigned topic, unsigned partition);

#endif
