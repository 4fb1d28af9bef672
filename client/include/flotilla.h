/* libflotilla: the C client of Flotilla, a distributed, replicated log cluster.
 *
 * This is the only public header. All long-lived types are opaque. The library starts one background thread
 * per client, keeps no global state, installs no signal handler and prints nothing. All functions may be
 * called from any thread, except that one object must not be destroyed while another thread still uses it.
 * After fork() only the parent may go on using its clients: in the child their functions give
 * FLOTILLA_ERR_UNSUPPORTED at once (flotilla_consumer_poll: NULL), and destroying them does nothing.
 *
 * Functions return 0 (or a count) on success and one of the negative FLOTILLA_ERR_* codes on failure. Where a
 * function takes `error` and `error_size`, a sentence that names the topic, partition and node concerned is
 * written there (always terminated; `error` may be NULL).
 *
 * Structs that the library fills and hands out by pointer may grow at their end in later versions; never copy
 * them by size or put them in arrays of your own. */
#ifndef FLOTILLA_H
#define FLOTILLA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors ---- */

/* What the caller should do next. */
enum flotilla_error_class {
    FLOTILLA_CLASS_NONE = 0,
    FLOTILLA_CLASS_RETRIABLE,       /* try again */
    FLOTILLA_CLASS_OUTCOME_UNKNOWN, /* it may or may not have taken effect: check before repeating */
    FLOTILLA_CLASS_BAD_ARGUMENT,    /* the request itself is wrong; repeating it cannot help */
    FLOTILLA_CLASS_FENCED,          /* somebody newer has taken this caller's place; stop */
    FLOTILLA_CLASS_FATAL            /* this object cannot go on */
};

enum flotilla_error {
    FLOTILLA_OK = 0,
    FLOTILLA_ERR_UNKNOWN = -1,
    FLOTILLA_ERR_INVALID_ARGUMENT = -2,
    FLOTILLA_ERR_OUT_OF_MEMORY = -3,
    FLOTILLA_ERR_CANCELED = -4,
    FLOTILLA_ERR_TIMED_OUT = -5,
    FLOTILLA_ERR_IO = -6,
    FLOTILLA_ERR_NO_SPACE = -7,
    FLOTILLA_ERR_CORRUPT = -8,
    FLOTILLA_ERR_CLOSED = -9,
    FLOTILLA_ERR_CONNECTION_REFUSED = -10,
    FLOTILLA_ERR_CONNECTION_LOST = -11,
    FLOTILLA_ERR_UNREACHABLE = -12,
    FLOTILLA_ERR_ADDRESS_IN_USE = -13,
    FLOTILLA_ERR_PERMISSION = -14,
    FLOTILLA_ERR_NOT_FOUND = -15,
    FLOTILLA_ERR_EXISTS = -16,
    FLOTILLA_ERR_LOCKED = -17,
    FLOTILLA_ERR_TOO_MANY_FILES = -18,
    FLOTILLA_ERR_TOO_LARGE = -19,
    FLOTILLA_ERR_PROTOCOL = -20,
    FLOTILLA_ERR_UNSUPPORTED_VERSION = -21,
    FLOTILLA_ERR_UNSUPPORTED = -22,
    FLOTILLA_ERR_CLUSTER_MISMATCH = -23,
    FLOTILLA_ERR_NODE_MISMATCH = -24,
    FLOTILLA_ERR_NOT_LEADER = -25,
    FLOTILLA_ERR_LEADER_NOT_AVAILABLE = -26,
    FLOTILLA_ERR_NOT_REPLICA = -27,
    FLOTILLA_ERR_OUTCOME_UNKNOWN = -28,
    FLOTILLA_ERR_UNKNOWN_TOPIC = -29,
    FLOTILLA_ERR_UNKNOWN_PARTITION = -30,
    FLOTILLA_ERR_TOPIC_EXISTS = -31,
    FLOTILLA_ERR_INVALID_TOPIC = -32,
    FLOTILLA_ERR_INVALID_PARTITIONS = -33,
    FLOTILLA_ERR_INVALID_REPLICATION = -34,
    FLOTILLA_ERR_INVALID_CONFIG = -35,
    FLOTILLA_ERR_OFFSET_OUT_OF_RANGE = -36,
    FLOTILLA_ERR_OUT_OF_ORDER_SEQUENCE = -37,
    FLOTILLA_ERR_FENCED_PRODUCER = -38,
    FLOTILLA_ERR_FENCED_EPOCH = -39,
    FLOTILLA_ERR_READ_ONLY = -40,
    FLOTILLA_ERR_NOT_ENOUGH_REPLICAS = -41,
    FLOTILLA_ERR_OVERLOADED = -42,
    FLOTILLA_ERR_SHUTTING_DOWN = -43,
    FLOTILLA_ERR_INVALID_TIMESTAMP = -44,
    FLOTILLA_ERR_REPLICA_FAILED = -45,
    FLOTILLA_ERR_COORDINATOR_LOADING = -46,
    FLOTILLA_ERR_UNKNOWN_GROUP = -47,
    FLOTILLA_ERR_INTERRUPTED = -48,
    FLOTILLA_ERR_UNKNOWN_MEMBER = -49,
    FLOTILLA_ERR_FENCED_MEMBER = -50,
    FLOTILLA_ERR_GROUP_NOT_EMPTY = -51,
    FLOTILLA_ERR_INVALID_GROUP = -52,
    FLOTILLA_ERR_MIXED_PROTOCOLS = -53,
    FLOTILLA_ERR_GROUP_FULL = -54
};

