#include "node/consensus/beat.h"
#include "node/consensus/consensus_internal.h"
#include "node/consensus/group_internal.h"
#include <stdlib.h>
#include <string.h>

enum { ARENA_LIMIT_BYTES = 64 << 20 };

/* ---- life ---- */

static void on_tick(struct env_timer *timer)
{
    struct consensus *c = container_of(timer, struct consensus, tick);
    env_timer_start(c->options.env, &c->tick, c->options.heartbeat_ms * 500000u, on_tick);
    ticks_run(&c->ticks, env_now_ms(c->options.env));
}

static void set_defaults(struct consensus_options *o)
{
    if (o->heartbeat_ms == 0)
        o->heartbeat_ms = 100;
    if (o->election_timeout_ms == 0)
        o->election_timeout_ms = 500;
    if (o->entry_memory_bytes == 0)
        o->entry_memory_bytes = 8 << 20;
    if (o->entry_memory_total_bytes == 0)
        o->entry_memory_total_bytes = 256 << 20;
    if (o->inflight_bytes == 0)
        o->inflight_bytes = 32 << 20;
    if (o->link_queue_bytes == 0)
        o->link_queue_bytes = 64 << 20;
    if (o->catchup_bytes_per_s == 0)
        o->catchup_bytes_per_s = 100 << 20;
    if (o->max_batch_bytes == 0)
        o->max_batch_bytes = 64 << 20;
}

static double read_entry_bytes(void *data)
{
    return (double)((const struct consensus *)data)->entry_bytes;
}

static void add_metrics(struct consensus *c)
{
    struct metrics *m = c->options.metrics;
    if (!m)
        return;
    metrics_add_counter(m, &c->metrics[0], "flotilla_raft_messages_sent_total",
                        "Raft messages handed to peer links.", "", &c->counts.messages_sent);
    metrics_add_counter(m, &c->metrics[1], "flotilla_raft_messages_received_total",
                        "Raft messages received from peers.", "", &c->counts.messages_received);
    metrics_add_counter(m, &c->metrics[2], "flotilla_raft_messages_dropped_total",
                        "Raft messages dropped: link down or full, or group not here.", "",
                        &c->counts.messages_dropped);
    metrics_add_counter(m, &c->metrics[3], "flotilla_raft_messages_corrupt_total",
                        "Raft messages refused because their bytes failed a check.", "",
                        &c->counts.messages_corrupt);
    metrics_add_counter(m, &c->metrics[4], "flotilla_raft_fast_elections_total",
                        "Elections started because a leader's process was seen to be dead.", "",
                        &c->counts.elections_nudged);
    metrics_add_counter(m, &c->metrics[5], "flotilla_raft_elections_total",
                        "Times that a replica here became a candidate.", "", &c->counts.elections_begun);
    metrics_add_counter(m, &c->metrics[6], "flotilla_raft_elections_won_total",
                        "Times that a replica here became the leader.", "", &c->counts.elections_won);
    metrics_add_counter(m, &c->metrics[7], "flotilla_raft_catchups_total",
                        "Replicas here that were brought up by file ranges of a leader.", "",
                        &c->counts.catchups_done);
    metrics_add_counter(m, &c->metrics[8], "flotilla_raft_catchup_bytes_total", "Bytes of such file ranges.",
                        "", &c->counts.catchup_bytes);
    metrics_add_gauge(m, &c->metrics[9], "flotilla_raft_entry_memory_bytes",
                      "Entries of all partitions kept in memory for followers.", "", read_entry_bytes, c);
}

struct consensus *consensus_create(const struct consensus_options *options)
{
    heap_install();
    struct consensus *c = memory_zalloc(sizeof *c);
    c->options = *options;
    set_defaults(&c->options);
    c->cluster_id = memory_strdup(options->cluster_id);
    env_random_bytes(c->options.env, &c->session, sizeof c->session);
    queue_init(&c->peers);
    queue_init(&c->inbounds);
    queue_init(&c->groups);
    queue_init(&c->waiting);
    queue_init(&c->nudges);
    queue_init(&c->changed);
    queue_init(&c->forwards);
    queue_init(&c->catchups);
    queue_init(&c->catchups_waiting);
    queue_init(&c->tickets);
    governor_init(&c->governor, c->options.env, c->options.metrics);
    roll_call_init(c);
    message_encoder_init(&c->encoder);
    arena_init(&c->arena, ARENA_LIMIT_BYTES);
    add_metrics(c);
    env_timer_start(c->options.env, &c->tick, c->options.heartbeat_ms * 500000u, on_tick);
    return c;
}

