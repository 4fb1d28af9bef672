#include "proto/error.h"
#include "tests/unit/proto/helper_cmocka.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

static const struct {
    const char *name;
    int code;
} table[] = {
#define X(name, number, cls, text) {#name, number},
    ERROR_TABLE(X)
#undef X
};
enum { COUNT = sizeof(table) / sizeof(table[0]) };

static void names_and_numbers_are_unique(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(table[i].code, table[j].code);
            assert_string_not_equal(table[i].name, table[j].name);
            assert_string_not_equal(error_text(table[i].code), error_text(table[j].code));
        }
    }
}

/* The look-up relies on it, and so does everybody who stored a number. */
static void numbers_count_down_from_minus_one(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(table[i].code, -(i + 1));
}

static void names_are_the_table_s_in_lower_case(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        const char *name = error_name(table[i].code);
        assert_int_equal(strlen(name), strlen(table[i].name));
        for (size_t c = 0; name[c] != '\0'; c++)
            assert_int_equal(name[c], tolower((unsigned char)table[i].name[c]));
    }
    assert_string_equal(error_name(ERR_NOT_LEADER), "not_leader");
    assert_string_equal(error_name(0), "ok");
}

static void texts_are_sentences_without_full_stop(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        const char *text = error_text(table[i].code);
        assert_true(strlen(text) > 0);
        /* "not . or .." is the one that may end in dots */
        if (table[i].code != ERR_INVALID_TOPIC)
            assert_int_not_equal(text[strlen(text) - 1], '.');
    }
}

static void numbers_outside_the_table_are_unknown(void **state)
{
    (void)state;
    const int outside[] = {1, 4711, -(COUNT + 1), -4711, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        assert_string_equal(error_name(outside[i]), "unknown");
        assert_string_equal(error_text(outside[i]), error_text(ERR_UNKNOWN));
        assert_int_equal(error_class_of(outside[i]), ERROR_FATAL);
    }
}

static void classes_say_what_to_do_next(void **state)
{
    (void)state;
    assert_int_equal(error_class_of(0), ERROR_NONE);
    assert_int_equal(error_class_of(ERR_NOT_LEADER), ERROR_RETRIABLE);
    assert_int_equal(error_class_of(ERR_TIMED_OUT), ERROR_OUTCOME_UNKNOWN);
    assert_int_equal(error_class_of(ERR_CORRUPT), ERROR_BAD_ARGUMENT);
    assert_int_equal(error_class_of(ERR_FENCED_PRODUCER), ERROR_FENCED);
    assert_int_equal(error_class_of(ERR_IO), ERROR_FATAL);
}

static void errno_of_either_sign_is_translated(void **state)
{
    (void)state;
    assert_int_equal(error_from_errno(0), 0);
    assert_int_equal(error_from_errno(ENOSPC), ERR_NO_SPACE);
    assert_int_equal(error_from_errno(-ENOSPC), ERR_NO_SPACE);
    assert_int_equal(error_from_errno(-ECONNREFUSED), ERR_CONNECTION_REFUSED);
    assert_int_equal(error_from_errno(-ECONNRESET), ERR_CONNECTION_LOST);
    assert_int_equal(error_from_errno(-EHOSTUNREACH), ERR_UNREACHABLE);
    assert_int_equal(error_from_errno(ENOENT), ERR_NOT_FOUND);
    assert_int_equal(error_from_errno(EIO), ERR_IO);
    assert_int_equal(error_from_errno(-4095), ERR_CLOSED); /* libuv's end of file */
    assert_int_equal(error_from_errno(12345), ERR_UNKNOWN);
    for (int e = 1; e < 134; e++)
        assert_true(error_from_errno(e) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers_are_unique),
        cmocka_unit_test(numbers_count_down_from_minus_one),
        cmocka_unit_test(names_are_the_table_s_in_lower_case),
        cmocka_unit_test(texts_are_sentences_without_full_stop),
        cmocka_unit_test(numbers_outside_the_table_are_unknown),
        cmocka_unit_test(classes_say_what_to_do_next),
        cmocka_unit_test(errno_of_either_sign_is_translated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
