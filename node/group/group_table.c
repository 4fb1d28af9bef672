#include "node/group/group_table.h"

#include "node/base/memory.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

void member_share_close(struct member_share *s)
{
    partition_set_close(&s->assigned);
    partition_set_close(&s->revoking);
    partition_set_close(&s->target);
}

/* Everything it is to have it has, and nothing else. */
static bool member_share_is_settled(const struct member_share *s)
{
    return s->revoking.count == 0 && partition_set_equal(&s->assigned, &s->target);
}

/* ---- groups and members ---- */

static void member_free(struct consumer_group *g, struct consumer_member *m)
{
    HASH_DEL(g->members, m);
    if (m->value != NULL)
        flotilla__member_value__free_unpacked(m->value, NULL);
    member_share_close(&m->share);
    free(m->id);
    free(m);
}

static void group_free(struct group_table *t, struct consumer_group *g)
{
    struct consumer_member *m, *next;
    HASH_ITER (hh, g->members, m, next) {
        member_free(g, m);
    }
    HASH_DEL(t->groups, g);
    free(g->protocol);
    free(g->assignor);
    free(g->name);
    free(g);
}

void group_table_clear(struct group_table *t)
{
    struct consumer_group *g, *next;
    HASH_ITER (hh, t->groups, g, next) {
        group_free(t, g);
    }
}

struct consumer_group *group_table_find(const struct group_table *t, const char *name)
{
    struct consumer_group *g;
    HASH_FIND_STR(t->groups, name, g);
    return g;
}

static struct consumer_group *find_or_create(struct group_table *t, const char *name)
{
    struct consumer_group *g = group_table_find(t, name);
    if (g != NULL)
        return g;
    g = memory_zalloc(sizeof(*g));
    g->name = memory_strdup(name);
    g->protocol = memory_strdup("");
    g->assignor = memory_strdup("");
    HASH_ADD_KEYPTR(hh, t->groups, g->name, strlen(g->name), g);
    return g;
}

struct consumer_member *consumer_group_member(const struct consumer_group *g, const char *id)
{
    struct consumer_member *m;
    HASH_FIND_STR(g->members, id, m);
    return m;
}

static struct consumer_member *member_find_or_create(struct consumer_group *g, const char *id)
{
    struct consumer_member *m = consumer_group_member(g, id);
    if (m != NULL)
        return m;
    m = memory_zalloc(sizeof(*m));
    m->id = memory_strdup(id);
    HASH_ADD_KEYPTR(hh, g->members, m->id, strlen(m->id), m);
    return m;
}

size_t consumer_group_size(const struct consumer_group *g)
{
    return HASH_COUNT(g->members);
}

bool consumer_group_is_stable(const struct consumer_group *g)
{
    for (const struct consumer_member *m = g->members; m != NULL; m = m->hh.next)
        if (!member_share_is_settled(&m->share))
            return false;
    return true;
}

/* ---- values ---- */

static void group_set(struct consumer_group *g, const Flotilla__GroupValue *value)
{
    free(g->protocol);
    free(g->assignor);
    g->protocol = memory_strdup(value->protocol);
    g->assignor = memory_strdup(value->assignor);
    g->epoch = value->epoch;
    g->empty_since_ms = value->empty_since_ms;
}

static int share_unpack(const Flotilla__AssignmentValue *value, struct member_share *out)
{
    *out = (struct member_share){.epoch = value->epoch, .revoked_epoch = value->revoked_epoch};
    if (partition_set_unpack(value->assigned, value->n_assigned, &out->assigned) == 0 &&
        partition_set_unpack(value->revoking, value->n_revoking, &out->revoking) == 0 &&
        partition_set_unpack(value->target, value->n_target, &out->target) == 0)
        return 0;
    member_share_close(out);
    return ERR_CORRUPT;
}

