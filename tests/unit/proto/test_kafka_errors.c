#include "proto/error.h"
#include "proto/kafka/errors.h"
#include "tests/unit/proto/helper_cmocka.h"

/* What a client must do next survives the translation. */
static void test_codes_that_clients_act_on(void **state)
{
    (void)state;
    assert_int_equal(kafka_error_from(0), KAFKA_ERR_NONE);
    assert_int_equal(kafka_error_from(ERR_NOT_LEADER), 6);
    assert_int_equal(kafka_error_from(ERR_NOT_REPLICA), 6);
    assert_int_equal(kafka_error_from(ERR_UNKNOWN_TOPIC), 3);
    assert_int_equal(kafka_error_from(ERR_OFFSET_OUT_OF_RANGE), 1);
    assert_int_equal(kafka_error_from(ERR_CORRUPT), 2);
    assert_int_equal(kafka_error_from(ERR_OUT_OF_ORDER_SEQUENCE), 45);
    assert_int_equal(kafka_error_from(ERR_FENCED_PRODUCER), 47);
    assert_int_equal(kafka_error_from(ERR_OUTCOME_UNKNOWN), 7);
    assert_int_equal(kafka_error_from(ERR_COORDINATOR_LOADING), 14);
    assert_int_equal(kafka_error_from(ERR_UNKNOWN_MEMBER), 25);
    assert_int_equal(kafka_error_from(-9999), KAFKA_ERR_UNKNOWN_SERVER_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_that_clients_act_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
