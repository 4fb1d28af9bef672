/* What both ends of a measurement send again and again. */
#ifndef TESTS_BENCH_READY_BATCH_H
#define TESTS_BENCH_READY_BATCH_H

#include "proto/bytes.h"

/* Makes `batch` one record batch of about `size` bytes: records of 1 KiB that no codec can make smaller.
 * Returns how many; ends the program when it cannot be built. */
int32_t ready_batch_build(struct bytes *batch, size_t size);

#endif
