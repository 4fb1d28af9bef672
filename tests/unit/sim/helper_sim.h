/* A process that talks: listens on port 9000, counts and echoes what it gets, and can connect and send. */
#ifndef UNIT_SIM_HELPER_SIM_H
#define UNIT_SIM_HELPER_SIM_H

#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define US     UINT64_C(1000)
#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum { TALKER_PORT = 9000 };

struct talker {
    struct env *env;
    struct env_listener *listener;
    struct env_stream *in;  /* that somebody has opened to us */
    struct env_stream *out; /* that we have opened */
    bool connected;
    int connect_status;
    unsigned char space[1000];
    bool echo;
    size_t received;   /* on either */
    uint64_t checksum; /* of what was received, in order */
    int in_status;     /* why reading ended; 0: it has not */
    int out_status;
    unsigned written; /* writes that ended well */
    unsigned failed;
    int write_status; /* of the last that failed */
    bool closed;
};

void talker_start(struct talker *t, struct env *env);
void talker_connect(struct talker *t, const char *host);
/* `size` bytes, the first of which is `first`, then counting up. */
void talker_send(struct talker *t, struct env_stream *stream, unsigned char first, size_t size);
void talker_close(struct talker *t);

/* Predicates for sim_run_until. */
bool talker_connect_ended(void *talker);

#endif
