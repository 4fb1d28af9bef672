/* A group, as the files that make it up see it.
 *
 *   group.c       opening, closing, failing, what the rooms above ask
 *   group_load.c  what the core gets to know at start: raft_io.load
 *   raft_io.c     the core's disk: append, truncate, snapshots, hard state
 *   outbox.c      the core's network: raft_io.send, splitting, hold until durable
 *   fsm.c         the core's state machine: apply, snapshot, restore
 *   drive.c       every entry into the core, and what must be looked at after it
 *   guards.c      one function per guard
 *   propose.c, read_index.c, transfer.c, election.c, newcomer.c, repair.c, catchup.c */
#ifndef CONSENSUS_GROUP_INTERNAL_H
#define CONSENSUS_GROUP_INTERNAL_H

#include "node/consensus/configuration.h"
#include "node/consensus/consensus_internal.h"
#include "proto/storage.pb-c.h"

/* Of the first configuration, which is the same on all replicas. */
enum { FIRST_INDEX = 1, BOOTSTRAP_TERM = 1 };

/* An append that the core waits for, in order: written -> durable -> released to the core. */
struct append_op {
    struct queue node; /* in group.appends */
    struct group *group;
    struct log_append_req req;
    struct raft_io_append *core; /* NULL: the core that asked is closed */
    raft_io_append_cb cb;
    uint64_t first;
    uint64_t last;
    uint64_t began_ns; /* when it was handed to the log */
    size_t bytes;
    bool submitted; /* to the log, which will call back */
    bool durable;
};

struct send_done {
    struct raft_io_send *req;
    raft_io_send_cb cb;
    int status;
};

/* Packed, and waiting for the hard state to be durable. */
struct held_frame {
    struct queue node;
    uint32_t to;
    size_t header_size;
    unsigned char *header;
    unsigned n_payload;
    struct slice payload[];
};

enum transfer_state { TRANSFER_NONE, TRANSFER_DRAINING, TRANSFER_SENT, TRANSFER_OVER };

struct catchup; /* catchup.c */

struct group {
    struct consensus *consensus;
    size_t tick_at;       /* in consensus.ticks */
    struct queue node;    /* in consensus.groups */
    struct queue waiting; /* in consensus.waiting */
    uint64_t id;
    char *name;
    char *directory;
    const struct group_callbacks *callbacks;
    void *data;
    struct log *log;
    uint64_t segment_bytes;
    uint64_t segment_ms;
    uint64_t cache_bytes;

    unsigned replica_count;
    uint32_t replicas[CONFIGURATION_MAX_SERVERS];

    /* ---- life ---- */
    bool running; /* the core is started */
    bool busy;    /* inside group_after: entering again only notes that there is more to do */
    bool again;
    bool closing;
    bool close_asked; /* inside of group_after */
    bool close_clean;
    bool opening;
    bool reopened; /* after damage that only loading has found */
    int failed_status;
    char failed_message[256];
    bool failed_told;
    struct env_task fail_task;
    struct env_task close_task;
    void (*closed)(void *data);
    void *closed_data;
    struct log_open_req open_req;
    struct log_append_req bootstrap_req;
    void (*opened)(void *data, struct group *group, int status, const char *message);

    /* ---- the core ---- */
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
    const struct message *current; /* being handled by the core */

    /* ---- disk ---- */
    uint64_t next_index;   /* that the core's next append gets */
    unsigned inflight;     /* appends and snapshot puts that the core waits for */
    struct queue appends;  /* struct append_op */
    uint64_t stored_index; /* durable here, by this core's appends */
    uint64_t hard_term;
    uint64_t hard_sequence; /* journal position of the newest hard state */
    struct {
        struct raft_io_snapshot_put *req; /* NULL: none */
        raft_io_snapshot_put_cb cb;
        bool install;
        uint64_t index;
        uint64_t sequence; /* journal position to wait for; 0: none */
    } put;
    struct {
        struct raft_io_snapshot_get *req;
        raft_io_snapshot_get_cb cb;
    } * gets;
    unsigned n_gets;
    uint64_t snapshot_sequence; /* of the newest snapshot's journal record */
    uint64_t snapshot_index;    /* likewise */
    uint64_t snapshot_durable_index;
    uint64_t fetched_from; /* the log's entries from here on are a catch-up's, not the core's; 0: none */
    uint64_t fetched_after_term; /* of the entry before */
    uint64_t fetched_sequence;   /* journal position that says so */
    uint64_t reload_from;        /* close the core, truncate here, load again; 0: no */

    /* ---- network ---- */
    struct send_done *sends;
    unsigned n_sends;
    unsigned send_capacity;
    struct queue outbox; /* struct held_frame */
    unsigned outbox_count;
    uint64_t *heard_ms; /* per replica: its last answer to this leader */

    /* ---- guards ---- */
    uint64_t match; /* G1 */
    uint64_t match_term;
    struct queue held; /* G3: struct message */
    unsigned held_count;
    struct queue held_results; /* G2 */
    uint64_t barrier_index;    /* G2, G5; 0: not leader, or the core does not take it yet */

