/* Bulk work gives way: what nobody waits for in milliseconds (reads of old data, catch-up, scrubbing) takes
 * what appending leaves over (docs/decisions/0021).
 *
 * Bulk work takes a turn before each piece, and says afterwards how many bytes that was. Turns are given in
 * the order in which they were asked for, evenly spread at the rate of bulk_rate.h; all at once while nothing
 * is appended on this node. Loop only. */
#ifndef CONSENSUS_GOVERNOR_H
#define CONSENSUS_GOVERNOR_H

#include "node/base/metrics.h"
#include "node/consensus/bulk_rate.h"
#include "node/env/env.h"

/* What a piece should have while somebody may have to wait behind it. */
enum { GOVERNOR_PIECE_BYTES = 128 * 1024 };

enum { GOVERNOR_METRICS = 4 };

struct governor {
    struct env *env; /* private, as is all of it */
    struct bulk_rate rate;
    struct queue waiting; /* struct governor_turn */
    struct env_timer timer;
    uint64_t next_ns; /* when the next turn is due */
    uint64_t bytes;   /* done in turns */
    struct histogram wait_ns;
    struct metrics *registry;
    struct metric metrics[GOVERNOR_METRICS];
};

struct governor_turn {
    struct queue node; /* private */
    uint64_t asked_ns;
    void (*cb)(struct governor_turn *turn);
};

/* `metrics` may be NULL. */
void governor_init(struct governor *g, struct env *env, struct metrics *metrics);
void governor_close(struct governor *g); /* nobody may be waiting */

/* What has to be given way to: an append of `bytes` was durable `took_ns` after it was handed to the log. */
void governor_note_append(struct governor *g, uint64_t took_ns, size_t bytes);

/* How much of `bytes` one turn should do now. Who waits for a sync in each of its turns says how long the
 * last one took, so that the next one is worth the time; 0: any. */
size_t governor_piece(const struct governor *g, size_t bytes, uint64_t took_ns);

void governor_turn_init(struct governor_turn *turn);
/* True: it is this one's turn. False: `cb` tells when, never from inside; until then the turn stays in place.
 */
bool governor_take(struct governor *g, struct governor_turn *turn, void (*cb)(struct governor_turn *turn));
/* The same, before all others: a replica that is behind is one failure from being missed. */
bool governor_take_first(struct governor *g, struct governor_turn *turn,
                         void (*cb)(struct governor_turn *turn));
/* It does not wait: no effect. */
void governor_withdraw(struct governor *g, struct governor_turn *turn);
/* Ends a turn, exactly once: what was done in it. */
void governor_spent(struct governor *g, size_t bytes);

#endif
