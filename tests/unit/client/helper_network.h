/* A core, the model cluster and a simulated network and clock between them: one thread, no waiting. */
#ifndef TESTS_CLIENT_HELPER_NETWORK_H
#define TESTS_CLIENT_HELPER_NETWORK_H

#include "client/core/consumer/inbox.h"
#include "client/core/core.h"
#include "client/core/producer/accumulator.h"
#include "tests/unit/client/helper_broker.h"

#define MS 1000000ULL

struct network_connection {
    bool used;
    bool connected;
    bool ending; /* the core is to be told of the end */
    int reason;
    uint32_t node;       /* id */
    uint64_t ready_ns;   /* when connecting or ending takes effect */
    uint64_t deliver_ns; /* when the session's output arrives */
    struct broker_session session;
};

struct network {
    struct broker broker;
    struct core *core;
    uint64_t now;
    uint64_t latency_ns;
    bool down[BROKER_NODES + 1];   /* by node id: refuses connections */
    bool frozen[BROKER_NODES + 1]; /* accepts and says nothing */
    struct network_connection connections[CORE_MAX_CONNECTIONS];
    unsigned connects;
    int last_reason;
    struct client_settings settings;

    struct accumulator *accumulator;
    struct core_producer *producer;
    bool producer_woken;
    struct inbox *inbox;
    struct core_consumer *consumer;
    bool consumer_woken;
};

/* `options`: name, value, ..., NULL. */
void network_init(struct network *n, uint32_t partitions, const char *const *options);
void network_close(struct network *n); /* with its producer and its consumer, if they are open */
void network_open_producer(struct network *n, flotilla_delivery_cb cb, void *data);
void network_close_producer(struct network *n);
void network_open_consumer(struct network *n);
void network_close_consumer(struct network *n);
/* Produces a decimal number as the value. */
int network_produce(struct network *n, int32_t partition, int number);
/* Does what happens next. Time moves at most to `until_ns`. */
void network_step(struct network *n, uint64_t until_ns);
void network_run(struct network *n, uint64_t duration_ns);
/* Until `done` says so; fails the test after `limit_ns`. */
void network_run_until(struct network *n, bool (*done)(struct network *n, void *data), void *data,
                       uint64_t limit_ns);
void network_kill(struct network *n, uint32_t node); /* connections end, new ones are refused */
void network_cut(struct network *n, uint32_t node);  /* connections end */
/* Bytes that no broker would send, on the first open connection; false: there is none. */
bool network_inject(struct network *n, const void *data, size_t size);

#endif
