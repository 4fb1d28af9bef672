#include "tests/unit/sim/helper_sim.h"
#include "node/base/memory.h"
#include <stdlib.h>

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct talker *t = data;
    *into = t->space;
    *size = sizeof(t->space);
}

static void receive(struct talker *t, struct env_stream *from, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++)
        t->checksum = t->checksum * 31 + t->space[i];
    t->received += (size_t)n;
    if (t->echo)
        talker_send(t, from, t->space[0], (size_t)n);
}

static void on_read_in(void *data, ssize_t n)
{
    struct talker *t = data;
    if (n < 0)
        t->in_status = (int)n;
    else
        receive(t, t->in, n);
}

static void on_read_out(void *data, ssize_t n)
{
    struct talker *t = data;
    if (n < 0)
        t->out_status = (int)n;
    else
        receive(t, t->out, n);
}

static const struct env_stream_callbacks in_callbacks = {on_alloc, on_read_in};
static const struct env_stream_callbacks out_callbacks = {on_alloc, on_read_out};

static void on_accept(void *data, struct env_stream *stream)
{
    struct talker *t = data;
    if (t->in != NULL)
        env_stream_close(t->in, NULL, NULL);
    t->in = stream;
    t->in_status = 0;
    env_stream_read_start(stream, &in_callbacks, t);
}

void talker_start(struct talker *t, struct env *env)
{
    *t = (struct talker){.env = env};
    assert_int_equal(env_listen(env, "0.0.0.0", TALKER_PORT, &t->listener, on_accept, t), 0);
}

static void on_connect(void *data, struct env_stream *stream, int status)
{
    struct talker *t = data;
    t->connected = true;
    t->connect_status = status;
    if (status == 0)
        env_stream_read_start(stream, &out_callbacks, t);
}

void talker_connect(struct talker *t, const char *host)
{
    t->connected = false;
    t->out_status = 0;
    assert_int_equal(env_connect(t->env, host, TALKER_PORT, 2 * SECOND, &t->out, on_connect, t), 0);
}

struct message {
    struct env_write req;
    struct talker *talker;
};

static void on_written(struct env_write *req, int status)
{
    struct message *m = container_of(req, struct message, req);
    if (status == 0) {
        m->talker->written++;
    } else {
        m->talker->failed++;
        m->talker->write_status = status;
    }
    free(m);
}

void talker_send(struct talker *t, struct env_stream *stream, unsigned char first, size_t size)
{
    struct message *m = memory_zalloc(sizeof(*m));
    m->talker = t;
    struct slice s = {.owner = buf_create(size), .size = size};
    s.data = s.owner->data;
    for (size_t i = 0; i < size; i++)
        s.data[i] = (unsigned char)(first + i);
    assert_int_equal(env_stream_write(stream, &m->req, &s, 1, on_written), 0);
}

static void on_closed(void *data)
{
    struct talker *t = data;
    t->closed = true;
}

void talker_close(struct talker *t)
{
    if (t->out != NULL)
        env_stream_close(t->out, on_closed, t);
    if (t->in != NULL)
        env_stream_close(t->in, on_closed, t);
    env_listener_close(t->listener);
}

bool talker_connect_ended(void *talker)
{
    return ((struct talker *)talker)->connected;
}
