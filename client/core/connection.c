/* The life of a connection: connecting, greeting, liveness, the end. */
#include "client/core/connection.h"
#include <stdarg.h>

static void endpoint_on_timer(struct core *core, struct core_timer *timer);

static void on_hello(struct core *core, struct core_request *request, int status,
                     const struct core_frame *frame);

void core_endpoint_init(struct core *core, struct core_endpoint *e, const char *host, uint16_t port,
                        uint32_t node_id)
{
    e->core = core;
    e->number = core->endpoint_count;
    snprintf(e->host, sizeof(e->host), "%s", host);
    e->port = port;
    e->node_id = node_id;
    e->listed = true;
    e->alive = true;
    e->timer.cb = endpoint_on_timer;
    e->hello.done = on_hello;
    e->ping.done = core_request_ignore;
    TAILQ_INIT(&e->out);
    core->endpoints[core->endpoint_count++] = e;
}

void core_endpoint_close(struct core_endpoint *e)
{
    core_timer_clear(&e->core->timers, &e->timer);
    core_output_reset(e, ERR_CANCELED);
    core_input_reset(e);
    core_requests_reset(e);
}

static void endpoint_connect(struct core_endpoint *e)
{
    struct core *core = e->core;

    e->state = ENDPOINT_CONNECTING;
    e->wanted = false;
    core->totals.connects++;
    e->first_correlation = e->next_correlation = 1;
    core_timer_set(&core->timers, &e->timer,
                   core->now + (uint64_t)core->settings.connect_timeout_ms * CORE_MS);
    core->io.connect(core->io.data, e->number, e->host, e->port);
}

void core_endpoint_want(struct core_endpoint *e)
{
    if (e->state != ENDPOINT_IDLE || e->core->stopping)
        return;
    if (e->retry_ns <= e->core->now) {
        endpoint_connect(e);
        return;
    }
    e->wanted = true;
    core_timer_set(&e->core->timers, &e->timer, e->retry_ns);
}

bool core_endpoint_is_hopeful(const struct core_endpoint *e)
{
    return e->state == ENDPOINT_READY || (e->failing_since_ns == 0 && e->state != ENDPOINT_CLOSING);
}

void core_connected(struct core *core, uint32_t connection)
{
    struct core_endpoint *e = core->endpoints[connection];
    const struct client_settings *s = &core->settings;
    Flotilla__HelloRequest hello = FLOTILLA__HELLO_REQUEST__INIT;

    if (e->state != ENDPOINT_CONNECTING)
        return;
    e->state = ENDPOINT_GREETING;
    e->heard_ns = core->now;
    e->view = 0;
    core_input_begin(e);
    core_timer_set(&core->timers, &e->timer, core->now + (uint64_t)s->request_timeout_ms * CORE_MS);
    hello.min_version = FRAME_PROTOCOL_MIN;
    hello.max_version = FRAME_PROTOCOL_MAX;
    hello.client_id = (char *)s->client_id;
    hello.software = "libflotilla " FLOTILLA_VERSION;
    hello.cluster_id = (char *)s->cluster_id;
    core_endpoint_request(e, &e->hello, FRAME_HELLO, &hello.base, NULL);
    core_run(core);
}

static void on_hello(struct core *core, struct core_request *request, int status,
                     const struct core_frame *frame)
{
    struct core_endpoint *e =
        (struct core_endpoint *)((char *)request - offsetof(struct core_endpoint, hello));

    if (status != 0)
        return;
    Flotilla__HelloResponse *hello = flotilla__hello_response__unpack(
        arena_allocator(&core->arena), frame->head.header_length, frame->header);
    if (hello == NULL) {
        core_endpoint_fail(e, ERR_PROTOCOL, "malformed answer to the greeting");
        return;
    }
    if (hello->status != NULL && hello->status->error != 0) {
        core_endpoint_fail(e, hello->status->error, "refused: %s", hello->status->message);
        return;
    }
    if (e->node_id != 0 && hello->node_id != e->node_id) {
        core_endpoint_fail(e, ERR_NODE_MISMATCH, "is node %u, not node %u", hello->node_id, e->node_id);
        return;
    }
    e->state = ENDPOINT_READY;
    e->connection = ++core->connections_made;
    e->failing_since_ns = 0;
    core_timer_clear(&core->timers, &e->timer);
    core_endpoint_listen(e);
    core_log(core, FLOTILLA_LOG_DEBUG, "msg=connected node=%u address=%s:%u", hello->node_id, e->host,
             e->port);
    core_metadata_on_ready(core, e);
    core_wake_all(core);
}

