/* A stream as its process sees it. Every callback comes from the stream's one activity event. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "tests/sim/env_sim_net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct env_stream_ops stream_ops;

static struct sim_stream *stream_of(struct env_stream *stream)
{
    return (struct sim_stream *)stream;
}

static struct sim *sim_of(const struct sim_stream *s)
{
    return s->process->host->sim;
}

struct sim_stream *sim_stream_create(struct sim_process *process)
{
    struct sim_stream *s = memory_zalloc(sizeof(*s));
    s->base.ops = &stream_ops;
    s->process = process;
    s->writes_tail = &s->writes;
    s->finished_tail = &s->finished;
    queue_push(&process->streams, &s->node);
    process->open_streams++;
    return s;
}

void sim_stream_free(struct sim_stream *s)
{
    s->process->open_streams--;
    queue_remove(&s->node);
    free(s);
}

void sim_stream_attach(struct sim_stream *s, struct sim_side *side)
{
    const struct sim_side *other = sim_side_other(side);
    side->stream = s;
    side->connection->references++;
    s->side = side;
    s->loopback = side->host == other->host;
    snprintf(s->peer, sizeof(s->peer), "%s:%u", other->host->name, other->port);
}

/* ---- writes ---- */

static void write_release(struct env_write *req)
{
    for (unsigned i = 0; i < req->n; i++)
        slice_unref(&req->slices[i]);
    free(req->slices);
    req->slices = NULL;
    req->n = 0;
}

static void push(struct env_write ***tail, struct env_write *req)
{
    req->private_ = NULL;
    **tail = req;
    *tail = (struct env_write **)&req->private_;
}

static struct env_write *first_write_pop(struct sim_stream *s)
{
    struct env_write *req = s->writes;
    s->writes = req->private_;
    if (s->writes == NULL)
        s->writes_tail = &s->writes;
    s->pending -= req->size - s->first_sent;
    s->first_sent = 0;
    return req;
}

static void first_write_finish(struct sim_stream *s, int status)
{
    struct env_write *req = first_write_pop(s);
    write_release(req);
    req->status = status;
    push(&s->finished_tail, req);
    sim_stream_wake(s);
}

/* Copies `size` bytes of the request from `position` on. */
static void gather(const struct env_write *req, size_t position, unsigned char *into, size_t size)
{
    for (unsigned i = 0; i < req->n && size > 0; i++) {
        const struct slice *slice = &req->slices[i];
        if (position >= slice->size) {
            position -= slice->size;
            continue;
        }
        size_t part = slice->size - position < size ? slice->size - position : size;
        memcpy(into, slice->data + position, part);
        into += part;
        size -= part;
        position = 0;
    }
}

void sim_stream_pump(struct sim_stream *s)
{
    while (s->side != NULL && s->writes != NULL) {
        struct env_write *req = s->writes;
        size_t window = SIM_WINDOW - sim_side_other(s->side)->window_used;
        size_t size = req->size - s->first_sent;
        if (size > window)
            size = window;
        if (size == 0 && req->size > 0)
            return;
        if (size > 0) {
            struct sim_segment *segment = sim_segment_create(SEGMENT_DATA, size);
            gather(req, s->first_sent, segment->data, size);
            s->first_sent += size;
            s->pending -= size;
            sim_side_send(s->side, segment);
        }
        if (s->first_sent == req->size)
            first_write_finish(s, 0);
    }
}

static void fail_writes(struct sim_stream *s, int status)
{
    while (s->writes != NULL)
        first_write_finish(s, status);
}

static int stream_write(struct env_stream *stream, struct env_write *req, const struct slice *slices,
                        unsigned n, void (*cb)(struct env_write *req, int status))
{
    struct sim_stream *s = stream_of(stream);
    if (s->process->dead || s->closing || (s->side == NULL && !s->broken))
        return ERR_CLOSED;
    req->cb = cb;
    req->slices = memory_dup(slices, n * sizeof(*slices));
    req->n = n;
    req->size = 0;
    for (unsigned i = 0; i < n; i++)
        req->size += slices[i].size;
    push(&s->writes_tail, req);
    s->pending += req->size;
    if (s->broken)
        fail_writes(s, ERR_CONNECTION_LOST);
    else
        sim_stream_pump(s);
    return 0;
}

static size_t stream_pending(const struct env_stream *stream)
{
    return ((const struct sim_stream *)stream)->pending;
}

void sim_stream_break(struct sim_stream *s)
{
    s->broken = true;
    fail_writes(s, ERR_CONNECTION_LOST);
    sim_stream_wake(s);
}

void sim_stream_abandon(struct sim_stream *s)
{
    for (struct env_write *req = s->writes; req != NULL; req = req->private_)
        write_release(req);
    s->writes = NULL;
    s->finished = NULL;
}

/* ---- reads ---- */

static bool readable(const struct sim_stream *s)
{
    return s->reading && s->side != NULL && s->side->received.first != NULL;
}

static void stream_read_resume(struct env_stream *stream)
{
    struct sim_stream *s = stream_of(stream);
    s->reading = true;
    if (readable(s))
        sim_stream_wake(s);
}

