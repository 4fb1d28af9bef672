/* The core's network. A send never fails and never calls back from inside; its entries are kept alive by
 * references, so that the core hears of completion as soon as its call is over. */
#include "node/consensus/beat.h"
#include "node/consensus/group_internal.h"
#include "node/env/bounds.h"
#include "node/env/sabotage.h"
#include <stdlib.h>
#include <string.h>

enum {
    PIECE_BYTES = 1 << 20, /* of entries in one AppendEntries */
    SMALL_PIECE_BYTES = 1 << 10,
    PIECE_ENTRIES = 4096,
    MAX_HELD_FRAMES = 1024,
};

/* ---- frames ---- */

static int hold_frame(struct group *g, uint32_t to, const struct message_encoder *e)
{
    size_t header_size = flotilla__raft_message__get_packed_size(&e->header);
    size_t payload_bytes = e->n_payload * sizeof e->payload[0];
    struct held_frame *f = memory_alloc(sizeof *f + payload_bytes);
    f->to = to;
    f->header_size = header_size;
    f->header = memory_alloc(header_size + 1);
    flotilla__raft_message__pack(&e->header, f->header);
    f->n_payload = e->n_payload;
    if (payload_bytes > 0)
        memcpy(f->payload, e->payload, payload_bytes);
    queue_push(&g->outbox, &f->node);
    g->outbox_count++;
    group_wait_journal(g);
    return 0;
}

static void drop_payload(struct slice *payload, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        slice_unref(&payload[i]);
}

static int send_beat(struct peer *p, const struct message *message)
{
    unsigned char beat[BEAT_MAX_SIZE];
    return peer_send_beat(p, beat, beat_encode(message, beat));
}

/* Hands the message to the link, or holds it until the hard state is durable. */
static int send_or_hold(struct group *g, const struct message *message)
{
    struct message_encoder *e = &g->consensus->encoder;
    uint32_t to = (uint32_t)message->m.server_id;
    struct peer *p = peer_find(g->consensus, to);
    bool hold = !queue_empty(&g->outbox) || guard_hold_until_durable(g);
    if (!peer_is_up(p) || (hold && g->outbox_count >= MAX_HELD_FRAMES)) {
        g->consensus->counts.messages_dropped++;
        return ERR_CLOSED;
    }
    g->consensus->counts.messages_sent++;
    if (!hold && beat_is(message))
        return send_beat(p, message);
    message_encode(e, message);
    if (hold)
        return hold_frame(g, to, e);
    return peer_send(p, FRAME_PEER_RAFT, 0, 0, &e->header.base, e->payload, e->n_payload);
}

void outbox_flush(struct group *g)
{
    while (!queue_empty(&g->outbox) && !guard_hold_until_durable(g)) {
        struct held_frame *f = QUEUE_ENTRY(queue_first(&g->outbox), struct held_frame, node);
        struct peer *p = peer_find(g->consensus, f->to);
        queue_remove(&f->node);
        g->outbox_count--;
        if (p)
            peer_send_packed(p, FRAME_PEER_RAFT, f->header, f->header_size, f->payload, f->n_payload);
        else
            drop_payload(f->payload, f->n_payload);
        free(f->header);
        free(f);
    }
}

void outbox_clear(struct group *g)
{
    while (!queue_empty(&g->outbox)) {
        struct held_frame *f = QUEUE_ENTRY(queue_first(&g->outbox), struct held_frame, node);
        queue_remove(&f->node);
        drop_payload(f->payload, f->n_payload);
        free(f->header);
        free(f);
    }
    g->outbox_count = 0;
}

void outbox_send(struct group *g, const struct message *message)
{
    send_or_hold(g, message);
}

/* ---- AppendEntries ---- */

/* How many of the entries from `from` on go into one piece: at least one. */
static unsigned piece_size(struct group *g, const struct raft_append_entries *a, unsigned from)
{
    size_t bytes = 0, most = env_bound(group_env(g), BOUND_APPEND_PIECE, PIECE_BYTES, SMALL_PIECE_BYTES);
    unsigned n = 0;
    while (from + n < a->n_entries && n < PIECE_ENTRIES) {
        bytes += entry_size(&a->entries[from + n]);
        if (n > 0 && bytes > most)
            break;
        n++;
    }
    return n;
}

