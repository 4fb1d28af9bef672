/* The environment: clock, randomness, timers, deferred work, worker threads, files and streams, as one
 * vtable. All of the node above this room compiles against it, so that a whole cluster can run in one process
 * on a simulated clock, disk and network. env_uv.c is the real one (libuv, pread/pwritev, fdatasync).
 *
 * Thread rule: an env belongs to one loop thread; every function is called there and every callback fires
 * there. The only exceptions are the functions marked [worker]: they may also be called from inside an
 * env_work function; and env_post.
 *
 * Callback rule: the caller owns request and handle structs, which must stay in place until the callback. A
 * nonzero return means that the callback will never fire; 0 means exactly once, never from inside the
 * submitting call. */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include "node/base/buf.h"
#include "node/base/queue.h"
#include "proto/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct env; /* begins with a pointer to its implementation's operations: see env_ops.h */

/* ---- clock and randomness ---- */

/* Monotonic; the time at the start of this loop turn (cheap). */
uint64_t env_now_ns(struct env *env);
static inline uint64_t env_now_ms(struct env *env)
{
    return env_now_ns(env) / 1000000u;
}
/* Monotonic, read now: for measuring latencies inside a turn. [worker] */
uint64_t env_clock_ns(struct env *env);
/* Milliseconds since the epoch; may jump. */
int64_t env_wall_ms(struct env *env);
uint64_t env_random(struct env *env);
/* Cryptographically strong, for identifiers (UUIDs, sessions). */
void env_random_bytes(struct env *env, void *out, size_t size);

/* ---- timers and deferred work ---- */

struct env_timer {
    uint64_t deadline_ns; /* private from here */
    uint64_t sequence;    /* equal deadlines fire in the order in which they were started */
    size_t position;      /* in the heap, + 1; 0: not running */
    void (*cb)(struct env_timer *timer);
};

/* A zeroed timer is stopped. Needs no closing; stop it before its memory goes. */
void env_timer_start(struct env *env, struct env_timer *timer, uint64_t delay_ns,
                     void (*cb)(struct env_timer *timer));
void env_timer_stop(struct env *env, struct env_timer *timer); /* stopped already: no effect */
static inline bool env_timer_running(const struct env_timer *timer)
{
    return timer->position != 0;
}

/* Runs `cb` once, after the callbacks of this loop turn and before the loop waits for I/O: the place to send
 * what a turn has gathered in one system call. Deferring a task that is already waiting has no effect. */
struct env_task {
    struct queue node; /* private; a zeroed task is idle */
    void (*cb)(struct env_task *task);
};
void env_defer(struct env *env, struct env_task *task, void (*cb)(struct env_task *task));
void env_task_cancel(struct env *env, struct env_task *task);

/* Runs `work` on a worker thread, then `done` on the loop. `work` touches only what the job owns and the
 * functions marked [worker]. No order is promised between jobs. */
struct env_work {
    void (*work)(struct env_work *job);
    void (*done)(struct env_work *job);
    void *private_; /* of the implementation, as is what follows */
    bool brief;
    uint64_t took_ns;
};
void env_work(struct env *env, struct env_work *job, void (*work)(struct env_work *job),
              void (*done)(struct env_work *job));
/* The same for a small write and its sync, which may be over sooner than a worker would begin with it: the
 * loop itself runs it at the end of its turn while it is the only work there is and such jobs have been fast
 * of late. */
void env_work_brief(struct env *env, struct env_work *job, void (*work)(struct env_work *job),
                    void (*done)(struct env_work *job));

/* Runs `cb` on the loop: the one way in for a thread that is neither the loop nor a worker of ours, such as a
 * library's own. May be called on any thread. The post stays in place until `cb`; posts of one thread arrive
 * in their order. */
struct env_post {
    void (*cb)(struct env_post *post); /* private from here */
    struct env_post *next;
};
void env_post(struct env *env, struct env_post *post, void (*cb)(struct env_post *post));

/* ---- files: synchronous; called from a worker, or from the loop where blocking is meant (start-up) ---- */

struct env_file;

enum env_open_flag {
    ENV_READ = 1,
    ENV_WRITE = 2, /* implies reading */
    ENV_CREATE = 4,
    ENV_EXCLUSIVE = 8, /* with CREATE: ERR_EXISTS when there */
    ENV_TRUNCATE = 16,
};

struct env_iovec {
    const void *data;
    size_t size;
};

/* All return 0 (or a count) or an error code. Short reads happen at the end of the file only; short writes
 * never. [worker] */
int env_file_open(struct env *env, const char *path, int flags, struct env_file **file);
void env_file_close(struct env *env, struct env_file *file); /* does not sync */
ssize_t env_file_read(struct env_file *file, void *data, size_t size, uint64_t position);
int env_file_write(struct env_file *file, const struct env_iovec *iov, unsigned n, uint64_t position);
/* fdatasync. After an error the file's un-synced state is unknown: it must never be retried as if it had
 * worked. */
