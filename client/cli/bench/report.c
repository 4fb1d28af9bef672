#include "client/cli/bench/bench.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct bench_figure *bench_add(struct bench_report *r, double figure, const char *unit, const char *name, ...)
{
    if (r->count == sizeof(r->figures) / sizeof(r->figures[0])) {
        abort();
    }
    struct bench_figure *f = &r->figures[r->count++];
    va_list arguments;
    *f = (struct bench_figure){.figure = figure, .unit = unit, .met = -1};
    va_start(arguments, name);
    vsnprintf(f->name, sizeof(f->name), name, arguments);
    va_end(arguments);
    return f;
}

void bench_against(struct bench_figure *f, double ratio, const char *against)
{
    f->ratio = ratio;
    snprintf(f->against, sizeof(f->against), "%s", against);
}

static double compared(const struct bench_figure *f)
{
    return f->against[0] != 0 ? f->ratio : f->figure;
}

/* A figure with nothing else to compare it with is compared with its target. */
static void compare_with_target(struct bench_figure *f, double bound)
{
    if (f->against[0] == 0 && bound > 0) {
        bench_against(f, f->figure / bound, "the target");
    }
}

void bench_target_at_most(struct bench_figure *f, double bound)
{
    snprintf(f->target, sizeof(f->target), "<= %g", bound);
    f->met = compared(f) >= 0 && compared(f) <= bound;
    compare_with_target(f, bound);
}

void bench_target_at_least(struct bench_figure *f, double bound)
{
    snprintf(f->target, sizeof(f->target), ">= %g", bound);
    f->met = compared(f) >= bound;
    compare_with_target(f, bound);
}

static void print_json(const struct bench_figure *f)
{
    json_t *figure = isnan(f->figure) ? json_null() : json_real(f->figure);
    json_t *root = json_pack("{s:s, s:o, s:s}", "name", f->name, "figure", figure, "unit", f->unit);
    if (f->against[0] != 0) {
        json_object_set_new(root, "ratio", json_real(f->ratio));
        json_object_set_new(root, "against", json_string(f->against));
    }
    if (f->met >= 0) {
        json_object_set_new(root, "target", json_string(f->target));
        json_object_set_new(root, "met", json_boolean(f->met));
    }
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

static void figure_cell(struct cli_table *t, double figure)
{
    if (isnan(figure)) {
        cli_table_cell(t, "not available");
        return;
    }
    cli_table_cell(t, figure >= 1000 ? "%.0f" : figure >= 10 ? "%.1f" : "%.2f", figure);
}

static void print_table(const struct bench_report *r)
{
    static const char *const headings[] = {"MEASUREMENT", "FIGURE", "UNIT", "RATIO",
                                           "AGAINST",     "TARGET", "MET"};
    static const bool right[] = {false, true, false, true, false, false, false};
    struct cli_table *t = cli_table_create(headings, right, 7);
    for (size_t i = 0; i < r->count; i++) {
        const struct bench_figure *f = &r->figures[i];
        cli_table_cell(t, "%s", f->name);
        figure_cell(t, f->figure);
        cli_table_cell(t, "%s", f->unit);
        cli_table_cell(t, f->against[0] != 0 ? "%.2f" : "", f->ratio);
        cli_table_cell(t, "%s", f->against);
        cli_table_cell(t, "%s", f->target);
        cli_table_cell(t, "%s", f->met < 0 ? "" : f->met ? "yes" : "no");
    }
    cli_table_print(t, stdout);
    cli_table_destroy(t);
}

void bench_print(const struct bench_report *r, bool json)
{
    if (!json) {
        print_table(r);
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        print_json(&r->figures[i]);
    }
}

void samples_add(struct samples *s, uint64_t ns)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 4096 : s->capacity * 2;
        s->values = realloc(s->values, s->capacity * sizeof(*s->values));
        if (s->values == NULL) {
            abort();
        }
    }
    s->values[s->count++] = ns;
    s->sorted = false;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

double samples_ms(struct samples *s, double quantile)
{
    if (s->count == 0) {
        return -1;
    }
    if (!s->sorted) {
        qsort(s->values, s->count, sizeof(*s->values), compare);
        s->sorted = true;
    }
    size_t at = (size_t)(quantile * (double)s->count);
    return (double)s->values[at < s->count ? at : s->count - 1] / 1e6;
}

double samples_windows_ms(const struct samples *s, size_t window, double quantile)
{
    struct samples one = {NULL, 0, 0, false}, all = {NULL, 0, 0, false};
    if (s->sorted || window == 0) {
        return -1;
    }
    for (size_t from = 0; window <= s->count - from; from += window) {
        one.count = 0;
        for (size_t i = from; i < from + window; i++) {
            samples_add(&one, s->values[i]);
        }
        samples_add(&all, (uint64_t)(samples_ms(&one, quantile) * 1e6));
    }
    double median = samples_ms(&all, 0.5);
    samples_close(&one);
    samples_close(&all);
    return median;
}

void samples_close(struct samples *s)
{
    free(s->values);
    *s = (struct samples){NULL, 0, 0, false};
}
