/* Links between nodes: per peer one outgoing connection that carries all I send to it, and one incoming one
 * that carries what it sends. What a loop turn has to say to a peer goes out in one gathered write. A link is
 * bounded: over the bound, or while it is down, frames are dropped, and the sender is told at once.
 *
 * Only a HELLO's answer, and a PING's, go back on the connection that asked. */
#ifndef CONSENSUS_PEER_H
#define CONSENSUS_PEER_H

#include "node/consensus/consensus.h"
#include "node/consensus/frame_reader.h"
#include "proto/peer.pb-c.h"

/* The correlation of the pings that only keep a link alive; those of roll calls count on from there. */
enum { PEER_PING_OF_LINK = 1 };

enum peer_state { PEER_DOWN, PEER_CONNECTING, PEER_GREETING, PEER_UP };

/* The outgoing link. */
struct peer {
    struct queue node; /* in consensus.peers */
    struct consensus *consensus;
    uint32_t id;
    char *host;
    uint16_t port;
    enum peer_state state;
    uint64_t session; /* of the process that last answered */
    bool blocked;     /* test hook: nothing goes out or comes in */
    bool suspect;     /* a link to it broke: a refused reconnect now means that its process is dead */
    bool removed;     /* goes when its streams are closed */
    unsigned open_streams;
    struct env_stream *stream;
    struct frame_reader reader; /* answers on the outgoing connection */
    struct env_timer timer;     /* reconnect, greeting deadline, or ping, by state */
    uint64_t backoff_ms;
    uint64_t heard_ms;
    uint64_t roll_call; /* the one whose answer is awaited; 0: none */
    /* Frames gathered in this turn. */
    struct env_task flush;
    struct slice *slices;
    unsigned n_slices;
    unsigned capacity;
    struct buf *heads; /* where heads and headers are packed */
    size_t heads_used;
    size_t beats_size; /* of the beats in the frame that was added last; 0: it is another one */
    size_t gathered_bytes;
    size_t queued_bytes; /* gathered, or handed to the socket and not written yet */
};

/* Starts to connect. */
struct peer *peer_create(struct consensus *c, uint32_t id, const char *host, uint16_t port);
void peer_set_address(struct peer *p, const char *host, uint16_t port);
/* Frees the peer once its streams are closed. */
void peer_remove(struct peer *p);
struct peer *peer_find(const struct consensus *c, uint32_t id);
static inline bool peer_is_up(const struct peer *p)
{
    return p && p->state == PEER_UP && !p->blocked;
}
/* An incoming link from it broke: finds out at once whether it is still there. */
void peer_probe(struct peer *p);
void peer_set_blocked(struct peer *p, bool blocked);

/* Queues one frame. Takes the references of `payload` over, also on error. Returns 0, ERR_CLOSED when the
 * link is down, or ERR_OVERLOADED. */
int peer_send(struct peer *p, uint16_t type, uint16_t flags, uint64_t correlation,
              const ProtobufCMessage *header, const struct slice *payload, unsigned n);

/* Likewise, for a raw header. */
int peer_send_packed(struct peer *p, uint16_t type, const void *header, size_t header_size,
                     const struct slice *payload, unsigned n);

/* Adds one beat (beat.h) to the frame of beats that was added last, or begins one, so that everything stays
 * in order. Errors as with peer_send. */
int peer_send_beat(struct peer *p, const void *beat, size_t size);

/* The incoming link. */
struct inbound {
    struct queue node; /* in consensus.inbounds, oldest first */
    struct consensus *consensus;
    uint32_t node_id;       /* 0: a stranger, who has not said HELLO yet */
    struct env_timer timer; /* until then */
    uint64_t session;
    struct env_stream *stream;
    struct frame_reader reader;
};

void inbound_accept(struct consensus *c, struct env_stream *stream);
void inbound_close(struct inbound *in);

#endif
