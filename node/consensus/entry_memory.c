#include "node/consensus/entry_memory.h"
#include "node/consensus/group_internal.h"

enum { MIN_SHARE_BYTES = 64 << 10 };

uint64_t entry_memory_budget(const struct group *g)
{
    const struct consensus *c = g->consensus;
    uint64_t own = c->options.entry_memory_bytes, half = c->options.entry_memory_total_bytes / 2;
    if (c->entry_bytes <= half)
        return own;
    uint64_t share = half / (c->groups_by_id.count > 0 ? c->groups_by_id.count : 1);
    if (share < MIN_SHARE_BYTES)
        share = MIN_SHARE_BYTES;
    return share < own ? share : own;
}

void entry_memory_add(struct group *g, size_t size)
{
    entry_memory_set(g, g->entry_bytes + size);
}

void entry_memory_set(struct group *g, uint64_t bytes)
{
    g->consensus->entry_bytes += bytes - g->entry_bytes;
    g->entry_bytes = bytes;
}

void entry_memory_note_started(struct group *g)
{
    uint64_t bytes = 0;
    for (uint64_t index = g->raft.last_applied; index > g->raft.log.offset; index--)
        bytes += entry_size(group_entry(g, index));
    entry_memory_set(g, bytes);
}
