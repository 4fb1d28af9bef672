/* What the connections of the Kafka front door share on a node. Internal to this room. */
#ifndef SERVER_KAFKA_FRONT_H
#define SERVER_KAFKA_FRONT_H

#include "node/server/kafka/quota.h"
#include "node/server/server.h"
#include "proto/bytes.h"
#include "proto/kafka/apis.h"

enum {
    /* Keys from 0 on; those that are not served have no requests. */
    KAFKA_KEYS = KAFKA_API_DESCRIBE_TOPIC_PARTITIONS + 1,
    /* Finished requests whose memory is kept for the next ones. */
    KAFKA_SPARE_REQUESTS = 256,
};

struct kafka_front_metrics;

struct kafka_quota {
    struct quota table;
    struct histogram waits_ns;
};

struct kafka_front {
    struct queue spare_requests;
    unsigned spare_count;
    struct bytes scratch; /* where answers are encoded */
    uint64_t requests[KAFKA_KEYS];
    uint64_t malformed;
    struct histogram produce_ns; /* request read to answer queued */
    struct histogram fetch_ns;
    struct kafka_quota produce_quota, fetch_quota;
    struct kafka_front_metrics *registered;
};

void kafka_front_create(struct server *s);
/* No connection and no request is left. */
void kafka_front_destroy(struct server *s);

#endif
