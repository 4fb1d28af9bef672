/* What the client's and the node's hot paths cost per core: building, checking and walking record batches,
 * the CRC.
 *
 *     bench_proto [seconds per line, default 0.5] */
#include "node/base/prng.h"
#include "proto/batch.h"
#include "proto/crc32c.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    VALUE_SIZE = 100,
    KEY_SIZE = 8,
    RECORDS = 1000,
    CRC_SIZE = 1024 * 1024,
    MAX_UNCOMPRESSED = 64 * 1024 * 1024
};

struct bench {
    double seconds; /* per line */
    unsigned char *value;
    struct batch_builder builder;
    struct batch_reader reader;
    struct bytes batch;
    enum batch_codec codec;
    uint64_t checksum; /* of the results, so that nothing is optimised away */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Runs `step` for a while; `bytes` and `records` are what one step handles. */
static void bench_run(struct bench *b, const char *name, void (*step)(struct bench *b), size_t bytes,
                      size_t records)
{
    double start = now_s();
    double elapsed;
    uint64_t steps = 0;

    do {
        step(b);
        steps++;
        elapsed = now_s() - start;
    } while (elapsed < b->seconds);
    printf("%-24s %10.0f MB/s", name, (double)bytes * (double)steps / elapsed / 1e6);
    if (records > 0)
        printf(" %10.2f M records/s", (double)records * (double)steps / elapsed / 1e6);
    printf("\n");
}

/* Text-like: 16 letters, so that the codecs have something to do. */
static void bench_init(struct bench *b, double seconds)
{
    struct prng p;

    *b = (struct bench){.seconds = seconds};
    prng_init(&p, 1);
    b->value = malloc(CRC_SIZE);
    if (b->value == NULL)
        abort();
    for (size_t i = 0; i < CRC_SIZE; i++)
        b->value[i] = (unsigned char)('a' + prng_below(&p, 16));
    batch_builder_init(&b->builder);
    bytes_init(&b->batch);
}

static void bench_close(struct bench *b)
{
    free(b->value);
    batch_builder_close(&b->builder);
    batch_reader_close(&b->reader);
    bytes_close(&b->batch);
}

static void step_crc(struct bench *b)
{
    b->checksum += crc32c(0, b->value, CRC_SIZE);
}

static void step_add(struct bench *b)
{
    batch_builder_reset(&b->builder);
    for (int i = 0; i < RECORDS; i++)
        batch_builder_add(&b->builder, 1700000000000 + i, NULL, 0, b->value + i * 10, VALUE_SIZE, NULL, 0);
    b->checksum += batch_builder_size(&b->builder);
}

static void step_add_keyed(struct bench *b)
{
    const struct record_header header = {"trace", 5, (const unsigned char *)"0123456789abcdef", 16};

    batch_builder_reset(&b->builder);
    for (int i = 0; i < RECORDS; i++)
        batch_builder_add(&b->builder, 1700000000000 + i, b->value + i, KEY_SIZE, b->value + i * 10,
                          VALUE_SIZE, &header, 1);
    b->checksum += batch_builder_size(&b->builder);
}

static void step_finish(struct bench *b)
{
    const struct batch_options options = {.codec = b->codec, .producer_id = -1};

    bytes_clear(&b->batch);
    b->checksum += (uint64_t)batch_builder_finish(&b->builder, &options, &b->batch);
}

static void step_validate(struct bench *b)
{
    struct batch_header header;
    char reason[64];

    b->checksum += (uint64_t)batch_validate(b->batch.data, b->batch.size, &header, reason, sizeof(reason));
}

static void step_read(struct bench *b)
{
    struct record record;

    if (batch_reader_reset(&b->reader, b->batch.data, b->batch.size, MAX_UNCOMPRESSED) != 0)
        abort();
    while (batch_reader_next(&b->reader, &record) == 1)
        b->checksum += record.value_size + (uint64_t)record.offset;
}

static void bench_codec(struct bench *b, enum batch_codec codec)
{
    const char *codec_name = batch_codec_name(codec);
    char name[32];

    b->codec = codec;
    step_add(b);
    size_t plain_size = batch_builder_size(&b->builder);
    snprintf(name, sizeof(name), "finish %s", codec_name);
    bench_run(b, name, step_finish, plain_size, RECORDS);
    snprintf(name, sizeof(name), "validate %s", codec_name);
    bench_run(b, name, step_validate, b->batch.size, RECORDS);
    snprintf(name, sizeof(name), "read %s", codec_name);
    bench_run(b, name, step_read, plain_size, RECORDS);
}

int main(int argc, char **argv)
{
    struct bench b;

    bench_init(&b, argc > 1 ? strtod(argv[1], NULL) : 0.5);
    bench_run(&b, "crc32c 1 MiB", step_crc, CRC_SIZE, 0);
    bench_run(&b, "add 100 B", step_add, (size_t)VALUE_SIZE * RECORDS, RECORDS);
    bench_run(&b, "add key, header, 100 B", step_add_keyed, (size_t)(VALUE_SIZE + KEY_SIZE + 21) * RECORDS,
              RECORDS);
    for (int codec = BATCH_NONE; codec <= BATCH_ZSTD; codec++)
        bench_codec(&b, (enum batch_codec)codec);
    printf("(checksum %llx)\n", (unsigned long long)b.checksum);
    bench_close(&b);
    return 0;
}
