/* The log of one partition replica: Raft entries as record batches in segment files (docs/disk-format.md).
 *
 * What it is not: it knows nothing of terms being right, of commits or of clients. Entries get consecutive
 * Raft indexes; data batches get consecutive offsets; control batches take an index and no offset.
 *
 * Order: append, truncate_suffix, truncate_prefix and reset take effect in the order in which they are
 * submitted; append callbacks fire strictly in order, never from inside the submitting call. Reads see what
 * has been submitted.
 *
 * Failure: EIO, or a failed sync, is final (fsyncgate: the kernel may have dropped the dirty pages): that
 * request and all later ones complete with the error and `failed` is called once. ENOSPC and EMFILE are not:
 * the write waits, log_writable() says ERR_NO_SPACE so that new proposals are refused, and it goes on by
 * itself when there is room. */
#ifndef STORAGE_LOG_H
#define STORAGE_LOG_H

#include "node/base/buf.h"
#include "node/base/logger.h"
#include "node/base/metrics.h"
#include "node/base/queue.h"
#include "node/env/env.h"
#include "node/storage/journal.h"

struct log;
struct flusher;

/* ---- the flusher: one per node ---- */

struct flusher_stats {
    struct histogram write_ns;
    struct histogram sync_ns;
    uint64_t rounds;
    uint64_t bytes;
    uint64_t sync_failures;
};

/* Writes the dirty logs' new batches (one pwritev per file) and syncs them in parallel on worker threads.
 * While a log's job runs, what arrives for it gathers for the next round: group commit. */
struct flusher *flusher_create(struct env *env, unsigned max_parallel);
void flusher_destroy(struct flusher *f); /* no log may be open */
const struct flusher_stats *flusher_stats(const struct flusher *f);

/* ---- opening ---- */

struct log_options {
    struct env *env;
    struct logger *logger;
    struct flusher *flusher;
    struct journal *journal; /* for the durability floor */
    uint64_t group_id;
    const char *directory;  /* created when missing; copied */
    bool is_blank;          /* the directory has just been made, synced, and is empty: nothing to look for */
    uint64_t segment_bytes; /* roll at this size */
    uint64_t segment_ms;    /* roll at this age of the first record; 0: never */
    uint64_t cache_bytes;   /* how much of the tail is kept in memory for reads */
    uint32_t max_batch_bytes; /* upper bound that recovery and reads accept */
    void (*failed)(void *data, int status);
    void *data;
};

/* What recovery found. */
struct log_recovery {
    bool clean; /* the marker of a clean shutdown was there: nothing was scanned */
    uint64_t scanned_bytes;
    uint64_t torn_bytes; /* cut from the tail */
    /* Damage at or below the durability floor: the log was cut there and the damaged files set aside under
     * *.damaged; the replica may have lost entries it had acknowledged and must not vote until it is
     * repaired. */
    bool damaged;
    uint64_t damaged_index;
    /* The last entry that there was, intact behind the damage; index 0: not known. */
    uint64_t known_end_term;
    uint64_t known_end_index;
    char message[256];
};

struct log_open_req {
    void *data;
    struct env_work job; /* private */
    void *private_;
};
/* Recovers on a worker thread, then calls `cb` on the loop with 0 and the log, or with an error and a message
 * in `recovery`. `options` is copied. */
int log_open(const struct log_options *options, struct log_open_req *req,
             void (*cb)(struct log_open_req *req, int status, struct log *log,
                        const struct log_recovery *recovery));
/* Completes what is submitted (waits for syncs), then cuts preallocated space, writes the clean marker when
 * `clean`, and calls `cb`. The log is gone after it. Outstanding reads complete with ERR_CANCELED. */
void log_close(struct log *log, bool clean, void (*cb)(void *data), void *data);

/* ---- state; all of it counts what has been submitted, unless it says durable ---- */

uint64_t log_first_index(const struct log *log); /* of the first entry kept; last_index + 1 when empty */
uint64_t log_last_index(const struct log *log);
uint64_t log_durable_index(const struct log *log);
int64_t log_start_offset(const struct log *log); /* lowest readable offset */
int64_t log_end_offset(const struct log *log);   /* the next data batch's base offset */
uint64_t log_size_bytes(const struct log *log);
uint64_t log_last_term(const struct log *log);
int log_writable(const struct log *log); /* 0, ERR_NO_SPACE, or the error that failed the log */

/* ---- entries ---- */

enum log_entry_kind { LOG_DATA = 1, LOG_BARRIER = 2, LOG_CHANGE = 3 };

struct log_entry {
    uint64_t index;
    uint64_t term;
    enum log_entry_kind kind;
    struct slice bytes; /* LOG_DATA: a whole, stamped batch of records, or one that moves the start
                           (BATCH_CONTROL_START); else the core's own bytes, stored in a control batch */
};

struct log_append_req {
    void *data;
    uint64_t
        journal_sequence; /* what must be durable in the journal before any of it is written; 0: nothing */
    void (*cb)(struct log_append_req *req, int status); /* private from here */
    struct queue node;
    uint64_t first_index;
    uint64_t last_index;
};

/* How many of these entries, from the first on, continue the log: in index, in offset (each data batch's base
 * offset is the end offset), and in term (a new one begins with a barrier or change, so a data entry's term
 * is that of the entry before it; only in a log whose last term is 0, unknown, any will do). For what comes
 * from the network; checksums have been checked before. */
