/* Private to client/core/producer: what a producer keeps per partition, and which file does what. */
#ifndef CLIENT_CORE_PRODUCER_PRODUCER_H
#define CLIENT_CORE_PRODUCER_PRODUCER_H

#include "client/core/producer/accumulator.h"

/* How long a leader may try to reach a quorum before it says so. */
enum { PRODUCER_REQUEST_TIMEOUT_MS = 30000 };

struct core_producer_partition {
    struct core_work work;
    TAILQ_ENTRY(core_producer_partition) link;
    struct core_timer timer;
    struct core_producer *producer;
    struct accumulator_partition *shared;
    struct core_topic *topic;
    uint32_t index;
    uint8_t topic_id[CORE_TOPIC_ID_SIZE]; /* under which the sequence counts */
    struct core_batch_list in_flight;     /* in the order of their sequence */
    unsigned count;
    unsigned sent;        /* of these: handed to a connection and unanswered */
    uint64_t answered_ns; /* the last sign of progress while something is in flight */
    uint64_t doubted_ns;  /* when other nodes were last asked because of no progress */
    bool recovering;
    bool renew; /* needs a fresh producer id */
    /* The connection over which a leader acknowledged a batch of this sequence; 0: none. Whoever leads at the
     * other end of another one may know nothing of it. */
    uint64_t proven_on;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t next_sequence;
    uint64_t failing_since_ns; /* 0: the last attempt succeeded */
    unsigned strikes;
    uint64_t retry_ns;
    int last_error;
    char last_message[CORE_MESSAGE_SIZE];
};
TAILQ_HEAD(core_producer_partition_list, core_producer_partition);

struct core_wanted {
    struct core_topic *topic;
    uint32_t partitions; /* at least so many */
    uint64_t since_ns;
};

struct core_producer {
    TAILQ_ENTRY(core_producer) link;
    struct core *core;
    struct client_settings settings;
    struct accumulator *accumulator;
    struct core_producer_partition_list partitions;
    struct core_wanted *wanted; /* the accumulator waits for these */
    size_t wanted_count;
    int acks;
    bool idempotent;
    bool id_asked;
    bool id_known; /* not taken by a partition that needed a fresh one */
    bool closing;
    int64_t producer_id;
    int16_t producer_epoch;
    struct producer_id_box *id_box;
};

/* producer.c */
/* The end of a producer as a whole: everything not acknowledged fails, and nothing is accepted any more. */
void core_producer_fail(struct core_producer *producer, int status, const char *message);

/* partition.c */
struct core_producer_partition *core_producer_partition_get(struct core_producer *producer,
                                                            struct accumulator_partition *shared);
void core_producer_partition_close(struct core_producer_partition *p); /* frees it; it holds no batches */
void core_producer_partition_fail(struct core *core, struct core_producer_partition *p, int status,
                                  const char *why);
void core_producer_partition_drop_waiting(struct core_producer_partition *p, int status, const char *why);

/* batch.c: one batch from its first attempt to its report */
void core_producer_batch_send(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                              struct core_endpoint *e);
void core_producer_batch_unsend(struct core_batch *batch);
/* It ends unwritten, or nobody knows. Later batches cannot keep their place in the sequence. */
void core_producer_batch_fail(struct core *core, struct core_producer_partition *p, struct core_batch *batch,
                              int status, const char *why);
uint64_t core_producer_batch_deadline(const struct core_producer_partition *p,
                                      const struct core_batch *batch);
void core_producer_on_produce(struct core *core, struct core_request *request, int status,
                              const struct core_frame *frame);

/* sequence.c: producer ids, and the numbers under them */
void core_producer_ask_id(struct core_producer *producer);
void core_producer_forget_id(
    struct core_producer *producer); /* an answer that is under way does not matter */
/* Whether the partition has a producer id to number its batches with. */
bool core_producer_partition_has_id(struct core *core, struct core_producer_partition *p);
/* The bytes of the batch under its present number. */
int core_producer_batch_finish(struct core_batch *batch, struct core_producer_partition *p);

#endif
