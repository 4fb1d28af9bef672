/* A test's end of a connection to a node, whatever is spoken on it. */
#ifndef TESTS_SERVER_HELPER_WIRE_H
#define TESTS_SERVER_HELPER_WIRE_H

#include "node/env/env.h"

struct wire {
    struct env *env;
    struct env_stream *stream;
    const struct env_stream_callbacks *callbacks;
    void *data;
    bool connected, ended, closed;
    int status; /* of connecting, or the stream's end */
};

/* Runs the loop until `done(data)`; fails the test after `timeout_ms`. */
void run_until(struct env *env, bool (*done)(void *data), void *data, uint64_t timeout_ms);
/* The same, for as long as a node on a busy machine may take. */
void wire_wait(struct wire *w, bool (*done)(void *data), void *data);

/* Connects to this machine and reads into `callbacks`, which get `data`. */
void wire_open(struct wire *w, struct env *env, uint16_t port, const struct env_stream_callbacks *callbacks,
               void *data);
void wire_close(struct wire *w);
/* Takes over the reference. */
void wire_send(struct wire *w, struct slice slice);
/* For the read callback: the stream has come to its end. */
void wire_ended(struct wire *w, int status);
/* Waits until the node has closed the connection. */
void wire_wait_end(struct wire *w);

#endif
