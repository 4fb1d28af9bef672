#include "node/base/assert.h"
#include "node/env/env_ops.h"
#include "node/env/sabotage.h"
#include <string.h>

void env_init(struct env *env, const struct env_ops *ops)
{
    env->ops = ops;
    timer_heap_init(&env->timers);
    queue_init(&env->deferred);
    env->sabotage = 0;
    env->small_bounds = 0;
    memset(env->bounds_passed, 0, sizeof(env->bounds_passed));
}

void env_close(struct env *env)
{
    timer_heap_close(&env->timers);
}

bool env_sabotaged(const struct env *env, enum sabotage sabotage)
{
    return (env->sabotage >> sabotage & 1) != 0;
}

size_t env_bound(const struct env *env, enum bound bound, size_t usual, size_t small)
{
    return (env->small_bounds >> bound & 1) != 0 ? small : usual;
}

void env_bound_passed(struct env *env, enum bound bound)
{
    env->bounds_passed[bound]++;
}

/* ---- clock and randomness ---- */

uint64_t env_now_ns(struct env *env)
{
    return env->ops->now_ns(env);
}

uint64_t env_clock_ns(struct env *env)
{
    return env->ops->clock_ns(env);
}

int64_t env_wall_ms(struct env *env)
{
    return env->ops->wall_ms(env);
}

uint64_t env_random(struct env *env)
{
    return env->ops->random(env);
}

void env_random_bytes(struct env *env, void *out, size_t size)
{
    env->ops->random_bytes(env, out, size);
}

/* ---- timers and deferred work ---- */

void env_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ns,
                     void (*cb)(struct env_timer *timer))
{
    uint64_t now_ns = env_now_ns(env);
    timer->cb = cb;
    timer_heap_start(&env->timers, timer,
                     delay_ns < UINT64_MAX - now_ns ? now_ns + delay_ns : UINT64_MAX - 1);
}

void env_timer_stop(struct env *env, struct env_timer *timer)
{
    timer_heap_stop(&env->timers, timer);
}

static bool task_waiting(const struct env_task *task)
{
    return task->node.next != NULL && !queue_empty(&task->node);
}

void env_defer(struct env *env, struct env_task *task, void (*cb)(struct env_task *task))
{
    if (task_waiting(task))
        return;
    task->cb = cb;
    queue_push(&env->deferred, &task->node);
}

void env_task_cancel(struct env *env, struct env_task *task)
{
    (void)env;
    if (task_waiting(task))
        queue_remove(&task->node);
}

void env_run_deferred(struct env *env)
{
    enum { ROUNDS = 8 };
    for (int round = 0; round < ROUNDS && !queue_empty(&env->deferred); round++) {
        struct queue batch;
        queue_init(&batch);
        queue_move(&env->deferred, &batch);
        while (!queue_empty(&batch)) {
            struct env_task *task = QUEUE_ENTRY(queue_first(&batch), struct env_task, node);
            queue_remove(&task->node);
            task->cb(task);
        }
    }
}

static void submit_work(struct env *env, struct env_work *job, void (*work)(struct env_work *job),
                        void (*done)(struct env_work *job), bool brief)
{
    job->work = work;
    job->done = done;
    job->brief = brief;
    env->ops->work(env, job);
}

void env_work(struct env *env, struct env_work *job, void (*work)(struct env_work *job),
              void (*done)(struct env_work *job))
{
    submit_work(env, job, work, done, false);
}

void env_work_brief(struct env *env, struct env_work *job, void (*work)(struct env_work *job),
                    void (*done)(struct env_work *job))
{
    submit_work(env, job, work, done, true);
}

void env_post(struct env *env, struct env_post *post, void (*cb)(struct env_post *post))
{
    post->cb = cb;
    env->ops->post(env, post);
}

/* ---- files ---- */

int env_file_open(struct env *env, const char *path, int flags, struct env_file **file)
{
    ASSERT((flags & (ENV_READ | ENV_WRITE)) != 0);
    return env->ops->file_open(env, path, flags, file);
}

void env_file_close(struct env *env, struct env_file *file)
{
    (void)env;
    file->ops->close(file);
}

