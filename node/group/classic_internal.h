/* What the files of classic.h share. */
#ifndef GROUP_CLASSIC_INTERNAL_H
#define GROUP_CLASSIC_INTERNAL_H

#include "node/base/queue.h"
#include "node/group/classic.h"
#include "proto/kafka/errors.h"

struct owned_bytes {
    unsigned char *data;
    size_t size;
};

struct owned_protocol {
    char *name;
    struct owned_bytes metadata;
};

struct classic_member {
    struct queue node; /* in the group, in order of joining */
    char *id;
    char *instance_id; /* NULL: dynamic */
    char *client_id, *client_host;
    uint32_t session_timeout_ms, rebalance_timeout_ms;
    struct owned_protocol *protocols;
    size_t protocol_count;
    struct owned_bytes assignment;
    uint64_t expires_ms; /* while it is not waiting for an answer */
    bool joining;        /* waits for the rebalance; `join_request` NULL: its connection is gone */
    void *join_request;
    bool syncing; /* likewise for the assignment */
    void *sync_request;
    bool synced; /* in this generation */
};

/* An id that has been given out and not been used yet. */
struct classic_pending {
    struct queue node;
    char *id;
    uint64_t expires_ms;
};

struct classic_group {
    struct classic *classic;
    char *name;
    enum classic_state state;
    int32_t generation;
    char *protocol_type; /* "" */
    char *protocol;      /* "" */
    char *leader;        /* "" */
    struct queue members;
    size_t member_count;
    struct queue pending;
    size_t pending_count;
    uint64_t rebalance_ms;     /* PREPARING: when it is over */
    uint64_t extends_until_ms; /* of an initial delay: the latest; 0: none */
    uint64_t sync_ms;          /* COMPLETING, STABLE: who has not synced then is out; 0: all have */
    bool persisting;           /* the leader's assignment is on its way */
    UT_hash_handle hh;
};

struct classic_step {
    struct queue node;
    struct classic *classic; /* NULL: the coordinator has moved */
    char *group;
    bool assigns; /* the leader's assignment of `generation` */
    int32_t generation;
    Flotilla__ClassicValue *value;
    char *replaced; /* member whose join waits for this step, under its new id; or NULL */
    bool may_skip_assignment;
    char *old_leader;
};

struct classic {
    const struct classic_table *table;
    struct classic_settings settings;
    const struct classic_effects *effects;
    void *data;
    struct classic_group *groups;
    struct queue steps;
    int64_t wall_offset_ms; /* to be added to the monotonic time */
};

/* ---- classic_member.c ---- */

struct classic_member *classic_member_create(const char *id, const char *instance_id);
void classic_member_destroy(struct classic_member *m);
void classic_member_describe(struct classic_member *m, const struct classic_join *join);
/* Whether the join says what the member has said before. */
bool classic_member_is_same(const struct classic_member *m, const struct classic_join *join);
const struct owned_bytes *classic_member_metadata(const struct classic_member *m, const char *protocol);
void classic_member_touch(struct classic_member *m, uint64_t now_ms);
void owned_bytes_set(struct owned_bytes *b, struct classic_bytes from);
struct classic_bytes owned_bytes_view(const struct owned_bytes *b);

/* ---- classic_group.c ---- */

struct classic_group *classic_group_find(const struct classic *c, const char *name);
struct classic_group *classic_group_create(struct classic *c, const char *name);
void classic_group_destroy(struct classic_group *g);
struct classic_member *classic_group_member(const struct classic_group *g, const char *id);
struct classic_member *classic_group_instance(const struct classic_group *g, const char *instance_id);
void classic_group_add(struct classic_group *g, struct classic_member *m);
/* Also destroys it; its join or sync has been answered. */
void classic_group_remove(struct classic_group *g, struct classic_member *m);
void classic_text_set(char **text, const char *value);
/* Of COMPLETING and STABLE. */
void classic_group_choose_protocol(struct classic_group *g);
/* Whether each member, and the join, knows a common protocol. */
bool classic_group_accepts(const struct classic_group *g, const struct classic_join *join);

/* The group's record as it stands now. */
void classic_group_replicate(struct classic_group *g, struct classic_step *step, uint64_t now_ms);
struct classic_step *classic_step_create(struct classic_group *g);

/* ---- classic_rebalance.c ---- */

/* Something about the members has changed. */
void classic_rebalance(struct classic_group *g, const char *why, uint64_t now_ms);
/* Everybody may be there now. */
void classic_try_complete(struct classic_group *g, uint64_t now_ms);
/* The time is over. */
void classic_complete_join(struct classic_group *g, uint64_t now_ms);
void classic_member_gone(struct classic_group *g, struct classic_member *m, const char *why, uint64_t now_ms);
void classic_answer_join(struct classic_group *g, struct classic_member *m, int16_t error);
void classic_answer_joined(struct classic_group *g, struct classic_member *m,
                           const struct classic_joined *answer);
void classic_answer_sync(struct classic_group *g, struct classic_member *m, int16_t error);
void classic_answer_syncs(struct classic_group *g, int16_t error);
/* Without parking: the request is turned away. */
void classic_refuse_join(struct classic *c, void *request, int16_t error, const char *member_id);

#endif
