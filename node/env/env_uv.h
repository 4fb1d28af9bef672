/* Inside of the real environment, shared by the env_uv_*.c files. */
#ifndef ENV_ENV_UV_H
#define ENV_ENV_UV_H

#include "node/base/prng.h"
#include "node/env/env_ops.h"
#include <sys/socket.h>
#include <uv.h>

struct work_pool;
struct post_box;

struct env_uv {
    struct env base;
    uv_loop_t loop;
    bool turning;
    uint64_t now_ns; /* of this turn; 0 until somebody asks */
    bool stopping;
    struct prng prng;
    int timer_fd; /* a timerfd keeps deadlines to the microsecond, where epoll_wait would round them to
                     milliseconds */
    uv_poll_t timer_poll;
    uint64_t armed_ns; /* what timer_fd will fire at; 0: nothing */
    struct work_pool *pool;
    struct post_box *posts;
    struct queue signals; /* struct signal_watch */
    unsigned open;        /* streams and listeners that nobody has closed yet */
};

static inline struct env_uv *env_uv_of(struct env *env)
{
    return (struct env_uv *)env;
}

/* libuv's codes, those without an errno too, in our table. */
int env_uv_error(int status);

/* ---- waking the loop (env_uv_wake.c) ---- */

struct loop_wake {
    uv_poll_t poll;
    int fd;
    void (*cb)(struct loop_wake *wake);
    void (*closed)(struct loop_wake *wake);
};

/* Does not keep the loop alive. */
void loop_wake_init(struct loop_wake *wake, uv_loop_t *loop, void (*cb)(struct loop_wake *wake));
/* Any thread. `cb` follows on the loop, once for all sends before it. */
void loop_wake_send(struct loop_wake *wake);
/* Nobody may send any more. */
void loop_wake_close(struct loop_wake *wake, void (*closed)(struct loop_wake *wake));

/* ---- worker threads (env_uv_work.c) ---- */

struct work_pool *work_pool_create(uv_loop_t *loop);
/* A brief job may have to wait for work_pool_run_brief. */
void work_pool_submit(struct work_pool *pool, struct env_work *job);
/* Runs the brief job that waits, if one does, and its `done`: at the end of a turn, when all that the turn
 * has to send is sent. */
bool work_pool_run_brief(struct work_pool *pool);
bool work_pool_brief_waits(const struct work_pool *pool);
/* Jobs whose `done` has not run. */
size_t work_pool_outstanding(const struct work_pool *pool);
/* Nothing may be outstanding. Ends the threads; the memory goes when the loop has run the close callback. */
void work_pool_destroy(struct work_pool *pool);

/* ---- posts of other threads (env_uv_post.c) ---- */

struct post_box *post_box_create(uv_loop_t *loop);
void post_box_put(struct post_box *box, struct env_post *post); /* any thread */
/* Nobody may post any more. The memory goes when the loop has run the close callback. */
void post_box_destroy(struct post_box *box);

/* ---- streams (env_uv_stream.c, env_uv_connect.c, env_uv_listener.c) ---- */

/* One socket. A stream that connects may use up several, one per address of the host. */
struct uv_socket {
    uv_tcp_t tcp;         /* data: the stream, or NULL once it has no more interest */
    uv_connect_t connect; /* in use while connecting */
};

struct uv_connecting;

struct uv_stream {
    struct env_stream base;
    struct env_uv *env;
    struct uv_socket *socket;         /* NULL: none at the moment */
    struct uv_connecting *connecting; /* NULL once the attempt has ended, and in accepted streams */
    bool connected;
    bool closing;

    struct env_stream_callbacks callbacks;
    void *data;
    bool reading;
    bool read_ended; /* an error or the end was delivered */
    int read_status; /* what read_task will deliver */
    struct env_task read_task;

    unsigned queued;             /* writes that libuv holds */
    struct env_write *completed; /* writes whose callbacks are due, in order; linked by private_ */
    struct env_write **completed_tail;
    struct env_task completed_task;

    void (*close_cb)(void *data);
    void *close_data;
    struct env_task close_task;

    bool loopback;
    char peer[80];
    char local_host[48];
};

/* Without a socket. */
struct uv_stream *uv_stream_create(struct env_uv *env);
/* Wraps a connected descriptor; on failure it is closed. */
int uv_stream_accepted(struct env_uv *env, int fd, struct uv_stream **stream);
/* Takes the peer's address from the connected socket. */
void uv_stream_connected(struct uv_stream *s);
int uv_stream_socket_create(struct uv_stream *s);
/* Closes the socket, if there is one; the stream hears no more of it. */
void uv_stream_socket_drop(struct uv_stream *s);

int uv_stream_connect(struct env *env, const char *host, uint16_t port, uint64_t timeout_ns,
                      struct env_stream **stream,
                      void (*cb)(void *data, struct env_stream *stream, int status), void *data);
/* The stream is being closed: ends an attempt that is still going on with ERR_CANCELED. */
void uv_stream_connect_cancel(struct uv_stream *s);
/* The same in two steps: lets go of timer and look-up at once, so that only the callback remains to be
 * called. */
void uv_stream_connect_abandon(struct uv_stream *s);

int uv_listener_listen(struct env *env, const char *host, uint16_t port, struct env_listener **listener,
                       void (*cb)(void *data, struct env_stream *stream), void *data);

/* Parses a numeric IPv4 or IPv6 address; false when `host` is a name. */
bool uv_address_numeric(const char *host, uint16_t port, struct sockaddr_storage *address);

#endif
