/* A partition as clients see it: produce with its durability, idempotent producers, committed records for
 * reading, waiting readers, retention. One struct partition per replica on this node; it owns the replica's
 * Raft group.
 *
 * What it is not: it knows no protocol and no connection, and it never looks into a compressed batch. A batch
 * is stored as the producer sent it: `compression.type` of a topic is a wish told to clients by `describe`,
 * the node never re-encodes.
 *
 * Callback rule for requests: they call back exactly once, never from inside the submitting call, also with
 * an error. The request struct belongs to the caller and must stay in place until then. Loop only. */
#ifndef BROKER_PARTITION_H
#define BROKER_PARTITION_H

#include "node/cluster/cluster.h"
#include "node/consensus/governor.h"

struct partition;
struct broker;

/* State that an internal topic derives from its own committed records, on every replica (the committed
 * offsets of groups). It travels in the partition's snapshot. */
struct partition_state_machine {
    void *(*create)(void *data, struct partition *p);
    void (*destroy)(void *state);
    void (*apply)(void *state, const struct batch_header *header, const struct slice *batch);
    void (*snapshot)(void *state, struct bytes *out);
    int (*restore)(void *state, const void *bytes, size_t size); /* replaces everything; size 0: empty */
    /* This replica is the ready leader of `term`, or not; said again now and then. It may produce from
     * inside. */
    void (*leading)(void *state, bool leads, uint64_t term);
    void *data;
};

struct broker_options {
    struct env *env;
    struct logger *logger;
    struct metrics *metrics;
    struct consensus *consensus;
    struct data_dir *data_dir;
    struct journal *journal;     /* an erased replica's record is taken out of it */
    uint64_t cache_bytes;        /* tail cache per partition */
    uint64_t produce_bytes;      /* proposed and not yet committed, whole node; over it: ERR_OVERLOADED */
    uint64_t producer_expiry_ms; /* default a day; the same on every node (see producer_state.h) */
    uint64_t retention_check_ms; /* 0: never */
    uint64_t scrub_interval_ms;  /* 0: never */
    uint64_t scrub_bytes_per_s;
    const struct partition_state_machine *offsets; /* for OFFSETS_TOPIC; may be NULL */
};

/* ---- broker.c: the partitions of this node ---- */

struct broker *broker_create(const struct broker_options *options);
void broker_destroy(struct broker *b); /* no partition may run; answers that are still due are given now */
/* The cluster is created after the broker and drives it through these callbacks. */
void broker_set_cluster(struct broker *b, struct cluster *cluster);
extern const struct cluster_replica_callbacks broker_replica_callbacks; /* data = the broker */
/* NULL when this node runs no such replica. */
struct partition *broker_partition(struct broker *b, uint64_t group_id);
void broker_each_partition(struct broker *b, void (*each)(void *data, struct partition *p), void *data);
/* One round of retention now, besides the regular ones. */
void broker_retain(struct broker *b);

/* ---- one partition; a pointer is good until the loop turn ends: look it up again afterwards ---- */

uint64_t partition_group_id(const struct partition *p);
const char *partition_topic(const struct partition *p);
uint32_t partition_index(const struct partition *p);
struct group *partition_group(const struct partition *p);
struct env *partition_env(const struct partition *p);
void *partition_state(const struct partition *p); /* of its state machine, or NULL */
/* Committed; never goes back on a ready leader. Equals the last stable offset (no transactions yet). */
int64_t partition_high_watermark(const struct partition *p);
int64_t partition_start_offset(const struct partition *p);
int64_t partition_end_offset(const struct partition *p);
/* ERR_NOT_LEADER / ERR_LEADER_NOT_AVAILABLE unless this node is the ready leader; fills who is (0: nobody)
 * and the epoch. */
int partition_check_leader(const struct partition *p, uint32_t *leader_id, int32_t *leader_epoch);

/* ---- produce ---- */

enum { ACKS_ALL = -1, ACKS_NONE = 0, ACKS_LEADER = 1 };

/* A record may claim to be from at most this far in the future (the node's clock decides). */
enum { PRODUCE_TIMESTAMP_AHEAD_MAX_MS = 60 * 60 * 1000 };

