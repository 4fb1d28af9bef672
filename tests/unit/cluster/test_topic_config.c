#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/cluster/metadata.h"
#include "proto/batch.h"
#include "proto/error.h"
#include <string.h>

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct topic_config config;
    topic_config_defaults(&config);
    assert_int_equal(config.retention_ms, 7 * 24 * 3600 * INT64_C(1000));
    assert_int_equal(config.retention_bytes, -1);
    assert_int_equal(config.segment_bytes, 256 << 20);
    assert_int_equal(config.segment_ms, 7 * 24 * 3600 * INT64_C(1000));
    assert_int_equal(config.max_message_bytes, 1048588);
    assert_int_equal(config.min_insync_replicas, 1);
    assert_int_equal(config.compression, -1);
    assert_false(config.log_append_time);
}

static void every_default_can_be_set_again(void **state)
{
    (void)state;
    struct topic_config defaults;
    struct topic_config config;
    char reason[256];
    size_t count;
    const struct topic_config_key *keys = topic_config_keys(&count);
    topic_config_defaults(&defaults);
    config = defaults;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(
            topic_config_set(&config, keys[i].name, keys[i].default_value, reason, sizeof reason), 0);
        assert_true(strlen(keys[i].help) > 0);
    }
    assert_true(topic_config_equal(&config, &defaults));
}

static void sets_values(void **state)
{
    (void)state;
    struct topic_config config;
    char reason[256];
    topic_config_defaults(&config);
    assert_int_equal(topic_config_set(&config, "retention.ms", "-1", reason, sizeof reason), 0);
    assert_int_equal(topic_config_set(&config, "segment.bytes", "65536", reason, sizeof reason), 0);
    assert_int_equal(topic_config_set(&config, "compression.type", "zstd", reason, sizeof reason), 0);
    assert_int_equal(
        topic_config_set(&config, "message.timestamp.type", "LogAppendTime", reason, sizeof reason), 0);
    assert_int_equal(topic_config_set(&config, "min.insync.replicas", "2", reason, sizeof reason), 0);
    assert_int_equal(config.retention_ms, -1);
    assert_int_equal(config.segment_bytes, 65536);
    assert_int_equal(config.compression, BATCH_ZSTD);
    assert_true(config.log_append_time);
    assert_int_equal(config.min_insync_replicas, 2);
    assert_int_equal(topic_config_set(&config, "compression.type", "uncompressed", reason, sizeof reason), 0);
    assert_int_equal(config.compression, BATCH_NONE);
}

struct refusal {
    const char *name;
    const char *value;
    const char *says;
};

static void refuses_with_a_reason_and_changes_nothing(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"retention.ms", "-2", "-1 to 9223372036854775807"},
        {"retention.ms", "99999999999999999999", "out of range"},
        {"retention.ms", "7d", "not a whole number"},
        {"retention.ms", "", "not a whole number"},
        {"retention.ms", " 5", "not a whole number"},
        {"segment.bytes", "65535", "65536 to 1073741824"},
        {"max.message.bytes", "67108865", "1024 to 67108864"},
        {"min.insync.replicas", "0", "1 to 7"},
        {"compression.type", "brotli", "allowed: producer, none, gzip, snappy, lz4, zstd"},
        {"message.timestamp.type", "createtime", "allowed: CreateTime, LogAppendTime"},
        {"cleanup.policy", "compact", "allowed: delete"},
        {"retention.mss", "1", "did you mean retention.ms?"},
        {"zookeeper", "1", "unknown setting zookeeper"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        struct topic_config defaults;
        struct topic_config config;
        char reason[256] = "";
        topic_config_defaults(&defaults);
        config = defaults;
        assert_int_equal(topic_config_set(&config, r->name, r->value, reason, sizeof reason),
                         ERR_INVALID_CONFIG);
        assert_non_null(strstr(reason, r->says));
        assert_non_null(strstr(reason, r->name));
        assert_true(topic_config_equal(&config, &defaults));
    }
}

static void topic_names(void **state)
{
    (void)state;
    char longest[TOPIC_NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[TOPIC_NAME_MAX] = '\0';
    assert_int_equal(topic_name_check(longest), 0);
    longest[TOPIC_NAME_MAX] = 'a';
    longest[TOPIC_NAME_MAX + 1] = '\0';
    assert_int_equal(topic_name_check(longest), ERR_INVALID_TOPIC);
    assert_int_equal(topic_name_check("order.created_v2-eu"), 0);
    assert_int_equal(topic_name_check("..."), 0);
    static const char *const wrong[] = {"", ".", "..", "a b", "a/b", "caf\xc3\xa9", "a\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(topic_name_check(wrong[i]), ERR_INVALID_TOPIC);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(every_default_can_be_set_again),
        cmocka_unit_test(sets_values),
        cmocka_unit_test(refuses_with_a_reason_and_changes_nothing),
        cmocka_unit_test(topic_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