/* A piece is a valid AppendEntries of its own. Its commit index is capped by what it proves: otherwise a
 * follower might commit a suffix that nobody has verified. */
static int send_piece(struct group *g, const struct message *whole, unsigned from, unsigned n)
{
    struct message piece = *whole;
    struct raft_append_entries *a = &piece.m.append_entries;
    if (from + n < a->n_entries)
        env_bound_passed(group_env(g), BOUND_APPEND_PIECE);
    if (from > 0) {
        a->prev_log_term = a->entries[from - 1].term;
        a->prev_log_index += from;
        a->entries += from;
    }
    a->n_entries = n;
    if (a->leader_commit > a->prev_log_index + n)
        a->leader_commit = a->prev_log_index + n;
    return send_or_hold(g, &piece);
}

/* While probing, the core resends its whole tail each heartbeat and advances nothing: the first piece is
 * enough. */
static bool is_probing(struct group *g, uint64_t node_id)
{
    enum { PROBE = 0 };
    const struct raft_progress *progress = group_progress(g, node_id);
    return progress && progress->state == PROBE;
}

static int send_append(struct group *g, const struct message *message)
{
    const struct raft_append_entries *a = &message->m.append_entries;
    unsigned from = 0;
    int rv;
    do {
        unsigned n = piece_size(g, a, from);
        rv = send_piece(g, message, from, n);
        from += n;
    } while (rv == 0 && from < a->n_entries && !is_probing(g, message->m.server_id));
    return rv;
}

/* ---- raft_io.send ---- */

static void note_completion(struct group *g, struct raft_io_send *req, raft_io_send_cb cb, int status)
{
    if (!cb)
        return; /* TimeoutNow: the core does not want to know, and its request may be gone */
    if (g->n_sends == g->send_capacity) {
        g->send_capacity = g->send_capacity ? g->send_capacity * 2 : 8;
        g->sends = memory_realloc(g->sends, g->send_capacity * sizeof *g->sends);
    }
    g->sends[g->n_sends++] = (struct send_done){req, cb, status};
}

static int send_result(struct group *g, struct message *message)
{
    struct raft_append_entries_result *result = &message->m.append_entries_result;
    guard_backoff_hint(g, result);
    if (guard_ack_cap(g, result))
        outbox_send(g, message);
    return 0;
}

static int send_message(struct group *g, struct message *message)
{
    if (message->m.server_id == 0 || message->m.server_id > UINT32_MAX)
        return 0; /* the core answers a leader that it does not know any more */
    switch (message->m.type) {
    case RAFT_IO_APPEND_ENTRIES:
        return send_append(g, message);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        return send_result(g, message);
    case RAFT_IO_REQUEST_VOTE_RESULT:
        guard_prevote_term(g, &message->m.request_vote_result);
        break;
    default:
        break;
    }
    return send_or_hold(g, message);
}

int raft_io_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *m,
                 raft_io_send_cb cb)
{
    struct group *g = io->impl;
    /* What a leader knows before an entry of its own term is committed may be less than what is. */
    struct message message = {.group_id = g->id,
                              .m = *m,
                              .commit = g->ready ? g->raft.commit_index : 0,
                              .founding = newcomer_is_founder(g, m->server_id),
                              .incarnation = newcomer_incarnation(g, m)};
    int status = send_message(g, &message);
    note_completion(g, req, cb, status == 0 ? 0 : RAFT_NOCONNECTION);
    return env_sabotaged(group_env(g), SABOTAGE_SEND_FAILS) ? status : 0;
}

bool outbox_complete_sends(struct group *g)
{
    if (g->n_sends == 0)
        return false;
    unsigned n = g->n_sends;
    struct send_done *sends = g->sends;
    g->sends = NULL;
    g->n_sends = g->send_capacity = 0;
    for (unsigned i = 0; i < n; i++)
        sends[i].cb(sends[i].req, sends[i].status);
    if (g->sends) {
        free(sends);
        return true;
    }
    g->sends = sends; /* keep the memory */
    g->send_capacity = n;
    return true;
}
