/* Connections, listeners and links: what happens between the processes. Its events call no code under test.
 */
#include "tests/sim/env_sim_net.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* When TCP asks again after a lost packet of the hand-shake. */
static const uint64_t RETRANSMIT_NS = 1000000000;

static uint64_t arrival_ns(struct sim *sim)
{
    return sim->now_ns + sim_random_between(sim, sim->latency_min_ns, sim->latency_max_ns);
}

static bool is_cut(const struct sim_host *from, const struct sim_host *to)
{
    return from->sim->cut[from->index][to->index];
}

/* ---- segments ---- */

struct sim_segment *sim_segment_create(enum sim_segment_kind kind, size_t size)
{
    struct sim_segment *segment = memory_alloc(sizeof(*segment) + size);
    *segment = (struct sim_segment){.kind = kind, .size = size};
    return segment;
}

static void segments_push(struct sim_segments *list, struct sim_segment *segment)
{
    segment->next = NULL;
    if (list->first == NULL)
        list->first = segment;
    else
        list->last->next = segment;
    list->last = segment;
}

struct sim_segment *sim_segments_pop(struct sim_segments *list)
{
    struct sim_segment *segment = list->first;
    list->first = segment->next;
    return segment;
}

void sim_segments_clear(struct sim_segments *list)
{
    while (list->first != NULL)
        free(sim_segments_pop(list));
}

/* ---- connections ---- */

static struct sim_connection *connection_create(struct sim_host *from, struct sim_host *to, uint16_t port)
{
    struct sim_connection *c = memory_zalloc(sizeof(*c));
    c->sim = from->sim;
    c->sides[0] = (struct sim_side){.connection = c, .host = from, .port = from->next_port++};
    c->sides[1] = (struct sim_side){.connection = c, .host = to, .port = port};
    queue_push(&c->sim->connections, &c->node);
    return c;
}

static void connection_unref(struct sim_connection *c)
{
    ASSERT(c->references > 0);
    if (--c->references > 0)
        return;
    for (int i = 0; i < 2; i++) {
        sim_segments_clear(&c->sides[i].under_way);
        sim_segments_clear(&c->sides[i].received);
    }
    queue_remove(&c->node);
    free(c);
}

struct sim_side *sim_side_other(struct sim_side *side)
{
    struct sim_connection *c = side->connection;
    return side == &c->sides[0] ? &c->sides[1] : &c->sides[0];
}

/* ---- arrival ---- */

static void arrival_schedule(struct sim_side *to);

static void arrival_drop(struct sim_event *event)
{
    connection_unref(container_of(event, struct sim_side, arrival)->connection);
}

/* The listener's kernel makes a stream, which the process sees when it comes to it. */
static void accept_segment(struct sim_side *side)
{
    if (sim_listener_find(side->host, side->port) == NULL) {
        sim_side_send(side, sim_segment_create(SEGMENT_RESET, 0));
        return;
    }
    struct sim_stream *s = sim_stream_create(side->host->process);
    sim_stream_attach(s, side);
    s->accept_due = side->port;
    sim_stream_wake(s);
}

static void receive(struct sim_side *side, struct sim_segment *segment)
{
    if (segment->kind == SEGMENT_ACCEPT) {
        free(segment);
        accept_segment(side);
        return;
    }
    if (side->stream == NULL) { /* nobody is there any more */
        if (segment->kind == SEGMENT_DATA)
            sim_side_send(side, sim_segment_create(SEGMENT_RESET, 0));
        free(segment);
        return;
    }
    segments_push(&side->received, segment);
    if (segment->kind == SEGMENT_RESET)
        sim_stream_break(side->stream);
    else if (side->stream->reading)
        sim_stream_wake(side->stream);
}

static void arrival_fire(struct sim_event *event)
{
    struct sim_side *side = container_of(event, struct sim_side, arrival);
    struct sim_connection *c = side->connection;
    side->arrival_scheduled = false;
    side->stalled = side->under_way.first != NULL && is_cut(sim_side_other(side)->host, side->host);
    while (!side->stalled && side->under_way.first != NULL && side->under_way.first->at_ns <= c->sim->now_ns)
        receive(side, sim_segments_pop(&side->under_way));
    if (!side->stalled && side->under_way.first != NULL)
        arrival_schedule(side);
    connection_unref(c);
}

