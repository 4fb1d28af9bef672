#include "tests/sim/group_history.h"
#include "node/base/memory.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void group_history_init(struct group_history *g, const char *name, struct history *history)
{
    memset(g, 0, sizeof(*g));
    snprintf(g->name, sizeof(g->name), "%s", name);
    g->history = history;
}

void group_history_close(struct group_history *g)
{
    for (unsigned t = 0; t < GROUP_TOPICS; t++)
        for (unsigned p = 0; p < HISTORY_PARTITIONS; p++)
            free(g->partitions[t][p].processed);
}

unsigned group_history_begin_tenure(struct group_history *g)
{
    return ++g->tenures;
}

void group_history_first(struct group_history *g, const char *member, unsigned topic, unsigned partition,
                         int64_t offset, unsigned known_commits)
{
    const struct group_history_partition *p = &g->partitions[topic][partition];
    counters_add(g->history->counters, "member_resumed", offset > 0);
    if (offset > p->prefix)
        history_fail(g->history,
                     "member %s of group %s begins at offset %" PRId64 " of topic%u/%u, but the group has "
                     "not processed offset %" PRId64,
                     member, g->name, offset, topic, partition, p->prefix);
    bool slept = p->committed_at > known_commits;
    counters_add(g->history->counters, "member_begins_late", slept && offset < p->committed);
    if (offset < p->committed && !slept)
        history_fail(g->history,
                     "member %s of group %s begins at offset %" PRId64 " of topic%u/%u, but the group had "
                     "committed %" PRId64,
                     member, g->name, offset, topic, partition, p->committed);
}

void group_history_processed(struct group_history *g, unsigned topic, unsigned partition, int64_t offset)
{
    struct group_history_partition *p = &g->partitions[topic][partition];
    if (offset >= p->capacity) {
        int64_t capacity = p->capacity == 0 ? 1024 : p->capacity;
        while (offset >= capacity)
            capacity *= 2;
        p->processed = memory_realloc(p->processed, (size_t)capacity);
        memset(p->processed + p->capacity, 0, (size_t)(capacity - p->capacity));
        p->capacity = capacity;
    }
    counters_add(g->history->counters, "member_records", 1);
    counters_add(g->history->counters, "member_records_again", p->processed[offset]);
    p->processed[offset] = 1;
    while (p->prefix < p->capacity && p->processed[p->prefix])
        p->prefix++;
}

bool group_history_is_superseded(const struct group_history *g, unsigned topic, unsigned partition,
                                 unsigned tenure)
{
    return g->partitions[topic][partition].committed_by > tenure;
}

void group_history_committed(struct group_history *g, const char *member, unsigned topic, unsigned partition,
                             unsigned tenure, int64_t offset, bool was_superseded)
{
    struct group_history_partition *p = &g->partitions[topic][partition];
    counters_add(g->history->counters, "member_commits", 1);
    g->commits++;
    if (was_superseded)
        history_fail(g->history,
                     "group %s: a commit of topic%u/%u by member %s was accepted when a later owner had "
                     "committed already",
                     g->name, topic, partition, member);
    if (offset > p->prefix)
        history_fail(g->history,
                     "group %s: member %s committed offset %" PRId64 " of topic%u/%u, but nobody has "
                     "processed offset %" PRId64,
                     g->name, member, offset, topic, partition, p->prefix);
    if (tenure >= p->committed_by && offset < p->committed)
        history_fail(g->history,
                     "group %s: the commit of topic%u/%u goes back from %" PRId64 " to %" PRId64
                     " with member %s",
                     g->name, topic, partition, p->committed, offset, member);
    if (tenure > p->committed_by)
        p->committed_by = tenure;
    if (offset <= p->committed)
        return;
    p->committed = offset;
    p->committed_at = g->commits;
}

int64_t group_history_prefix(const struct group_history *g, unsigned topic, unsigned partition)
{
    return g->partitions[topic][partition].prefix;
}