static void endpoint_lost(struct core_endpoint *e, int status)
{
    struct core *core = e->core;

    bool is_first = e->failing_since_ns == 0;
    core->totals.connection_losses += is_first;
    if (is_first) {
        e->failing_since_ns = core->now;
        core_metadata_renew(core);
    }
    e->retry_ns = core->now + core_pause(core, e->failing_since_ns);
    e->subscriptions = 0;
    core_log(core, is_first ? FLOTILLA_LOG_WARNING : FLOTILLA_LOG_DEBUG,
             "msg=\"connection lost\" node=%u address=%s:%u error=%s reason=\"%s\"", e->node_id, e->host,
             e->port, error_name(status), e->reason);
    core_requests_fail(e, status);
    core_wake_all(core);
}

void core_endpoint_fail(struct core_endpoint *e, int status, const char *format, ...)
{
    va_list arguments;

    if (e->state == ENDPOINT_IDLE || e->state == ENDPOINT_CLOSING)
        return;
    va_start(arguments, format);
    vsnprintf(e->reason, sizeof(e->reason), format, arguments);
    va_end(arguments);
    e->state = ENDPOINT_CLOSING;
    core_timer_clear(&e->core->timers, &e->timer);
    e->core->io.close(e->core->io.data, e->number);
    endpoint_lost(e, status);
}

void core_disconnected(struct core *core, uint32_t connection, int reason)
{
    struct core_endpoint *e = core->endpoints[connection];
    bool was_closing = e->state == ENDPOINT_CLOSING;

    if (reason == 0)
        reason = ERR_CLOSED;
    e->state = ENDPOINT_IDLE;
    core_timer_clear(&core->timers, &e->timer);
    core_output_reset(e, ERR_CONNECTION_LOST);
    core_input_reset(e);
    if (!was_closing) {
        snprintf(e->reason, sizeof(e->reason), "%s", error_text(reason));
        endpoint_lost(e, reason);
    } else {
        core_wake_all(core);
    }
    core_run(core);
}

/* ---- liveness ---- */

static uint64_t silence_limit(const struct core *core)
{
    return (uint64_t)core->settings.request_timeout_ms * CORE_MS;
}

static bool endpoint_is_waiting(const struct core_endpoint *e)
{
    return e->outstanding > 0 || e->subscriptions > 0;
}

void core_endpoint_listen(struct core_endpoint *e)
{
    struct core *core = e->core;

    if (e->state != ENDPOINT_READY || e->timer.place != 0 || !endpoint_is_waiting(e))
        return;
    e->heard_ns = core->now;
    core_timer_set(&core->timers, &e->timer, core->now + silence_limit(core) / 2);
}

/* A node that owes an answer and is silent for half the limit is asked for a sign of life, and is given up at
 * the limit. A frozen process keeps its connections open: only silence tells. */
static void endpoint_check_silence(struct core_endpoint *e, uint64_t due_ns)
{
    struct core *core = e->core;
    uint64_t limit = silence_limit(core);

    if (!endpoint_is_waiting(e))
        return;
    /* If this process itself slept, the silence proves nothing. */
    if (core->now - due_ns > limit / 2)
        e->heard_ns = core->now - limit / 2;
    uint64_t silence = core->now - e->heard_ns;
    if (silence >= limit) {
        core_endpoint_fail(e, ERR_CONNECTION_LOST, "silent for %llu ms",
                           (unsigned long long)(silence / CORE_MS));
        return;
    }
    /* Armed before the ping is sent, which would else begin a new wait. */
    core_timer_set(&core->timers, &e->timer, e->heard_ns + (silence >= limit / 2 ? limit : limit / 2));
    if (silence >= limit / 2 && e->ping.endpoint == NULL) {
        Flotilla__PingRequest ping = FLOTILLA__PING_REQUEST__INIT;
        core_endpoint_request(e, &e->ping, FRAME_PING, &ping.base, NULL);
    }
}

static void endpoint_on_timer(struct core *core, struct core_timer *timer)
{
    struct core_endpoint *e = (struct core_endpoint *)((char *)timer - offsetof(struct core_endpoint, timer));

    switch (e->state) {
    case ENDPOINT_IDLE:
        if (e->wanted && !core->stopping)
            endpoint_connect(e);
        break;
    case ENDPOINT_CONNECTING:
        core_endpoint_fail(e, ERR_UNREACHABLE, "no connection within %lld ms",
                           (long long)core->settings.connect_timeout_ms);
        break;
    case ENDPOINT_GREETING:
        core_endpoint_fail(e, ERR_CONNECTION_LOST, "no answer to the greeting within %lld ms",
                           (long long)core->settings.request_timeout_ms);
        break;
    case ENDPOINT_READY:
        endpoint_check_silence(e, timer->at_ns);
        break;
    case ENDPOINT_CLOSING:
        break;
    }
}
