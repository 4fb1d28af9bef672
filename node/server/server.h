/* The front doors, native and Kafka: their listeners, their connections under common bounds, and what
 * requests need of the rooms below. Internal to this room; native/ and kafka/ have one file per kind of
 * request. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "node/base/log_limit.h"
#include "node/broker/partition.h"
#include "node/server/config.h"
#include "node/server/frame_input.h"
#include "proto/frame.h"

enum {
    SERVER_REQUEST_TYPES = FRAME_DELETE_GROUP + 1,
    /* Finished requests whose memory is kept for the next ones. */
    SERVER_SPARE_REQUESTS = 256,
    /* Bounds of what a connection may always use, however much the others do. */
    SERVER_LEAST_SHARE_BYTES = 32 * 1024,
    SERVER_MOST_SHARE_BYTES = 1024 * 1024,
};

struct server_counters {
    uint64_t accepted;
    uint64_t refused;
    uint64_t protocol_errors;
    uint64_t pauses; /* reading stopped because of unanswered bytes */
    uint64_t parked; /* requests that waited out a change of leader */
    uint64_t received_bytes;
    uint64_t sent_bytes;
    uint64_t pushed_bytes;
    uint64_t requests[SERVER_REQUEST_TYPES];
    uint64_t failed[SERVER_REQUEST_TYPES];
    uint64_t produced_all, produced_leader,
        produced_none;           /* batches by the durability that their ack stands for */
    struct histogram produce_ns; /* request read to answer queued */
    struct histogram fetch_ns;
};

struct server_metrics;
struct kafka_front;

struct server {
    struct env *env;
    struct logger *logger;
    struct metrics *metrics;
    const struct node_config *config;
    struct consensus *consensus;
    struct cluster *cluster;
    struct broker *broker;
    uint64_t started_ns;

    struct env_listener *listener; /* private from here */
    struct env_listener *kafka_listener;
    struct read_pool pool;
    struct queue connections;
    unsigned connection_count;
    size_t unsent_bytes;  /* of all connections */
    size_t fetched_bytes; /* read for answers that are not queued yet */
    struct queue spare_requests;
    unsigned spare_count;
    unsigned live_requests;
    uint64_t news; /* changes of leaders and of peers that are up */
    uint64_t next_sequence;
    struct queue parked; /* struct parked: parking.c */
    struct env_timer parking_timer;
    struct env_task parking_task;
    struct server_counters counters;
    struct kafka_front *kafka;  /* kafka/kafka_front.h */
    struct group_front *groups; /* group_front.h */
    struct log_limit refusals;  /* what strangers can make this node say */
    struct server_metrics *registered;
    bool draining;
    struct env_timer drain_timer;
    void (*drained)(void *data);
    void *drained_data;
};

/* The public fields have been filled; cluster and broker may follow until the first loop turn. */
void server_init(struct server *s);
int server_listen(struct server *s, const char *host, uint16_t port);
int server_listen_kafka(struct server *s, const char *host, uint16_t port);
uint16_t server_port(const struct server *s);
uint16_t server_kafka_port(const struct server *s);
void server_stop_listening(struct server *s);
/* No request is accepted any more; calls back when every connection has got its answers and is closed, at the
 * latest after `timeout_ms`. 0: at once. */
void server_drain(struct server *s, uint64_t timeout_ms, void (*drained)(void *data), void *data);
/* After draining, and after the rooms below have completed everything. */
void server_close(struct server *s);

/* Over clients-bytes, all connections together: those with more than the fair share must wait. */
static inline bool server_is_full(const struct server *s)
{
    size_t reading = s->broker != NULL ? broker_reading_bytes(s->broker) : 0;
    return s->unsent_bytes + s->fetched_bytes + s->pool.held_bytes + reading > s->config->clients_bytes;
}
/* All shares together are half of clients-bytes, unless that would leave too little to each. */
size_t server_fair_share(const struct server *s);
/* How much a fetch that asks for `wanted` bytes may read. */
size_t server_fetch_bytes(const struct server *s, size_t wanted);
/* Somebody else leads a partition now, or nobody does. */
void server_leader_changed(struct server *s);
/* A peer has come or gone. */
void server_peer_changed(struct server *s);
/* A number that grows, while this process lives, with everything that an answer about topics, their leaders
 * and the nodes tells. Never 0. */
uint64_t server_view(const struct server *s);
/* A connection of this server is gone. */
void server_connection_closed(struct server *s);

/* metrics.c */
void server_metrics_add(struct server *s);
void server_metrics_remove(struct server *s);

#endif