/* "not_leader": stable, for logs and JSON; "unknown" for a number outside the table. */
const char *flotilla_error_name(int code);
/* A sentence without full stop; never NULL. */
const char *flotilla_error_text(int code);
enum flotilla_error_class flotilla_error_class_of(int code);

/* "0.1.0" */
const char *flotilla_version(void);

/* clang-format off */
/* ---- options ----
 *
 * One set of named options serves clients, producers and consumers; each takes what concerns it. Numbers are
 * plain decimals; sizes take the suffixes k, m, g (powers of 1024); flags are true or false.
 *
 *   client
 *     client.id             flotilla  1..249 chars  shown in the nodes' logs
 *     cluster.id            (any)     0..64 chars   refuse to talk to any other cluster
 *     request.timeout.ms    1000      50..60000     a node that is silent for so long while it owes an answer is
 *                                                   taken for dead, and others are asked for the leader
 *     connect.timeout.ms    1000      10..60000     for one connection attempt
 *     metadata.refresh.ms   30000     100..3600000  how often the leaders are looked up without need
 *   producer
 *     acks                  all       all, 1, 0     all: on a quorum's disks; 1: on the leader's disk; 0: sent
 *     idempotence           true      flag          a retry never duplicates or reorders; off with acks=0
 *     retry.unknown         false     flag          without idempotence: retry also what may have been written;
 *                                                   records may then come twice, and out of order if in.flight > 1
 *     linger.ms             2         0..60000      how long a batch waits for more records while others are in
 *                                                   flight; with nothing in flight a record is sent at once
 *     batch.bytes           256k      1k..64m       size at which a batch is sent (a larger record goes alone)
 *     compression           none      none, gzip, snappy, lz4, zstd
 *     in.flight             5         1..5          batches in flight per partition
 *     delivery.timeout.ms   120000    100..3600000  from flotilla_produce to the delivery report, at most
 *     buffer.bytes          64m       64k..16g      records accepted and not delivered yet; beyond it
 *     block.ms              60000     0..3600000    flotilla_produce waits so long for room (or for the first
 *                                                   look-up of a topic), then gives FLOTILLA_ERR_OVERLOADED
 *     delivery.thread       poll      poll, io      who calls the delivery callback: flotilla_producer_poll and
 *                                                   _flush on the caller's thread, or the background thread at
 *                                                   once (then it must be quick and must not block)
 *   consumer
 *     group                 (none)    0..249 chars  name under which offsets are committed
 *     offset.reset          earliest  earliest, latest, error
 *                                                   where to go when there is no committed offset, or when the
 *                                                   position is no longer in the log
 *     prefetch.bytes        8m        64k..1g       received ahead of the application, per partition
 *     prefetch.total.bytes  64m       64k..16g      the same over all partitions of a consumer
 *     commit.interval.ms    1000      0..3600000    with a group: finished offsets are committed so often, and on
 *                                                   destroy; 0: only by flotilla_consumer_commit
 *     processing            at-least-once  at-least-once, at-most-once
 *                                                   at-most-once: a batch's end is committed before
 *                                                   flotilla_consumer_poll returns it, so a crash loses what was
 *                                                   not finished instead of repeating it
 *     report.end            false     flag          deliver FLOTILLA_BATCH_END events
 *   membership, for flotilla_consumer_join
 *     group.instance.id     (none)    0..64 chars   a static member: restarted within session.timeout.ms it gets its
 *                                                   partitions back and nobody else notices; unique in the group
 *     client.rack           (none)    0..64 chars   where this member runs: partitions led there are preferred
 *     assignor              sticky    sticky, range, round-robin
 *                                                   who reads what; the longest-standing member's choice counts
 *     session.timeout.ms    10000     500..3600000  a member that was not heard of for so long has lost its
 *                                                   partitions; it stops reading them by itself then
 *     grace.ms              1000      0..3600000    the same after its connection broke (a static member has
 *                                                   session.timeout.ms); 0: the node's default
 *     revocation.timeout.ms 60000     100..3600000  to finish what it was given of a partition that is revoked
 *     max.poll.interval.ms  300000    100..86400000 a member whose application does not poll for so long leaves,
 *                                                   and joins again with the next poll
 */
