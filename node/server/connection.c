#include "node/server/connection.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>

#define MS ((uint64_t)1000000)

static void on_alloc(void *data, unsigned char **into, size_t *size);
static void on_read(void *data, ssize_t n);
static const struct env_stream_callbacks stream_callbacks = {on_alloc, on_read};

/* ---- open and close ---- */

struct connection *connection_create(struct server *s, const struct connection_protocol *protocol,
                                     struct env_stream *stream)
{
    struct connection *c = memory_zalloc(protocol->size);
    c->protocol = protocol;
    c->server = s;
    c->stream = stream;
    queue_init(&c->writes);
    queue_push(&s->connections, &c->node);
    protocol->open(c);
    env_stream_read_start(stream, &stream_callbacks, c);
    return c;
}

static void on_stream_closed(void *data)
{
    struct connection *c = data;
    struct server *s = c->server;
    ASSERT(queue_empty(&c->writes));
    free(c->out);
    free(c);
    server_connection_closed(s);
}

void connection_close(struct connection *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    struct server *s = c->server;
    c->state = CONNECTION_CLOSED;
    env_timer_stop(s->env, &c->timer);
    env_task_cancel(s->env, &c->flush);
    env_task_cancel(s->env, &c->resume);
    c->protocol->detach(c);
    connection_drop_output(c);
    if (!c->parsing)
        frame_input_close(&c->input);
    queue_remove(&c->node);
    env_stream_close(c->stream, on_stream_closed, c);
}

static void on_finish_timeout(struct env_timer *timer)
{
    connection_close(container_of(timer, struct connection, timer));
}

void connection_finish(struct connection *c)
{
    if (!connection_is_open(c))
        return;
    c->state = CONNECTION_FINISHING;
    if (c->paused)
        env_stream_read_resume(c->stream);
    env_timer_start(c->server->env, &c->timer, CONNECTION_FINISH_TIMEOUT_MS * MS, on_finish_timeout);
    connection_flush_later(c); /* notices when there is nothing to send */
}

void connection_said_all(struct connection *c)
{
    env_timer_start(c->server->env, &c->timer, CONNECTION_LINGER_MS * MS, on_finish_timeout);
}

void connection_fail(struct connection *c, int error, const char *message)
{
    if (!connection_is_open(c))
        return;
    c->server->counters.protocol_errors++;
    c->protocol->say_why(c, error, message);
    connection_finish(c);
}

static void finish_when_drained(struct connection *c)
{
    if (!c->server->draining || !connection_is_open(c) || c->request_count > 0)
        return;
    c->protocol->say_why(c, ERR_SHUTTING_DOWN, "this node is stopping; connect to another one");
    connection_finish(c);
}

void connection_drain(struct connection *c)
{
    c->protocol->end_streams(c, ERR_SHUTTING_DOWN);
    finish_when_drained(c);
}

/* ---- input ---- */

static size_t load(const struct connection *c)
{
    return c->charged_bytes > c->unsent_bytes ? c->charged_bytes : c->unsent_bytes;
}

static size_t limit(const struct connection *c)
{
    size_t own = c->server->config->connection_bytes;
    size_t share = server_fair_share(c->server);
    return own > share && server_is_full(c->server) ? share : own;
}

bool connection_output_full(const struct connection *c)
{
    return c->unsent_bytes > limit(c);
}

static bool must_wait(const struct connection *c)
{
    return c->held || load(c) > limit(c);
}

static void pause_reading(struct connection *c)
{
    if (c->paused)
        return;
    c->paused = true;
    c->server->counters.pauses++;
    env_stream_read_stop(c->stream);
}

static void refuse_foreign(struct connection *c, const char *protocol)
{
    LOG_REFUSAL(c, "closed a connection that speaks another protocol", "peer=%s port=%s protocol=%s",
                env_stream_peer(c->stream), c->protocol->door, protocol);
    c->server->counters.protocol_errors++;
    connection_close(c);
}

