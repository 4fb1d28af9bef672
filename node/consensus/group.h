/* One partition replica in its Raft group, as the rooms below see it. */
#ifndef CONSENSUS_GROUP_H
#define CONSENSUS_GROUP_H

#include "node/consensus/consensus.h"
#include "proto/batch.h"

enum group_role { GROUP_FOLLOWER, GROUP_CANDIDATE, GROUP_LEADER, GROUP_FAILED };

/* The state machine that a group feeds. None of these may close the group or propose to it from inside the
 * call; defer. */
struct group_callbacks {
    /* A committed data batch, in index order, exactly once per process life. `bytes` may be kept by
     * slice_ref. */
    void (*apply)(void *data, uint64_t index, const struct batch_header *header, const struct slice *bytes);
    /* A committed group_propose_start, likewise. NULL where nobody proposes one. */
    void (*start_moved)(void *data, int64_t start_offset);
    /* The role changed, or a leader became ready: `ready` says that the barrier of the leader's own term is
     * committed, so that all earlier entries are applied and proposals and "latest" reads may be served. */
    void (*role_changed)(void *data, enum group_role role, uint64_t term, bool ready);
    /* Appends the state at the last applied entry. Small: it goes into the journal. */
    void (*snapshot)(void *data, struct bytes *out);
    /* Replaces the state: at start, or by a leader's snapshot. `size` 0: the empty state. `next_offset` is
     * the offset after the snapshot, which is committed. */
    int (*restore)(void *data, const void *state, size_t size, int64_t next_offset);
    /* With abstains_when_new, on a replaced disk: all that there was before is applied now. What this puts
     * into the journal is durable before it counts; NULL where nobody asks for it. */
    void (*joined)(void *data);
    /* This replica stopped for good (disk failure): its log is closed to writes; alarm. */
    void (*failed)(void *data, int status, const char *message);
};

struct group_options {
    uint64_t group_id;
    const char *name;         /* for log lines and metrics: "orders/3"; copied */
    const char *directory;    /* of its log; copied */
    bool is_blank;            /* as the log's */
    const uint32_t *replicas; /* initial voters in replica order, the first is preferred; copied */
    unsigned replica_count;
    uint64_t segment_bytes;
    uint64_t segment_ms;
    uint64_t cache_bytes;
    /* A replica that knows nothing yet might stand on a disk that has been replaced, and must not help to
     * elect a leader that lacks what the old disk had acknowledged: it votes for nobody whose log goes beyond
     * the first configuration until a leader has brought it up to date, whatever happens to it meanwhile. New
     * groups form all the same. */
    bool abstains_when_new;
    bool campaign_at_once;                   /* a new group whose preferred leader this node is */
    const struct group_callbacks *callbacks; /* must outlive the group */
    void *data;
};

/* Recovers the log, loads the core and starts it. `cb` on the loop with 0 or an error; on error the group
 * must still be closed. The group takes part as soon as this succeeded. Messages for it that arrive earlier
 * are dropped. */
int group_open(struct consensus *c, const struct group_options *options, struct group **group,
               void (*cb)(void *data, struct group *group, int status, const char *message));
/* Completes outstanding proposals (outcome unknown) and reads, closes the log, then calls `closed`. */
void group_close(struct group *g, bool clean, void (*closed)(void *data), void *data);

struct log *group_log(const struct group *g);
uint64_t group_id(const struct group *g);
enum group_role group_role(const struct group *g);
bool group_is_ready_leader(const struct group *g);
uint64_t group_term(const struct group *g);
uint64_t group_commit_index(const struct group *g);
uint64_t group_applied_index(const struct group *g);
uint64_t group_snapshot_index(const struct group *g);
size_t group_inflight_bytes(const struct group *g);
uint32_t group_leader(const struct group *g); /* node id, 0: unknown */
const uint32_t *group_replicas(const struct group *g, unsigned *count);
/* On the leader: whether the replica's log is within the in-memory tail (it gets entries, not files), its
 * link is up, and it answered within the last election timeout. The leader itself counts. */
bool group_replica_in_sync(const struct group *g, uint32_t node_id);
unsigned group_in_sync_count(const struct group *g);
/* Not ready = still behind what the leader has announced as committed; for /readyz. */
bool group_caught_up(const struct group *g);
/* So far behind that it is being sent files, or damaged and being repaired. */
bool group_catching_up(const struct group *g);
/* With abstains_when_new: false while this replica knows nothing, or stands on a replaced disk and has not
 * applied all that there was before. */
bool group_joined(const struct group *g);

/* A proposal is one record batch. The group stamps base offset and leader epoch into it in place. */
struct proposal {
    void *data;
    int64_t base_offset; /* read-only after group_propose returned 0 */
    uint64_t index;      /* read-only, likewise */
    /* Once the leader's own disk has it (acks = 1); may be NULL. Fires before `cb`, or not at all when
     * leadership is lost. */
    void (*stored)(struct proposal *p);
    /* 0: committed and applied; ERR_OUTCOME_UNKNOWN: leadership was lost first; the entry may still be
     * committed; ERR_NOT_LEADER: it was lost before the entry was appended at all, which happens at the end
     * of the loop turn. Private from here on, and the struct must stay in place until the callback. */
    void (*cb)(struct proposal *p, int status);
    struct queue node;
    size_t size;
    void *private_[8];
};

/* Takes a reference of `batch`. The batch has been validated; it is not compressed, copied or checked again.
 * Errors, after which no callback fires: ERR_NOT_LEADER (also while a newer term is knocking, and until the
 * leader is ready), ERR_OVERLOADED (over the in-flight bound), ERR_READ_ONLY (own disk full),
 * ERR_REPLICA_FAILED. */
int group_propose(struct group *g, struct proposal *p, const struct slice *batch,
                  void (*cb)(struct proposal *p, int status));
/* Proposes that the log begins at `start_offset`, which is committed, for all replicas and all later leaders;
 * an entry that takes no offset. Nothing is trimmed by it. Errors and callback as above. */
int group_propose_start(struct group *g, struct proposal *p, int64_t start_offset,
                        void (*cb)(struct proposal *p, int status));

/* Confirms that this node is still the leader, for reads that must be linearizable ("latest offset" and
 * coordinator state): a heartbeat round of its own (ReadIndex, thesis 6.4). `cb` gets 0, or ERR_NOT_LEADER.
 */
struct read_index_req {
    void *data;
    void (*cb)(struct read_index_req *req, int status); /* private from here */
    struct queue node;
    uint64_t round;
    struct env_timer timer;
    void *private_;
};
int group_read_index(struct group *g, struct read_index_req *req,
                     void (*cb)(struct read_index_req *req, int status));

/* Hands leadership to `node_id`, or, with 0, to the most caught-up live replica. Proposals are refused
 * meanwhile (ERR_NOT_LEADER) for at most an election timeout. `cb` gets 0 when another node leads, else an
 * error. */
int group_transfer(struct group *g, uint32_t node_id, void (*cb)(void *data, int status), void *data);

/* Moves the log's start (retention); the core's snapshot bounds how far. Returns the start offset in force.
 */
int64_t group_trim(struct group *g, int64_t offset);

#endif
