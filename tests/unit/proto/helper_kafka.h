/* What tests of the Kafka codec share: golden files, and messages with random content. */
#ifndef TESTS_PROTO_HELPER_KAFKA_H
#define TESTS_PROTO_HELPER_KAFKA_H

#include "node/base/prng.h"
#include "proto/kafka/codec.h"
#include "proto/kafka/tables.h"

enum { GOLDEN_MAX_SIZE = 64 * 1024, KAFKA_TEST_ARENA = 1024 * 1024 };

/* One message of tests/golden/kafka/<key>.bin. */
struct golden {
    const struct kafka_api *api;
    enum kafka_direction direction;
    int16_t version;
    bool filled; /* every field from its name; else defaults, and nulls where there may be some */
    const unsigned char *data;
    size_t size;
};

/* Calls `check` with every golden message of every API; returns their number. */
size_t golden_each(void (*check)(const struct golden *g, void *data), void *data);

/* What was encoded; an empty one has no memory. */
bool bytes_hold(const struct bytes *b, const void *data, size_t size);

/* A message of `type` as `version` has it, its arrays and texts in the arena. */
void *kafka_random(struct prng *p, const struct kafka_type *type, int16_t version, struct arena *arena);

#endif
