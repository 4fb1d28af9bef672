/* How fast bulk work may go: the arithmetic of governor.h, without a clock or a queue of its own.
 *
 * The rate follows the delay that bulk work causes, as in LEDBAT (RFC 6817). Each append that the core hands
 * to this node's disk, as a leader and as a follower, tells how long the work that somebody waits for has to
 * wait for its turns at the processor and at the disk. An interval whose appends took twice as long as at the
 * node's best lately halves the rate, any other adds a step to it. There is a floor, so that who reads old
 * data always gains on who writes new, and no limit at all where nothing has been appended for a moment. */
#ifndef CONSENSUS_BULK_RATE_H
#define CONSENSUS_BULK_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BULK_UNLIMITED UINT64_MAX

enum {
    BULK_FLOOR_BYTES_PER_S = 32 * 1024 * 1024,
    BULK_FLOOR_APPENDED = 2, /* times what is appended is the floor where that is more */
    BULK_BASES = 8,
};

struct bulk_rate {
    uint64_t times_lowered;
    uint64_t bytes_per_s; /* private from here */
    uint64_t appended_ns; /* when the last append was done */
    bool has_appended;

    struct {
        uint64_t began_ns;
        uint64_t count; /* of appends; 0: not begun */
        uint64_t sum_ns;
        uint64_t bytes;
    } interval;
    uint64_t appended_per_s;

    uint64_t bases_ns[BULK_BASES]; /* the best interval's mean of each of the last windows; 0: none */
    unsigned window;               /* the newest one */
    uint64_t window_began_ns;
};

void bulk_rate_init(struct bulk_rate *r);
/* An append of `bytes` was durable `took_ns` after it had been handed to the log. */
void bulk_rate_note(struct bulk_rate *r, uint64_t now_ns, uint64_t took_ns, size_t bytes);
/* Bytes per second, or BULK_UNLIMITED. */
uint64_t bulk_rate_now(const struct bulk_rate *r, uint64_t now_ns);

#endif