ssize_t env_file_read(struct env_file *file, void *data, size_t size, uint64_t position)
{
    return file->ops->read(file, data, size, position);
}

int env_file_write(struct env_file *file, const struct env_iovec *iov, unsigned n, uint64_t position)
{
    return file->ops->write(file, iov, n, position);
}

int env_file_sync(struct env_file *file)
{
    return file->ops->sync(file);
}

int env_file_allocate(struct env_file *file, uint64_t position, uint64_t size)
{
    return file->ops->allocate(file, position, size);
}

int env_file_truncate(struct env_file *file, uint64_t size)
{
    return file->ops->truncate(file, size);
}

int env_file_size(struct env_file *file, uint64_t *size)
{
    return file->ops->size(file, size);
}

int env_file_lock(struct env_file *file)
{
    return file->ops->lock(file);
}

int env_dir_create(struct env *env, const char *path)
{
    return env->ops->dir_create(env, path);
}

int env_dir_sync(struct env *env, const char *path)
{
    return env->ops->dir_sync(env, path);
}

int env_dir_list(struct env *env, const char *path, void (*each)(void *data, const char *name), void *data)
{
    return env->ops->dir_list(env, path, each, data);
}

int env_rename(struct env *env, const char *from, const char *to)
{
    return env->ops->rename(env, from, to);
}

int env_remove(struct env *env, const char *path)
{
    return env->ops->remove(env, path);
}

int env_dir_remove(struct env *env, const char *path)
{
    return env->ops->dir_remove(env, path);
}

int env_free_space(struct env *env, const char *path, uint64_t *bytes)
{
    return env->ops->free_space(env, path, bytes);
}

/* ---- streams ---- */

int env_connect(struct env *env, const char *host, uint16_t port, uint64_t timeout_ns,
                struct env_stream **stream, void (*cb)(void *data, struct env_stream *stream, int status),
                void *data)
{
    return env->ops->connect(env, host, port, timeout_ns, stream, cb, data);
}

int env_listen(struct env *env, const char *host, uint16_t port, struct env_listener **listener,
               void (*cb)(void *data, struct env_stream *stream), void *data)
{
    return env->ops->listen(env, host, port, listener, cb, data);
}

uint16_t env_listener_port(const struct env_listener *listener)
{
    return listener->ops->port(listener);
}

void env_listener_close(struct env_listener *listener)
{
    listener->ops->close(listener);
}

void env_stream_read_start(struct env_stream *stream, const struct env_stream_callbacks *callbacks,
                           void *data)
{
    stream->ops->read_start(stream, callbacks, data);
}

void env_stream_read_stop(struct env_stream *stream)
{
    stream->ops->read_stop(stream);
}

void env_stream_read_resume(struct env_stream *stream)
{
    stream->ops->read_resume(stream);
}

int env_stream_write(struct env_stream *stream, struct env_write *req, const struct slice *slices, unsigned n,
                     void (*cb)(struct env_write *req, int status))
{
    return stream->ops->write(stream, req, slices, n, cb);
}

size_t env_stream_pending(const struct env_stream *stream)
{
    return stream->ops->pending(stream);
}

const char *env_stream_peer(const struct env_stream *stream)
{
    return stream->ops->peer(stream);
}

const char *env_stream_local_host(const struct env_stream *stream)
{
    return stream->ops->local_host != NULL ? stream->ops->local_host(stream) : "";
}

bool env_stream_is_loopback(const struct env_stream *stream)
{
    return stream->ops->is_loopback(stream);
}

void env_stream_close(struct env_stream *stream, void (*cb)(void *data), void *data)
{
    stream->ops->close(stream, cb, data);
}

/* ---- the loop ---- */

void env_run(struct env *env)
{
    env->ops->run(env);
}

void env_run_once(struct env *env, bool wait)
{
    env->ops->run_once(env, wait);
}

void env_stop(struct env *env)
{
    env->ops->stop(env);
}

int env_on_signal(struct env *env, int signal, void (*cb)(void *data, int signal), void *data)
{
    return env->ops->on_signal(env, signal, cb, data);
}

void env_destroy(struct env *env)
{
    env->ops->destroy(env);
}
