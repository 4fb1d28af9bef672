/* Templates of `consume --format`, and records as JSON. */
#include "client/cli/format.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct flotilla_header headers[] = {{"trace", 5, "7f", 2}, {"empty", 5, NULL, 0}};

static struct flotilla_record record(void)
{
    return (struct flotilla_record){.topic = "orders",
                                    .partition = 3,
                                    .offset = 12345678901,
                                    .timestamp_ms = 1767225600123,
                                    .key = "customer-7",
                                    .key_size = 10,
                                    .value = "two words",
                                    .value_size = 9,
                                    .headers = headers,
                                    .header_count = 2};
}

static char *formatted(const char *format, const struct flotilla_record *r, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    assert_non_null(out);
    format_record(out, format, r);
    fclose(out);
    return text;
}

static void assert_formatted(const char *format, const struct flotilla_record *r, const void *expected,
                             size_t expected_size)
{
    size_t size = 0;
    char *text = formatted(format, r, &size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(text, expected, expected_size);
    free(text);
}

static void every_token(void **state)
{
    (void)state;
    const struct flotilla_record r = record();
    static const char expected[] = "orders/3@12345678901 1767225600123 customer-7(10)=two words(9) "
                                   "trace=7f,empty= 100%";
    assert_formatted("%t/%p@%o %T %k(%K)=%s(%S) %h 100%%", &r, expected, sizeof(expected) - 1);
}

static void null_is_not_empty(void **state)
{
    (void)state;
    struct flotilla_record r = record();
    r.key = r.value = NULL;
    r.key_size = r.value_size = 0;
    assert_formatted("%K%S", &r, "-1-1", 4);
    r.key = r.value = "";
    assert_formatted("%K%S", &r, "00", 2);
}

static void escapes(void **state)
{
    (void)state;
    const struct flotilla_record r = record();
    static const char expected[] = "a\tb\r\n\0\\\x01\xff\\q\\";
    assert_formatted("a\\tb\\r\\n\\0\\\\\\x01\\xFF\\q\\", &r, expected, sizeof(expected) - 1);
    assert_formatted("\\x1", &r, "\\x1", 3);
}

static void binary_passes_unchanged(void **state)
{
    (void)state;
    struct flotilla_record r = record();
    r.value = "\0\xff\n%s\0";
    r.value_size = 6;
    assert_formatted("%s", &r, r.value, 6);
}

static void wrong_templates(void **state)
{
    (void)state;
    char reason[128];
    assert_null(format_check("%s %k %o %p %t %T %h %S %K %% \\n plain", reason, sizeof(reason)));
    assert_non_null(format_check("%q", reason, sizeof(reason)));
    assert_non_null(strstr(reason, "%q"));
    assert_non_null(format_check("ends in %", reason, sizeof(reason)));
    assert_null(format_check("", reason, sizeof(reason)));
}

static json_t *as_json(const struct flotilla_record *r)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    format_record_json(out, r);
    fclose(out);
    assert_int_equal(text[size - 1], '\n');
    assert_ptr_equal(memchr(text, '\n', size), text + size - 1);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static void json_of_text(void **state)
{
    (void)state;
    const struct flotilla_record r = record();
    json_t *root = as_json(&r), *list = json_object_get(root, "headers");
    assert_string_equal(json_string_value(json_object_get(root, "topic")), "orders");
    assert_int_equal(json_integer_value(json_object_get(root, "partition")), 3);
    assert_int_equal(json_integer_value(json_object_get(root, "offset")), 12345678901);
    assert_int_equal(json_integer_value(json_object_get(root, "timestamp")), 1767225600123);
    assert_string_equal(json_string_value(json_object_get(root, "key")), "customer-7");
    assert_string_equal(json_string_value(json_object_get(root, "value")), "two words");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "value")), "7f");
    assert_true(json_is_null(json_object_get(json_array_get(list, 1), "value")));
    json_decref(root);
}

static void json_of_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *base64;
    } cases[] = {{"\xff", 1, "/w=="},
                 {"\xff\xfe", 2, "//4="},
                 {"\xff\xfe\xfd", 3, "//79"},
                 {"a\x80"
                  "bc",
                  4, "YYBiYw=="}};
    struct flotilla_record r = record();
    r.key = NULL;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        r.value = cases[i].bytes;
        r.value_size = cases[i].size;
        json_t *root = as_json(&r);
        assert_null(json_object_get(root, "value"));
        assert_string_equal(json_string_value(json_object_get(root, "value_base64")), cases[i].base64);
        assert_true(json_is_null(json_object_get(root, "key")));
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token),     cmocka_unit_test(null_is_not_empty),
        cmocka_unit_test(escapes),         cmocka_unit_test(binary_passes_unchanged),
        cmocka_unit_test(wrong_templates), cmocka_unit_test(json_of_text),
        cmocka_unit_test(json_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