    /* ---- state machine ---- */
    uint64_t apply_floor;   /* entries up to here are in the restored state already */
    uint64_t applied_bytes; /* since the last snapshot */
    uint64_t entry_bytes;   /* applied, and still in memory: entry_memory.h */
    int64_t applied_offset; /* after the last entry of the last snapshot */

    /* ---- leadership ---- */
    uint64_t lead_term; /* 0: not leader */
    bool ready;
    enum group_role told_role;
    uint64_t told_term;
    bool told_ready;
    uint32_t told_leader;
    uint64_t announced_commit; /* highest that a leader has told */
    bool campaign_at_once;
    bool is_blank; /* until its log has been opened */
    uint64_t campaign_until_ms;
    uint64_t quiet_index; /* the leader's last one, and since when: ticks.c */
    uint64_t quiet_since_ms;
    struct queue nudge; /* in consensus.nudges */
    uint64_t nudge_at_ms;
    uint32_t nudge_dead;
    uint64_t retry_term; /* in which it stands in haste; 0: it does not */
    unsigned retries;

    /* ---- proposals, in index order ---- */
    struct queue gathered; /* of this turn: not handed to the core yet */
    struct queue unstored;
    struct queue stored;
    unsigned gathered_count;
    int64_t gathered_offset; /* that the next one gets, when gathered_count > 0 */
    size_t inflight_bytes;
    struct env_task propose_task;

    /* ---- reads ---- */
    struct queue reads_next; /* join the next round */
    struct queue reads;      /* of the running round */
    uint64_t read_round;
    uint64_t read_answers; /* bit per replica */
    struct env_task read_task;

    /* ---- transfer ---- */
    enum transfer_state transfer;
    struct raft_transfer transfer_req;
    uint32_t transfer_target;
    struct env_timer transfer_timer;
    struct env_task transfer_task;
    void (*transfer_cb)(void *data, int status);
    void *transfer_data;

    /* ---- repair ---- */
    bool damaged;
    uint64_t known_end_term; /* of what it may have acknowledged; see journal.h */
    uint64_t known_end_index;
    bool abstains_when_new;
    bool emptied;              /* damaged, because its disk was replaced */
    bool newcomer;             /* knows nothing, or is emptied: newcomer.c */
    bool founding;             /* of a leader: it knew nothing when it was elected */
    uint64_t has_acknowledged; /* to this leader, more than the first entry: bit per replica */
    struct {
        uint64_t incarnation; /* of a replica whose disk was replaced; 0: it was not, for all that is known */
        uint64_t proof_index; /* an entry that is younger; 0: none yet */
    } * strangers;            /* per replica, as their leader knows them */
    uint64_t damaged_sequence; /* journal position that says so, or that it is repaired */
    uint64_t repair_term;
    uint64_t repair_commit;
    uint64_t repair_alarm_ms; /* when to tell that there is no leader; 0: there is one */
    struct catchup *catchup;
    bool start_empty; /* the next load knows nothing: everything comes from a leader */
};

static inline struct env *group_env(const struct group *g)
{
    return g->consensus->options.env;
}
static inline bool guard_on(const struct group *g, enum consensus_guard guard)
{
    return (g->consensus->options.guards & guard) != 0;
}
static inline bool group_leads(const struct group *g)
{
    return g->running && g->raft.state == RAFT_LEADER;
}
static inline bool group_barrier_is_stored(const struct group *g)
{
    return g->barrier_index != 0 && g->raft.last_stored >= g->barrier_index;
}
/* Position in the replica list, or -1. */
int group_replica_position(const struct group *g, uint32_t node_id);
/* Term of an entry that the core has in memory, or of its snapshot's last entry; 0: unknown. */
uint64_t group_term_of(const struct group *g, uint64_t index);
const struct raft_entry *group_entry(const struct group *g, uint64_t index);
/* The core's progress of a peer, or NULL; leader only. */
struct raft_progress *group_progress(struct group *g, uint64_t node_id);

/* ---- drive.c ---- */

void group_tick(struct group *g);
/* Takes the message over. */
void group_receive(struct group *g, struct message *message);
/* Must run after every entry into the core from outside group_after. */
void group_after(struct group *g);
void group_journal_durable(struct group *g, uint64_t sequence);
void group_wait_journal(struct group *g);

/* ---- group.c ---- */

/* Starts or restarts the core from what is on disk. */
int group_start_core(struct group *g, char *message, size_t message_size);
void group_stop_core(struct group *g);
/* A close that was asked for inside of a callback. */
void group_close_now(struct group *g);
/* This replica stops for good; takes effect outside of the core. */
void group_fail(struct group *g, int status, const char *message);
void group_peer_restarted(struct group *g, uint32_t node_id);
void group_peer_lost(struct group *g, uint32_t node_id);

/* ---- raft_io.c, group_load.c, outbox.c, fsm.c ---- */

