#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/metrics.h"
#include <math.h>
#include <string.h>

static double gauge_value(void *data)
{
    return *(double *)data;
}

/* What the registry prints, zero-terminated in `out`. */
static const char *print(const struct metrics *m, struct bytes *out)
{
    bytes_clear(out);
    metrics_print(m, out);
    bytes_put_u8(out, 0);
    return (const char *)out->data;
}

static void metrics_of_one_name_stand_together(void **state)
{
    (void)state;
    struct metrics m;
    struct metric a;
    struct metric b;
    struct metric other;
    uint64_t one = 1;
    uint64_t two = 2;
    double level = 2.5;
    struct bytes out;
    bytes_init(&out);
    metrics_init(&m);
    metrics_add_counter(&m, &a, "x_total", "Things.", "n=\"1\"", &one);
    metrics_add_gauge(&m, &other, "level", "Level.", NULL, gauge_value, &level);
    metrics_add_counter(&m, &b, "x_total", "Things.", "n=\"2\"", &two);
    assert_string_equal(print(&m, &out), "# HELP level Level.\n# TYPE level gauge\nlevel 2.5\n"
                                         "# HELP x_total Things.\n# TYPE x_total counter\n"
                                         "x_total{n=\"1\"} 1\nx_total{n=\"2\"} 2\n");
    metrics_remove(&a);
    metrics_remove(&b);
    level = INFINITY;
    assert_non_null(strstr(print(&m, &out), "\nlevel +Inf\n"));
    level = NAN;
    assert_non_null(strstr(print(&m, &out), "\nlevel NaN\n"));
    metrics_remove(&other);
    metrics_close(&m);
    bytes_close(&out);
}

static void help_is_escaped(void **state)
{
    (void)state;
    struct metrics m;
    struct metric metric;
    uint64_t value = 7;
    struct bytes out;
    bytes_init(&out);
    metrics_init(&m);
    metrics_add_counter(&m, &metric, "x", "a \"b\"\\\nc", NULL, &value);
    assert_string_equal(print(&m, &out), "# HELP x a \"b\"\\\\\\nc\n# TYPE x counter\nx 7\n");
    metrics_remove(&metric);
    bytes_close(&out);
}

static void histogram_buckets_are_cumulative(void **state)
{
    (void)state;
    struct metrics m;
    struct metric metric;
    struct histogram h = {0};
    struct bytes out;
    bytes_init(&out);
    metrics_init(&m);
    histogram_record(&h, 500);
    histogram_record(&h, 40000);
    histogram_record(&h, UINT64_C(60000000000));
    metrics_add_histogram(&m, &metric, "d_seconds", "Duration.", "q=\"1\"", &h);
    const char *text = print(&m, &out);
    assert_non_null(strstr(text, "# TYPE d_seconds histogram\n"));
    assert_non_null(strstr(text, "d_seconds_bucket{q=\"1\",le=\"3.2768e-05\"} 1\n"));
    assert_non_null(strstr(text, "d_seconds_bucket{q=\"1\",le=\"6.5536e-05\"} 2\n"));
    assert_non_null(strstr(text, "d_seconds_bucket{q=\"1\",le=\"17.1798692\"} 2\n"));
    assert_non_null(strstr(text, "d_seconds_bucket{q=\"1\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "d_seconds_sum{q=\"1\"} 60.0000405\n"));
    assert_non_null(strstr(text, "d_seconds_count{q=\"1\"} 3\n"));
    metrics_remove(&metric);
    bytes_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_of_one_name_stand_together),
        cmocka_unit_test(help_is_escaped),
        cmocka_unit_test(histogram_buckets_are_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
