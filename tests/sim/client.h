/* A client machine: libflotilla's core, driven over the simulated network as client/driver/uv.c drives it
 * over the real one. Producers and consumers of a client are in producer.h and consumer.h.
 *
 * A killed client's memory stays behind, like a killed node's. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "client/core/core.h"
#include "proto/client.pb-c.h"
#include "proto/frame.h"
#include "tests/sim/env_sim.h"

enum { CLIENT_USERS_MAX = 4 };

struct client_connection;

struct sim_client {
    struct sim *sim;
    struct sim_host *host;
    struct env *env;
    struct core *core;
    struct client_settings settings;
    struct client_connection *connections[CORE_MAX_CONNECTIONS];
    uint64_t outputs[CORE_MAX_CONNECTIONS / 64]; /* a bit per connection that has something to send */
    struct env_timer timer;
    struct env_task turn;
    /* Called at the end of every loop turn in which something happened. */
    struct client_user {
        void (*run)(void *data);
        void *data;
    } users[CLIENT_USERS_MAX];
    unsigned user_count;
};

/* On a host whose process runs. `options`: name, value, ..., NULL (see flotilla.h). It knows the nodes "n1"
 * to "n<nodes>". */
struct sim_client *client_create(struct sim *sim, struct sim_host *host, unsigned nodes,
                                 const char *const *options);
void client_add_user(struct sim_client *c, void (*run)(void *data), void *data);
/* Before core functions other than those that a callback of the core may call. */
void client_advance(struct sim_client *c);
/* After them, and when a user has something to do: sends, and sets the alarm, at the end of the turn. */
void client_wake(struct sim_client *c);
uint64_t client_random(struct sim_client *c, uint64_t bound);

/* One request with retries. `message` is packed here. `cb` is called once. */
struct client_call {
    enum core_target target;
    uint16_t type;
    const char *topic; /* or NULL */
    uint32_t partition;
    const char *group; /* of a COORDINATOR */
    uint64_t timeout_ns;
    const ProtobufCMessage *message;
    bool needs_topic_id; /* `topic`'s, which is then added to the message as field 1 */
    void (*cb)(void *data, int status, const uint8_t *header, size_t size, bool maybe_applied);
    void *data;
};
void client_call(struct sim_client *c, const struct client_call *call);

#endif
