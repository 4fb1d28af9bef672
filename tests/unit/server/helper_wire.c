#include "tests/unit/server/helper_wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WAIT_MS = 20000 };

/* ---- waiting ---- */

static void on_tick(struct env_timer *timer)
{
    (void)timer;
}

void run_until(struct env *env, bool (*done)(void *data), void *data, uint64_t timeout_ms)
{
    struct env_timer tick = {0};
    uint64_t deadline_ns = env_clock_ns(env) + timeout_ms * 1000000;
    while (!done(data)) {
        if (env_clock_ns(env) > deadline_ns)
            fail_msg("waited %llu ms in vain", (unsigned long long)timeout_ms);
        env_timer_start(env, &tick, 20 * 1000000, on_tick); /* looks again even when nothing happens */
        env_run_once(env, true);
    }
    env_timer_stop(env, &tick);
}

void wire_wait(struct wire *w, bool (*done)(void *data), void *data)
{
    run_until(w->env, done, data, WAIT_MS);
}

/* ---- the stream ---- */

static void on_connected(void *data, struct env_stream *stream, int status)
{
    struct wire *w = data;
    w->connected = true;
    w->status = status;
    if (status == 0)
        env_stream_read_start(stream, w->callbacks, w->data);
}

static bool is_connected(void *data)
{
    return ((struct wire *)data)->connected;
}

void wire_open(struct wire *w, struct env *env, uint16_t port, const struct env_stream_callbacks *callbacks,
               void *data)
{
    *w = (struct wire){.env = env, .callbacks = callbacks, .data = data};
    assert_int_equal(env_connect(env, "127.0.0.1", port, (uint64_t)5000000000, &w->stream, on_connected, w),
                     0);
    wire_wait(w, is_connected, w);
    assert_int_equal(w->status, 0);
}

static void on_closed(void *data)
{
    ((struct wire *)data)->closed = true;
}

static bool is_closed(void *data)
{
    return ((struct wire *)data)->closed;
}

void wire_close(struct wire *w)
{
    env_stream_close(w->stream, on_closed, w);
    wire_wait(w, is_closed, w);
}

static void on_written(struct env_write *req, int status)
{
    (void)status;
    free(req);
}

void wire_send(struct wire *w, struct slice slice)
{
    struct env_write *req = calloc(1, sizeof(*req));
    if (env_stream_write(w->stream, req, &slice, 1, on_written) != 0) {
        slice_unref(&slice);
        free(req);
    }
}

void wire_ended(struct wire *w, int status)
{
    w->ended = true;
    w->status = status;
}

static bool has_ended(void *data)
{
    return ((struct wire *)data)->ended;
}

void wire_wait_end(struct wire *w)
{
    wire_wait(w, has_ended, w);
}
