/* What the files of this room share. */
#ifndef BROKER_INTERNAL_H
#define BROKER_INTERNAL_H

#include "node/broker/metrics.h"
#include "node/broker/partition.h"
#include "node/broker/producer_state.h"
#include "node/broker/scrub.h"
#include <uthash.h>

struct broker {
    struct broker_options options;
    struct env *env; /* of the options */
    struct cluster *cluster;
    struct partition *by_group;
    size_t in_flight_bytes; /* proposed by produce requests and not yet committed */
    size_t reading_bytes;   /* of fetches */
    uint64_t written_ns;    /* when a record was last stored here in this life; 0: not yet */
    struct queue completed; /* produce requests whose callback is due */
    struct env_task complete;
    struct env_timer retention;
    struct scrub scrub;
    struct broker_metrics metrics;
};

/*   OPENING --> RUNNING --> CLOSING --> gone
 *      \--------------------^                    */
enum partition_phase { PARTITION_OPENING, PARTITION_RUNNING, PARTITION_CLOSING };

struct partition {
    struct broker *broker;
    struct group *group; /* NULL once it is closed */
    enum partition_phase phase;
    /* The open group holds one; so does each request that the group or the log still has. */
    unsigned references;
    uint64_t group_id;
    uint32_t index;
    char topic[TOPIC_NAME_MAX + 1];
    char name[TOPIC_NAME_MAX + 16]; /* "orders/3" */
    struct topic_config config;

    int64_t deleted_below; /* records below it were deleted on request */
    int64_t start_offset;  /* by the partition's own log: the same for every leader, never goes back */
    struct proposal start_proposal;
    bool start_is_proposed;
    int64_t found_offset; /* the log's end when it was opened: below is what an earlier life has stored */
    int64_t high_watermark;
    int64_t announced_high_watermark; /* what waiters and watchers have seen */
    uint64_t applied_bytes;           /* of all batches since the replica was opened */
    struct producer_table *producers;
    const struct partition_state_machine *machine; /* NULL: none */
    void *state;

    struct queue fetches; /* waiting for records */
    struct queue turns;   /* fetches that wait for a turn at old records */
    struct queue watchers;
    struct env_task wake;
    struct partition_metrics metrics;

    bool stop_wanted; /* asked for while it was opening */
    bool erase;       /* remove the files once closed */
    int open_status;
    void (*opened)(struct partition *p, int status);
    void (*closed)(struct partition *p);
    UT_hash_handle by_group;
};

/* ---- partition.c ---- */

struct partition *partition_create(struct broker *b, const struct topic_meta *topic,
                                   const struct partition_meta *meta);
void partition_destroy(struct partition *p);
/* `opened` on the loop; on an error the partition must still be closed. */
int partition_open(struct partition *p, const struct partition_meta *meta, struct replica_start start,
                   void (*opened)(struct partition *p, int status));
/* Fails what waits, closes the group; `closed` once nothing refers to the partition any more. */
void partition_close(struct partition *p, void (*closed)(struct partition *p));
void partition_configure(struct partition *p, const struct topic_config *config);
/* Readers don't see what is below any more; the files follow as far as the snapshot allows. */
void partition_delete_below(struct partition *p, int64_t offset);
void partition_ref(struct partition *p);
void partition_unref(struct partition *p);
/* What the disk says of a read, as the client must see it: a damaged file or a failing disk ends this
 * replica, and another one has the records. */
static inline int partition_read_error(int status)
{
    return status == ERR_CORRUPT || status == ERR_IO || status == ERR_NOT_FOUND ? ERR_REPLICA_FAILED : status;
}

static inline struct governor *broker_governor(const struct broker *b)
{
    return consensus_governor(b->options.consensus);
}

static inline bool partition_is_running(const struct partition *p)
{
    return p->phase == PARTITION_RUNNING;
}

/* ---- state.c: the partition's snapshot (PartitionState of proto/storage.proto) ---- */

void partition_state_encode(const struct partition *p, struct bytes *out);
/* Replaces the producers and the state machine's state. ERR_CORRUPT leaves them empty. `size` 0: the empty
 * state. */
int partition_state_decode(struct partition *p, const void *data, size_t size);

/* ---- waiting ---- */

void fetch_wake(struct partition *p);     /* fetch.c: applied bytes have grown */
void fetch_fail_all(struct partition *p); /* with ERR_NOT_LEADER: no longer served here */
void watch_wake(struct partition *p);     /* watch.c */
void watch_fail_all(struct partition *p); /* likewise */

/* ---- produce.c ---- */

/* Gives the answers that are due. */
void produce_complete_due(struct broker *b);

/* ---- retention.c ---- */

void retention_start(struct broker *b);
void retention_stop(struct broker *b);
/* Deletes what is before the start; a leader puts into the log what it tells its readers to be the start. */
void retention_follow(struct partition *p);

/* ---- erase.c ---- */

/* Removes a closed replica's files on a worker, then its journal record; then `done`. Failures are logged:
 * what is left of it is found at the next start. */
void erase_replica(struct broker *b, uint64_t group_id, void (*done)(struct broker *b, uint64_t group_id));

#endif
