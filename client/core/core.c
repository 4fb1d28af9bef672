#include "client/core/internal.h"
#include "proto/bytes.h"
#include <stdarg.h>

enum {
    ARENA_LIMIT = 64 * 1024 * 1024,
    STATUS_TAG = 1 << 3 | 2, /* field 1 of every answer, a message */
};

void *core_alloc(size_t size)
{
    void *p = calloc(1, size);

    if (p == NULL)
        abort();
    return p;
}

static uint64_t statistics_interval(const struct core *core)
{
    return (uint64_t)core->settings.statistics_interval_ms * CORE_MS;
}

static void tell_statistics(struct core *core, struct core_timer *timer)
{
    struct flotilla_statistics now;

    core_statistics(core, &now);
    core->settings.statistics_cb(core->settings.statistics_data, &now);
    core_timer_set(&core->timers, timer, core->now + statistics_interval(core));
}

void core_statistics(const struct core *core, struct flotilla_statistics *out)
{
    *out = core->totals;
    for (uint32_t i = 0; i < core->endpoint_count; i++) {
        out->connections += core->endpoints[i]->state == ENDPOINT_READY;
        out->requests_waiting += core->endpoints[i]->outstanding;
    }
}

struct core *core_create(const struct client_settings *settings, const struct core_io *io, uint64_t seed,
                         uint64_t now_ns)
{
    struct core *core = core_alloc(sizeof(*core));

    core->settings = *settings;
    core->io = *io;
    core->random = seed;
    core->now = now_ns;
    arena_init(&core->arena, ARENA_LIMIT);
    TAILQ_INIT(&core->work);
    TAILQ_INIT(&core->calls);
    TAILQ_INIT(&core->producers);
    TAILQ_INIT(&core->consumers);
    core_metadata_init(core);
    core->statistics_timer.cb = tell_statistics;
    if (settings->statistics_cb != NULL)
        core_timer_set(&core->timers, &core->statistics_timer, now_ns + statistics_interval(core));
    return core;
}

void core_destroy(struct core *core)
{
    core_calls_cancel(core);
    core_metadata_close(core);
    for (uint32_t i = 0; i < core->endpoint_count; i++) {
        core_endpoint_close(core->endpoints[i]);
        free(core->endpoints[i]);
    }
    core_timer_clear(&core->timers, &core->statistics_timer);
    core_timers_close(&core->timers);
    arena_close(&core->arena);
    free(core);
}

bool core_add_bootstrap(struct core *core, const char *host, uint16_t port)
{
    if (core->endpoint_count == CORE_MAX_CONNECTIONS || strlen(host) >= sizeof(core->endpoints[0]->host))
        return false;
    struct core_endpoint *e = core_alloc(sizeof(*e));
    core_endpoint_init(core, e, host, port, 0);
    return true;
}

void core_stop(struct core *core)
{
    core->stopping = true;
    core_calls_cancel(core);
}

const struct client_settings *core_settings(const struct core *core)
{
    return &core->settings;
}

/* splitmix64 (Steele, Lea, Flood). */
uint64_t core_random(struct core *core)
{
    uint64_t z = core->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void core_log(struct core *core, enum flotilla_log_level level, const char *format, ...)
{
    char message[2 * CORE_MESSAGE_SIZE];
    va_list arguments;

    if (core->settings.log_cb == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    core->settings.log_cb(core->settings.log_data, level, message);
}

/* An eighth of jitter keeps clients from marching in step. */
uint64_t core_pause(struct core *core, uint64_t failing_since_ns)
{
    uint64_t pause = (core->now - failing_since_ns) / 4;

    if (pause < CORE_BACKOFF_MIN_MS * CORE_MS)
        pause = CORE_BACKOFF_MIN_MS * CORE_MS;
    if (pause > CORE_BACKOFF_MAX_MS * CORE_MS)
        pause = CORE_BACKOFF_MAX_MS * CORE_MS;
    return pause - core_random(core) % (pause / 8);
}

/* ---- work ---- */

void core_work_queue(struct core *core, struct core_work *work)
{
    if (work->queued)
        return;
    work->queued = true;
    TAILQ_INSERT_TAIL(&core->work, work, link);
}

void core_work_cancel(struct core *core, struct core_work *work)
{
    if (!work->queued)
        return;
    work->queued = false;
    TAILQ_REMOVE(&core->work, work, link);
}

void core_wake_all(struct core *core)
{
    core_calls_wake(core);
    core_producers_wake(core);
    core_consumers_wake(core);
}

static void announce_output(struct core *core)
{
    for (uint32_t i = 0; i < core->endpoint_count; i++) {
        struct core_endpoint *e = core->endpoints[i];
        if (!e->has_output)
            continue;
        e->has_output = false;
        core->io.output(core->io.data, e->number);
    }
}

/* Ends every input: what became possible is done, and what that produced is offered to the driver. */
void core_run(struct core *core)
{
    struct core_work *work;

    while ((work = TAILQ_FIRST(&core->work)) != NULL) {
        core_work_cancel(core, work);
        work->run(core, work);
    }
    announce_output(core);
}

void core_advance(struct core *core, uint64_t now_ns)
{
    struct core_timer *timer;

    if (now_ns > core->now)
        core->now = now_ns;
    while ((timer = core_timers_pop(&core->timers, core->now)) != NULL)
        timer->cb(core, timer);
    core_run(core);
}

uint64_t core_deadline(const struct core *core)
{
    return core_timers_next(&core->timers);
}

/* ---- errors ---- */

bool core_error_is_retriable(int error)
{
    return error_class_of(error) == ERROR_RETRIABLE || core_error_is_unknown(error);
}

bool core_error_is_unknown(int error)
{
    return error_class_of(error) == ERROR_OUTCOME_UNKNOWN || error == ERR_CONNECTION_LOST ||
           error == ERR_CLOSED || error == ERR_PROTOCOL;
}

/* The smallest of the answers reads the status from all. */
static const Flotilla__Status *status_unpack_anywhere(struct core *core, const void *header, size_t size)
{
    static const Flotilla__Status success = FLOTILLA__STATUS__INIT;

    Flotilla__PingResponse *m = flotilla__ping_response__unpack(arena_allocator(&core->arena), size, header);
    if (m == NULL)
        return NULL;
    return m->status != NULL ? m->status : &success;
}

const Flotilla__Status *core_status_unpack(struct core *core, const void *header, size_t size)
{
    static const Flotilla__Status malformed = {PROTOBUF_C_MESSAGE_INIT(&flotilla__status__descriptor),
                                               ERR_PROTOCOL, "malformed answer", 0, 0};
    const Flotilla__Status *status = NULL;
    struct reader r;

    reader_init(&r, header, size);
    if (reader_u8(&r) == STATUS_TAG) { /* as nodes write it: nothing else is looked at */
        size_t status_size = zigzag_encode(reader_varint(&r));
        const unsigned char *at = reader_bytes(&r, status_size);
        if (at != NULL)
            status = flotilla__status__unpack(arena_allocator(&core->arena), status_size, at);
    } else {
        status = status_unpack_anywhere(core, header, size);
    }
    return status != NULL ? status : &malformed;
}
