/* Random records through builder, codec and reader. */
#include "tests/unit/proto/helper_batch.h"
#include "tests/unit/proto/helper_cmocka.h"
#include "tests/unit/proto/helper_random.h"
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 300, MAX_RECORDS = 60, MAX_HEADERS = 4, POOL_SIZE = 4096 };

struct sample {
    int64_t timestamp_ms;
    const unsigned char *key;
    size_t key_size;
    const unsigned char *value;
    size_t value_size;
    struct record_header headers[MAX_HEADERS];
    size_t header_count;
};

/* A random piece of the pool, null at times. */
static const unsigned char *sample_bytes(struct prng *p, const unsigned char *pool, size_t *size)
{
    *size = 0;
    if (prng_below(p, 5) == 0)
        return NULL;
    *size = prng_below(p, prng_below(p, 10) == 0 ? POOL_SIZE / 2 : 40);
    return pool + prng_below(p, POOL_SIZE / 2);
}

static void sample_init(struct sample *s, struct prng *p, const unsigned char *pool)
{
    s->timestamp_ms = prng_below(p, 10) == 0 ? (int64_t)prng_next(p) : (int64_t)prng_below(p, 1000);
    s->key = sample_bytes(p, pool, &s->key_size);
    s->value = sample_bytes(p, pool, &s->value_size);
    s->header_count = prng_below(p, 3) == 0 ? prng_below(p, MAX_HEADERS + 1) : 0;
    for (size_t i = 0; i < s->header_count; i++) {
        struct record_header *h = &s->headers[i];
        h->key_size = prng_below(p, 20);
        h->key = (const char *)pool + prng_below(p, POOL_SIZE / 2);
        h->value = sample_bytes(p, pool, &h->value_size);
    }
}

static void assert_same(const void *a, size_t a_size, const void *b, size_t b_size)
{
    assert_int_equal(a == NULL, b == NULL);
    assert_int_equal(a_size, b_size);
    if (a != NULL)
        assert_memory_equal(a, b, a_size);
}

static void assert_record_is(const struct record *r, const struct sample *s, int64_t offset)
{
    assert_int_equal(r->offset, offset);
    assert_int_equal(r->timestamp_ms, s->timestamp_ms);
    assert_same(r->key, r->key_size, s->key, s->key_size);
    assert_same(r->value, r->value_size, s->value, s->value_size);
    assert_int_equal(r->header_count, s->header_count);
    for (size_t i = 0; i < s->header_count; i++) {
        assert_same(r->headers[i].key, r->headers[i].key_size, s->headers[i].key, s->headers[i].key_size);
        assert_same(r->headers[i].value, r->headers[i].value_size, s->headers[i].value,
                    s->headers[i].value_size);
    }
}

static void assert_batch_is(const struct bytes *batch, const struct sample *samples, int count,
                            int64_t base_offset)
{
    struct batch_header h;
    struct batch_reader r;
    struct record record;

    assert_int_equal(batch_validate(batch->data, batch->size, &h, NULL, 0), 0);
    assert_int_equal(h.record_count, count);
    assert_int_equal(batch_reader_init(&r, batch->data, batch->size, BATCH_TEST_MAX), 0);
    for (int i = 0; i < count; i++) {
        assert_int_equal(batch_reader_next(&r, &record), 1);
        assert_record_is(&record, &samples[i], base_offset + i);
        assert_true(record.timestamp_ms <= h.max_timestamp_ms);
    }
    assert_int_equal(batch_reader_next(&r, &record), 0);
    batch_reader_close(&r);
}

static void records_survive(void **state)
{
    (void)state;
    static struct sample samples[MAX_RECORDS];
    static unsigned char pool[POOL_SIZE];
    struct prng p;
    struct batch_builder b;
    struct bytes batch;

    random_init(&p, __func__);
    random_fill(&p, pool, POOL_SIZE / 4); /* the rest is zeros: some compresses, some does not */
    batch_builder_init(&b);
    bytes_init(&batch);
    for (int round = 0; round < ROUNDS; round++) {
        struct batch_options options = batch_plain_options((enum batch_codec)prng_below(&p, 5));
        int count = 1 + (int)prng_below(&p, MAX_RECORDS);
        int64_t base_offset = (int64_t)prng_below(&p, INT64_MAX / 2);
        options.level = (int)prng_below(&p, 8);
        batch_builder_reset(&b);
        bytes_clear(&batch);
        for (int i = 0; i < count; i++) {
            struct sample *s = &samples[i];
            sample_init(s, &p, pool);
            batch_builder_add(&b, s->timestamp_ms, s->key, s->key_size, s->value, s->value_size, s->headers,
                              s->header_count);
        }
        assert_int_equal(batch_builder_finish(&b, &options, &batch), 0);
        batch_stamp(batch.data, base_offset, round);
        assert_batch_is(&batch, samples, count, base_offset);
    }
    bytes_close(&batch);
    batch_builder_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