static int member_set_share(struct consumer_member *m, const Flotilla__AssignmentValue *value)
{
    struct member_share share;
    int status = share_unpack(value, &share);
    if (status != 0)
        return status;
    member_share_close(&m->share);
    m->share = share;
    return 0;
}

/* ---- records ---- */

static int apply_group(struct group_table *t, const char *name, const void *data, size_t size)
{
    if (data == NULL) {
        struct consumer_group *g = group_table_find(t, name);
        if (g != NULL)
            group_free(t, g);
        return 0;
    }
    Flotilla__GroupValue *value = flotilla__group_value__unpack(NULL, size, data);
    if (value == NULL)
        return ERR_CORRUPT;
    group_set(find_or_create(t, name), value);
    flotilla__group_value__free_unpacked(value, NULL);
    return 0;
}

static int apply_member(struct group_table *t, const Flotilla__GroupKey *key, const void *data, size_t size)
{
    Flotilla__MemberValue *value = flotilla__member_value__unpack(NULL, size, data);
    if (value == NULL)
        return ERR_CORRUPT;
    struct consumer_member *m = member_find_or_create(find_or_create(t, key->group), key->member_id);
    if (m->value != NULL)
        flotilla__member_value__free_unpacked(m->value, NULL);
    m->value = value;
    return 0;
}

static int apply_assignment(struct group_table *t, const Flotilla__GroupKey *key, const void *data,
                            size_t size)
{
    struct consumer_group *g = group_table_find(t, key->group);
    struct consumer_member *m = g != NULL ? consumer_group_member(g, key->member_id) : NULL;
    if (m == NULL)
        return ERR_CORRUPT;
    Flotilla__AssignmentValue *value = flotilla__assignment_value__unpack(NULL, size, data);
    if (value == NULL)
        return ERR_CORRUPT;
    int status = member_set_share(m, value);
    flotilla__assignment_value__free_unpacked(value, NULL);
    return status;
}

static int remove_member(struct group_table *t, const Flotilla__GroupKey *key)
{
    struct consumer_group *g = group_table_find(t, key->group);
    struct consumer_member *m = g != NULL ? consumer_group_member(g, key->member_id) : NULL;
    if (m != NULL)
        member_free(g, m);
    return 0;
}

static bool name_fits(const char *name, size_t max)
{
    size_t size = strlen(name);
    return size > 0 && size <= max;
}

int group_table_apply(struct group_table *t, const Flotilla__GroupKey *key, const void *value, size_t size)
{
    if (!name_fits(key->group, GROUP_NAME_MAX))
        return ERR_CORRUPT;
    if (key->record == FLOTILLA__GROUP_RECORD__GROUP_RECORD_GROUP)
        return apply_group(t, key->group, value, size);
    if (!name_fits(key->member_id, GROUP_MEMBER_ID_MAX))
        return ERR_CORRUPT;
    if (key->record == FLOTILLA__GROUP_RECORD__GROUP_RECORD_MEMBER)
        return value == NULL ? remove_member(t, key) : apply_member(t, key, value, size);
    if (key->record == FLOTILLA__GROUP_RECORD__GROUP_RECORD_ASSIGNMENT && value != NULL)
        return apply_assignment(t, key, value, size);
    return ERR_CORRUPT;
}

/* ---- snapshot ---- */

void member_share_pack(const struct member_share *s, struct packed_share *out)
{
    flotilla__assignment_value__init(&out->value);
    partition_set_pack(&s->assigned, &out->assigned);
    partition_set_pack(&s->revoking, &out->revoking);
    partition_set_pack(&s->target, &out->target);
    out->value.epoch = s->epoch;
    out->value.revoked_epoch = s->revoked_epoch;
    out->value.assigned = out->assigned.pointers;
    out->value.n_assigned = out->assigned.count;
    out->value.revoking = out->revoking.pointers;
    out->value.n_revoking = out->revoking.count;
    out->value.target = out->target.pointers;
    out->value.n_target = out->target.count;
}

