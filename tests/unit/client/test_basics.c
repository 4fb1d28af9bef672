/* Options, errors, the partitioner and the timers. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "client/core/options.h"
#include "client/core/timer.h"
#include "proto/batch.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

static void errors_have_the_same_numbers_as_the_wire(void **state)
{
    (void)state;
#define X(name, number, cls, text)                                                                           \
    assert_int_equal(FLOTILLA_ERR_##name, ERR_##name);                                                       \
    assert_string_equal(flotilla_error_text(FLOTILLA_ERR_##name), text);                                     \
    assert_int_equal(flotilla_error_class_of(FLOTILLA_ERR_##name), (int)FLOTILLA_CLASS_##cls);
    ERROR_TABLE(X)
#undef X
    assert_int_equal(flotilla_error_class_of(0), FLOTILLA_CLASS_NONE);
    assert_string_equal(flotilla_error_name(FLOTILLA_ERR_NOT_LEADER), "not_leader");
    assert_string_equal(flotilla_error_name(-999), "unknown");
}

static void check_refused(struct flotilla_options *o, const char *name, const char *value, const char *says)
{
    char error[200];

    assert_int_equal(flotilla_options_set(o, name, value, error, sizeof(error)),
                     FLOTILLA_ERR_INVALID_ARGUMENT);
    if (strstr(error, says) == NULL)
        fail_msg("'%s' is not in: %s", says, error);
}

static void options_are_checked_and_explained(void **state)
{
    struct flotilla_options *o = flotilla_options_create();
    struct client_settings s;

    (void)state;
    check_refused(o, "ack", "all", "did you mean acks?");
    check_refused(o, "linger_ms", "1", "linger.ms");
    check_refused(o, "acks", "2", "all 1 0");
    check_refused(o, "in.flight", "6", "1 to 5");
    check_refused(o, "batch.bytes", "10t", "suffixes");
    check_refused(o, "batch.bytes", "-1", "not a number");
    check_refused(o, "linger.ms", "5k", "not a number");
    check_refused(o, "buffer.bytes", "99999999999999999999", "not a number");
    check_refused(o, "client.id", "", "1 to 249");
    assert_int_equal(flotilla_options_set(o, "batch.bytes", "2m", NULL, 0), 0);
    assert_int_equal(flotilla_options_set(o, "compression", "zstd", NULL, 0), 0);
    assert_int_equal(flotilla_options_set(o, "acks", "1", NULL, 0), 0);
    assert_string_equal(flotilla_options_get(o, "batch.bytes"), "2m");
    assert_null(flotilla_options_get(o, "batch"));
    client_settings_from(&s, o);
    assert_int_equal(s.batch_bytes, 2 * 1024 * 1024);
    assert_int_equal(s.compression, BATCH_ZSTD);
    assert_int_equal(s.acks, ACKS_OPTION_LEADER);
    client_settings_from(&s, NULL);
    assert_int_equal(s.acks, ACKS_OPTION_ALL);
    assert_int_equal(s.idempotence, 1);
    flotilla_options_destroy(o);
}

/* The choices of `compression` stand in the order of the codecs. */
static void compression_names_are_the_codecs_names(void **state)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4", "zstd"};

    (void)state;
    for (int i = BATCH_GZIP; i <= BATCH_ZSTD; i++)
        assert_int_equal(batch_codec_parse(names[i]), i);
}

/* The vectors of Kafka's own tests of its hash, and behind them those that librdkafka checks itself with:
 * every length of the unaligned end, and nothing at all. */
static void keys_go_where_kafka_clients_send_them(void **state)
{
    static const struct {
        const char *key;
        uint32_t hash;
    } vectors[] = {
        {"21", (uint32_t)-973932308},
        {"foobar", (uint32_t)-790332482},
        {"a-little-bit-long-string", (uint32_t)-985981536},
        {"a-little-bit-longer-string", (uint32_t)-1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", (uint32_t)-58897971},
        {"abc", 479470107},
        {"kafka", 0xd067cf64},
        {"amqp", 767747138},
        {"giberish123456789", 0x8f552b0c},
        {"1234", 0x9fc97b14},
        {"234", 0xe7c009ca},
        {"34", 0x873930da},
        {"4", 0x5a4b5ca1},
        {"", 0x106e08d9},
    };
    static const int32_t counts[] = {1, 2, 3, 6, 12, 100, 1000003};

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++)
            assert_int_equal(flotilla_partition_for_key(vectors[i].key, strlen(vectors[i].key), counts[j]),
                             (int32_t)(vectors[i].hash & 0x7fffffff) % counts[j]);
}

static void timers_come_in_order(void **state)
{
    enum { COUNT = 1000 };
    struct core_timers timers = {0};
    static struct core_timer all[COUNT];
    uint64_t random = 42;
    uint64_t last = 0;
    int armed = COUNT;

    (void)state;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < COUNT; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            core_timer_set(&timers, &all[i], 1 + (random >> 50));
        }
    for (int i = 0; i < COUNT; i += 3, armed--)
        core_timer_clear(&timers, &all[i]);
    assert_null(core_timers_pop(&timers, 0));
    for (int i = 0; i < armed; i++) {
        struct core_timer *t = core_timers_pop(&timers, UINT64_MAX - 1);
        assert_non_null(t);
        assert_true(t->at_ns >= last);
        assert_int_not_equal((t - all) % 3, 0);
        last = t->at_ns;
    }
    assert_true(core_timers_next(&timers) == UINT64_MAX);
    core_timers_close(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_the_same_numbers_as_the_wire),
        cmocka_unit_test(options_are_checked_and_explained),
        cmocka_unit_test(compression_names_are_the_codecs_names),
        cmocka_unit_test(keys_go_where_kafka_clients_send_them),
        cmocka_unit_test(timers_come_in_order),
    };
    return cmocka_run_group_tests_name("client/basics", tests, NULL, NULL);
}
