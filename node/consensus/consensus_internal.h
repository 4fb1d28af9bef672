/* What the files of this room share about the consensus object. Groups: group_internal.h; links: peer.h. */
#ifndef CONSENSUS_CONSENSUS_INTERNAL_H
#define CONSENSUS_CONSENSUS_INTERNAL_H

#include "node/base/assert.h"
#include "node/base/log_limit.h"
#include "node/base/memory.h"
#include "node/consensus/consensus.h"
#include "node/consensus/governor.h"
#include "node/consensus/group.h"
#include "node/consensus/group_map.h"
#include "node/consensus/message.h"
#include "node/consensus/peer.h"
#include "node/consensus/ticks.h"
#include "proto/arena.h"
#include <uthash.h>

/* Who leads a group, as far as this node knows (leaders.c). */
struct leadership {
    UT_hash_handle hh;
    struct queue changed; /* in consensus.changed, when it is ours to announce */
    uint64_t group_id;
    uint64_t term;
    uint32_t node_id;
};

/* A request of a peer that awaits its answer from above (forward.c). */
struct ticket {
    struct queue node;
    uint64_t id;
    uint32_t node_id;
    uint64_t correlation;
};

/* Who of the peers is there (roll_call.c). */
struct roll_call {
    struct consensus *consensus;
    struct queue waiting; /* struct roll_call_req, for the end of this one */
    struct queue next;    /* likewise, for the next one */
    bool is_running;
    uint64_t round;  /* the correlation of its pings */
    unsigned silent; /* have not answered yet */
    struct env_task call;
    struct env_task over;
    struct env_timer timer;
};

struct consensus {
    struct consensus_options options;
    char *cluster_id;
    uint64_t session;
    struct env_listener *listener;
    struct queue peers;
    struct queue inbounds;
    unsigned strangers;        /* among them: they have not said HELLO */
    struct log_limit refusals; /* what strangers can make this node say */
    unsigned open_streams;

    struct queue groups;
    struct group_map groups_by_id;
    uint64_t entry_bytes; /* of all groups: entry_memory.h */
    struct queue waiting; /* groups whose messages wait for the journal */
    struct ticks ticks;
    struct env_timer tick;
    struct queue nudges; /* groups with a pending fast election */
    struct env_timer nudge_timer;

    struct leadership *leaders;
    struct queue changed;
    struct env_task announce;
    struct env_task close_task;

    struct governor governor;
    struct roll_call roll_call;
    struct queue forwards;         /* struct forward_req: sent and not answered */
    struct queue catchups;         /* struct catchup with a request in flight */
    struct queue catchups_waiting; /* for their turn */
    struct env_timer catchup_timer;
    unsigned catchup_turns;
    uint64_t catchup_next_ns; /* when the node's budget allows another request */
    struct queue tickets;
    uint64_t next_correlation;
    uint64_t next_ticket;

    struct message_encoder encoder;
    struct arena arena; /* of the frame being handled */
    uint64_t guard_counts[CONSENSUS_GUARDS];
    struct {
        uint64_t messages_sent, messages_received, messages_dropped, messages_corrupt, elections_nudged;
        uint64_t elections_begun, elections_won, catchups_done, catchup_bytes;
    } counts;
    struct metric metrics[10];

    bool closing;
    void (*closed)(void *data);
    void *closed_data;
};

struct group *consensus_group(const struct consensus *c, uint64_t group_id);
/* A stream's close callback ran; when closing, the last one finishes it. */
void consensus_stream_closed(struct consensus *c);

/* ---- events from the links ---- */

/* The outgoing link is up; `restarted`: the other process is not the one that was there before. */
void consensus_peer_connected(struct peer *p, bool restarted);
void consensus_peer_disconnected(struct peer *p);
/* Nobody listens at the address of a peer whose link was there a moment ago: the process is dead. */
void consensus_peer_dead(struct peer *p);
/* A frame came in from a node that has said HELLO. */
void consensus_frame(struct consensus *c, uint32_t from, const struct frame *frame);

/* ---- leaders.c ---- */

void leaders_set(struct consensus *c, uint64_t group_id, uint32_t node_id, uint64_t term);
/* This node became or ceased to be the ready leader: also tells the peers. */
void leaders_announce(struct consensus *c, uint64_t group_id, uint32_t node_id, uint64_t term);
void leaders_send_all(struct consensus *c, struct peer *p);
void leaders_receive(struct consensus *c, uint32_t from, const Flotilla__PeerLeaders *leaders);
/* A dead node leads nothing. */
void leaders_forget_node(struct consensus *c, uint32_t node_id);
void leaders_close(struct consensus *c);

/* ---- forward.c ---- */

void forward_receive(struct consensus *c, uint32_t from, const struct frame *frame);
void forward_receive_answer(struct consensus *c, const struct frame *frame);
/* Requests to this node fail: their outcome is unknown. 0: to all. */
void forward_fail(struct consensus *c, uint32_t node_id, int status);
void forward_close(struct consensus *c);

/* ---- roll_call.c ---- */

void roll_call_init(struct consensus *c);
/* Nobody may be waiting. */
void roll_call_close(struct consensus *c);
/* A ping's answer, to a roll call or not. */
void roll_call_answered(struct peer *p, uint64_t correlation);
void roll_call_lost(struct peer *p);

/* ---- election.c ---- */

/* Schedules the fast election of all groups that the dead node led. */
void election_leader_died(struct consensus *c, uint32_t node_id);
void election_stop(struct consensus *c);

#endif
