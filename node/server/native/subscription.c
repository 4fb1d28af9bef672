#include "node/server/native/subscription.h"
#include "node/base/memory.h"
#include "node/server/native/lookup.h"
#include "proto/error.h"
#include <stdlib.h>

struct subscription {
    struct native_connection *connection;
    struct server *server;
    struct queue node;
    struct queue turn; /* in the connection's push_waiting, or alone */
    uint64_t id;
    struct partition *partition;
    uint64_t group_id;
    struct partition_watcher watcher;
    bool watching;
    struct fetch_req fetch;
    bool reading;
    bool closed;
    size_t reserved_bytes; /* of the connection's window, while reading */
    int64_t offset;        /* next to push */
    int64_t credit_bytes;  /* below 0 after a batch that was larger */
};

static void pump(struct subscription *s);

struct subscription *subscription_find(const struct native_connection *c, uint64_t id)
{
    QUEUE_FOREACH (node, &c->subscriptions) {
        struct subscription *s = QUEUE_ENTRY(node, struct subscription, node);
        if (s->id == id)
            return s;
    }
    return NULL;
}

/* ---- pushes ---- */

static void send_push(struct subscription *s, const Flotilla__Status *status, struct slice *payload,
                      unsigned n)
{
    Flotilla__Push push = FLOTILLA__PUSH__INIT;
    push.status = (Flotilla__Status *)(uintptr_t)status;
    push.subscription = s->id;
    push.high_watermark = s->fetch.high_watermark;
    push.log_start_offset = s->fetch.start_offset;
    push.next_offset = s->offset;
    native_send(s->connection, FRAME_PUSH, 0, 0, &push.base, payload, n);
}

static void end(struct subscription *s, int error)
{
    Flotilla__Status status = lookup_status(s->server, error, NULL, s->group_id);
    send_push(s, &status, NULL, 0);
    subscription_close(s);
}

static void push_batches(struct subscription *s)
{
    struct log_read_req *read = &s->fetch.read;
    Flotilla__Status status = status_make(0, NULL);
    s->offset = read->next_offset;
    s->credit_bytes -= (int64_t)read->size;
    s->server->counters.pushed_bytes += read->size;
    send_push(s, &status, read->slices, read->n);
}

static void release_window(struct subscription *s)
{
    s->connection->push_reserved -= s->reserved_bytes;
    s->reserved_bytes = 0;
}

static void on_read(struct fetch_req *req, int status)
{
    struct subscription *s = req->data;
    s->reading = false;
    if (s->closed) {
        for (unsigned i = 0; status == 0 && i < req->read.n; i++)
            slice_unref(&req->read.slices[i]);
        free(s);
        return;
    }
    struct native_connection *c = s->connection;
    release_window(s);
    if (status != 0) {
        end(s, status);
    } else if (req->read.n > 0 || req->read.next_offset > s->offset) {
        push_batches(s);
        pump(s);
    }
    subscription_output_ready(c);
}

/* ---- whose turn it is ---- */

/* A reader may wait at the end for what comes; what lies further out a read refuses. */
static bool has_work(const struct subscription *s)
{
    return !s->reading && !s->closed && s->credit_bytes > 0 &&
           (partition_high_watermark(s->partition) > s->offset ||
            partition_end_offset(s->partition) < s->offset);
}

static size_t window(const struct native_connection *c)
{
    size_t share = server_fair_share(c->base.server);
    size_t small = share < PUSH_SMALL_WINDOW_BYTES ? share : PUSH_SMALL_WINDOW_BYTES;
    return server_is_full(c->base.server) ? small : PUSH_WINDOW_BYTES;
}

static bool window_open(const struct native_connection *c)
{
    return c->base.unsent_bytes + c->push_reserved < window(c);
}

static void read_next(struct subscription *s)
{
    size_t most = window(s->connection) < PUSH_MAX_BYTES ? window(s->connection) : PUSH_MAX_BYTES;
    size_t bytes = (uint64_t)s->credit_bytes < most ? (size_t)s->credit_bytes : most;
    s->reading = true;
    s->reserved_bytes = bytes;
    s->connection->push_reserved += bytes;
    partition_fetch(s->partition, &s->fetch, s->offset, bytes, 0, 0, on_read);
}

/* Reads the next batches, or queues up for room: first come, first served, one read per turn and stream. */
static void pump(struct subscription *s)
{
    struct native_connection *c = s->connection;
    if (!has_work(s) || !native_is_open(c))
        return;
    if (window_open(c) && queue_empty(&c->push_waiting)) {
        read_next(s);
        return;
    }
    if (queue_empty(&s->turn))
        queue_push(&c->push_waiting, &s->turn);
}

void subscription_output_ready(struct native_connection *c)
{
    while (native_is_open(c) && window_open(c) && !queue_empty(&c->push_waiting)) {
        struct subscription *s = QUEUE_ENTRY(queue_first(&c->push_waiting), struct subscription, turn);
        queue_remove(&s->turn);
        if (has_work(s))
            read_next(s);
    }
}

static void on_watch(struct partition_watcher *w, int status)
{
    struct subscription *s = w->data;
    if (status == 0) {
        pump(s);
        return;
    }
    s->watching = false; /* removed by the partition */
    end(s, status);
}

/* ---- start and end ---- */

int subscription_start(struct native_connection *c, uint64_t id, struct partition *partition, int64_t offset,
                       uint64_t credit_bytes)
{
    if (subscription_find(c, id) != NULL)
        return ERR_EXISTS;
    if (c->subscription_count == SUBSCRIPTIONS_MAX)
        return ERR_OVERLOADED;
    struct subscription *s = memory_zalloc(sizeof(*s));
    s->watcher.data = s;
    int rv = partition_watch(partition, &s->watcher, on_watch);
    if (rv != 0) {
        free(s);
        return rv;
    }
    s->watching = true;
    s->connection = c;
    s->server = c->base.server;
    s->id = id;
    s->partition = partition;
    s->group_id = partition_group_id(partition);
    s->fetch.data = s;
    s->fetch.high_watermark = partition_high_watermark(partition);
    s->fetch.start_offset = partition_start_offset(partition);
    s->offset = offset;
    queue_init(&s->turn);
    queue_push(&c->subscriptions, &s->node);
    c->subscription_count++;
    subscription_add_credit(s, credit_bytes);
    return 0;
}

void subscription_add_credit(struct subscription *s, uint64_t bytes)
{
    if (bytes > INT64_MAX || __builtin_add_overflow(s->credit_bytes, (int64_t)bytes, &s->credit_bytes))
        s->credit_bytes = INT64_MAX;
    pump(s);
}

void subscription_close(struct subscription *s)
{
    struct native_connection *c = s->connection;
    s->closed = true;
    if (s->watching)
        partition_unwatch(&s->watcher);
    queue_remove(&s->turn);
    queue_remove(&s->node);
    c->subscription_count--;
    if (!s->reading) {
        free(s);
        return;
    }
    release_window(s);
    partition_fetch_cancel(&s->fetch); /* on_read frees it */
}

void subscription_close_all(struct native_connection *c)
{
    while (!queue_empty(&c->subscriptions))
        subscription_close(QUEUE_ENTRY(queue_first(&c->subscriptions), struct subscription, node));
}

void subscription_end_all(struct native_connection *c, int error)
{
    while (!queue_empty(&c->subscriptions))
        end(QUEUE_ENTRY(queue_first(&c->subscriptions), struct subscription, node), error);
}
