/* Shared by the tests of record batches. */
#ifndef TESTS_PROTO_HELPER_BATCH_H
#define TESTS_PROTO_HELPER_BATCH_H

#include "proto/batch.h"
#include "proto/bytes.h"

enum { BATCH_TEST_MAX = 16 * 1024 * 1024 };

struct batch_options batch_plain_options(enum batch_codec codec);
/* Appends a batch of `count` small records that compress well, with keys, nulls and headers among them. */
void batch_make(struct bytes *out, enum batch_codec codec, int count);
/* batch_validate without the reason. */
int batch_check(const struct bytes *batch);
/* Walks all records; returns their count or the error. */
int batch_walk(const struct bytes *batch);
/* Recomputes the CRC, for tests that change what it covers. */
void batch_reseal(struct bytes *batch);
/* A header of someone's own design in front of `records`, with a matching CRC and one record claimed. */
void batch_forge(struct bytes *out, enum batch_codec codec, const void *records, size_t size);

#endif
