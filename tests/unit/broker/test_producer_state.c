/* The rules for idempotent producers, one by one, and against a naive model. */
#include "node/base/prng.h"
#include "node/broker/producer_state.h"
#include "proto/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { EXPIRY_MS = 1000 };

static struct batch_header header_of(int64_t id, int16_t epoch, int32_t sequence, int32_t count)
{
    return (struct batch_header){
        .producer_id = id,
        .producer_epoch = epoch,
        .base_sequence = sequence,
        .record_count = count,
        .last_offset_delta = count - 1,
        .max_timestamp_ms = 100,
    };
}

static void apply_at(struct producer_table *t, int64_t id, int16_t epoch, int32_t sequence, int32_t count,
                     int64_t offset, int64_t timestamp_ms)
{
    struct batch_header h = header_of(id, epoch, sequence, count);
    h.base_offset = offset;
    h.max_timestamp_ms = timestamp_ms;
    producer_table_apply(t, &h);
}

static int check(struct producer_table *t, int64_t id, int16_t epoch, int32_t sequence, int32_t count,
                 struct producer_check *found)
{
    struct batch_header h = header_of(id, epoch, sequence, count);
    struct producer_check ignored;
    return producer_table_check(t, &h, found != NULL ? found : &ignored);
}

/* ---- rules on committed state ---- */

struct rule {
    const char *name;
    int16_t epoch; /* of what is committed: five records from `sequence` on */
    int32_t sequence;
    int16_t next_epoch; /* what arrives */
    int32_t next_sequence;
    int32_t next_count;
    int verdict;
};

static const struct rule rules[] = {
    {"the next sequence", 0, 10, 0, 15, 3, PRODUCER_APPEND},
    {"a repeat", 0, 10, 0, 10, 5, PRODUCER_DUPLICATE},
    {"same begin, other length", 0, 10, 0, 10, 4, ERR_OUT_OF_ORDER_SEQUENCE},
    {"inside the last batch", 0, 10, 0, 12, 3, ERR_OUT_OF_ORDER_SEQUENCE},
    {"a gap", 0, 10, 0, 16, 1, ERR_OUT_OF_ORDER_SEQUENCE},
    {"long ago", 0, 10, 0, 0, 5, ERR_OUT_OF_ORDER_SEQUENCE},
    {"a lower epoch", 3, 10, 2, 15, 1, ERR_FENCED_PRODUCER},
    {"a lower epoch's repeat", 3, 10, 2, 10, 5, ERR_FENCED_PRODUCER},
    {"a new epoch at 0", 3, 10, 4, 0, 5, PRODUCER_APPEND},
    {"a new epoch elsewhere", 3, 10, 4, 15, 5, ERR_OUT_OF_ORDER_SEQUENCE},
    {"wrap: last record on the greatest sequence", 0, INT32_MAX - 4, 0, 0, 1, PRODUCER_APPEND},
    {"wrap: not one further", 0, INT32_MAX - 4, 0, 1, 1, ERR_OUT_OF_ORDER_SEQUENCE},
    {"wrap inside a batch", 0, INT32_MAX - 2, 0, 2, 1, PRODUCER_APPEND},
    {"wrap inside a batch, a repeat", 0, INT32_MAX - 2, 0, INT32_MAX - 2, 5, PRODUCER_DUPLICATE},
    {"a negative epoch", 0, 10, -1, 15, 1, ERR_INVALID_ARGUMENT},
    {"a negative sequence", 0, 10, 0, -1, 1, ERR_INVALID_ARGUMENT},
};

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        struct producer_table *t = producer_table_create(EXPIRY_MS);
        apply_at(t, 7, rule->epoch, rule->sequence, 5, 1000, 100);
        struct producer_check found;
        int verdict = check(t, 7, rule->next_epoch, rule->next_sequence, rule->next_count, &found);
        if (verdict != rule->verdict)
            fail_msg("%s: %d instead of %d", rule->name, verdict, rule->verdict);
        if (verdict == PRODUCER_DUPLICATE)
            assert_int_equal(found.batch.base_offset, 1000);
        producer_table_destroy(t);
    }
}

static void test_unknown_producer_accepts_any_sequence(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    assert_int_equal(check(t, 1, 4, 12345, 5, NULL), PRODUCER_APPEND);
    producer_table_destroy(t);
}

