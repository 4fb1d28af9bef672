/* How long to wait before what has failed is tried again: twice as long each time, up to a minute, and from
 * the beginning once it has worked for a while. */
#ifndef CLUSTER_RETRY_H
#define CLUSTER_RETRY_H

#include <stdint.h>

struct retry {
    unsigned failures;  /* in a row */
    uint64_t worked_ns; /* since when; 0: it does not */
};

void retry_note_success(struct retry *r, uint64_t now_ns);
/* Returns the pause before the next attempt, in nanoseconds: `first_pause_ns` after the first failure. */
uint64_t retry_note_failure(struct retry *r, uint64_t now_ns, uint64_t first_pause_ns);

#endif