/* clang-format on */
struct flotilla_options;
struct flotilla_client;

struct flotilla_options *flotilla_options_create(void);
void flotilla_options_destroy(struct flotilla_options *options); /* NULL is fine */
/* FLOTILLA_ERR_INVALID_ARGUMENT for an unknown name (the message proposes the nearest one) or a bad value
 * (the message says what is allowed). */
int flotilla_options_set(struct flotilla_options *options, const char *name, const char *value, char *error,
                         size_t error_size);
/* The value in force as text, NULL for an unknown name. Valid until the next set or destroy. */
const char *flotilla_options_get(const struct flotilla_options *options, const char *name);

/* Where the library reports what it does (leader changes, lost connections, retries): key=value text. Called
 * on the background thread; must be quick and must not call the library. */
enum flotilla_log_level { FLOTILLA_LOG_DEBUG, FLOTILLA_LOG_INFO, FLOTILLA_LOG_WARNING, FLOTILLA_LOG_ERROR };
typedef void (*flotilla_log_cb)(void *data, enum flotilla_log_level level, const char *message);
void flotilla_options_set_log(struct flotilla_options *options, flotilla_log_cb cb, void *data);

/* Chooses the partition of records with FLOTILLA_PARTITION_ANY instead of the rule below, on the producing
 * thread; must be quick and must not call the library. FLOTILLA_PARTITION_ANY leaves the choice to that rule.
 */
typedef int32_t (*flotilla_partitioner_cb)(void *data, const char *topic, const void *key, size_t key_size,
                                           int32_t partition_count);
void flotilla_options_set_partitioner(struct flotilla_options *options, flotilla_partitioner_cb cb,
                                      void *data);

/* Totals since a client was made. */
struct flotilla_statistics {
    uint64_t connections; /* open now */
    uint64_t connects;    /* attempts */
    uint64_t connection_losses;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t requests;         /* that want an answer */
    uint64_t requests_waiting; /* for it, now */
    uint64_t records_acknowledged;
    uint64_t records_failed;
    uint64_t batches_sent; /* attempts */
    uint64_t batches_repeated;
    uint64_t batches_received;
    uint64_t records_received;
    uint64_t leader_changes; /* noticed */
    uint64_t metadata_requests;
};
/* A result, to be freed by flotilla_result_free. */
int flotilla_client_statistics(struct flotilla_client *client, const struct flotilla_statistics **statistics);
/* Gives them every interval_ms on the background thread; must be quick and must not call the library. Before
 * flotilla_client_create. */
typedef void (*flotilla_statistics_cb)(void *data, const struct flotilla_statistics *statistics);
void flotilla_options_set_statistics(struct flotilla_options *options, int interval_ms,
                                     flotilla_statistics_cb cb, void *data);

/* ---- client ---- */

struct flotilla_client;

/* `bootstrap` is "host:port,host:port,..." (the port defaults to 9192). Connects in the background: a cluster
 * that is down is not an error here. `options` may be NULL and may be destroyed afterwards. */
int flotilla_client_create(struct flotilla_client **client, const char *bootstrap,
                           const struct flotilla_options *options, char *error, size_t error_size);
/* Producers and consumers must have been destroyed before. NULL is fine. */
void flotilla_client_destroy(struct flotilla_client *client);

