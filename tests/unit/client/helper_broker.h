/* A model of a cluster as clients see it: nodes that share perfect logs, with leaders that move and answers
 * that can be told to fail. Bytes in, bytes out; no sockets and no clock, so that it serves the simulated
 * network (helper_network.h) and a real one alike. */
#ifndef TESTS_CLIENT_HELPER_BROKER_H
#define TESTS_CLIENT_HELPER_BROKER_H

#include "proto/batch.h"
#include "proto/bytes.h"
#include "proto/client.pb-c.h"
#include "proto/error.h"
#include "proto/frame.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    BROKER_NODES = 3,
    BROKER_MAX_PARTITIONS = 8,
    BROKER_BASE_PORT = 9000,
    BROKER_SUBSCRIPTIONS = 64,
    BROKER_MEMBERS = 8
};

struct broker_batch {
    struct bytes bytes;
    int64_t base_offset;
    int32_t count;
    int64_t producer_id;
    int32_t sequence;
};

struct broker_partition {
    struct broker_batch *batches;
    size_t batch_count;
    int64_t start_offset;
    int64_t next_offset;
    uint32_t leader; /* node id; 0: none */
    int32_t epoch;
    int64_t committed[4]; /* offsets of groups "g0".."g3"; -1: none */
};

struct broker_session; /* one connection */

/* A member of a group, as its coordinator (the leader of `offsets`) knows it. Tests set `assigned` and push.
 */
struct broker_member {
    char id[64];
    char instance_id[64];
    struct broker_session *session; /* where it joined; NULL: none */
    bool is_known;
    int64_t epoch;
    int64_t told_epoch;   /* with its last report */
    int64_t joined_epoch; /* with nothing */
    uint32_t assigned;    /* partitions of the topic, as bits */
    uint32_t owned;       /* as it reported last */
    uint32_t revoking; /* taken away, and not yet reported as given up: it may own it without ever having said
                          so */
    unsigned joins;
    unsigned heartbeats;
    unsigned leaves;
    char pattern[64];
    size_t topics;
};

struct broker {
    char topic[32];
    uint8_t topic_id[16];
    uint8_t offsets_id[16];
    bool topic_exists;
    uint32_t partition_count;
    struct broker_partition partitions[BROKER_MAX_PARTITIONS];
    struct broker_partition offsets; /* __consumer_offsets, one partition */
    uint16_t ports[BROKER_NODES];
    int64_t next_producer_id;
    bool gives_hints;
    bool is_careless;      /* takes any first sequence of a producer, and pushes a batch from before the asked
                              offset */
    uint16_t unknown_type; /* of requests that it has never heard of, as an older build; 0: none */
    bool is_newer;         /* its messages carry fields that this client does not know */
    /* Asked before each produce: 0 to go on, an error to answer with, or one of these. */
    int (*on_produce)(struct broker *broker, uint32_t partition, const struct batch_header *header);
    void *data;
    unsigned produce_requests;
    unsigned metadata_requests;
    unsigned metadata_unchanged; /* of them, answered by that word */
    unsigned subscribe_requests;
    unsigned list_offset_requests;
    unsigned pings;
    unsigned fetch_offsets_requests;
    struct broker_member members[BROKER_MEMBERS];
    unsigned member_count;
    int refuse_join; /* an error to answer the next JOIN_GROUP with */
    int refuse_heartbeat;
    unsigned commits_refused;
    char metadata[64];    /* of the last commit */
    size_t metadata_size; /* of all of them */
    uint64_t pushed_bytes;
    uint64_t credit_bytes; /* granted in all */
};
enum {
    BROKER_LOSE_REQUEST = 1, /* the connection is cut before the append */
    BROKER_LOSE_ANSWER = 2,  /* after it */
    BROKER_SAY_NOTHING =
        3, /* nothing is appended or answered, as by a leader that is cut off from its quorum */
};

void broker_init(struct broker *b, uint32_t partitions);
void broker_close(struct broker *b);
void broker_move_leader(struct broker *b, uint32_t partition, uint32_t node);
/* Appends a batch of `count` records with the values "<first>", "<first + 1>"... */
void broker_append(struct broker *b, uint32_t partition, int first, int count, size_t value_size);

struct broker_subscription {
    bool active;
    uint64_t id;
    uint32_t partition;
    int64_t offset;
    int64_t credit;
    int64_t told_high_watermark;
};

struct broker_session {
    struct broker *broker;
    uint32_t node; /* id */
    struct bytes input;
    struct bytes output;
    bool cut; /* the connection is to be closed without more output */
    struct broker_subscription subscriptions[BROKER_SUBSCRIPTIONS];
};

void broker_session_init(struct broker_session *s, struct broker *b, uint32_t node);
void broker_session_close(struct broker_session *s);
void broker_session_input(struct broker_session *s, const void *data, size_t size);
/* Pushes what subscriptions may get now. */
void broker_session_push(struct broker_session *s);
/* What nobody else may have, as bits. */
uint32_t broker_member_holds(const struct broker_member *member);

/* Tells a member what is assigned to it, in a new epoch. */
void broker_member_push(struct broker *b, struct broker_member *member, uint32_t assigned);
/* Ends its membership. */
void broker_member_fence(struct broker *b, struct broker_member *member, int error);
struct broker_member *broker_member_find(struct broker *b, const char *id); /* NULL: none */
/* helper_broker_group.c: whether the frame was one of a group's. */
bool broker_group_frame(struct broker_session *s, const struct frame_head *head, const uint8_t *data);
/* Fills the status for a request that only the leader serves. */
bool broker_check_leader(struct broker_session *s, const struct broker_partition *p,
                         Flotilla__Status *status);
/* For hand-made answers. */
void broker_session_send(struct broker_session *s, uint16_t type, uint16_t flags, uint64_t correlation,
                         const ProtobufCMessage *m, const void *payload, size_t payload_size);

#endif
