/* The sans-I/O core of libflotilla: the whole protocol of a client - connections, metadata, leaders, retries,
 * producers, consumers - as a state machine. It has no threads, no clock, no sockets and no randomness of its
 * own: bytes and times go in, bytes and a deadline come out, so that the I/O driver and a simulator can run
 * it alike.
 *
 * A driver does this: core_advance with the present time before every other input, then the input, and
 * afterwards sleeps until core_deadline. All functions belong to the driver's thread; only an accumulator and
 * an inbox are shared with application threads. Nothing here calls back into the driver's event loop except
 * through struct core_io, whose functions must not call the core. */
#ifndef CLIENT_CORE_CORE_H
#define CLIENT_CORE_CORE_H

#include "client/core/options.h"
#include "proto/bytes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct core;
struct core_call;
struct core_producer;
struct core_consumer;
struct accumulator;
struct inbox;

enum {
    CORE_MAX_CONNECTIONS = 256,
    CORE_TOPIC_SIZE = 250,
    CORE_TOPIC_ID_SIZE = 16,
    CORE_MESSAGE_SIZE = 512,
    CORE_METADATA_SIZE = 4097,
    CORE_MEMBER_ID_SIZE = 37,
};

/* Effects. A connection is a number below CORE_MAX_CONNECTIONS that is used again only after its end was
 * reported. */
struct core_io {
    void *data;
    /* To be answered by core_connected, then core_disconnected; or by core_disconnected alone. */
    void (*connect)(void *data, uint32_t connection, const char *host, uint16_t port);
    /* There is something to send: take it with core_output now or as soon as the socket is writable. */
    void (*output)(void *data, uint32_t connection);
    /* To be answered by core_disconnected, when no memory from core_output is in use any more. */
    void (*close)(void *data, uint32_t connection);
};

/* Copies the settings. Keeps `io`. */
struct core *core_create(const struct client_settings *settings, const struct core_io *io, uint64_t seed,
                         uint64_t now_ns);
/* After core_stop and after the end of every connection. Producers and consumers must be gone. */
void core_destroy(struct core *core);
/* Before the first call. Returns false when there are too many. */
bool core_add_bootstrap(struct core *core, const char *host, uint16_t port);
/* Ends all calls with ERR_CANCELED and opens no connection any more. */
void core_stop(struct core *core);
const struct client_settings *core_settings(const struct core *core);

/* ---- inputs ---- */

/* Moves time forward and does what is due. */
void core_advance(struct core *core, uint64_t now_ns);
void core_connected(struct core *core, uint32_t connection);
/* `reason` is 0 for an orderly end, else one of ERR_CONNECTION_REFUSED, ERR_CONNECTION_LOST, ... */
void core_disconnected(struct core *core, uint32_t connection, int reason);
/* Where the next bytes from the network go (at least one byte of room). Valid until core_received. */
void core_receive_buffer(struct core *core, uint32_t connection, unsigned char **data, size_t *size);
void core_received(struct core *core, uint32_t connection, size_t size);

/* ---- outputs ---- */

struct core_slice {
    const unsigned char *data;
    size_t size;
};
/* The first bytes to be sent, in at most `max` slices; they stay valid until core_sent says they are gone. */
size_t core_output(struct core *core, uint32_t connection, struct core_slice *slices, size_t max);
void core_sent(struct core *core, uint32_t connection, size_t size);
/* When core_advance must be called again at the latest; UINT64_MAX: not for time's sake. */
uint64_t core_deadline(const struct core *core);

/* ---- calls: single requests with retries until a deadline ---- */

enum core_target { CORE_ANY, CORE_NODE, CORE_LEADER, CORE_COORDINATOR };

struct core_call_options {
    enum core_target target;
    uint32_t node_id;  /* NODE */
    const char *topic; /* LEADER; or with another target: a topic whose id is needed (see bind) */
    uint32_t partition;
    const char *group; /* COORDINATOR */
    uint16_t type;
    uint64_t timeout_ns;
    /* Appends the packed header of the request. `topic_id` is that of `topic`, all zero without one. Called
     * before each attempt. */
    void (*pack)(void *data, const uint8_t *topic_id, struct bytes *out);
    /* The end, once: 0 with the packed header of the answer, or an error and why. `maybe_applied`: an attempt
     * went out whose answer was lost. Must not call the core. */
    void (*cb)(void *data, int status, const char *message, const uint8_t *header, size_t size,
               bool maybe_applied);
    void *data;
};
void core_call(struct core *core, const struct core_call_options *options);

void *core_alloc(size_t size); /* zeroed; aborts when there is no memory */

/* Calls back every so often when the settings say so. */
void core_statistics(const struct core *core, struct flotilla_statistics *out);

/* ---- producers (producer/accumulator.h is the shared side) ---- */

struct core_producer *core_producer_create(struct core *core, const struct client_settings *settings,
                                           struct accumulator *accumulator);
/* The accumulator has partitions with something to send, topics to be looked up, or is being flushed. */
void core_producer_wake(struct core_producer *producer);
/* Everything not acknowledged ends with CANCELED or OUTCOME_UNKNOWN. */
void core_producer_destroy(struct core_producer *producer);

/* ---- consumers (consumer/inbox.h is the shared side) ---- */

struct core_consumer *core_consumer_create(struct core *core, const struct client_settings *settings,
                                           struct inbox *inbox);
void core_consumer_destroy(struct core_consumer *consumer);
/* `partition` -1: all. Drops what was prefetched of partitions that were read already. */
void core_consumer_subscribe(struct core_consumer *consumer, const char *topic, int32_t partition,
                             enum flotilla_start start, int64_t value);
void core_consumer_unsubscribe(struct core_consumer *consumer, const char *topic, int32_t partition);
/* Becomes a member of the group, or changes what the member reads. What is given is copied. */
struct core_join {
    const char *const *topics;
    size_t topic_count;
    const char *pattern; /* NULL: none */
    bool tells;          /* rebalances are put into the inbox */
};
void core_consumer_join(struct core_consumer *consumer, const struct core_join *join);
/* Lets go of everything as if it were revoked, and leaves. `cb` comes once and must not call the core. */
struct core_leave {
    uint64_t timeout_ns;
    bool keeps_place; /* of a static member: the group is not told */
    void (*cb)(void *data, int status, const char *message);
    void *data;
};
void core_consumer_leave(struct core_consumer *consumer, const struct core_leave *leave);
struct core_membership {
    char member_id[CORE_MEMBER_ID_SIZE];
    int64_t epoch;
    bool is_stable;
    void (*partition)(void *data, const char *topic, uint32_t partition); /* called for each that is owned */
    void *data;
};
void core_consumer_membership(struct core_consumer *consumer, struct core_membership *out);
/* Whether a partition is read, and not about to be let go. */
bool core_consumer_owns(struct core_consumer *consumer, const char *topic, uint32_t partition);
/* The application released batches, or was told of a rebalance, or polls again. */
void core_consumer_wake(struct core_consumer *consumer);

/* Commits what inbox_take_commit gives, in the order of the calls. `cb` may be NULL; must not call the core.
 */
struct core_commit {
    struct core_commit *next; /* private */
    int64_t member_epoch;     /* private */
    struct core_consumer *consumer;
    char topic[CORE_TOPIC_SIZE]; /* "": everything that is finished; else one explicit offset */
    int32_t partition;
    int64_t offset;
    const char *metadata; /* of an explicit offset; NULL: none. Copied */
    uint64_t timeout_ns;
    void (*cb)(void *data, int status, const char *message);
    void *data;
};
void core_consumer_commit(struct core_consumer *consumer, const struct core_commit *commit);

#endif