/* ---- producer ---- */

struct flotilla_producer;

enum {
    FLOTILLA_PARTITION_ANY = -1
}; /* by the key's hash (as Kafka's clients do); without key: one that fills a batch */
enum { FLOTILLA_TIMESTAMP_NOW = -1 };

/* The acknowledgement that a delivery report stands for. */
enum flotilla_durability {
    FLOTILLA_DURABLE_QUORUM = -1, /* on the disks of a majority of the partition's replicas */
    FLOTILLA_DURABLE_NONE = 0,    /* handed to the network */
    FLOTILLA_DURABLE_LEADER = 1   /* on the leader's disk */
};

struct flotilla_header {
    const char *key;
    size_t key_size;
    const void *value; /* NULL: null, which differs from empty */
    size_t value_size;
};

/* What became of one record. Exactly one report per accepted record, in order per partition for those that
 * succeed. By the class of `status`: 0: written; OUTCOME_UNKNOWN: may have been written; any other: certainly
 * not written. */
struct flotilla_delivery {
    int status;
    const char *message; /* "" on success; else what failed, on which topic, partition and node */
    const char *topic;
    int32_t partition;
    int64_t offset;       /* -1 when unknown: on failure, and with acks=0 */
    int64_t timestamp_ms; /* the time of the append when the topic uses that, else -1: as produced */
    enum flotilla_durability durability;
    void *opaque; /* as given to flotilla_produce */
};
typedef void (*flotilla_delivery_cb)(void *data, const struct flotilla_delivery *delivery);

/* `cb` may be NULL: then nothing is reported per record and flotilla_producer_flush tells about failures. */
int flotilla_producer_create(struct flotilla_producer **producer, struct flotilla_client *client,
                             const struct flotilla_options *options, flotilla_delivery_cb cb, void *data,
                             char *error, size_t error_size);
/* Reports what is not delivered yet as FLOTILLA_ERR_CANCELED or _OUTCOME_UNKNOWN; flush first to keep it. */
void flotilla_producer_destroy(struct flotilla_producer *producer); /* NULL is fine */

/* Accepts one record; everything is copied. `key` or `value` NULL: null, which differs from empty. Errors,
 * all of which mean that the record was not accepted and will not be reported: FLOTILLA_ERR_OVERLOADED (no
 * room within block.ms; in poll mode also when reports wait for flotilla_producer_poll), _UNKNOWN_TOPIC,
 * _UNKNOWN_PARTITION, _TOO_LARGE, _FENCED_PRODUCER or another fatal error of this producer. The first record
 * of a topic waits for its metadata. */
int flotilla_produce(struct flotilla_producer *producer, const char *topic, int32_t partition,
                     int64_t timestamp_ms, const void *key, size_t key_size, const void *value,
                     size_t value_size, const struct flotilla_header *headers, size_t header_count,
                     void *opaque);

/* The same, and waits until the record is acknowledged or given up (delivery.timeout.ms at the latest). 0,
 * and its offset (-1 with acks=0) in `offset`, which may be NULL; else an error whose class tells whether the
 * record may have been written. The delivery callback is not called for it. */
int flotilla_produce_sync(struct flotilla_producer *producer, const char *topic, int32_t partition,
                          int64_t timestamp_ms, const void *key, size_t key_size, const void *value,
                          size_t value_size, const struct flotilla_header *headers, size_t header_count,
                          int64_t *offset, char *error, size_t error_size);

/* Calls the delivery callback for what is done, waiting for the first up to timeout_ms (-1: forever). Returns
 * how many reports were made. With delivery.thread=io or without callback there is nothing to do. */
int flotilla_producer_poll(struct flotilla_producer *producer, int timeout_ms);
/* Sends everything at once and waits until every accepted record is reported (calling the callback here in
 * poll mode). 0; FLOTILLA_ERR_TIMED_OUT; without callback the first failure since the last flush. */
int flotilla_producer_flush(struct flotilla_producer *producer, int timeout_ms);
/* For a program's own event loop: readable while flotilla_producer_poll(producer, 0) has reports to make.
 * Negative: an error. Belongs to the producer. */
int flotilla_producer_fd(struct flotilla_producer *producer);
/* Records accepted and not reported yet. */
uint64_t flotilla_producer_pending(const struct flotilla_producer *producer);
/* The message of the last error of flotilla_produce on the calling thread's producer, for a log line; "" if
 * none. The text is copied to `error`. */
