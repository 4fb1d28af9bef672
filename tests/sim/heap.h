/* The proving ground's malloc. A run is one short thread that never has to give anything back: blocks of a
 * few sizes, each with a list of its free ones, cut from large pages. glibc's own would take a sixth of a
 * run's time, half of it in page faults. The next run in the same process begins with the pages of the one
 * before. Sanitized builds keep theirs. */
#ifndef SIM_HEAP_H
#define SIM_HEAP_H

#include <stdbool.h>

/* What a run begins with. The second run of a seed has other addresses and other bytes in fresh memory, so
 * that whatever depends on them shows; the first has at least no zeros. */
enum heap_kind { HEAP_FAST, HEAP_FILLED, HEAP_FILLED_OTHERWISE };

/* Before each run: all that was allocated since the call before is gone, but for the first run's: what
 * libraries keep for good they have asked for then. */
void heap_begin(enum heap_kind kind);
/* Whether a process can have more than one run. */
bool heap_is_reusable(void);

#endif
