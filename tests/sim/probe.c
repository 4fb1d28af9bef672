#include "tests/sim/probe.h"
#include "node/consensus/group_internal.h"
#include "proto/crc32c.h"

static uint32_t crc_of(const struct raft_entry *entry)
{
    if (entry->type != (unsigned short)LOG_DATA)
        return crc32c(0, entry->buf.base, entry->buf.len);
    const struct entry_ref *ref = entry->buf.base;
    return crc32c(0, ref->bytes.data, ref->bytes.size);
}

bool probe_entry(const struct group *g, uint64_t index, uint64_t *term, uint32_t *crc)
{
    const struct raft_entry *entry = g->running ? group_entry(g, index) : NULL;
    if (entry == NULL)
        return false;
    *term = entry->term;
    *crc = crc_of(entry);
    return true;
}

bool probe_is_damaged(const struct group *g)
{
    return g->damaged && g->replica_count > 2;
}

size_t probe_queued_bytes(const struct consensus *c, size_t *limit)
{
    size_t most = 0;
    *limit = c->options.link_queue_bytes;
    QUEUE_FOREACH (q, &c->peers) {
        const struct peer *p = QUEUE_ENTRY(q, struct peer, node);
        most = p->queued_bytes > most ? p->queued_bytes : most;
    }
    return most;
}