static void consensus_free(struct consensus *c)
{
    void (*closed)(void *) = c->closed;
    void *data = c->closed_data;
    if (c->options.metrics)
        for (size_t i = 0; i < sizeof c->metrics / sizeof c->metrics[0]; i++)
            metrics_remove(&c->metrics[i]);
    message_encoder_close(&c->encoder);
    arena_close(&c->arena);
    group_map_close(&c->groups_by_id);
    ticks_close(&c->ticks);
    free(c->cluster_id);
    free(c);
    if (closed)
        closed(data);
}

static void on_closed_without_streams(struct env_task *task)
{
    consensus_free(container_of(task, struct consensus, close_task));
}

void consensus_stream_closed(struct consensus *c)
{
    c->open_streams--;
    if (c->closing && c->open_streams == 0)
        consensus_free(c);
}

void consensus_close(struct consensus *c, void (*closed)(void *data), void *data)
{
    ASSERT(queue_empty(&c->groups));
    c->closing = true;
    c->closed = closed;
    c->closed_data = data;
    env_timer_stop(c->options.env, &c->tick);
    election_stop(c);
    governor_close(&c->governor);
    roll_call_close(c);
    forward_close(c);
    if (c->listener)
        env_listener_close(c->listener);
    while (!queue_empty(&c->inbounds))
        inbound_close(QUEUE_ENTRY(queue_first(&c->inbounds), struct inbound, node));
    while (!queue_empty(&c->peers))
        peer_remove(QUEUE_ENTRY(queue_first(&c->peers), struct peer, node));
    leaders_close(c);
    if (c->open_streams == 0)
        env_defer(c->options.env, &c->close_task, on_closed_without_streams);
}

/* ---- peers ---- */

static void on_connection(void *data, struct env_stream *stream)
{
    inbound_accept(data, stream);
}

int consensus_listen(struct consensus *c, const char *host, uint16_t port)
{
    return env_listen(c->options.env, host, port, &c->listener, on_connection, c);
}

struct governor *consensus_governor(struct consensus *c)
{
    return &c->governor;
}

uint16_t consensus_port(const struct consensus *c)
{
    return c->listener ? env_listener_port(c->listener) : 0;
}

void consensus_set_peer(struct consensus *c, uint32_t node_id, const char *host, uint16_t port)
{
    ASSERT(node_id != 0 && node_id != c->options.node_id);
    struct peer *p = peer_find(c, node_id);
    if (p)
        peer_set_address(p, host, port);
    else
        peer_create(c, node_id, host, port);
}

bool consensus_peer_up(const struct consensus *c, uint32_t node_id)
{
    return peer_is_up(peer_find(c, node_id));
}

void consensus_block_peers(struct consensus *c, const uint32_t *node_ids, unsigned n)
{
    QUEUE_FOREACH (node, &c->peers) {
        struct peer *p = QUEUE_ENTRY(node, struct peer, node);
        bool blocked = false;
        for (unsigned i = 0; i < n; i++)
            blocked = blocked || node_ids[i] == p->id;
        peer_set_blocked(p, blocked);
    }
}

const uint64_t *consensus_guard_counts(const struct consensus *c)
{
    return c->guard_counts;
}

/* ---- events from the links ---- */

void consensus_peer_connected(struct peer *p, bool restarted)
{
    struct consensus *c = p->consensus;
    if (restarted) {
        QUEUE_FOREACH (node, &c->groups)
            group_peer_restarted(QUEUE_ENTRY(node, struct group, node), p->id);
    }
    leaders_send_all(c, p);
    if (c->options.peer_changed && !c->closing)
        c->options.peer_changed(c->options.data, p->id, true);
}

