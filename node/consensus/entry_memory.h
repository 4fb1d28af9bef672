/* The memory of entries that the core keeps for followers. Each group may hold entry_memory_bytes; once the
 * groups of the node together hold half of entry_memory_total_bytes, the others share the other half
 * equally. What a group holds is given back by its snapshots, which this makes more frequent. */
#ifndef CONSENSUS_ENTRY_MEMORY_H
#define CONSENSUS_ENTRY_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct group;

/* What the group may hold now. */
uint64_t entry_memory_budget(const struct group *g);
/* An entry of `size` bytes was applied, and stays until a snapshot. */
void entry_memory_add(struct group *g, size_t size);
/* That much is left of it. */
void entry_memory_set(struct group *g, uint64_t bytes);
/* The core has started with the newest applied entries in memory. */
void entry_memory_note_started(struct group *g);

#endif