void flotilla_producer_last_error(struct flotilla_producer *producer, char *error, size_t error_size);
/* The partition that FLOTILLA_PARTITION_ANY gives a key: murmur2 as in Kafka's Java client and librdkafka. */
int32_t flotilla_partition_for_key(const void *key, size_t key_size, int32_t partition_count);

/* ---- consumer ----
 *
 * Reads committed records, in offset order per partition, pushed by the leaders ahead of the application
 * within the prefetch bounds. A change of leader is invisible here. */

struct flotilla_consumer;
struct flotilla_batch;

enum { FLOTILLA_PARTITION_ALL = -1 };

enum flotilla_start {
    FLOTILLA_START_OFFSET,    /* `value` is the offset of the first record */
    FLOTILLA_START_BEGINNING, /* the oldest record there is */
    FLOTILLA_START_END,       /* only records written from now on */
    FLOTILLA_START_TIME,      /* the first record whose timestamp is at or after `value` ms, else the end */
    FLOTILLA_START_COMMITTED  /* the group's committed offset; where there is none: offset.reset */
};

int flotilla_consumer_create(struct flotilla_consumer **consumer, struct flotilla_client *client,
                             const struct flotilla_options *options, char *error, size_t error_size);
/* Commits what is finished first when commit.interval.ms is set (waits for it at most a few seconds). All
 * batches must have been released. Not from a callback. NULL is fine. */
void flotilla_consumer_destroy(struct flotilla_consumer *consumer);

/* Reading without a group's assignment. Begins to read a partition, or all partitions of a topic. Reading a
 * partition that is read already moves it. Takes effect in the background; what goes wrong comes as a
 * FLOTILLA_BATCH_ERROR. */
int flotilla_consumer_subscribe(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                                enum flotilla_start start, int64_t value, char *error, size_t error_size);
int flotilla_consumer_unsubscribe(struct flotilla_consumer *consumer, const char *topic, int32_t partition);
/* Moves a partition that is being read, also one that the group assigned; what was prefetched is dropped.
 * FLOTILLA_ERR_NOT_FOUND when it is not being read here. */
int flotilla_consumer_seek(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                           enum flotilla_start start, int64_t value, char *error, size_t error_size);
/* A paused partition keeps its place and what was prefetched; poll passes over it. */
int flotilla_consumer_pause(struct flotilla_consumer *consumer, const char *topic, int32_t partition);
int flotilla_consumer_resume(struct flotilla_consumer *consumer, const char *topic, int32_t partition);

/* ---- membership of a group ----
 *
 * The group's coordinator spreads the partitions of the topics over all members. When members come and go,
 * only partitions that move stop: the old owner is told, finishes and commits what it was given, and lets go;
 * the new owner begins at the committed offset. So while everybody leaves in order, no record is processed
 * twice.
 *
 * A member that is not heard of in time loses its partitions: what it finishes afterwards can no longer be
 * committed, and the next owner processes it again. It then joins anew by itself. */

struct flotilla_partition {
    const char *topic;
    int32_t partition;
};
enum flotilla_rebalance {
    FLOTILLA_ASSIGNED, /* these are being read from now on, from the committed offset (else offset.reset) */
    FLOTILLA_REVOKED,  /* these go to another member: no further batch of them comes; finish, and with
                          commit.interval.ms=0 commit, those you have */
    FLOTILLA_LOST      /* these are gone already: nothing of them can be committed any more */
};
/* Called by flotilla_consumer_poll, _leave and _destroy on their thread, before the next batch is returned.
 * May commit, seek, pause. A revoked partition moves on once this has returned and its batches are released.
 */
typedef void (*flotilla_rebalance_cb)(void *data, struct flotilla_consumer *consumer,
                                      enum flotilla_rebalance event,
                                      const struct flotilla_partition *const *partitions, size_t count);

/* Joins the option `group` to read these topics and those whose name matches `pattern` (* and ?; NULL: none),
 * also ones that appear later. Called again it changes the topics. What goes wrong comes as a
 * FLOTILLA_BATCH_ERROR without partition. `cb` may be NULL. */
int flotilla_consumer_join(struct flotilla_consumer *consumer, const char *const *topics, size_t topic_count,
                           const char *pattern, flotilla_rebalance_cb cb, void *data, char *error,
                           size_t error_size);
