#include "tests/bench/ready_batch.h"
#include "proto/batch.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int32_t ready_batch_build(struct bytes *batch, size_t size)
{
    const struct batch_options options = {
        .codec = BATCH_NONE, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    struct batch_builder builder;
    unsigned char value[1024];
    for (size_t i = 0; i < sizeof(value); i++)
        value[i] = (unsigned char)rand();
    size_t record = batch_record_size_bound(0, sizeof(value), NULL, 0);
    batch_builder_init(&builder);
    while (builder.count == 0 || batch_builder_size(&builder) + record <= size)
        batch_builder_add(&builder, (int64_t)time(NULL) * 1000, NULL, 0, value, sizeof(value), NULL, 0);
    int32_t count = builder.count;
    bytes_clear(batch);
    if (batch_builder_finish(&builder, &options, batch) != 0) {
        (void)fputs("a record batch cannot be built\n", stderr);
        exit(1);
    }
    batch_builder_close(&builder);
    return count;
}