void consensus_peer_disconnected(struct peer *p)
{
    struct consensus *c = p->consensus;
    roll_call_lost(p);
    forward_fail(c, p->id, ERR_CONNECTION_LOST);
    QUEUE_FOREACH (node, &c->groups)
        group_peer_lost(QUEUE_ENTRY(node, struct group, node), p->id);
    if (c->options.peer_changed && !c->closing)
        c->options.peer_changed(c->options.data, p->id, false);
}

void consensus_peer_dead(struct peer *p)
{
    struct consensus *c = p->consensus;
    LOG(c->options.logger, LOG_WARN, "peer process is dead", "peer=%u", p->id);
    leaders_forget_node(c, p->id);
    election_leader_died(c, p->id);
}

/* ---- frames ---- */

struct group *consensus_group(const struct consensus *c, uint64_t group_id)
{
    return group_map_find(&c->groups_by_id, group_id);
}

static void receive_raft(struct consensus *c, uint32_t from, const struct frame *frame)
{
    struct message message;
    const char *reason = "malformed header";
    Flotilla__RaftMessage *header =
        flotilla__raft_message__unpack(arena_allocator(&c->arena), frame->head.header_length, frame->header);
    c->counts.messages_received++;
    struct group *g = header ? consensus_group(c, header->group_id) : NULL;
    if (header && !g) {
        c->counts.messages_dropped++;
        return;
    }
    if (header &&
        message_decode(header, &frame->payload, from, c->options.max_batch_bytes, &message, &reason) == 0) {
        group_receive(g, &message);
        return;
    }
    c->counts.messages_corrupt++;
    LOG(c->options.logger, LOG_ERROR, "dropped a raft message that failed its checks",
        "peer=%u group=%s cause=\"%s\"", from, g ? g->name : "?", reason);
}

static void receive_beats(struct consensus *c, uint32_t from, const struct frame *frame)
{
    struct reader r;
    struct message message;
    struct slice keep = slice_ref(frame->payload); /* and the header beside it */
    reader_init(&r, frame->header, frame->head.header_length);
    while (reader_left(&r) > 0) {
        c->counts.messages_received++;
        if (beat_decode(&r, from, &message) != 0) {
            c->counts.messages_corrupt++;
            LOG(c->options.logger, LOG_ERROR, "dropped heartbeats that failed their checks", "peer=%u", from);
            break;
        }
        struct group *g = consensus_group(c, message.group_id);
        if (g)
            group_receive(g, &message);
        else
            c->counts.messages_dropped++;
    }
    slice_unref(&keep);
}

static void receive_leaders(struct consensus *c, uint32_t from, const struct frame *frame)
{
    Flotilla__PeerLeaders *leaders =
        flotilla__peer_leaders__unpack(arena_allocator(&c->arena), frame->head.header_length, frame->header);
    if (leaders)
        leaders_receive(c, from, leaders);
}

void consensus_frame(struct consensus *c, uint32_t from, const struct frame *frame)
{
    bool response = (frame->head.flags & FRAME_RESPONSE) != 0;
    arena_reset(&c->arena);
    switch (frame->head.type) {
    case FRAME_PEER_RAFT:
        receive_raft(c, from, frame);
        break;
    case FRAME_PEER_BEATS:
        receive_beats(c, from, frame);
        break;
    case FRAME_PEER_LEADERS:
        receive_leaders(c, from, frame);
        break;
    case FRAME_PEER_FORWARD:
        if (response)
            forward_receive_answer(c, frame);
        else
            forward_receive(c, from, frame);
        break;
    case FRAME_PEER_CATCHUP:
        if (response)
            catchup_receive_answer(c, from, frame);
        else
            catchup_receive_request(c, from, frame);
        break;
    default:
        break; /* of a newer version: ignored */
    }
}

void consensus_journal_durable(struct consensus *c, uint64_t sequence)
{
    struct queue ready;
    queue_move(&c->waiting, &ready);
    while (!queue_empty(&ready)) {
        struct group *g = QUEUE_ENTRY(queue_first(&ready), struct group, waiting);
        queue_remove(&g->waiting);
        group_journal_durable(g, sequence); /* goes back to c->waiting when it needs more */
    }
}
