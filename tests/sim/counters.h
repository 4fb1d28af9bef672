/* How often what happened in a run, or in many: faults, elections, guards. Proof that a run tested anything.
 */
#ifndef SIM_COUNTERS_H
#define SIM_COUNTERS_H

#include <stdint.h>
#include <stdio.h>

enum { COUNTER_NAME_SIZE = 48, COUNTERS_MAX = 240, COUNTERS_RECENT = 64 };

struct counter {
    char name[COUNTER_NAME_SIZE];
    uint64_t value;
    uint64_t runs; /* in which it was not 0 */
};

/* Plain memory without pointers: it may be shared with a parent process. */
struct counters {
    unsigned count;
    struct counter all[COUNTERS_MAX]; /* in name order */
    unsigned recent[COUNTERS_RECENT]; /* where names were found last, by where they stand in memory */
};

void counters_add(struct counters *c, const char *name, uint64_t value);
uint64_t counters_get(const struct counters *c, const char *name);
/* Adds those of one run. */
void counters_merge(struct counters *into, const struct counters *run);
/* Adds those of many. */
void counters_add_all(struct counters *into, const struct counters *runs);
void counters_print(const struct counters *c, FILE *out);

#endif