/* Finishes as for a revocation of everything, commits, and leaves, also as a static member. All batches must
 * have been released. flotilla_consumer_destroy does it too, but a static member's place is kept. */
int flotilla_consumer_leave(struct flotilla_consumer *consumer, int timeout_ms, char *error,
                            size_t error_size);
struct flotilla_membership {
    const char *member_id;
    int64_t epoch;                                      /* 0: not a member at the moment */
    int is_stable;                                      /* everybody in the group has what it should have */
    const struct flotilla_partition *const *partitions; /* being read, or being let go */
    size_t partition_count;
};
/* What this consumer owns now, as a result to be freed by flotilla_result_free. */
int flotilla_consumer_membership(struct flotilla_consumer *consumer,
                                 const struct flotilla_membership **membership);

/* The next batch of one partition, or NULL when none came within timeout_ms (-1: forever). Every batch must
 * be released; until then it counts as prefetched. */
struct flotilla_batch *flotilla_consumer_poll(struct flotilla_consumer *consumer, int timeout_ms);

/* For a program's own event loop: readable while flotilla_consumer_poll(consumer, 0) has something to return
 * or to tell. Negative: an error. Belongs to the consumer. Finished offsets are committed in poll, so call
 * that at least every commit.interval.ms. */
int flotilla_consumer_fd(struct flotilla_consumer *consumer);

enum flotilla_batch_kind {
    FLOTILLA_BATCH_RECORDS,
    FLOTILLA_BATCH_END,  /* with report.end: every record that was committed when the node last told has been
                            returned */
    FLOTILLA_BATCH_ERROR /* this partition is no longer read (see status); subscribe again to go on */
};
enum flotilla_batch_kind flotilla_batch_kind(const struct flotilla_batch *batch);
int flotilla_batch_status(const struct flotilla_batch *batch);          /* of an error, else 0 */
const char *flotilla_batch_message(const struct flotilla_batch *batch); /* of an error, else "" */
const char *flotilla_batch_topic(const struct flotilla_batch *batch);
int32_t flotilla_batch_partition(const struct flotilla_batch *batch); /* -1: an error of the whole topic */
int64_t
flotilla_batch_offset(const struct flotilla_batch *batch); /* of its first record; at an END: the end */
int64_t flotilla_batch_high_watermark(const struct flotilla_batch *batch);
int32_t flotilla_batch_leader_epoch(const struct flotilla_batch *batch);

struct flotilla_record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    int is_append_time; /* timestamp_ms was set by the leader, not by the producer */
    const void *key;    /* NULL: null */
    size_t key_size;
    const void *value; /* NULL: null */
    size_t value_size;
    const struct flotilla_header *headers;
    size_t header_count;
};
/* The next record, or NULL at the end (or where the batch turns out to be damaged: then flotilla_batch_status
 * says so). Asking for the next one says that the one before is finished. The pointers go into the received
 * bytes (or what they were decompressed to): the struct is valid until the next call, key, value and headers
 * until the batch is released. */
const struct flotilla_record *flotilla_batch_next(struct flotilla_batch *batch);
/* Says that the records returned so far are finished. */
void flotilla_batch_release(struct flotilla_batch *batch);

/* ---- committed offsets: at-least-once ----
 *
 * Only finished records count: those after which the application asked for the next one or released the
 * batch. */

/* Commits the finished offsets of all partitions that moved since the last commit, and waits. Needs a group.
 */
int flotilla_consumer_commit(struct flotilla_consumer *consumer, int timeout_ms, char *error,
                             size_t error_size);
/* The same without waiting; `cb` (may be NULL) is called once, on the background thread, and before
 * flotilla_consumer_destroy returns: then with FLOTILLA_ERR_OUTCOME_UNKNOWN or _CANCELED if it was not done.
 */
typedef void (*flotilla_commit_cb)(void *data, int status, const char *message);
int flotilla_consumer_commit_async(struct flotilla_consumer *consumer, flotilla_commit_cb cb, void *data);
/* Commits this offset (the next one to read) of one partition, and waits. `metadata` (at most 4096 bytes,
 * NULL: none) is kept with it and shown by `flotilla group describe`. */
int flotilla_consumer_commit_offset(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                                    int64_t offset, const char *metadata, int timeout_ms, char *error,
                                    size_t error_size);

