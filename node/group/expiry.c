/* What a coordinator forgets by itself: the offsets of groups that have been without members for long, and
 * those of topics that are gone. */
#include "node/base/memory.h"
#include "node/group/coordinator_internal.h"
#include <stdlib.h>

/* An offset of a topic that this node does not know is of a deleted one when it is older than this: no node's
 * tables are so far behind. */
enum { ORPHAN_AGE_MS = 10 * 60 * 1000 };

struct expiry {
    struct coordinator *coordinator;
    struct group_records records;
    const char *group;
    int64_t unused_before_ms; /* what a group without members committed before this goes */
    int64_t orphan_before_ms; /* likewise what stands for no topic; INT64_MIN: topics are not known */
    bool in_use;              /* the group has members, or had some not long ago */
    size_t kept;              /* offsets of this group */
};

static bool is_orphan(const struct expiry *x, const struct offsets_entry *entry)
{
    const struct groups_options *o = &x->coordinator->service->options;
    return entry->commit_time_ms < x->orphan_before_ms && !o->topic_exists(o->data, entry->topic_id);
}

static void expire_entry(void *data, const struct offsets_entry *entry)
{
    struct expiry *x = data;
    bool unused = !x->in_use && entry->commit_time_ms < x->unused_before_ms;
    if (!unused && !is_orphan(x, entry)) {
        x->kept++;
        return;
    }
    offsets_forget_one(x->group, entry, &x->records);
    x->coordinator->service->stats.expired_offsets++;
}

static void on_expired(struct outbox_req *req, int status, const char *message)
{
    (void)status; /* it is tried again in the next round */
    (void)message;
    free(req);
}

static void submit(struct expiry *x)
{
    if (x->records.count > 0)
        outbox_add(&x->coordinator->state->outbox, &x->records, memory_zalloc(sizeof(struct outbox_req)),
                   on_expired);
    group_records_close(&x->records);
}

static void forget_group(struct expiry *x)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = (char *)(uintptr_t)x->group;
    key.record = FLOTILLA__GROUP_RECORD__GROUP_RECORD_GROUP;
    group_records_add(&x->records, &key, NULL);
}

/* A group counts as empty since its last member left; one that never had members, since its last commit. */
static bool is_in_use(const struct coordinator *c, const char *name, int64_t since_ms)
{
    const struct consumer_group *g = group_table_find(&c->state->groups, name);
    return !engine_is_idle(c->engine, name) || classic_coordinator_keeps(c->classic, name, since_ms) ||
           (g != NULL && (g->members != NULL || g->empty_since_ms >= since_ms));
}

static void expire_group(void *data, const char *name)
{
    struct expiry x = *(const struct expiry *)data;
    x.group = name;
    x.in_use = is_in_use(x.coordinator, name, x.unused_before_ms);
    group_records_init(&x.records);
    offsets_table_each(x.coordinator->state->offsets, name, expire_entry, &x);
    if (!x.in_use && x.kept == 0 && group_table_find(&x.coordinator->state->groups, name) != NULL)
        forget_group(&x);
    submit(&x);
}

void coordinator_expire(struct coordinator *c)
{
    const struct groups_options *o = &c->service->options;
    int64_t now_ms = coordinator_time(c).wall_ms, retention_ms = (int64_t)o->offsets_retention_ms;
    int64_t orphan_age_ms = retention_ms < ORPHAN_AGE_MS ? retention_ms : ORPHAN_AGE_MS;
    uint64_t version;
    const struct expiry round = {
        .coordinator = c,
        .unused_before_ms = now_ms - retention_ms,
        .orphan_before_ms = o->topics(o->data, &version) != NULL ? now_ms - orphan_age_ms : INT64_MIN,
    };
    offsets_table_each_group(c->state->offsets, expire_group, (void *)(uintptr_t)&round);
    for (const struct consumer_group *g = c->state->groups.groups; g != NULL; g = g->hh.next)
        if (g->members == NULL && !offsets_table_has_group(c->state->offsets, g->name))
            expire_group((void *)(uintptr_t)&round, g->name);
}