void packed_share_close(struct packed_share *p)
{
    packed_partitions_close(&p->assigned);
    packed_partitions_close(&p->revoking);
    packed_partitions_close(&p->target);
}

struct packed_member {
    Flotilla__MemberEntry entry;
    struct packed_share share;
};

struct packed_group {
    Flotilla__GroupEntry entry;
    Flotilla__GroupValue value;
    struct packed_member *members;
    Flotilla__MemberEntry **pointers;
};

static void pack_members(const struct consumer_group *g, struct packed_group *p)
{
    size_t size = consumer_group_size(g);
    p->members = memory_alloc((size + 1) * sizeof(p->members[0]));
    p->pointers = memory_alloc((size + 1) * sizeof(p->pointers[0]));
    for (const struct consumer_member *m = g->members; m != NULL; m = m->hh.next) {
        struct packed_member *to = &p->members[p->entry.n_members];
        member_share_pack(&m->share, &to->share);
        flotilla__member_entry__init(&to->entry);
        to->entry.member_id = m->id;
        to->entry.value = m->value;
        to->entry.assignment = &to->share.value;
        p->pointers[p->entry.n_members++] = &to->entry;
    }
    p->entry.members = p->pointers;
}

static void pack_group(const struct consumer_group *g, struct packed_group *p)
{
    flotilla__group_entry__init(&p->entry);
    flotilla__group_value__init(&p->value);
    p->value.protocol = g->protocol;
    p->value.assignor = g->assignor;
    p->value.epoch = g->epoch;
    p->value.empty_since_ms = g->empty_since_ms;
    p->entry.group = g->name;
    p->entry.value = &p->value;
    pack_members(g, p);
}

void group_table_pack(const struct group_table *t, struct packed_groups *out)
{
    size_t size = HASH_COUNT(t->groups);
    out->count = 0;
    out->backing = memory_alloc((size + 1) * sizeof(out->backing[0]));
    out->entries = memory_alloc((size + 1) * sizeof(out->entries[0]));
    for (const struct consumer_group *g = t->groups; g != NULL; g = g->hh.next) {
        struct packed_group *p = &out->backing[out->count];
        pack_group(g, p);
        out->entries[out->count++] = &p->entry;
    }
}

void packed_groups_close(struct packed_groups *p)
{
    for (size_t i = 0; i < p->count; i++) {
        struct packed_group *group = &p->backing[i];
        for (size_t j = 0; j < group->entry.n_members; j++)
            packed_share_close(&group->members[j].share);
        free(group->members);
        free(group->pointers);
    }
    free(p->backing);
    free(p->entries);
}

/* Takes the description out of the entry. */
static int unpack_member(struct consumer_group *g, Flotilla__MemberEntry *entry)
{
    if (!name_fits(entry->member_id, GROUP_MEMBER_ID_MAX) || entry->value == NULL)
        return ERR_CORRUPT;
    struct consumer_member *m = member_find_or_create(g, entry->member_id);
    if (m->value != NULL)
        return ERR_CORRUPT; /* twice */
    m->value = entry->value;
    entry->value = NULL;
    return entry->assignment != NULL ? member_set_share(m, entry->assignment) : 0;
}

static int unpack_group(struct group_table *t, const Flotilla__GroupEntry *entry)
{
    if (!name_fits(entry->group, GROUP_NAME_MAX) || entry->value == NULL)
        return ERR_CORRUPT;
    struct consumer_group *g = find_or_create(t, entry->group);
    group_set(g, entry->value);
    int status = 0;
    for (size_t i = 0; i < entry->n_members && status == 0; i++)
        status = unpack_member(g, entry->members[i]);
    return status;
}

int group_table_unpack(struct group_table *t, Flotilla__GroupEntry *const *entries, size_t count)
{
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = unpack_group(t, entries[i]);
    if (status != 0)
        group_table_clear(t);
    return status;
}