static void refuse_bytes(struct connection *c, int error)
{
    char message[96];
    if (error == ERR_TOO_LARGE)
        snprintf(message, sizeof(message), "the frame is longer than this node accepts");
    else
        snprintf(message, sizeof(message), "these bytes are not a frame of the %s protocol",
                 c->protocol->language);
    LOG_REFUSAL(c, "closed a connection that sent a bad frame", "peer=%s port=%s error=%s",
                env_stream_peer(c->stream), c->protocol->door, error_name(error));
    connection_fail(c, error, message);
}

/* Waiting would not help: everybody's half frames would wait for each other. */
static void refuse_large_frame(struct connection *c)
{
    LOG_REFUSAL(c, "closed a connection with a large frame: clients-bytes is used up", "peer=%s",
                env_stream_peer(c->stream));
    connection_fail(c, ERR_OVERLOADED,
                    "this node's memory for requests (clients-bytes) is used up; try again later");
    frame_input_close(&c->input);
}

static void parse_frames(struct connection *c)
{
    while (connection_is_open(c) && !must_wait(c)) {
        int rv = c->protocol->next_frame(c);
        if (rv == 0)
            return;
        if (rv < 0)
            refuse_bytes(c, rv);
    }
}

static const char *speaks_another(const struct connection *c)
{
    const void *first = frame_input_first(&c->input);
    return first != NULL ? c->protocol->foreign(first) : NULL;
}

static void process_input(struct connection *c)
{
    const char *foreign = speaks_another(c);
    c->parsing = true;
    if (foreign != NULL)
        refuse_foreign(c, foreign);
    parse_frames(c);
    c->parsing = false;
    if (!connection_is_open(c)) {
        frame_input_close(&c->input);
        return;
    }
    frame_input_settle(&c->input);
    if (server_is_full(c->server) && frame_input_held(&c->input) > server_fair_share(c->server))
        refuse_large_frame(c);
    else if (must_wait(c))
        pause_reading(c);
}

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct connection *c = data;
    frame_input_space(&c->input, into, size);
}

static void on_read(void *data, ssize_t n)
{
    struct connection *c = data;
    if (n < 0) {
        LOG(c->server->logger, LOG_DEBUG, "client connection ended", "peer=%s reason=%s",
            env_stream_peer(c->stream), error_name((int)n));
        connection_close(c);
        return;
    }
    c->server->counters.received_bytes += (uint64_t)n;
    frame_input_filled(&c->input, (size_t)n);
    if (connection_is_open(c))
        process_input(c);
    else
        frame_input_close(&c->input);
}

static void on_resume(struct env_task *task)
{
    struct connection *c = container_of(task, struct connection, resume);
    if (!connection_is_open(c) || must_wait(c))
        return;
    c->paused = false;
    process_input(c); /* frames that came before the pause */
    if (connection_is_open(c) && !c->paused)
        env_stream_read_resume(c->stream);
}

void connection_hold(struct connection *c)
{
    c->held = true;
    if (connection_is_open(c) && !c->parsing)
        pause_reading(c);
}

void connection_release(struct connection *c)
{
    c->held = false;
    if (c->paused && connection_is_open(c))
        env_defer(c->server->env, &c->resume, on_resume);
}

void connection_request_begun(struct connection *c, size_t charged_bytes)
{
    c->request_count++;
    c->charged_bytes += charged_bytes;
}

void connection_request_ended(struct connection *c, size_t charged_bytes)
{
    c->request_count--;
    c->charged_bytes -= charged_bytes;
}

void connection_request_done(struct connection *c)
{
    /* Half the limit, so that reading does not stop and go with every answer. */
    if (c->paused && connection_is_open(c) && load(c) <= limit(c) / 2)
        env_defer(c->server->env, &c->resume, on_resume);
    finish_when_drained(c);
}
