/* One Fetch request while it is being answered: fetch.c waits and answers, fetch_read.c reads. Internal to
 * these two. */
#ifndef SERVER_KAFKA_FETCH_CALL_H
#define SERVER_KAFKA_FETCH_CALL_H

#include "node/server/kafka/kafka_request.h"
#include "proto/kafka/messages.h"

struct fetch_call;

/* A partition that is asked for. */
struct fetch_item {
    struct fetch_call *call;
    const struct kafka_fetch_request_topic *topic;
    const struct kafka_fetch_request_partition *asked;
    struct kafka_fetch_response_partition *answer;
    uint64_t group_id;    /* from when it has been found; 0: not known here */
    struct slice *pieces; /* of its records */
    unsigned piece_count, piece_capacity;
    struct partition_watcher watcher;
    bool watching;
};

struct fetch_call {
    struct kafka_request *request;
    struct kafka_fetch_response response;
    size_t max_bytes, min_bytes;
    struct env_timer deadline;
    struct env_timer again;
    struct env_task look;
    bool expired;

    /* fetch_read.c */
    bool failed;           /* some partition has an error to tell */
    bool full;             /* there is more, for which this answer has no room */
    uint64_t began_ms;     /* this pass */
    unsigned next;         /* item to be read next */
    unsigned reading;      /* reads under way */
    struct queue reads;    /* struct fetch_read */
    size_t reserved_bytes; /* that they may bring */
    size_t size;           /* of all pieces, which the server's fetched_bytes counts, too */
    unsigned piece_count;

    unsigned count;
    struct fetch_item items[];
};

/* Looks at all partitions and reads what is there, as far as the bounds go; then kafka_fetch_has_read, maybe
 * from inside. Drops what was read before. */
void kafka_fetch_read(struct fetch_call *call);
/* Reads under way end early. */
void kafka_fetch_cancel_reads(struct fetch_call *call);
void kafka_fetch_drop_pieces(struct fetch_call *call);
/* Gives the pieces of all items away, in the order of the wire. The caller frees the array. */
struct slice *kafka_fetch_take_pieces(struct fetch_call *call);
/* The replica of an item, as far as this node leads it, or an error of Kafka's. */
int16_t kafka_fetch_find(struct fetch_item *item, struct partition **partition);

/* fetch.c */
void kafka_fetch_has_read(struct fetch_call *call);

#endif
