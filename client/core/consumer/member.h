/* Private to this folder: a member of a group whose coordinator assigns the partitions.
 * member.c keeps the membership (join, heartbeats, leave), member_share.c what the member owns. */
#ifndef CLIENT_CORE_CONSUMER_MEMBER_H
#define CLIENT_CORE_CONSUMER_MEMBER_H

#include "client/core/consumer/consumer.h"

enum core_member_state {
    MEMBER_OUT,     /* not joined, or left, or refused for good */
    MEMBER_JOINING, /* JOIN_GROUP is to be sent or under way; what is owned flows on */
    MEMBER_IN,      /* joined over `endpoint` */
    MEMBER_AWAY,    /* left because the application does not poll; the next poll brings it back */
};

struct core_member_target {
    uint8_t topic_id[CORE_TOPIC_ID_SIZE];
    uint32_t partition;
};

struct core_member {
    struct core_work work;
    struct core_timer timer;
    struct core_request join;
    struct core_request heartbeat;
    struct core_consumer *consumer;
    enum core_member_state state;
    char id[CORE_MEMBER_ID_SIZE];
    int64_t epoch; /* of the last push that was handled; 0: owns nothing */
    char **topics;
    size_t topic_count;
    char *pattern;
    bool tells; /* the application wants to hear of rebalances */

    struct core_endpoint *endpoint; /* where JOIN_GROUP was sent; pushes count from there only */
    struct core_topic *coordinator; /* whose leader that is; NULL: it does not exist yet */
    uint32_t coordinator_partition;
    uint64_t failing_since_ns;
    uint64_t retry_ns;
    unsigned turn;
    uint64_t interval_ns; /* of heartbeats */
    uint64_t beat_ns;     /* when the next is due */
    uint64_t asked_ns;    /* when the last join or heartbeat was sent */
    uint64_t heard_ns;    /* when the last one that was answered was sent: the lease counts from there */
    uint64_t polled_ns;   /* when the application was last seen polling */

    struct core_member_target *targets; /* the coordinator's latest word */
    size_t target_count;
    bool is_stable;
    bool has_news;      /* targets that are not acted upon yet, also for want of a topic's name */
    bool reports;       /* what is owned is to be told with the next heartbeat */
    bool is_committing; /* for the partitions in HOLD_COMMITTING */

    bool is_leaving;
    struct core_leave leave;
    uint64_t leave_deadline_ns;
};

void core_member_destroy(struct core_member *m);         /* NULL is fine, and with the next three */
void core_member_wake(struct core_member *m);            /* something changed that may concern it */
const char *core_member_id(const struct core_member *m); /* "" */
int64_t core_member_epoch(const struct core_member *m);  /* 0 */

/* member.c */
void core_member_init(struct core_member *m, struct core_consumer *consumer); /* not a member yet */
void core_member_begin(struct core_member *m);                                /* joins, as somebody new */
/* Is bound to no connection any more; joins again over the next. */
void core_member_detach(struct core_member *m);
/* Tells who waits for the end of a leave, if anybody does. */
void core_member_leave_end(struct core_member *m, int status, const char *message);

/* member_share.c */
void core_member_set_targets(struct core_member *m, Flotilla__GroupPartitions *const *assigned, size_t count);
/* Begins what is newly assigned, and lets go of what is not assigned any more, as far as can be done now. */
void core_member_share(struct core_member *m);
bool core_member_owns_nothing(const struct core_member *m);
/* Everything is gone, without a commit. */
void core_member_share_lost(struct core_member *m);
/* What the member owns, in one block that the caller frees. */
Flotilla__GroupPartitions **core_member_owned(const struct core_member *m, size_t *count);

#endif
