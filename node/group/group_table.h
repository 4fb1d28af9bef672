/* The members of groups and what each may own: the part of __consumer_offsets' state that is not offsets. In
 * memory, pure, the same on every replica, because committed records alone change it.
 *
 *   table -- group "email": epoch, assignor -- member: description, assigned, revoking, target, epochs
 *        \-- group "audit": ...
 *
 * A partition belongs to the member that has it in `assigned` or `revoking`; no other member of the group has
 * it there. */
#ifndef GROUP_GROUP_TABLE_H
#define GROUP_GROUP_TABLE_H

#include "node/group/partition_set.h"
#include "proto/bytes.h"
#include "proto/group.pb-c.h"
#include <uthash.h>

/* Of a group that would be one too many. */
#define GROUPS_FULL_MESSAGE "its coordinator has as many groups as it may have (max-groups)"

enum {
    GROUP_NAME_MAX = 255,     /* bytes */
    GROUP_MEMBER_ID_MAX = 64, /* bytes */
};

/* What a member owns. */
struct member_share {
    int64_t epoch;         /* of the group when `assigned` or `revoking` changed last */
    int64_t revoked_epoch; /* likewise when something came into `revoking` last */
    struct partition_set assigned;
    struct partition_set revoking;
    struct partition_set target;
};
void member_share_close(struct member_share *s);

struct consumer_member {
    char *id;
    Flotilla__MemberValue *value; /* never NULL once the group is seen from outside apply */
    struct member_share share;
    UT_hash_handle hh;
};

struct consumer_group {
    char *name;
    char *protocol, *assignor;
    int64_t epoch;
    int64_t empty_since_ms;          /* 0: it has members */
    struct consumer_member *members; /* by id */
    UT_hash_handle hh;
};

struct group_table {
    struct consumer_group *groups; /* by name */
};

void group_table_clear(struct group_table *t);
/* Members whose description has not come (or is damaged) are not there. */
struct consumer_group *group_table_find(const struct group_table *t, const char *name);
struct consumer_member *consumer_group_member(const struct consumer_group *g, const char *id);
size_t consumer_group_size(const struct consumer_group *g);
bool consumer_group_is_stable(const struct consumer_group *g);

/* One record, not of an offset; `value` NULL removes. ERR_CORRUPT changes nothing. */
int group_table_apply(struct group_table *t, const Flotilla__GroupKey *key, const void *value, size_t size);

/* The snapshot: fills `groups` of a table that is being packed; close it after packing. */
struct packed_groups {
    Flotilla__GroupEntry **entries;
    size_t count;
    struct packed_group *backing; /* private */
};
void group_table_pack(const struct group_table *t, struct packed_groups *out);
void packed_groups_close(struct packed_groups *p);
/* Into an empty table. ERR_CORRUPT leaves it empty. */
int group_table_unpack(struct group_table *t, Flotilla__GroupEntry *const *entries, size_t count);

/* AssignmentValue that references the share; close what backs it after packing. */
struct packed_share {
    Flotilla__AssignmentValue value;
    struct packed_partitions assigned, revoking, target;
};
void member_share_pack(const struct member_share *s, struct packed_share *out);
void packed_share_close(struct packed_share *p);

#endif
