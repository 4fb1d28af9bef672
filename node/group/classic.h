/* Classic consumer groups of one __consumer_offsets partition, at their coordinator: Kafka's JoinGroup /
 * SyncGroup protocol as a pure state machine, without I/O and clock.
 *
 *              join                       all have joined,             the leader's assignment
 *              |                          or the time is over          is replicated
 *   EMPTY -----+----> PREPARING ------------------> COMPLETING -------------------> STABLE
 *     ^               ^      |                          |                             |
 *     |  nobody is left      |     a member comes, goes or changes its mind           |
 *     +----------------------+<-------------------------+-----------------------------+
 *
 * What a group has agreed on (generation, members, assignment) is a record in the table before a member is
 * told of it, so a new coordinator goes on where the old one was, and no rebalance follows from its taking
 * over.
 *
 * Joins and syncs are answered later, through the effects; the caller keeps their `request` until then, or
 * says that it is lost. Errors are Kafka's codes (proto/kafka/errors.h), as the protocol is Kafka's. Texts
 * and bytes that are passed in are copied. */
#ifndef GROUP_CLASSIC_H
#define GROUP_CLASSIC_H

#include "node/group/classic_table.h"
#include <stdint.h>

struct classic;
struct classic_step;

struct classic_settings {
    uint32_t initial_delay_ms; /* that an empty group waits for more members */
    uint32_t session_min_ms, session_max_ms;
    uint32_t members_max; /* of one group */
    uint32_t groups_max;  /* 0: no bound */
};

struct classic_bytes {
    const void *data;
    size_t size;
};

struct classic_protocol {
    const char *name;
    struct classic_bytes metadata;
};

enum classic_state { CLASSIC_EMPTY, CLASSIC_PREPARING, CLASSIC_COMPLETING, CLASSIC_STABLE };
const char *classic_state_name(enum classic_state state); /* as Kafka's tools call it: "PreparingRebalance" */

struct classic_joined {
    int16_t error;
    int32_t generation; /* -1 with an error */
    const char *protocol_type, *protocol;
    const char *leader;
    const char *member_id;
    bool skip_assignment; /* a leader that came back under its instance id: the assignment stands */
    const struct classic_view_member *members; /* for the leader */
    size_t member_count;
};

struct classic_synced {
    int16_t error;
    const char *protocol_type, *protocol;
    struct classic_bytes assignment;
};

struct classic_effects {
    /* Replicate the step's record (acks=all, after what came before), then call classic_step_done exactly
     * once, never from inside. */
    void (*replicate)(void *data, struct classic_step *step);
    void (*joined)(void *data, void *request, const struct classic_joined *answer);
    void (*synced)(void *data, void *request, const struct classic_synced *answer);
    /* A line for the log. */
    void (*note)(void *data, const char *group, const char *member_id, const char *what, int32_t generation,
                 size_t members);
    /* A member id that nobody else has: "<prefix>-<uuid>", at most 300 bytes. */
    void (*new_id)(void *data, const char *prefix, char *out, size_t size);
};

/* This node has just become the coordinator of what is in the table; every member has its session timeout
 * from now. */
struct classic *classic_create(const struct classic_table *table, const struct classic_settings *settings,
                               const struct classic_effects *effects, void *data, uint64_t now_ms,
                               int64_t wall_ms);
/* No longer the coordinator: answers what waits with NOT_COORDINATOR. Steps under way end later, without
 * effect. */
void classic_destroy(struct classic *c);

/* ---- requests; `group` is not empty ---- */

struct classic_join {
    const char *group;
    const char *member_id;   /* "": new */
    const char *instance_id; /* NULL: a dynamic member */
    const char *client_id, *client_host;
    const char *protocol_type;
    const struct classic_protocol *protocols;
    size_t protocol_count;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    bool needs_member_id;     /* a newcomer is told its id first, and joins with it (from version 4 on) */
    bool may_skip_assignment; /* from version 9 on */
    void *request;
};
void classic_join(struct classic *c, const struct classic_join *join, uint64_t now_ms);

struct classic_assignment {
    const char *member_id;
    struct classic_bytes assignment;
};
struct classic_sync {
    const char *group, *member_id, *instance_id;
    const char *protocol_type, *protocol; /* NULL: not said */
    int32_t generation;
    const struct classic_assignment *assignments; /* of the leader */
    size_t assignment_count;
    void *request;
};
void classic_sync(struct classic *c, const struct classic_sync *sync, uint64_t now_ms);

int16_t classic_heartbeat(struct classic *c, const char *group, const char *member_id,
                          const char *instance_id, int32_t generation, uint64_t now_ms);
/* By `member_id`, or when that is "" by `instance_id`. */
int16_t classic_leave(struct classic *c, const char *group, const char *member_id, const char *instance_id,
                      uint64_t now_ms);
/* Whether a commit may be proposed now. */
int16_t classic_check_commit(struct classic *c, const char *group, const char *member_id,
                             const char *instance_id, int32_t generation, uint64_t now_ms);
/* The connection behind a parked join or sync is gone. That is not a leave. */
void classic_forget_request(struct classic *c, const char *group, void *request);

/* Does what is due and returns when to call again (UINT64_MAX: not without an event). */
uint64_t classic_run(struct classic *c, uint64_t now_ms);

/* ---- steps ---- */

const char *classic_step_group(const struct classic_step *step);
const Flotilla__ClassicValue *classic_step_value(const struct classic_step *step);
/* `error` 0: the record is committed and applied to the table; otherwise it is not, or nobody knows. The step
 * is gone. */
void classic_step_done(struct classic_step *step, int16_t error, uint64_t now_ms);

/* ---- questions ---- */

struct classic_view_member {
    const char *member_id, *instance_id; /* the latter NULL: dynamic */
    const char *client_id, *client_host;
    struct classic_bytes subscription, assignment;
};
struct classic_view {
    const char *group;
    enum classic_state state;
    const char *protocol_type, *protocol; /* "" while there is none */
    int32_t generation;
    struct classic_view_member *members;
    size_t member_count;
};
/* False: no such group. The view is valid until the next call about this group; its members are freed with
 * classic_view_close. */
bool classic_look(const struct classic *c, const char *group, struct classic_view *view);
void classic_view_close(struct classic_view *view);
/* Without their members. */
void classic_each(const struct classic *c, void (*each)(void *data, const struct classic_view *view),
                  void *data);
bool classic_has_members(const struct classic *c, const char *group);
/* The group, which has no members, has been deleted. */
void classic_forget_group(struct classic *c, const char *group);

#endif
