/* What a connection sends: frames gathered over a loop turn and written with one system call. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/server/connection.h"
#include <stdlib.h>
#include <string.h>

enum {
    OUT_BUF_SIZE = 4096,
    OUT_FIRST_CAPACITY = 16,
    TURN_BYTES = 256 * 1024, /* copying more would keep everybody else on the loop waiting */
};

struct connection_write {
    struct env_write req;
    struct connection *connection;
    struct queue node;
    size_t size;
    struct slice slices[];
};

static void count_unsent(struct connection *c, ssize_t change)
{
    c->unsent_bytes += (size_t)change;
    c->server->unsent_bytes += (size_t)change;
}

void connection_drop_output(struct connection *c)
{
    for (unsigned i = 0; i < c->out_count; i++) {
        count_unsent(c, -(ssize_t)c->out[i].size);
        slice_unref(&c->out[i]);
    }
    c->out_count = 0;
    env_timer_stop(c->server->env, &c->next_turn);
    buf_unref(c->out_buf);
    c->out_buf = NULL;
}

/* ---- writing ---- */

static void on_written(struct env_write *req, int status)
{
    struct connection_write *w = container_of(req, struct connection_write, req);
    struct connection *c = w->connection;
    count_unsent(c, -(ssize_t)w->size);
    queue_remove(&w->node);
    free(w);
    if (c->state == CONNECTION_CLOSED)
        return;
    if (status != 0) {
        connection_close(c);
        return;
    }
    if (c->state == CONNECTION_FINISHING) {
        connection_flush_later(c);
        return;
    }
    connection_request_done(c);
    c->protocol->output_ready(c);
}

/* What goes out in this turn: whole slices, and a part of the one that would be too much. */
static struct connection_write *take_turn(struct connection *c, unsigned *n)
{
    struct connection_write *w = memory_alloc(sizeof(*w) + c->out_count * sizeof(struct slice));
    unsigned whole = 0;
    memset(w, 0, sizeof(*w));
    w->connection = c;
    for (; whole < c->out_count && w->size + c->out[whole].size <= TURN_BYTES; whole++) {
        w->slices[whole] = c->out[whole];
        w->size += c->out[whole].size;
    }
    *n = whole;
    c->out_count -= whole;
    memmove(c->out, c->out + whole, c->out_count * sizeof(c->out[0]));
    size_t room = TURN_BYTES - w->size;
    if (c->out_count > 0 && room > 0) {
        w->slices[(*n)++] = slice_sub(c->out[0], 0, room);
        c->out[0].data += room;
        c->out[0].size -= room;
        w->size += room;
    }
    return w;
}

static void write_gathered(struct connection *c)
{
    unsigned n;
    struct connection_write *w = take_turn(c, &n);
    size_t size = w->size;
    queue_push(&c->writes, &w->node);
    c->server->counters.sent_bytes += size;
    int rv = env_stream_write(c->stream, &w->req, w->slices, n, on_written);
    if (rv == 0)
        return;
    count_unsent(c, -(ssize_t)size);
    for (unsigned i = 0; i < n; i++)
        slice_unref(&w->slices[i]);
    queue_remove(&w->node);
    free(w);
    connection_close(c);
}

static void on_next_turn(struct env_timer *timer)
{
    connection_flush_later(container_of(timer, struct connection, next_turn));
}

static void on_flush(struct env_task *task)
{
    struct connection *c = container_of(task, struct connection, flush);
    if (c->state == CONNECTION_CLOSED)
        return;
    if (c->out_count > 0)
        write_gathered(c);
    else if (c->state == CONNECTION_FINISHING && queue_empty(&c->writes))
        connection_said_all(c);
    buf_unref(c->out_buf); /* an idle connection holds none */
    c->out_buf = NULL;
    if (c->out_count > 0)
        env_timer_start(c->server->env, &c->next_turn, 0, on_next_turn);
}

void connection_flush_later(struct connection *c)
{
    env_defer(c->server->env, &c->flush, on_flush);
}

/* ---- gathering ---- */

void connection_gather(struct connection *c, struct slice bytes)
{
    if (c->out_count == c->out_capacity) {
        c->out_capacity = c->out_capacity == 0 ? OUT_FIRST_CAPACITY : c->out_capacity * 2;
        c->out = memory_realloc(c->out, c->out_capacity * sizeof(c->out[0]));
    }
    c->out[c->out_count++] = bytes;
    count_unsent(c, (ssize_t)bytes.size);
}

unsigned char *connection_gather_space(struct connection *c, size_t size)
{
    if (c->out_buf == NULL || c->out_buf->capacity - c->out_used < size) {
        buf_unref(c->out_buf);
        c->out_buf = buf_create(size > OUT_BUF_SIZE ? size : OUT_BUF_SIZE);
        c->out_used = 0;
    }
    unsigned char *at = c->out_buf->data + c->out_used;
    struct slice *last = c->out_count > 0 ? &c->out[c->out_count - 1] : NULL;
    c->out_used += size;
    if (last != NULL && last->owner == c->out_buf && last->data + last->size == at) {
        last->size += size;
        count_unsent(c, (ssize_t)size);
    } else {
        connection_gather(c, slice_of(c->out_buf, at, size));
    }
    return at;
}