static void arrival_schedule(struct sim_side *to)
{
    if (to->arrival_scheduled || to->stalled)
        return;
    to->arrival_scheduled = true;
    to->connection->references++;
    sim_event_schedule(to->connection->sim, &to->arrival, to->under_way.first->at_ns, NULL, arrival_fire,
                       arrival_drop);
}

void sim_side_send(struct sim_side *from, struct sim_segment *segment)
{
    struct sim_side *to = sim_side_other(from);
    segment->at_ns = arrival_ns(from->connection->sim);
    to->window_used += segment->size;
    if (from->connection->muted) {
        free(segment);
        return;
    }
    segments_push(&to->under_way, segment);
    arrival_schedule(to);
}

/* ---- credit ---- */

static void credit_drop(struct sim_event *event)
{
    connection_unref(container_of(event, struct sim_side, credit)->connection);
}

static void credit_fire(struct sim_event *event)
{
    struct sim_side *side = container_of(event, struct sim_side, credit);
    struct sim_side *sender = sim_side_other(side);
    side->credit_scheduled = false;
    side->credit_stalled = is_cut(side->host, sender->host);
    if (!side->credit_stalled && !side->connection->muted) {
        side->window_used -= side->read_size;
        side->read_size = 0;
        if (sender->stream != NULL)
            sim_stream_pump(sender->stream);
    }
    connection_unref(side->connection);
}

static void credit_schedule(struct sim_side *side)
{
    if (side->credit_scheduled || side->credit_stalled)
        return;
    struct sim *sim = side->connection->sim;
    side->credit_scheduled = true;
    side->connection->references++;
    sim_event_schedule(sim, &side->credit, arrival_ns(sim), NULL, credit_fire, credit_drop);
}

void sim_side_consumed(struct sim_side *side, size_t size)
{
    side->read_size += size;
    credit_schedule(side);
}

void sim_side_leave(struct sim_side *side, enum sim_segment_kind kind)
{
    struct sim_stream *s = side->stream;
    if (kind != SEGMENT_DATA && !s->broken)
        sim_side_send(side, sim_segment_create(kind, 0));
    sim_segments_clear(&side->received);
    side->stream = NULL;
    s->side = NULL;
    connection_unref(side->connection);
}

/* ---- connecting ---- */

/* The hand-shake: the SYN goes to the target, its answer comes back. */
struct sim_attempt {
    struct sim_event event;
    struct sim_stream *stream; /* NULL: given up */
    struct sim_host *from;
    struct sim_host *to; /* NULL: no such host */
    uint16_t port;
    bool refused;
};

static struct sim_host *host_find(struct sim_host *from, const char *name)
{
    if (strcmp(name, "localhost") == 0 || strncmp(name, "127.", 4) == 0 || strcmp(name, "::1") == 0)
        return from;
    for (unsigned i = 0; i < from->sim->host_count; i++) {
        if (strcmp(from->sim->hosts[i]->name, name) == 0)
            return from->sim->hosts[i];
    }
    return NULL;
}

static void attempt_drop(struct sim_event *event)
{
    free(container_of(event, struct sim_attempt, event));
}

static void attempt_next(struct sim_attempt *a, uint64_t at_ns, void (*fire)(struct sim_event *event))
{
    sim_event_schedule(a->from->sim, &a->event, at_ns, NULL, fire, attempt_drop);
}

static void attempt_end(struct sim_attempt *a, int status)
{
    struct sim_stream *s = a->stream;
    s->attempt = NULL;
    if (status == 0) {
        struct sim_connection *c = connection_create(a->from, a->to, a->port);
        sim_stream_attach(s, &c->sides[0]);
        sim_side_send(&c->sides[0], sim_segment_create(SEGMENT_ACCEPT, 0));
    }
    sim_stream_connect_end(s, status);
    free(a);
}

