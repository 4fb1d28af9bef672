/* The simulated network, shared by env_sim_net.c (what the kernels and the cables do) and env_sim_stream.c
 * (what a process sees of it).
 *
 *   stream A --write--> segments under way --arrival--> received by side B --activity--> stream B's read
 * callback
 *            <--------------------- credit: B has read, A may send more --------------------
 */
#ifndef SIM_ENV_SIM_NET_H
#define SIM_ENV_SIM_NET_H

#include "tests/sim/env_sim_internal.h"

struct sim_connection;
struct sim_attempt;

/* Bytes of one direction that are under way or not read yet: then the sender has to wait. */
enum { SIM_WINDOW = 256 * 1024 };

enum sim_segment_kind {
    SEGMENT_ACCEPT, /* the first one of every connection: the listener gets its stream */
    SEGMENT_DATA,
    SEGMENT_END,   /* the sender has closed in good order */
    SEGMENT_RESET, /* ... or not */
};

struct sim_segment {
    struct sim_segment *next;
    enum sim_segment_kind kind;
    uint64_t at_ns;
    size_t size;
    size_t consumed;
    unsigned char data[];
};

struct sim_segments {
    struct sim_segment *first;
    struct sim_segment *last;
};

/* One end of a connection. */
struct sim_side {
    struct sim_connection *connection;
    struct sim_host *host;
    struct sim_stream *stream;     /* NULL: not accepted yet, closed, or its process is dead */
    uint16_t port;                 /* that the listener has, or an arbitrary one */
    struct sim_segments under_way; /* to this side; none overtakes the one before it */
    struct sim_segments received;  /* not read yet */
    size_t window_used;            /* bytes in the two lists, or read without the sender knowing */
    size_t read_size;              /* bytes read since the last credit */
    struct sim_event arrival;
    bool arrival_scheduled;
    struct sim_event credit; /* of this side's reads, to the other */
    bool credit_scheduled;
    bool stalled; /* the link to this side was cut when something arrived */
    bool credit_stalled;
};

struct sim_connection {
    bool muted;        /* nothing gets through any more */
    struct queue node; /* in sim->connections */
    struct sim *sim;
    unsigned references;      /* by streams and scheduled events */
    struct sim_side sides[2]; /* who has connected, who has accepted */
};

struct sim_listener {
    struct env_listener base;
    struct queue node; /* in process->listeners */
    struct sim_process *process;
    uint16_t port;
    void (*cb)(void *data, struct env_stream *stream);
    void *data;
};

struct sim_stream {
    struct env_stream base;
    struct queue node; /* in process->streams */
    struct sim_process *process;
    struct sim_side *side; /* NULL while not connected, and after the end */
    bool loopback;
    bool closing;
    bool broken; /* the peer has reset the connection */
    char peer[80];

    struct sim_event activity; /* calls whatever callbacks are due */
    bool activity_scheduled;

    struct sim_attempt *attempt; /* NULL: not connecting any more */
    struct env_timer timeout;
    void (*connect_cb)(void *data, struct env_stream *stream, int status);
    void *connect_data;
    int connect_status;
    bool connect_due;    /* connect_cb is to be called */
    uint16_t accept_due; /* the port of the listener whose callback is; 0: none */

    struct env_stream_callbacks callbacks;
    void *data;
    bool reading;

    struct env_write *writes; /* not all sent, in order; linked by private_ */
    struct env_write **writes_tail;
    size_t first_sent; /* bytes of the first of them */
    size_t pending;
    struct env_write *finished; /* whose callbacks are due, in order */
    struct env_write **finished_tail;

    void (*close_cb)(void *data);
    void *close_data;
};

/* ---- env_sim_net.c ---- */

struct sim_segment *sim_segments_pop(struct sim_segments *list);
void sim_segments_clear(struct sim_segments *list);
/* Sends `size` bytes (given away in `segment`) from `from` to the other side. */
struct sim_segment *sim_segment_create(enum sim_segment_kind kind, size_t size);
void sim_side_send(struct sim_side *from, struct sim_segment *segment);
struct sim_side *sim_side_other(struct sim_side *side);
/* The owner has read `size` bytes. */
void sim_side_consumed(struct sim_side *side, size_t size);
/* The stream lets go of its side; `kind` tells the other: SEGMENT_END, SEGMENT_RESET, or SEGMENT_DATA for
 * nothing. */
void sim_side_leave(struct sim_side *side, enum sim_segment_kind kind);
struct sim_listener *sim_listener_find(struct sim_host *host, uint16_t port);
void sim_attempt_cancel(struct sim_stream *stream);

/* ---- env_sim_stream.c ---- */

struct sim_stream *sim_stream_create(struct sim_process *process);
void sim_stream_free(struct sim_stream *stream);
/* The two are connected from now on. */
void sim_stream_attach(struct sim_stream *stream, struct sim_side *side);
void sim_stream_wake(struct sim_stream *stream);
/* Sends as much as the window takes. */
void sim_stream_pump(struct sim_stream *stream);
/* The connection attempt has ended. */
void sim_stream_connect_end(struct sim_stream *stream, int status);
/* A reset has arrived. */
void sim_stream_break(struct sim_stream *stream);
/* The process is dead: drops the slices of unfinished writes. */
void sim_stream_abandon(struct sim_stream *stream);

#endif