/* Per partition; -1 when not known (yet), or not subscribed. */
int64_t flotilla_consumer_position(struct flotilla_consumer *consumer, const char *topic, int32_t partition);
int64_t flotilla_consumer_high_watermark(struct flotilla_consumer *consumer, const char *topic,
                                         int32_t partition);
/* Committed records that the application has not been given: high watermark - position. */
int64_t flotilla_consumer_lag(struct flotilla_consumer *consumer, const char *topic, int32_t partition);
/* Reading one's own writes: waits until this consumer has finished (see above: its batch is released) every
 * record of the partition before `offset`, such as the one behind a delivery report's.
 * FLOTILLA_ERR_TIMED_OUT. Another thread polls meanwhile. */
int flotilla_consumer_wait(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                           int64_t offset, int timeout_ms);
/* The last offset whose commit succeeded, or that was found at the start. */
int64_t flotilla_consumer_committed(struct flotilla_consumer *consumer, const char *topic, int32_t partition);

/* ---- administration ----
 *
 * Each call waits up to timeout_ms and hides dead nodes and changes of leader as far as it can. Results
 * belong to the caller until flotilla_result_free. */

void flotilla_result_free(const void *result); /* of any result below; NULL is fine */

struct flotilla_config_entry {
    const char *name;
    const char *value;
    int is_default;
};
struct flotilla_partition_info {
    uint32_t index;
    uint32_t leader_id; /* 0: none at the moment */
    int32_t leader_epoch;
    const uint32_t *replicas; /* node ids */
    size_t replica_count;
    const uint32_t *in_sync;
    size_t in_sync_count;
    int64_t log_start_offset; /* these four come from the leader and with describe only; -1: unknown */
    int64_t high_watermark;
    int64_t end_offset;
    int64_t size_bytes;
};
struct flotilla_topic_info {
    const char *name;
    uint8_t id[16];
    int internal;
    const struct flotilla_partition_info *const *partitions;
    size_t partition_count;
    const struct flotilla_config_entry *const *config; /* with describe only */
    size_t config_count;
};
struct flotilla_topics {
    const struct flotilla_topic_info *const *topics; /* by name */
    size_t count;
};
struct flotilla_node_info {
    uint32_t id;
    const char *host;
    uint16_t port;
    uint16_t http_port;
    uint16_t kafka_port;
    const char *rack;
    int alive;
    int draining;
    uint32_t leads; /* partitions; the last five with cluster status only */
    uint32_t replicas;
    uint32_t preferred;
    uint64_t uptime_ms; /* 0: unknown */
    const char *software;
};
struct flotilla_cluster_info {
    const char *cluster_id;
    uint32_t controller_id; /* 0: none at the moment */
    uint32_t topics;
    uint32_t partitions;
    uint32_t leaderless;
    uint32_t under_replicated;                     /* over all nodes that answered */
    const struct flotilla_node_info *const *nodes; /* by id */
    size_t node_count;
};
struct flotilla_group_offset {
    const char *topic; /* "" when the topic no longer exists */
    uint32_t partition;
    int64_t offset;
    const char *metadata;
    int64_t commit_time_ms; /* 0: unknown; not read where this is given to the library */
};
struct flotilla_offsets {
    const struct flotilla_group_offset *const *offsets; /* by topic, partition */
    size_t count;
};

/* `config` is `config_count` pairs: name, value, name, value, ... `partitions` and `replicas` 0: the
 * cluster's default. Returns once every partition has a leader that accepts records. When an earlier attempt
 * of the same call lost its answer, a topic that exists, or on delete one that does not, counts as success.
 */
int flotilla_topic_create(struct flotilla_client *client, const char *topic, uint32_t partitions,
                          uint32_t replicas, const char *const *config, size_t config_count, int timeout_ms,
                          char *error, size_t error_size);
int flotilla_topic_list(struct flotilla_client *client, int timeout_ms, const struct flotilla_topics **list,
                        char *error, size_t error_size);
int flotilla_topic_describe(struct flotilla_client *client, const char *topic, int timeout_ms,
                            const struct flotilla_topic_info **info, char *error, size_t error_size);
/* `partitions` 0: unchanged, only growth is possible. `config` as above; `reset` are names to put back to the
 * default. */
