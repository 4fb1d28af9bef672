/* One step of a group: a draft of the table's state, changed by what has come in, reconciled, and written
 * down as the records that lead there. */
#include "node/base/memory.h"
#include "node/group/assignor.h"
#include "node/group/engine_internal.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

/* ---- the draft ---- */

static struct draft_member *draft_add(struct draft *d, const char *id, const Flotilla__MemberValue *value)
{
    if (d->count == d->capacity) {
        d->capacity = d->capacity == 0 ? 8 : d->capacity * 2;
        d->members = memory_realloc(d->members, d->capacity * sizeof(d->members[0]));
    }
    struct draft_member *m = &d->members[d->count++];
    *m = (struct draft_member){.id = id, .value = value};
    return m;
}

static void share_copy(struct member_share *to, const struct member_share *from)
{
    *to = *from;
    partition_set_copy(&to->assigned, &from->assigned);
    partition_set_copy(&to->revoking, &from->revoking);
    partition_set_copy(&to->target, &from->target);
}

static int compare_sequence(const void *a, const void *b)
{
    const struct draft_member *x = a, *y = b;
    if (x->value->sequence != y->value->sequence)
        return x->value->sequence < y->value->sequence ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void draft_begin(struct draft *d, struct engine_group *g)
{
    const struct consumer_group *was = group_table_find(g->engine->table, g->name);
    *d = (struct draft){
        .group = g, .was = was, .epoch = (was != NULL ? was->epoch : 0) + 1, .retarget = g->retarget};
    for (const struct consumer_member *m = was != NULL ? was->members : NULL; m != NULL; m = m->hh.next) {
        if (m->value == NULL)
            continue;
        struct draft_member *to = draft_add(d, m->id, m->value);
        to->was = m;
        to->session = session_find(g, m->id);
        share_copy(&to->share, &m->share);
    }
    if (d->count > 0)
        qsort(d->members, d->count, sizeof(d->members[0]), compare_sequence);
}

static void draft_end(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++)
        member_share_close(&d->members[i].share);
    free(d->members);
}

static struct draft_member *draft_find(struct draft *d, const char *id)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->members[i].id, id) == 0)
            return &d->members[i];
    return NULL;
}

static struct draft_member *draft_find_instance(struct draft *d, const char *instance_id)
{
    for (size_t i = 0; i < d->count && instance_id[0] != '\0'; i++)
        if (strcmp(d->members[i].value->instance_id, instance_id) == 0)
            return &d->members[i];
    return NULL;
}

static void draft_remove(struct draft *d, struct draft_member *m)
{
    member_share_close(&m->share);
    size_t after = (size_t)(&d->members[d->count] - (m + 1));
    memmove(m, m + 1, after * sizeof(*m));
    d->count--;
    d->retarget = true;
}

/* ---- events ---- */

static void refuse(struct event *event, int status, const char *message)
{
    event->status = status;
    event->message = message;
}

/* It keeps what it says it still has of what is being revoked; the rest it has let go. */
static void keep_owned(struct draft_member *m, const struct partition_set *owned)
{
    struct partition_set kept = {0};
    partition_set_common(&m->share.revoking, owned, &kept);
    partition_set_move(&m->share.revoking, &kept);
}

/* What it says it owns counts as far as it has `seen` pushes: one that is still on its way may give it more.
 */
static void describe(struct draft *d, struct draft_member *m, struct event *event, uint64_t sequence,
                     int64_t seen)
{
    event->value->sequence = sequence;
    m->id = event->member_id;
    m->value = event->value;
    m->described = true;
    if (seen >= m->share.revoked_epoch)
        keep_owned(m, &event->owned);
    d->retarget = true;
}

static uint64_t next_sequence(const struct draft *d)
{
    return d->count > 0 ? d->members[d->count - 1].value->sequence + 1 : 1;
}

static void join_again(struct draft *d, struct draft_member *m, struct draft_member *same_instance,
                       struct event *event)
{
    const char *id = m->id;
    event->change = MEMBER_RETURNED;
    if (same_instance != NULL && same_instance != m) {
        event->replaced = memory_strdup(same_instance->id);
        draft_remove(d, same_instance);
        m = draft_find(d, id);
    }
    event->value->joined_epoch = m->value->joined_epoch;
    describe(d, m, event, m->value->sequence, event->epoch);
}

/* The newcomer is the old member come back: it gets what that had, and nobody else notices. */
static void take_place(struct draft *d, struct draft_member *m, struct event *event)
{
    uint64_t sequence = m->value->sequence;
    event->change = MEMBER_JOINED;
    event->replaced = memory_strdup(m->id);
    m->was = NULL;
    m->session = NULL;
    m->held = &event->owned;
    event->value->joined_epoch = d->epoch;
    describe(d, m, event, sequence, INT64_MAX); /* nothing pushed to the old one reaches it */
}

static bool other_protocol(const struct draft *d)
{
    return d->was != NULL && d->was->members != NULL && strcmp(d->was->protocol, ENGINE_PROTOCOL) != 0;
}