unsigned log_continues(const struct log *log, const struct log_entry *entries, unsigned n);
/* Appends n >= 1 entries, all of which continue the log (ASSERTed). References the slices; does not copy
 * them. `cb` with 0 once they are durable. Of appends in flight, a later one must not wait for less of the
 * journal. */
void log_append(struct log *log, struct log_append_req *req, const struct log_entry *entries, unsigned n,
                void (*cb)(struct log_append_req *req, int status));
/* The same for what is needed only once something follows it: written together with that, which saves a round
 * and its sync, or by itself 5 ms later. */
void log_append_soon(struct log *log, struct log_append_req *req, const struct log_entry *entries, unsigned n,
                     void (*cb)(struct log_append_req *req, int status));
/* Drops the entries from `index` on. Callbacks of appends in flight there still fire, in order. Finding the
 * place may read the file (blocking, a bounded piece of it) when the entry is not in the tail cache any more.
 */
void log_truncate_suffix(struct log *log, uint64_t index);
/* Retention: moves the start offset up to `offset` (never beyond `limit_index`'s entry) and deletes whole
 * segments below. */
void log_truncate_prefix(struct log *log, int64_t offset, uint64_t limit_index);
/* Retention by rule, over whole segments: the start offset that results from the limits (-1: no limit), never
 * beyond `limit_offset`. The segment that is written to goes by age only. */
int64_t log_retention_offset(const struct log *log, int64_t retention_bytes, int64_t oldest_timestamp_ms,
                             int64_t limit_offset);
/* Empties the log; it goes on at the given place (snapshot install). A crash on the way leaves an empty log
 * or the oldest segments of the old one: the snapshot that covers them must be durable in the journal before.
 */
void log_reset(struct log *log, uint64_t next_index, uint64_t previous_term, int64_t next_offset);
/* New settings from a topic's configuration. */
void log_configure(struct log *log, uint64_t segment_bytes, uint64_t segment_ms);

/* Blocking, at start-up: reads entries [from, to] in order, durable or not. `each` gets the entry with a
 * reference of its own to keep. Returns 0 or the first error (also what `each` returns). */
int log_load(struct log *log, uint64_t from, uint64_t to,
             int (*each)(void *data, const struct log_entry *entry), void *data);

/* ---- reads by offset ---- */

enum { LOG_READ_MAX_SLICES = 64 };

struct log_read_req {
    void *data;
    uint64_t size; /* results: bytes in the slices */
    unsigned n;    /* whole data batches only, back to back; control batches are cut out */
    struct slice slices[LOG_READ_MAX_SLICES]; /* the callee of cb owns the references */
    int64_t next_offset; /* offset after the last batch returned; the asked one when n == 0 */
    void (*cb)(struct log_read_req *req, int status); /* private from here */
    struct queue node;
    struct env_work job;
    struct log *log;
    int64_t offset, limit_offset;
    size_t max_bytes;
    void *private_;
};

/* Reads whole batches from the one that contains `offset` on, up to `max_bytes` (the first batch is always
 * returned, however large) and below `limit_offset` (batches must end at or below it: pass the high
 * watermark). Returns 1 when the tail cache had it: the results are filled and cb will NOT fire; 0: cb fires
 * later; negative: ERR_OFFSET_OUT_OF_RANGE below the start or above the end offset. In cb, ERR_CORRUPT means
 * that the file's bytes failed their check: the log has been marked damaged. */
/* Whether a read from there is answered from memory. */
bool log_is_cached(const struct log *log, int64_t offset);
int log_read(struct log *log, struct log_read_req *req, int64_t offset, int64_t limit_offset,
             size_t max_bytes, void (*cb)(struct log_read_req *req, int status));

struct log_find_req {
    void *data;
    int64_t offset; /* results; -1: none */
    int64_t timestamp_ms;
    void (*cb)(struct log_find_req *req, int status); /* private from here */
    struct queue node;
    struct env_work job;
    struct log *log;
    int64_t target_ms, limit_offset;
    void *private_;
};
/* The first record with a timestamp >= target_ms and an offset < limit_offset; target -3: the record with the
 * greatest timestamp. Always asynchronous. */
int log_find_timestamp(struct log *log, struct log_find_req *req, int64_t target_ms, int64_t limit_offset,
                       void (*cb)(struct log_find_req *req, int status));

/* ---- raw ranges by index, for catch-up ---- */

struct log_range_req {
    void *data;
    struct slice bytes; /* results: whole batches, control batches included; the callee of cb owns it */
    uint64_t first_index;
    uint64_t last_index;
    uint64_t previous_term; /* of the entry before the first; 0 at the very start or when unknown */
    int64_t first_offset;
    void (*cb)(struct log_range_req *req, int status); /* private from here */
    struct queue node;
    struct env_work job;
    struct log *log;
    uint64_t from_index, to_index;
    size_t max_bytes;
    void *private_;
};
/* At least one whole batch, at most about max_bytes; ERR_NOT_FOUND when `from_index` is not kept any more. */
int log_read_range(struct log *log, struct log_range_req *req, uint64_t from_index, uint64_t to_index,
                   size_t max_bytes, void (*cb)(struct log_range_req *req, int status));

#endif