int flotilla_topic_alter(struct flotilla_client *client, const char *topic, uint32_t partitions,
                         const char *const *config, size_t config_count, const char *const *reset,
                         size_t reset_count, int timeout_ms, char *error, size_t error_size);
int flotilla_topic_delete(struct flotilla_client *client, const char *topic, int timeout_ms, char *error,
                          size_t error_size);

int flotilla_cluster_status(struct flotilla_client *client, int timeout_ms,
                            const struct flotilla_cluster_info **info, char *error, size_t error_size);
/* Moves leadership away from a node (drain != 0) or allows it again. `still_leads` (may be NULL) is what is
 * left. */
int flotilla_cluster_drain(struct flotilla_client *client, uint32_t node_id, int drain, int timeout_ms,
                           uint32_t *still_leads, char *error, size_t error_size);
/* For operators and fault tests, over loopback only. `log_level` NULL: unchanged. `blocked` NULL: unchanged,
 * else the node drops all traffic from and to these nodes (count 0: none). */
int flotilla_node_control(struct flotilla_client *client, uint32_t node_id, const char *log_level,
                          const uint32_t *blocked, size_t blocked_count, int timeout_ms, char *error,
                          size_t error_size);

/* The offset of the first record at or after timestamp_ms, or -1 when there is none; with one of these: */
enum { FLOTILLA_OFFSET_END = -1, FLOTILLA_OFFSET_BEGINNING = -2, FLOTILLA_OFFSET_MAX_TIMESTAMP = -3 };
int flotilla_offset_list(struct flotilla_client *client, const char *topic, int32_t partition,
                         int64_t timestamp_ms, int timeout_ms, int64_t *offset, char *error,
                         size_t error_size);
/* Committed offsets of a group; `topic` NULL: all. */
int flotilla_group_offsets(struct flotilla_client *client, const char *group, const char *topic,
                           int timeout_ms, const struct flotilla_offsets **offsets, char *error,
                           size_t error_size);
/* Refused with FLOTILLA_ERR_GROUP_NOT_EMPTY while the group has members: they commit by themselves. */
int flotilla_group_commit(struct flotilla_client *client, const char *group, const char *topic,
                          int32_t partition, int64_t offset, int timeout_ms, char *error, size_t error_size);
/* The same for many, of which either all are taken or none. */
int flotilla_group_commit_all(struct flotilla_client *client, const char *group,
                              const struct flotilla_group_offset *const *offsets, size_t count,
                              int timeout_ms, char *error, size_t error_size);

struct flotilla_group_info {
    const char *group;
    const char *state;    /* empty, reconciling, stable; of Kafka's classic groups also preparing-rebalance,
                             completing-rebalance */
    const char *protocol; /* flotilla, classic; "": only offsets are committed under the name */
    const char *assignor;
    int64_t epoch;
    uint32_t members;
};
struct flotilla_groups {
    const struct flotilla_group_info *const *groups; /* by name */
    size_t count;
};
struct flotilla_group_member {
    const char *member_id;
    const char *instance_id; /* "": dynamic */
    const char *client_id;
    const char *host;
    const char *rack;
    int64_t epoch;
    const char *const *topics;
    size_t topic_count;
    const char *pattern;
    const struct flotilla_partition *const *assigned; /* may read now */
    size_t assigned_count;
    const struct flotilla_partition *const *target; /* will in the end */
    size_t target_count;
    uint64_t heartbeat_age_ms;
};
struct flotilla_group_description {
    const struct flotilla_group_info *info;
    const struct flotilla_group_member *const *members;
    size_t member_count;
    const struct flotilla_group_offset *const *offsets; /* by topic, partition */
    size_t offset_count;
};
/* The partition of the topic __consumer_offsets, of so many, whose leader coordinates a group. */
int32_t flotilla_group_partition(const char *group, int32_t partition_count);
/* Asks every node for the groups that it coordinates. */
int flotilla_group_list(struct flotilla_client *client, int timeout_ms, const struct flotilla_groups **groups,
                        char *error, size_t error_size);
int flotilla_group_describe(struct flotilla_client *client, const char *group, int timeout_ms,
                            const struct flotilla_group_description **description, char *error,
                            size_t error_size);
/* Deletes a group without members and its offsets; with `topic` only its offsets of that topic. */
int flotilla_group_delete(struct flotilla_client *client, const char *group, const char *topic,
                          int timeout_ms, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif

#endif