static bool engine_is_full(const struct engine *e)
{
    return e->settings.groups_max != 0 && HASH_COUNT(e->table->groups) >= e->settings.groups_max;
}

static void on_join(struct draft *d, struct event *event)
{
    struct draft_member *m = draft_find(d, event->member_id);
    struct draft_member *same_instance = draft_find_instance(d, event->value->instance_id);
    if (event->mixed || other_protocol(d)) {
        refuse(event, ERR_MIXED_PROTOCOLS, NULL);
    } else if (m != NULL) {
        join_again(d, m, same_instance, event);
    } else if (event->epoch > 0) {
        refuse(event, ERR_UNKNOWN_MEMBER, NULL);
    } else if (same_instance != NULL) {
        take_place(d, same_instance, event);
    } else if (d->was == NULL && engine_is_full(d->group->engine)) {
        refuse(event, ERR_INVALID_GROUP, GROUPS_FULL_MESSAGE);
    } else if (d->count >= d->group->engine->settings.members_max) {
        refuse(event, ERR_GROUP_FULL, NULL);
    } else {
        uint64_t sequence = next_sequence(d);
        event->change = MEMBER_JOINED;
        event->value->joined_epoch = d->epoch;
        describe(d, draft_add(d, event->member_id, event->value), event, sequence, INT64_MAX);
    }
}

static void on_leave(struct draft *d, struct event *event)
{
    struct draft_member *m = event->member_id[0] != '\0' ? draft_find(d, event->member_id)
                                                         : draft_find_instance(d, event->instance_id);
    if (m == NULL || other_protocol(d)) {
        refuse(event, ERR_UNKNOWN_MEMBER, NULL);
        return;
    }
    event->change = MEMBER_LEFT;
    draft_remove(d, m);
}

static void take_events(struct draft *d, struct engine_step *step)
{
    while (!queue_empty(&d->group->events)) {
        struct event *event = QUEUE_ENTRY(queue_first(&d->group->events), struct event, node);
        queue_remove(&event->node);
        queue_push(&step->events, &event->node);
        if (event->kind == EVENT_JOIN)
            on_join(d, event);
        else
            on_leave(d, event);
    }
}

/* ---- the dead, and what has been let go ---- */

static void bury(struct engine_step *step, const struct draft_member *m, const char *reason)
{
    size_t n = step->dead_count++;
    step->dead = memory_realloc(step->dead, step->dead_count * sizeof(step->dead[0]));
    step->reasons = memory_realloc(step->reasons, step->dead_count * sizeof(step->reasons[0]));
    step->dead[n] = memory_strdup(m->id);
    step->reasons[n] = reason;
}

static bool is_dead(const struct draft_member *m, uint64_t now_ms, const char **reason)
{
    return !m->described && m->was != NULL && m->session != NULL &&
           session_deadline(m->session, m->was, reason) <= now_ms;
}

static void remove_dead(struct draft *d, struct engine_step *step, uint64_t now_ms)
{
    for (size_t i = d->count; i-- > 0;) {
        const char *reason;
        if (!is_dead(&d->members[i], now_ms, &reason))
            continue;
        bury(step, &d->members[i], reason);
        draft_remove(d, &d->members[i]);
    }
}

static void take_reports(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct draft_member *m = &d->members[i];
        if (m->session != NULL && m->session->reported &&
            m->session->reported_epoch >= m->share.revoked_epoch)
            keep_owned(m, &m->session->still_held);
    }
}

/* ---- reconciliation ---- */

/* What is beyond the target is being revoked, unless the target has changed back meanwhile. */
static void revoke(struct draft *d, struct draft_member *m)
{
    struct member_share *s = &m->share;
    struct partition_set kept = {0}, back = {0}, gone = {0}, revoking = {0};
    partition_set_common(&s->assigned, &s->target, &kept);
    partition_set_minus(&s->assigned, &s->target, &gone);
    partition_set_common(&s->revoking, &s->target, &back);
    partition_set_minus(&s->revoking, &s->target, &revoking);
    if (m->held != NULL) {
        struct partition_set at_hand = {0};
        partition_set_common(&gone, m->held, &at_hand);
        partition_set_move(&gone, &at_hand);
    }
    if (gone.count > 0)
        s->revoked_epoch = d->epoch;
    partition_set_add(&kept, &back);
    partition_set_add(&revoking, &gone);
    partition_set_move(&s->assigned, &kept);
    partition_set_move(&s->revoking, &revoking);
    partition_set_close(&back);
    partition_set_close(&gone);
}

static void collect_owned(const struct draft *d, struct partition_set *owned)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct member_share *s = &d->members[i].share;
        for (size_t j = 0; j < s->assigned.count; j++)
            partition_set_append(owned, s->assigned.items[j].topic_id, s->assigned.items[j].partition);
        for (size_t j = 0; j < s->revoking.count; j++)
            partition_set_append(owned, s->revoking.items[j].topic_id, s->revoking.items[j].partition);
    }
    partition_set_sort(owned);
}

