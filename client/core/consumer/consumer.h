/* Private to client/core/consumer: partitions that are read, and what the consumer as a whole does for them.
 */
#ifndef CLIENT_CORE_CONSUMER_CONSUMER_H
#define CLIENT_CORE_CONSUMER_CONSUMER_H

#include "client/core/consumer/inbox.h"

enum core_consumer_state {
    CONSUMER_STOPPED,
    CONSUMER_FINDING,     /* the offset to begin at is being asked for */
    CONSUMER_SUBSCRIBING, /* `position` is known; a leader is needed */
    CONSUMER_STREAMING,   /* subscribed at `endpoint`, or the answer is under way */
};

/* What a group's member has of a partition. */
enum core_hold {
    HOLD_NONE,
    HOLD_OWNED,
    HOLD_REVOKING,  /* the application finishes what it was given */
    HOLD_COMMITTING /* and that is being committed */
};

struct core_consumer_partition;
struct core_member;

/* A question for an offset that may outlive the partition's interest in it. */
struct core_consumer_find {
    struct core_consumer_partition *partition; /* NULL: nobody wants it any more */
    uint32_t index;
    int64_t timestamp_ms;
};

struct core_consumer_partition {
    struct core_work work;
    struct core_timer timer;
    struct core_request request;  /* SUBSCRIBE */
    struct core_request farewell; /* UNSUBSCRIBE */
    struct core_consumer *consumer;
    struct core_topic *topic;
    uint32_t index;
    uint64_t slot; /* in consumer->partitions */
    struct inbox_partition *shared;
    enum core_consumer_state state;
    enum flotilla_start start;
    int64_t value;
    uint64_t begun_ns;
    struct core_consumer_find *find; /* under way */
    uint64_t asked;      /* number of the question for the group's offsets that covers it; 0: none */
    enum core_hold hold; /* of a group's member */
    bool is_assigned;    /* in the group's latest word */
    int64_t position;    /* the next offset to come from the node */
    bool is_overtaken;   /* by retention: a leader's log began behind the position */
    int64_t high_watermark;
    int64_t end_reported_at;
    struct core_endpoint *endpoint; /* of the stream; NULL: none */
    uint64_t subscription;
    uint32_t use;
    int64_t window;
    int64_t credit; /* what the node may still push; below 0 when a batch went over it */
    unsigned corrupt;
    uint64_t failing_since_ns;
    uint64_t retry_ns;
};

/* A question for a group's offsets that may outlive the consumer. */
struct core_consumer_fetch {
    struct core_consumer *consumer; /* NULL: destroyed */
    struct core_consumer_topic *topic;
    uint64_t number;
    char group[OPTION_TEXT_SIZE];
};

struct core_consumer_topic {
    TAILQ_ENTRY(core_consumer_topic) link;
    struct core_topic *topic;
    bool all; /* all partitions, also those that are added later */
    enum flotilla_start start;
    int64_t value;
    uint32_t begun;                    /* partitions, with `all` */
    struct core_consumer_fetch *fetch; /* of the group's offsets, under way */
};

TAILQ_HEAD(core_consumer_topic_list, core_consumer_topic);

struct core_consumer {
    TAILQ_ENTRY(core_consumer) link;
    struct core *core;
    struct client_settings settings;
    struct inbox *inbox;
    struct core_consumer_topic_list topics;
    struct core_consumer_partition **partitions;
    uint64_t partition_count;
    uint64_t first_slot;         /* of its subscription ids; ranges of consumers don't overlap */
    struct core_commit *commits; /* waiting, in order */
    struct core_commit **commits_end;
    uint64_t fetches;                   /* of the group's offsets, so far */
    struct core_member *member;         /* NULL: never joined */
    struct core_commit_run *committing; /* under way: one at a time, so that offsets never go back */
};

struct core_consumer_partition *core_consumer_partition_create(struct core_consumer *consumer,
                                                               struct core_topic *topic, uint32_t index);
void core_consumer_partition_destroy(struct core_consumer_partition *p);
void core_consumer_partition_begin(struct core_consumer_partition *p, enum flotilla_start start,
                                   int64_t value);
void core_consumer_partition_end(struct core_consumer_partition *p);
/* Like an end, but what the application was given may still be finished and committed. */
void core_consumer_partition_drain(struct core_consumer_partition *p);
/* Finds or adds; NULL when there are too many. */
struct core_consumer_partition *core_consumer_partition_get(struct core_consumer *consumer,
                                                            struct core_topic *topic, uint32_t index);
void core_consumer_push_topic_error(struct core_consumer *consumer, const char *topic, int status,
                                    const char *why);
/* An error of the consumer as a whole. */
void core_consumer_push_group_error(struct core_consumer *consumer, int status, const char *message);
/* Asks for the group's offsets of a topic, once for all its partitions, which are told by the next two. */
void core_consumer_find_committed(struct core_consumer *consumer, struct core_topic *topic);
void core_consumer_committed_found(struct core_consumer_partition *p, int64_t offset); /* -1: none */
void core_consumer_stop_committed(struct core_consumer_partition *p, int status, const char *why);
struct core_consumer_partition *core_consumer_partition_find(struct core_consumer *consumer,
                                                             const struct core_topic *topic, uint32_t index);
struct core_consumer_topic *core_consumer_topic_get(struct core_consumer *consumer, struct core_topic *topic);
/* The partition is not read any more until the application subscribes again. */
void core_consumer_partition_stop(struct core_consumer_partition *p, int status, const char *why);
/* `log_start_offset` is as the node tells it. */
void core_consumer_partition_on_error(struct core_consumer_partition *p, uint32_t from_node,
                                      const Flotilla__Status *status, int64_t log_start_offset);

/* stream.c */
void core_consumer_stream_begin(struct core_consumer_partition *p, struct core_endpoint *e);
void core_consumer_stream_end(struct core_consumer_partition *p, bool tell_node);
void core_consumer_give_credit(struct core_consumer_partition *p);
void core_consumer_on_subscribe(struct core *core, struct core_request *request, int status,
                                const struct core_frame *frame);

/* commit.c */
void core_consumer_commit_start(struct core_consumer *consumer, const struct core_commit *commit);
void core_consumer_commits_cancel(struct core_consumer *consumer);

#endif
