/* What an implementation of the environment provides; for implementations only. env.c dispatches to it and
 * keeps what they share: the timer heap and the list of deferred tasks. */
#ifndef ENV_ENV_OPS_H
#define ENV_ENV_OPS_H

#include "node/env/bounds.h"
#include "node/env/env.h"
#include "node/env/timer_heap.h"

struct env_ops {
    uint64_t (*now_ns)(struct env *env);
    uint64_t (*clock_ns)(struct env *env);
    int64_t (*wall_ms)(struct env *env);
    uint64_t (*random)(struct env *env);
    void (*random_bytes)(struct env *env, void *out, size_t size);
    /* job->work, job->done and job->brief are set. */
    void (*work)(struct env *env, struct env_work *job);
    /* post->cb is set. Any thread. */
    void (*post)(struct env *env, struct env_post *post);

    int (*file_open)(struct env *env, const char *path, int flags, struct env_file **file);
    int (*dir_create)(struct env *env, const char *path);
    int (*dir_sync)(struct env *env, const char *path);
    int (*dir_list)(struct env *env, const char *path, void (*each)(void *data, const char *name),
                    void *data);
    int (*rename)(struct env *env, const char *from, const char *to);
    int (*remove)(struct env *env, const char *path);
    int (*dir_remove)(struct env *env, const char *path);
    int (*free_space)(struct env *env, const char *path, uint64_t *bytes);

    int (*connect)(struct env *env, const char *host, uint16_t port, uint64_t timeout_ns,
                   struct env_stream **stream, void (*cb)(void *data, struct env_stream *stream, int status),
                   void *data);
    int (*listen)(struct env *env, const char *host, uint16_t port, struct env_listener **listener,
                  void (*cb)(void *data, struct env_stream *stream), void *data);

    void (*run)(struct env *env);
    void (*run_once)(struct env *env, bool wait);
    void (*stop)(struct env *env);
    int (*on_signal)(struct env *env, int signal, void (*cb)(void *data, int signal), void *data);
    void (*destroy)(struct env *env);
};

/* The first member of every implementation's environment. */
struct env {
    const struct env_ops *ops;
    struct timer_heap timers;
    struct queue deferred; /* struct env_task */
    unsigned sabotage;     /* a mask of 1 << enum sabotage; 0 but in the simulator */
    unsigned small_bounds; /* a mask of 1 << enum bound; likewise */
    uint64_t bounds_passed[BOUNDS];
};

void env_init(struct env *env, const struct env_ops *ops);
void env_close(struct env *env);
/* Runs the deferred tasks; those that they defer too, up to a bound, so that I/O gets its turn. */
void env_run_deferred(struct env *env);
static inline bool env_has_deferred(const struct env *env)
{
    return !queue_empty(&env->deferred);
}

struct env_file_ops {
    void (*close)(struct env_file *file);
    ssize_t (*read)(struct env_file *file, void *data, size_t size, uint64_t position);
    int (*write)(struct env_file *file, const struct env_iovec *iov, unsigned n, uint64_t position);
    int (*sync)(struct env_file *file);
    int (*allocate)(struct env_file *file, uint64_t position, uint64_t size);
    int (*truncate)(struct env_file *file, uint64_t size);
    int (*size)(struct env_file *file, uint64_t *size);
    int (*lock)(struct env_file *file);
};

struct env_file {
    const struct env_file_ops *ops;
};

struct env_stream_ops {
    void (*read_start)(struct env_stream *stream, const struct env_stream_callbacks *callbacks, void *data);
    void (*read_stop)(struct env_stream *stream);
    void (*read_resume)(struct env_stream *stream);
    int (*write)(struct env_stream *stream, struct env_write *req, const struct slice *slices, unsigned n,
                 void (*cb)(struct env_write *req, int status));
    size_t (*pending)(const struct env_stream *stream);
    const char *(*peer)(const struct env_stream *stream);
    const char *(*local_host)(const struct env_stream *stream); /* may be NULL: not known */
    bool (*is_loopback)(const struct env_stream *stream);
    void (*close)(struct env_stream *stream, void (*cb)(void *data), void *data);
};

struct env_stream {
    const struct env_stream_ops *ops;
};

struct env_listener_ops {
    uint16_t (*port)(const struct env_listener *listener);
    void (*close)(struct env_listener *listener);
};

struct env_listener {
    const struct env_listener_ops *ops;
};

#endif
