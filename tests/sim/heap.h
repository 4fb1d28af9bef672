/* The proving ground's malloc. A run is one short thread that never has to give anything back: blocks of a
 * few sizes, each with a list of its free ones, cut from large pages. glibc's own would take a sixth of a
 * run's time, half of it in page faults. Sanitized builds keep theirs. */
#ifndef SIM_HEAP_H
#define SIM_HEAP_H

#include <stdbool.h>

/* What a run begins with. The second run of a seed has other addresses and other bytes in fresh memory, so
 * that whatever depends on them shows; the first has at least no zeros. */
enum heap_kind { HEAP_FAST, HEAP_FILLED, HEAP_FILLED_OTHERWISE };

/* In a process of its own, before the run: what is allocated from here on shares no page with what was. */
void heap_begin(enum heap_kind kind);

#endif