static void stream_read_start(struct env_stream *stream, const struct env_stream_callbacks *callbacks,
                              void *data)
{
    struct sim_stream *s = stream_of(stream);
    s->callbacks = *callbacks;
    s->data = data;
    stream_read_resume(stream);
}

static void stream_read_stop(struct env_stream *stream)
{
    stream_of(stream)->reading = false;
}

/* As on a real socket, a read may end anywhere. */
static size_t read_size(struct sim_stream *s, size_t available)
{
    if (available < 2 || sim_random(sim_of(s), 8) != 0)
        return available;
    return 1 + sim_random(sim_of(s), available - 1);
}

static void read_data(struct sim_stream *s, struct sim_segment *segment)
{
    unsigned char *into = NULL;
    size_t space = 0;
    s->callbacks.alloc(s->data, &into, &space);
    ASSERT(into != NULL && space > 0);
    size_t left = segment->size - segment->consumed;
    size_t size = read_size(s, left < space ? left : space);
    memcpy(into, segment->data + segment->consumed, size);
    sim_note_bytes(sim_of(s), into, size);
    segment->consumed += size;
    if (segment->consumed == segment->size)
        free(sim_segments_pop(&s->side->received));
    sim_side_consumed(s->side, size);
    s->callbacks.read(s->data, (ssize_t)size);
}

static void read_next(struct sim_stream *s)
{
    struct sim_segment *segment = s->side->received.first;
    if (segment->kind == SEGMENT_DATA) {
        read_data(s, segment);
        return;
    }
    int status = segment->kind == SEGMENT_END ? ERR_CLOSED : ERR_CONNECTION_LOST;
    s->reading = false;
    sim_segments_clear(&s->side->received);
    s->callbacks.read(s->data, status);
}

/* ---- activity ---- */

static void call_connect(struct sim_stream *s)
{
    if (!s->connect_due)
        return;
    s->connect_due = false;
    s->connect_cb(s->connect_data, &s->base, s->connect_status);
}

/* Hands the stream to the listener, if that is still there. */
static void call_accept(struct sim_stream *s)
{
    if (s->accept_due == 0)
        return;
    struct sim_listener *l = sim_listener_find(s->process->host, s->accept_due);
    s->accept_due = 0;
    if (l != NULL)
        l->cb(l->data, &s->base);
    else
        env_stream_close(&s->base, NULL, NULL);
}

static void call_finished(struct sim_stream *s)
{
    struct env_write *req = s->finished;
    s->finished = NULL;
    s->finished_tail = &s->finished;
    while (req != NULL) {
        struct env_write *next = req->private_;
        req->cb(req, req->status);
        req = next;
    }
}

static void activity(struct sim_event *event)
{
    struct sim_stream *s = container_of(event, struct sim_stream, activity);
    s->activity_scheduled = false;
    call_connect(s);
    call_accept(s);
    call_finished(s);
    while (!s->closing && readable(s))
        read_next(s);
    if (!s->closing || s->activity_scheduled) /* closed by one of these: the rest comes with its own event */
        return;
    if (s->close_cb != NULL)
        s->close_cb(s->close_data);
    sim_stream_free(s);
}

/* The stream stays with its dead process. */
static void activity_drop(struct sim_event *event)
{
    container_of(event, struct sim_stream, activity)->activity_scheduled = false;
}

void sim_stream_wake(struct sim_stream *s)
{
    if (s->activity_scheduled || s->process->dead)
        return;
    s->activity_scheduled = true;
    sim_event_schedule(sim_of(s), &s->activity, sim_of(s)->now_ns, s->process, activity, activity_drop);
}

void sim_stream_connect_end(struct sim_stream *s, int status)
{
    s->connect_due = true;
    s->connect_status = status;
    env_timer_stop(&s->process->env, &s->timeout);
    sim_of(s)->next.stale = true;
    sim_stream_wake(s);
}

static void stream_close(struct env_stream *stream, void (*cb)(void *data), void *data)
{
    struct sim_stream *s = stream_of(stream);
    if (s->process->dead)
        return;
    ASSERT(!s->closing);
    s->closing = true;
    s->close_cb = cb;
    s->close_data = data;
    if (s->attempt != NULL) {
        sim_attempt_cancel(s);
        sim_stream_connect_end(s, ERR_CANCELED);
    } else if (s->connect_due) {
        s->connect_status = ERR_CANCELED; /* it has ended, but nobody has heard of it */
    }
    if (s->side != NULL)
        sim_side_leave(s->side, s->side->received.first != NULL ? SEGMENT_RESET : SEGMENT_END);
    fail_writes(s, ERR_CANCELED);
    sim_stream_wake(s);
}

static const char *stream_peer(const struct env_stream *stream)
{
    return ((const struct sim_stream *)stream)->peer;
}

static bool stream_is_loopback(const struct env_stream *stream)
{
    return ((const struct sim_stream *)stream)->loopback;
}

static const struct env_stream_ops stream_ops = {
    .read_start = stream_read_start,
    .read_stop = stream_read_stop,
    .read_resume = stream_read_resume,
    .write = stream_write,
    .pending = stream_pending,
    .peer = stream_peer,
    .is_loopback = stream_is_loopback,
    .close = stream_close,
};
