/* Clients over their quota: the answer goes out at once and says how long the client should be quiet, and the
 * connection is not read for that long, whether it knows of that or not (KIP-124, KIP-219). Internal to this
 * room. */
#ifndef SERVER_KAFKA_THROTTLE_H
#define SERVER_KAFKA_THROTTLE_H

#include "node/server/kafka/kafka_request.h"

/* This request has moved so many bytes; gives what its answer has to say as throttle_time_ms. */
int32_t kafka_throttle(struct kafka_request *r, struct kafka_quota *quota, uint64_t bytes);

#endif