/* What nobody owns goes to whose target it is. */
static void hand_out(struct draft *d)
{
    struct partition_set owned = {0};
    collect_owned(d, &owned);
    for (size_t i = 0; i < d->count; i++) {
        struct member_share *s = &d->members[i].share;
        struct partition_set missing = {0}, gained = {0};
        partition_set_minus(&s->target, &s->assigned, &missing);
        partition_set_minus(&missing, &owned, &gained);
        if (gained.count > 0)
            partition_set_add(&s->assigned, &gained);
        partition_set_close(&missing);
        partition_set_close(&gained);
    }
    partition_set_close(&owned);
}

static void reconcile(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++)
        revoke(d, &d->members[i]);
    hand_out(d);
}

/* ---- records ---- */

static Flotilla__GroupKey key_of(const struct draft *d, Flotilla__GroupRecord record, const char *member_id)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = d->group->name;
    key.record = record;
    key.member_id = (char *)(uintptr_t)member_id;
    return key;
}

/* Whether what the member may own has changed; only then does it hear of it. */
static bool share_moved(const struct draft_member *m)
{
    return m->was == NULL || !partition_set_equal(&m->share.assigned, &m->was->share.assigned) ||
           !partition_set_equal(&m->share.revoking, &m->was->share.revoking);
}

static bool write_removals(struct draft *d, struct group_records *records)
{
    size_t before = records->count;
    for (const struct consumer_member *m = d->was != NULL ? d->was->members : NULL; m != NULL;
         m = m->hh.next) {
        if (draft_find(d, m->id) != NULL)
            continue;
        Flotilla__GroupKey key = key_of(d, FLOTILLA__GROUP_RECORD__GROUP_RECORD_MEMBER, m->id);
        group_records_add(records, &key, NULL);
    }
    return records->count > before;
}

static void write_group(const struct draft *d, bool moved, int64_t wall_ms, struct group_records *records)
{
    const char *assignor = d->count > 0     ? d->members[0].value->assignor
                           : d->was != NULL ? d->was->assignor
                                            : "";
    bool was_empty = d->was != NULL && d->was->empty_since_ms > 0;
    if (!moved && d->was != NULL && strcmp(assignor, d->was->assignor) == 0 && was_empty == (d->count == 0))
        return;
    Flotilla__GroupKey key = key_of(d, FLOTILLA__GROUP_RECORD__GROUP_RECORD_GROUP, "");
    Flotilla__GroupValue value = FLOTILLA__GROUP_VALUE__INIT;
    value.protocol = (char *)(uintptr_t)ENGINE_PROTOCOL;
    value.assignor = (char *)(uintptr_t)assignor;
    value.epoch = moved ? d->epoch : d->was != NULL ? d->was->epoch : 0;
    value.empty_since_ms = d->count > 0 ? 0 : was_empty ? d->was->empty_since_ms : wall_ms;
    group_records_add(records, &key, &value.base);
}

static void write_member(const struct draft *d, struct draft_member *m, struct group_records *records)
{
    if (m->described) {
        Flotilla__GroupKey key = key_of(d, FLOTILLA__GROUP_RECORD__GROUP_RECORD_MEMBER, m->id);
        group_records_add(records, &key, &m->value->base);
    }
    bool moved = share_moved(m);
    if (!moved && partition_set_equal(&m->share.target, &m->was->share.target))
        return;
    if (moved)
        m->share.epoch = d->epoch;
    Flotilla__GroupKey key = key_of(d, FLOTILLA__GROUP_RECORD__GROUP_RECORD_ASSIGNMENT, m->id);
    struct packed_share packed;
    member_share_pack(&m->share, &packed);
    group_records_add(records, &key, &packed.value.base);
    packed_share_close(&packed);
}

static void write_records(struct draft *d, int64_t wall_ms, struct group_records *records)
{
    bool moved = write_removals(d, records);
    for (size_t i = 0; i < d->count && !moved; i++)
        moved = share_moved(&d->members[i]);
    if (moved || d->count > 0)
        write_group(d, moved, wall_ms, records);
    for (size_t i = 0; i < d->count; i++)
        write_member(d, &d->members[i], records);
}

/* ---- the step ---- */

void engine_step_free(struct engine_step *step)
{
    for (size_t i = 0; i < step->dead_count; i++)
        free(step->dead[i]);
    free(step->dead);
    free(step->reasons);
    group_records_close(&step->records);
    free(step);
}

struct engine_step *engine_step_build(struct engine_group *g, const struct engine_topics *topics,
                                      struct engine_time time)
{
    struct engine_step *step = memory_zalloc(sizeof(*step));
    struct draft d;
    step->engine = g->engine;
    step->group = g;
    group_records_init(&step->records);
    queue_init(&step->events);
    draft_begin(&d, g);
    take_events(&d, step);
    if (!other_protocol(&d)) {
        remove_dead(&d, step, time.now_ms);
        take_reports(&d);
        if (d.retarget)
            draft_retarget(&d, topics);
        reconcile(&d);
        write_records(&d, time.wall_ms, &step->records);
    }
    g->retarget = false;
    draft_end(&d);
    return step;
}