void raft_io_init(struct group *g);
void raft_io_append_released(struct group *g, struct append_op *op);
/* Completes what the core waits for and may get now; true when something was completed. */
bool raft_io_complete(struct group *g);
int raft_io_load(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
                 raft_index *start_index, struct raft_entry *entries[], size_t *n_entries);
int raft_io_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                 raft_io_send_cb cb);
/* What there is on disk belongs to no core: it starts knowing nothing. */
bool load_finds_nothing(const struct group *g);
/* The snapshot in the journal, as the core wants it, or NULL. */
struct raft_snapshot *snapshot_from_journal(struct group *g);
void outbox_send(struct group *g, const struct message *message);
void outbox_flush(struct group *g);
void outbox_clear(struct group *g);
bool outbox_complete_sends(struct group *g);
void fsm_init(struct group *g);

/* ---- guards.c ---- */

void guard_match_accept(struct group *g);
void guard_match_truncate(struct group *g, uint64_t index);
bool guard_ack_cap(struct group *g, struct raft_append_entries_result *result);
bool guard_own_term_commit(struct group *g, const struct message *message);
bool guard_term_hold(struct group *g, const struct message *message);
bool guard_tick_gate(struct group *g);
bool guard_release_step(struct group *g, const struct append_op *op);
void guard_backoff_hint(struct group *g, struct raft_append_entries_result *result);
bool guard_one_vote(struct group *g, const struct message *message);
bool guard_install(struct group *g);
bool guard_during_install(const struct group *g, const struct message *message);
bool guard_configuration_snapshot(struct group *g);
void guard_configuration_installed(struct group *g, uint64_t index);
uint64_t guard_configuration_rollback(struct group *g, const struct message *message);
void guard_prevote_term(struct group *g, struct raft_request_vote_result *result);
bool guard_single_voter(struct group *g, const struct raft_configuration *configuration);
void guard_retry_at_once(struct group *g, const struct message *message);
void guard_log_start(struct group *g, struct message *message);
bool guard_hold_until_durable(struct group *g);

/* ---- propose.c ---- */

/* Completes proposals: stored ones, committed ones, and all of them once leadership is lost. */
void proposals_settle(struct group *g);
void proposals_fail(struct group *g);

/* ---- read_index.c ---- */

void read_index_receive(struct group *g, const struct message *message);
void read_index_fail(struct group *g);

/* ---- transfer.c ---- */

void transfer_advance(struct group *g);
void transfer_cancel(struct group *g, int status);

/* ---- newcomer.c ---- */

void newcomer_note_opened(struct group *g, bool has_snapshot);
/* It does not vote for who knows more than it does, and stores nothing before it is on record what it is. */
bool newcomer_refuses(struct group *g, const struct message *message);
void newcomer_advance(struct group *g);
/* Before that is on record. */
void newcomer_note_repaired(struct group *g);
/* The leader's side: this node has been elected, and has not appended anything yet. */
void newcomer_note_leading(struct group *g);
void newcomer_note_acknowledged(struct group *g, unsigned position,
                                const struct raft_append_entries_result *result);
/* For the messages to that node. */
bool newcomer_is_founder(const struct group *g, uint64_t node_id);
uint64_t newcomer_incarnation(const struct group *g, const struct raft_message *m);
/* What a replica whose disk was replaced acknowledges counts for nothing yet. */
void newcomer_cap(struct group *g, struct message *message);
/* The leader's word is good: it has proven that it leads still. */
bool newcomer_is_told(const struct group *g, const struct message *message);

/* ---- repair.c ---- */

/* Entries up to this one are about to go, from a replica that is damaged from now on. */
void repair_note_end(struct group *g, uint64_t term, uint64_t index);
/* The core has started. */
void repair_note_started(struct group *g);
/* A damaged replica takes no part in elections, but for the other one of two. */
bool repair_refuses(struct group *g, const struct message *message);
void repair_note(struct group *g, const struct message *message);
/* A follower refuses what it had acknowledged: it has lost that. */
void repair_note_refusal(struct group *g, const struct message *message);
void repair_tick(struct group *g);
void repair_advance(struct group *g);

/* ---- election.c ---- */

void election_tick(struct group *g);
/* The core has just started, and this node is to lead the new group. */
void election_campaign(struct group *g);
void election_forget(struct group *g);

/* ---- catchup.c ---- */

/* True when the message was taken over (an InstallSnapshot whose data must be fetched first) or must be
 * dropped. */
/* The link to the node that serves a catch-up is gone. */
void catchup_peer_lost(struct group *g, uint32_t node_id);
/* All that is in the log is the core's own from now on. */
void catchup_forget_fetched(struct group *g);
bool catchup_intercept(struct group *g, struct message *message);
void catchup_abort(struct group *g, const char *why);
void catchup_receive_request(struct consensus *c, uint32_t from, const struct frame *frame);
void catchup_receive_answer(struct consensus *c, uint32_t from, const struct frame *frame);

#endif
