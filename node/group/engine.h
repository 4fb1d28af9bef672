/* The coordinator of the groups of one __consumer_offsets partition, as a pure state machine: no I/O, no
 * clock.
 *
 *   join, leave, heartbeat, connection lost, topics changed --> engine --> records to replicate, answers,
 * pushes ^              | group_table (committed) -------+---- applied --+
 *
 * What must survive is in the table, which committed records alone change; the engine itself knows only who
 * is connected and when it was heard last. Per group one step is under way at a time: it takes all that has
 * come in since the last one, turns it into records, and gives answers and pushes once they are committed. So
 * nobody is ever told what a new coordinator would not know.
 *
 * Reconciliation is incremental (KIP-848's idea): an assignor says what each member is to have in the end
 * (target); what a member has beyond its target is being revoked, and remains its own until it reports that
 * it has let go, or is dead; what nobody owns goes to the member whose target it is; everything else stays
 * where it is. */
#ifndef GROUP_ENGINE_H
#define GROUP_ENGINE_H

#include "node/base/queue.h"
#include "node/group/group_table.h"
#include "node/group/records.h"

#define ENGINE_PROTOCOL "flotilla"

struct engine;
struct engine_step;

struct engine_settings {
    uint32_t session_timeout_ms; /* what a member gets that names none of its own */
    uint32_t grace_ms;
    uint32_t revocation_timeout_ms;
    uint32_t members_max; /* of one group */
    uint32_t groups_max;  /* 0: no bound */
};

struct engine_time {
    uint64_t now_ms; /* monotonic */
    int64_t wall_ms;
};

/* The cluster's topics, in order of their names. */
struct engine_topic {
    const char *name;
    const uint8_t *id;
    uint32_t partition_count;
    bool internal; /* no pattern stands for it */
};
struct engine_topics {
    const struct engine_topic *items;
    size_t count;
    /* Whether a replica stands in the rack; may be NULL. */
    bool (*in_rack)(void *data, const struct engine_topic *topic, uint32_t partition, const char *rack);
    void *data;
};

/* A client's connection, embedded in its owner's. One may serve members of many groups and engines. */
struct engine_connection {
    struct queue sessions; /* private from here */
    struct queue joins;
};

struct engine_push {
    int status; /* 0, ERR_FENCED_MEMBER, ERR_NOT_LEADER: the coordinator has moved */
    const char *message;
    const char *group;
    const char *member_id;
    int64_t epoch;
    const struct partition_set *assigned; /* NULL with an error */
    bool stable;
};

/* For the log: what has happened to a member. */
enum engine_change {
    MEMBER_JOINED,
    MEMBER_RETURNED, /* under the id that it had */
    MEMBER_REPLACED, /* by another with its instance id */
    MEMBER_LEFT,
    MEMBER_DIED,
};
struct engine_note {
    enum engine_change change;
    const char *group;
    const char *member_id;
    const char *instance_id;
    const char *reason; /* of a death, else "" */
    size_t members;     /* now */
    int64_t epoch;
};

struct engine_effects {
    /* Replicate the step's records (acks=all, after what came before), then call engine_step_done exactly
     * once, never from inside. */
    void (*replicate)(void *data, struct engine_step *step);
    /* The answer to a join or leave. */
    void (*answer)(void *data, void *request, int status, const char *message, int64_t epoch);
    /* False: the connection is full; it is tried again with the member's next heartbeat. */
    bool (*push)(void *data, struct engine_connection *c, const struct engine_push *push);
    void (*note)(void *data, const struct engine_note *note);
};

/* The coordinator has just become ready: every member of the table has until its session timeout to come
 * back. */
struct engine *engine_create(const struct group_table *table, const struct engine_settings *settings,
                             const struct engine_effects *effects, void *data, struct engine_time time);
/* No longer the coordinator: answers what waits with ERR_NOT_LEADER and tells the members that it has moved.
 * A step under way ends later, without effect. */
void engine_destroy(struct engine *e);

/* ---- events; what they ask for happens in engine_run ---- */

struct engine_join {
    const char *group;
    const char *member_id;
    int64_t epoch;
    Flotilla__MemberValue *value;         /* taken over; timeouts of 0 get the node's */
    struct partition_set owned;           /* taken over */
    struct engine_connection *connection; /* where pushes go */
    bool mixed;                           /* the group has members of another protocol: refused */
    void *request;                        /* for the answer */
};
void engine_join(struct engine *e, struct engine_join *join, struct engine_time time);
/* 0, ERR_UNKNOWN_MEMBER, ERR_FENCED_MEMBER. `owned` NULL: not reported; otherwise taken over. */
int engine_heartbeat(struct engine *e, const char *group, const char *member_id, int64_t epoch,
                     struct partition_set *owned, struct engine_time time);
/* By `member_id`, or when that is "" by `instance_id`. */
void engine_leave(struct engine *e, const char *group, const char *member_id, const char *instance_id,
                  void *request, struct engine_time time);
void engine_connection_init(struct engine_connection *c);
/* The members behind it have their grace from now on. */
void engine_connection_lost(struct engine_connection *c, struct engine_time time);
void engine_topics_changed(struct engine *e);

/* Does what is due and returns when to call again (UINT64_MAX: no need to, without an event). When that comes
 * much later, the node stood still, and the members get the time back. `topics` NULL: not known yet; nothing
 * is decided without them. */
uint64_t engine_run(struct engine *e, const struct engine_topics *topics, struct engine_time time);

const struct group_records *engine_step_records(const struct engine_step *step);
/* 0: the records are committed and applied to the table. Otherwise they are not, or nobody knows, and the
 * step's requests are answered with the error. Then engine_run. */
void engine_step_done(struct engine_step *step, int status, struct engine_time time);

/* ---- questions ---- */

/* Whether a commit of these partitions' offsets may be proposed now; `member_id` "": of no member. `epoch` is
 * the member's own, of the life in which it read them. */
enum { ENGINE_WAIT = 1 };
struct engine_waiter {
    struct queue node;
    void (*cb)(struct engine_waiter *w);
};
/* 0, ERR_UNKNOWN_MEMBER, ERR_FENCED_MEMBER (not its own, or read in an earlier life), ERR_GROUP_NOT_EMPTY; or
 * ENGINE_WAIT: who owns what is just changing, and `cb` says when to ask again, also at the engine's end. A
 * commit is as good as a heartbeat.
 */
int engine_check_commit(struct engine *e, const char *group, const char *member_id, int64_t epoch,
                        const struct topic_partition *partitions, size_t count, struct engine_time time,
                        struct engine_waiter *waiter, void (*cb)(struct engine_waiter *w));
/* Nothing waits and no step is under way. */
bool engine_is_idle(const struct engine *e, const char *group);
/* Since the member was heard last; 0 for an unknown one. */
uint64_t engine_heartbeat_age_ms(const struct engine *e, const char *group, const char *member_id,
                                 struct engine_time time);
size_t engine_member_count(const struct engine *e);

#endif
