/* The real environment: a libuv loop of its own, timers on a timerfd, deferred tasks, signals. */
#include "node/env/env_uv.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_posix.h"
#include "proto/thread.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000 };

int env_uv_error(int status)
{
    switch (status) {
    case UV_EOF:
        return ERR_CLOSED;
    case UV_EAI_MEMORY:
        return ERR_OUT_OF_MEMORY;
    case UV_EAI_CANCELED:
        return ERR_CANCELED;
    case UV_EAI_AGAIN:
    case UV_EAI_FAIL:
    case UV_EAI_NODATA:
    case UV_EAI_NONAME:
    case UV_EAI_ADDRFAMILY:
        return ERR_UNREACHABLE; /* the host has no address */
    default:
        return error_from_errno(status);
    }
}

/* ---- clock and randomness ---- */

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t clock_ns(struct env *env)
{
    (void)env;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t now_ns(struct env *env)
{
    struct env_uv *e = env_uv_of(env);
    if (!e->turning) /* start-up may take long */
        return read_clock(CLOCK_MONOTONIC);
    if (e->now_ns == 0)
        e->now_ns = read_clock(CLOCK_MONOTONIC);
    return e->now_ns;
}

static int64_t wall_ms(struct env *env)
{
    (void)env;
    return (int64_t)(read_clock(CLOCK_REALTIME) / 1000000u);
}

static uint64_t random_number(struct env *env)
{
    return prng_next(&env_uv_of(env)->prng);
}

static void random_bytes(struct env *env, void *out, size_t size)
{
    (void)env;
    char *at = out;
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        ASSERT(n > 0); /* identifiers that might repeat are worse than no node */
        at += n;
        size -= (size_t)n;
    }
}

/* ---- timers ---- */

static void timer_fd_arm(struct env_uv *e, uint64_t deadline_ns)
{
    struct itimerspec when = {.it_value = {(time_t)(deadline_ns / NS_PER_S), (long)(deadline_ns % NS_PER_S)}};
    int rv = timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    ASSERT(rv == 0);
    e->armed_ns = deadline_ns;
}

static void on_timer_fd(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct env_uv *e = poll->data;
    uint64_t times;
    ssize_t n = read(e->timer_fd, &times, sizeof(times));
    if (n == sizeof(times))
        e->armed_ns = 0;
}

/* Whether the loop may block: no timer is due yet. The descriptor is armed only when the soonest deadline has
 * moved forward; waking once in vain costs less than a system call per restarted timer. */
static bool timers_prepare(struct env_uv *e)
{
    uint64_t next_ns = timer_heap_next(&e->base.timers);
    if (next_ns == UINT64_MAX)
        return true;
    if (next_ns <= read_clock(CLOCK_MONOTONIC))
        return false;
    if (e->armed_ns == 0 || next_ns < e->armed_ns)
        timer_fd_arm(e, next_ns);
    return true;
}

static void timers_init(struct env_uv *e)
{
    e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    ASSERT(e->timer_fd >= 0);
    int rv = uv_poll_init(&e->loop, &e->timer_poll, e->timer_fd);
    ASSERT(rv == 0);
    e->timer_poll.data = e;
    rv = uv_poll_start(&e->timer_poll, UV_READABLE, on_timer_fd);
    ASSERT(rv == 0);
    uv_unref((uv_handle_t *)&e->timer_poll);
}

/* ---- work ---- */

static void work(struct env *env, struct env_work *job)
{
    work_pool_submit(env_uv_of(env)->pool, job);
}

static void post(struct env *env, struct env_post *request)
{
    post_box_put(env_uv_of(env)->posts, request);
}

/* ---- the loop ---- */

/* All handles of our own are unreferenced, so the loop is alive by what the owner has open. */
static bool alive(struct env_uv *e)
{
    return timer_heap_next(&e->base.timers) != UINT64_MAX || env_has_deferred(&e->base) ||
           work_pool_outstanding(e->pool) > 0 || uv_loop_alive(&e->loop);
}

/* What this turn has put off: first what is to be sent, then the brief work, whose end may put off more.
 * Whether there was any: who runs the loop by turns may have waited for just that. */
static bool run_put_off(struct env_uv *e)
{
    enum { AT_MOST = 4 }; /* the sockets want their turn, too */
    int times = 0;
    env_run_deferred(&e->base);
    while (times < AT_MOST && work_pool_run_brief(e->pool)) {
        env_run_deferred(&e->base);
        times++;
    }
    return times > 0;
}

