#include "client/cli/cli.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void cli_error(const struct cli_command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%sflotilla%s%s:%s ", cli_colour(stderr, CLI_RED), command != NULL ? " " : "",
            command != NULL ? command->name : "", cli_colour(stderr, CLI_PLAIN));
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

bool cli_is_terminal(FILE *out)
{
    return isatty(fileno(out)) == 1;
}

bool cli_is_dumb_terminal(void)
{
    const char *kind = getenv("TERM");
    return kind == NULL || kind[0] == 0 || strcmp(kind, "dumb") == 0;
}

const char *cli_colour(FILE *out, enum cli_colour colour)
{
    static const char *const codes[] = {"\033[0m",  "\033[1m",  "\033[2m", "\033[31m",
                                        "\033[32m", "\033[33m", "\033[36m"};
    const char *no_colour = getenv("NO_COLOR");
    if (!cli_is_terminal(out) || cli_is_dumb_terminal() || (no_colour != NULL && no_colour[0] != 0)) {
        return "";
    }
    return codes[colour];
}

struct cli_table {
    size_t columns;
    size_t cells;
    size_t capacity;
    char **text; /* headings first, then row by row */
    bool *right;
};

static void table_add(struct cli_table *t, char *text)
{
    if (t->cells == t->capacity) {
        t->capacity = t->capacity == 0 ? 64 : t->capacity * 2;
        t->text = realloc(t->text, t->capacity * sizeof(*t->text));
        if (t->text == NULL) {
            abort();
        }
    }
    t->text[t->cells++] = text;
}

struct cli_table *cli_table_create(const char *const *headings, const bool *right, size_t columns)
{
    struct cli_table *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        abort();
    }
    t->columns = columns;
    t->right = calloc(columns, sizeof(*t->right));
    if (t->right == NULL) {
        abort();
    }
    for (size_t i = 0; i < columns; i++) {
        t->right[i] = right != NULL && right[i];
        table_add(t, strdup(headings[i]));
    }
    return t;
}

void cli_table_cell(struct cli_table *t, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        abort();
    }
    va_end(arguments);
    table_add(t, text);
}

/* Nothing stands after a row's last word: neither padding nor separators. */
static void print_row(const struct cli_table *t, FILE *out, char *const *cells, const int *width)
{
    size_t count = t->columns;
    while (count > 1 && cells[count - 1][0] == 0) {
        count--;
    }
    for (size_t i = 0; i < count; i++) {
        int pad = i + 1 == count && !t->right[i] ? 0 : width[i];
        fprintf(out, t->right[i] ? "%s%*s" : "%s%-*s", i > 0 ? "  " : "", pad, cells[i]);
    }
}

void cli_table_print(const struct cli_table *t, FILE *out)
{
    int *width = calloc(t->columns, sizeof(*width));
    if (width == NULL) {
        abort();
    }
    for (size_t i = 0; i < t->cells; i++) {
        int length = (int)strlen(t->text[i]);
        if (length > width[i % t->columns]) {
            width[i % t->columns] = length;
        }
    }
    for (size_t i = 0; i + t->columns <= t->cells; i += t->columns) {
        fputs(i == 0 ? cli_colour(out, CLI_BOLD) : "", out);
        print_row(t, out, &t->text[i], width);
        fprintf(out, "%s\n", i == 0 ? cli_colour(out, CLI_PLAIN) : "");
    }
    free(width);
}

void cli_table_destroy(struct cli_table *t)
{
    for (size_t i = 0; i < t->cells; i++) {
        free(t->text[i]);
    }
    free(t->text);
    free(t->right);
    free(t);
}

const char *cli_bytes(char *out, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024.0;
        unit++;
    }
    snprintf(out, size, unit == 0 || value == (double)(uint64_t)value ? "%.0f %s" : "%.1f %s", value,
             units[unit]);
    return out;
}

const char *cli_count(char *out, size_t size, uint64_t count)
{
    char digits[32];
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
    size_t at = 0;
    for (int i = 0; i < length && at + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

uint64_t cli_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t cli_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void cli_sleep_ms(int64_t milliseconds)
{
    struct timespec pause = {milliseconds / 1000, (milliseconds % 1000) * 1000000};
    nanosleep(&pause, NULL);
}