static void attempt_answer(struct sim_event *event)
{
    struct sim_attempt *a = container_of(event, struct sim_attempt, event);
    if (a->stream == NULL)
        free(a);
    else if (a->to == NULL)
        attempt_end(a, ERR_UNREACHABLE);
    else if (is_cut(a->to, a->from))
        attempt_next(a, a->from->sim->now_ns + RETRANSMIT_NS, attempt_answer);
    else
        attempt_end(a, a->refused ? ERR_CONNECTION_REFUSED : 0);
}

static void attempt_arrive(struct sim_event *event)
{
    struct sim_attempt *a = container_of(event, struct sim_attempt, event);
    if (a->stream == NULL) {
        free(a);
        return;
    }
    if (is_cut(a->from, a->to)) {
        attempt_next(a, a->from->sim->now_ns + RETRANSMIT_NS, attempt_arrive);
        return;
    }
    a->refused = sim_listener_find(a->to, a->port) == NULL;
    attempt_next(a, arrival_ns(a->from->sim), attempt_answer);
}

void sim_attempt_cancel(struct sim_stream *s)
{
    s->attempt->stream = NULL;
    s->attempt = NULL;
}

static void on_timeout(struct env_timer *timer)
{
    struct sim_stream *s = container_of(timer, struct sim_stream, timeout);
    if (s->attempt == NULL)
        return; /* decided already */
    sim_attempt_cancel(s);
    sim_stream_connect_end(s, ERR_TIMED_OUT);
}

int sim_connect(struct env *env, const char *host, uint16_t port, uint64_t timeout_ns,
                struct env_stream **stream, void (*cb)(void *data, struct env_stream *stream, int status),
                void *data)
{
    struct sim_process *p = sim_process_of(env);
    if (p->dead)
        return ERR_CLOSED;
    struct sim_attempt *a = memory_zalloc(sizeof(*a));
    struct sim_stream *s = sim_stream_create(p);
    a->stream = s;
    a->from = p->host;
    a->to = host_find(p->host, host);
    a->port = port;
    s->attempt = a;
    s->connect_cb = cb;
    s->connect_data = data;
    snprintf(s->peer, sizeof(s->peer), "%s:%u", host, port);
    env_timer_start(env, &s->timeout, timeout_ns, on_timeout);
    attempt_next(a, arrival_ns(p->host->sim), a->to == NULL ? attempt_answer : attempt_arrive);
    *stream = &s->base;
    return 0;
}

/* ---- listening ---- */

static uint16_t listener_port(const struct env_listener *listener)
{
    return ((const struct sim_listener *)listener)->port;
}

static void listener_close(struct env_listener *listener)
{
    struct sim_listener *l = (struct sim_listener *)listener;
    if (l->process->dead)
        return; /* freed with the process */
    queue_remove(&l->node);
    free(l);
}

static const struct env_listener_ops listener_ops = {
    .port = listener_port,
    .close = listener_close,
};

struct sim_listener *sim_listener_find(struct sim_host *host, uint16_t port)
{
    if (host->process == NULL)
        return NULL;
    QUEUE_FOREACH (node, &host->process->listeners) {
        struct sim_listener *l = QUEUE_ENTRY(node, struct sim_listener, node);
        if (l->port == port)
            return l;
    }
    return NULL;
}

int sim_listen(struct env *env, const char *host, uint16_t port, struct env_listener **listener,
               void (*cb)(void *data, struct env_stream *stream), void *data)
{
    (void)host;
    struct sim_process *p = sim_process_of(env);
    if (p->dead)
        return ERR_CLOSED;
    if (port == 0)
        port = p->host->next_port++;
    if (sim_listener_find(p->host, port) != NULL)
        return ERR_ADDRESS_IN_USE;
    struct sim_listener *l = memory_zalloc(sizeof(*l));
    l->base.ops = &listener_ops;
    l->process = p;
    l->port = port;
    l->cb = cb;
    l->data = data;
    queue_push(&p->listeners, &l->node);
    *listener = &l->base;
    return 0;
}

/* ---- the death of a process ---- */

