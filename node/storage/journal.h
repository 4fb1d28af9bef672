/* The per-node hard-state journal: term, vote, snapshot reference and durability floor of every group, in one
 * file with group commit, so that a node failure which moves a thousand leaders costs a few syncs, not two
 * thousand.
 *
 * A put returns at once with a sequence number; everything up to a sequence is durable once journal_durable()
 * has reached it. The journal syncs by itself: what is put in one loop turn, and while a sync is running,
 * goes into the next sync. When the file has grown to a multiple of its live content it is rewritten beside
 * itself and renamed. A failed write or sync of the journal is fatal for the node: `failed` is called and
 * nothing becomes durable any more. */
#ifndef STORAGE_JOURNAL_H
#define STORAGE_JOURNAL_H

#include "node/base/logger.h"
#include "node/base/metrics.h"
#include "node/env/env.h"

struct journal;

struct journal_options {
    struct env *env;
    struct logger *logger;
    const char *path; /* "<data>/journal" */
    /* On the loop, after durable() has moved. */
    void (*durable)(void *data, uint64_t sequence);
    /* On the loop, once. */
    void (*failed)(void *data, int status);
    void *data;
};

/* Blocking: reads and checks the whole file (a torn tail is cut; damage before it is ERR_CORRUPT with a
 * message that names the position and says what to do). */
int journal_open(const struct journal_options *options, struct journal **journal, char *message,
                 size_t message_size);
/* Waits for a running sync, then calls `closed`. */
void journal_close(struct journal *j, void (*closed)(void *data), void *data);

/* What is known of a group; zeros and an empty snapshot for an unknown one. */
struct journal_group {
    uint64_t term;
    uint64_t vote;
    /* Everything in the group's log up to this index was synced when this was written: a bad batch at or
     * below it is damage, not a torn tail. Written lazily, so it lags. */
    uint64_t floor_index;
    /* Set while the replica must not vote, because it may have lost entries that it had acknowledged. */
    bool damaged;
    /* Damaged, and with it everything that its node knew of terms and votes: the disk was replaced. */
    bool emptied;
    /* While damaged: the end of what it may have acknowledged, though parts before it are lost. Index 0: not
     * known. */
    uint64_t known_end_term;
    uint64_t known_end_index;
    /* While the end is known: nothing has been appended since it was noted. Whatever else turns out to be
     * missing is no news then. */
    bool at_rest;
    /* The log's entries from here on were fetched by a catch-up and are not the replica's own yet: never
     * acknowledged, and not to be loaded. 0: all are its own. And the term of the entry before. */
    uint64_t fetched_from;
    uint64_t fetched_after_term;
    struct slice
        snapshot; /* SnapshotRecord, packed; a view owned by the journal until the next put for the group */
};
void journal_get(const struct journal *j, uint64_t group_id, struct journal_group *state);
void journal_each(const struct journal *j, void (*each)(void *data, uint64_t group_id), void *data);

/* Each returns the sequence number to wait for; what is put in one turn of the loop becomes durable together.
 * The *_lazy ones do not start a sync of their own: they become durable with the next one that somebody
 * needs, at the latest after a second. */
uint64_t journal_put_hard_state(struct journal *j, uint64_t group_id, uint64_t term, uint64_t vote);
void journal_put_hard_state_lazy(struct journal *j, uint64_t group_id, uint64_t term, uint64_t vote);
uint64_t journal_put_snapshot(struct journal *j, uint64_t group_id, struct slice snapshot);
uint64_t journal_put_snapshot_lazy(struct journal *j, uint64_t group_id, struct slice snapshot);
void journal_put_floor_lazy(struct journal *j, uint64_t group_id, uint64_t floor_index);
/* Damaged: with an end that is not known. An emptied replica stays one until it is not damaged any more. */
uint64_t journal_put_damaged(struct journal *j, uint64_t group_id, bool damaged);
uint64_t journal_put_emptied(struct journal *j, uint64_t group_id);
/* Damaged, and all that was ever acknowledged is at or before this entry (index 0: not known). What is on
 * record counts as well: an end that was lost stays lost until the replica is repaired, and of two ends the
 * later one holds. */
uint64_t journal_put_damaged_before(struct journal *j, uint64_t group_id, uint64_t end_term,
                                    uint64_t end_index);
/* Likewise, and nothing will be appended to the log before journal_put_damaged_before has been called again
 * and is durable: until then a known end stays known, and is never earlier than this one. */
uint64_t journal_put_damaged_at_rest(struct journal *j, uint64_t group_id, uint64_t end_term,
                                     uint64_t end_index);
uint64_t journal_put_fetched(struct journal *j, uint64_t group_id, uint64_t from, uint64_t after_term);
uint64_t journal_forget(struct journal *j, uint64_t group_id); /* a deleted group */
uint64_t journal_durable(const struct journal *j);

/* Puts the floor and starts a sync: for lowering it before a log is cut below it. */
uint64_t journal_put_floor(struct journal *j, uint64_t group_id, uint64_t floor_index);
/* Calls `cb` once `sequence` is durable; from inside the call when it is already. A journal that failed calls
 * nobody. The caller owns the struct; cancel it before its memory goes. */
struct journal_wait {
    void *data;
    void (*cb)(struct journal_wait *wait, int status); /* private from here */
    struct queue node;
    uint64_t sequence;
};
void journal_wait(struct journal *j, struct journal_wait *wait, uint64_t sequence,
                  void (*cb)(struct journal_wait *wait, int status));
void journal_wait_cancel(struct journal_wait *wait);

#endif
