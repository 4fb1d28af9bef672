/* Stand-ins for the rooms above the broker: a Raft group with its log in memory, moved by the test step by
 * step, and the few functions of the cluster, the data directory and the journal that the broker calls. */
#ifndef TEST_BROKER_HELPER_FAKE_GROUP_H
#define TEST_BROKER_HELPER_FAKE_GROUP_H

#include "node/broker/partition.h"
#include "tests/unit/broker/helper_fake_env.h"

enum { FAKE_BATCHES_MAX = 4096, FAKE_SELF = 1 };

struct fake_batch {
    struct slice bytes;
    struct batch_header header;
    struct proposal *proposal; /* NULL once it has been answered */
    bool stored;
};

struct fake_group {
    struct fake_env *env;
    const struct group_callbacks *callbacks;
    void *data;
    uint64_t group_id;
    bool open;
    bool ready;
    uint64_t term;
    uint32_t leader;
    unsigned replicas;
    unsigned in_sync;
    int refuse; /* what group_propose answers when not 0 */

    struct fake_batch batches[FAKE_BATCHES_MAX];
    unsigned count;     /* in the log */
    unsigned committed; /* of them, applied */
    int64_t start_offset;

    bool async_reads; /* log_read answers in the next turn, instead of at once */
    bool hold_reads;  /* or when the test says so */
    int read_status;  /* what async reads and finds answer */
    struct log_read_req *reads[16];
    unsigned read_count;
    struct env_task read_task;
    struct log_find_req *finds[16];
    unsigned find_count;
    struct env_task find_task;
    struct log_range_req *range; /* at most one at a time */
    struct env_task range_task;
    int range_status;
    unsigned ranges; /* that were read */
    struct read_index_req *read_index;

    int writable;             /* what log_writable says */
    int64_t retention_offset; /* what log_retention_offset says */
    int64_t retention_oldest_ms;
    uint64_t configured_segment_bytes;

    void (*opened)(void *data, struct group *group, int status, const char *message);
    int open_status;
    struct env_task open_task;
    void (*closed)(void *data);
    void *closed_data;
    bool closed_clean;
    struct env_task close_task;
};

/* What the broker asked of the cluster and the disk. */
struct fake_cluster {
    int open_status;   /* group_open fails at once with it */
    int opened_status; /* or later */
    unsigned started;
    int started_status;
    unsigned stopped;
    unsigned damaged;
    uint64_t forgotten; /* group id */
};

/* One node with one partition, "orders/3", which it leads unless told otherwise. */
struct fixture {
    struct fake_env env;
    struct metrics metrics;
    struct governor governor; /* of the fake consensus */
    struct fake_cluster cluster;
    struct broker_options options; /* change before fixture_start */
    struct broker *broker;
    struct partition_meta meta;
    struct topic_meta topic;
    struct partition *partition;
    struct fake_group *group;
};
void fixture_init(struct fixture *f);
void fixture_start(struct fixture *f); /* creates the broker, starts the replica, leads in term 1 */
void fixture_stop(struct fixture *f);  /* stops what runs, destroys the broker */
/* init and start, stop: for cmocka. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* The replica is closed and started again: the fake keeps nothing; the state is the snapshot's, `next_offset`
 * its end. */
void fixture_turn(struct fixture *f);
/* Ends the read round that is due, and a turn. */
void fixture_confirm(struct fixture *f, int status);

/* Before it is open: `n` batches of an earlier life, which nobody has said to be committed yet. */
void fake_group_find(struct fake_group *g, unsigned n);
/* The leader's disk has the next `n` batches; the quorum has them. Without a turn of the loop. */
void fake_group_store(struct fake_group *g, unsigned n);
void fake_group_commit(struct fake_group *g, unsigned n);
/* Another node leads: outstanding proposals end as unknown; `keep` of the uncommitted batches stay in the
 * log. */
void fake_group_lose(struct fake_group *g, uint32_t leader, unsigned keep);
/* This node leads in a newer term: what the log has is committed first. */
void fake_group_lead(struct fake_group *g);
void fake_group_release_reads(struct fake_group *g);

/* ---- batches ---- */

struct batch_spec {
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence;
    int32_t count;        /* of records; 0 means 1 */
    int64_t timestamp_ms; /* of each; 0: the fake wall clock's start */
    size_t value_size;
};
struct slice make_batch(const struct batch_spec *spec);
static inline struct slice plain_batch(int32_t count)
{
    return make_batch(&(struct batch_spec){.producer_id = -1, .epoch = -1, .sequence = -1, .count = count});
}

/* ---- a produce request that remembers its answer ---- */

struct produce {
    struct produce_req req;
    unsigned answers;
    int status;
};
void produce(struct fixture *f, struct produce *p, const struct batch_spec *spec, int acks);
void produce_plain(struct fixture *f, struct produce *p, int32_t count, int acks);
/* Produced and committed, with turns. */
void append_committed(struct fixture *f, int32_t count);
/* Commits all that is in flight and gives the answers: for a test whose requests are about to go out of
 * scope. */
void settle(struct fixture *f);

#endif