void sim_net_release(struct sim_process *process, bool silent)
{
    QUEUE_FOREACH (node, &process->streams) {
        struct sim_stream *s = QUEUE_ENTRY(node, struct sim_stream, node);
        if (s->attempt != NULL)
            sim_attempt_cancel(s);
        if (s->side != NULL && silent)
            sim_side_leave(s->side, SEGMENT_DATA);
        else if (s->side != NULL)
            sim_side_leave(s->side, s->side->received.first != NULL ? SEGMENT_RESET : SEGMENT_END);
        sim_stream_abandon(s);
    }
}

void sim_net_free(struct sim_process *process)
{
    while (!queue_empty(&process->streams))
        sim_stream_free(QUEUE_ENTRY(queue_first(&process->streams), struct sim_stream, node));
    while (!queue_empty(&process->listeners)) {
        struct sim_listener *l = QUEUE_ENTRY(queue_first(&process->listeners), struct sim_listener, node);
        queue_remove(&l->node);
        free(l);
    }
}

/* ---- links ---- */

void sim_network_latency(struct sim *sim, uint64_t min_ns, uint64_t max_ns)
{
    ASSERT(min_ns <= max_ns);
    sim->latency_min_ns = min_ns;
    sim->latency_max_ns = max_ns;
}

void sim_link_cut(struct sim_host *from, struct sim_host *to)
{
    from->sim->cut[from->index][to->index] = true;
}

/* What was held up by a cut link goes on. */
static void side_resume(struct sim_side *side)
{
    struct sim_host *other = sim_side_other(side)->host;
    if (side->stalled && !is_cut(other, side->host)) {
        side->stalled = false;
        side->under_way.first->at_ns = arrival_ns(side->connection->sim);
        arrival_schedule(side);
    }
    if (side->credit_stalled && !is_cut(side->host, other)) {
        side->credit_stalled = false;
        credit_schedule(side);
    }
}

static void resume_all(struct sim *sim)
{
    QUEUE_FOREACH (node, &sim->connections) {
        struct sim_connection *c = QUEUE_ENTRY(node, struct sim_connection, node);
        side_resume(&c->sides[0]);
        side_resume(&c->sides[1]);
    }
}

void sim_link_heal(struct sim_host *from, struct sim_host *to)
{
    from->sim->cut[from->index][to->index] = false;
    resume_all(from->sim);
}

void sim_host_isolate(struct sim_host *host)
{
    for (unsigned i = 0; i < host->sim->host_count; i++) {
        if (i != host->index) {
            host->sim->cut[host->index][i] = true;
            host->sim->cut[i][host->index] = true;
        }
    }
}

void sim_host_rejoin(struct sim_host *host)
{
    for (unsigned i = 0; i < host->sim->host_count; i++) {
        host->sim->cut[host->index][i] = false;
        host->sim->cut[i][host->index] = false;
    }
    resume_all(host->sim);
}

void sim_heal_all(struct sim *sim)
{
    memset(sim->cut, 0, sizeof(sim->cut));
    resume_all(sim);
}

/* As if the other end had sent it. */
static void reset_side(struct sim_side *side)
{
    if (side->stream == NULL)
        return;
    sim_segments_clear(&side->under_way);
    side->stalled = false;
    sim_side_send(sim_side_other(side), sim_segment_create(SEGMENT_RESET, 0));
}

static bool is_between(const struct sim_connection *c, const struct sim_host *a, const struct sim_host *b)
{
    return (c->sides[0].host == a && c->sides[1].host == b) ||
           (c->sides[0].host == b && c->sides[1].host == a);
}

void sim_link_reset(struct sim_host *a, struct sim_host *b)
{
    QUEUE_FOREACH (node, &a->sim->connections) {
        struct sim_connection *c = QUEUE_ENTRY(node, struct sim_connection, node);
        if (is_between(c, a, b)) {
            reset_side(&c->sides[0]);
            reset_side(&c->sides[1]);
        }
    }
}

void sim_link_mute(struct sim_host *a, struct sim_host *b)
{
    QUEUE_FOREACH (node, &a->sim->connections) {
        struct sim_connection *c = QUEUE_ENTRY(node, struct sim_connection, node);
        if (!is_between(c, a, b))
            continue;
        c->muted = true;
        for (int i = 0; i < 2; i++) {
            sim_segments_clear(&c->sides[i].under_way);
            c->sides[i].stalled = false;
        }
    }
}
