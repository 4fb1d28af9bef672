/* What engine.c, engine_session.c, engine_step.c and engine_target.c share. */
#ifndef GROUP_ENGINE_INTERNAL_H
#define GROUP_ENGINE_INTERNAL_H

#include "node/group/engine.h"

enum {
    /* Joins within this time become one step. */
    ENGINE_GATHER_MS = 3,
    /* engine_run is called this often while there are members, */
    ENGINE_LOOK_MS = 100,
    /* and when it is later than this, the node itself stood still, not its members. */
    ENGINE_STALL_MS = 1000,
    /* After a step that failed, or with nothing to do about a death yet. */
    ENGINE_RETRY_MS = 100,
};

/* A member of the table, as far as only this coordinator knows it. */
struct session {
    struct queue node; /* in its connection's */
    struct engine_group *group;
    struct engine_connection *connection; /* NULL: lost */
    char *member_id;
    uint64_t heard_ms;
    uint64_t lost_ms;  /* without a connection: since when */
    uint64_t grace_ms; /* and how long it may be */
    uint64_t revoking_since_ms;
    int64_t revoking_epoch; /* the revoked_epoch that this counts from */
    bool reported;          /* since the last revocation */
    int64_t reported_epoch;
    struct partition_set still_held; /* of what was being revoked then */
    int64_t pushed_epoch;
    bool pushed_stable;
    UT_hash_handle hh;
};

enum event_kind { EVENT_JOIN, EVENT_LEAVE };

/* What somebody waits to be answered. */
struct event {
    struct queue node;
    struct queue by_connection; /* of a join */
    enum event_kind kind;
    void *request;
    struct engine_connection *connection;
    char *member_id;
    char *instance_id;
    int64_t epoch;
    bool mixed;
    Flotilla__MemberValue *value;
    struct partition_set owned;
    int status; /* the answer, once the step is done */
    const char *message;
    enum engine_change change;
    char *replaced; /* id of the member whose place it took */
};

struct engine_group {
    struct engine *engine;
    char *name;
    struct session *sessions; /* by member id */
    struct queue events;
    struct engine_step *step; /* under way */
    struct queue waiters;
    struct queue due_node; /* in the engine's due list, or alone */
    uint64_t due_ms;
    bool retarget;
    UT_hash_handle hh;
};

struct engine {
    const struct group_table *table;
    struct engine_settings settings;
    struct engine_effects effects;
    void *data;
    struct engine_group *groups;
    struct queue due;
    uint64_t next_deadline_ms; /* no member can be dead before */
    uint64_t expected_ms;      /* when engine_run should be called again */
};

struct engine_step {
    struct engine *engine; /* NULL: it is gone */
    struct engine_group *group;
    struct group_records records;
    struct queue events;
    char **dead; /* ids, and why */
    const char **reasons;
    size_t dead_count;
};

/* ---- engine.c ---- */

void engine_watch_deadline(struct engine *e, uint64_t at_ms);

/* ---- engine_session.c ---- */

struct session *session_find(const struct engine_group *g, const char *member_id);
struct session *session_find_or_create(struct engine_group *g, const char *member_id);
void session_free(struct session *s);
void session_bind(struct session *s, struct engine_connection *c, struct engine_time time);
void session_lose(struct session *s, uint64_t grace_ms, uint64_t now_ms);
/* When the member is to be given up, and why. */
uint64_t session_deadline(const struct session *s, const struct consumer_member *m, const char **reason);
/* Sends what it has not been told yet. */
void session_push(struct session *s, const struct consumer_member *m, bool stable);
void session_push_end(struct session *s, int status, const char *message);

/* ---- engine_step.c ---- */

/* From the table, the events and the sessions to records. NULL: nothing has changed. */
struct engine_step *engine_step_build(struct engine_group *g, const struct engine_topics *topics,
                                      struct engine_time time);
void engine_step_free(struct engine_step *step);

/* A group in the making. */
struct draft_member {
    const char *id;
    const Flotilla__MemberValue *value;
    const struct consumer_member *was; /* NULL: new */
    struct session *session;           /* or NULL */
    bool described;                    /* its description is new */
    const struct partition_set *held;  /* all that a new process can have at hand; NULL: what it was given */
    struct member_share share;
};
struct draft {
    struct engine_group *group;
    const struct consumer_group *was; /* NULL: none */
    struct draft_member *members;     /* in order of joining */
    size_t count, capacity;
    int64_t epoch; /* the new one */
    bool retarget;
};

/* ---- engine_target.c ---- */

/* What each member is to have. */
void draft_retarget(struct draft *d, const struct engine_topics *topics);
bool topic_pattern_matches(const char *pattern, const char *name);

#endif
