/* The judge of every fault test must itself notice each kind of wrong: each test spoils one thing. */
#include "client/cli/workload/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 100, PARTITIONS = 3 };

struct story {
    struct ledger ledger;
    struct ledger_reader reader;
    int64_t next[PARTITIONS];
    char text[32];
};

static const void *expected_value(void *data, uint64_t number, size_t *size)
{
    struct story *s = data;
    *size = (size_t)snprintf(s->text, sizeof(s->text), "value %d", (int)number);
    return s->text;
}

static void acknowledge(struct story *s, uint64_t number, int64_t offset)
{
    const struct flotilla_delivery d = {.partition = (int32_t)(number % PARTITIONS), .offset = offset};
    ledger_acknowledge(&s->ledger, number, &d);
}

static void read_value(struct story *s, uint64_t number, int64_t offset, const char *value)
{
    unsigned char bytes[LEDGER_HEADER_SIZE];
    struct flotilla_header header;
    ledger_header(bytes, number, &header);
    const struct flotilla_record r = {.partition = (int32_t)(number % PARTITIONS),
                                      .offset = offset,
                                      .value = value,
                                      .value_size = strlen(value),
                                      .headers = &header,
                                      .header_count = 1};
    ledger_read(&s->reader, &r, expected_value, s);
}

static void read_back(struct story *s, uint64_t number, int64_t offset)
{
    char value[32];
    snprintf(value, sizeof(value), "value %d", (int)number);
    read_value(s, number, offset, value);
}

static int64_t offset_of(uint64_t number)
{
    return (int64_t)(number / PARTITIONS);
}

static void begin(struct story *s)
{
    memset(s, 0, sizeof(*s));
    ledger_init(&s->ledger, COUNT);
    ledger_reader_init(&s->reader, "reader", COUNT);
    for (uint64_t n = 0; n < COUNT; n++) {
        acknowledge(s, n, offset_of(n));
    }
}

static void read_from_to(struct story *s, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        read_back(s, n, offset_of(n));
    }
}

static struct ledger_verdict end(struct story *s)
{
    struct ledger_verdict v = ledger_judge(&s->ledger, &s->reader);
    ledger_reader_close(&s->reader);
    ledger_close(&s->ledger);
    return v;
}

static void clean(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    read_from_to(&s, 0, COUNT);
    struct ledger_verdict v = end(&s);
    assert_true(ledger_clean(&v));
    assert_int_equal(v.acknowledged, COUNT);
    assert_int_equal(v.read, COUNT);
}

static void one_lost(void **state)
{
    (void)state;
    for (uint64_t lost = 0; lost < COUNT; lost += 33) {
        struct story s;
        begin(&s);
        read_from_to(&s, 0, lost);
        read_from_to(&s, lost + 1, COUNT);
        struct ledger_verdict v = end(&s);
        assert_false(ledger_clean(&v));
        assert_int_equal(v.lost, 1);
        assert_int_equal(v.read, COUNT - 1);
    }
}

/* Read, but not where the acknowledgement said: another record stands there. */
static void at_another_offset(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    read_from_to(&s, 0, COUNT - 1);
    read_back(&s, COUNT - 1, offset_of(COUNT - 1) + 1);
    struct ledger_verdict v = end(&s);
    assert_false(ledger_clean(&v));
    assert_int_equal(v.lost, 1);
}

static void one_twice(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    read_from_to(&s, 0, COUNT);
    read_back(&s, COUNT - 1, offset_of(COUNT - 1) + 1);
    struct ledger_verdict v = end(&s);
    assert_false(ledger_clean(&v));
    assert_int_equal(v.duplicated, 1);
}

/* Counted one by one, however often: the 8-bit counters do not come round to "never seen". */
static void one_very_often(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    read_from_to(&s, 0, COUNT);
    for (int i = 0; i < 1000; i++) {
        read_back(&s, COUNT - 1, offset_of(COUNT - 1) + 1 + i);
    }
    struct ledger_verdict v = end(&s);
    assert_int_equal(v.duplicated, 1000);
    assert_int_equal(v.read, COUNT);
}

static void two_exchanged(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    read_from_to(&s, 0, COUNT - 4);
    read_back(&s, COUNT - 1, offset_of(COUNT - 4));
    read_back(&s, COUNT - 3, offset_of(COUNT - 3));
    read_back(&s, COUNT - 2, offset_of(COUNT - 2));
    read_back(&s, COUNT - 4, offset_of(COUNT - 1));
    struct ledger_verdict v = end(&s);
    assert_false(ledger_clean(&v));
    assert_int_equal(v.out_of_order, 1);
    assert_int_equal(v.lost, 2);
}

static void offsets_go_back(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    read_from_to(&s, 0, COUNT - 1);
    read_back(&s, COUNT - 1, offset_of(COUNT - 4));
    struct ledger_verdict v = end(&s);
    assert_int_equal(v.out_of_order, 1);
}

static void altered(void **state)
{
    (void)state;
    static const char *const values[] = {"value 98", "value 99 ", "", "Value 99"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct story s;
        begin(&s);
        read_from_to(&s, 0, COUNT - 1);
        read_value(&s, COUNT - 1, offset_of(COUNT - 1), values[i]);
        struct ledger_verdict v = end(&s);
        assert_false(ledger_clean(&v));
        assert_int_equal(v.altered, 1);
    }
}

/* Records that nobody sent: without a number, and with one that does not exist. */
static void invented(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    read_from_to(&s, 0, COUNT);
    const struct flotilla_record bare = {.value = "x", .value_size = 1, .offset = 1000};
    ledger_read(&s.reader, &bare, expected_value, &s);
    read_back(&s, COUNT, 1001);
    struct ledger_verdict v = end(&s);
    assert_false(ledger_clean(&v));
    assert_int_equal(v.altered, 2);
    assert_int_equal(v.read, COUNT);
}

/* What failed may be missing, and may be there: neither breaks a promise. */
static void failed_is_not_acknowledged(void **state)
{
    (void)state;
    struct story s;
    memset(&s, 0, sizeof(s));
    ledger_init(&s.ledger, COUNT);
    ledger_reader_init(&s.reader, "reader", COUNT);
    const struct flotilla_delivery failed = {.status = FLOTILLA_ERR_TIMED_OUT, .offset = -1};
    ledger_acknowledge(&s.ledger, 0, &failed);
    ledger_acknowledge(&s.ledger, 3, &failed);
    acknowledge(&s, 6, 1);
    read_back(&s, 3, 0);
    read_back(&s, 6, 1);
    assert_int_equal(s.ledger.failed, 2);
    struct ledger_verdict v = end(&s);
    assert_true(ledger_clean(&v));
    assert_int_equal(v.acknowledged, 1);
    assert_int_equal(v.read, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean),
        cmocka_unit_test(one_lost),
        cmocka_unit_test(at_another_offset),
        cmocka_unit_test(one_twice),
        cmocka_unit_test(one_very_often),
        cmocka_unit_test(two_exchanged),
        cmocka_unit_test(offsets_go_back),
        cmocka_unit_test(altered),
        cmocka_unit_test(invented),
        cmocka_unit_test(failed_is_not_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