static void test_remembers_five_batches(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    for (int i = 0; i < 6; i++)
        apply_at(t, 1, 0, i, 1, 100 + i, 100);
    assert_int_equal(check(t, 1, 0, 0, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE);
    for (int i = 1; i < 6; i++) {
        struct producer_check found;
        assert_int_equal(check(t, 1, 0, i, 1, &found), PRODUCER_DUPLICATE);
        assert_int_equal(found.batch.base_offset, 100 + i);
    }
    producer_table_destroy(t);
}

static void test_batches_without_producer_leave_no_trace(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    apply_at(t, -1, -1, -1, 1, 0, 100);
    assert_int_equal(producer_table_count(t), 0);
    producer_table_destroy(t);
}

/* ---- pending ---- */

static void begin(struct producer_table *t, struct producer_pending *pending, int16_t epoch, int32_t sequence,
                  int32_t count)
{
    struct batch_header h = header_of(1, epoch, sequence, count);
    producer_table_begin(t, &h, pending);
}

static void test_pending_batches_count(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    struct producer_pending first, second;
    begin(t, &first, 0, 100, 10);
    assert_int_equal(check(t, 1, 0, 110, 1, NULL), PRODUCER_APPEND);
    begin(t, &second, 0, 110, 1);
    assert_int_equal(check(t, 1, 0, 112, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE);

    struct producer_check found;
    assert_int_equal(check(t, 1, 0, 100, 10, &found), PRODUCER_REPEAT);
    assert_ptr_equal(found.pending, &first);
    assert_int_equal(check(t, 1, 0, 110, 1, &found), PRODUCER_REPEAT);
    assert_ptr_equal(found.pending, &second);
    assert_int_equal(producer_table_count(t), 0); /* nothing is committed yet */

    apply_at(t, 1, 0, 100, 10, 5, 100);
    producer_table_end(t, &first);
    assert_int_equal(check(t, 1, 0, 100, 10, &found), PRODUCER_DUPLICATE);
    assert_int_equal(found.batch.base_offset, 5);
    assert_int_equal(check(t, 1, 0, 111, 1, NULL), PRODUCER_APPEND);

    producer_table_end(t, &second); /* its outcome is unknown: what is committed counts again */
    assert_int_equal(check(t, 1, 0, 110, 1, NULL), PRODUCER_APPEND);
    producer_table_destroy(t);
}

static void test_lost_first_batch_makes_the_producer_unknown_again(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    struct producer_pending pending;
    begin(t, &pending, 0, 0, 10);
    producer_table_end(t, &pending);
    assert_int_equal(check(t, 1, 0, 77, 1, NULL), PRODUCER_APPEND);
    producer_table_destroy(t);
}

static void test_pending_epoch_fences(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    apply_at(t, 1, 0, 0, 1, 0, 100);
    struct producer_pending pending;
    begin(t, &pending, 1, 0, 1);
    assert_int_equal(check(t, 1, 0, 1, 1, NULL), ERR_FENCED_PRODUCER);
    assert_int_equal(check(t, 1, 1, 1, 1, NULL), PRODUCER_APPEND);
    producer_table_end(t, &pending);
    assert_int_equal(check(t, 1, 0, 1, 1, NULL), PRODUCER_APPEND);
    producer_table_destroy(t);
}

/* ---- expiry ---- */

static void test_expires_by_the_log_s_clock(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    apply_at(t, 1, 0, 0, 1, 0, 5000);
    apply_at(t, 2, 0, 0, 1, 1, 5000 + EXPIRY_MS);
    assert_int_equal(check(t, 1, 0, 9, 1, NULL), ERR_OUT_OF_ORDER_SEQUENCE); /* still known */
    apply_at(t, 2, 0, 1, 1, 2, 5000 + EXPIRY_MS + 1);
    assert_int_equal(check(t, 1, 0, 9, 1, NULL), PRODUCER_APPEND); /* forgotten */
    assert_int_equal(producer_table_count(t), 1);
    producer_table_destroy(t);
}

static void test_old_records_do_not_expire_their_producer(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    apply_at(t, 1, 0, 0, 1, 0, 1000000);
    apply_at(t, 2, 0, 0, 1, 1, 5); /* sends last year's events */
    assert_int_equal(check(t, 2, 0, 0, 1, NULL), PRODUCER_DUPLICATE);
    producer_table_destroy(t);
}

static void test_number_of_producers_is_bounded(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    for (int64_t id = 0; id <= PRODUCERS_MAX; id++)
        apply_at(t, id, 0, 0, 1, id, 100);
    assert_int_equal(producer_table_count(t), PRODUCERS_MAX);
    assert_int_equal(check(t, 0, 0, 9, 1, NULL), PRODUCER_APPEND); /* the longest silent one went */
    assert_int_equal(check(t, 1, 0, 0, 1, NULL), PRODUCER_DUPLICATE);
    producer_table_destroy(t);
}

static void test_forgetting_spares_what_is_pending(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    apply_at(t, 1, 0, 0, 1, 0, 100);
    struct producer_pending pending;
    begin(t, &pending, 0, 1, 1);
    apply_at(t, 2, 0, 0, 1, 1, 100 + 2 * EXPIRY_MS);
    assert_int_equal(producer_table_count(t), 1);
    assert_int_equal(check(t, 1, 0, 1, 1, NULL), PRODUCER_REPEAT);
    assert_int_equal(check(t, 1, 0, 2, 1, NULL), PRODUCER_APPEND);
    producer_table_end(t, &pending);
    producer_table_destroy(t);
}

/* ---- loading: bytes from a disk ---- */

static void test_load_refuses_nonsense(void **state)
{
    (void)state;
    struct producer_table *t = producer_table_create(EXPIRY_MS);
    struct producer_batch good[2] = {{0, 4, 0, 100}, {5, 9, 5, 200}};
    struct producer_batch backwards[2] = {{0, 4, 0, 200}, {5, 9, 5, 100}};
    struct producer_batch negative = {-1, 4, 0, 100};
    assert_int_equal(producer_table_load(t, 1, 0, good, 0), ERR_CORRUPT);
    assert_int_equal(producer_table_load(t, 1, 0, good, PRODUCER_BATCHES + 1), ERR_CORRUPT);
    assert_int_equal(producer_table_load(t, -1, 0, good, 2), ERR_CORRUPT);
    assert_int_equal(producer_table_load(t, 1, -1, good, 2), ERR_CORRUPT);
    assert_int_equal(producer_table_load(t, 1, 0, backwards, 2), ERR_CORRUPT);
    assert_int_equal(producer_table_load(t, 1, 0, &negative, 1), ERR_CORRUPT);
    assert_int_equal(producer_table_count(t), 0);
    assert_int_equal(producer_table_load(t, 1, 0, good, 2), 0);
    assert_int_equal(producer_table_load(t, 1, 0, good, 2), ERR_CORRUPT); /* twice the same */
    assert_int_equal(producer_table_load(t, 2, 0, good, 1),
                     ERR_CORRUPT); /* heard of before the one before it */
    producer_table_destroy(t);
}

/* ---- random: two replicas and a model that remembers everything ---- */

enum { MODEL_PRODUCERS = 6, MODEL_STEPS = 20000 };

struct model_producer {
    int16_t epoch;
    unsigned count;
    struct producer_batch all[PRODUCER_BATCHES];
    int64_t last_ms;
};

struct model {
    struct model_producer producers[MODEL_PRODUCERS];
    int64_t clock_ms;
    bool has_begun; /* the clock is the first batch's, however early that is */
};

static void model_apply(struct model *m, const struct batch_header *h)
{
    struct model_producer *p = &m->producers[h->producer_id];
    if (!m->has_begun || h->max_timestamp_ms > m->clock_ms)
        m->clock_ms = h->max_timestamp_ms;
    m->has_begun = true;
    if (p->count > 0 && p->epoch != h->producer_epoch)
        p->count = 0;
    p->epoch = h->producer_epoch;
    if (p->count == PRODUCER_BATCHES)
        memmove(p->all, p->all + 1, --p->count * sizeof p->all[0]);
    p->all[p->count++] = (struct producer_batch){
        h->base_sequence,
        (int32_t)(((uint32_t)h->base_sequence + (uint32_t)h->record_count - 1) % (1u << 31)), h->base_offset,
        0};
    p->last_ms = m->clock_ms;
    for (int i = 0; i < MODEL_PRODUCERS; i++)
        if (m->clock_ms - m->producers[i].last_ms > EXPIRY_MS)
            m->producers[i].count = 0;
}

static int model_check(const struct model *m, const struct batch_header *h, int64_t *offset)
{
    const struct model_producer *p = &m->producers[h->producer_id];
    if (p->count == 0)
        return PRODUCER_APPEND;
    if (h->producer_epoch != p->epoch)
        return h->producer_epoch < p->epoch
                   ? ERR_FENCED_PRODUCER
                   : (h->base_sequence == 0 ? PRODUCER_APPEND : ERR_OUT_OF_ORDER_SEQUENCE);
    uint32_t last = ((uint32_t)h->base_sequence + (uint32_t)h->record_count - 1) % (1u << 31);
    for (unsigned i = 0; i < p->count; i++) {
        if (p->all[i].base_sequence == h->base_sequence && (uint32_t)p->all[i].last_sequence == last) {
            *offset = p->all[i].base_offset;
            return PRODUCER_DUPLICATE;
        }
    }
    uint32_t next = ((uint32_t)p->all[p->count - 1].last_sequence + 1) % (1u << 31);
    return (uint32_t)h->base_sequence == next ? PRODUCER_APPEND : ERR_OUT_OF_ORDER_SEQUENCE;
}

static struct batch_header random_header(struct prng *random, const struct model *m)
{
    int64_t id = (int64_t)prng_below(random, MODEL_PRODUCERS);
    const struct model_producer *p = &m->producers[id];
    int32_t count = 1 + (int32_t)prng_below(random, 3);
    int16_t epoch = p->epoch;
    int32_t sequence = INT32_MAX - (int32_t)prng_below(random, 3);
    if (p->count > 0) {
        const struct producer_batch *known = &p->all[prng_below(random, p->count)];
        const struct producer_batch *last = &p->all[p->count - 1];
        switch (prng_below(random, 8)) {
        case 0: /* a repeat, or nearly one */
            sequence = known->base_sequence;
            count =
                1 + (int32_t)(((uint32_t)known->last_sequence - (uint32_t)known->base_sequence) % (1u << 31));
            break;
        case 1: /* anywhere */
            sequence = (int32_t)prng_below(random, 5);
            break;
        case 2: /* another epoch */
            epoch = (int16_t)(epoch + (int16_t)prng_below(random, 2) * 2 - 1);
            epoch = epoch < 0 ? 0 : epoch;
            sequence = (int32_t)prng_below(random, 2);
            break;
        default:
            sequence = (int32_t)(((uint32_t)last->last_sequence + 1) % (1u << 31));
        }
    }
    struct batch_header h = header_of(id, epoch, sequence, count);
    h.max_timestamp_ms = m->clock_ms + (int64_t)prng_below(random, 300) - 150;
    return h;
}

static void load_copy(void *data, int64_t id, int16_t epoch, const struct producer_batch *batches,
                      unsigned count)
{
    assert_int_equal(producer_table_load(data, id, epoch, batches, count), 0);
}

static struct producer_table *copy_of(const struct producer_table *t)
{
    struct producer_table *copy = producer_table_create(EXPIRY_MS);
    producer_table_each(t, load_copy, copy);
    return copy;
}

static void compare(struct producer_table *t, const struct model *m, const struct batch_header *h)
{
    int64_t offset = -1;
    struct producer_check found;
    int verdict = producer_table_check(t, h, &found);
    assert_int_equal(verdict, model_check(m, h, &offset));
    if (verdict == PRODUCER_DUPLICATE)
        assert_int_equal(found.batch.base_offset, offset);
}

static void test_random_against_a_model(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    struct prng random;
    prng_init(&random, seed);
    struct model m = {.clock_ms = 1};
    struct producer_table *leader = producer_table_create(EXPIRY_MS);
    struct producer_table *follower = producer_table_create(EXPIRY_MS);
    int64_t offset = 0;
    unsigned duplicates = 0;
    for (int step = 0; step < MODEL_STEPS; step++) {
        struct batch_header h = random_header(&random, &m);
        compare(leader, &m, &h);
        compare(follower, &m, &h); /* might lead by now */
        int64_t ignored;
        int verdict = model_check(&m, &h, &ignored);
        duplicates += verdict == PRODUCER_DUPLICATE;
        if (verdict == PRODUCER_APPEND) {
            h.base_offset = offset;
            offset += h.record_count;
            producer_table_apply(leader, &h);
            producer_table_apply(follower, &h);
            model_apply(&m, &h);
        }
        if (prng_below(&random, 50) == 0) { /* the follower is rebuilt from a snapshot */
            producer_table_destroy(follower);
            follower = copy_of(leader);
        }
    }
    assert_true(duplicates > 100);
    producer_table_destroy(leader);
    producer_table_destroy(follower);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_unknown_producer_accepts_any_sequence),
        cmocka_unit_test(test_remembers_five_batches),
        cmocka_unit_test(test_batches_without_producer_leave_no_trace),
        cmocka_unit_test(test_pending_batches_count),
        cmocka_unit_test(test_lost_first_batch_makes_the_producer_unknown_again),
        cmocka_unit_test(test_pending_epoch_fences),
        cmocka_unit_test(test_expires_by_the_log_s_clock),
        cmocka_unit_test(test_old_records_do_not_expire_their_producer),
        cmocka_unit_test(test_number_of_producers_is_bounded),
        cmocka_unit_test(test_forgetting_spares_what_is_pending),
        cmocka_unit_test(test_load_refuses_nonsense),
        cmocka_unit_test(test_random_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