int env_file_sync(struct env_file *file);
/* Gives the range space, extending the size, zero-filled (fallocate). ERR_NO_SPACE leaves the file as it was.
 */
int env_file_allocate(struct env_file *file, uint64_t position, uint64_t size);
int env_file_truncate(struct env_file *file, uint64_t size);
int env_file_size(struct env_file *file, uint64_t *size);
/* Exclusive advisory lock for the process's life: ERR_LOCKED when another has it. */
int env_file_lock(struct env_file *file);

int env_dir_create(struct env *env, const char *path); /* one level; 0 when it is there already */
/* Makes entries created, renamed or removed in the directory durable. */
int env_dir_sync(struct env *env, const char *path);
/* Calls `each` per entry ("." and ".." left out), in name order. */
int env_dir_list(struct env *env, const char *path, void (*each)(void *data, const char *name), void *data);
int env_rename(struct env *env, const char *from, const char *to);
int env_remove(struct env *env, const char *path);     /* a file; ERR_NOT_FOUND */
int env_dir_remove(struct env *env, const char *path); /* a directory with its files, recursively */
/* Free bytes of the file system that holds `path`. */
int env_free_space(struct env *env, const char *path, uint64_t *bytes);

/* ---- streams ---- */

struct env_stream;

struct env_stream_callbacks {
    /* Where the next bytes go: at least one byte of space. May be asked again without a read in between. */
    void (*alloc)(void *data, unsigned char **into, size_t *size);
    /* n > 0: bytes arrived in the last alloc's space. n < 0: an error code (ERR_CLOSED: the peer closed its
     * side); no further read callbacks. The owner must close the stream. */
    void (*read)(void *data, ssize_t n);
};

/* Connects a TCP stream (TCP_NODELAY). Name look-up is done off the loop. `cb` gets 0,
 * ERR_CONNECTION_REFUSED, ERR_UNREACHABLE, ERR_TIMED_OUT, ...; on failure the stream must still be closed. */
int env_connect(struct env *env, const char *host, uint16_t port, uint64_t timeout_ns,
                struct env_stream **stream, void (*cb)(void *data, struct env_stream *stream, int status),
                void *data);

struct env_listener;
/* `cb` gets a connected stream that the callee owns. Port 0: any free one, see env_listener_port. */
int env_listen(struct env *env, const char *host, uint16_t port, struct env_listener **listener,
               void (*cb)(void *data, struct env_stream *stream), void *data);
uint16_t env_listener_port(const struct env_listener *listener);
void env_listener_close(struct env_listener *listener);

/* Reading is off until started; stopping is how back-pressure reaches the peer. */
void env_stream_read_start(struct env_stream *stream, const struct env_stream_callbacks *callbacks,
                           void *data);
void env_stream_read_stop(struct env_stream *stream);
void env_stream_read_resume(struct env_stream *stream);

/* Writes all slices in order with one system call where the socket takes them, without copying. The request
 * takes over the references of `slices` (not the array) and drops them before `cb`; after a nonzero return
 * they stay the caller's. Callbacks fire in the order of the writes. `cb` gets 0 or an error; after an error
 * the stream is broken. */
struct env_write {
    void *data;                                    /* public */
    void (*cb)(struct env_write *req, int status); /* private from here */
    struct slice *slices;
    unsigned n;
    int status;
    size_t size;
    void *private_;
};
int env_stream_write(struct env_stream *stream, struct env_write *req, const struct slice *slices, unsigned n,
                     void (*cb)(struct env_write *req, int status));
/* Bytes accepted by env_stream_write that the kernel has not taken yet. */
size_t env_stream_pending(const struct env_stream *stream);
/* "127.0.0.1:4711" of the other end, for log lines; and whether it is on this machine. */
const char *env_stream_peer(const struct env_stream *stream);
/* This end's address without its port, "10.0.0.2": the one that the other end has connected to. "": not
 * known. */
const char *env_stream_local_host(const struct env_stream *stream);
bool env_stream_is_loopback(const struct env_stream *stream);
/* Outstanding writes complete with ERR_CANCELED, no read callback fires any more, then `cb` (may be NULL)
 * does: the stream is gone after it. */
void env_stream_close(struct env_stream *stream, void (*cb)(void *data), void *data);

/* ---- the loop ---- */

/* The real environment on a libuv loop of its own. `seed` 0: from the system. */
struct env *env_uv_create(uint64_t seed);
/* Runs until env_stop, or until nothing is left to wait for. */
void env_run(struct env *env);
/* One turn; blocks for events only when `wait`. For tests. */
void env_run_once(struct env *env, bool wait);
void env_stop(struct env *env);
/* Calls `cb` on the loop when the process gets the signal. */
int env_on_signal(struct env *env, int signal, void (*cb)(void *data, int signal), void *data);
/* All streams and listeners must be closed; runs the loop until their close callbacks have fired. */
void env_destroy(struct env *env);

#endif
