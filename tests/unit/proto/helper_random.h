/* Randomness for tests: the seed is printed, and SEED=<number> in the environment replays a run. */
#ifndef TESTS_PROTO_HELPER_RANDOM_H
#define TESTS_PROTO_HELPER_RANDOM_H

#include "node/base/prng.h"
#include <stddef.h>

void random_init(struct prng *p, const char *test);
void random_fill(struct prng *p, void *data, size_t size);

#endif
