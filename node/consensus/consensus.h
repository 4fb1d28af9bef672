/* Consensus: every partition replica is one libraft instance over our own raft_io, with the guards that make
 * libraft 0.15 safe and live (guards.c; Ongaro's thesis, "Consensus: Bridging Theory and Practice", chapters
 * 3, 4 and 9).
 *
 * This object owns what the groups of a node share: peer links (one TCP connection per node pair and
 * direction, messages of all groups coalesced per loop turn), ticks, the hold-until-durable rule for hard
 * state, fast election, catch-up, and the knowledge of who leads what in the whole cluster.
 *
 * It does not know topics, clients or offsets' meaning: groups are numbers, entries are record batches. */
#ifndef CONSENSUS_CONSENSUS_H
#define CONSENSUS_CONSENSUS_H

#include "node/base/logger.h"
#include "node/base/metrics.h"
#include "node/env/env.h"
#include "node/storage/data_dir.h"
#include "node/storage/journal.h"
#include "node/storage/log.h"

struct consensus;
struct governor;
struct group;

/* Switches for the simulator only: each guard can be turned off to prove that the simulator catches what it
 * prevents. */
enum consensus_guard {
    GUARD_ACK_CAP = 1 << 0,         /* G1 */
    GUARD_OWN_TERM_COMMIT = 1 << 1, /* G2 */
    GUARD_TERM_HOLD = 1 << 2,       /* G3 */
    GUARD_TICK_GATE = 1 << 3,       /* G4 */
    GUARD_RELEASE_STEP = 1 << 4,    /* G5 */
    GUARD_BACKOFF_HINT = 1 << 5,    /* G6 */
    GUARD_ONE_VOTE = 1 << 6,        /* G7 */
    GUARD_INSTALL = 1 << 7,         /* G8 */
    GUARD_CONFIGURATION = 1 << 8,   /* G9 */
    GUARD_PREVOTE_TERM = 1 << 9,    /* G11, first half */
    GUARD_SINGLE_VOTER = 1 << 10,   /* G11, second half */
    GUARD_RETRY_AT_ONCE = 1 << 11,  /* G12 */
    GUARD_HOLD_UNTIL_DURABLE = 1 << 12,
    GUARD_LOG_START = 1 << 13, /* G13 */
    GUARD_ALL = (1 << 14) - 1
};

struct consensus_options {
    struct env *env;
    struct logger *logger;
    struct metrics *metrics;
    struct flusher *flusher;
    struct journal *journal; /* opened by the owner, whose durable callback calls consensus_journal_durable */
    const char *cluster_id;
    uint32_t node_id;
    uint64_t heartbeat_ms;             /* default 100 */
    uint64_t election_timeout_ms;      /* default 500: between 1 x and 2 x of it without a leader's word */
    uint64_t entry_memory_bytes;       /* per group: entries that the core keeps in memory, default 8 MiB */
    uint64_t entry_memory_total_bytes; /* likewise, of all groups; default 256 MiB */
    uint64_t inflight_bytes;           /* per group: proposed and not yet committed, default 32 MiB */
    uint64_t link_queue_bytes; /* per peer: bytes waiting for the socket before messages are dropped, default
                                  64 MiB */
    uint64_t catchup_bytes_per_s; /* of all catch-ups of this node together, default 100 MiB/s */
    uint32_t max_batch_bytes;     /* largest entry accepted from a peer */
    unsigned guards;              /* GUARD_ALL, except in the simulator */
    /* Who leads a group changed, by own state or by a peer's word: node 0 means nobody. */
    void (*leader_changed)(void *data, uint64_t group_id, uint32_t node_id, uint64_t term);
    /* A peer became reachable or unreachable. */
    void (*peer_changed)(void *data, uint32_t node_id, bool up);
    /* A client's administrative request forwarded by a peer; answer exactly once with
     * consensus_forward_answer. */
    void (*forwarded)(void *data, uint64_t ticket, uint16_t type, const void *header, size_t size);
    void *data;
};

struct consensus *consensus_create(const struct consensus_options *options);
/* Starts to accept peers. The port's owner listens; 0 gives a free one. */
int consensus_listen(struct consensus *c, const char *host, uint16_t port);
uint16_t consensus_port(const struct consensus *c);
/* All groups must be closed. */
void consensus_close(struct consensus *c, void (*closed)(void *data), void *data);

/* Who tells bulk work on this node when it may go on. */
struct governor *consensus_governor(struct consensus *c);

/* The owner of the journal passes its callback on. */
void consensus_journal_durable(struct consensus *c, uint64_t sequence);

/* Adds a peer, or changes its address; links are kept connected from then on. Never for the own id. */
void consensus_set_peer(struct consensus *c, uint32_t node_id, const char *host, uint16_t port);
bool consensus_peer_up(const struct consensus *c, uint32_t node_id);

/* A client that has lost its connection to a node may ask this one before the node's links have told it.
 * After a roll call they have: every peer whose link is up is asked to answer, and `cb` is called, never from
 * inside, when each has answered or lost its link, or after 50 ms. */
struct roll_call_req {
    struct queue node; /* private */
    void (*cb)(struct roll_call_req *req);
};
void consensus_roll_call(struct consensus *c, struct roll_call_req *req,
                         void (*cb)(struct roll_call_req *req));
void consensus_roll_call_cancel(struct roll_call_req *req);
/* Test hook: drop all traffic from and to these nodes until called again. */
void consensus_block_peers(struct consensus *c, const uint32_t *node_ids, unsigned n);

/* Who leads `group_id` as far as this node knows, its own groups or a peer's word; 0: nobody. */
uint32_t consensus_leader_of(const struct consensus *c, uint64_t group_id, uint64_t *term);

/* Sends an administrative request to a peer; `cb` gets 0 and the answer's header, or an error (also when the
 * link breaks: the outcome is then unknown). Times out after `timeout_ms`. */
struct forward_req {
    void *data;
    void (*cb)(struct forward_req *req, int status, const void *header, size_t size); /* private from here */
    struct queue node;
    uint64_t correlation;
    struct env_timer timer;
    struct consensus *consensus;
};
int consensus_forward(struct consensus *c, uint32_t node_id, struct forward_req *req, uint16_t type,
                      const void *header, size_t size, uint64_t timeout_ms,
                      void (*cb)(struct forward_req *req, int status, const void *header, size_t size));
void consensus_forward_answer(struct consensus *c, uint64_t ticket, int status, const void *header,
                              size_t size);

/* Ring of per-guard counters: how often each fired. Index = bit number of enum consensus_guard. */
enum { CONSENSUS_GUARDS = 14 };
const uint64_t *consensus_guard_counts(const struct consensus *c);

#endif