static void turn(struct env_uv *e, bool wait)
{
    e->turning = true;
    bool was_brief = run_put_off(e);
    wait = wait && !was_brief && timers_prepare(e) && !env_has_deferred(&e->base) &&
           !work_pool_brief_waits(e->pool);
    e->now_ns = 0;
    uv_ref((uv_handle_t *)&e->timer_poll); /* uv_run does not even look at a loop without references */
    uv_run(&e->loop, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    uv_unref((uv_handle_t *)&e->timer_poll);
    timer_heap_run(&e->base.timers, now_ns(&e->base));
    run_put_off(e);
    e->turning = false;
    e->now_ns = 0;
}

static void run(struct env *env)
{
    struct env_uv *e = env_uv_of(env);
    e->stopping = false;
    thread_turns_short(); /* and so for the workers */
    while (!e->stopping && alive(e))
        turn(e, true);
}

static void run_once(struct env *env, bool wait)
{
    struct env_uv *e = env_uv_of(env);
    turn(e, wait && alive(e));
}

static void stop(struct env *env)
{
    env_uv_of(env)->stopping = true;
}

/* ---- signals ---- */

struct signal_watch {
    struct queue node;
    uv_signal_t signal;
    void (*cb)(void *data, int signal);
    void *data;
};

static void on_signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_signal_received(uv_signal_t *handle, int signal)
{
    struct signal_watch *watch = handle->data;
    watch->cb(watch->data, signal);
}

static int on_signal(struct env *env, int signal, void (*cb)(void *data, int signal), void *data)
{
    struct env_uv *e = env_uv_of(env);
    struct signal_watch *watch = memory_zalloc(sizeof(*watch));
    int rv = uv_signal_init(&e->loop, &watch->signal);
    if (rv != 0) {
        free(watch);
        return env_uv_error(rv);
    }
    watch->signal.data = watch;
    watch->cb = cb;
    watch->data = data;
    rv = uv_signal_start(&watch->signal, on_signal_received, signal);
    if (rv != 0) {
        uv_close((uv_handle_t *)&watch->signal, on_signal_closed);
        return env_uv_error(rv);
    }
    uv_unref((uv_handle_t *)&watch->signal);
    queue_push(&e->signals, &watch->node);
    return 0;
}

static void signals_close(struct env_uv *e)
{
    while (!queue_empty(&e->signals)) {
        struct signal_watch *watch = QUEUE_ENTRY(queue_first(&e->signals), struct signal_watch, node);
        queue_remove(&watch->node);
        uv_close((uv_handle_t *)&watch->signal, on_signal_closed);
    }
}

/* ---- create and destroy ---- */

static void destroy(struct env *env)
{
    struct env_uv *e = env_uv_of(env);
    ASSERT(e->open == 0);
    while (uv_loop_alive(&e->loop) || env_has_deferred(env) || work_pool_outstanding(e->pool) > 0)
        turn(e, true);
    signals_close(e);
    work_pool_destroy(e->pool);
    post_box_destroy(e->posts);
    uv_close((uv_handle_t *)&e->timer_poll, NULL);
    uv_run(&e->loop, UV_RUN_DEFAULT);
    close(e->timer_fd);
    int rv = uv_loop_close(&e->loop);
    ASSERT(rv == 0);
    env_close(env);
    free(e);
}

static const struct env_ops ops = {
    .now_ns = now_ns,
    .clock_ns = clock_ns,
    .wall_ms = wall_ms,
    .random = random_number,
    .random_bytes = random_bytes,
    .work = work,
    .post = post,
    .file_open = posix_file_open,
    .dir_create = posix_dir_create,
    .dir_sync = posix_dir_sync,
    .dir_list = posix_dir_list,
    .rename = posix_rename,
    .remove = posix_remove,
    .dir_remove = posix_dir_remove,
    .free_space = posix_free_space,
    .connect = uv_stream_connect,
    .listen = uv_listener_listen,
    .run = run,
    .run_once = run_once,
    .stop = stop,
    .on_signal = on_signal,
    .destroy = destroy,
};

struct env *env_uv_create(uint64_t seed)
{
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of the write, not the end of the process */
    struct env_uv *e = memory_zalloc(sizeof(*e));
    env_init(&e->base, &ops);
    int rv = uv_loop_init(&e->loop);
    ASSERT(rv == 0);
    queue_init(&e->signals);
    timers_init(e);
    e->pool = work_pool_create(&e->loop);
    e->posts = post_box_create(&e->loop);
    if (seed == 0)
        random_bytes(&e->base, &seed, sizeof(seed));
    prng_init(&e->prng, seed);
    return &e->base;
}