struct produce_req {
    void *data;
    int64_t base_offset;        /* results; -1 on an error */
    int64_t log_append_time_ms; /* -1: not used */
    int durability;             /* the acks this answer stands for */
    bool duplicate;             /* a repeat of a batch that is in the log, or on its way into it, already */
    char message[160];          /* on an error: what and why, or "" */
    void (*cb)(struct produce_req *req, int status); /* private from here */
    struct queue node;
    int acks;
    int status;
    uint64_t started_ns;
};
/* Validates the batch (one whole v2 batch), checks the idempotent producer's sequence, and proposes it. Takes
 * a reference of `batch` and stamps it in place. Calls back with 0, or an error; also with acks = 0, once it
 * is proposed, so that the caller can free the request. A repeat of a batch that is not committed yet waits
 * for it.
 *
 * Errors that leave a gap in a producer's pipeline (ERR_OVERLOADED, ERR_NOT_ENOUGH_REPLICAS, ERR_READ_ONLY)
 * make its later batches fail with ERR_OUT_OF_ORDER_SEQUENCE until the refused one has been repeated. An
 * unknown producer may begin with any sequence, so a client keeps one batch in flight until its first one has
 * been acknowledged. */
void partition_produce(struct partition *p, struct produce_req *req, const struct slice *batch, int acks,
                       void (*cb)(struct produce_req *req, int status));

/* ---- fetch ---- */

enum fetch_state { FETCH_READING = 1, FETCH_WAITING, FETCH_CONFIRMING, FETCH_GIVING_WAY, FETCH_DONE };

struct fetch_req {
    void *data;
    struct log_read_req read; /* results: slices (owned by the callee of cb), size, next_offset */
    int64_t high_watermark;
    int64_t start_offset;
    void (*cb)(struct fetch_req *req, int status); /* private from here */
    struct queue node;
    struct env_timer timer;
    struct env_task task;
    struct read_index_req read_index;
    struct governor_turn turn;
    struct partition *partition;
    struct broker *broker;
    int64_t offset;
    size_t max_bytes;
    size_t min_bytes;
    size_t held_bytes; /* of the broker's reading_bytes */
    uint64_t deadline_ns;
    int64_t limit_offset;   /* the high watermark at the last look */
    uint64_t wake_at_bytes; /* the partition's applied bytes that make another look worth it */
    uint64_t read_at_bytes; /* and what they were at the last look */
    enum fetch_state state;
    int status;
    bool has_turn;  /* of the governor's, while reading */
    bool confirmed; /* a majority has said that this node leads */
    bool expired;
    bool canceled;
};
/* Committed records from `offset` on. With less than min_bytes there it waits up to max_wait_ns for the high
 * watermark to move, or until leadership or the partition goes (ERR_NOT_LEADER). At the end without data: 0
 * with no slices. ERR_OFFSET_OUT_OF_RANGE below the start or above the end offset, the latter only after a
 * ReadIndex round: a deposed leader's log ends before its successor's; between the high watermark and the end
 * it waits. */
void partition_fetch(struct partition *p, struct fetch_req *req, int64_t offset, size_t max_bytes,
                     size_t min_bytes, uint64_t max_wait_ns, void (*cb)(struct fetch_req *req, int status));
/* Calls back with ERR_CANCELED and no slices, later. Only while the callback is still due. */
void partition_fetch_cancel(struct fetch_req *req);
/* Memory of fetches that are reading, or have read and not called back yet. A fetch that waits holds none. */
size_t broker_reading_bytes(const struct broker *b);

/* ---- watchers: the basis of push streams ---- */

struct partition_watcher {
    void *data;
    /* The high watermark moved, or (status != 0) this partition is no longer served here and the watcher is
     * removed. Called on the loop at most once per turn. It may unwatch any watcher. */
    void (*cb)(struct partition_watcher *w, int status);
    struct queue node; /* private */
};
/* 0, or partition_check_leader's error. */
int partition_watch(struct partition *p, struct partition_watcher *w,
                    void (*cb)(struct partition_watcher *w, int status));
void partition_unwatch(struct partition_watcher *w); /* removed already: no effect */

/* ---- offsets ---- */

enum { OFFSET_END = -1, OFFSET_START = -2, OFFSET_MAX_TIMESTAMP = -3 };

struct list_offset_req {
    void *data;
    int64_t offset; /* results; -1: no such record */
    int64_t timestamp_ms;
    int64_t end_offset; /* of what was looked through */
    int32_t leader_epoch;
    void (*cb)(struct list_offset_req *req, int status); /* private from here */
    struct log_find_req find;
    struct read_index_req read_index;
    struct env_task task;
    struct partition *partition;
    int status;
};
/* The offset for a time: of the first record at or after `timestamp_ms` that is committed, or OFFSET_END (the
 * high watermark), OFFSET_START, OFFSET_MAX_TIMESTAMP. Linearizable: what a deposed leader could be wrong
 * about, the end and that no (younger) record exists, is told after a ReadIndex round. */
void partition_list_offset(struct partition *p, struct list_offset_req *req, int64_t timestamp_ms,
                           void (*cb)(struct list_offset_req *req, int status));

#endif
